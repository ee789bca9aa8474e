package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"github.com/coltec/coltec/pkg/databases"
	"github.com/coltec/coltec/pkg/gitstate"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/repositories"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/wholefile"
)

// Difference is how one path, or one whole, differs between two generations.
type Difference struct {
	Path    string
	What    string // added, changed, mode or time, removed
	Kind    string // file, directory, link, database, repository
	Before  int64  // bytes; of a whole those of its copy
	After   int64
	Diff    string // of texts, unified; of links their targets
	Note    string // why there is no diff, or not all of what was asked for
	Refs    []RefChange
	Commits []gitstate.Commits // of a repository that was opened
	Tables  []TableChange      // of a database that was opened
}

// RefChange is a ref of a repository, HEAD included, that differs; "" is none.
type RefChange struct{ Ref, Before, After string }

// TableChange is a table of a database that has another number of rows, or came, or went.
type TableChange struct {
	Table         string
	What          string // added, changed, removed
	Before, After int64  // rows
}

// What a comparison reads at most of content: more helps nobody.
const (
	compareFiles   = 200       // files of which texts are compared
	compareAtOnce  = 20        // of which are fetched at once
	compareFile    = 256 << 10 // bytes of one of them
	compareAll     = 1 << 20   // bytes of all diffs
	compareRefFile = 4 << 20   // bytes of a repository's refs
	compareRefs    = 500       // refs of one repository that are named
)

// Look says what of contents a comparison reads, beside names, sizes and refs.
type Look struct {
	Under  string // at and below a path; "" for all
	Texts  bool   // how texts differ
	Wholes bool   // what commits and rows repositories and databases have
}

// Differences lists how a replica's tree differs between two generations. Of repositories that
// differ the refs are fetched, all else only where it is looked at. What was kept aside in
// conflicts is left out.
func (r *Reader) Differences(ctx context.Context, x scope.Replica, a, b store.Generation, look Look) ([]Difference, error) {
	before, _, err := r.Tree(ctx, x, a)
	if err != nil {
		return nil, err
	}
	after, layout, err := r.Tree(ctx, x, b)
	if err != nil {
		return nil, err
	}
	c := comparing{r: r, layout: layout, before: databases.AsFiles(before.Entries), after: databases.AsFiles(after.Entries), under: look.Under}
	for i := range before.Entries {
		c.noteDatabase(&before.Entries[i])
	}
	for i := range after.Entries {
		c.noteDatabase(&after.Entries[i])
	}
	c.list()
	if err := c.refs(ctx); err != nil {
		return nil, err
	}
	if look.Wholes {
		if err := c.inside(ctx, before, after); err != nil {
			return nil, err
		}
	}
	if look.Texts {
		err = c.diffs(ctx)
	}
	return c.found, err
}

// comparing is one comparison.
type comparing struct {
	r             *Reader
	layout        store.Layout
	before, after []tree.Entry // sorted, with a file in the place of each database
	under         string
	databases     map[string]bool
	found         []Difference
}

func (c *comparing) noteDatabase(e *tree.Entry) {
	if l := (databases.Kind{}).Layout(); tree.Within(e.Path, l.Dir) && e.Path != l.Dir {
		if c.databases == nil {
			c.databases = map[string]bool{}
		}
		c.databases[databases.Kind{}.Of(e.Path)] = true
	}
}

// list lists what differs: of a whole one row.
func (c *comparing) list() {
	wholes := map[string]int{} // the row of each
	for _, change := range Compare(c.before, c.after) {
		at, whole := kinds.Of(change.Path)
		if i, known := wholes[at]; whole && known {
			if c.found[i].What != change.What {
				c.found[i].What = "changed"
			}
			continue
		}
		if tree.Within(change.Path, localfs.Dir) && !whole {
			continue
		}
		d := Difference{Path: change.Path, What: change.What}
		if whole {
			d.Path, d.Kind = at, "directory"
			if tree.Within(change.Path, (repositories.Kind{}).Layout().Dir) {
				d.Kind = "repository"
			}
		} else {
			was, is := tree.Find(c.before, change.Path), tree.Find(c.after, change.Path)
			d.Kind, d.Before, d.After = c.kindOf(was, is), sizeOf(was), sizeOf(is)
		}
		if c.under != "" && !tree.Within(d.Path, c.under) && !(whole && tree.Within(c.under, d.Path)) {
			continue
		}
		if whole {
			wholes[at] = len(c.found)
		}
		c.found = append(c.found, d)
	}
	c.weigh(wholes)
}

// weigh says of wholes, by their rows, how large their copies are, and whether they came or
// went.
func (c *comparing) weigh(wholes map[string]int) {
	if len(wholes) == 0 {
		return
	}
	was, is := map[int]bool{}, map[int]bool{}
	each := func(entries []tree.Entry, there map[int]bool, size func(d *Difference) *int64) {
		for i := range entries {
			at, _ := kinds.Of(entries[i].Path)
			if row, asked := wholes[at]; asked {
				there[row] = true
				*size(&c.found[row]) += entries[i].Size
			}
		}
	}
	each(c.before, was, func(d *Difference) *int64 { return &d.Before })
	each(c.after, is, func(d *Difference) *int64 { return &d.After })
	for _, row := range wholes {
		switch d := &c.found[row]; {
		case !was[row]:
			d.What = "added"
		case !is[row]:
			d.What = "removed"
		case d.What == "added" || d.What == "removed": // of its rows
			d.What = "changed"
		}
	}
}

func sizeOf(e *tree.Entry) int64 {
	if e == nil {
		return 0
	}
	return e.Size
}

// kindOf is what a path is, or was.
func (c *comparing) kindOf(was, is *tree.Entry) string {
	if is == nil {
		is = was
	}
	switch {
	case c.databases[is.Path]:
		return "database"
	case is.Kind == tree.Dir:
		return "directory"
	case is.Kind == tree.Link:
		return "link"
	}
	return "file"
}

// refs compares the refs of repositories that differ.
func (c *comparing) refs(ctx context.Context) error {
	var files []*tree.Entry
	at := map[*tree.Entry]int{}
	for i := range c.found {
		if d := &c.found[i]; d.Kind == "repository" {
			for _, entries := range [][]tree.Entry{c.before, c.after} {
				for _, name := range []string{"HEAD", "packed-refs"} {
					switch e := tree.Find(entries, (repositories.Kind{}).Layout().Dir+"/"+d.Path+"/"+name); {
					case e == nil || e.Kind != tree.File:
					case e.Size > compareRefFile:
						d.Note = "its refs are too large to compare"
					default:
						at[e] = len(files)
						files = append(files, e)
					}
				}
			}
		}
	}
	texts, err := c.fetch(ctx, files, compareRefFile)
	if err != nil {
		return err
	}
	of := func(entries []tree.Entry, repository string) map[string]string {
		text := func(name string) string {
			if i, asked := at[tree.Find(entries, (repositories.Kind{}).Layout().Dir+"/"+repository+"/"+name)]; asked {
				return string(texts[i])
			}
			return ""
		}
		return refsIn(text("HEAD"), text("packed-refs"))
	}
	for i := range c.found {
		if d := &c.found[i]; d.Kind == "repository" && d.Note == "" {
			d.refs(of(c.before, d.Path), of(c.after, d.Path))
		}
	}
	return nil
}

// refsIn are the refs of a repository's copy, with what HEAD says.
func refsIn(head, packed string) map[string]string {
	refs := map[string]string{}
	if head = strings.TrimSpace(head); head != "" {
		refs["HEAD"] = head
	}
	for line := range strings.Lines(packed) {
		if id, ref, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "^") {
			refs[ref] = id
		}
	}
	return refs
}

// refs names those that differ.
func (d *Difference) refs(was, is map[string]string) {
	for ref, to := range is {
		if was[ref] != to {
			d.Refs = append(d.Refs, RefChange{ref, was[ref], to})
		}
	}
	for ref, from := range was {
		if is[ref] == "" {
			d.Refs = append(d.Refs, RefChange{ref, from, ""})
		}
	}
	slices.SortFunc(d.Refs, func(a, b RefChange) int { return strings.Compare(a.Ref, b.Ref) })
	if n := len(d.Refs); n > compareRefs {
		d.Refs, d.Note = d.Refs[:compareRefs], fmt.Sprintf("and %d more refs", n-compareRefs)
	}
}

// leftOut is the note of what does not fit into an answer.
const leftOut = "left out: there is more than fits"

// diffs compares texts.
func (c *comparing) diffs(ctx context.Context) error {
	var texts []*Difference
	for i := range c.found {
		switch d := &c.found[i]; {
		case d.Kind == "link":
			d.Diff = udiff.Unified(d.Path, d.Path, targetOf(tree.Find(c.before, d.Path)), targetOf(tree.Find(c.after, d.Path)))
		case d.Kind != "file" || d.What == "mode or time":
		case d.Before > compareFile || d.After > compareFile:
			d.Note = "too large to compare"
		case len(texts) == compareFiles:
			d.Note = leftOut
		default:
			texts = append(texts, d)
		}
	}
	all := 0
	for some := range slices.Chunk(texts, compareAtOnce) {
		if all >= compareAll {
			for _, d := range some {
				d.Note = leftOut
			}
			continue
		}
		n, err := c.diffsOf(ctx, some)
		if err != nil {
			return err
		}
		all += n
	}
	return nil
}

// diffsOf compares some texts, and gives the bytes of what it says of them.
func (c *comparing) diffsOf(ctx context.Context, some []*Difference) (all int, err error) {
	var files []*tree.Entry
	at := map[*tree.Entry]int{}
	sides := func(d *Difference) [2]*tree.Entry {
		return [2]*tree.Entry{tree.Find(c.before, d.Path), tree.Find(c.after, d.Path)}
	}
	for _, d := range some {
		for _, e := range sides(d) {
			if e != nil && e.Kind == tree.File && e.Size > 0 {
				at[e] = len(files)
				files = append(files, e)
			}
		}
	}
	texts, err := c.fetch(ctx, files, compareFile)
	if err != nil {
		return 0, err
	}
	for _, d := range some {
		var both [2][]byte
		for i, e := range sides(d) {
			if j, is := at[e]; is {
				both[i] = texts[j]
			}
		}
		if bytes.IndexByte(both[0], 0) >= 0 || bytes.IndexByte(both[1], 0) >= 0 {
			d.Note = "binary files differ"
			continue
		}
		d.Diff = udiff.Unified(d.Path, d.Path, string(both[0]), string(both[1]))
		all += len(d.Diff)
	}
	return all, nil
}

func targetOf(e *tree.Entry) string {
	if e == nil || e.Kind != tree.Link {
		return ""
	}
	return e.Link + "\n"
}

// fetch reads the contents of files of at most so many bytes.
func (c *comparing) fetch(ctx context.Context, entries []*tree.Entry, most int64) (texts [][]byte, err error) {
	if len(entries) == 0 {
		return nil, nil
	}
	dir, err := os.MkdirTemp(c.r.tmp, "compare-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := c.layout.Fetch(ctx, entries, dir, nil, nil); err != nil {
		return nil, err
	}
	for i := range entries {
		text, err := wholefile.Read(filepath.Join(dir, fmt.Sprint(i)), most)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}
