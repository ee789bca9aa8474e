package replica

import (
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/tree/treetest"
	"github.com/google/go-cmp/cmp"
)

// What is repacked is what both sides agreed on: a row whose remote side is
// another, or that lies in a damaged object, refers to nothing new.
func TestRepackedRows(t *testing.T) {
	at := func(object string, offset int64) tree.Extent {
		return tree.Extent{Object: object, Offset: offset, Stored: 3, Size: 3, Codec: tree.Raw}
	}
	row := func(path string, where ...tree.Extent) base.Row {
		e := tree.Entry{Path: path, Kind: tree.File, Mode: 0o644, Size: 3, Sum: tree.Sum{1, 2, 3}, Where: where}
		return base.Row{Entry: e, Seen: localfs.Seen{Mode: e.Mode, Size: e.Size, MTime: -5, CTime: 1 << 60, Inode: 5}}
	}
	part := at("o/1", 3)
	part.Sum = strings.Repeat("s", 32)
	r := &Replica{base: base.New(treetest.Dir(t), base.Header{}), shunned: map[string]bool{"o/bad": true}}
	agreed := []base.Row{row("a", at("o/1", 0)), row("bad", at("o/1", 0), at("o/bad", 0)), row("large", part, at("o/2", 0)),
		row("other", at("o/1", 6)), row("same", at("o/1", 0)), row("stale", at("o/1", 9))}
	var d base.Delta
	for _, row := range agreed {
		d.Changes = append(d.Changes, base.Change{Row: row})
	}
	if err := r.base.Apply(d); err != nil {
		t.Fatal(err)
	}
	objects := map[string]int64{"o/1": 12, "o/bad": 3}
	moved := map[store.Spot]tree.Extent{}
	for _, x := range []int64{0, 3, 6, 9} {
		moved[store.Spot{Object: "o/1", Offset: x}] = at("o/new", 100+x)
	}
	newPart := at("o/new", 103)
	newPart.Sum = part.Sum
	check := func(live map[string]int64, pieces []tree.Extent, rows map[string][]tree.Extent) {
		t.Helper()
		gotLive, err := r.base.Live()
		gotPieces, err2 := r.Pieces(objects)
		changes, err3 := r.Moved(moved)
		if err := errorsJoin(err, err2, err3); err != nil {
			t.Fatal(err)
		}
		gotRows := map[string][]tree.Extent{}
		for _, c := range changes {
			gotRows[c.Path] = c.Where
			if was := row(c.Path); c.Seen != was.Seen || c.Sum != was.Sum || c.Gone {
				t.Errorf("%q became %+v", c.Path, c)
			}
		}
		if diff := cmp.Diff(live, gotLive) + cmp.Diff(pieces, gotPieces) + cmp.Diff(rows, gotRows); diff != "" {
			t.Error(diff)
		}
	}
	rows := map[string][]tree.Extent{
		"a": {at("o/new", 100)}, "large": {newPart, at("o/2", 0)}, "other": {at("o/new", 106)}, "same": {at("o/new", 100)},
		"stale": {at("o/new", 109)},
	}
	rowsAtRest := func() {
		t.Helper()
		check(map[string]int64{"o/1": 18, "o/2": 3, "o/bad": 3}, []tree.Extent{at("o/1", 0), part, at("o/1", 6), at("o/1", 0), at("o/1", 9)}, rows)
	}
	rowsAtRest()
	if err := errorsJoin(r.base.Save(), r.base.Unload()); err != nil {
		t.Fatal(err)
	}
	rowsAtRest()
	if !unloaded(r.base) {
		t.Error("the rows are in memory again")
	}
	if err := r.base.Load(); err != nil {
		t.Fatal(err)
	}
	r.base.Unplaced = []base.Change{{Row: row("new", at("o/3", 0))}, {Row: base.Row{Entry: tree.Entry{Path: "other"}}, Gone: true}, {Row: row("stale", at("o/4", 0))}}
	delete(rows, "other")
	delete(rows, "stale")
	check(map[string]int64{"o/1": 12, "o/2": 3, "o/3": 3, "o/4": 3, "o/bad": 3}, []tree.Extent{at("o/1", 0), part, at("o/1", 0)}, rows)
	if got := r.base.Row("a").Where[0]; got != at("o/1", 0) {
		t.Errorf("the base itself was changed: %+v", got)
	}
}
