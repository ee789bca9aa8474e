package base

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/tree/treetest"
	"github.com/google/go-cmp/cmp"
)

// baseRow makes a row of a file.
func baseRow(path, content string) Row {
	e := treetest.Parse("x=" + content)[0]
	e.Path = path
	e.Where = []tree.Extent{{Object: "o/1-" + content, Stored: 3, Size: int64(len(content)), Codec: tree.Raw}}
	return Row{Entry: e, Seen: localfs.Seen{Mode: e.Mode, Size: e.Size, MTime: -5, CTime: 1 << 60, Inode: 1<<63 + 5, Mount: len(content) == 2}}
}

func put(rows ...Row) Delta {
	var d Delta
	for _, r := range rows {
		d.Changes = append(d.Changes, Change{Row: r})
	}
	return d
}

func goneAt(path string) Change {
	return Change{Row: Row{Entry: tree.Entry{Path: path}}, Gone: true}
}

// state is what counts of a base, as text.
func state(b *Base) string {
	text, _ := json.Marshal([]any{b.Header, b.rows, b.Unplaced, b.Pending})
	// Nothing and an empty list are alike, and so are two spellings of a byte
	// that JSON has no word for.
	return strings.NewReplacer("null", "", "[]", "", `\ufffd`, "\ufffd").Replace(string(text))
}

func savedBase(t testing.TB) *Base {
	t.Helper()
	b := New(treetest.Dir(t), Header{
		Workspace: "o/p/e", Replica: "r\xff", Lineage: "l", Device: 1, Inode: 2, Generation: 3,
		Filters: []filter.Rule{{Pattern: "a<b\xff"}, {Include: true, Pattern: "**"}},
	})
	b.apply(put(baseRow("a", "1"), baseRow("b", "22"), baseRow("b\n", "3"), baseRow("\xff", "4")))
	b.Unplaced = []Change{goneAt("b"), {Row: baseRow("c", "5")}}
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	return b
}

func load(t testing.TB, dir string) *Base {
	t.Helper()
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// steps are some steps of a base.
var steps = []struct {
	name string
	do   func(b *Base) error
}{
	{"apply", func(b *Base) error { return b.Apply(put(baseRow("d", "6"), baseRow("a", "7"))) }},
	{"settle what was unplaced", func(b *Base) error { return b.Apply(Delta{Changes: []Change{goneAt("b")}}) }},
	{"header", func(b *Base) error {
		h := b.Header
		h.Generation, h.Restored = 4, true
		return b.Apply(Delta{Header: &h})
	}},
	{"prepare", func(b *Base) error { return b.Prepare("n1", put(baseRow("e", "8"))) }},
	{"commit", func(b *Base) error { return b.Resolve(true) }},
	{"prepare", func(b *Base) error { return b.Prepare("n2", put(baseRow("f", "9"))) }},
	{"abort", func(b *Base) error { return b.Resolve(false) }},
	{"twice in one", func(b *Base) error {
		return b.Apply(Delta{Changes: []Change{goneAt("g"), {Row: baseRow("g", "x")}, {Row: baseRow("a", "y")}, goneAt("a")}})
	}},
}

func TestBaseRoundTrip(t *testing.T) {
	b := savedBase(t)
	check := func(name string) {
		t.Helper()
		again := load(t, b.dir)
		if diff := cmp.Diff(state(b), state(again)); diff != "" {
			t.Errorf("after %s: %s", name, diff)
		}
		if !again.Intact() || !b.Intact() {
			t.Errorf("after %s: not intact", name)
		}
	}
	check("save")
	for _, s := range steps {
		if err := s.do(b); err != nil {
			t.Fatal(err)
		}
		check(s.name)
	}
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	check("save")
	if b.Row("a") != nil || b.Row("g") == nil || b.Row("f") != nil || b.Row("e") == nil {
		t.Errorf("rows: %v", b.Entries())
	}
}

// A crash may cut the journal at any byte: what was whole before counts.
func TestJournalCutAtEveryByte(t *testing.T) {
	b := savedBase(t)
	ends, states := []int64{0}, []string{state(load(t, b.dir))}
	for _, s := range steps {
		if err := s.do(b); err != nil {
			t.Fatal(err)
		}
		ends, states = append(ends, b.journal), append(states, state(load(t, b.dir)))
	}
	whole, err := os.ReadFile(b.journalFile())
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) + 1 {
		if err := os.WriteFile(b.journalFile(), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		i, _ := slices.BinarySearch(ends, int64(n)+1)
		again := load(t, b.dir)
		if diff := cmp.Diff(states[i-1], state(again)); diff != "" {
			t.Fatalf("cut at %d, %d steps: %s", n, i-1, diff)
		}
		if n%97 != 0 {
			continue
		}
		// And it goes on from there.
		if err := again.Apply(put(baseRow("z", "z"))); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(state(again), state(load(t, b.dir))); diff != "" {
			t.Fatalf("cut at %d and gone on: %s", n, diff)
		}
	}
}

func TestJournalOfAnEarlierBase(t *testing.T) {
	b := savedBase(t)
	if err := b.Apply(put(baseRow("old", "1"))); err != nil {
		t.Fatal(err)
	}
	journal, err := os.ReadFile(b.journalFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(Delta{Changes: []Change{goneAt("old")}}); err != nil {
		t.Fatal(err)
	}
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	// The crash came between the new base and the end of the old journal.
	if err := os.WriteFile(b.journalFile(), journal, 0o600); err != nil {
		t.Fatal(err)
	}
	again := load(t, b.dir)
	if again.Row("old") != nil {
		t.Error("a step of the base before was made true again")
	}
	if err := again.Apply(put(baseRow("new", "1"))); err != nil {
		t.Fatal(err)
	}
	if again = load(t, b.dir); again.Row("new") == nil || again.Row("old") != nil {
		t.Error("the journal does not go on after a stale one")
	}
}

func TestJournalIsCompacted(t *testing.T) {
	sample.Long(t)
	b := savedBase(t)
	for i := 0; b.journal < compactAt-4096; i++ {
		var rows []Row
		for j := range 200 {
			rows = append(rows, baseRow(fmt.Sprintf("many/%d/%d", i, j), "content"))
		}
		if err := b.Apply(put(rows...)); err != nil {
			t.Fatal(err)
		}
		if b.journal == 0 {
			break
		}
	}
	if err := b.Prepare("n", put(baseRow(strings.Repeat("p", 8000), "x"))); err != nil {
		t.Fatal(err)
	}
	if load(t, b.dir).Pending == nil {
		t.Error("what is pending was lost")
	}
	if err := b.Resolve(true); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.rows, load(t, b.dir).rows); diff != "" {
		t.Error(diff)
	}
}

func TestBaseDamaged(t *testing.T) {
	b := savedBase(t)
	whole, err := os.ReadFile(b.file())
	if err != nil {
		t.Fatal(err)
	}
	want := state(load(t, b.dir))
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1
		if err := os.WriteFile(b.file(), damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		// A changed name of a column that is zero says the same as before.
		again, err := Open(b.dir)
		if err == nil && want == state(again) {
			continue
		}
		if !errors.Is(err, ErrNone) {
			t.Fatalf("byte %d of %q: %v", i, damaged, err)
		}
	}
	for i := range whole {
		if err := os.WriteFile(b.file(), whole[:i], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(b.dir); !errors.Is(err, ErrNone) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

// A base that is there and cannot be read is not one that never was: its
// deletions would come back.
func TestBaseThatCannotBeRead(t *testing.T) {
	b := savedBase(t)
	if err := os.Mkdir(b.journalFile(), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(b.dir); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("got %v", err)
	}
}

func TestBaseIntact(t *testing.T) {
	tests := map[string]struct {
		do   func(b *Base) error
		want bool
	}{
		"untouched":     {func(*Base) error { return nil }, true},
		"applied":       {func(b *Base) error { return b.Apply(put(baseRow("x", "1"))) }, true},
		"saved":         {func(b *Base) error { return b.Save() }, true},
		"removed":       {func(b *Base) error { return os.Remove(b.file()) }, false},
		"all removed":   {func(b *Base) error { return os.RemoveAll(b.dir) }, false},
		"another's":     {func(b *Base) error { return replaceFile(b.file()) }, false},
		"dropped":       {func(b *Base) error { return b.Remove() }, false},
		"dropped twice": {func(b *Base) error { return errors.Join(b.Remove(), b.Remove()) }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := savedBase(t)
			if err := tt.do(b); err != nil {
				t.Fatal(err)
			}
			if b.Intact() != tt.want {
				t.Errorf("Intact = %v", !tt.want)
			}
		})
	}
}

func replaceFile(file string) error {
	tmp := filepath.Join(filepath.Dir(file), "x")
	return errors.Join(os.WriteFile(tmp, nil, 0o600), os.Rename(tmp, file))
}

func TestBaseRemoteAndDifferences(t *testing.T) {
	b := New(treetest.Dir(t), Header{})
	for _, r := range []string{"a=1", "b=1", "c=1"} {
		b.apply(put(Row{Entry: treetest.Parse(r)[0]}))
	}
	remote := treetest.Parse("0=1 b=2 c=1 d=1")
	b.Unplaced = b.Differences(remote)
	if diff := cmp.Diff(remote, b.Remote()); diff != "" {
		t.Errorf("the remote tree: %s", diff)
	}
	var paths []string
	for _, c := range b.Unplaced {
		paths = append(paths, fmt.Sprint(c.Path, c.Gone))
	}
	if diff := cmp.Diff([]string{"0false", "atrue", "bfalse", "dfalse"}, paths); diff != "" {
		t.Error(diff)
	}
	b.apply(Delta{Changes: []Change{goneAt("a"), {Row: Row{Entry: treetest.Parse("b=2")[0]}}}})
	if len(b.Unplaced) != 2 {
		t.Errorf("what was placed is still unplaced: %+v", b.Unplaced)
	}
	if diff := cmp.Diff(remote, b.Remote()); diff != "" {
		t.Errorf("the remote tree: %s", diff)
	}
}

// FuzzLoadBase: whatever lies there, a base is refused or sound.
func FuzzLoadBase(f *testing.F) {
	seed := func() (base, journal []byte) {
		b := savedBase(f)
		for _, s := range steps {
			_ = s.do(b)
		}
		base, _ = os.ReadFile(b.file())
		journal, _ = os.ReadFile(b.journalFile())
		return base, journal
	}
	base, journal := seed()
	f.Add(base, journal)
	f.Add([]byte(`{"format":1,"rows":-1,"unplaced":1}`+"\n"), []byte("{}\n"))
	f.Fuzz(func(t *testing.T, base, journal []byte) {
		dir := t.TempDir()
		_ = os.WriteFile(filepath.Join(dir, "base"), base, 0o600)
		_ = os.WriteFile(filepath.Join(dir, "journal"), journal, 0o600)
		b, err := Open(dir)
		if err != nil {
			return
		}
		if !slices.IsSortedFunc(b.rows, func(x, y Row) int { return tree.Compare(x.Path, y.Path) }) {
			t.Error("rows out of order")
		}
		if err := b.Apply(put(baseRow("n", "1"))); err != nil {
			t.Fatal(err)
		}
		if again := load(t, dir); again.Row("n") == nil {
			t.Error("what was applied is lost")
		}
	})
}
