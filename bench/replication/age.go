package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/coltec/coltec/bench/internal/proc"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

const (
	logs      = 4
	logEvery  = "0.3"     // seconds between two lines of a log
	logBegin  = 1_000_000 // bytes that a log has before
	ageEvery  = 100 * time.Millisecond
	rcloneRun = 10 * time.Second // one rclone sync begins so long after the one before
)

// logger appends a line to the file that it is given: a number, when it was written in
// nanoseconds, and 700 bytes that nothing compresses.
const logger = `n=0; while :; do n=$((n+1)); printf '{"n":%d,"t":%s,"text":"%s"}\n' $n $(date +%s%N) $(head -c 700 /dev/urandom | base64 -w0) >>"$1"; sleep ` + logEvery + `; done`

// state is how many bytes of each log are in the bucket from a moment on.
type state struct {
	at    time.Time
	bytes [logs]int64
}

// partAge keeps logs that programs append to all the time, and says how old what is in
// the bucket is.
func (s *set) partAge() error {
	ours, cost, err := s.ageOurs()
	if err != nil {
		return err
	}
	its, rcloneCost, err := s.ageRclone()
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%d logs, a line each %s s", logs, logEvery)
	minutes := cost.wall.Minutes()
	s.add(figure{Name: name + ": age of the last line in the bucket (p95)", Unit: "s", Ours: ours.p95, Beside: []peer{{"rclone", its.p95}}, Goals: []goal{most(10)},
		Note: fmt.Sprintf("half of the time within %.1f s, %.1f s at most; rclone sync each %v", ours.p50, ours.most, rcloneRun)})
	s.add(figure{Name: name + ": sent for each byte appended", Unit: "bytes", Ours: float64(cost.total.Sent) / float64(ours.appended),
		Beside: []peer{{"rclone", float64(rcloneCost.total.Sent) / float64(its.appended)}}, Goals: []goal{most(3)},
		Note: fmt.Sprintf("%.1f MB appended in %.0f s, nothing of which compresses", float64(ours.appended)/1e6, cost.wall.Seconds())})
	s.add(figure{Name: name + ": requests in a minute", Unit: "requests", Ours: requests(cost) / minutes,
		Beside: []peer{{"rclone", requests(rcloneCost) / rcloneCost.wall.Minutes()}}, Goals: []goal{most(40)}})
	return nil
}

// ageOurs measures coltecd.
func (s *set) ageOurs() (a ages, cost sample, err error) {
	m, err := s.b.newMachine(filepath.Join(s.dir, "age"), "age", s.b.interval)
	if err != nil {
		return a, cost, err
	}
	stopLogs, err := s.write(m.tree)
	if err != nil {
		return a, cost, err
	}
	defer stopLogs()
	stop, err := m.start(s.ctx)
	if err != nil {
		return a, cost, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := m.do(s.ctx, "sync"); err != nil {
		return a, cost, err
	}
	began := logSizes(m.tree)
	seen := map[int64]time.Time{} // generation → since when it is in the bucket
	cost, err = s.b.timed(func(*sample) error {
		return s.during(s.b.age, func() { note(seen, m.generation()) })
	})
	ended := time.Now()
	if err != nil {
		return a, cost, err
	}
	states, err := m.states(s.ctx, seen)
	if err != nil {
		return a, cost, err
	}
	a, err = agesOf(m.tree, states, ended)
	a.appended = sum(logSizes(m.tree)) - sum(began)
	return a, cost, err
}

// note notes when something was seen first.
func note(seen map[int64]time.Time, generation int64) {
	if _, ok := seen[generation]; generation > 0 && !ok {
		seen[generation] = time.Now()
	}
}

// ageRclone measures rclone sync, each ten seconds.
func (s *set) ageRclone() (a ages, cost sample, err error) {
	dir := filepath.Join(s.dir, "age-rclone")
	stopLogs, err := s.write(dir)
	if err != nil {
		return a, cost, err
	}
	defer stopLogs()
	// What its manual says for files that grow. Without, it ends with an error and sends
	// them three times.
	sync := s.b.rcloneRun(s.dir, "sync", dir, s.b.remote("age"), "--local-no-check-updated", "--ignore-checksum")
	_ = s.b.spend(s.ctx, sync, &sample{})
	objects := filepath.Join(s.b.s3.Dir, s.b.s3.Bucket, "rclone/age")
	began := logSizes(dir)
	states := []state{{time.Now(), logSizes(objects)}}
	cost, err = s.b.timed(func(*sample) error {
		next := time.Now()
		return s.during(s.b.age, func() {
			if time.Now().Before(next) {
				return
			}
			next = time.Now().Add(rcloneRun)
			_ = s.b.spend(s.ctx, sync, &sample{})
			states = append(states, state{time.Now(), logSizes(objects)})
		})
	})
	if err != nil {
		return a, cost, err
	}
	a, err = agesOf(dir, states, time.Now())
	a.appended = sum(logSizes(dir)) - sum(began)
	return a, cost, err
}

// during calls f again and again for a time.
func (s *set) during(d time.Duration, f func()) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); {
		select {
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case <-tick.C:
			f()
		}
	}
	return nil
}

// logFile is where a log is in a directory.
func logFile(dir string, i int) string { return filepath.Join(dir, "log-"+strconv.Itoa(i)+".jsonl") }

// write begins the logs in a directory.
func (s *set) write(dir string) (stop func(), err error) {
	var programs []*exec.Cmd
	stop = func() {
		for _, cmd := range programs {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for i := range logs {
		if err := writeNoise(logFile(dir, i), logBegin); err != nil {
			stop()
			return nil, err
		}
		cmd := exec.Command("/bin/sh", "-c", logger, "sh", logFile(dir, i))
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), proc.MarkVar + "=" + s.dir}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			stop()
			return nil, err
		}
		programs = append(programs, cmd)
	}
	return stop, nil
}

func logSizes(dir string) (sizes [logs]int64) {
	for i := range logs {
		if s, err := os.Stat(logFile(dir, i)); err == nil {
			sizes[i] = s.Size()
		}
	}
	return sizes
}

func sum(sizes [logs]int64) (n int64) {
	for _, size := range sizes {
		n += size
	}
	return n
}

// states reads how large each log is in the generations that were seen.
func (m *machine) states(ctx context.Context, seen map[int64]time.Time) (states []state, err error) {
	bucket := filepath.Join(m.b.s3.Dir, m.b.s3.Bucket)
	text, err := os.ReadFile(filepath.Join(bucket, ".coltec/fleet/bench/bench", m.workspace, "head.json"))
	if err != nil {
		return nil, err
	}
	var head store.Head
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, err
	}
	for _, g := range head.Recent {
		at, ok := seen[g.Number]
		if !ok {
			continue
		}
		// A snapshot whose manifests are all here asks no bucket for them.
		local := filepath.Join(m.dir, "manifests", strconv.FormatInt(g.Number, 10))
		all := filepath.Join(bucket, "workspaces/bench/bench", m.workspace, "tree/.coltec/m")
		if err := os.CopyFS(filepath.Join(local, ".coltec/m"), os.DirFS(all)); err != nil {
			return nil, err
		}
		t, err := store.NewSnapshot(nil, local).Tree(ctx, g.Replicas["tree"].Manifest)
		if err != nil {
			return nil, err
		}
		next := state{at: at}
		for i := range logs {
			if e := tree.Find(t.Entries, filepath.Base(logFile("", i))); e != nil {
				next.bytes[i] = e.Size
			}
		}
		states = append(states, next)
	}
	return states, nil
}

// ages are how old the last line of a log in the bucket is, over a time.
type ages struct {
	p50, p95, most float64 // seconds
	appended       int64
}

// agesOf looks at each log each 100 ms from the first state on: how old is the last
// whole line that the bucket has of it?
func agesOf(dir string, states []state, end time.Time) (ages, error) {
	if len(states) < 2 {
		return ages{}, errors.New("nothing came into the bucket")
	}
	var all []time.Duration
	for i := range logs {
		content, err := os.ReadFile(logFile(dir, i))
		if err != nil {
			return ages{}, err
		}
		for n, s := range states {
			until := end
			if n+1 < len(states) {
				until = states[n+1].at
			}
			written, err := lastLine(content[:min(s.bytes[i], int64(len(content)))])
			if err != nil {
				continue // before its first line was there
			}
			for at := s.at; at.Before(until); at = at.Add(ageEvery) {
				all = append(all, at.Sub(written))
			}
		}
	}
	if len(all) == 0 {
		return ages{}, errors.New("no line came into the bucket")
	}
	return ages{p50: percentile(all, 0.5).Seconds(), p95: percentile(all, 0.95).Seconds(), most: percentile(all, 1).Seconds()}, nil
}

// lastLine is when the last whole line was written.
func lastLine(content []byte) (time.Time, error) {
	end := bytes.LastIndexByte(content, '\n')
	if end < 0 {
		return time.Time{}, errors.New("no line")
	}
	var line struct {
		T int64 `json:"t"`
	}
	text := content[bytes.LastIndexByte(content[:end], '\n')+1 : end]
	if i := bytes.LastIndex(text, []byte(`{"n":`)); i > 0 {
		text = text[i:] // the first one follows what is not a line
	}
	if err := json.Unmarshal(text, &line); err != nil {
		return time.Time{}, err
	}
	return time.Unix(0, line.T), nil
}
