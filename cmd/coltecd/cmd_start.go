package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
)

func cmdStart(p *program) *cli.Command {
	return &cli.Command{
		Name:  "start",
		Usage: "start coltecd in the background; one that runs already gets the credentials it lacks",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "wait", Usage: "wait for the restore, and for another machine that holds the lease"},
			&cli.DurationFlag{Name: "timeout", Aliases: []string{"t"}, Usage: "with --wait: wait at most this `DURATION`, after which the restore continues in the background; 0: until it is done", Value: restorePatience},
			&cli.StringFlag{Name: "secrets-file", Usage: "take variables from `FILE`, a flat JSON object of strings; -: standard input"},
			onlyFlag(),
		},
		Action: func(c *cli.Context) error {
			if c.Duration("timeout") < 0 {
				return cmdline.Usage("--timeout must not be less than 0")
			}
			if c.IsSet("timeout") && !c.Bool("wait") {
				return cmdline.Usage("--timeout is for --wait")
			}
			if p.noteDisabled() {
				return nil
			}
			if err := p.takeSecrets(c.String("secrets-file")); err != nil {
				return err
			}
			o, err := p.loadFor(c)
			if err != nil {
				return err
			}
			if err := p.start(c.Context, o); err != nil {
				return err
			}
			if c.Bool("wait") {
				return p.awaitRestore(c.Context, o.Path, c.Duration("timeout"))
			}
			return nil
		},
	}
}

// takeSecrets adds the variables in a file to the environment. An error names
// the file and the variable, and never shows a value.
func (p *program) takeSecrets(file string) error {
	if file == "" {
		return nil
	}
	var b []byte
	var err error
	if file == "-" {
		file = "standard input"
		b, err = io.ReadAll(p.in)
	} else {
		b, err = os.ReadFile(file)
	}
	if err != nil {
		return fmt.Errorf("cannot read secrets: %w", err)
	}
	vars, err := secret.ParseJSON(b)
	if err != nil {
		return fmt.Errorf("cannot read secrets from %s: %w", file, err)
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		p.environ = append(p.environ, name+"="+vars[name].Reveal())
	}
	return nil
}

// start makes sure that coltecd runs.
func (p *program) start(ctx context.Context, o daemon.Options) error {
	if i, ok, err := control.Find(o.Runtime()); err != nil || ok {
		if err = p.startAgain(ctx, i, o.Spec, err); err == nil || i.Alive() {
			return err
		} // else it ended meanwhile
	}
	crash, err := o.CrashFile()
	if err != nil {
		return err
	}
	began, err := p.spawn(ctx, crash, append([]string{"keep", "--config", o.Path}, onlyArgs(o.Only)...))
	if err != nil {
		return fmt.Errorf("cannot start coltecd: %w", err)
	}
	if began.Running { // another start was faster
		i, _, err := control.Find(o.Runtime())
		return p.startAgain(ctx, i, o.Spec, err)
	}
	p.say("coltecd started (pid %d)", began.PID)
	return nil
}

// startAgain is a start of what runs: it gets the variables that it may lack.
func (p *program) startAgain(ctx context.Context, i control.Instance, sp *spec.Spec, err error) error {
	if err != nil {
		return err
	}
	woken := wake(i)
	vars := map[string]string{}
	for _, name := range daemon.Wanted(sp) {
		if v, ok := p.lookup(name); ok {
			vars[name] = v
		}
	}
	ctx, cancel := context.WithTimeout(ctx, providePatience)
	defer cancel()
	for {
		// The lock is taken for a moment longer than its coltecd lives: one that
		// answers is one that runs.
		doc, err := control.Dial(i.Socket).Status(ctx)
		if err == nil {
			err = control.Dial(i.Socket).Provide(ctx, control.ProvideRequest{Variables: vars}, func(line string) { p.say("%s", line) })
		}
		if err == nil {
			if woken {
				p.say("coltecd had ended, and is started again now (pid %d)", doc.PID)
			} else {
				p.say("coltecd is already running (pid %d)", doc.PID)
			}
			return nil
		}
		if !goneAway(err) || ctx.Err() != nil || !i.Alive() {
			return fmt.Errorf("cannot speak with the coltecd that runs: %w", err)
		}
		wake(i)
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// providePatience outlasts the end of what a killed coltecd has left, and its
// keeper's start of the next one.
const providePatience = 2*answerPatience + daemon.LeftGrace

// goneAway reports whether nobody was there to answer.
func goneAway(err error) bool {
	var netErr *net.OpError
	return errors.Is(err, control.ErrGone) || errors.As(err, &netErr)
}

// wake has a keeper that waits before it starts coltecd again do so now, and reports
// whether there is one.
func wake(i control.Instance) bool {
	return daemon.ProcStart(i.PID) != i.Start && signalProcess(i.Keeper, i.KeeperStart, syscall.SIGUSR1)
}

// startReport is what a started coltecd reports: that it supervises, or why not.
type startReport struct {
	PID     int      `json:"pid,omitempty"`
	Running bool     `json:"running,omitempty"` // another has the lock
	Code    int      `json:"code,omitempty"`
	Error   string   `json:"error,omitempty"`
	Hints   []string `json:"hints,omitempty"`
}

func (b startReport) err() error {
	if b.Error == "" || b.Running {
		return nil
	}
	var err error = exit{Code: b.Code, Cause: errors.New(b.Error)}
	for i := len(b.Hints) - 1; i >= 0; i-- {
		err = hint.Wrap(err, "%s", b.Hints[i])
	}
	return err
}

// spawn runs coltecd again as a daemon: own session, nothing inherited but the
// environment, and a pipe that it reports to. crash is where it dies aloud.
func (p *program) spawn(ctx context.Context, crash *os.File, args []string) (startReport, error) {
	defer crash.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return startReport{}, err
	}
	defer r.Close()
	// A shell's or an editor's open files would be held for ever: some tools
	// hang on that.
	if err := keepInherited(); err != nil {
		p.say("cannot close inherited files: %v", err)
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = p.name
	cmd.Env, cmd.Dir = p.environ, "/"
	cmd.Stdout, cmd.Stderr = crash, crash
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return startReport{}, err
	}
	return awaitReport(ctx, r)
}

func onlyArgs(only []string) []string {
	var args []string
	for _, name := range only {
		args = append(args, "--only", name)
	}
	return args
}

// awaitReport reads the report. An end without one is a crash. After a bad
// one it reads on to the end of the keeper, which has the pipe open too: the
// next start must not meet the last one's lock.
func awaitReport(ctx context.Context, r *os.File) (startReport, error) {
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Now()) })
	defer stop()
	var began startReport
	err := json.NewDecoder(r).Decode(&began)
	if err == nil && began.Error != "" {
		_, _ = io.Copy(io.Discard, r)
	}
	if ctx.Err() != nil {
		return startReport{}, context.Cause(ctx)
	}
	if err != nil {
		return began, hint.Wrap(errors.New("internal error: it ended before it supervised"), "see coltecd logs %s", daemon.CrashName)
	}
	return began, began.err()
}

// report runs f and tells the descriptor how it began: f calls ready when it
// supervises; an error before that is reported, one after it is not.
func report(fd int, f func(ready func() error) error) error {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	// After a crash the keeper gives /dev/null: nobody waits any more.
	if kind := st.Mode & unix.S_IFMT; fd < 3 || err != nil || kind != unix.S_IFIFO && kind != unix.S_IFCHR {
		return cmdline.Usage("this verb is for coltecd itself: use start")
	}
	pipe := os.NewFile(uintptr(fd), "ready")
	unix.CloseOnExec(fd)
	reported := false
	report := func(b startReport) error {
		reported = true
		defer pipe.Close()
		return json.NewEncoder(pipe).Encode(b)
	}
	err = func() (err error) {
		defer func() {
			if v := recover(); v != nil && !reported {
				err = cmdline.Internal(v)
			} else if v != nil {
				panic(v)
			}
		}()
		return f(func() error { return report(startReport{PID: os.Getpid()}) })
	}()
	if err != nil && !reported {
		_ = report(startReport{
			Running: errors.Is(err, control.ErrRunning), Code: codeOf(err), Error: err.Error(), Hints: hint.Of(err),
		})
	}
	return err
}
