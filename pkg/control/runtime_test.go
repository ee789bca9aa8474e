package control

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/hint"
)

// place is a Runtime below a short temporary directory.
func place(t *testing.T, name string) Runtime {
	t.Helper()
	tmp, err := os.MkdirTemp("/tmp", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	return Runtime{Workspace: "acme/widget/" + name, Spec: filepath.Join(tmp, name, "spec.yaml"), Tmp: tmp, UID: os.Getuid()}
}

// listen gives the beacon's listener, and closes all in the end.
func listen(t *testing.T, s *Lock) <-chan net.Listener {
	t.Helper()
	beacon := make(chan net.Listener, 1)
	must(t, s.Listen(func(l net.Listener) {
		t.Cleanup(func() { l.Close() })
		if _, ok := l.(beaconListener); ok {
			beacon <- l
		}
	}, func(err error) { t.Error(err) }))
	return beacon
}

func take(t *testing.T, p Runtime) *Lock {
	t.Helper()
	s, err := Acquire(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestIDsDiffer(t *testing.T) {
	ids := map[string]Runtime{}
	for _, p := range []Runtime{
		{Workspace: "a/b/c", Spec: "/w/spec"},
		{Workspace: "a/b/d", Spec: "/w/spec"},
		{Workspace: "a/b/c", Spec: "/x/spec"},
		{Workspace: "a/b", Spec: "c/w/spec"},
	} {
		id := p.ID()
		if old, ok := ids[id]; ok || len(id) != 12 {
			t.Errorf("ID(%+v) = %q, also of %+v", p, id, old)
		}
		ids[id] = p
	}
}

func TestDirs(t *testing.T) {
	p := place(t, "dirs")
	xdg := filepath.Join(p.Tmp, "xdg")
	if err := os.Mkdir(xdg, 0o755); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(p.Tmp, strings.Repeat("x", 80))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	inXDG := filepath.Join(xdg, "coltec", p.ID())
	inTmp := filepath.Join(p.Tmp, "coltec-"+itoa(p.UID), p.ID())
	tests := map[string]struct {
		change func(*Runtime)
		want   []string
	}{
		"no XDG_RUNTIME_DIR":          {func(*Runtime) {}, []string{inTmp}},
		"an XDG_RUNTIME_DIR":          {func(p *Runtime) { p.XDG = xdg }, []string{inXDG, inTmp}},
		"one that is missing":         {func(p *Runtime) { p.XDG = xdg + "/none" }, []string{inTmp}},
		"one of another user":         {func(p *Runtime) { p.XDG = "/proc/1" }, []string{inTmp}},
		"one too long for a socket":   {func(p *Runtime) { p.XDG = long }, []string{inTmp}},
		"one in a synced tree":        {func(p *Runtime) { p.XDG, p.Avoid = xdg, []string{xdg} }, []string{inTmp}},
		"all in a synced tree":        {func(p *Runtime) { p.XDG, p.Avoid = xdg, []string{p.Tmp} }, nil},
		"a tree that is beside it":    {func(p *Runtime) { p.Avoid = []string{p.Tmp + "/coltec"} }, []string{inTmp}},
		"the tree is /, nothing left": {func(p *Runtime) { p.Avoid = []string{"/"} }, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := p
			tt.change(&p)
			if p.XDG == "/proc/1" && p.UID == 0 {
				p.XDG = "/nonexistent" // root owns /proc/1
			}
			if diff := cmp.Diff(tt.want, p.dirs()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func itoa(n int) string {
	b := []byte{}
	for ; n > 0 || len(b) == 0; n /= 10 {
		b = append([]byte{byte('0' + n%10)}, b...)
	}
	return string(b)
}

func TestAcquireRefusesWhatIsNotPrivate(t *testing.T) {
	tests := map[string]struct {
		prepare    func(t *testing.T, base string)
		want, hint string
	}{
		"accessible to others": {
			func(t *testing.T, base string) { must(t, os.Mkdir(base, 0o700)); must(t, os.Chmod(base, 0o755)) },
			"others have access to it (mode 0755)", "run: chmod 700 ",
		},
		"a file": {
			func(t *testing.T, base string) { must(t, os.WriteFile(base, nil, 0o600)) },
			"it is not a directory", "remove it, or set XDG_RUNTIME_DIR",
		},
		"a link to a directory": {
			func(t *testing.T, base string) { must(t, os.Symlink(t.TempDir(), base)) },
			"it is not a directory", "remove it, or set XDG_RUNTIME_DIR",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := place(t, "p")
			base := p.bases()[0]
			tt.prepare(t, base)
			err := Private(base, p.UID, "XDG_RUNTIME_DIR")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
			if hints := hint.Of(err); len(hints) != 1 || !strings.HasPrefix(hints[0], tt.hint) {
				t.Errorf("hints %q, want %q", hints, tt.hint)
			}
		})
	}
	t.Run("another user's", func(t *testing.T) {
		p := place(t, "p")
		take(t, p)
		err := Private(p.bases()[0], p.UID+1, "XDG_RUNTIME_DIR")
		if err == nil || !strings.Contains(err.Error(), "it belongs to uid") {
			t.Errorf("got %v", err)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLock(t *testing.T) {
	p := place(t, "lock")
	p.XDG = p.Tmp
	s := take(t, p)
	(<-listen(t, s)).Close()
	must(t, s.WriteInstance(Instance{PID: 42, Spec: p.Spec, Workspace: p.Workspace}))

	i, ok, err := Find(p)
	if err != nil || !ok || i.PID != 42 || i.Socket != s.socket() {
		t.Errorf("Find = %+v, %v, %v", i, ok, err)
	}
	if _, err := Acquire(p); !errors.Is(err, ErrRunning) || err.Error() != "already running (pid 42)" {
		t.Errorf("second Take: %v", err)
	}
	// Who has no XDG_RUNTIME_DIR meets who has one.
	bare := p
	bare.XDG = ""
	if _, err := Acquire(bare); !errors.Is(err, ErrRunning) {
		t.Errorf("Take without XDG_RUNTIME_DIR: %v", err)
	}
	// A spec that was renamed under a running coltecd still finds it.
	renamed := p
	renamed.Workspace = "acme/other/x"
	if _, ok, _ := Find(renamed); !ok {
		t.Error("Find does not find a coltecd whose spec names another workspace by now")
	}
	if _, err := Acquire(renamed); !errors.Is(err, ErrRunning) {
		t.Errorf("Take under another name: %v", err)
	}
	// Another workspace is another lock.
	other := p
	other.Spec += "2"
	if _, ok, _ := Find(other); ok {
		t.Error("Find finds another's coltecd")
	}
	take(t, other)

	s.Release()
	if i.Alive() {
		t.Error("Alive after Leave")
	}
	if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Leave leaves %s: %v", s.Dir(), err)
	}
	take(t, p)
}

// A killed coltecd's files are no lock: only a flock is.
func TestStaleFilesAreNoInstance(t *testing.T) {
	p := place(t, "stale")
	s := take(t, p)
	must(t, s.WriteInstance(Instance{PID: os.Getpid(), Spec: p.Spec}))
	open := listen(t, s)
	s.Close()
	(<-open).Close() // its beacon goes with it; the socket still answers, and yet:
	if i, ok, err := Find(p); ok || err != nil {
		t.Errorf("Find = %+v, %v", i, err)
	}
	again := take(t, p)
	listen(t, again)
	if info, err := os.Stat(again.socket()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}
}

func TestInherit(t *testing.T) {
	p := place(t, "inherit")
	s := take(t, p)
	fd, err := unix.Dup(int(s.Files()[0].Fd()))
	must(t, err)
	heir, err := Inherit(uintptr(fd))
	must(t, err)
	defer heir.Close()
	s.Close() // the keeper dies, its coltecd still has the lock
	if heir.socket() != s.socket() {
		t.Errorf("socket %q, want %q", heir.socket(), s.socket())
	}
	if _, err := Acquire(p); !errors.Is(err, ErrRunning) {
		t.Errorf("Take beside an heir: %v", err)
	}
	if _, err := Inherit(0); err == nil {
		t.Error("Inherit takes standard input for a lock")
	}
}

// A stop and a start in one line met: the lock has two directories, and start
// found the one that was not yet removed.
func TestReleaseIsSeenAtOnce(t *testing.T) {
	p := place(t, "leave")
	p.XDG = filepath.Join(p.Tmp, "xdg")
	if err := os.Mkdir(p.XDG, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		s := take(t, p)
		(<-listen(t, s)).Close()
		if err := s.WriteInstance(Instance{PID: os.Getpid(), Spec: p.Spec}); err != nil {
			t.Fatal(err)
		}
		i, ok, err := Find(p)
		if err != nil || !ok {
			t.Fatalf("Find: %v, %v", ok, err)
		}
		done := make(chan struct{})
		go func() { defer close(done); s.Release() }()
		for i.Alive() {
		}
		if _, ok, err := Find(p); ok || err != nil {
			t.Fatalf("who waited for the end finds another: %v, %v", ok, err)
		}
		<-done
	}
}

// Whatever is removed of what a coltecd is found by is there again for whoever looks, and
// nobody takes its place meanwhile.
func TestWhatIsRemovedIsMadeAnew(t *testing.T) {
	for _, name := range []string{"", "sock", "instance.json", "lock"} {
		t.Run("without "+name, func(t *testing.T) {
			p := place(t, "anew")
			s := take(t, p)
			server := NewServer(&fake{}, slog.New(slog.DiscardHandler))
			must(t, s.Listen(func(l net.Listener) { _ = server.Serve(l) }, func(err error) { t.Error(err) }))
			defer server.Close()
			must(t, s.WriteInstance(Instance{PID: 7, Spec: p.Spec}))
			for range 2 {
				must(t, os.RemoveAll(filepath.Join(s.Dir(), name)))
				if _, err := Acquire(p); !errors.Is(err, ErrRunning) {
					t.Fatalf("another takes the place: %v", err)
				}
				i, ok, err := Find(p)
				if err != nil || !ok || i.PID != 7 || !i.Alive() {
					t.Fatalf("Find: %+v, %v, %v", i, ok, err)
				}
				if _, err := Dial(i.Socket).Status(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			server.Close()
			s.Release()
			if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("it leaves %s: %v", s.Dir(), err)
			}
			take(t, p)
		})
	}
}

// The files of one that runs now stay where one ends whose own were removed.
func TestReleaseLeavesAnothersFiles(t *testing.T) {
	p := place(t, "others")
	s := take(t, p)
	must(t, os.RemoveAll(s.Dir()))
	other, err := takeLock(s.Dir(), p.UID) // as a coltecd without a beacon takes it
	must(t, err)
	defer other.Close()
	s.Release()
	if _, err := os.Stat(other.Name()); err != nil {
		t.Error(err)
	}
}

// A stranger's socket of that name neither keeps a coltecd from running nor is taken for one.
func TestAnotherUsersBeacon(t *testing.T) {
	sample.Long(t)
	if os.Getuid() != 0 {
		t.Skip("needs two users")
	}
	p := place(t, "squatted")
	cmd := exec.Command("/usr/bin/python3", "-c", `import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind("\0" + sys.argv[1]); s.listen(); print(flush=True); sys.stdin.read()`, beaconName(p.Spec)[1:])
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer func() { in.Close(); _ = cmd.Wait() }()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if i, ok, err := Find(p); ok || err != nil {
		t.Errorf("Find = %+v, %v", i, err)
	}
	s := take(t, p)
	must(t, s.WriteInstance(Instance{PID: 7, Spec: p.Spec}))
	listen(t, s)
	if i, ok, err := Find(p); !ok || err != nil || i.PID != 7 {
		t.Errorf("Find = %+v, %v, %v", i, ok, err)
	}
}
