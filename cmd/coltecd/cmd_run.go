package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/unit"
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
			if p.noteDisabled() {
				return nil
			}
			o, err := p.loadFor(c)
			switch {
			case err != nil:
				return err
			case c.Bool("dry-run"):
				return p.dryRun(c.Context, o, c.Bool("once"))
			case c.Bool("once"):
				return daemon.Once(c.Context, o)
			}
			return foreground(o)
		},
	}
}

// dryRun prints what run would do.
func (p *program) dryRun(ctx context.Context, o daemon.Options, once bool) error {
	preview, err := daemon.Plan(ctx, o)
	fmt.Fprintf(p.out, "workspace %s, spec %s\n", daemon.WorkspaceOf(o.Spec), o.Path)
	for _, r := range preview.Replicas {
		fmt.Fprintf(p.out, "replica %s: %s %s %s:%s (%s), every %s\n", r.Name, r.Path, arrow(r.Direction), r.Remote, r.RemotePath, r.Layout, r.Interval)
	}
	var failed []error
	for _, of := range preview.Steps {
		for _, step := range of.Steps {
			fmt.Fprintf(p.out, "replica %s: would %s %s\n", of.Replica, step.Do, strconv.Quote(step.Path))
		}
		if of.Err != nil {
			failed = append(failed, fmt.Errorf("cannot tell what replica %q would do: %w", of.Replica, of.Err))
		}
	}
	if err == nil {
		err = errors.Join(failed...)
	}
	if !once {
		p.previewUnits(preview.Units)
	}
	return err
}

// previewUnits prints what would be started.
func (p *program) previewUnits(units []unit.Unit) {
	for _, u := range units {
		what := "service " + u.Name
		if u.Point != "" {
			what = "hook " + u.Name + " at " + u.Point
		}
		fmt.Fprintf(p.out, "%s: %s", what, strings.Join(u.Argv, " "))
		if u.Blocked != "" {
			fmt.Fprintf(p.out, "; blocked: %s", u.Blocked)
		}
		fmt.Fprintln(p.out)
	}
}

func arrow(direction string) string {
	return map[string]string{spec.PushOnly: "->", spec.PullOnly: "<-", spec.Bidirectional: "<->"}[direction]
}

// noteDisabled reports whether COLTEC_DISABLED is set, and tells the person if it is.
func (p *program) noteDisabled() bool {
	if p.disabled() {
		p.say("disabled by COLTEC_DISABLED: nothing is done")
	}
	return p.disabled()
}

// loadFor finds and reads the spec and checks --only against it.
func (p *program) loadFor(c *cli.Context) (daemon.Options, error) {
	path, err := p.findSpec(c)
	if err != nil {
		return daemon.Options{}, err
	}
	o, err := p.load(path)
	if err != nil {
		return o, err
	}
	o.Only = c.StringSlice("only")
	known := runnable(o.Spec)
	for _, name := range o.Only {
		if !slices.Contains(known, name) {
			return o, hint.Wrap(cmdline.Usage("no unit or replica %q in %s", name, path), "known names: %s", strings.Join(known, ", "))
		}
	}
	return o, nil
}

// load reads the spec at path, with what the environment changes of it.
func (p *program) load(path string) (daemon.Options, error) {
	if err := (installer{p}).takeInstalled(path); err != nil {
		return daemon.Options{}, err
	}
	sp, err := daemon.ReadSpec(path, p.lookup)
	if errors.Is(err, daemon.ErrEnvironment) {
		err = exit{Code: codeUsage, Cause: err}
	}
	if err != nil {
		return daemon.Options{}, err
	}
	return p.options(path, sp), nil
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
	for _, a := range sp.Agents {
		if a.Resume == spec.ResumeAlways {
			names = append(names, a.Unit())
		}
	}
	return names
}

// foreground is coltecd without a keeper, until a signal or `stop`.
func foreground(o daemon.Options) error {
	left, err := daemon.Foreground(o)
	if errors.Is(err, daemon.ErrAtOnce) {
		err = cmp.Or(left, err)
		return exit{Code: codeOf(err), Cause: err} // it was the second signal, whichever the first was
	}
	return account.Join(err, left)
}

// cmdKeep is the keeper: not for people.
func cmdKeep(p *program) *cli.Command {
	return &cli.Command{
		Name:   "keep",
		Hidden: true,
		Flags:  []cli.Flag{onlyFlag()},
		Action: func(c *cli.Context) error {
			const pipe = 3 // see spawn
			return report(pipe, func(func() error) error {
				signal.Ignore(syscall.SIGHUP)
				o, err := p.loadFor(c)
				if err != nil {
					return err
				}
				return daemon.Keep(o, os.NewFile(pipe, "ready"), superviseArgs)
			})
		},
	}
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
	o, err := p.loadFor(c)
	if err != nil {
		return err
	}
	lock, err := inheritLock(c.String("seat"))
	if err != nil {
		return err
	}
	return daemon.Supervise(o, lock, c.String("crashed"), ready)
}

// cmdGuard has processes go on that a killed coltecd had stopped: not for people.
func cmdGuard(p *program) *cli.Command {
	return &cli.Command{
		Name: daemon.GuardVerb, ArgsUsage: "LIMIT",
		Hidden: true,
		Action: func(c *cli.Context) error {
			limit, err := time.ParseDuration(c.Args().First())
			if err != nil {
				return cmdline.Usage("guard is started by coltecd itself")
			}
			return daemon.Guard(os.Stdin, os.Stdout, limit)
		},
	}
}

// superviseArgs are the arguments of a coltecd below its keeper, which reports to the
// first descriptor that it is given, and has the lock in those of the list.
func superviseArgs(o daemon.Options, lock, crashed string) []string {
	args := []string{"supervise", "--config", o.Path, "--ready", "3", "--seat", lock}
	if crashed != "" {
		args = append(args, "--crashed", crashed)
	}
	return append(args, onlyArgs(o.Only)...)
}

func inheritLock(list string) (*control.Lock, error) {
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
