package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/status"
)

// stopMargin is what coltecd may take beyond its timeout before it is taken for stuck: it
// kills what is left and writes its last lines.
const stopMargin = 5 * time.Second

func cmdStop(p *program) *cli.Command {
	return &cli.Command{
		Name:  "stop",
		Usage: "push what is pending, release the lease and stop everything",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "timeout", Aliases: []string{"t"}, Usage: "take at most this `DURATION`; the next machine is told what was not pushed", Value: daemon.StopTimeout},
		},
		Action: func(c *cli.Context) error {
			if c.Duration("timeout") <= 0 {
				return cmdline.Usage("--timeout must be more than 0")
			}
			path, err := p.findSpec(c)
			if err != nil {
				return err
			}
			i, ok, err := p.find(path)
			if err != nil {
				return err
			}
			if !ok {
				p.say("coltecd is not running: nothing was pushed")
				return nil
			}
			return p.stop(c.Context, i, c.Duration("timeout"))
		},
	}
}

// stop ends the instance: by its socket, by a signal when that does not answer,
// and by KILL when it is stuck. An error that is account.ErrOnlyHere says that it has
// ended, and what is not in the bucket; one that is account.ErrKept, that only the lease
// is left.
func (p *program) stop(ctx context.Context, i control.Instance, timeout time.Duration) error {
	began := time.Now()
	deadline := began.Add(timeout + stopMargin)
	asking, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := control.Dial(i.Socket).Stop(asking, control.StopRequest{Timeout: control.Duration(timeout)}, func(line string) { p.say("%s", line) })
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil, accounted(err):
	case !errors.Is(err, control.ErrStopping) && !errors.Is(err, control.ErrGone) && i.Alive():
		p.say("coltecd does not answer (%v), sending it a signal", err)
		signalInstance(i, syscall.SIGTERM)
	}
	gone, waiting := wait(ctx, deadline, func() bool { return !i.Alive() })
	switch {
	case waiting != nil:
		return waiting
	case !gone:
		return p.kill(ctx, i)
	}
	p.say("stopped")
	if err != nil && !accounted(err) {
		err = lastWords(i, began)
	}
	if err == nil {
		return nil
	}
	return hint.Wrap(err, "%s: %s start", account.Next(err), p.name)
}

// accounted reports whether err only names what a stop that came to its end has left.
func accounted(err error) bool {
	return errors.Is(err, account.ErrOnlyHere) || errors.Is(err, account.ErrKept)
}

// lastWords is what an instance that did not answer wrote about its end.
func lastWords(i control.Instance, began time.Time) error {
	doc, at, err := status.ReadFile(i.LogDir)
	if err != nil || doc.State != status.Stopped || at.Before(began.Add(-time.Second)) {
		return fmt.Errorf("%w, as far as is known: coltecd exited without reporting on its last push", account.ErrOnlyHere)
	}
	return status.OnlyHere(doc.Replicas)
}

// kill ends a stuck coltecd. Its keeper, which was told first that this is no
// crash, ends what is left of the units.
func (p *program) kill(ctx context.Context, i control.Instance) error {
	signalInstance(i, syscall.SIGTERM)
	signalProcess(i.PID, i.Start, syscall.SIGKILL)
	gone, err := wait(ctx, time.Now().Add(stopMargin), func() bool { return !i.Alive() })
	if err != nil {
		return err
	}
	if !gone {
		return fmt.Errorf("cannot stop coltecd (pid %d): it survives KILL", i.PID)
	}
	return hint.Wrap(fmt.Errorf("coltecd did not stop in time and was killed"),
		"what was not pushed is pushed after the next start; see %s", i.LogDir)
}

// wait looks until done says yes or the deadline is over.
func wait(ctx context.Context, deadline time.Time, done func() bool) (bool, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Now().After(deadline) {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-tick.C:
		}
	}
	return true, nil
}

// signalInstance signals the keeper, which passes it on, or coltecd itself.
func signalInstance(i control.Instance, sig syscall.Signal) {
	if !signalProcess(i.Keeper, i.KeeperStart, sig) {
		signalProcess(i.PID, i.Start, sig)
	}
}

// signalProcess signals pid if it is still the process that began at start: a
// pid is given again.
func signalProcess(pid int, start uint64, sig syscall.Signal) bool {
	if pid <= 0 || daemon.ProcStart(pid) != start {
		return false
	}
	proc, err := os.FindProcess(pid)
	return err == nil && proc.Signal(sig) == nil
}
