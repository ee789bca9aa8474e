package rclone

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// job is one run of rclone.
type job struct {
	op, key string // for the error
	argv    []string
	stdin   []byte
	stdout  io.Writer       // nil: thrown away
	onStats func(counters)  // may be nil
	clock   func(time.Time) // is told the store's; may be nil
	bulk    bool            // it may take long
	dir     *os.File        // what argv names as handedDir; nil: nothing
}

// seldomCollected has the garbage of a short run collected at 20 MB and not at 4: nearly
// all of it is what rclone's start leaves, and collecting it was a quarter of the
// processor time of a run.
const seldomCollected = "GOGC=400"

// run runs a job to its end and returns what its log told.
func (r *Remote) run(ctx context.Context, j job) (*journal, error) {
	if j.bulk { // first: who waits for the long one keeps no short one out
		if err := r.opts.Bulk.enter(ctx); err != nil {
			return nil, canceled(ctx, j.op, j.key)
		}
		defer r.opts.Bulk.leave()
	}
	if err := r.opts.All.enter(ctx); err != nil {
		return nil, canceled(ctx, j.op, j.key)
	}
	defer r.opts.All.leave()
	stdin, err := wholeInput(j.stdin)
	if err != nil {
		return nil, &Error{Op: j.op, Key: j.key, Exit: -1, Class: Unclassified, cause: err}
	}
	defer stdin.Close()
	log := &journal{onStats: j.onStats}
	if r.opts.overS3 {
		log.answers.op = j.op
	}
	cmd := command(ctx, r.bin.Path, j.argv...)
	cmd.Env = r.environ
	if !j.bulk {
		cmd.Env = append(slices.Clip(r.environ), seldomCollected)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, j.stdout, log
	if j.dir != nil {
		cmd.ExtraFiles = []*os.File{j.dir}
	}
	err = finish(cmd)
	log.end()
	if j.clock != nil && !log.answers.date.IsZero() {
		j.clock(log.answers.date)
	}
	return log, r.verdict(ctx, j, log, err)
}

// verdict turns the end of a process into an Error or nil.
func (r *Remote) verdict(ctx context.Context, j job, log *journal, err error) error {
	exit := &exec.ExitError{}
	switch {
	case err != nil && ctx.Err() != nil:
		return canceled(ctx, j.op, j.key)
	case log.answers.foreign != "":
		// Whatever rclone made of it: neither done nor missing is known of anything.
		return &Error{Op: j.op, Key: j.key, Exit: exitCode(err), Class: Foreign, Text: log.answers.foreign}
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil // ErrWaitDelay: it ended well, somebody else still holds its pipe
	case !errors.As(err, &exit):
		// It never ran, or we could not take its output.
		return &Error{Op: j.op, Key: j.key, Exit: -1, Class: localClass(err), cause: err,
			step: "check that " + r.bin.Path + " is there and may be run"}
	}
	cause := j.told(log.cause())
	e := &Error{Op: j.op, Key: j.key, Exit: exit.ExitCode()}
	e.Class = classify(cause, e.Exit)
	e.placed(cause, log.answers.region)
	r.explain(e, cause)
	e.Text = tidy(string(r.redactor.Redact([]byte(cause)))) // in this order: half a secret is one too
	if e.Text == "" {
		e.Text = exit.String() // "signal: killed", "exit status 1"
	}
	e.Keys = log.keysOf(e.Class)
	return e
}

// exitCode is the exit code that the end of a process tells.
func exitCode(err error) int {
	exit := &exec.ExitError{}
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// localClass sorts errors that no rclone told.
func localClass(err error) Class {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return LocalDiskFull
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return Config
	}
	return Unclassified
}
