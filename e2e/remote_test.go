package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// TestRemoteFaults has the store fail in each of its ways under a running
// coltecd: status says which and what mends it, nothing is lost, and it goes on
// by itself when the store does.
func TestRemoteFaults(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fault s3test.Fault
		says  []string
	}{
		"has a fault":         {s3test.Fault{Status: 500, Code: "InternalError"}, []string{"the store has a fault"}},
		"throttles":           {s3test.Fault{Status: 429, Code: "TooManyRequests"}, []string{"the store asks for fewer requests"}},
		"slows down":          {s3test.Fault{Status: 503, Code: "SlowDown"}, []string{"the store asks for fewer requests"}},
		"is cut off":          {s3test.Fault{Drop: true}, []string{"the store cannot be reached", "check the network"}},
		"cuts its answers":    {s3test.Fault{DropResponse: true}, []string{"the store cannot be reached", "check the network"}},
		"credentials expire":  {s3test.Fault{Status: 400, Code: "ExpiredToken"}, []string{"refuses the credentials", "check the access key"}},
		"rights are taken":    {s3test.Fault{Kind: s3test.Put, Status: 403, Code: "AccessDenied"}, []string{"refuses the credentials", "give the key the right to write"}},
		"clocks are apart":    {s3test.Fault{Status: 403, Code: "RequestTimeTooSkewed"}, []string{"clock is too far from the store's", "set the clock"}},
		"the bucket is gone":  {s3test.Fault{Status: 404, Code: "NoSuchBucket"}, []string{"the bucket does not exist", "make the bucket"}},
		"the store is full":   {s3test.Fault{Kind: s3test.Put, Status: 507, Code: "QuotaExceeded"}, []string{"the store is full", "make room in the bucket"}},
		"another write waits": {s3test.Fault{Kind: s3test.Put, Status: 409, Code: "OperationAborted"}, []string{"the store was busy with another write"}},
	}
	for name, tt := range sample.Cases(t, 6, tests) {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.machine("a")
			a.spec(nil)
			a.seed()
			a.start()
			a.sync()
			i, _ := a.instance()
			mend := w.proxy.Inject(tt.fault)
			a.change()
			_, _, _ = a.run("sync")
			a.says(tt.says...)
			mend()
			a.goesOn()
			if now, ok := a.instance(); !ok || now.PID != i.PID {
				t.Error("coltecd is not the process that it was")
			}
		})
	}
}

// A store that answers late is not a fault: nothing is said, everything arrives.
func TestSlowStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(func(o *specOptions) { o.TTL, o.Renew = "60s", "20s" })
	a.seed()
	w.proxy.Inject(s3test.Fault{Delay: 500 * time.Millisecond})
	a.start()
	a.change()
	a.sync()
	if doc := a.status(); doc.State != status.Running || len(doc.Attention) > 0 {
		t.Errorf("%s: %q", doc.State, doc.Attention)
	}
	w.stillReadable(a.tree())
}

// rewriteHead changes the head of the workspace in the bucket.
func (w *world) rewriteHead(change func(holder map[string]any)) {
	w.t.Helper()
	key := store.HeadKey(workspaceName)
	var head map[string]any
	w.json(key, &head)
	change(head["holder"].(map[string]any))
	body, err := json.Marshal(head)
	file := filepath.Join(w.t.TempDir(), "head.json")
	if err == nil {
		err = os.WriteFile(file, body, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.rclone("copyto", file, "{bucket}/"+key)
}

// A killed coltecd that nobody had waited for counted as one that runs, so that
// its lease was taken after the first retry or, where the first process of the
// container reaps nothing, after the ttl.
//
// Whoever crashed has its lease back at once, also after a restart of its container.
// After another boot it has it once it was silent for one renewal: a machine that was
// cloned has another boot, and lives. Anybody else waits for the ttl, which is longer
// here than the test is patient.
func TestOwnLeaseIsBackAtOnce(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		holder func(h map[string]any) // as the crash left it; nil: as it is
		waits  bool                   // for the ttl
		doubt  bool                   // for a renewal
	}{
		"a crash":           {nil, false, false},
		"another boot":      {func(h map[string]any) { h["boot"] = "before"; h["pid"] = os.Getpid() }, false, true},
		"another name":      {func(h map[string]any) { h["host"] = "before" }, false, false},
		"another container": {func(h map[string]any) { h["container"] = "0123456789ab"; h["boot"] = "before" }, true, false},
		"another folder":    {func(h map[string]any) { h["place"] = "1:2"; h["boot"] = "before" }, true, false},
		"another machine":   {func(h map[string]any) { h["machine"] = "0123"; h["boot"] = "before" }, true, false},
		"another id":        {func(h map[string]any) { h["id"] = "0123"; h["boot"] = "before" }, true, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.machine("a")
			a.spec(func(o *specOptions) {
				o.TTL, o.Renew = "30m", "60s"
				if tt.doubt {
					o.Renew = "5s"
				}
			})
			a.seed()
			a.start()
			a.sync()
			epoch := a.status().Lease.Epoch
			a.kill9()
			a.change()
			if tt.holder != nil {
				w.rewriteHead(tt.holder)
			}
			a.must("start")
			if tt.waits {
				doc := a.await("it waits", func(doc status.Document) bool { return doc.Lease.State == status.LeaseWaiting })
				if h := doc.Lease.Holder; h == nil || h.Host != "a" || h.LastSeen == nil {
					t.Errorf("the holder is %+v", h)
				}
				a.says("the lease is held by a")
				return
			}
			if tt.doubt {
				a.says("the lease was held by this machine before its reboot", "to be sure")
			}
			a.goesOn()
			if log := a.log(); strings.Contains(log, "the lease is held by") {
				t.Errorf("it waits for itself:\n%s", log)
			}
			if got := a.status().Lease.Epoch; got != epoch+1 {
				t.Errorf("the epoch is %d after %d", got, epoch)
			}
		})
	}
}

// While another has the lease, what does not write runs: services, and
// replicas that only pull; they go on when it is free.
func TestWithoutTheLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.pair()
	a.seed()
	a.start()
	w.rclone("copyto", a.path("edit.txt"), "{bucket}/shared/first.txt")
	b.mkdir("shared")
	b.spec(func(o *specOptions) {
		o.TTL, o.Renew = "60s", "1s"
		o.Replicas[0].Exclude = append(o.Replicas[0].Exclude, "/shared/**")
		o.Replicas = append(o.Replicas, replicaSpec{
			Name: "shared", Path: b.path("shared"), RemotePath: "shared", Direction: "pull-only", Interval: 10, Priority: 2,
		})
		o.Services = []map[string]any{{"name": "web", "command": []string{"sleep", "1000"}}}
	})
	b.must("start")
	b.says("the lease is held by a", "since", "last seen")
	b.await("what only pulls has pulled, and the service runs", func(doc status.Document) bool {
		return replicaIn(t, doc, "shared").State == status.ReplicaSynced && len(doc.Units) == 1 && doc.Units[0].PID > 0
	})
	if got := b.read("shared/first.txt"); got != "before" {
		t.Errorf("pulled: %q", got)
	}
	if again := b.must("start"); !strings.Contains(again, "already running") {
		t.Errorf("start says %q", again)
	}
	b.write("mine.txt", "kept")
	a.stop()
	b.await("it goes on by itself", func(doc status.Document) bool {
		return doc.Lease.State == status.LeaseHeld && replicaIn(t, doc, "workspace").State == status.ReplicaSynced
	})
	b.sync()
	w.stillReadable(map[string]node{"mine.txt": {Kind: "file", Sum: sumOf("kept")}})
}

// A fenced coltecd ends the rclone that uploads for it, and keeps what it had
// to say for the time when it has the lease back.
func TestFencedInTheMiddleOfAnUpload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.pair()
	a.seed()
	a.start()
	a.sync()
	begun := make(chan struct{}, 64)
	mend := w.proxy.Inject(s3test.Fault{
		Kind: s3test.Put, Key: "/o/", Before: func(s3test.Request) { begun <- struct{}{} }, Hang: true,
	})
	for i := range 4 {
		a.write(fmt.Sprintf("large%d.bin", i), scrambled(uint64(10+i), 400<<10))
	}
	go a.command(t.Context(), "sync").Run() //nolint:errcheck // it cannot end well
	select {
	case <-begun:
	case <-time.After(patience):
		t.Fatal("nothing is uploaded")
	}
	i, _ := a.instance()
	uploading := below(i.PID)
	if len(uploading) == 0 {
		t.Fatal("there is no rclone")
	}
	b.must("start") // waits
	b.await("it waits", func(doc status.Document) bool { return doc.Lease.State == status.LeaseWaiting })
	b.must("takeover", "--force")
	for _, p := range uploading {
		if !p.awaitEnd(patience) {
			t.Errorf("process %d goes on", p.pid)
		}
	}
	a.await("it knows", func(doc status.Document) bool {
		return doc.Lease.State == status.LeaseWaiting && doc.Lease.Holder != nil && doc.Lease.Holder.Host == "b"
	})
	mend()
	b.await("it has all", func(doc status.Document) bool { return replicaIn(t, doc, "workspace").State == status.ReplicaSynced })
	b.write("by b.txt", "b")
	b.sync()
	b.stop()
	a.goesOn()
	if got := a.read("by b.txt"); got != "b" {
		t.Errorf("merged: %q", got)
	}
	a.stop()
	converge(t, a, b, a.tree(), 0)
}
