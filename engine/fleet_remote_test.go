package engine

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
)

// fleetStore is a store as many workspaces meet it: each request takes its time, and so many
// are taken in a second. TestFleetCounts holds what is counted here to what a real one saw.
type fleetStore struct {
	bucket  *storetest.Bucket // its clock is kept with the bubble's; nil: a real store has its own
	latency time.Duration     // of each request
	limit   int               // requests in a second, all others are refused; 0: all are taken

	mu      sync.Mutex
	at      time.Time     // of the bucket's clock
	seconds map[int64]int // requests that were taken, by second
	refused int           // requests
}

// bound sets how many requests are taken in a second.
func (s *fleetStore) bound(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
}

// spending counts requests: "put head" → 3.
type spending struct {
	mu sync.Mutex
	by map[string]int
}

func (s *spending) add(what string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[string]int{}
	}
	s.by[what] += n
}

// now is a copy of what was counted so far.
func (s *spending) now() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.by)
}

// since is what b has more than a.
func since(a, b map[string]int) map[string]int {
	more := map[string]int{}
	for what, n := range b {
		if n > a[what] {
			more[what] = n - a[what]
		}
	}
	return more
}

// placeOf says what an object of a bucket is, by its key.
func placeOf(key string) string {
	_, own, ours := strings.Cut(key, ".coltec/")
	switch name := own[strings.LastIndexByte(own, '/')+1:]; {
	case !ours:
		return "elsewhere"
	case strings.Contains(own, "/digest/"):
		return "digest"
	case name == "head.json":
		return "head"
	case strings.HasPrefix(name, "log-"):
		return "log"
	case name == "claim.json":
		return "claim"
	case strings.HasPrefix(own, "o/"):
		return "content"
	case strings.HasPrefix(own, "m/"):
		return "tree"
	}
	return "other"
}

// take is one request; the error is that it is one too many.
func (s *fleetStore) take(ctx context.Context, op, key string) error {
	if s.latency > 0 && waitFor(ctx, s.latency) != nil {
		return &rclone.Error{Op: op, Key: key, Exit: -1, Class: rclone.Canceled, Text: "cut off"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.bucket != nil {
		if !s.at.IsZero() {
			s.bucket.Advance(now.Sub(s.at))
		}
		s.at = now
	}
	if s.limit > 0 && s.seconds[now.Unix()] >= s.limit {
		s.refused++
		return &rclone.Error{Op: op, Key: key, Exit: 1, Class: rclone.Throttled, Text: "SlowDown: Please reduce your request rate."}
	}
	if s.seconds == nil {
		s.seconds = map[int64]int{}
	}
	s.seconds[now.Unix()]++
	return nil
}

// waitFor lets time pass. The error is that ctx ended.
func waitFor(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// fleetRemote is the way of one workspace to the store: it counts requests as a real store
// does, and tries again as rclone and pkg/rclone do.
type fleetRemote struct {
	scope.Remote
	store *fleetStore
	spent *spending
	under string // where its keys begin
}

// How often each request is made that is refused, and after which time, as pkg/rclone has it.
const (
	writeTries, writePause = 4, 1100 * time.Millisecond
	bulkTries, bulkPause   = 2, 100 * time.Millisecond
)

// ask makes a request for each key, each tried so often.
func (r *fleetRemote) ask(ctx context.Context, kind string, keys []string, tries int, pause time.Duration) error {
	for _, key := range keys {
		what := kind
		if kind != "list" {
			what += " " + placeOf(r.under+"/"+key)
		}
		for try := 1; ; try++ {
			r.spent.add(what, 1)
			err := r.store.take(ctx, kind, key)
			if err == nil {
				break
			}
			if try == tries || waitFor(ctx, pause) != nil {
				return err
			}
		}
	}
	return nil
}

func (r *fleetRemote) PutIf(ctx context.Context, key string, body []byte, cond rclone.Cond) error {
	if err := r.ask(ctx, "put", []string{key}, writeTries, writePause); err != nil {
		return err
	}
	return r.Remote.PutIf(ctx, key, body, cond)
}

func (r *fleetRemote) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	if err := r.ask(ctx, "get", []string{key}, 1, 0); err != nil {
		return nil, err
	}
	return r.Remote.Get(ctx, key, limit)
}

func (r *fleetRemote) Stat(ctx context.Context, key string) (rclone.Object, error) {
	if err := r.ask(ctx, "head", []string{key}, bulkTries, bulkPause); err != nil {
		return rclone.Object{}, err
	}
	return r.Remote.Stat(ctx, key)
}

func (r *fleetRemote) Upload(ctx context.Context, dir string, keys []string, p store.Progress) (rclone.Transfer, error) {
	if err := r.ask(ctx, "put", keys, bulkTries, bulkPause); err != nil {
		return rclone.Transfer{}, err
	}
	return r.Remote.Upload(ctx, dir, keys, p)
}

func (r *fleetRemote) Download(ctx context.Context, keys []string, dir string, p store.Progress) (rclone.Transfer, error) {
	if err := r.ask(ctx, "get", keys, bulkTries, bulkPause); err != nil {
		return rclone.Transfer{}, err
	}
	return r.Remote.Download(ctx, keys, dir, p)
}

func (r *fleetRemote) List(ctx context.Context, prefix string) ([]rclone.Object, error) {
	if err := r.ask(ctx, "list", []string{prefix}, bulkTries, bulkPause); err != nil {
		return nil, err
	}
	return r.Remote.List(ctx, prefix)
}

func (r *fleetRemote) ListEach(ctx context.Context, prefix string, lo rclone.ListOptions, f func(rclone.Object) error) error {
	if err := r.ask(ctx, "list", []string{prefix}, bulkTries, bulkPause); err != nil {
		return err
	}
	return r.Remote.ListEach(ctx, prefix, lo, f)
}

func (r *fleetRemote) Delete(ctx context.Context, keys []string) error {
	if err := r.ask(ctx, "delete", keys, bulkTries, bulkPause); err != nil {
		return err
	}
	return r.Remote.Delete(ctx, keys)
}

func (r *fleetRemote) Copy(ctx context.Context, keys []string, to string) (rclone.Transfer, error) {
	if err := r.ask(ctx, "copy", keys, bulkTries, bulkPause); err != nil {
		return rclone.Transfer{}, err
	}
	return r.Remote.Copy(ctx, keys, to)
}

func (r *fleetRemote) Move(ctx context.Context, keys []string, to string) (rclone.Transfer, error) {
	if err := r.ask(ctx, "copy", keys, bulkTries, bulkPause); err != nil {
		return rclone.Transfer{}, err
	}
	if err := r.ask(ctx, "delete", keys, bulkTries, bulkPause); err != nil {
		return rclone.Transfer{}, err
	}
	return r.Remote.Move(ctx, keys, to)
}

// Probe asks what rclone.Remote.Probe does of a store that knows conditions.
func (r *fleetRemote) Probe(ctx context.Context, key string) (rclone.ProbeResult, error) {
	for _, kind := range []string{"put", "put", "put", "put", "head", "delete"} {
		if err := r.ask(ctx, kind, []string{key}, bulkTries, bulkPause); err != nil {
			return rclone.ProbeResult{}, err
		}
	}
	return r.Remote.Probe(ctx, key)
}
