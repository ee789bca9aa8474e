package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// leaves runs a verb that has to say, with an exit code of its own, that something is
// on this machine only, and each of the words.
func (m *machine) leaves(args []string, words ...string) string {
	m.t.Helper()
	out, talk, code := m.run(args...)
	if code != 6 {
		m.t.Fatalf("%s: coltecd %q ended with %d, not with 6:\n%s%s", m.name, args, code, out, talk)
	}
	for _, word := range words {
		if !strings.Contains(out+talk, word) {
			m.t.Errorf("%s: coltecd %q does not say %q:\n%s%s", m.name, args, word, out, talk)
		}
	}
	return out + talk
}

// running is a patient pair of which the first runs, with a file in the bucket.
func (w *world) running() (a, b *machine) {
	w.t.Helper()
	a, b = w.patient()
	a.write("f", "first")
	a.start()
	a.sync()
	return a, b
}

var stopping = []string{"stop", "--timeout", "20s"}

// leftBehind is what the head says that a machine left, by reason.
func (w *world) leftBehind(host string) map[account.Reason]account.Part {
	w.t.Helper()
	var head store.Head
	w.json(store.HeadKey(workspaceName), &head)
	parts := map[account.Reason]account.Part{}
	for _, b := range head.LeftBehind {
		for _, l := range b.Left {
			for _, p := range l.Parts {
				if b.Host == host {
					parts[p.Reason] = p
				}
			}
		}
	}
	return parts
}

// rewrite changes a file in place, again and again, until the result is called. It is
// large enough that nobody reads it between two changes.
func (m *machine) rewrite(rel string) (end func()) {
	m.t.Helper()
	f, err := os.OpenFile(m.path(rel), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := f.Truncate(32 << 20); err != nil {
		m.t.Fatal(err)
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer f.Close()
		block := make([]byte, 64<<10)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			copy(block, fmt.Sprintf("%020d", i))
			_, _ = f.WriteAt(block, int64(i%512)*int64(len(block)))
		}
	}()
	return func() {
		select {
		case <-stop:
		default:
			close(stop)
			<-ended
		}
	}
}

// A file that changed each time it was read was in no generation; stop said "stopped"
// and 0, the head said "released", and the next machine was told nothing.
func TestStopNamesWhatMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.patient()
	a.write("still.txt", "still")
	a.start()
	end := a.rewrite("moving.db")
	defer end()
	a.leaves([]string{"sync"}, "moving.db")
	a.await("status says so", func(doc status.Document) bool { // a cycle by itself may be under way
		r := replicaIn(t, doc, "workspace")
		return r.State == status.ReplicaIncomplete && r.Pending == 1 && len(r.OnlyHere) == 1 && r.OnlyHere[0].Reason == account.Moving
	})
	a.leaves(stopping, "moving.db", "changes while it is read")
	if p := w.leftBehind(a.name)[account.Moving]; p.Count != 1 || !slices.Equal(p.Names, []string{"moving.db"}) {
		t.Errorf("the head says %+v", p)
	}
	if log := a.log(); !strings.Contains(finalLine(log), "moving.db") {
		t.Errorf("the last line of the log is %q", finalLine(log))
	}
	b.start()
	if got := words(b.status()); !strings.Contains(got, a.name) || !strings.Contains(got, "moving.db") {
		t.Errorf("the next machine is told %q", got)
	}
	b.stop()
	end()
	a.once()
	if left := w.leftBehind(a.name); len(left) != 0 {
		t.Errorf("it is in the bucket now, and the head says %v", left)
	}
	b.once()
	sameTree(t, a.tree(), b.tree())
}

func finalLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// kill -9 of keeper and coltecd, a start, and a stop before the lease was back: it said
// "stopped", 0, nothing was pushed, and the next machine waited for the ttl.
func TestStopRightAfterAKill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.running()
	a.write("f", "second")
	a.kill9()
	a.must("start")
	a.stop()
	b.once() // the ttl is longer than any test waits
	sameTree(t, a.tree(), b.tree())
}

// Nothing was changed, and the lease stayed held by the one that was killed.
func TestStopGivesAKilledOnesLeaseBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.running()
	a.kill9()
	a.must("start")
	a.stop()
	b.write("g", "b's")
	b.once()
}

// A stop right after the start of a workspace with edits of its own.
func TestStopRightAfterAStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.patient()
	a.write("f", "first")
	a.once()
	a.write("f", "second")
	a.must("start")
	a.stop()
	b.once()
	sameTree(t, a.tree(), b.tree())
}

// What a machine has while another holds the lease: status said PENDING 0, stop
// "pushing what is pending", "stopped", 0.
func TestStopOfAMachineThatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.patient()
	a.write("f", "first")
	a.once()
	b.once()
	a.start()
	b.write("mine.txt", "only here")
	b.must("start")
	b.await("it waits, and says what for", func(doc status.Document) bool {
		r := replicaIn(t, doc, "workspace")
		return doc.Lease.State == status.LeaseWaiting && r.Pending == 1 && len(r.OnlyHere) == 1 && r.OnlyHere[0].Reason == account.Waiting
	})
	if _, talk, code := b.run("sync"); code == 0 {
		t.Errorf("a sync without the lease ended with %d: %s", code, talk)
	}
	b.leaves(stopping, "mine.txt", "lease")
	a.stop()
	b.once()
	a.once()
	sameTree(t, a.tree(), b.tree())
}

// A store that cannot be reached, credentials that are missing, a replica that is
// paused: what is only here is named, within the time that was given.
func TestStopNamesWhatItCannotPush(t *testing.T) {
	t.Parallel()
	for name, break_ := range map[string]func(w *world, a *machine){
		"unreachable": func(w *world, a *machine) { w.proxy.Inject(s3test.Fault{Status: 503, Code: "SlowDown"}) },
		"paused":      func(_ *world, a *machine) { a.must("pause", "workspace") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a, b := w.running()
			break_(w, a)
			a.write("only here.txt", "second")
			began := time.Now()
			a.leaves(stopping, "only here.txt")
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("it took %s", took)
			}
			w.proxy.Reset()
			a.once()
			b.once()
			sameTree(t, a.tree(), b.tree())
		})
	}
	t.Run("no credentials", func(t *testing.T) {
		w := newWorld(t)
		a := w.machine("a")
		a.spec(nil)
		a.write("only here.txt", "first")
		secret := a.env["RCLONE_S3_SECRET_ACCESS_KEY"]
		delete(a.env, "RCLONE_S3_SECRET_ACCESS_KEY")
		a.must("start")
		a.leaves(stopping, "only here.txt", "RCLONE_S3_SECRET_ACCESS_KEY")
		a.env["RCLONE_S3_SECRET_ACCESS_KEY"] = secret
		a.once()
	})
}

// The store is away when all that is left is to give the lease back: what is in the
// bucket is there, and that others have to wait is said, with a code.
func TestStopNamesTheLeaseItKeeps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.running()
	mend := w.proxy.Inject(s3test.Fault{Status: 503, Code: "SlowDown"})
	_, talk, code := a.run(stopping...)
	for _, words := range []string{"everything is in the bucket", "the lease could not be given back", "another machine waits"} {
		if code != cmdline.CodeKept || !strings.Contains(talk, words) {
			t.Errorf("code %d, and it does not say %q:\n%s", code, words, talk)
		}
	}
	if last := finalLine(a.log()); !strings.Contains(last, "the lease could not be given back") {
		t.Errorf("the last line of the log: %s", last)
	}
	mend()
	a.start()
	a.stop()
	b.once() // nobody waits any more
	sameTree(t, a.tree(), b.tree())
}

// What status would name was in nobody's sight after `run --once`: nothing, and 0.
func TestOnceNamesProblems(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	a.write("f", "first")
	a.write("secret/locked.txt", "nobody reads it")
	a.asUser()
	if err := os.Chmod(a.path("secret/locked.txt"), 0); err != nil {
		t.Fatal(err)
	}
	a.leaves([]string{"run", "--once"}, "secret/locked.txt", "cannot be read")
	if err := os.Chmod(a.path("secret"), 0); err != nil {
		t.Fatal(err)
	}
	a.leaves([]string{"run", "--once"}, `"secret"`)
	if err := os.Chmod(a.path("secret"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(a.path("secret/locked.txt"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.once()
	if left := w.leftBehind(a.name); len(left) != 0 {
		t.Errorf("the head says %v", left)
	}
}

// Deletions that wait for a decision are in no generation: neither sync nor stop said so.
func TestStopNamesWhatIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.patient()
	for i := range 12 {
		a.write(fmt.Sprintf("f%02d", i), fmt.Sprint(i))
	}
	a.start()
	a.sync()
	for i := range 12 {
		a.remove(fmt.Sprintf("f%02d", i))
	}
	a.leaves([]string{"sync"}, "12 deletions", "f00")
	a.leaves(stopping, "12 deletions", "f00")
	if p := w.leftBehind(a.name)[account.Held]; p.Count != 12 || len(p.Names) != 12 {
		t.Errorf("the head says %+v", p)
	}
	b.start()
	if got := words(b.status()); !strings.Contains(got, "12 deletions") {
		t.Errorf("the next machine is told %q", got)
	}
	b.stop()
}
