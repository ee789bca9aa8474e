package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/coltec/coltec/bench/internal/proc"
)

// result is what was measured of one peer.
type result struct {
	name      string
	processes int
	pssKB     int
	wakes     float64 // per second
	cpu       float64 // per cent of one core
	start     time.Duration
	status    time.Duration
	drain     time.Duration
	lost      int // lines, in the worst drain
}

// patience is the deadline of every wait: far above what the slowest takes.
const patience = time.Minute

func measure(p peer, dir string, window time.Duration) (r result, err error) {
	r.name = p.name
	if err := measureIdle(p, dir+"/idle", window, &r); err != nil {
		return r, err
	}
	for i := range drains {
		if err := measureDrain(p, dir+"/flood"+strconv.Itoa(i), &r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// drains are how often a drain is measured; the fastest counts, because others
// use the machine too.
const drains = 5

// measureIdle is about five services that sleep.
func measureIdle(p peer, dir string, window time.Duration, r *result) error {
	var names []string
	for i := range services {
		names = append(names, "s"+strconv.Itoa(i))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	up, err := newBell(dir + "/up")
	if err != nil {
		return err
	}
	defer up.close()
	if err := p.prepare(dir, names, "echo > "+dir+"/up; exec sleep 100000"); err != nil {
		return err
	}
	began := time.Now()
	if err := p.launch(dir); err != nil {
		return err
	}
	defer p.end(dir)
	if err := up.await(services); err != nil {
		return err
	}
	r.start = time.Since(began)
	if r.status, err = median(21, func() error { return silent(p.status(dir), dir) }); err != nil {
		return fmt.Errorf("its status: %w", err)
	}
	time.Sleep(5 * time.Second) // what the start and the questions have set in motion ends
	own := processes(dir)
	was := proc.Used(own)
	time.Sleep(window)
	u := proc.Used(own).Since(was)
	r.processes, r.pssKB = len(own), proc.PSS(own)
	r.wakes = float64(u.Wakes) / window.Seconds()
	r.cpu = 100 * u.CPU.Seconds() / window.Seconds()
	return nil
}

// launch starts a peer. A peer that daemonizes is waited for.
func (p peer) launch(dir string) error {
	cmd := p.start(dir)
	mark(cmd, dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if p.stays {
		if err := cmd.Start(); err != nil {
			return err
		}
		go func() { _ = cmd.Wait() }()
		return nil
	}
	return cmd.Run()
}

// end stops a peer and sees that nothing of it is left.
func (p peer) end(dir string) {
	_ = silent(p.stop(dir), dir) // not all end what they run: hence what follows
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline) && len(processes(dir)) > 0; {
		time.Sleep(50 * time.Millisecond)
	}
	proc.EndAll(dir)
}

func mark(cmd *exec.Cmd, dir string) {
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, proc.MarkVar+"="+dir)
}

// silent runs a command that may say no: runit's status ends with the number of
// what is down.
func silent(cmd *exec.Cmd, dir string) error {
	mark(cmd, dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func median(n int, f func() error) (time.Duration, error) {
	var took []time.Duration
	for range n {
		began := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[n/2], nil
}

// bell is a named pipe that services ring.
type bell struct{ *os.File }

func newBell(path string) (bell, error) {
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		return bell{}, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0) // both ways: nobody waits to open it
	return bell{f}, err
}

func (b bell) close() { b.Close() }

// await returns when the bell has rung n times.
func (b bell) await(n int) error {
	if err := b.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := io.ReadFull(b, make([]byte, n))
	return err
}

// floodVar makes this program a service that prints floodLines lines; its value
// is the bell.
const floodVar = "COLTEC_BENCH_FLOOD"

// lastLine is what follows the lines.
const lastLine = "this was the last line"

func flood() {
	w := bufio.NewWriterSize(os.Stdout, 4096) // as the C library's, for a pipe
	for i := range floodLines {
		fmt.Fprintf(w, "%08d GET /index.html HTTP/1.1 200 1234 and some more words\n", i)
	}
	fmt.Fprintln(w, lastLine)
	w.Flush()
	time.Sleep(time.Hour) // a service that ends would be started again
}

// measureDrain is how long a log takes to hold all lines of a service that prints
// as fast as it may.
func measureDrain(p peer, dir string, r *result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	up, err := newBell(dir + "/up")
	if err != nil {
		return err
	}
	defer up.close()
	me, err := os.Executable()
	if err != nil {
		return err
	}
	if err := p.prepare(dir, []string{"flood"}, "sleep 1; echo > "+dir+"/up; exec env "+floodVar+"=1 "+me); err != nil {
		return err
	}
	if err := p.launch(dir); err != nil {
		return err
	}
	defer p.end(dir)
	if err := up.await(1); err != nil {
		return err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := awaitLast(ctx, p.logs(dir, "flood")); err != nil {
		return err
	}
	if took := time.Since(began); r.drain == 0 || took < r.drain {
		r.drain = took
	}
	n, err := countLines(p.logs(dir, "flood"))
	r.lost = max(r.lost, floodLines-n)
	return err
}

// awaitLast waits until a log ends in lastLine.
func awaitLast(ctx context.Context, dir string) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, path := range logFiles(dir) {
			if bytes.Contains(tail(path), []byte(lastLine)) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("the last line does not come")
		case <-tick.C:
		}
	}
}

func logFiles(dir string) []string {
	files, _ := filepath.Glob(dir + "/*")
	return files
}

func tail(path string) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	buf := make([]byte, 256)
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	n, _ := f.ReadAt(buf, max(0, info.Size()-int64(len(buf))))
	return buf[:n]
}

// countLines counts the different lines of the flood that are whole.
func countLines(dir string) (n int, err error) {
	seen := make([]bool, floodLines)
	for _, path := range logFiles(dir) {
		text, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			at := strings.Index(line, " GET /")
			if at < 8 || !strings.HasSuffix(line, "more words\n") {
				continue
			}
			if i, err := strconv.Atoi(line[at-8 : at]); err == nil && i < floodLines && !seen[i] {
				seen[i] = true
				n++
			}
		}
	}
	return n, nil
}

// show prints all results side by side; in brackets how many times coltecd's.
func show(results []result) {
	base := results[0]
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	defer t.Flush()
	fmt.Fprint(t, "five idle services")
	for _, r := range results {
		fmt.Fprint(t, "\t", r.name)
	}
	fmt.Fprintln(t)
	row := func(name, format string, of func(result) float64) {
		fmt.Fprint(t, name)
		for _, r := range results {
			cell := fmt.Sprintf(format, of(r))
			if of(base) > 0 && r.name != base.name {
				cell += fmt.Sprintf(" (%.2f×)", of(r)/of(base))
			}
			fmt.Fprint(t, "\t", cell)
		}
		fmt.Fprintln(t)
	}
	row("processes of its own", "%.0f", func(r result) float64 { return float64(r.processes) })
	row("PSS of them all", "%.1f MB", func(r result) float64 { return float64(r.pssKB) / 1024 })
	row("wake-ups a second", "%.2f", func(r result) float64 { return r.wakes })
	row("CPU of a core", "%.3f %%", func(r result) float64 { return r.cpu })
	row("start to five running", "%.0f ms", func(r result) float64 { return r.start.Seconds() * 1000 })
	row("status", "%.1f ms", func(r result) float64 { return r.status.Seconds() * 1000 })
	row("500,000 lines drained", "%.2f s", func(r result) float64 { return r.drain.Seconds() })
	row("lines lost or cut", "%.0f", func(r result) float64 { return float64(r.lost) })
}

// judge compares coltecd with its goals.
func judge(results []result) error {
	r := results[0]
	var missed []error
	goal := func(ok bool, format string, args ...any) {
		if !ok {
			missed = append(missed, fmt.Errorf(format, args...))
		}
	}
	goal(r.pssKB <= 12<<10, "PSS is %d kB, the goal is 12 MB", r.pssKB)
	goal(r.wakes <= 1, "%.2f wake-ups a second, the goal is 1", r.wakes)
	goal(r.cpu <= 0.1, "%.3f %% CPU, the goal is 0.1", r.cpu)
	goal(r.start <= 150*time.Millisecond, "start takes %v, the goal is 150 ms", r.start)
	goal(r.status <= 30*time.Millisecond, "status takes %v, the goal is 30 ms", r.status)
	goal(r.lost == 0, "%d lines are lost", r.lost)
	for _, other := range results[1:] {
		if other.name == "supervisord" {
			goal(r.drain <= other.drain, "the drain takes %v, supervisord %v", r.drain, other.drain)
		}
	}
	return errors.Join(missed...)
}
