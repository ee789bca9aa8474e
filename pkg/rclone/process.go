package rclone

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/process"
)

// killAfter is how long an rclone that was told to end may take: it gives up
// its requests at once, but removes what it began.
const killAfter = 3 * time.Second

// command is a child in a process group of its own: TERM to the group when ctx
// ends, KILL to the whole of it later.
func command(ctx context.Context, path string, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, argv...)
	// Relative paths, and a file named as [noConfig], must not be found by chance.
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	return cmd
}

// wholeInput returns a file that holds all of the input before the child
// begins. A pipe will not do: were we killed while we write, rclone would take
// what it got for the whole and put a cut-off head in place of a good one.
func wholeInput(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("rclone-stdin", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make rclone's input: %w", err)
	}
	file := os.NewFile(uintptr(fd), "rclone-stdin")
	if _, err = file.Write(data); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("cannot write rclone's input: %w", err)
	}
	return file, nil
}

// job is one run of rclone.
type job struct {
	op, key string // for the error
	argv    []string
	stdin   []byte
	stdout  io.Writer      // nil: thrown away
	onStats func(counters) // may be nil
	bulk    bool           // it may take long
	dir     *os.File       // what argv names as handedDir; nil: nothing
}

// handedDir is the directory that a job hands to its child.
const handedDir = "/proc/self/fd/3"

// hand gives the name by which a child finds a directory. One that this process reaches
// through a descriptor is nothing to the child before it is handed over.
func (j *job) hand(dir string) (name string, err error) {
	if _, _, held := anchor.Number(dir); !held {
		return dir, nil
	}
	if j.dir, err = os.Open(dir); err != nil {
		return "", &Error{Op: j.op, Key: j.key, Exit: -1, Class: localClass(err), cause: err}
	}
	return handedDir, nil
}

// told gives a text of the child's the name of the directory that it was handed.
func (j *job) told(text string) string {
	if j.dir == nil {
		return text
	}
	return strings.ReplaceAll(text, handedDir, anchor.Plain(j.dir.Name()))
}

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
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, j.stdout, log
	if j.dir != nil {
		cmd.ExtraFiles = []*os.File{j.dir}
	}
	release, err := process.StartCmd(cmd) // coltecd reaps orphans: this is none
	if err == nil {
		defer release()
		err = cmd.Wait()
		// What rclone started (an ssh, say) may have outlived it.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	log.end()
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
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return LocalDiskFull
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return Config
	}
	return Unclassified
}

// counters is the part of rclone's statistics that we use.
type counters struct {
	Bytes      int64    `json:"bytes"`
	TotalBytes int64    `json:"totalBytes"`
	Transfers  int      `json:"transfers"`
	Deletes    int      `json:"deletes"`
	Renames    int      `json:"renames"`
	Copies     int      `json:"serverSideCopies"`
	Moves      int      `json:"serverSideMoves"`
	ETA        *float64 `json:"eta"`
	Elapsed    float64  `json:"elapsedTime"`

	arrived string // the object that a line tells of; "" in statistics
}

// line is a line of rclone's JSON log.
type line struct {
	Level  string    `json:"level"`
	Msg    string    `json:"msg"`
	Object string    `json:"object"`
	Stats  *counters `json:"stats"`
}

// The bounds of what is kept of a log: a broken rclone must not fill our memory.
const (
	maxLine     = 256 << 10
	maxFailures = 10_000
)

// failure is an error line about one object.
type failure struct {
	object string
	class  Class
	msg    string
}

// journal reads rclone's log as it is written. Only exec's copying goroutine
// writes it, and it is read after Wait.
type journal struct {
	onStats func(counters)
	answers answers

	part     []byte    // the beginning of a line
	stats    counters  // the last seen
	failures []failure // by object
	errors   []string  // error lines about no object
	plain    string    // the last line that was no JSON
}

// Write never fails: an error would end rclone by a broken pipe.
func (l *journal) Write(b []byte) (int, error) {
	n := len(b)
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			break
		}
		l.line(append(l.part, b[:i]...))
		l.part, b = l.part[:0], b[i+1:]
	}
	if len(l.part)+len(b) <= maxLine {
		l.part = append(l.part, b...)
	}
	return n, nil
}

// end takes a last line without its newline.
func (l *journal) end() {
	if len(l.part) > 0 {
		l.line(l.part)
		l.part = nil
	}
}

// line takes one line.
func (l *journal) line(b []byte) {
	var entry line
	if json.Unmarshal(b, &entry) != nil || entry.Level == "" {
		// What is logged before rclone knows that its log is JSON: where options come from.
		if text := strings.TrimSpace(string(b)); text != "" && !strings.Contains(text, " DEBUG : ") {
			l.plain = text
		}
		return
	}
	switch {
	case entry.Stats != nil:
		l.stats = *entry.Stats
		if l.onStats != nil {
			l.onStats(l.stats)
		}
	case entry.Level == "debug":
		if entry.Object == sdkObject {
			l.answers.take(entry.Msg)
		}
	case entry.Level == "info" && strings.Contains(entry.Msg, "Copied ("):
		if l.onStats != nil {
			now := l.stats
			now.arrived = decodeKey(entry.Object)
			l.onStats(now)
		}
	case entry.Level == "error" && entry.Object != "":
		if len(l.failures) < maxFailures {
			l.failures = append(l.failures, failure{decodeKey(entry.Object), classify(entry.Msg, 0), entry.Msg})
		}
	case entry.Level == "error", entry.Level == "critical", strings.HasPrefix(entry.Msg, "Failed to "):
		if len(l.errors) < maxFailures {
			l.errors = append(l.errors, entry.Msg)
		}
	}
}

// cause is the line that says best what went wrong: that of an object whose
// class is the gravest, else the last error, else the last words at all.
func (l *journal) cause() string {
	for _, f := range l.failures {
		// A missing object among unreachable ones is the lesser news.
		if f.class != NotFound && f.class != Unclassified {
			return f.msg
		}
	}
	if len(l.failures) > 0 {
		return l.failures[0].msg
	}
	if len(l.errors) > 0 {
		return l.errors[len(l.errors)-1]
	}
	return l.plain
}

// keysOf returns the objects that failed in one way, each once.
func (l *journal) keysOf(class Class) []string {
	var keys []string
	seen := map[string]bool{}
	for _, f := range l.failures {
		if f.class == class && !seen[f.object] {
			seen[f.object] = true
			keys = append(keys, f.object)
		}
	}
	return keys
}

// maxText bounds an error's text: it goes into one line of a status.
const maxText = 600

// tidy makes one short, printable line of rclone's words.
func tidy(msg string) string {
	msg = strings.ReplaceAll(noise.ReplaceAllString(msg, ""), ", , ", ", ")
	msg = strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) || unicode.IsSpace(c) {
			return c
		}
		return -1
	}, msg)), " ")
	if len(msg) > maxText {
		msg = strings.ToValidUTF8(msg[:maxText], "") + "…"
	}
	return msg
}
