package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// chain publishes trees one after the other.
type chain struct {
	t      testing.TB
	bucket *storetest.Bucket
	writer *Snapshot
	from   string
	n      int64
	trees  map[string][]tree.Entry // ref → what it is

	tells    bool // what differs from the tree before, where nothing is gone
	followed int  // manifests for which no tree was read
}

func newChain(t testing.TB) *chain {
	b := storetest.New()
	return &chain{t: t, bucket: b, writer: NewSnapshot(b, t.TempDir()), trees: map[string][]tree.Entry{}}
}

// publish publishes a tree; commit says that the head came to name it.
func (c *chain) publish(entries []tree.Entry, commit bool) string {
	c.t.Helper()
	c.n++
	read := false
	all := func(yield func(*tree.Entry, error) bool) {
		read = true
		tree.All(entries)(yield)
	}
	p := Publication{Entries: all, From: c.from, Workspace: "a/b/c", Replica: "r", Epoch: 1, Generation: c.n}
	if c.tells && c.from != "" {
		p.Edits, p.Known = editsOf(c.trees[c.from], entries)
	}
	ref, err := c.writer.Publish(c.t.Context(), p)
	if err != nil {
		c.t.Fatal(err)
	}
	if !read {
		c.followed++
	}
	want, _ := measure(tree.All(entries))
	if ref.Files != want.files || ref.Bytes != want.bytes {
		c.t.Errorf("%d files and %d bytes, it has %d and %d", ref.Files, ref.Bytes, want.files, want.bytes)
	}
	if c.trees[ref.Manifest] = slices.Clone(entries); commit {
		c.from = ref.Manifest
	}
	return ref.Manifest
}

// editsOf are what a tree has otherwise than another one; false where something is gone.
func editsOf(was, now []tree.Entry) (edits []tree.Edit, ok bool) {
	before := map[string]*tree.Entry{}
	for i := range was {
		before[was[i].Path] = &was[i]
	}
	for i := range now {
		old := before[now[i].Path]
		if delete(before, now[i].Path); old == nil || !sameRow(old, &now[i]) {
			edits = append(edits, tree.Edit{Now: now[i], Was: old})
		}
	}
	return edits, len(before) == 0
}

// reader is a machine that has nothing.
func (c *chain) reader() *Snapshot { return NewSnapshot(c.bucket, c.t.TempDir()) }

// base is what a manifest in the bucket is a difference from.
func (c *chain) base(ref string) string {
	c.t.Helper()
	file := filepath.Join(c.t.TempDir(), "m")
	if err := os.WriteFile(file, c.bucket.Body(Dir+"/"+ref), 0o600); err != nil {
		c.t.Fatal(err)
	}
	m, err := openManifest(file)
	if err != nil {
		c.t.Fatal(err)
	}
	defer m.close()
	return m.Base
}

// plainTree is a tree of n files.
func plainTree(n int) []tree.Entry {
	var out []tree.Entry
	for i := range n {
		out = append(out, file(fmt.Sprintf("d%d/f%04d", i%10, i), "").Entry)
	}
	tree.Sort(out)
	return out
}

// seeds are those of random trees.
var seeds = []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}

// TestDifferences: whatever happens to a tree, each of its generations is read
// as it was written, from two objects at most.
func TestDifferences(t *testing.T) {
	followed := 0
	for n, seed := range sample.Some(t, 8, seeds) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		c := newChain(t)
		now := plainTree(rnd.IntN(80))
		differences := 0
		c.tells = n%2 == 0
		for range 40 {
			for range rnd.IntN(4) {
				now = disturb(rnd, now)
			}
			switch rnd.IntN(10) {
			case 0: // another machine goes on, which has read it or not
				if c.writer = c.reader(); rnd.IntN(2) == 0 && c.from != "" {
					if _, err := c.writer.Tree(t.Context(), c.from); err != nil {
						t.Fatal(err)
					}
				}
			case 1:
				now = plainTree(rnd.IntN(80)) // all of it is another
			case 2: // what is here is not as it was
				files, _ := filepath.Glob(filepath.Join(c.writer.local, Dir, "m", "*"))
				for _, file := range files {
					_ = os.WriteFile(file, []byte("x"), 0o600)
				}
			}
			if base := c.base(c.publish(now, rnd.IntN(4) > 0)); base != "" {
				if differences++; c.base(base) != "" {
					t.Fatalf("seed %d: a difference from a difference", seed)
				}
			}
		}
		reader := c.reader()
		for ref, want := range c.trees {
			got, err := reader.Tree(t.Context(), ref)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if diff := cmp.Diff(want, got.Entries); diff != "" {
				t.Fatalf("seed %d: %s", seed, diff)
			}
			if got.Base != c.base(ref) {
				t.Errorf("base %q", got.Base)
			}
		}
		if differences == 0 {
			t.Errorf("seed %d: all are full", seed)
		}
		if followed += c.followed; c.followed > 0 && !c.tells {
			t.Errorf("seed %d: of %d trees nothing was read, and nobody said what differs", seed, c.followed)
		}
	}
	if followed == 0 {
		t.Error("all trees were read")
	}
}

// disturb makes one change.
func disturb(rnd *rand.Rand, entries []tree.Entry) []tree.Entry {
	entries = slices.Clone(entries)
	at := rnd.IntN(len(entries) + 1)
	switch {
	case at == len(entries) || rnd.IntN(4) == 0:
		entries = append(entries, file(fmt.Sprintf("d%d/new %d", rnd.IntN(12), rnd.Uint32()), "").Entry)
	case rnd.IntN(4) == 0:
		return slices.Delete(entries, at, at+1)
	default:
		e := &entries[at]
		switch rnd.IntN(4) {
		case 0:
			e.Mode ^= 0o100
		case 1:
			e.MTime++
		case 2:
			e.Sum[3]++
		case 3:
			*e = tree.Entry{Path: e.Path, Kind: tree.Link, Mode: 0o777, Link: fmt.Sprint(rnd.Uint32())}
		}
	}
	tree.Sort(entries)
	return entries
}

// A tree of which the edits alone are told is read as a whole where they do not tell that each row
// is in a directory: what has another kind, and what is new in a directory that they say nothing of.
// One with a file below a file is refused as any other is.
func TestEditsThatTellTooLittle(t *testing.T) {
	dir := func(path string) tree.Entry { return tree.Entry{Path: path, Kind: tree.Dir, Mode: 0o755} }
	for name, tt := range map[string]struct {
		change   func(now []tree.Entry) []tree.Entry
		followed bool
		err      string
	}{
		"a file":                         {func(now []tree.Entry) []tree.Entry { now[1].MTime++; return now }, true, ""},
		"a new one, and its directory":   {func(now []tree.Entry) []tree.Entry { now[0].MTime++; return append(now, file("a/new", "").Entry) }, true, ""},
		"a new one in a new directory":   {func(now []tree.Entry) []tree.Entry { return append(now, dir("new"), file("new/f", "").Entry) }, true, ""},
		"a new one alone":                {func(now []tree.Entry) []tree.Entry { return append(now, file("a/new", "").Entry) }, false, ""},
		"a directory where a file was":   {func(now []tree.Entry) []tree.Entry { now[1] = dir(now[1].Path); return now }, false, ""},
		"a file where a directory is":    {func(now []tree.Entry) []tree.Entry { now[0] = file("a", "").Entry; return now }, false, "which is not a directory"},
		"a new one below what is a file": {func(now []tree.Entry) []tree.Entry { return append(now, file("a/f001/x", "").Entry) }, false, "which is not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			was := []tree.Entry{dir("a")}
			for i := range 40 {
				was = append(was, file(fmt.Sprintf("a/f%03d", i), "").Entry)
			}
			s := NewSnapshot(storetest.New(), t.TempDir())
			publish := func(p Publication) (Ref, error) {
				p.Workspace, p.Replica, p.Epoch = "a/b/c", "r", 1
				return s.Publish(t.Context(), p)
			}
			ref, err := publish(Publication{Entries: tree.All(was), Generation: 1})
			if err != nil {
				t.Fatal(err)
			}
			now := tt.change(slices.Clone(was))
			tree.Sort(now)
			read := false
			p := Publication{From: ref.Manifest, Generation: 2, Known: true, Entries: func(yield func(*tree.Entry, error) bool) {
				read = true
				tree.All(now)(yield)
			}}
			p.Edits, _ = editsOf(was, now)
			_, err = publish(p)
			if read == tt.followed || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("all was read: %v, %v", read, err)
			}
		})
	}
}

// One saved file in many costs a few hundred bytes, generation after generation,
// and a full manifest when the differences come to as much.
func TestDifferencePays(t *testing.T) {
	sample.Long(t)
	c := newChain(t)
	now := plainTree(1000)
	full := 0
	sizes := map[string][]int{}
	for i := range 200 {
		now[i*3].MTime++
		ref := c.publish(now, true)
		kind := "difference"
		if c.base(ref) == "" {
			kind = "full"
			full++
		}
		sizes[kind] = append(sizes[kind], len(c.bucket.Body(Dir+"/"+ref)))
	}
	if first := sizes["difference"][0]; first > 400 {
		t.Errorf("one row costs %d bytes", first)
	}
	// One more row in each: the square root of twice 1000 is 45.
	if full < 4 || full > 6 {
		t.Errorf("%d of 200 are full", full)
	}
	if n := sizes["difference"][len(sizes["difference"])-1]; n > sizes["full"][0]/4 {
		t.Errorf("a difference of %d bytes, the full one has %d", n, sizes["full"][0])
	}
}

// Without what it is a difference from a manifest is not a tree, not even a part of
// one, and the error names what is missing.
func TestDifferenceWithoutItsBase(t *testing.T) {
	now := plainTree(20)
	tests := map[string]func(c *chain, ref, base string) string{
		"missing":   func(c *chain, _, base string) string { c.bucket.Drop(Dir + "/" + base); return base },
		"corrupted": func(c *chain, _, base string) string { c.bucket.Set(Dir+"/"+base, []byte("x")); return base },
		"another difference": func(c *chain, _, base string) string {
			return c.rewrite(now, &difference{}, c.rewrite(now, &difference{}, base))
		},
		"of another number of rows": func(c *chain, _, base string) string {
			return c.rewrite(now[:19], &difference{}, base)
		},
		"out of order": func(c *chain, _, base string) string {
			return c.rewrite(now, &difference{lines: []differing{{"b", nil}, {"a", nil}}}, base)
		},
		"not a manifest": func(c *chain, _, base string) string {
			return c.rewrite(now, &difference{}, "o/"+strings.TrimPrefix(base, "m/"))
		},
		"elsewhere": func(c *chain, _, base string) string {
			return c.rewrite(now, &difference{}, "m/../"+base)
		},
		"a full one with a path gone": func(c *chain, _, _ string) string {
			return c.rewrite(now, &difference{lines: []differing{{"a", nil}}}, "")
		},
	}
	for name, do := range tests {
		t.Run(name, func(t *testing.T) {
			c := newChain(t)
			base := c.publish(now, true)
			next := slices.Clone(now)
			next[3].MTime++
			ref := c.publish(next, true)
			if c.base(ref) != base {
				t.Fatal("it is no difference")
			}
			named := do(c, ref, base)
			if named != base {
				ref = named
			}
			got, err := c.reader().Tree(t.Context(), ref)
			if err == nil || got != nil || !strings.Contains(err.Error(), named) {
				t.Errorf("got %+v, want an error that names %q: %v", got, named, err)
			}
			if needed := map[string]bool{}; name == "missing" {
				if err := c.reader().Needs(t.Context(), []string{ref}, needed); !errors.Is(err, rclone.ErrNotFound) {
					t.Errorf("what it needs is %v, %v", needed, err)
				}
				if err := c.reader().Needs(t.Context(), []string{ref}, needed); err == nil {
					t.Error("a collection would go on")
				}
			}
		})
	}
}

// rewrite puts a manifest that no writer makes into the bucket.
func (c *chain) rewrite(rows []tree.Entry, d *difference, base string) string {
	c.t.Helper()
	var buf bytes.Buffer
	z := must(zstd.NewWriter(&buf)) // whoever writes manifests refuses some of these
	fmt.Fprintf(z, "{\"format\":1,\"base\":%q,\"rows\":%d}\n", base, len(rows))
	w := tree.NewWriter(z)
	if err := errors.Join(d.write(w), w.Flush(), z.Close()); err != nil {
		c.t.Fatal(err)
	}
	ref := "m/1-9-" + fmt.Sprintf("%x", sha256.Sum256(buf.Bytes()))
	c.bucket.Set(Dir+"/"+ref, buf.Bytes())
	return ref
}

// FuzzManifest: whatever is in a manifest, and in the one that it is a
// difference from, it is a valid tree or an error; a tree is written, and read again
// as the same.
func FuzzManifest(f *testing.F) {
	full := "{\"format\":1,\"rows\":2}\nf\t644\t1\t0\t\t\t\t\ta\nd\t755\t0\t0\t\t\t\t\tb\n"
	f.Add([]byte("{\"format\":1,\"base\":\"m/1\",\"rows\":2}\n-\ta\no\to/k\nf\t644\t1\t2\t\t0:1:1:2:r\t\t\tc\n"), []byte(full))
	f.Add([]byte(full), []byte(""))
	f.Add([]byte("{\"format\":1,\"base\":\"m/1\",\"rows\":1}\n-\tb\n-\tx\n"), []byte(full))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text, base []byte) {
		open := func(name string, text []byte) *manifest {
			file := filepath.Join(dir, name)
			z := must(zstd.NewWriter(nil))
			if err := os.WriteFile(file, z.EncodeAll(text, nil), 0o600); err != nil {
				t.Fatal(err)
			}
			m, err := openManifest(file)
			if err != nil {
				return nil
			}
			return m
		}
		m := open("m", text)
		if m == nil {
			return
		}
		defer m.close()
		var full *manifest
		if m.Base != "" {
			if full = open("base", base); full == nil {
				return
			}
			defer full.close()
		}
		got, err := readTree(m, full)
		if err != nil {
			return
		}
		at := map[string]tree.Kind{}
		for i := range got.Entries {
			at[got.Entries[i].Path] = got.Entries[i].Kind
			for dir := range tree.Parents(got.Entries[i].Path) {
				if kind, there := at[dir]; there && kind != tree.Dir {
					t.Errorf("%q lies below %q", got.Entries[i].Path, dir)
				}
			}
			if i > 0 && tree.Compare(got.Entries[i-1].Path, got.Entries[i].Path) >= 0 {
				t.Errorf("%q comes after %q", got.Entries[i].Path, got.Entries[i-1].Path)
			}
			if err := checkEntry(&got.Entries[i]); err != nil || Capital(got.Entries[i].Path) {
				t.Errorf("%q: %v", got.Entries[i].Path, err)
			}
		}
		if n := len(got.Entries) + got.Capitals; n != m.Rows {
			t.Errorf("%d rows, %d said", n, m.Rows)
		}
		var buf bytes.Buffer
		w := tree.NewWriter(&buf)
		if err := errors.Join(writeTree(w, tree.All(got.Entries), len(got.Entries)), w.Flush()); err != nil {
			t.Fatal(err)
		}
		written := open("again", append([]byte(header(len(got.Entries))), buf.Bytes()...))
		if written == nil {
			t.Fatal("cannot open what was written")
		}
		defer written.close()
		again, err := readTree(written, nil)
		if err != nil {
			t.Fatalf("cannot read what was written: %v", err)
		}
		if diff := cmp.Diff(got.Entries, again.Entries); diff != "" {
			t.Error(diff)
		}
	})
}

// TestNeedsAreExact: a collection needs what the trees of the kept generations
// refer to, and the manifests that tell so; nothing that a difference took away
// from under all of them.
func TestNeedsAreExact(t *testing.T) {
	for _, seed := range sample.Some(t, 8, seeds) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		c := newChain(t)
		now := plainTree(40)
		content := func(e *tree.Entry) {
			e.Size = 1
			e.Where = []tree.Extent{{Object: fmt.Sprint("o/", rnd.Uint32()), Stored: 1, Size: 1, Codec: tree.Raw}}
		}
		for i := range now {
			content(&now[i])
		}
		for range 25 {
			now = slices.Clone(now)
			for range 1 + rnd.IntN(2) {
				if at := rnd.IntN(len(now)); rnd.IntN(4) == 0 {
					now = slices.Delete(now, at, at+1)
				} else {
					content(&now[at])
				}
			}
			c.publish(now, true)
		}
		var refs []string
		for ref := range c.trees {
			if rnd.IntN(3) == 0 {
				refs = append(refs, ref)
			}
		}
		want, got := map[string]bool{}, map[string]bool{}
		for _, ref := range refs {
			want[ref] = true
			if base := c.base(ref); base != "" {
				want[base] = true
			}
			for _, e := range c.trees[ref] {
				want[e.Where[0].Object] = true
			}
		}
		if err := c.reader().Needs(t.Context(), refs, got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d, %d generations: %s", seed, len(refs), diff)
		}
	}
}
