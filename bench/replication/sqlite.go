package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/coltec/coltec/bench/internal/proc"
)

const (
	databaseMB   = 40
	databaseRate = 36 // transactions in a second
	databaseTime = 75 * time.Second
	resticRun    = 10 * time.Second // one backup begins so long after the one before
)

//go:embed sqlite.py
var databaseProgram string

// database is one that a program writes all the time.
type database struct {
	s     *set
	path  string
	notes string // of the program: when which transaction was committed
	cmd   *exec.Cmd
	stdin io.Closer
	said  bytes.Buffer

	written int64 // bytes that came into its log
	cost    sample
	cpu     time.Duration
	copies  int
	damaged int
	ages    []time.Duration
}

// partSQLite keeps a database that is written all the time. The others copy its files.
func (s *set) partSQLite() error {
	ours, err := s.sqliteOurs()
	if err != nil {
		return err
	}
	its, err := s.sqliteRestic()
	if err != nil {
		return err
	}
	name := fmt.Sprintf("SQLite, %d MB, %d transactions a second", databaseMB, databaseRate)
	for _, f := range []struct {
		name, unit string
		of         func(*database) float64
		goal       []goal
		note       string
	}{
		{"sent for each byte of its log", "bytes", func(d *database) float64 { return float64(d.cost.total.Sent) / float64(d.written) }, []goal{most(3)},
			fmt.Sprintf("%.1f MB came into its log in %.0f s; restic backup each %v", float64(ours.written)/1e6, ours.cost.wall.Seconds(), resticRun)},
		{"sent", "MB", func(d *database) float64 { return sent(d.cost) }, nil, ""},
		{"requests in a minute", "requests", func(d *database) float64 { return requests(d.cost) / d.cost.wall.Minutes() }, []goal{most(40)}, ""},
		{"CPU in a minute", "CPU s", func(d *database) float64 { return d.cpu.Seconds() / d.cost.wall.Minutes() }, nil, ""},
		{"age of the last transaction in the bucket (p95)", "s", func(d *database) float64 { return percentile(d.ages, 0.95).Seconds() }, []goal{most(5)},
			"of copies that open; a damaged one does not count"},
		{"damaged copies", "of all", func(d *database) float64 { return float64(d.damaged) }, []goal{most(0)},
			fmt.Sprintf("%d copies, and %d by restic", ours.copies, its.copies)},
	} {
		s.add(figure{Name: name + ": " + f.name, Unit: f.unit, Ours: f.of(ours), Beside: []peer{{"restic", f.of(its)}}, Goals: f.goal, Note: f.note})
	}
	return nil
}

// newDatabase makes one of so many MB in a directory.
func (s *set) newDatabase(dir, name string, mb int) (*database, error) {
	d := &database{s: s, path: filepath.Join(dir, name), notes: filepath.Join(s.dir, filepath.Base(dir)+".notes")}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	_, err := d.program("make", d.path, strconv.Itoa(mb))
	return d, err
}

// program runs one to its end, and returns what it printed.
func (d *database) program(args ...string) (string, error) {
	cmd := exec.CommandContext(d.s.ctx, "python3", append([]string{"-c", databaseProgram}, args...)...)
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("%s of the database: %w: %s", args[0], err, text)
	}
	return text, nil
}

// write begins to write it.
func (d *database) write() error { return d.writeAt(strconv.Itoa(databaseRate)) }

// writeAt begins to write it, with so many transactions a second.
func (d *database) writeAt(rate string) (err error) {
	d.cmd = exec.Command("python3", "-c", databaseProgram, "write", d.path, d.notes, rate)
	d.cmd.Env = append(os.Environ(), proc.MarkVar+"="+d.s.dir)
	d.cmd.Stdout, d.cmd.Stderr = &d.said, &d.said
	if d.stdin, err = d.cmd.StdinPipe(); err != nil {
		return err
	}
	return d.cmd.Start()
}

// end ends the writer.
func (d *database) end() (err error) {
	d.stdin.Close()
	if err := d.cmd.Wait(); err != nil {
		return fmt.Errorf("the writer of the database: %w: %s", err, &d.said)
	}
	d.written, err = strconv.ParseInt(strings.TrimSpace(d.said.String()), 10, 64)
	return err
}

// sqliteOurs measures coltecd.
func (s *set) sqliteOurs() (d *database, err error) {
	m, err := s.b.newMachine(filepath.Join(s.dir, "sqlite"), "sqlite", s.b.interval)
	if err != nil {
		return nil, err
	}
	if d, err = s.newDatabase(m.tree, "state.db", databaseMB); err != nil {
		return nil, err
	}
	stop, err := m.start(s.ctx)
	if err != nil {
		return nil, err
	}
	seen := map[int64]time.Time{}
	err = m.do(s.ctx, "sync")
	if err == nil {
		err = d.watch(m, seen)
	}
	ended := time.Now()
	if err := errors.Join(err, stop()); err != nil {
		return nil, err
	}
	return d, d.judge(ended, seen, func(generation int64, dir string) error {
		return m.do(s.ctx, "history", "restore", "--at", strconv.FormatInt(generation, 10), "--to", dir)
	})
}

// watch writes the database while a machine keeps it.
func (d *database) watch(m *machine, seen map[int64]time.Time) (err error) {
	pids, err := m.pids()
	if err != nil {
		return err
	}
	if err := d.write(); err != nil {
		return err
	}
	was := proc.CPU(pids)
	d.cost, err = d.s.b.timed(func(*sample) error {
		return d.s.during(databaseTime, func() { note(seen, m.generation()) })
	})
	d.cpu = proc.CPU(pids) - was
	return errors.Join(err, d.end())
}

// sqliteRestic measures restic backup, each ten seconds.
func (s *set) sqliteRestic() (d *database, err error) {
	dir := filepath.Join(s.dir, "sqlite-restic")
	if d, err = s.newDatabase(dir, "state.db", databaseMB); err != nil {
		return nil, err
	}
	restic := func(args ...string) program { return s.b.resticRun(dir, "sqlite", args...) }
	for _, args := range [][]string{{"init"}, {"backup", "."}} {
		if err := s.b.spend(s.ctx, restic(args...), &sample{}); err != nil {
			return nil, err
		}
	}
	if err := d.write(); err != nil {
		return nil, err
	}
	seen := map[int64]time.Time{}
	d.cost, err = s.b.timed(func(cost *sample) error {
		next := time.Now()
		return s.during(databaseTime, func() {
			if time.Now().Before(next) {
				return
			}
			next = time.Now().Add(resticRun)
			n := int64(len(seen) + 1)
			_ = s.b.spend(s.ctx, restic("backup", ".", "--tag", tagOf(n)), cost)
			seen[n] = time.Now()
		})
	})
	d.cpu = d.cost.cpu
	ended := time.Now()
	if err := errors.Join(err, d.end()); err != nil {
		return nil, err
	}
	return d, d.judge(ended, seen, func(n int64, dir string) error {
		return s.b.spend(s.ctx, restic("restore", "latest", "--tag", tagOf(n), "--target", dir), &sample{})
	})
}

func tagOf(n int64) string { return "run-" + strconv.FormatInt(n, 10) }

// judge has each copy given back and opened, and says how old the last transaction in the
// bucket was each 100 ms.
func (d *database) judge(ended time.Time, seen map[int64]time.Time, back func(n int64, dir string) error) error {
	times, err := d.times()
	if err != nil {
		return err
	}
	type sound struct {
		at   time.Time
		last int
	}
	d.s.b.say("%.1f MB came into the log, %.1f MB were sent; %d copies are judged", float64(d.written)/1e6, sent(d.cost), len(seen))
	var all []sound
	for n, at := range seen {
		dir := filepath.Join(d.s.dir, "back")
		if err := back(n, dir); err != nil {
			return err
		}
		d.copies++
		text, err := d.program("last", filepath.Join(dir, filepath.Base(d.path)))
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err != nil {
			d.damaged++
			d.s.b.say("copy %d: %v", n, err)
			continue
		}
		last, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		all = append(all, sound{at, last})
	}
	began := times[1]
	for at := began.Add(resticRun); at.Before(ended); at = at.Add(ageEvery) {
		last := 0
		for _, s := range all {
			if !s.at.After(at) {
				last = max(last, s.last)
			}
		}
		written := began
		if last > 0 {
			written = times[last]
		}
		d.ages = append(d.ages, at.Sub(written))
	}
	if len(d.ages) == 0 {
		return errors.New("nothing came into the bucket")
	}
	return nil
}

// times are when each transaction was committed.
func (d *database) times() (map[int]time.Time, error) {
	text, err := os.ReadFile(d.notes)
	times := map[int]time.Time{}
	for line := range strings.Lines(string(text)) {
		var n int
		var at int64
		if _, err := fmt.Sscan(line, &n, &at); err != nil {
			return nil, err
		}
		times[n] = time.Unix(0, at)
	}
	if _, ok := times[1]; !ok && err == nil {
		err = errors.New("nothing was committed")
	}
	return times, err
}
