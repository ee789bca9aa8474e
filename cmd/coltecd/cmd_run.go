package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/spec"
)

func onlyFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "only", Usage: "run nothing but the unit or replica `NAME` (may be repeated)"}
}

func cmdRun(p *program) *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "supervise in the foreground",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "once", Usage: "restore, push what is pending, release the lease, and end; no services"},
			&cli.BoolFlag{Name: "dry-run", Usage: "show what would be done and change nothing"},
			onlyFlag(),
		},
		Action: func(c *cli.Context) error {
			if p.saidDisabled() {
				return nil
			}
			path, sp, err := p.loadFor(c)
			if err != nil {
				return err
			}
			only := c.StringSlice("only")
			switch {
			case c.Bool("dry-run"):
				return p.dryRun(c.Context, path, sp, only, c.Bool("once"))
			case c.Bool("once"):
				return p.once(c.Context, path, sp, only)
			}
			return p.foreground(path, sp, only)
		},
	}
}

// saidDisabled tells whether COLTEC_DISABLED is set, and says so.
func (p *program) saidDisabled() bool {
	if p.disabled() {
		p.say("disabled by COLTEC_DISABLED: nothing is done")
	}
	return p.disabled()
}

// loadFor finds and reads the spec and checks --only against it.
func (p *program) loadFor(c *cli.Context) (string, *spec.Spec, error) {
	path, err := p.findSpec(c)
	if err != nil {
		return "", nil, err
	}
	sp, err := loadSpec(path)
	if err != nil {
		return "", nil, err
	}
	if err := sp.ApplyEnvironment(p.lookup); err != nil {
		return "", nil, exit{Code: codeUsage, Cause: err}
	}
	known := runnable(sp)
	for _, name := range c.StringSlice("only") {
		if !slices.Contains(known, name) {
			return "", nil, hint.Wrap(cmdline.Usage("no unit or replica %q in %s", name, path), "known names: %s", strings.Join(known, ", "))
		}
	}
	return path, sp, nil
}

// runnable are the names that --only takes.
func runnable(sp *spec.Spec) []string {
	var names []string
	for _, r := range sp.Replicas() {
		names = append(names, r.Name)
	}
	for _, m := range sp.Mountpoints() {
		names = append(names, m.Name)
	}
	for _, s := range sp.Services {
		names = append(names, s.Name)
	}
	return names
}

// take takes the workspace's seat.
func (p *program) take(path string, sp *spec.Spec) (*control.Seat, error) {
	seat, err := control.Take(p.place(path, sp))
	if errors.Is(err, control.ErrRunning) {
		return nil, hint.Wrap(fmt.Errorf("cannot run: coltecd is %w for %s", err, path), "see %s status, or %s stop", p.name, p.name)
	}
	return seat, err
}

// foreground is coltecd without a keeper, until a signal or `stop`.
func (p *program) foreground(path string, sp *spec.Spec, only []string) error {
	seat, err := p.take(path, sp)
	if err != nil {
		return err
	}
	defer seat.Leave()
	d, err := newDaemon(p, path, sp, seat, daemonOptions{only: only, foreground: true})
	if err != nil {
		return err
	}
	err = d.run(func() error { return d.leaveNote(0) })
	left := d.leaves()
	if errors.Is(err, errAtOnce) {
		endChildren(0)
		err = cmp.Or(left, err)
		return exit{Code: codeOf(err), Cause: err} // it was the second signal, whichever the first was
	}
	return account.Join(err, left)
}

// cmdSupervise is coltecd below its keeper: not for people.
func cmdSupervise(p *program) *cli.Command {
	return &cli.Command{
		Name:   "supervise",
		Hidden: true,
		Flags: []cli.Flag{
			onlyFlag(),
			&cli.StringFlag{Name: "seat"},    // descriptors of the locks
			&cli.IntFlag{Name: "ready"},      // descriptor to report to
			&cli.StringFlag{Name: "crashed"}, // how the last one ended
		},
		Action: func(c *cli.Context) error {
			return report(c.Int("ready"), func(ready func() error) error { return p.supervise(c, ready) })
		},
	}
}

func (p *program) supervise(c *cli.Context, ready func() error) error {
	signal.Ignore(syscall.SIGHUP)
	path, sp, err := p.loadFor(c)
	if err != nil {
		return err
	}
	seat, err := inheritSeat(c.String("seat"))
	if err != nil {
		return err
	}
	d, err := newDaemon(p, path, sp, seat, daemonOptions{only: c.StringSlice("only"), crashed: c.String("crashed")})
	if err != nil {
		return err
	}
	keeper := os.Getppid()
	err = d.run(func() error { return errors.Join(d.leaveNote(keeper), ready()) })
	if os.Getppid() != keeper { // it was killed: nobody else tidies up
		endChildren(leftGrace)
		seat.Leave()
	}
	if errors.Is(err, errAtOnce) {
		return nil // asked for: the keeper ends what is left, and does not start again
	}
	return err
}

func inheritSeat(list string) (*control.Seat, error) {
	var fds []uintptr
	for word := range strings.SplitSeq(list, ",") {
		fd, err := strconv.ParseUint(word, 10, 16)
		if err != nil {
			return nil, cmdline.Usage("supervise is started by start")
		}
		fds = append(fds, uintptr(fd))
	}
	return control.Inherit(fds...)
}
