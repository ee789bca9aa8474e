package main

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

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/backoff"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/spec"
)

// keeper starts coltecd, and again when it crashes. It holds the seat with it,
// so that nobody takes the workspace in between, and it is a sub-reaper: what a
// killed coltecd leaves becomes the keeper's, and is ended before the next one
// starts. No unit ever runs twice.
type keeper struct {
	p       *program
	path    string
	only    []string
	seat    *control.Seat
	logDir  string
	signals chan os.Signal
	wake    chan os.Signal // SIGUSR1 from start: do not wait any longer
}

const (
	// leftGrace is what units of a crashed coltecd get before KILL: they
	// have no supervisor that they could block.
	// The workspace is back within 2 s, whatever they do.
	leftGrace = time.Second
	// healthyRun is how long a coltecd runs before a crash counts as the first.
	healthyRun = time.Minute
)

// restarts of a coltecd that crashes: soon at first, and never given up, because
// nobody is there to start it by hand.
var restarts = backoff.Policy{Base: 500 * time.Millisecond, Max: time.Minute, Factor: 2}

// cmdKeep is the keeper: not for people.
func cmdKeep(p *program) *cli.Command {
	return &cli.Command{
		Name:   "keep",
		Hidden: true,
		Flags:  []cli.Flag{onlyFlag()},
		Action: func(c *cli.Context) error {
			const pipe = 3 // see spawn
			return report(pipe, func(func() error) error { return p.keep(c, pipe) })
		},
	}
}

// keep runs coltecd until it ends in order. The first one reports to the pipe
// itself.
func (p *program) keep(c *cli.Context, pipe int) error {
	signal.Ignore(syscall.SIGHUP)
	path, sp, err := p.loadFor(c)
	if err != nil {
		return err
	}
	k, err := p.newKeeper(path, sp, c.StringSlice("only"))
	if err != nil {
		return err
	}
	defer k.seat.Leave()
	ready := os.NewFile(uintptr(pipe), "ready")
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
		if k.asked(restarts.Delay(attempt, nil) - time.Since(died)) {
			return nil
		}
		crashed = how
	}
}

func (p *program) newKeeper(path string, sp *spec.Spec, only []string) (*keeper, error) {
	k := &keeper{p: p, path: path, only: only, signals: make(chan os.Signal, 4), wake: make(chan os.Signal, 1)}
	var err error
	if k.logDir, err = p.logDir(path); err != nil {
		return nil, err
	}
	if err := undumpable(); err != nil {
		return nil, fmt.Errorf("cannot hide the environment: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("cannot become a sub-reaper: %w", err)
	}
	if k.seat, err = control.Take(p.place(path, sp)); err != nil {
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
	crash := crashFile(k.logDir, workspaceFolder(k.path))
	cmd := k.command(ready, crashed)
	cmd.Stdout, cmd.Stderr = crash, crash
	err := cmd.Start()
	if crashed != "" { // else start reads on until this process ends, see awaitBeginning
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
		case sig := <-k.signals:
			asked = true
			_ = cmd.Process.Signal(sig)
		}
	}
}

// command is the next coltecd.
func (k *keeper) command(ready *os.File, crashed string) *exec.Cmd {
	var fds []string
	for i := range k.seat.Files() {
		fds = append(fds, strconv.Itoa(4+i))
	}
	args := []string{"supervise", "--config", k.path, "--ready", "3", "--seat", strings.Join(fds, ",")}
	if crashed != "" {
		args = append(args, "--crashed", crashed)
	}
	cmd := exec.Command("/proc/self/exe", append(args, onlyArgs(k.only)...)...)
	cmd.Args[0] = k.p.name
	cmd.Env, cmd.Dir = k.p.environ, "/"
	cmd.ExtraFiles = append([]*os.File{ready}, k.seat.Files()...)
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
		dir := k.seat.Dir()
		defer saveLeft(dir, markOf(dir))()
	}
	endChildren(leftGrace)
}

// supervised tells whether a coltecd of this keeper came so far as to leave its
// note. One that did not has told start why.
func (k *keeper) supervised() bool {
	i, ok, err := control.Find(k.p.place(k.path, nil))
	return err == nil && ok && i.Keeper == os.Getpid()
}

// asked waits, but not when somebody runs start, and tells whether the end was
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
