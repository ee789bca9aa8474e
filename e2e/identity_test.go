package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// twins makes machines that nothing which a machine says of itself tells apart: one
// host name, one device and inode of the workspace, one machine-id. Each has mounts and
// pids of its own: the workspace's folder is the same directory in all of them, and over
// its .devcontainer and its tree lie directories of each machine's own, as over /tmp's
// seats, the machine-id and the boot id.
type twins struct {
	w      *world
	folder string
}

// apart begins a command with mounts and pids of its own. It ends with unshare.
var apart = []string{"unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", "--kill-child"}

func newTwins(w *world) *twins {
	w.t.Helper()
	if out, err := exec.Command(apart[0], append(apart[1:], "true")...).CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			w.t.Fatalf("no namespaces here: %v, %s", err, out)
		}
		w.t.Skipf("no namespaces here: %v, %s", err, out)
	}
	t := &twins{w: w, folder: filepath.Join(w.t.TempDir(), "work tree")}
	seats := fmt.Sprintf("/tmp/coltec-%d", os.Getuid())
	if err := errors.Join(os.MkdirAll(t.folder+"/tree", 0o755), os.MkdirAll(t.folder+"/.devcontainer", 0o755), os.MkdirAll(seats, 0o700)); err != nil {
		w.t.Fatal(err)
	}
	return t
}

// twin is a machine with a boot and a machine-id; "" stands for none of those.
type twin struct {
	*machine
	own   string          // directory of what lies over the common one
	cmd   *exec.Cmd       // coltecd, as it runs
	boots func(id string) // has the next one run in another boot
}

func (s *twins) twin(name, boot, machineID string) *twin {
	t := s.w.t
	t.Helper()
	m := &twin{machine: s.w.machine("twin"), own: t.TempDir()}
	m.dir, m.ownPIDs, m.env["COLTEC_HOST"] = s.folder, true, "twin"
	for _, dir := range []string{"tree", ".devcontainer", "seats"} {
		if err := os.Mkdir(filepath.Join(m.own, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	file := func(name, content string) string {
		path := filepath.Join(m.own, name)
		if err := os.WriteFile(path, []byte(content+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	binds := []string{
		m.own + "/tree", s.folder + "/tree", m.own + "/.devcontainer", s.folder + "/.devcontainer",
		m.own + "/seats", fmt.Sprintf("/tmp/coltec-%d", os.Getuid()),
	}
	for _, path := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if _, err := os.Stat(path); err == nil {
			binds = append(binds, file("machine-id", machineID), path)
		}
	}
	m.boots = func(boot string) {
		m.within = slices.Concat(apart,
			[]string{"sh", "-c", `while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit 99; shift 2; done; shift; exec "$@"`, "sh"},
			binds, []string{file("boot-"+boot, boot), "/proc/sys/kernel/random/boot_id", "--"})
	}
	m.boots(boot)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("twin %s:\n%s", name, m.logged())
		}
	})
	m.spec(func(o *specOptions) {
		o.Replicas[0] = m.replica("workspace", s.folder+"/tree")
	})
	m.takeSpec()
	return m
}

// put writes a file in the twin's own tree.
func (m *twin) put(name, content string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.own, "tree", name), []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *twin) conflicts() int { return len(kept(m.t, filepath.Join(m.own, "tree"), "conflicts")) }

// renewed waits until the head was written some times more, by one holder.
func (w *world) renewed(times int64) {
	w.t.Helper()
	var from store.Head
	eventually(w.t, "the holder renews", func() error {
		body, err := os.ReadFile(filepath.Join(w.s3.Dir, w.s3.Bucket, store.HeadKey(workspaceName)))
		if err != nil {
			return err // it is being replaced
		}
		now, err := store.ParseHead(body, workspaceName)
		switch {
		case err != nil:
			return err
		case from.Seq == 0:
			from = *now
		case now.Epoch != from.Epoch:
			w.t.Fatalf("the lease went from %+v to %+v", from.Holder, now.Holder)
		}
		if now.Seq < from.Seq+times {
			return fmt.Errorf("the head is at %d, from %d", now.Seq, from.Seq)
		}
		return nil
	})
}

// Two machines with one host name and one inode of the workspace, both alive, took the
// lease from each other by turns: another boot counted as proof of death, and so did a
// pid that is not to be seen from another namespace.
func TestTwins(t *testing.T) {
	t.Parallel()
	const id = "0123456789abcdef0123456789abcdef"
	tests := map[string]struct {
		boots, ids [2]string
		copied     bool   // the state of the user too
		says       string // "": something tells them apart
	}{
		"clones":                   {[2]string{"b1", "b2"}, [2]string{id, id}, true, "host name and machine-id"},
		"no machine-id":            {[2]string{"b1", "b2"}, [2]string{}, true, "host name"},
		"pods of one node":         {[2]string{"b1", "b1"}, [2]string{id, id}, true, "host name and machine-id"},
		"ids of their own":         {[2]string{"b1", "b2"}, [2]string{id, id}, false, ""},
		"machine-ids of their own": {[2]string{"b1", "b2"}, [2]string{id, strings.Repeat("9", 32)}, true, ""},
	}
	for name, tt := range sample.Cases(t, 3, tests) {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := newTwins(w)
			a, b := s.twin("a", tt.boots[0], tt.ids[0]), s.twin("b", tt.boots[1], tt.ids[1])
			a.put("a.txt", "by a")
			a.runs()
			a.await("it has the lease", func(doc status.Document) bool { return doc.Lease.State == status.LeaseHeld })
			if tt.copied {
				b.copyState(a)
			}
			b.put("b.txt", "by b")
			b.runs()
			waits := func(doc status.Document) bool { return doc.Lease.State == status.LeaseWaiting }
			b.await("it waits", waits)
			w.renewed(3)
			b.knows(tt.says)
			if got := a.status().Attention; len(got) > 0 {
				t.Errorf("the holder says: %q", got)
			}
			// Nor does the one that is fenced by its twin take the lease back.
			b.must("takeover", "--force")
			a.await("it waits", waits)
			w.renewed(3)
			a.knows(tt.says)
			if got := b.status().Lease; got.State != status.LeaseHeld || got.Epoch != 2 {
				t.Errorf("the lease is %+v", got)
			}
			if n := a.conflicts() + b.conflicts(); n > 0 {
				t.Errorf("%d conflicts", n)
			}
		})
	}
}

// knows holds that the twin says that it has one, and what the two have in common; ""
// stands for nothing.
func (m *twin) knows(common string) {
	m.t.Helper()
	if common != "" {
		m.says("another machine with the same "+common+" writes this workspace", "give each an identity of its own", "state/coltec/id")
		return
	}
	if got := strings.Join(m.status().Attention, "; "); strings.Contains(got, "another machine with the same") {
		m.t.Errorf("it says: %s", got)
	}
}

// A machine that was reset has its lease back once it was silent for one renewal, and
// not after its ttl; one whose containers have no lock on the workspace too. Its new
// coltecd says what it waits for.
func TestReboot(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	t.Parallel()
	w := newWorld(t)
	a := newTwins(w).twin("a", "b1", id)
	a.spec(func(o *specOptions) {
		o.TTL, o.Renew = "30m", "4s"
		o.Replicas[0] = a.replica("workspace", a.dir+"/tree")
	})
	a.takeSpec()
	a.put("a.txt", "by a")
	a.runs()
	a.await("it has the lease", func(doc status.Document) bool { return doc.Lease.State == status.LeaseHeld })
	a.reset()
	a.boots("b2")
	a.runs()
	a.says("the lease was held by this machine before its reboot", "to be sure")
	doc := a.await("it has the lease back", func(doc status.Document) bool { return doc.Lease.State == status.LeaseHeld })
	if doc.Lease.Epoch != 2 {
		t.Errorf("epoch %d", doc.Lease.Epoch)
	}
	// In the same boot, and another pid namespace, its lock on the workspace tells: a
	// restarted container.
	waits := func() int { return strings.Count(a.logged(), "was held by this machine before its") }
	before := waits() // more than one where the store's clock, which has seconds, was read in between
	a.reset()
	a.runs()
	a.await("it has the lease back", func(doc status.Document) bool { return doc.Lease.State == status.LeaseHeld && doc.Lease.Epoch == 3 })
	if n := waits() - before; n > 0 {
		t.Errorf("it waited again, %d times:\n%s", n, a.logged())
	}
}

// copyState gives a clone what its user has on the machine it was made of.
func (m *twin) copyState(from *twin) {
	m.t.Helper()
	home := from.env["HOME"] + "/.local"
	if _, err := os.Stat(home + "/state/coltec/id"); err != nil {
		m.t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", home, m.env["HOME"]+"/").CombinedOutput(); err != nil {
		m.t.Fatalf("%v: %s", err, out)
	}
}

// runs runs coltecd until the test ends, or a reset: it is the first process of its
// pid namespace, with which all others end.
func (m *twin) runs() {
	m.t.Helper()
	m.cmd = m.command(context.Background(), "run")
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(m.reset)
	eventually(m.t, "it runs", func() error {
		if _, ok := m.instance(); !ok {
			return errors.New("there is no instance")
		}
		return nil
	})
}

// reset ends all that runs there, as cutting the power does.
func (m *twin) reset() {
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
	m.cmd = nil
	eventually(m.t, "it has ended", func() error {
		if _, ok := m.instance(); ok {
			return errors.New("there is an instance")
		}
		return nil
	})
}

// takeSpec gives the twin the spec that was written last.
func (m *twin) takeSpec() {
	m.t.Helper()
	const spec = "/.devcontainer/workspace-spec.yaml"
	body, err := os.ReadFile(m.dir + spec)
	if err == nil {
		err = os.WriteFile(m.own+spec, body, 0o644)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// logged is the twin's log.
func (m *twin) logged() string {
	log, _ := os.ReadFile(filepath.Join(m.own, ".devcontainer/logs/coltecd.log"))
	return string(log)
}
