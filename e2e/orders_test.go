package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/status"
)

// held stops the nth request that a machine makes from now on until it is let go. Those of another
// machine go by: it talks to the store itself.
type heldRequest struct {
	arrived chan struct{}
	release func()
}

func (w *world) hold(nth int) heldRequest {
	arrived, goOn := make(chan struct{}), make(chan struct{})
	h := heldRequest{arrived, sync.OnceFunc(func() { close(goOn) })}
	var seen atomic.Int64
	w.proxy.Inject(s3test.Fault{
		If:     func(r s3test.Request) bool { return r.Kind != s3test.HeadBucket && seen.Add(1) == int64(nth) },
		Before: func(s3test.Request) { close(arrived); <-goOn },
	})
	return h
}

// An order of one machine meets one of another in the middle: what ended with 0 is as it says, what
// did not has changed nothing that is lost, and both come to the same tree.
func TestTwoOrdersAtOnce(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	type meeting struct {
		first, second string
		nth           int // request of the first at which the second one comes
	}
	var all []meeting
	for _, first := range []string{"checkpoint", "rewind", "join", "gc", "sync"} {
		for _, second := range []string{"takeover", "hand over", "fork", "purge of the fork", "gc elsewhere"} {
			for nth := 1; nth <= 6; nth++ {
				all = append(all, meeting{first, second, nth})
			}
		}
	}
	seed := seedFromEnv(t)
	rnd := rand.New(rand.NewPCG(uint64(seed), 4))
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	n := min(len(all), sample.Size(12, len(all)))
	t.Logf("%d of %d; COLTEC_SEED=%d repeats them", n, len(all), seed)
	for _, x := range all[:n] {
		t.Run(fmt.Sprintf("%s and %s at request %d", x.first, x.second, x.nth), func(t *testing.T) {
			t.Parallel()
			meet(t, x.first, x.second, x.nth)
		})
	}
}

// meet has two orders meet.
func meet(t *testing.T, first, second string, nth int) {
	w := newWorld(t)
	a := w.ofEnv("dev")
	a.seed()
	for i := range 40 {
		a.write(fmt.Sprintf("many/%d", i), fmt.Sprint("one of many ", i))
	}
	a.once()
	f := a.forked("try")[0]
	f.write("theirs.txt", "theirs")
	f.once()
	source, said, err := a.made("dev")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	fork, said, err := a.made("try")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	b := w.ofEnv("dev")
	b.env["RCLONE_S3_ENDPOINT"] = w.s3.Endpoint              // it is not held
	host := &machine{t: t, world: w, env: maps.Clone(a.env)} // has agreed to what a has
	host.env["RCLONE_S3_ENDPOINT"] = w.s3.Endpoint
	host.withoutContainers()
	a.start()
	a.must("checkpoint", "good")
	then := a.carried()
	a.change()
	a.sync()
	now := a.carried()
	taken := second == "takeover" || second == "hand over"
	if taken {
		b.must("start")
		b.await("it waits", func(doc status.Document) bool { return doc.Lease.State == status.LeaseWaiting })
	}
	a.write("last.txt", "last")
	if first != "rewind" {
		now = a.carried()
	}

	h := w.hold(nth)
	defer h.release()
	ended := a.begins(map[string][]string{
		"checkpoint": {"checkpoint", "met"}, "rewind": {"rewind", "good", "--yes"}, "join": {"join", "acme/widget/try"}, "gc": {"gc"}, "sync": {"sync"},
	}[first]...)
	select {
	case <-h.arrived:
	case <-time.After(10 * time.Second): // it makes fewer requests
	}
	handedOver := func() (string, error) { return "", nil }
	switch second {
	case "takeover":
		b.must("takeover", "--force")
	case "hand over":
		handedOver = b.begins("takeover")
	case "fork":
		if out, err := host.host("fork", source+"@good", "another"); err != nil {
			t.Errorf("fork: %v\n%s", err, out)
		}
	case "purge of the fork":
		if out, err := host.host("rm", "--purge", "--yes", fork); err != nil {
			t.Errorf("purge: %v\n%s", err, out)
		}
	case "gc elsewhere":
		if out, talk, code := b.run("gc", "--dry-run"); code != 0 {
			t.Errorf("gc: %d %s%s", code, out, talk)
		}
	}
	h.release()
	out, err := ended()
	t.Logf("%v: %s", err, out)
	if out, err := handedOver(); err != nil {
		t.Errorf("it was not handed over: %v\n%s", err, out)
	}
	switch {
	case err == nil && first == "rewind":
		sameTree(t, then, a.carried())
	case err == nil && first == "join" && a.read("theirs.txt") != "theirs":
		t.Error("what was joined is not here")
	case err != nil && !taken && !(first == "join" && second == "purge of the fork"):
		t.Errorf("%s met what does not hinder it: %v\n%s", first, err, out)
	}
	if second == "fork" {
		g := w.ofEnv("another")
		g.once()
		sameTree(t, then, g.carried())
	}
	a.converges(b, first, err == nil, taken, then, now)
}

// converges ends both machines, and holds that they have the same, of what is expected.
func (m *machine) converges(b *machine, first string, done, taken bool, then, now map[string]node) {
	m.t.Helper()
	b.env["RCLONE_S3_ENDPOINT"] = m.world.endpoint
	if taken {
		_, _, _ = b.run("stop", "--timeout", "150s")
	}
	_, _, _ = m.run("stop", "--timeout", "150s")
	for _, x := range []*machine{m, b, m, b} {
		x.once()
	}
	got := m.carried()
	sameTree(m.t, got, b.carried())
	delete(got, `"last.txt"`) // which may have come before or after
	delete(got, `"theirs.txt"`)
	want := now
	if first == "rewind" {
		if _, is := got[`"gone.txt"`]; is { // it was taken back
			want = then
		}
	}
	want = overlaid(want, nil, "last.txt", "theirs.txt")
	if !taken || first != "rewind" || done {
		sameTree(m.t, want, got)
	}
	if first == "checkpoint" {
		list := answer[[]control.Checkpoint](b, "checkpoints")
		found := false
		for _, c := range list {
			found = found || c.Name == "met"
		}
		if done && !found {
			m.t.Errorf("the checkpoint that was made is not there: %+v", list)
		}
		if found {
			to := filepath.Join(m.t.TempDir(), "to")
			b.must("history", "restore", "--at", "met", "--to", to)
		}
	}
	if aside := kept(m.t, m.dir, "conflicts"); len(aside) > 0 && !strings.HasPrefix(first, "join") {
		m.t.Errorf("nobody edited on two sides, and aside are %d", len(aside))
	}
}
