package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/store"
)

// What proves that a holder has ended: this boot, and either the lock that it had or
// its process, where its pid means something.
func TestGone(t *testing.T) {
	dir := t.TempDir()
	ours := takeGround(dir)
	if ours == nil {
		t.Fatal("the directory cannot be locked")
	}
	if again := takeGround(dir); again != nil {
		t.Fatal("two have one ground")
	}
	locked, unlocked := setting{ground: ours}, setting{}
	me := store.Holder{Boot: bootID(), PID: os.Getpid(), Start: int64(ProcStart(os.Getpid())), Space: space(), Ground: ours.id}
	if me.Boot == "" || me.Space == "" {
		t.Fatalf("nothing is known: %+v", me)
	}
	with := func(f func(*store.Holder)) store.Holder {
		h := me
		f(&h)
		return h
	}
	tests := map[string]struct {
		s    setting
		h    store.Holder
		want bool
	}{
		"its lock is ours":                       {locked, me, true},
		"its lock is ours, in another namespace": {locked, with(func(h *store.Holder) { h.Space, h.PID = "pid:[1]", 1 }), true},
		"another boot":                           {locked, with(func(h *store.Holder) { h.Boot = "b" }), false},
		"the boot is not known":                  {locked, with(func(h *store.Holder) { h.Boot = "" }), false},
		"another lock, and it lives":             {locked, with(func(h *store.Holder) { h.Ground = "1:2" }), false},
		"no lock, and it lives":                  {unlocked, me, false},
		"no lock, and its pid is another's":      {unlocked, with(func(h *store.Holder) { h.Start-- }), true},
		"no lock, and its pid is nobody's":       {unlocked, with(func(h *store.Holder) { h.PID = 1 << 30 }), true},
		"no lock, in another namespace":          {unlocked, with(func(h *store.Holder) { h.PID, h.Space = 1<<30, "pid:[1]" }), false},
		"no lock, of a version before":           {unlocked, with(func(h *store.Holder) { h.PID, h.Space = 1<<30, "" }), false},
		"neither has a lock":                     {unlocked, with(func(h *store.Holder) { h.Ground = "" }), false},
	}
	for name, tt := range tests {
		if got := tt.s.gone(tt.h); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	ours.dir.Close()
	if next := takeGround(dir); next == nil || next.id != ours.id {
		t.Errorf("after it: %+v", next)
	}
	if got := takeGround(filepath.Join(dir, "none")); got != nil {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestContainerIn(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	tests := map[string]struct{ mounts, want string }{
		"docker":     {"716 700 8:1 /var/lib/docker/containers/" + id + "/hostname /etc/hostname rw - ext4 /dev/sda1 rw", id[:12]},
		"podman":     {"716 700 8:1 /containers/storage/overlay-containers/" + id + "/userdata/hosts /etc/hosts rw - ext4 /dev/sda1 rw", id[:12]},
		"containerd": {"716 700 8:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/" + id + "/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw", id[:12]},
		"kubelet":    {"716 700 8:1 /var/lib/kubelet/pods/0c0ffee0-aaaa-bbbb-cccc-0123456789ab/etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw", "0c0ffee0-aaa"},
		"none":       {"21 26 0:20 / /proc rw,relatime - proc proc rw", ""},
		"empty":      {"", ""},
	}
	for name, tt := range tests {
		if got := containerIn([]byte(tt.mounts)); got != tt.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// idSetting is a setting with these directories for state and home, and synced trees.
func idSetting(state, home string, synced ...string) setting {
	s := setting{spec: &spec.Spec{}, runtime: "/run/x", environ: []string{"XDG_STATE_HOME=" + state, "HOME=" + home}}
	for _, path := range synced {
		s.spec.Persistence.Sync = append(s.spec.Persistence.Sync, spec.Sync{Path: path})
	}
	return s
}

func TestOwnID(t *testing.T) {
	home, state := t.TempDir(), t.TempDir()
	inHome := home + "/.local/state/coltec/id"
	id, path := idSetting("", home).ownID()
	if !isID(id) || path != inHome {
		t.Fatalf("%q at %s", id, path)
	}
	if again, _ := idSetting("", home).ownID(); again != id {
		t.Errorf("another one: %q", again)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	if other, path := idSetting(state, home).ownID(); other == id || path != state+"/coltec/id" {
		t.Errorf("%q at %s", other, path)
	}
	// Never in a synced tree, and nothing in a dry run.
	if _, path := idSetting("", home, home).ownID(); strings.HasPrefix(path, home) {
		t.Errorf("in a synced tree: %s", path)
	}
	dry := idSetting(state, home)
	dry.runtime = ""
	if id, path := dry.ownID(); id != "" || path != "" {
		t.Errorf("dry: %q at %s", id, path)
	}
	// A home that is not there is not made.
	if _, path := idSetting("", home+"/none").ownID(); strings.HasPrefix(path, home) {
		t.Errorf("made %s", path)
	}
}

// What lies where the id should be and is none is left alone, and not waited for.
func TestOwnIDThatIsNone(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"garbage":     func(path string) error { return os.WriteFile(path, []byte("no id\n"), 0o600) },
		"empty":       func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"a link":      func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		state, home := t.TempDir(), t.TempDir()
		if err := os.Mkdir(state+"/coltec", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := make(state + "/coltec/id"); err != nil {
			t.Fatal(err)
		}
		if id, path := idSetting(state, home).ownID(); path != home+"/.local/state/coltec/id" || !isID(id) {
			t.Errorf("%s: %q at %s", name, id, path)
		}
	}
}
