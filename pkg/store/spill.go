package store

import (
	"context"
	"fmt"
	"path"
	"slices"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/wholefile"
)

// The step of a long log at which a crash test kills the process.
var pointSpilled = killpoint.New("commit:spilled")

// spill moves the older half of the head's generations to an object, so that
// the head stays small. The head names it from the next write on.
func (l *Lease) spill(ctx context.Context) error {
	n := l.head.room()
	if len(l.head.Recent) < n {
		return nil
	}
	n = len(l.head.Recent) - n/2
	old := l.head.Recent[:n]
	key, err := l.putSegments(ctx, l.head.Log, old)
	if err != nil {
		return err
	}
	pointSpilled.Reach()
	h := l.head.Clone()
	h.Log, h.Recent = key, h.Recent[n:]
	l.head = &h
	return nil
}

// segmentBounds are what a segment may have.
type segmentBounds struct {
	rows   int64 // that one is written with: some 10 MB
	bytes  int
	values int
}

// usualSegment may be lowered by a test.
var usualSegment = segmentBounds{rows: 1 << 15, bytes: maxSegment, values: segmentValues}

// putSegments writes the stretch of the log that follows the segment of key before, in as
// many as it takes, and gives the key of the last.
func (l *Lease) putSegments(ctx context.Context, before string, gens []Generation) (key string, err error) {
	rows := int64(0)
	for i := range gens {
		rows += gens[i].rows()
	}
	b := usualSegment
	split := len(gens) > 1 && rows > b.rows
	var body []byte
	if !split {
		if body, err = encodeJSON(logSegment{Format: headFormat, Before: before, Generations: gens}); err != nil {
			return "", err
		}
		split = len(gens) > 1 && (len(body) > b.bytes || wholefile.Values(body) > b.values)
	}
	if split {
		half := len(gens) / 2
		if before, err = l.putSegments(ctx, before, gens[:half]); err != nil {
			return "", err
		}
		return l.putSegments(ctx, before, gens[half:])
	}
	key = path.Join(path.Dir(l.key), fmt.Sprintf("%s%d-%d-%s", logPrefix, l.head.Epoch, gens[len(gens)-1].Number, NewID()))
	if err := l.bucket.PutIf(ctx, key, body, rclone.Cond{}); err != nil {
		return "", fmt.Errorf("cannot write the log of generations: %w", err)
	}
	return key, nil
}

// Compact writes the log anew, with the given generations alone, and returns
// the change that makes it the head's. What is in the head's Recent and not
// given is dropped too, and so are the oldest of more than a log can have.
func (l *Lease) Compact(ctx context.Context, kept []Generation) (func(*Head), error) {
	rows := int64(0)
	for i := len(kept) - 1; i >= 0; i-- {
		if rows += kept[i].rows(); rows > usualLog.rows {
			kept = kept[i+1:]
			break
		}
	}
	n := max(len(kept)-l.head.room()/2, 0)
	older, recent := kept[:n], kept[n:]
	key := ""
	if len(older) > 0 {
		var err error
		if key, err = l.putSegments(ctx, "", older); err != nil {
			return nil, err
		}
	}
	return func(h *Head) { h.Log, h.Recent = key, slices.Clone(recent) }, nil
}
