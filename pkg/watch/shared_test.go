package watch

import (
	"encoding/binary"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A file system on which others change files without an event is known by name, and
// is watched as any other.
func TestShared(t *testing.T) {
	if got := Shared("/proc"); got != "" {
		t.Errorf("/proc is on %s", got)
	}
	l := &lab{t: t, root: t.TempDir(), changed: make(chan telling, 1000), trouble: make(chan error, 1000)}
	mountFuse(t, l.root)
	if got := Shared(l.root); got != "fuse" {
		t.Errorf("a FUSE file system is taken for %q", got)
	}
	l.run(20*time.Millisecond, time.Second)
}

// mountFuse mounts an empty directory that this process answers for.
func mountFuse(t *testing.T, at string) {
	t.Helper()
	dev, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Mount("fuse", at, "fuse", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", dev))
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("cannot mount a FUSE file system: %v", err)
		}
		t.Skipf("cannot mount a FUSE file system, which takes root and /dev/fuse: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		answerFuse(dev)
	}()
	t.Cleanup(func() {
		_ = unix.Unmount(at, unix.MNT_DETACH)
		<-done
		unix.Close(dev)
	})
}

// answerFuse answers what the kernel asks of an empty directory, until it is
// unmounted. The numbers are those of linux/fuse.h.
func answerFuse(dev int) {
	le := binary.LittleEndian
	attr := make([]byte, 104)
	le.PutUint64(attr[16:], 1)                  // inode
	le.PutUint32(attr[76:], unix.S_IFDIR|0o755) // mode
	le.PutUint32(attr[80:], 2)                  // links
	init := make([]byte, 24)
	le.PutUint32(init, 7) // the protocol's version, an old one: it is short
	le.PutUint32(init[4:], 12)
	le.PutUint32(init[20:], 4096) // most of a write
	answers := map[uint32][]byte{3: attr, 17: make([]byte, 80), 26: init, 27: make([]byte, 16), 28: {}, 29: {}}
	request := make([]byte, 1<<17)
	for {
		n, err := unix.Read(dev, request)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n < 40 {
			return
		}
		opcode, id := le.Uint32(request[4:]), request[8:16]
		answer, known := answers[opcode]
		reply := make([]byte, 8, 16+len(answer))
		if !known {
			le.PutUint32(reply[4:], ^uint32(unix.ENOSYS)+1) // also where none is wanted: it is refused then
		}
		reply = append(append(reply, id...), answer...)
		le.PutUint32(reply, uint32(len(reply)))
		_, _ = unix.Write(dev, reply)
	}
}
