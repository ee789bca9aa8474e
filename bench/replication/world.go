package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/coltec/coltec/bench/internal/proc"
	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/status"
	"golang.org/x/sys/unix"
)

// bench is the bucket, the programs, and what was found.
type bench struct {
	options
	began  time.Time
	top    string // all is below it
	rclone string
	restic string
	s3     *s3test.Server
	proxy  *s3test.Proxy // all go through it

	figures table
}

// sample is what one operation cost.
type sample struct {
	wall  time.Duration
	cpu   time.Duration // of all its processes
	peak  int           // kB, PSS of them all, looked at every 50 ms
	total s3test.Total
	heads heads
	title string // the program that was run last
}

// timed measures what f does. f adds CPU and memory itself.
func (b *bench) timed(f func(*sample) error) (s sample, err error) {
	b.proxy.Reset()
	began := time.Now()
	err = f(&s)
	s.wall = time.Since(began)
	s.total, s.heads = b.proxy.Total(), headsOf(b.proxy.Requests())
	if b.trace != "" {
		err = errors.Join(err, b.writeTrace(s.title, began))
	}
	return s, err
}

// heads are requests beside those that each commit takes.
type heads struct {
	renewals int // writes of a head that committed nothing: no content and no tree was sent since the one before
	logs     int // writes of what a head has no room for: one for many commits
}

func headsOf(requests []s3test.Request) (h heads) {
	sent := false
	for _, r := range requests {
		switch _, key, ours := strings.Cut(r.Key, ".coltec/"); {
		case r.Kind != s3test.Put || !ours:
		case strings.HasPrefix(key, "o/") || strings.HasPrefix(key, "m/"):
			sent = true
		case strings.HasPrefix(path.Base(key), "log-"):
			h.logs++
		case path.Base(key) == "head.json":
			if !sent {
				h.renewals++
			}
			sent = false
		}
	}
	return h
}

// writeTrace adds the requests of a measurement to the trace.
func (b *bench) writeTrace(title string, began time.Time) error {
	f, err := os.OpenFile(b.trace, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintf(w, "== %s\n", title)
	for _, r := range b.proxy.Requests() {
		fmt.Fprintf(w, "%8.3fs %7.1fms %-12s %3d %8d up %8d down  %s\n", r.Start.Sub(began).Seconds(),
			r.Took.Seconds()*1000, r.Kind, r.Status, r.Sent, r.Received, r.Key)
	}
	return errors.Join(w.Flush(), f.Close())
}

// program is a command line to be measured.
type program struct {
	dir  string // where it runs, and what it is found by afterwards
	env  []string
	argv []string
}

// run measures one program. What another left for the disk to write is not its time.
func (b *bench) run(ctx context.Context, p program) (sample, error) {
	unix.Sync()
	return b.timed(func(s *sample) error { return b.spend(ctx, p, s) })
}

// patience bounds one program: far above what the slowest takes.
const patience = 20 * time.Minute

// spend runs a program and adds its cost to a sample.
func (b *bench) spend(ctx context.Context, p program, s *sample) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it took longer than %v", patience))
	defer cancel()
	s.title = strings.Join(p.argv, " ")
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
	cmd.Dir = p.dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + b.top, "TMPDIR=" + b.top, proc.MarkVar + "=" + p.dir,
	}, p.env...)
	// Its own group: a Ctrl-C is ours, and we tell it to end in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &talk, &talk
	if err := cmd.Start(); err != nil {
		return err
	}
	peak := make(chan int)
	ended := make(chan struct{})
	go func() { peak <- watchMemory(cmd.Process.Pid, ended) }()
	err := cmd.Wait()
	close(ended)
	s.peak = max(s.peak, <-peak)
	s.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		text := strings.TrimSpace(talk.String())
		return fmt.Errorf("%s %s: %w: %s", filepath.Base(p.argv[0]), p.argv[1], err, text[max(0, len(text)-600):])
	}
	return nil
}

// watchMemory returns the largest PSS in kB that a process and what is below it had
// until ended is closed.
func watchMemory(pid int, ended <-chan struct{}) (peak int) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return peak
		case <-tick.C:
			peak = max(peak, proc.PSS(proc.Tree(pid)))
		}
	}
}

// rcloneRun is an rclone with the remote R.
func (b *bench) rcloneRun(dir string, args ...string) program {
	p := program{dir: dir, argv: append([]string{b.rclone}, args...), env: []string{"RCLONE_CONFIG=notfound", "RCLONE_CONFIG_R_TYPE=s3"}}
	for option, value := range b.s3.Options(b.proxy.Endpoint) {
		p.env = append(p.env, "RCLONE_CONFIG_R_"+strings.ToUpper(option)+"="+value)
	}
	return p
}

// remote is a prefix of the bucket for rclone.
func (b *bench) remote(prefix string) string { return "R:" + b.s3.Bucket + "/rclone/" + prefix + "/" }

// resticRun is a restic with a repository of a name.
func (b *bench) resticRun(dir, repository string, args ...string) program {
	return program{dir: dir, argv: append([]string{b.restic}, args...), env: []string{
		"AWS_ACCESS_KEY_ID=" + b.s3.AccessKey, "AWS_SECRET_ACCESS_KEY=" + b.s3.SecretKey, "RESTIC_PASSWORD=bench",
		"RESTIC_REPOSITORY=s3:" + b.proxy.Endpoint + "/" + b.s3.Bucket + "/restic/" + repository,
		"RESTIC_CACHE_DIR=" + filepath.Join(b.top, "restic-cache"),
	}}
}

// machine is a place where coltecd keeps a tree.
type machine struct {
	b         *bench
	dir, tree string
	workspace string // the environment's name: machines of one name share it
	home      string // HOME there; "": one that nobody uses
}

// newMachine writes a spec for an idle interval.
func (b *bench) newMachine(dir, workspace string, interval time.Duration) (*machine, error) {
	m := &machine{b: b, dir: dir, tree: filepath.Join(dir, "tree"), workspace: workspace}
	spec := fmt.Sprintf(`version: 1.0.0
name: bench
metadata: {org: bench, project: bench, environment: %s}
persistence:
  enabled: true
  default_remote: primary
  remotes:
    primary:
      type: s3
      bucket: ${RCLONE_BUCKET}
      options: {provider: Rclone, endpoint: "${RCLONE_S3_ENDPOINT}", access_key_id: "${RCLONE_S3_ACCESS_KEY_ID}", secret_access_key: "${RCLONE_S3_SECRET_ACCESS_KEY}"}
  lease: {ttl: %s, renew: %s}
  sync:
    - {name: tree, path: %q, interval: %s, watch: true}
`, workspace, 3*interval, interval, m.tree, interval)
	for _, d := range []string{filepath.Join(dir, ".devcontainer"), m.tree} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o700); err != nil {
		return nil, err
	}
	return m, os.WriteFile(filepath.Join(dir, ".devcontainer/workspace-spec.yaml"), []byte(spec), 0o644)
}

// verb is coltecd at the machine.
func (m *machine) verb(args ...string) program {
	home := cmp.Or(m.home, m.b.top)
	return program{dir: m.dir, argv: append([]string{m.b.coltecd}, args...), env: []string{
		"HOME=" + home, "XDG_RUNTIME_DIR=" + filepath.Join(m.dir, "run"), "COLTEC_RCLONE=" + m.b.rclone, "COLTEC_HOST=" + filepath.Base(m.dir),
		"RCLONE_BUCKET=" + m.b.s3.Bucket, "RCLONE_S3_ENDPOINT=" + m.b.proxy.Endpoint,
		"RCLONE_S3_ACCESS_KEY_ID=" + m.b.s3.AccessKey, "RCLONE_S3_SECRET_ACCESS_KEY=" + m.b.s3.SecretKey,
	}}
}

// do runs a verb whose cost does not count.
func (m *machine) do(ctx context.Context, args ...string) error {
	return m.b.spend(ctx, m.verb(args...), &sample{})
}

// start starts coltecd and returns a function that stops it.
func (m *machine) start(ctx context.Context) (stop func() error, err error) {
	stop = func() error { return m.do(context.WithoutCancel(ctx), "stop", "--timeout", "60s") }
	if err := m.do(ctx, "start", "--wait"); err != nil {
		_ = stop() // it may have got half the way
		return nil, err
	}
	return stop, nil
}

// pids are coltecd and its keeper.
func (m *machine) pids() ([]int, error) {
	p := m.verb("status", "--json")
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Dir, cmd.Env = p.dir, p.env
	out, err := cmd.Output()
	var doc status.Document
	if jsonErr := json.Unmarshal(out, &doc); jsonErr != nil {
		return nil, fmt.Errorf("coltecd status: %w, %w", err, jsonErr)
	}
	keeper := proc.Parent(doc.PID)
	if !slices.Contains(proc.Argv(keeper), "keep") {
		return nil, fmt.Errorf("the parent of coltecd is %q, not its keeper", proc.Argv(keeper))
	}
	return []int{keeper, doc.PID}, nil
}

// generation is the last one that the bucket holds; 0 while the head is being
// written.
func (m *machine) generation() int64 {
	var head struct {
		Generation int64 `json:"generation"`
	}
	path := filepath.Join(m.b.s3.Dir, m.b.s3.Bucket, ".coltec/fleet/bench/bench", m.workspace, "head.json")
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &head) != nil {
		return 0
	}
	return head.Generation
}

// committed returns when the bucket holds a later generation than was.
func (m *machine) committed(ctx context.Context, was int64) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for m.generation() <= was {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("no commit after generation %d: %w", was, context.Cause(ctx))
		}
	}
	return nil
}
