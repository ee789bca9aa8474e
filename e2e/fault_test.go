package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/porttest"
	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// words are all sentences that a status has for a person.
func words(doc status.Document) string {
	all := slices.Clone(doc.Attention)
	for _, r := range doc.Replicas {
		all = append(all, r.Name+" is "+string(r.State)+": "+r.LastError)
	}
	return strings.Join(all, "\n")
}

// says waits until the status has all the words, and holds that they are in
// what a person is shown too.
func (m *machine) says(wanted ...string) {
	m.t.Helper()
	lacks := func(text string) bool {
		return slices.ContainsFunc(wanted, func(word string) bool { return !strings.Contains(text, word) })
	}
	doc := m.await(fmt.Sprintf("the status says %q", wanted), func(doc status.Document) bool { return !lacks(words(doc)) })
	if lacks(strings.Join(doc.Attention, "\n")) {
		m.t.Errorf("%s: attention lacks %q:\n%s", m.name, wanted, strings.Join(doc.Attention, "\n"))
	}
	if doc.State != status.Degraded {
		m.t.Errorf("%s: the state is %s", m.name, doc.State)
	}
	m.t.Logf("%s: %s", m.name, strings.Join(doc.Attention, "\n"))
}

// goesOn waits until all is well, without a hand, and holds that what is in
// the tree is in the bucket.
func (m *machine) goesOn() {
	m.t.Helper()
	m.await("all is well again", func(doc status.Document) bool {
		return replicaIn(m.t, doc, "workspace").State == status.ReplicaSynced && doc.State == status.Running
	})
	m.sync()
	m.world.stillReadable(m.tree())
}

// begun starts coltecd without waiting, and returns a check that it is still
// the same process.
func (m *machine) begun() (still func()) {
	m.t.Helper()
	m.must("start")
	i, _ := m.instance()
	return func() {
		m.t.Helper()
		if now, ok := m.instance(); !ok || now.PID != i.PID {
			m.t.Errorf("%s: coltecd is not the process that it was: %d, now %d", m.name, i.PID, now.PID)
		}
	}
}

func TestFaultMissingCredentials(t *testing.T) {
	t.Parallel()
	for _, name := range sample.Some(t, 2, []string{"RCLONE_BUCKET", "RCLONE_S3_ENDPOINT", "RCLONE_S3_ACCESS_KEY_ID", "RCLONE_S3_SECRET_ACCESS_KEY"}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.machine("a")
			a.spec(func(o *specOptions) {
				o.Services = []map[string]any{{"name": "web", "command": []string{"sleep", "1000"}, "after": []string{"restore"}}}
			})
			a.seed()
			value := a.env[name]
			a.env[name] = "" // as an editor passes on a variable that it does not have
			still := a.begun()
			a.says(name+" is not set", "coltecd start")
			a.await("the service runs all the same", func(doc status.Document) bool {
				return len(doc.Units) == 1 && doc.Units[0].PID > 0
			})
			a.env[name] = value
			a.must("start")
			a.goesOn()
			still()
		})
	}
}

// A repository is looked at before there was ever a way to the bucket.
func TestFaultMissingCredentialsAndARepository(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	a.history("repo", 3)
	name := "RCLONE_S3_ACCESS_KEY_ID"
	value := a.env[name]
	a.env[name] = ""
	a.must("start")
	a.await("what is only here is told", func(doc status.Document) bool {
		return slices.ContainsFunc(replicaIn(t, doc, "workspace").OnlyHere, func(p account.Part) bool { return slices.Contains(p.Names, "repo/.git") })
	})
	a.env[name] = value
	a.must("start")
	a.sync()
	a.stop()
	b := w.machine("b")
	b.spec(nil)
	b.once()
	if here, there := a.git("repo", "rev-parse", "main"), b.git("repo", "rev-parse", "main"); here != there {
		t.Errorf("%s came as %s", here, there)
	}
}

func TestFaultWrongCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	a.seed()
	right := a.env["RCLONE_S3_SECRET_ACCESS_KEY"]
	a.env["RCLONE_S3_SECRET_ACCESS_KEY"] = "wrong"
	still := a.begun()
	a.says("refuses the credentials", "the secret key is not the access key")
	a.env["RCLONE_S3_SECRET_ACCESS_KEY"] = right
	a.must("start")
	a.goesOn()
	still()
}

func TestFaultUnreachable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	door := newDoor(t, w)
	a.env["RCLONE_S3_ENDPOINT"] = "http://" + door.address
	a.spec(nil)
	a.seed()
	still := a.begun()
	a.says("cannot be reached", "check the network")
	door.open()
	a.goesOn()
	door.close()
	a.write("written while nobody answers.txt", "kept")
	a.says("cannot be reached")
	if _, talk, code := a.run("sync"); code == 0 || !strings.Contains(talk, "cannot be reached") {
		t.Errorf("sync ended with %d: %s", code, talk)
	}
	door.open()
	a.goesOn()
	still()
}

// door is a port that can be closed and opened again.
type door struct {
	t       *testing.T
	to      string
	address string

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

// newDoor makes one, closed, that leads to the world's proxy.
func newDoor(t *testing.T, w *world) *door {
	t.Helper()
	d := &door{t: t, to: strings.TrimPrefix(w.proxy.Endpoint, "http://"), address: porttest.Free(t)}
	t.Cleanup(d.close)
	return d
}

func (d *door) open() {
	d.t.Helper()
	l, err := net.Listen("tcp", d.address)
	if err != nil {
		d.t.Fatal(err)
	}
	d.address, d.listener = l.Addr().String(), l
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return // closed
			}
			go d.relay(in)
		}
	}()
}

func (d *door) relay(in net.Conn) {
	out, err := net.Dial("tcp", d.to)
	if err != nil {
		in.Close()
		return
	}
	d.mu.Lock()
	d.conns = append(d.conns, in, out)
	d.mu.Unlock()
	go func() { _, _ = io.Copy(out, in); out.Close() }()
	_, _ = io.Copy(in, out)
	in.Close()
}

// close cuts what is under way, too.
func (d *door) close() {
	if d.listener == nil {
		return // it never was open
	}
	_ = d.listener.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		_ = c.Close()
	}
	d.conns = nil
}

// TestFaultHangingStore: a store that takes the connection and says nothing.
func TestFaultHangingStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	a.seed()
	a.start()
	mend := w.proxy.Inject(s3test.Fault{Hang: true})
	a.write("written while it hangs.txt", "kept")
	began := time.Now()
	a.status()
	if took := time.Since(began); took > 25*time.Second { // rclone waits 30 s for an answer
		t.Errorf("a status takes %s while the store hangs", took)
	}
	a.says("cannot be reached")
	mend()
	a.goesOn()
}

func TestFaultMissingBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	a.seed()
	w.s3.Bucket = "made-later"
	a.env["RCLONE_BUCKET"] = w.s3.Bucket
	still := a.begun()
	a.says("the bucket does not exist", "make the bucket")
	w.rclone("copy", a.path("src"), "{bucket}/by hand") // makes the bucket, too
	a.goesOn()
	still()
}

func TestFaultRclone(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		break_ func(t *testing.T, path string)
		says   []string
	}{
		"missing": {func(*testing.T, string) {}, []string{"rclone", "no rclone found", "v1.72"}},
		"too old": {func(t *testing.T, path string) { script(t, path, "echo 'rclone v1.60.1-DEV'") }, []string{"v1.60.1", "v1.72.0 or newer is needed", "COLTEC_RCLONE"}},
		"broken":  {func(t *testing.T, path string) { script(t, path, "exit 3") }, []string{"cannot run rclone", "exit status 3"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.machine("a")
			a.spec(nil)
			a.seed()
			path := filepath.Join(t.TempDir(), "rclone")
			tt.break_(t, path)
			a.env["COLTEC_RCLONE"] = path
			still := a.begun()
			a.says(tt.says...)
			if err := errors.Join(os.RemoveAll(path), os.Symlink(rclonePath, path)); err != nil {
				t.Fatal(err)
			}
			a.goesOn()
			still()
		})
	}
}

func script(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// apart makes the replica a directory of its own, so that it can be mounted,
// removed and replaced.
func (m *machine) apart() string {
	m.t.Helper()
	m.mkdir("data")
	m.spec(func(o *specOptions) { o.Replicas = []replicaSpec{m.replica("workspace", m.path("data"))} })
	return m.path("data")
}

// TestFaultRoot takes the tree away from under a running coltecd.
func TestFaultRoot(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		take func(m *machine)
		says []string // empty: it mends itself
		back func(m *machine)
	}{
		"moved away and back": {
			func(m *machine) { m.rename("data", "away") }, []string{"the local tree is not there"},
			func(m *machine) { m.rename("away", "data") },
		},
		"removed, and made again empty": {
			func(m *machine) { m.remove("data") }, []string{"the local tree is not there"},
			func(m *machine) { m.mkdir("data") },
		},
		"replaced by an empty one": {
			func(m *machine) { m.rename("data", "away"); m.mkdir("data") }, nil,
			func(*machine) {},
		},
		"without its .coltec": {
			func(m *machine) { m.remove("data/.coltec"); m.write("data/written after.txt", "kept") }, nil,
			func(*machine) {},
		},
		"emptied, with its .coltec": {
			func(m *machine) {
				m.remove("data/.coltec")
				for _, e := range entries(m.t, m.path("data")) {
					m.remove("data/" + e)
				}
			}, nil,
			func(*machine) {},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.machine("a")
			data := a.apart()
			for i := range 12 {
				a.write(fmt.Sprintf("data/src/%d.txt", i), fmt.Sprint("source ", i))
			}
			a.start()
			a.sync()
			want := treeOf(t, data, ".coltec")
			i, _ := a.instance()
			tt.take(a)
			if now, err := nodeOf(a.path("data/written after.txt")); err == nil {
				want[`"written after.txt"`] = now
			}
			_, _, _ = a.run("sync") // meets it
			if len(tt.says) > 0 {
				a.says(tt.says...)
			}
			tt.back(a)
			eventually(t, "the tree is back", func() error {
				if got := treeOf(t, data, ".coltec"); fmt.Sprint(got) != fmt.Sprint(want) {
					return fmt.Errorf("there are %d of %d", len(got), len(want))
				}
				return nil
			})
			a.await("all is well again", func(doc status.Document) bool { return doc.State == status.Running })
			a.sync()
			sameTree(t, want, treeOf(t, data, ".coltec"))
			if now, ok := a.instance(); !ok || now.PID != i.PID {
				t.Error("coltecd is not the process that it was")
			}
			b := w.machine("b")
			a.stop()
			there := b.apart()
			b.once()
			sameTree(t, want, treeOf(t, there, ".coltec"))
		})
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// disk mounts a small disk at a directory of the machine.
func (m *machine) disk(rel, size string) {
	m.t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			m.t.Fatal("needs to be root, to mount a small disk")
		}
		m.t.Skip("needs to be root, to mount a small disk")
	}
	at := m.path(rel)
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size="+size+",mode=0755"); err != nil {
		m.t.Fatalf("cannot mount a small disk: %v", err)
	}
	m.t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
}

// resize gives a disk another size.
func (m *machine) resize(rel, size string) {
	m.t.Helper()
	if err := unix.Mount("tmpfs", m.path(rel), "tmpfs", syscall.MS_REMOUNT, "size="+size+",mode=0755"); err != nil {
		m.t.Fatal(err)
	}
}

// fill writes until nothing more goes on a disk.
func (m *machine) fill(rel string) {
	m.t.Helper()
	f, err := os.Create(m.path(rel))
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		m.t.Fatal(err)
	}
}

// TestFaultFullDisk fills the disk that the tree and its stage are on.
func TestFaultFullDisk(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T, w *world, a, b *machine){
		"while staging": func(_ *testing.T, _ *world, a, _ *machine) {
			a.write("data/big.bin", scrambled(7, 5<<20))
			_, _, _ = a.run("sync")
			a.says("the disk of", "is full", "free up space")
			a.resize("data", "64m")
		},
		"while the base is written": func(_ *testing.T, _ *world, a, _ *machine) {
			a.sync() // what is staged must not give room back later
			a.fill("data/filler")
			a.chmod("data/src/1.txt", 0o755)
			_, _, _ = a.run("sync")
			a.says("the disk of", "is full", "free up space")
			a.remove("data/filler")
		},
		"while restoring": func(_ *testing.T, _ *world, a, b *machine) {
			a.resize("data", "64m")
			a.write("data/big.bin", scrambled(7, 12<<20))
			a.sync()
			a.stop()
			b.must("start")
			b.says("the disk of this machine is full", "free up space")
			b.resize("data", "64m")
			b.await("it is restored", func(doc status.Document) bool { return doc.State == status.Running })
			sameTree(b.t, treeOf(b.t, a.path("data"), ".coltec"), treeOf(b.t, b.path("data"), ".coltec"))
			b.stop()
			a.start()
		},
	}
	for name, run := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, b := w.machine("a"), w.machine("b")
			for _, m := range []*machine{a, b} {
				m.apart()
				m.disk("data", "8m")
			}
			for i := range 12 {
				a.write(fmt.Sprintf("data/src/%d.txt", i), fmt.Sprint("source ", i))
			}
			a.start()
			run(t, w, a, b)
			a.await("all is well again", func(doc status.Document) bool {
				return doc.State == status.Running && replicaIn(t, doc, "workspace").State == status.ReplicaSynced
			})
			a.sync()
			want := treeOf(t, a.path("data"), ".coltec")
			w.stillReadable(want)
			a.stop()
			b.resize("data", "64m")
			b.once()
			sameTree(t, want, treeOf(t, b.path("data"), ".coltec"))
		})
	}
}

// TestFaultStore breaks the store's answers during a push and a restore, each
// request once at least.
func TestFaultStore(t *testing.T) {
	t.Parallel()
	tests := map[string]s3test.Fault{
		"503":                 {Status: 503, Code: "SlowDown", Times: 3},
		"500 to writes":       {Kind: s3test.Put, Status: 500, Code: "InternalError", Times: 3},
		"500 to reads":        {Kind: s3test.Get, Status: 500, Code: "InternalError", Times: 3},
		"cut before":          {Drop: true, Times: 3},
		"cut after writes":    {Kind: s3test.Put, DropResponse: true, Times: 3},
		"cut in what is read": {Kind: s3test.Get, Truncate: true, Times: 3},
		"the head is cut":     {Kind: s3test.Put, Key: "head.json", DropResponse: true, Times: 3},
		"409 to the head":     {Kind: s3test.Put, Key: "head.json", Status: 409, Code: "ConditionalRequestConflict", Times: 3},
	}
	for name, fault := range sample.Cases(t, 5, tests) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, b := w.pair()
			a.seed()
			a.start()
			a.sync()
			a.change()
			mend := w.proxy.Inject(fault)
			_, _, _ = a.run("sync")
			a.goesOn()
			mend()
			a.stop()
			mend = w.proxy.Inject(fault)
			b.must("start")
			b.goesOn()
			mend()
			sameTree(t, a.tree(), b.tree())
			b.stop()
			converge(t, a, b, b.tree(), 0)
		})
	}
}

// TestFaultNoConditions: a store that cannot compare and swap is no place for
// a lease.
func TestFaultNoConditions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	bucket := t.TempDir()
	spec := func(lease map[string]any) {
		a.spec(func(o *specOptions) {
			o.More = map[string]any{"persistence": map[string]any{
				"enabled": true, "default_remote": "disk",
				"remotes": map[string]any{"disk": map[string]any{"type": "local", "path_prefix": bucket}},
				"lease":   lease, "sync": o.Replicas,
			}}
		})
	}
	spec(map[string]any{"ttl": "6s", "renew": "2s"})
	a.seed()
	still := a.begun()
	a.says("does not support conditional writes", "best_effort: true")
	spec(map[string]any{"ttl": "6s", "renew": "2s", "best_effort": true})
	doc := a.await("it takes what there is", func(doc status.Document) bool {
		return doc.Lease.State == status.LeaseBestEffort && replicaIn(t, doc, "workspace").State == status.ReplicaSynced
	})
	if !strings.Contains(words(doc), "nothing but you prevents two containers") {
		t.Errorf("no word about what best effort means: %s", words(doc))
	}
	a.sync()
	still()
}

func TestFaultAnotherHolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.pair()
	a.seed()
	a.start()
	b.must("start")
	doc := b.await("it waits", func(doc status.Document) bool { return doc.Lease.State == status.LeaseWaiting })
	if h := doc.Lease.Holder; h == nil || h.Host != "a" || h.Since.IsZero() || h.LastSeen == nil {
		t.Errorf("the holder is %+v", h)
	}
	b.says("held by a", "since", "last seen")
	if !b.missing("edit.txt") {
		t.Error("it restores without the lease")
	}
	a.change()
	a.stop()
	b.goesOn()
	sameTree(t, a.tree(), b.tree())
}

func TestFaultTwoInOneFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	a.seed()
	still := a.begun()
	for _, args := range [][]string{{"run"}, {"run", "--once"}} {
		if _, talk, code := a.run(args...); code == 0 || !strings.Contains(talk, "already running") || !strings.Contains(talk, "coltecd stop") {
			t.Errorf("%q ended with %d: %s", args, code, talk)
		}
	}
	if out := a.must("start"); !strings.Contains(out, "already running") {
		t.Errorf("start says %q", out)
	}
	a.goesOn()
	still()
}

// A start was refused while the keeper waited before it starts coltecd again:
// who types start wants it now.
func TestStartWhileTheKeeperWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	a.seed()
	a.start()
	for range 4 { // each time the keeper waits twice as long
		i, _ := a.instance()
		p := processOf(i.PID)
		p.kill()
		if !p.awaitEnd(patience) {
			t.Fatal("it survives KILL")
		}
		a.must("start", "--wait")
	}
	a.sync()
	a.says("ended (signal: killed) and was started again")
	i, _ := a.instance()
	killIf(i.PID, i.Start)
	a.leaves(stopping, "without reporting on its last push")
	if _, ok := a.instance(); ok {
		t.Error("it runs on after a stop")
	}
}

// What was edited while nothing ran was not counted when coltecd was stopped
// before its restore was through: the next machine was told that all is there.
func TestStopBeforeTheRestoreTellsWhatItLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.pair()
	a.seed()
	a.once()
	a.write("edited while down.txt", "kept")
	// The claim is the first thing after the lease: what is cut there ends a cycle.
	mend := w.proxy.Inject(s3test.Fault{Key: "claim.json", Status: 500, Code: "InternalError"})
	a.must("start")
	a.await("the lease is held", func(doc status.Document) bool { return doc.Lease.State == status.LeaseHeld })
	a.leaves([]string{"stop", "--timeout", "10s"}, "edited while down.txt")
	mend()
	b.start()
	if got := words(b.status()); !strings.Contains(got, `workspace: 1 change that cannot be pushed yet: "edited while down.txt"`) {
		t.Errorf("nobody says what is missing: %q", got)
	}
	b.stop()
	converge(t, a, b, a.tree(), 0)
}

// The time of a stop is over while a large file is on its way: what has priority
// and what is small is committed by then, and the next machine is told of the
// rest.
func TestStopCommitsWhatItHasSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.spec(func(o *specOptions) {
			context := m.replica("context", m.path("context"))
			context.Priority, o.TTL, o.Renew = 2, "60s", "20s"
			o.Replicas = append(o.Replicas, context)
		})
	}
	a.write("code.txt", "before")
	a.write("context/note.txt", "before")
	a.start()
	began := time.Now()
	a.sync()
	// Time for what arrives, on a machine as busy as this one; none is enough for the rest.
	patience := min(6*time.Second+4*time.Since(began), 40*time.Second)
	a.write("code.txt", "after")
	a.write("context/a large one.bin", scrambled(5, 12<<20)) // by name it would be the first
	a.write("context/note.txt", "after")
	w.proxy.Inject(s3test.Fault{Kind: s3test.Put, Key: "/context/.coltec/o/", Nth: 2, Hang: true})
	a.leaves([]string{"stop", "--timeout", patience.String()}, "a large one.bin")
	var head store.Head
	w.json(store.HeadKey(workspaceName), &head)
	if head.State != store.Dirty || head.Dirty != 1 {
		t.Errorf("the head is %s with %d changes that did not arrive, want 1", head.State, head.Dirty)
	}
	w.proxy.Reset()
	b.start()
	if got := b.read("code.txt") + ", " + b.read("context/note.txt"); got != "after, after" || !b.missing("context/a large one.bin") {
		t.Errorf("what has arrived: %s", got)
	}
	if text := words(b.status()); !strings.Contains(text, `context: 1 change that there was no time for: "a large one.bin"`) {
		t.Errorf("nobody is told: %s", text)
	}
	b.stop()
	a.once()
	b.once()
	if b.missing("context/a large one.bin") {
		t.Error("the large file has not arrived in the end")
	}
}
