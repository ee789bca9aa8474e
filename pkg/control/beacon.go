package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A beacon is a second lock and a second way to a coltecd, of which nothing lies in a file
// system: a socket with an abstract name. `rm -rf /tmp/*` takes the files, and whoever looks
// for them then comes by the beacon, has them made anew, and finds them.

// mendPatience is for how long one who came by the beacon waits for the files.
const mendPatience = 3 * time.Second

// beaconName is for those that see the same processes and the same files: two containers may
// share the names of one network.
func beaconName(spec string) string {
	sum := sha256.New()
	for _, part := range []string{spec, namespace("pid"), namespace("mnt")} {
		fmt.Fprintf(sum, "%s\x00", part)
	}
	return "@coltec-" + hex.EncodeToString(sum.Sum(nil)[:12])
}

func namespace(kind string) string {
	name, _ := os.Readlink("/proc/self/ns/" + kind)
	return name
}

// light takes the beacon of a spec, or fails with [ErrRunning]. There is none, and no error,
// where somebody whom we have no reason to believe has the name: the files count then.
func light(p Runtime) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot make a socket: %w", err)
	}
	name := beaconName(p.Spec)
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: name})
	if err == nil {
		err = unix.Listen(fd, unix.SOMAXCONN)
	}
	if err == nil {
		return os.NewFile(uintptr(fd), name), nil
	}
	unix.Close(fd)
	if pid, ok := lit(p); ok {
		return nil, running(Instance{PID: pid})
	}
	return nil, nil
}

// lit gives the process that has the beacon of a spec.
func lit(p Runtime) (pid int, ok bool) {
	c, err := net.DialTimeout("unix", beaconName(p.Spec), mendPatience)
	if err != nil {
		return 0, false
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, false
	}
	var who *unix.Ucred
	controlled := raw.Control(func(fd uintptr) { who, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if errors.Join(controlled, err) != nil || !slices.Contains(p.believed(), int(who.Uid)) {
		return 0, false
	}
	return int(who.Pid), true
}

// believed are the users whose coltecd counts as that of the workspace.
func (p Runtime) believed() []int {
	uids := []int{p.UID, 0}
	if owner, ok := p.owner(); ok {
		uids = append(uids, owner)
	}
	return uids
}

// byBeacon finds a coltecd whose files are gone, and has them made anew.
func byBeacon(p Runtime) (Instance, bool, error) {
	pid, ok := lit(p)
	if !ok {
		return Instance{}, false, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), mendPatience)
	defer cancel()
	_, _ = Dial(beaconName(p.Spec)).Status(ctx)
	i, ok, err := byFiles(p)
	if ok || err != nil {
		return i, ok, err
	}
	if _, ok = lit(p); !ok { // it ended meanwhile
		return Instance{}, false, nil
	}
	return Instance{PID: pid, Spec: p.Spec, Socket: beaconName(p.Spec), uid: p.UID}, true, nil
}

// beaconListener has the files made anew for each who comes.
type beaconListener struct {
	net.Listener
	mend func()
}

func (l beaconListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mend()
	}
	return c, err
}

// owner is the uid of the spec's owner.
func (p Runtime) owner() (uid int, ok bool) {
	for path := p.Spec; ; {
		info, err := os.Stat(path)
		if err == nil {
			return int(info.Sys().(*syscall.Stat_t).Uid), true
		}
		up := path[:max(strings.LastIndexByte(path, '/'), 0)]
		if up == "" {
			return 0, false
		}
		path = up // the spec may be gone at the moment
	}
}
