package replica

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/tree"
)

// leftOut stages what a machine has, publishes it, and names what was left out and how
// many bytes came into the stage.
func (m *machine) leftOut() (names []string, came int64) {
	w := m.w
	w.t.Helper()
	found, err := m.ScanIn(w.t.Context(), nil)
	w.must(err)
	batch := m.Layout.Begin(filepath.Join(m.StageDir(), "out"), w.epoch, nil)
	staged, err := m.StageEdits(w.t.Context(), batch, found.staging())
	w.must(err)
	came = batch.Staged()
	w.must(batch.Send(w.t.Context()))
	w.must(m.base.Refresh(staged.Refreshed))
	for _, u := range staged.Unsettled {
		if !u.Beyond || u.Reason == "" {
			w.t.Errorf("%+v", u)
		}
		names = append(names, u.Path)
	}
	if staged.Len()+len(found.Gone) > 0 {
		step, err := m.Next(staged, found.Gone, found.Forgotten, w.epoch, w.generation+1)
		w.must(err)
		ref, err := m.Layout.Publish(w.t.Context(), step.Publication)
		w.must(err)
		step.Delta.Header.Ref = ref.Manifest
		w.must(w.commit(m, step))
	}
	return names, came
}

// A file with more parts than a row can have stopped its whole replica: the error was that
// of the manifest, after all was sent, and named nothing.
func TestWhatIsTooLargeIsLeftOut(t *testing.T) {
	sample.Long(t)
	random := rand.NewChaCha8([32]byte{1})
	content := func(size int) string {
		b := make([]byte, size)
		_, _ = random.Read(b)
		return string(b)
	}
	m := newWorld(t).machine("m")
	m.mustAcquire()
	m.limits = limits{rows: 1000, fileParts: 10, parts: 10}
	sparse, err := os.Create(m.at("sparse")) // no place to cut in, and 5 parts of zeros
	m.w.must(errorsJoin(err, sparse.Truncate(10<<20), sparse.Close()))
	m.write(map[string]string{"small": "1", "fits": content(3 << 20), "huge": content(8 << 20)})
	check := func(step string, most int64, want ...string) {
		t.Helper()
		got, came := m.leftOut()
		if diff := cmp.Diff(want, got); diff != "" || came > most {
			t.Errorf("%s: %d bytes were staged: %s", step, came, diff)
		}
		remote, err := m.Layout.Tree(t.Context(), m.w.ref)
		m.w.must(err)
		for i := range remote.Entries {
			if e := &remote.Entries[i]; tree.Within(e.Path, "huge") && len(e.Where) > 10 {
				t.Errorf("%s: %s has %d parts", step, e.Path, len(e.Where))
			}
		}
	}
	check("a large file", 4<<20, "huge")
	check("the next time", 0, "huge")
	m.write(map[string]string{"huge": content(2 << 20)})
	check("it fits now", 3<<20)
	m.write(map[string]string{"huge": content(8 << 20)})
	check("it has grown again", 0, "huge")
	remote, err := m.Layout.Tree(t.Context(), m.w.ref)
	m.w.must(err)
	if i := slices.IndexFunc(remote.Entries, func(e tree.Entry) bool { return e.Path == "huge" }); i < 0 || remote.Entries[i].Size != 2<<20 {
		t.Error("the last version that fitted is gone")
	}
	m.w.must(os.Remove(m.at("huge")))
	check("it went", 0)

	m.write(map[string]string{"sparse": content(8 << 20)}) // more than a file of zeros gave reason to expect
	check("as it is cut", 9<<20, "sparse")
	check("and not read again", 0, "sparse")
	m.write(map[string]string{"sparse": "1"})
	check("another content", 1)

	m.limits.rows = m.base.Totals().Rows + 1
	m.write(map[string]string{"x": "1", "y": "2", "z": "3", "small": "changed"})
	check("too many rows", 100, "y", "z")
}

// All files together were bounded in the manifest alone.
func TestLargeFilesTogether(t *testing.T) {
	sample.Long(t)
	m := newWorld(t).machine("m")
	m.mustAcquire()
	m.limits = limits{rows: 1000, fileParts: 1000, parts: 14}
	for i, name := range []string{"a", "b", "c"} { // of zeros, 70 parts each
		f, err := os.Create(m.at(name))
		m.w.must(errorsJoin(err, f.Truncate(70*zeroPart-int64(i)), f.Close()))
	}
	got, _ := m.leftOut()
	if diff := cmp.Diff([]string{"c"}, got); diff != "" {
		t.Error(diff)
	}
	m.w.must(os.Remove(m.at("a")))
	m.leftOut()
	if got, _ := m.leftOut(); len(got) > 0 {
		t.Errorf("there is room, and %s", strings.Join(got, " "))
	}
}

// The line of a file with as many parts as it can have is no longer than a line can be.
func TestTheLimitsOfFilesAreThoseOfTheText(t *testing.T) {
	const some = 1000
	e := tree.Entry{Kind: tree.File, Path: "x"}
	for range some {
		e.Where = append(e.Where, tree.Extent{
			Object: "k", Offset: 17 << 20, Stored: zeroPart, Size: zeroPart, Codec: tree.Zstd, Sum: strings.Repeat("s", 32)})
	}
	var b bytes.Buffer
	w := tree.NewWriter(&b)
	if err := errorsJoin(w.Entry(&e), w.Flush()); err != nil {
		t.Fatal(err)
	}
	number := len("1000000") - len("0") // of the object
	paths := 2 * 3 * 16 << 10           // and what else the line has
	if most := (b.Len()/some+number)*usualLimits.fileParts + paths; most > tree.MaxLine {
		t.Errorf("%d parts take %d bytes", usualLimits.fileParts, most)
	}
}
