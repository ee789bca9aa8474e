package control

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/wholefile"
)

const (
	// maxSocketPath is what the smallest of the kernels we may be talked to
	// from (macOS, over a shared directory) takes for a socket's path.
	maxSocketPath = 103

	lockName     = "lock"
	instanceName = "instance.json"
	instanceMost = 64 << 10 // some paths
	socketName   = "sock"

	// lockPatience outlasts a Find that holds a lock for the instant it looks.
	lockPatience = 300 * time.Millisecond
)

// ErrRunning: a coltecd of this workspace has the lock.
var ErrRunning = errors.New("already running")

// Runtime is where a workspace's runtime files are.
//
// The lock is taken in every directory of dirs, because a hook and a login
// shell may disagree about XDG_RUNTIME_DIR and must still meet; the socket is
// in the first of them.
type Runtime struct {
	Workspace string // org/project/env
	Spec      string // absolute path of the spec
	XDG       string // $XDG_RUNTIME_DIR, may be empty
	Tmp       string // normally /tmp
	UID       int
	Avoid     []string // synced trees: never a runtime file in there
}

// ID is short and differs between two workspaces on one machine, and between
// two copies of one workspace.
func (p Runtime) ID() string {
	sum := sha256.Sum256([]byte(p.Workspace + "\x00" + p.Spec))
	return hex.EncodeToString(sum[:6])
}

// bases are the directories that hold one directory per workspace, the
// preferred one first.
func (p Runtime) bases() []string {
	var bases []string
	if p.XDG != "" && ownedBy(p.XDG, p.UID) {
		bases = append(bases, filepath.Join(p.XDG, "coltec"))
	}
	return append(bases, filepath.Join(p.Tmp, fmt.Sprintf("coltec-%d", p.UID)))
}

// dirs are the runtime directories that may be used: short enough for a
// socket, and in no synced tree.
func (p Runtime) dirs() []string {
	var dirs []string
	for _, base := range p.bases() {
		dir := filepath.Join(base, p.ID())
		if len(filepath.Join(dir, socketName)) <= maxSocketPath && !p.Synced(dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// Synced reports whether dir lies in a synced tree.
func (p Runtime) Synced(dir string) bool {
	for _, tree := range p.Avoid {
		if rel, err := filepath.Rel(tree, dir); err == nil && filepath.IsLocal(rel) {
			return true
		}
	}
	return false
}

// searched is where Find looks: also in the place of the spec's owner, so that
// root sees the coltecd that a container's user runs.
func (p Runtime) searched() []string {
	bases := p.bases()
	if owner, ok := p.owner(); ok && p.UID == 0 && owner != p.UID {
		bases = append(bases, filepath.Join(p.Tmp, fmt.Sprintf("coltec-%d", owner)))
	}
	return bases
}

func ownedBy(dir string, uid int) bool {
	info, err := os.Stat(dir)
	return err == nil && info.IsDir() && int(info.Sys().(*syscall.Stat_t).Uid) == uid
}

// Instance is what a running coltecd writes beside its lock, for clients.
type Instance struct {
	PID         int       `json:"pid"`
	Start       uint64    `json:"start"`            // of PID, in ticks since the boot: a pid is given again
	Keeper      int       `json:"keeper,omitempty"` // the process that starts PID again when it crashes
	KeeperStart uint64    `json:"keeper_start,omitempty"`
	Spec        string    `json:"spec"`
	Workspace   string    `json:"workspace"`
	Socket      string    `json:"socket"`
	LogDir      string    `json:"log_dir"`
	Version     string    `json:"version"`
	Since       time.Time `json:"since"`

	dir string // where it was found
	uid int    // who looked
}

// Find looks for the coltecd of the spec at p.Spec, whatever workspace that
// spec names by now: a spec that was broken or renamed under a running coltecd
// still finds it. What counts is the lock, never an answer on the socket. Files that were
// removed under it are there again when it is found.
func Find(p Runtime) (Instance, bool, error) {
	i, ok, err := byFiles(p)
	if err != nil || ok && exists(i.Socket) {
		return i, ok, err
	}
	if lit, found, err := byBeacon(p); found || err != nil {
		return lit, found, err
	}
	return i, ok, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// byFiles looks in the runtime directories.
func byFiles(p Runtime) (Instance, bool, error) {
	for _, base := range p.searched() {
		entries, err := os.ReadDir(base)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Instance{}, false, fmt.Errorf("cannot look for a running coltecd: %w", err)
		}
		for _, e := range entries {
			dir := filepath.Join(base, e.Name())
			i, err := readInstance(dir)
			if err == nil && i.Spec == p.Spec && held(dir) {
				i.uid = p.UID
				return i, true, nil
			}
		}
	}
	return Instance{}, false, nil
}

// Alive reports whether the instance still has its lock.
func (i Instance) Alive() bool {
	if i.dir != "" && held(i.dir) {
		return true
	}
	_, ok := lit(Runtime{Spec: i.Spec, UID: i.uid})
	return ok
}

func readInstance(dir string) (Instance, error) {
	i := Instance{dir: dir}
	b, err := wholefile.Read(filepath.Join(dir, instanceName), instanceMost)
	if err == nil {
		err = json.Unmarshal(b, &i)
	}
	return i, err
}

// held reports whether somebody has the lock in dir.
func held(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// Lock is the right to be the one coltecd of a workspace. It lasts as long as
// a process has one of its files open: a keeper and its coltecd share it.
type Lock struct {
	beacon *os.File // nil: somebody else has the name
	uid    int

	mu       sync.Mutex
	locks    []*os.File // one per directory, the socket's first
	instance []byte     // as it was written
}

// Acquire locks the workspace, or fails with [ErrRunning].
func Acquire(p Runtime) (*Lock, error) {
	if i, ok, err := Find(p); err != nil || ok {
		return nil, errors.Join(err, running(i))
	}
	beacon, err := light(p)
	if err != nil {
		return nil, err
	}
	s := &Lock{beacon: beacon, uid: p.UID}
	dirs := p.dirs()
	if len(dirs) == 0 {
		s.Close()
		return nil, hint.Wrap(
			fmt.Errorf("cannot find a place for the socket: %s", join(p.bases())),
			"set XDG_RUNTIME_DIR to a short path outside every synced tree")
	}
	for _, dir := range dirs {
		lock, err := takeLock(dir, p.UID)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.locks = append(s.locks, lock)
	}
	return s, nil
}

func running(i Instance) error {
	if i.PID == 0 {
		return ErrRunning
	}
	return fmt.Errorf("%w (pid %d)", ErrRunning, i.PID)
}

// Inherit is the lock whose files a parent process handed over at these
// descriptors.
func Inherit(fds ...uintptr) (*Lock, error) {
	s := &Lock{uid: os.Getuid()}
	for _, fd := range fds {
		name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		name = strings.TrimSuffix(name, " (deleted)")
		unix.CloseOnExec(int(fd))
		switch {
		case err == nil && strings.HasPrefix(name, "socket:"):
			s.beacon = os.NewFile(fd, name)
		case err == nil && filepath.Base(name) == lockName:
			s.locks = append(s.locks, os.NewFile(fd, name))
		default:
			return nil, fmt.Errorf("internal error: descriptor %d is not a lock (%q)", fd, name)
		}
	}
	return s, nil
}

// takeLock makes dir if need be and locks it.
func takeLock(dir string, uid int) (*os.File, error) {
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := Private(d, uid, "XDG_RUNTIME_DIR"); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(dir, lockName)
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(10 * time.Millisecond) {
		f, err := lockFile(path)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, ErrRunning) || time.Now().After(deadline) {
			return nil, err
		}
	}
}

// lockFile opens and locks path, and makes sure that the file is still the one
// of that name: Release removes the file while it has the lock.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrNotExist) { // the directory was removed just now
		return nil, ErrRunning
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			i, _ := readInstance(filepath.Dir(path))
			return nil, running(i)
		}
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	mine, err1 := f.Stat()
	now, err2 := os.Stat(path)
	if err1 != nil || err2 != nil || !os.SameFile(mine, now) {
		f.Close()
		return nil, ErrRunning
	}
	return f, nil
}

// Private makes dir 0700 if it is missing, and refuses one that others could
// have put there or could look into. variable is the one that names another place.
func Private(dir string, uid int, variable string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot make the runtime directory: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("cannot look at the runtime directory: %w", err)
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	switch {
	case !info.IsDir():
		err = fmt.Errorf("cannot use the runtime directory %q: it is not a directory", dir)
	case owner != uid:
		err = fmt.Errorf("cannot use the runtime directory %q: it belongs to uid %d, not to uid %d", dir, owner, uid)
	case info.Mode().Perm()&0o077 != 0:
		return hint.Wrap(
			fmt.Errorf("cannot use the runtime directory %q: others have access to it (mode %04o)", dir, info.Mode().Perm()),
			"run: chmod 700 %s", hint.Word(dir))
	default:
		return nil
	}
	return hint.Wrap(err, "remove it, or set %s to a directory of your own", variable)
}

// Files are the locks, to be handed to a child (see [Inherit]).
func (s *Lock) Files() []*os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.beacon == nil {
		return slices.Clone(s.locks)
	}
	return append(slices.Clone(s.locks), s.beacon)
}

// Dir is the directory with the socket.
func (s *Lock) Dir() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dir()
}

func (s *Lock) dir() string { return filepath.Dir(s.locks[0].Name()) }

// socket is the path of the socket.
func (s *Lock) socket() string { return filepath.Join(s.dir(), socketName) }

// WriteInstance writes where this coltecd is, for clients, in each directory of the lock.
func (s *Lock) WriteInstance(i Instance) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i.Socket = s.socket()
	b, err := json.Marshal(i)
	if err != nil {
		return err
	}
	s.instance = b
	for n := range s.locks {
		if err := s.writeInstance(n); err != nil {
			return err
		}
	}
	return nil
}

// writeInstance writes it to one of the directories.
func (s *Lock) writeInstance(n int) error {
	path := filepath.Join(filepath.Dir(s.locks[n].Name()), instanceName)
	if err := wholefile.Write(path, s.instance, 0o600, wholefile.Volatile); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// Listen opens the socket, 0600, and the beacon, and has them served, each in a goroutine of
// its own. A socket that a crashed coltecd left is replaced: the lock is ours. Files that are
// removed later are made anew for whoever misses them, and failed is told where that cannot be.
func (s *Lock) Listen(serve func(net.Listener), failed func(error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.locks {
		if err := s.relock(n); err != nil {
			return err
		}
	}
	l, err := s.listen()
	if err != nil {
		return err
	}
	if s.beacon != nil {
		beacon, err := net.FileListener(s.beacon)
		if err != nil {
			l.Close()
			return fmt.Errorf("cannot listen: %w", err)
		}
		go serve(beaconListener{beacon, func() {
			if err := s.mend(serve); err != nil {
				failed(err)
			}
		}})
	}
	go serve(l)
	return nil
}

func (s *Lock) listen() (net.Listener, error) {
	path := s.socket()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot replace the socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	return l, nil
}

// mend makes the files anew that are missing.
func (s *Lock) mend(serve func(net.Listener)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.locks {
		if err := s.relock(n); err != nil {
			return err
		}
		if s.instance != nil && !exists(filepath.Join(filepath.Dir(s.locks[n].Name()), instanceName)) {
			if err := s.writeInstance(n); err != nil {
				return err
			}
		}
	}
	if exists(s.socket()) {
		return nil
	}
	l, err := s.listen()
	if err == nil {
		go serve(l)
	}
	return err
}

// relock takes the lock of a directory again where its file is gone.
func (s *Lock) relock(n int) error {
	path := s.locks[n].Name()
	if s.owns(n) {
		return nil
	}
	f, err := takeLock(filepath.Dir(path), s.uid)
	if err != nil {
		return fmt.Errorf("cannot make %s again, which was removed: %w", path, err)
	}
	s.locks[n].Close()
	s.locks[n] = f
	return nil
}

// owns reports whether what lies at the name of a lock is that lock.
func (s *Lock) owns(n int) bool {
	mine, err1 := s.locks[n].Stat()
	there, err2 := os.Lstat(s.locks[n].Name())
	return err1 == nil && err2 == nil && os.SameFile(mine, there)
}

// Release removes the runtime directories and gives the lock up.
func (s *Lock) Release() {
	s.mu.Lock()
	// The instance files first: nobody may find one directory of a lock whose other
	// one is gone. The socket's directory last: it is what clients wait for.
	var own []string
	for n, lock := range s.locks {
		if s.owns(n) {
			dir := filepath.Dir(lock.Name())
			_ = os.Remove(filepath.Join(dir, instanceName))
			own = append(own, dir)
		}
	}
	for _, dir := range slices.Backward(own) {
		// Ours and private: nothing else is in there. What cannot be removed
		// does no harm, the lock is what counts.
		_ = os.RemoveAll(dir)
	}
	s.mu.Unlock()
	s.Close()
}

// Close gives this process's part of the lock up and leaves the files.
func (s *Lock) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, lock := range s.locks {
		lock.Close()
	}
	if s.beacon != nil {
		s.beacon.Close()
	}
}

func join(names []string) string { return strings.Join(names, ", ") }
