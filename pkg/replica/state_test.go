package replica

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// recorder is a batch that knows the content that was added.
type recorder struct {
	store.Batch
	content map[tree.Sum][]byte
}

func (b recorder) Add(ctx context.Context, e *tree.Entry, r io.Reader) (func() error, error) {
	var got bytes.Buffer
	undo, err := b.Batch.Add(ctx, e, io.TeeReader(r, &got))
	b.content[sha256.Sum256(got.Bytes())] = got.Bytes()
	return undo, err
}

// least is how often a file is looked at however long that takes: of few looks on a busy machine
// one that found nothing would be many.
const least = 12

// looks stages a file again and again while it is written, and says what of that was
// no state of it, how often nothing was staged, and how often it was looked at: for a
// second, or so many times.
func looks(t *testing.T, m *machine, w writer, most int) (torn []error, nothing, times int) {
	t.Helper()
	size := func() int64 {
		s, err := os.Stat(m.at("f"))
		if err != nil {
			return 0
		}
		return s.Size()
	}
	for deadline := time.Now().Add(time.Minute); size() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the writer writes nothing")
		}
	}
	for began := time.Now(); times < most && (times < least || time.Since(began) < time.Second); times++ {
		found, err := m.ScanIn(t.Context(), nil)
		m.w.must(err)
		batch := recorder{m.Layout.Begin(filepath.Join(t.TempDir(), "out"), 1, nil), map[tree.Sum][]byte{}}
		edits := slices.DeleteFunc(found.Edited, func(e Edit) bool { return e.Path != "f" })
		staged, err := m.StageEdits(t.Context(), batch, edits)
		m.w.must(err)
		if len(staged.Changes) == 0 {
			nothing++
			for _, u := range staged.Unsettled {
				if !u.Moving && u.Rests.IsZero() {
					t.Errorf("unsettled as %+v", u)
				}
			}
		}
		for _, c := range staged.Changes {
			body, ok := batch.content[c.Sum]
			if !ok || int64(len(body)) != c.Size {
				t.Errorf("%d bytes with hash %v were never added", c.Size, c.Sum)
			}
			if err := w.state(body); err != nil {
				torn = append(torn, err)
			}
		}
		batch.Stop()
	}
	return torn, nothing, times
}

// What is staged of a file that is written all the time is a state that it had: the
// content of two moments was staged of one that is written through a mapping, and
// nothing at all of a log.
func TestWhatIsStagedWasThere(t *testing.T) {
	sample.Long(t)
	for _, kind := range sample.Some(t, 3, slices.Sorted(maps.Keys(writers))) {
		t.Run(kind, func(t *testing.T) {
			m := newWorld(t).machineAt(filepath.Join(t.TempDir(), "m"))
			m.mustAcquire()
			startWriter(t, kind, m.at("f"))
			torn, nothing, times := looks(t, m, writers[kind], 60)
			if len(torn) > 0 {
				t.Errorf("%d of %d are torn: %v", len(torn), times, torn[0])
			}
			if writers[kind].settles && nothing > 1+times/4 {
				t.Errorf("nothing was staged %d times of %d", nothing, times)
			}
			t.Logf("nothing was staged %d times of %d", nothing, times)
		})
	}
}

// shallow is a tree whose files hide something from who reads them.
type shallow struct {
	*localfs.Root
	open func(localfs.File) localfs.File
}

func (s shallow) Open(path string) (localfs.File, error) {
	f, err := s.Root.Open(path)
	if err != nil {
		return nil, err
	}
	return s.open(f), nil
}

// blindToTimes is a file that always looks as it did when it was opened.
type blindToTimes struct {
	localfs.File
	seen *localfs.Seen
}

func (f blindToTimes) Seen() (localfs.Seen, error) {
	if f.seen.Inode != 0 {
		return *f.seen, nil
	}
	var err error
	*f.seen, err = f.File.Seen()
	f.seen.CTime = 1 // and old
	return *f.seen, err
}

// readOnlyOnce is a file that gives what it was read as, read again.
type readOnlyOnce struct {
	localfs.File
	read map[int64]byte
}

func (f readOnlyOnce) ReadAt(b []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(b, at)
	for i := range b[:n] {
		if old, ok := f.read[at+int64(i)]; ok {
			b[i] = old
		} else {
			f.read[at+int64(i)] = b[i]
		}
	}
	return n, err
}

// The test above finds a reader that does not look at the times, and one that does not
// read a second time.
func TestWhatIsStagedWasThereMutants(t *testing.T) {
	sample.Long(t)
	for name, tt := range map[string]struct {
		kind string
		open func(localfs.File) localfs.File
	}{
		"no look at the times": {"in place", func(f localfs.File) localfs.File { return blindToTimes{f, &localfs.Seen{}} }},
		"no second reading":    {"mapped", func(f localfs.File) localfs.File { return readOnlyOnce{f, map[int64]byte{}} }},
	} {
		t.Run(name, func(t *testing.T) {
			m := newWorld(t).machineAt(filepath.Join(t.TempDir(), "m"))
			m.FileSystem = func(path string) (localfs.FileSystem, error) {
				root, err := localfs.OpenRoot(path, "", 0)
				return shallow{root, tt.open}, err
			}
			m.mustAcquire()
			startWriter(t, tt.kind, m.at("f"))
			for deadline := time.Now().Add(5 * time.Minute); ; {
				if torn, _, _ := looks(t, m, writers[tt.kind], 10); len(torn) > 0 {
					return
				}
				if time.Now().After(deadline) {
					t.Fatal("nothing was torn")
				}
			}
		})
	}
}

// A writer's own check of what it wrote fails for what is torn.
func TestWritersTellTornContent(t *testing.T) {
	sweep := bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0}, 1000)
	mixed := slices.Clone(sweep)
	mixed[800] = 2
	for name, err := range map[string]error{
		"swept":   swept(mixed),
		"uniform": uniform(mixed),
		"lines":   lines([]byte(line(0) + line(2))),
		"JSON":    linesOfJSON([]byte(lineOfJSON(0) + lineOfJSON(1)[:9])),
		"rotated": rotated([]byte(line(1000) + line(1002))),
		"counted": counted(append([]byte{9, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 4096)...)),
		"filled":  filled(make([]byte, 128<<10)),
		"regrown": regrown(mixed),
	} {
		if err == nil {
			t.Errorf("%s: not told", name)
		}
	}
	if err := fmt.Sprint(swept(sweep), uniform(sweep), lines([]byte(line(0)+line(1)[:7]))); err != "<nil> <nil> <nil>" {
		t.Error(err)
	}
}
