package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// growing is a log that a goroutine appends to; each line says its number.
type growing struct {
	path  string
	start string       // what the log held before
	lines atomic.Int64 // that are written
}

func logLine(i int64) string {
	return fmt.Sprintf("%010d %s\n", i, strings.Repeat("what happened ", 5))
}

// grow appends a line so often, until the test ends.
func grow(t *testing.T, path, start string, every time.Duration) *growing {
	t.Helper()
	g := &growing{path: path, start: start}
	if err := os.WriteFile(path, []byte(start), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				ended <- f.Close()
				return
			case <-tick.C:
				if _, err := f.WriteString(logLine(g.lines.Load())); err != nil {
					ended <- err
					return
				}
				g.lines.Add(1)
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return g
}

// holds says how many whole lines some content of the log has.
func (g *growing) holds(content string) (int64, error) {
	rest, ok := strings.CutPrefix(content, g.start)
	if !ok {
		return 0, fmt.Errorf("%d bytes do not begin with the %d that were there", len(content), len(g.start))
	}
	var n int64
	for ; rest != ""; n++ {
		line := logLine(n)
		if len(rest) < len(line) {
			if !strings.HasPrefix(line, rest) {
				return n, fmt.Errorf("it ends with %q", rest)
			}
			return n, nil
		}
		if rest[:len(line)] != line {
			return n, fmt.Errorf("line %d is %q", n, rest[:len(line)])
		}
		rest = rest[len(line):]
	}
	return n, nil
}

// A log that a program appended to each 2 to 20 ms, or each 0.2 s to one of 50 MB, was
// in no generation, or without its last hour. The next machine has each line that was
// written before the stop began; meanwhile the bucket is some seconds behind, and there
// is no commit for each line.
func TestLogsAreInTheBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.spec(func(o *specOptions) { o.Replicas[0].Interval, o.Replicas[0].Watch = 24*3600, true })
	}
	a.write("still", "another file")
	a.start()
	logs := map[string]*growing{
		"fast.log":   grow(t, a.path("fast.log"), "", 2*time.Millisecond),
		"steady.log": grow(t, a.path("steady.log"), "", 20*time.Millisecond),
		"slow.log":   grow(t, a.path("slow.log"), scrambled(7, 50<<20), 200*time.Millisecond),
	}
	a.sync()
	began := time.Now() // before the look: what is held is that it takes so long at least
	at := a.status().Lease.Generation
	a.await("three generations of logs", func(d status.Document) bool { return d.Lease.Generation >= at+3 })
	took := time.Since(began)
	if took < 10*time.Second {
		t.Errorf("three generations in %v: a commit for each line is too many", took)
	}
	before := map[string]int64{}
	for name, g := range logs {
		before[name] = g.lines.Load()
	}
	a.stop()
	b.start()
	for name, g := range logs {
		got, err := g.holds(b.read(name))
		if err != nil || got < before[name] {
			t.Errorf("%s: %d lines where %d were written before the stop: %v", name, got, before[name], err)
		}
	}
	if doc := b.status(); doc.State != status.Running {
		t.Errorf("the next machine needs attention: %s", words(doc))
	}
}

// `history restore` brought back files that were older than the generation, and nothing
// said which.
func TestHistoryNamesWhatIsOlder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.asUser()
	m.spec(nil)
	m.write("d/locked", "before")
	m.write("d/other", "before")
	m.own()
	m.start()
	m.sync()
	m.write("d/locked", "after")
	m.chmod("d/locked", 0)
	m.write("d/other", "after")
	m.own()
	m.run("sync")
	gens := answer[[]store.Generation](m, "history")
	last := gens[len(gens)-1]
	if n := last.Replicas["workspace"].Older; n != 1 || gens[0].Replicas["workspace"].Older != 0 {
		t.Errorf("%d paths of the last generation are older, of the first %d", n, gens[0].Replicas["workspace"].Older)
	}
	at := fmt.Sprint(last.Number)
	for _, args := range [][]string{
		{"history", "show", at}, {"history", "restore", "--at", at, "--to", m.path("../all")}, {"history", "restore", m.path("d"), "--at", at, "--to", m.path("../d")},
	} {
		if text := m.must(args...); !strings.Contains(text, `"d/locked": permission denied`) {
			t.Errorf("%q does not name what is older:\n%s", args, text)
		}
	}
	placed := answer[[]history.Placed](m, "history", "restore", m.path("d/other"), "--at", at, "--to", m.path("../other"))
	if placed[0].Older != nil {
		t.Errorf("of another path %+v is older", placed[0].Older)
	}
	got, err := os.ReadFile(m.path("../all/d/locked"))
	if err != nil || !bytes.Equal(got, []byte("before")) {
		t.Errorf("restored as %q, %v", got, err)
	}
	m.chmod("d/locked", 0o600)
	m.sync()
	gens = answer[[]store.Generation](m, "history")
	if n := gens[len(gens)-1].Replicas["workspace"].Older; n != 0 {
		t.Errorf("%d paths are older once all can be read", n)
	}
}
