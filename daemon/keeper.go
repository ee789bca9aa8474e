package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/backoff"
	"github.com/coltec/coltec/pkg/control"
)

// keeper starts coltecd, and again when it crashes. It holds the lock with it,
// so that nobody takes the workspace in between, and it is a sub-reaper: what a
// killed coltecd leaves becomes the keeper's, and is ended before the next one
// starts. No unit ever runs twice.
type keeper struct {
	o       Options
	args    func(o Options, lock, crashed string) []string
	lock    *control.Lock
	signals chan os.Signal
	wake    chan os.Signal // SIGUSR1 from start: do not wait any longer
}

// healthyRun is how long a coltecd runs before a crash counts as the first.
const healthyRun = time.Minute

// restarts of a coltecd that crashes: soon at first, and never given up, because
// nobody is there to start it by hand.
var restarts = backoff.Policy{Base: 500 * time.Millisecond, Max: time.Minute, Factor: 2}

// pauseBefore is how long to wait before a coltecd is started again, where what the last
// one has left took so long to end: that time counts.
func pauseBefore(attempt int, since time.Duration) time.Duration {
	return max(0, restarts.Delay(attempt, nil)-since)
}

// Keep runs coltecd until it ends in order. The first one reports to ready itself. args
// are those of a coltecd that learns from them how the one before it ended, and which of
// its descriptors are the lock.
func Keep(o Options, ready *os.File, args func(o Options, lock, crashed string) []string) error {
	k, err := newKeeper(o, args)
	if err != nil {
		return err
	}
	defer k.lock.Release()
	crashed := ""
	for attempt := 0; ; attempt++ {
		began := time.Now()
		how, asked := k.once(ready, crashed)
		first := ready != nil
		ready = nil
		died := time.Now()
		k.endLeft(how)
		if how == "" || asked || first && time.Since(began) < healthyRun && !k.supervised() {
			return nil
		}
		if time.Since(began) > healthyRun {
			attempt = 0
		}
		if k.asked(pauseBefore(attempt, time.Since(died))) {
			return nil
		}
		crashed = how
	}
}

func newKeeper(o Options, args func(o Options, lock, crashed string) []string) (*keeper, error) {
	k := &keeper{o: o, args: args, signals: make(chan os.Signal, 4), wake: make(chan os.Signal, 1)}
	if _, err := o.LogDir(); err != nil {
		return nil, err
	}
	if err := HideEnvironment(); err != nil {
		return nil, fmt.Errorf("cannot hide the environment: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("cannot become a sub-reaper: %w", err)
	}
	var err error
	if k.lock, err = control.Acquire(o.Runtime()); err != nil {
		return nil, err
	}
	signal.Notify(k.signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(k.wake, syscall.SIGUSR1)
	return k, nil
}

// once runs one coltecd to its end. how is empty for an end in order; asked
// says that a signal to the keeper asked for it.
func (k *keeper) once(ready *os.File, crashed string) (how string, asked bool) {
	if ready == nil {
		ready, _ = os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	crash, _ := k.o.CrashFile() // newKeeper has seen that it has a place
	cmd := k.command(ready, crashed)
	cmd.Stdout, cmd.Stderr = crash, crash
	err := cmd.Start()
	if crashed != "" { // else start reads on until this process ends, see awaitReport
		ready.Close()
	}
	crash.Close()
	if err != nil {
		return err.Error(), false
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	slim()
	for {
		select {
		case err := <-ended:
			return ending(err), asked
		case <-k.signals:
			asked = true
			_ = cmd.Process.Signal(handedOn)
			_ = cmd.Process.Signal(syscall.SIGCONT) // who stands still gets no other
		}
	}
}

// command is the next coltecd.
func (k *keeper) command(ready *os.File, crashed string) *exec.Cmd {
	var fds []string
	for i := range k.lock.Files() {
		fds = append(fds, strconv.Itoa(4+i))
	}
	cmd := exec.Command("/proc/self/exe", k.args(k.o, strings.Join(fds, ","), crashed)...)
	cmd.Args[0] = k.o.Name
	cmd.Env, cmd.Dir = k.o.Environ, "/"
	cmd.ExtraFiles = append([]*os.File{ready}, k.lock.Files()...)
	return cmd
}

// ending says how a coltecd ended, if not in order.
func ending(err error) string {
	var exited *exec.ExitError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &exited):
		return exited.ProcessState.String()
	default:
		return err.Error()
	}
}

// endLeft ends what a coltecd has left. The output of what a killed one has left
// is saved for the next.
func (k *keeper) endLeft(how string) {
	if how != "" {
		dir := k.lock.Dir()
		defer saveLeft(dir, markOf(dir))()
	}
	endChildren(LeftGrace)
}

// supervised reports whether a coltecd of this keeper came so far as to write where it
// is. One that did not has told start why.
func (k *keeper) supervised() bool {
	i, ok, err := control.Find(k.o.Runtime())
	return err == nil && ok && i.Keeper == os.Getpid()
}

// asked waits, but not when somebody runs start, and reports whether the end was
// asked for meanwhile.
func (k *keeper) asked(delay time.Duration) bool {
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-k.wake: // of a start while there was nothing to wait for
	default:
	}
	select {
	case <-k.signals:
		return true
	case <-k.wake:
		return false
	case <-t.C:
		return false
	}
}
