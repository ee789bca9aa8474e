package agents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const apartVariable = "COLTEC_E2E_AGENTS_APART"

// apart runs this program once more, in a network of its own, where nothing but loopback is:
// no agent tells anybody of these runs, updates itself, or asks a real model. It reports
// whether it did; in the second run it does not. Where the kernel does not allow it, the
// agents are run with the network that there is, and that is said.
func apart() (code int, ran bool) {
	if os.Getenv(apartVariable) != "" {
		if err := loopback(); err != nil {
			fmt.Fprintln(os.Stderr, "no loopback:", err)
			return 1, true
		}
		return 0, false
	}
	runtime.LockOSThread() // the child ends with the thread that made it
	defer runtime.UnlockOSThread()
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), apartVariable+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		fmt.Println("agents: not in a network of their own:", err)
		return 0, false
	}
	err := cmd.Wait()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return cmd.ProcessState.ExitCode(), true
}

// machineVariable is in the environment of all that runs on a machine: its directory.
const machineVariable = "COLTEC_E2E_MACHINE"

// inside is how a program is run on a machine.
type inside struct {
	Mounts [][2]string // what is where, for it alone
	Dir    string      // in which it runs
	UID    int
	Argv   []string
}

// insideWord begins the arguments of this program where it is to become one of a machine.
const insideWord = "inside"

// command runs a program on the machine that is at hand.
func (w *world) command(ctx context.Context, argv []string) *exec.Cmd {
	w.t.Helper()
	in := inside{Mounts: [][2]string{{w.real(w.at, w.live()), w.live()}}, Dir: w.work(), UID: w.uid, Argv: argv}
	for i, dir := range agentsDirs {
		in.Mounts = append(in.Mounts, [2]string{dir, w.tools(i)})
	}
	text, err := json.Marshal(in)
	if err != nil {
		w.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, self, insideWord, string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS} // with mounts that nobody else sees
	cmd.WaitDelay = patience / 10                                          // what holds its output ends by then
	return cmd
}

// become is the other side of command: it returns with an error, or not at all.
func become(text string) error {
	var in inside
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return err
	}
	for _, m := range in.Mounts {
		if err := unix.Mount(m[0], m[1], "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %q: %w", m, err)
		}
	}
	if err := os.Chdir(in.Dir); err != nil {
		return err
	}
	if in.UID != os.Getuid() {
		if err := errors.Join(syscall.Setgroups([]int{in.UID}), syscall.Setgid(in.UID), syscall.Setuid(in.UID)); err != nil {
			return err
		}
	}
	return syscall.Exec(in.Argv[0], in.Argv, os.Environ())
}

// loopback turns on the one interface of a new network, and holds that it is the only one
// that works.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return err
	}
	all, err := net.Interfaces()
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			return fmt.Errorf("%s is there too", i.Name)
		}
	}
	return err
}
