package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/wholefile"
)

// Log is the log of generations that a head leads to.
type Log struct {
	Generations []Generation // oldest first; the last one is the head's
	Segments    []string     // keys of the objects that hold the older ones
	// Cut says why generations older than these are not read: there are more than a log
	// can have. A log grows while nothing is collected, and who collects drops them.
	Cut error
}

// logSegment is a stretch of the log of generations, oldest first. Immutable.
type logSegment struct {
	Format      int          `json:"format"`
	Before      string       `json:"before,omitempty"` // key of the segment before
	Generations []Generation `json:"generations"`
}

// logPrefix begins the names of the log's segments, beside the head.
const logPrefix = "log-"

// segmentsAtOnce is the number of segments from which they are fetched by one
// transfer and not one by one: each costs a run of rclone.
const segmentsAtOnce = 3

// ReadLog reads all generations that a head names. The bucket is the one that
// the head is in; tmp is a local directory for a long log on its way.
func ReadLog(ctx context.Context, b Bucket, h *Head, tmp string) (*Log, error) {
	r := logReader{logBounds: usualLog, bucket: b, dir: path.Dir(HeadKey(h.Workspace))}
	l := &Log{}
	seen := map[string]bool{}
	var segments [][]Generation
	for key := h.Log; key != ""; {
		if seen[key] || !r.holds(key) {
			return nil, fmt.Errorf("cannot read the log of generations: %w", Impossible("segment %s leads to itself, or to nothing of the log", short(key)))
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
		if errors.Is(err, errBeyond) {
			l.Cut = fmt.Errorf("cannot read all of the log of generations: %w", err)
			break
		}
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
	if _, err := checkGenerations(l.Generations); err != nil {
		return nil, fmt.Errorf("cannot read the log of generations: %w", impossible(err))
	}
	return l, nil
}

// logBounds are what a log may have in all.
type logBounds struct {
	segments int
	left     int64 // bytes
	rows     int64 // generations, and replicas in them
}

// usualLog may be lowered by a test.
var usualLog = logBounds{segments: maxSegments, left: maxLog, rows: logRows}

// errBeyond is of a segment that is more than a log can have.
var errBeyond = errors.New("it is longer than can be read")

// logReader reads segments, from a local copy where there is one.
type logReader struct {
	bucket    Bucket
	dir       string // where segments lie in the bucket
	local     string // a copy of them, "" for none
	logBounds        // what may still come
}

// holds reports whether a key is one that segments have.
func (r *logReader) holds(key string) bool {
	return tree.ValidPath(key) && path.Dir(key) == r.dir && strings.HasPrefix(path.Base(key), logPrefix)
}

// fetchAll copies all segments that there are.
func (r *logReader) fetchAll(ctx context.Context, tmp string) (stop func(), err error) {
	objects, err := r.bucket.List(ctx, r.dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the log of generations: %w", err)
	}
	// What more there is than a log can have is read one by one, or found out.
	var keys []string
	room := r.left
	for _, o := range objects {
		key := path.Join(r.dir, o.Key)
		if r.holds(key) && o.Size >= 0 && o.Size <= min(room, maxSegment) {
			room -= o.Size
			keys = append(keys, key)
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
	if r.segments--; r.segments < 0 || r.left <= 0 {
		return nil, errBeyond
	}
	var body []byte
	err := errors.New("no copy")
	most := min(r.left, maxSegment)
	if r.local != "" {
		body, err = wholefile.Read(filepath.Join(r.local, key), most)
	}
	if err != nil {
		body, err = Get(ctx, r.bucket, key, most)
		switch {
		case errors.Is(err, ErrImpossible) && most < maxSegment: // the log is too long, not this segment
			return nil, errBeyond
		case errors.Is(err, ErrImpossible):
			return nil, fmt.Errorf("%w: %w", errBeyond, err)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the log of generations: %w", err)
		}
	}
	r.left -= int64(len(body))
	s, err := parseSegment(body)
	if errors.Is(err, wholefile.ErrTooLarge) {
		return nil, fmt.Errorf("%w: %w", errBeyond, err)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the log of generations %q: %w", key, err)
	}
	for i := range s.Generations {
		r.rows -= s.Generations[i].rows()
	}
	if r.rows < 0 {
		return nil, errBeyond
	}
	return s, nil
}

func parseSegment(body []byte) (*logSegment, error) {
	var s logSegment
	if err := wholefile.Unmarshal(body, &s, segmentValues); err != nil {
		return nil, Impossible("%w", err)
	}
	if s.Format != headFormat {
		return nil, fmt.Errorf("format %d %w", s.Format, errLater)
	}
	_, err := checkGenerations(s.Generations)
	return &s, impossible(err)
}
