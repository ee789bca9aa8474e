package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Log is the log of generations that a head leads to.
type Log struct {
	Generations []Generation // oldest first; the last one is the head's
	Segments    []string     // keys of the objects that hold the older ones
}

// segmentsAtOnce is the number of segments from which they are fetched by one
// transfer and not one by one: each costs a run of rclone.
const segmentsAtOnce = 3

// ReadLog reads all generations that a head names. The bucket is the one that
// the head is in; tmp is a local directory for a long log on its way.
func ReadLog(ctx context.Context, b Bucket, h *Head, tmp string) (*Log, error) {
	r := logReader{bucket: b, dir: path.Dir(HeadKey(h.Workspace))}
	l := &Log{}
	seen := map[string]bool{}
	var segments [][]Generation
	for key := h.Log; key != ""; {
		if seen[key] {
			return nil, fmt.Errorf("cannot read the log of generations: segment %q leads to itself", key)
		}
		seen[key] = true
		if len(l.Segments) == segmentsAtOnce {
			stop, err := r.fetchAll(ctx, tmp)
			if err != nil {
				return nil, err
			}
			defer stop()
		}
		s, err := r.read(ctx, key)
		if err != nil {
			return nil, err
		}
		l.Segments = append(l.Segments, key)
		segments = append(segments, s.Generations)
		key = s.Before
	}
	for i := len(segments) - 1; i >= 0; i-- {
		l.Generations = append(l.Generations, segments[i]...)
	}
	l.Generations = append(l.Generations, h.Recent...)
	for i := 1; i < len(l.Generations); i++ {
		if l.Generations[i-1].Number >= l.Generations[i].Number {
			return nil, fmt.Errorf("cannot read the log of generations: %d comes after %d", l.Generations[i].Number, l.Generations[i-1].Number)
		}
	}
	return l, nil
}

// logReader reads segments, from a local copy where there is one.
type logReader struct {
	bucket Bucket
	dir    string // where segments lie in the bucket
	local  string // a copy of them, "" for none
}

// fetchAll copies all segments that there are.
func (r *logReader) fetchAll(ctx context.Context, tmp string) (stop func(), err error) {
	objects, err := r.bucket.List(ctx, r.dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the log of generations: %w", err)
	}
	var keys []string
	for _, o := range objects {
		if strings.HasPrefix(o.Key, logPrefix) {
			keys = append(keys, path.Join(r.dir, o.Key))
		}
	}
	local, err := os.MkdirTemp(tmp, "log-")
	if err != nil {
		return nil, err
	}
	stop = func() { os.RemoveAll(local) }
	if _, err := r.bucket.Download(ctx, keys, local, nil); err != nil {
		stop()
		return nil, fmt.Errorf("cannot read the log of generations: %w", err)
	}
	r.local = local
	return stop, nil
}

func (r *logReader) read(ctx context.Context, key string) (*logSegment, error) {
	var body []byte
	err := errors.New("no copy")
	if r.local != "" {
		body, err = os.ReadFile(filepath.Join(r.local, key))
	}
	if err != nil {
		if body, err = r.bucket.Get(ctx, key); err != nil {
			return nil, fmt.Errorf("cannot read the log of generations: %w", err)
		}
	}
	var s logSegment
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, fmt.Errorf("cannot read the log of generations %q: %w", key, err)
	}
	if s.Format != headFormat {
		return nil, fmt.Errorf("cannot read the log of generations %q: format %d is not known to this version of coltecd", key, s.Format)
	}
	return &s, nil
}

// Until these ages, of the time since a generation was replaced by the next,
// all are kept, and then the last of each hour.
const (
	keepAll    = 24 * time.Hour
	keepHourly = 72 * time.Hour
)

// Keep says which generations stay: all of the last 24 hours, the last of each
// hour for 3 days, the last of each day for as long as keep says, and the
// newest always. A generation's age counts from when it was replaced: what was
// true until a minute ago is a minute old, however long it had been true.
//
// Times are those of the machines that committed. A clock that was behind
// counts as that of the generation before, one that was ahead makes too much
// stay, never too little. Who keeps less today keeps no more of the same
// tomorrow: what was dropped is not missed later.
func Keep(gens []Generation, now time.Time, keep time.Duration) []Generation {
	times := make([]time.Time, len(gens))
	for i, g := range gens {
		times[i] = g.Time
		if i > 0 && times[i].Before(times[i-1]) {
			times[i] = times[i-1]
		}
	}
	var out []Generation
	for i, g := range gens {
		if i == len(gens)-1 {
			return append(out, g)
		}
		lastOf := func(d time.Duration) bool { return !times[i].Truncate(d).Equal(times[i+1].Truncate(d)) }
		switch age := now.Sub(times[i+1]); {
		case age < keepAll,
			age < min(keepHourly, keep) && lastOf(time.Hour),
			age < keep && lastOf(24*time.Hour):
			out = append(out, g)
		}
	}
	return out
}
