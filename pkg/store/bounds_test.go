package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/wholefile"
)

// lower lowers the bounds of the log for a test.
func lower(t *testing.T, log logBounds, segment segmentBounds) {
	wasLog, wasSegment := usualLog, usualSegment
	usualLog, usualSegment = log, segment
	t.Cleanup(func() { usualLog, usualSegment = wasLog, wasSegment })
}

// A log that nothing was collected from became longer than one can be: then it could not
// be read, and so nothing could be collected from it either.
func TestLogThatIsTooLong(t *testing.T) {
	for name, bounds := range map[string]logBounds{
		"rows":     {maxSegments, maxLog, 400},
		"bytes":    {maxSegments, 60 << 10, logRows},
		"segments": {3, maxLog, logRows},
	} {
		t.Run(name, func(t *testing.T) {
			lower(t, bounds, segmentBounds{rows: 1 << 15, bytes: int(min(bounds.left/6, maxSegment)), values: segmentValues})
			b := storetest.New()
			l := machineOf(t, b, "a")
			mustAcquire(t, l)
			refs := map[string]Ref{"r": {Manifest: "m/1-1-x"}, "q": {}}
			const commits = 5 * recentMax
			for range commits {
				wantErr(t, l.Commit(t.Context(), NewID(), refs, nil), nil)
			}
			log, err := ReadLog(t.Context(), b, l.Head(), t.TempDir())
			wantErr(t, err, nil)
			if log.Cut == nil {
				t.Fatal("all of it is read")
			}
			n := len(log.Generations)
			if n < recentMax || n >= commits || log.Generations[n-1].Number != commits {
				t.Errorf("%d generations", n)
			}
			for range 2 { // segments of another size may leave the last of them too many
				compact, err := l.Compact(t.Context(), log.Generations)
				wantErr(t, err, nil)
				wantErr(t, l.Collected(t.Context(), compact), nil)
				log, err = ReadLog(t.Context(), b, l.Head(), t.TempDir())
				wantErr(t, err, nil)
			}
			if left := len(log.Generations); log.Cut != nil || left > n || left < n/2 {
				t.Errorf("after collections: %d generations, cut: %v", left, log.Cut)
			}
			wantErr(t, l.Commit(t.Context(), NewID(), refs, nil), nil)
		})
	}
}

// A segment that an earlier version wrote too large hid all before it, and could not be
// collected.
func TestLogWithASegmentThatIsTooLarge(t *testing.T) {
	sample.Long(t)
	b := storetest.New()
	l := machineOf(t, b, "a")
	mustAcquire(t, l)
	for range recentMax + 1 {
		wantErr(t, l.Commit(t.Context(), NewID(), nil, nil), nil)
	}
	for name, body := range map[string][]byte{
		"bytes":  bytes.Repeat([]byte{' '}, maxSegment+1),
		"values": []byte(`{"format":1,"generations":[` + strings.Repeat("{},", segmentValues) + "{}]}"),
	} {
		b.Set(l.head.Log, body)
		log, err := ReadLog(t.Context(), b, l.Head(), t.TempDir())
		wantErr(t, err, nil)
		if err == nil && (!errors.Is(log.Cut, ErrImpossible) || len(log.Generations) != len(l.Head().Recent)) {
			t.Errorf("%s: cut: %v", name, log.Cut)
		}
	}
}

// What our writers write our readers read, also where generations have more replicas than
// the head has now.
func TestSegmentsAreHeldToWhatIsRead(t *testing.T) {
	for name, bounds := range map[string]segmentBounds{
		"rows": {50, maxSegment, segmentValues}, "bytes": {1 << 15, 5000, segmentValues}, "values": {1 << 15, maxSegment, 200},
	} {
		t.Run(name, func(t *testing.T) {
			lower(t, usualLog, bounds)
			b := storetest.New()
			l := machineOf(t, b, "a")
			mustAcquire(t, l)
			var gens []Generation
			for i := range 100 {
				g := Generation{Number: int64(i + 1), Replicas: map[string]Ref{}}
				for j := range i % 7 {
					g.Replicas[fmt.Sprint(j)] = Ref{Manifest: "m/1-1-x"}
				}
				gens = append(gens, g)
			}
			h := l.Head().Clone()
			h.Generation = 100
			l.head = &h
			compact, err := l.Compact(t.Context(), gens)
			wantErr(t, err, nil)
			compact(&h)
			for _, key := range b.Keys() {
				if body := b.Body(key); strings.Contains(key, logPrefix) && (len(body) > bounds.bytes || wholefile.Values(body) > bounds.values) {
					t.Errorf("%d bytes and %d values in a segment", len(body), wholefile.Values(body))
				}
			}
			log, err := ReadLog(t.Context(), b, &h, t.TempDir())
			if err != nil || len(log.Generations) != len(gens) || len(log.Segments) < 4 {
				t.Errorf("%v, %d segments", err, len(log.Segments))
			}
		})
	}
}

// A thousand older paths of four KiB made a first line that no reader takes.
func TestManifestsAreHeldToWhatIsRead(t *testing.T) {
	older := &Older{}
	for range olderMost + 5 {
		older.Add(strings.Repeat("\x01", 4096), strings.Repeat("w", 1000))
	}
	path := filepath.Join(t.TempDir(), "m")
	f, err := os.Create(path)
	wantErr(t, err, nil)
	p := Publication{Workspace: "a/b/c", Replica: "r", Older: older, Entries: func(func(*tree.Entry, error) bool) {}}
	wantErr(t, errors.Join(writeManifest(f, p, 0, "", nil, aHead().Collected), f.Close()), nil)
	got, err := readFile(path)
	if err != nil || got.Older.Count != olderMost+5 || len(got.Older.Paths) < 100 {
		t.Errorf("%v", err)
	}
	if len(older.Paths) != olderMost {
		t.Error("the caller's paths are others")
	}
	if err := writeManifest(f, p, MaxRows+1, "", nil, aHead().Collected); err == nil {
		t.Error("more rows than can be read")
	}
}

// Many replicas with something left behind on many machines made a head of more values
// than are read.
func TestHeadsAreHeldToWhatIsRead(t *testing.T) {
	h := aHead()
	for i := range leftBehindMax {
		var left []account.Left
		for j := range 1000 {
			var a account.Account
			for _, reason := range []account.Reason{account.Moving, account.Unread, account.Held} {
				a.Add(reason, "x", 1, "")
			}
			left = append(left, account.Left{Replica: fmt.Sprint(j), Parts: a.Parts()})
		}
		h.leave(Holder{Host: fmt.Sprint(i), Place: "p"}, left, h.Collected)
	}
	body, err := h.encode()
	wantErr(t, err, nil)
	again, err := ParseHead(body, "a/b/c")
	if err != nil || again.LeftBehind[0].Left[0].Parts[0].Count != 1000 || len(again.LeftBehind) != leftBehindMax {
		t.Errorf("%v", err)
	}
}

// Rows of next to no bytes each took gigabytes of memory, of an object of 500 KB. What of
// our own packs that well is padded.
func TestRowsAreBoundedByTheObject(t *testing.T) {
	sample.Long(t)
	const rows = rowsFixed + 1000
	write := func(entries func(func(*tree.Entry, error) bool)) (string, int64) {
		path := filepath.Join(t.TempDir(), "m")
		f, err := os.Create(path)
		wantErr(t, err, nil)
		p := Publication{Workspace: "a/b/c", Replica: "r", Entries: entries}
		c, err := measure(entries)
		wantErr(t, err, nil)
		wantErr(t, errors.Join(writeManifest(f, p, c.rows, "", nil, aHead().Collected), f.Close()), nil)
		info, err := os.Stat(path)
		wantErr(t, err, nil)
		return path, info.Size()
	}
	path, size := write(func(yield func(*tree.Entry, error) bool) {
		for i := range rows {
			if !yield(&tree.Entry{Path: fmt.Sprintf("%06d", i), Kind: tree.Dir}, nil) {
				return
			}
		}
	})
	if got, err := readFile(path); err != nil || len(got.Entries) != rows || size < rows/4 {
		t.Errorf("an honest tree, of %d bytes: %v", size, err)
	}
	zeros := &tree.Entry{Path: "zeros", Kind: tree.File}
	for range tree.MaxFileExtents {
		zeros.Where = append(zeros.Where, tree.Extent{Object: "o/1.0-x", Stored: 100, Size: 2 << 20, Codec: tree.Zstd, Sum: strings.Repeat("s", 32)})
		zeros.Size += 2 << 20
	}
	path, size = write(func(yield func(*tree.Entry, error) bool) { yield(zeros, nil) })
	got, err := readFile(path)
	if err != nil || len(got.Entries) != 1 || len(got.Entries[0].Where) != tree.MaxFileExtents {
		t.Errorf("a file of zeros, in %d bytes: %v", size, err)
	}

	var b bytes.Buffer
	wantErr(t, pad(&counted{Writer: &b}, 0, rowsFixed+80_000), nil)
	if b.Len() != 10_000+1+8 {
		t.Errorf("%d bytes where 10 000 are wanted", b.Len())
	}
	m := manifest{most: 1}
	m.rows = tree.NewReader(strings.NewReader("d\t755\t0\t0\t\t\t\t\ta\nd\t755\t0\t0\t\t\t\t\tb\n"))
	if _, err := m.next(); err != nil {
		t.Error(err)
	}
	_, err = m.next()
	wantImpossible(t, err)
}
