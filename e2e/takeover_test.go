package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// talk is a verb that runs, and what it says, line by line.
type talk struct {
	m     *machine
	cmd   *exec.Cmd
	lines chan string
	said  []string
}

func (m *machine) talks(args ...string) *talk {
	m.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	m.t.Cleanup(cancel)
	k := &talk{m: m, cmd: m.command(ctx, args...), lines: make(chan string)}
	pipe, err := k.cmd.StderrPipe()
	if err == nil {
		err = k.cmd.Start()
	}
	if err != nil {
		m.t.Fatal(err)
	}
	go func() {
		defer close(k.lines)
		for s := bufio.NewScanner(pipe); s.Scan(); {
			k.lines <- s.Text()
		}
	}()
	return k
}

// until reads lines up to one with that in it. "" stands for the end.
func (k *talk) until(what string) string {
	k.m.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line, ok := <-k.lines:
			if k.said = append(k.said, line); ok && what != "" && strings.Contains(line, what) {
				return line
			}
			if !ok {
				_ = k.cmd.Wait()
				if what != "" {
					k.m.t.Fatalf("it ended without %q: %q", what, k.said)
				}
				return ""
			}
		case <-deadline:
			k.m.t.Fatalf("not said in %s: %q; but %q", patience, what, k.said)
		}
	}
}

// waiting makes two machines, of which a has the lease and b, on a way to the store of
// its own, waits for it.
func (w *world) waiting(ttl, renew string) (a, b *machine, way *s3test.Proxy) {
	w.t.Helper()
	a, b = w.pair()
	for _, m := range []*machine{a, b} {
		m.spec(func(o *specOptions) { o.TTL, o.Renew = ttl, renew })
	}
	way = w.s3.Proxy(w.t)
	b.env["RCLONE_S3_ENDPOINT"] = way.Endpoint
	a.write("f", "f")
	a.start()
	a.sync()
	b.must("start")
	b.await("it waits", func(doc status.Document) bool { return doc.Lease.State == status.LeaseWaiting })
	return a, b, way
}

// A takeover said nothing for the time of a renewal and more, and looked at the head
// each second with five requests; who had handed over showed itself as the holder,
// "since 0001-01-01".
func TestTakeoverTells(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, way := w.waiting("60s", "12s")
	goOn := make(chan struct{})
	mend := sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(mend)
	w.proxy.Inject(s3test.Fault{Kind: s3test.Put, Key: "/o/", Before: func(s3test.Request) { <-goOn }})
	a.write("late.txt", "not pushed when it was asked for")
	way.Reset()
	from := time.Now()
	k := b.talks("takeover")
	k.until("a has held the lease since 2")
	asked := k.until("asked at")
	if !strings.Contains(asked, "the last renewal of a was") || !strings.Contains(asked, "within about") {
		t.Errorf("it says %q", asked)
	}
	k.until("a has seen the request: it pushes what it has")
	k.until("still waiting, for")
	mend()
	k.until("this machine now holds the lease, epoch 2")
	took := time.Since(from)
	k.until("")
	if code := k.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit %d", code)
	}
	looks := 0
	for _, r := range way.Requests() {
		if r.Kind == s3test.Get && strings.HasSuffix(r.Key, "/head.json") {
			looks++
		}
	}
	if most := 8 + int(took/(2*time.Second)); looks > most || len(way.Requests()) > most+30 {
		t.Errorf("%d looks at the head and %d requests in %s", looks, len(way.Requests()), took)
	}
	t.Logf("%d looks at the head, %d requests in %s: %q", looks, len(way.Requests()), took, k.said)
	doc := a.await("it knows since when", func(doc status.Document) bool {
		h := doc.Lease.Holder
		if doc.Lease.State == status.LeaseWaiting && (h == nil || h.Host != "b") || strings.Contains(inline(doc), "0001-01-01") {
			t.Fatalf("it says %s", inline(doc))
		}
		return h != nil && h.Host == "b" && !h.Since.IsZero()
	})
	if is := b.status().Lease.Holder; !is.Since.Equal(doc.Lease.Holder.Since) {
		t.Errorf("a says since %s, b %s", doc.Lease.Holder.Since, is.Since)
	}
	b.await("it has all", func(doc status.Document) bool { return replicaIn(t, doc, "workspace").State == status.ReplicaSynced })
	if got := b.read("late.txt"); got != "not pushed when it was asked for" {
		t.Errorf("handed over: %q", got)
	}
}

// Ctrl-C ends the waiting, and says that the request stays.
func TestTakeoverInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, b, _ := w.waiting("120s", "30s")
	k := b.talks("takeover")
	k.until("asked at")
	if err := k.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	k.until("the request stays in the bucket: a hands over when it sees it")
	k.until("")
	if code := k.cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit %d: %q", code, k.said)
	}
	b.await("it has the lease all the same", func(doc status.Document) bool { return doc.Lease.State == status.LeaseHeld })
}

// To ask a holder that was dead gave it another ttl, since the head was young again.
func TestTakeoverOfADeadHolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const ttl = 40 * time.Second
	a, b, _ := w.waiting(ttl.String(), "5s")
	a.kill9()
	info, err := os.Stat(filepath.Join(w.s3.Dir, w.s3.Bucket, store.HeadKey(workspaceName)))
	if err != nil {
		t.Fatal(err)
	}
	last := info.ModTime()
	eventually(t, "half of its time is over", func() error {
		if since := time.Since(last); since < ttl/2 {
			return fmt.Errorf("it was silent for %s", since)
		}
		return nil
	})
	k := b.talks("takeover")
	k.until("a has not renewed the lease for")
	k.until("this machine now holds the lease, epoch 2")
	took := time.Since(last)
	k.until("")
	if took < ttl || took > ttl*3/2-2*time.Second {
		t.Errorf("it took %s from the last write of the holder", took)
	}
	t.Logf("%s: %q", took, k.said)
}
