package adoption

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/tree"
)

// file is one of a head's tree.
func file(path, content string) tree.Entry {
	return tree.Entry{Path: path, Kind: tree.File, Mode: 0o644, Size: int64(len(content)), Sum: sha256.Sum256([]byte(content))}
}

// object is one of a listing, which knows no content but its tag.
func object(path, tag string) tree.Entry {
	return tree.Entry{Path: path, Kind: tree.File, Mode: tree.NoMode, Size: int64(len(tag)), Tag: tag, Sum: sha256.Sum256([]byte("listed:" + path + tag))}
}

// record is what was recorded of an object: what it held was agreed on.
func record(path, tag string) tree.Entry {
	e := file(path, tag)
	e.Tag = tag
	return e
}

func dir(path string) tree.Entry { return tree.Entry{Path: path, Kind: tree.Dir, Mode: 0o755} }

func sorted(entries []tree.Entry) []tree.Entry {
	tree.Sort(entries)
	return entries
}

func names(entries []*tree.Entry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, e.Path)
	}
	return out
}

// TestOverlay holds what of a plain prefix is taken over. The content of an object is its
// tag here.
func TestOverlay(t *testing.T) {
	tests := map[string]struct {
		head, recorded, listing []tree.Entry
		merged, clashes         []string
	}{
		"unchanged":                    {head: []tree.Entry{file("a", "1")}, recorded: []tree.Entry{record("a", "1")}, listing: []tree.Entry{object("a", "1")}},
		"new":                          {listing: []tree.Entry{object("a", "1")}, merged: []string{"a"}},
		"written there":                {head: []tree.Entry{file("a", "1")}, recorded: []tree.Entry{record("a", "1")}, listing: []tree.Entry{object("a", "2")}, merged: []string{"a"}},
		"written in the workspace":     {head: []tree.Entry{file("a", "2")}, recorded: []tree.Entry{record("a", "1")}, listing: []tree.Entry{object("a", "1")}},
		"written on both sides":        {head: []tree.Entry{file("a", "2")}, recorded: []tree.Entry{record("a", "1")}, listing: []tree.Entry{object("a", "3")}, clashes: []string{"a"}},
		"new on both sides":            {head: []tree.Entry{file("a", "1")}, listing: []tree.Entry{object("a", "2")}, clashes: []string{"a"}},
		"deleted in the workspace":     {recorded: []tree.Entry{record("a", "1")}, listing: []tree.Entry{object("a", "1")}},
		"deleted and written there":    {recorded: []tree.Entry{record("a", "1")}, listing: []tree.Entry{object("a", "2")}, merged: []string{"a"}},
		"vanished there":               {head: []tree.Entry{file("a", "1")}, recorded: []tree.Entry{record("a", "1")}},
		"below a file":                 {head: []tree.Entry{file("a", "1")}, listing: []tree.Entry{dir("a"), object("a/b", "2")}, clashes: []string{"a/b"}},
		"below one that vanished":      {head: []tree.Entry{file("a", "1")}, recorded: []tree.Entry{record("a", "1")}, listing: []tree.Entry{dir("a"), object("a/b", "2")}, clashes: []string{"a/b"}},
		"where a directory is":         {head: []tree.Entry{dir("a"), file("a/b", "1")}, listing: []tree.Entry{object("a", "2")}, clashes: []string{"a"}},
		"where one came to be":         {head: []tree.Entry{dir("a"), file("a/b", "1")}, recorded: []tree.Entry{record("a", "1")}, listing: []tree.Entry{object("a", "2")}, clashes: []string{"a"}},
		"unchanged below a file":       {head: []tree.Entry{file("a", "1")}, recorded: []tree.Entry{record("a/b", "2")}, listing: []tree.Entry{dir("a"), object("a/b", "2")}},
		"beside what the head has":     {head: []tree.Entry{dir("a"), file("a/b", "1")}, listing: []tree.Entry{dir("a"), object("a/c", "2")}, merged: []string{"a/c"}},
		"a directory is taken by none": {head: []tree.Entry{file("b", "1")}, listing: []tree.Entry{dir("a")}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			merged, clashes := overlay(sorted(tt.head), sorted(tt.recorded), sorted(tt.listing))
			if diff := cmp.Diff(tt.merged, names(merged)); diff != "" {
				t.Errorf("merged: %s", diff)
			}
			if diff := cmp.Diff(tt.clashes, names(clashes)); diff != "" {
				t.Errorf("clashes: %s", diff)
			}
		})
	}
}

// TestOverlayTakesNoTreeApart: whatever the three sides are, an object that was written is
// taken or clashes, and what is taken lies on nothing that the head has changed, and below
// no file of it.
func TestOverlayTakesNoTreeApart(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	paths := []string{"a", "a/b", "a/b/c", "a/d", "e", "e/f"}
	some := func(of func(path, content string) tree.Entry) (out []tree.Entry) {
		at := map[string]tree.Entry{}
		for _, p := range rnd.Perm(len(paths)) {
			path, fits := paths[p], rnd.IntN(2) == 0 && at[paths[p]].Path == ""
			for above := range tree.Parents(path) {
				fits = fits && (at[above].Path == "" || at[above].Kind == tree.Dir)
			}
			if !fits {
				continue
			}
			at[path] = of(path, fmt.Sprint(rnd.IntN(3)))
			for above := range tree.Parents(path) {
				at[above] = dir(above)
			}
		}
		for _, e := range at {
			out = append(out, e)
		}
		return sorted(out)
	}
	taken, clashed := 0, 0
	for range 5000 {
		head, listing, recorded := some(file), some(object), some(record)
		recorded = slices.DeleteFunc(recorded, func(e tree.Entry) bool { return e.Kind == tree.Dir })
		merged, clashes := overlay(head, recorded, listing)
		for i := range listing {
			e := &listing[i]
			was, ours := tree.Find(recorded, e.Path), tree.Find(head, e.Path)
			written := e.Kind != tree.Dir && (was == nil || was.Tag != e.Tag)
			takes := written && (ours == nil || was != nil && ours.SameContent(was))
			for above := range tree.Parents(e.Path) {
				if p := tree.Find(head, above); p != nil && p.Kind != tree.Dir {
					takes = false
				}
			}
			if slices.Contains(merged, e) != takes || slices.Contains(clashes, e) != (written && !takes) {
				t.Fatalf("%s: head %v, recorded %v, listing %v: taken %v, clashes %v", e.Path, head, recorded, listing, names(merged), names(clashes))
			}
		}
		taken, clashed = taken+len(merged), clashed+len(clashes)
	}
	if taken < 1000 || clashed < 1000 {
		t.Errorf("only %d were taken, and %d clashed", taken, clashed)
	}
}
