package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/google/go-cmp/cmp"
)

// place is a prefix in one of the two stores, with what the suite needs beside
// a Bucket.
type place struct {
	Bucket
	meta Bucket // the same, carrying modes
	keys func() []string
	body func(key string) []byte
	set  func(key string, body []byte)
	drop func(key string)

	sealed bool // names and contents are encrypted: longer, and without a hash
}

// inMemory is a prefix of storetest's.
func inMemory(testing.TB) place {
	b := storetest.New().At("p")
	return place{Bucket: b, meta: b.Metadata(), keys: b.Keys, body: b.Body, set: b.Set, drop: b.Drop}
}

// onServer is a prefix on a real S3 server, by a real rclone.
func onServer(t testing.TB) place {
	t.Helper()
	return on(t, serverRemote(t))
}

// on is a prefix of a remote.
func on(t testing.TB, root *rclone.Remote) place {
	t.Helper()
	r := root.At("p")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	return place{
		Bucket: r, meta: r.Metadata(),
		keys: func() []string {
			objects, err := r.List(t.Context(), "")
			if errors.Is(err, rclone.ErrNotFound) { // of back ends with directories
				return nil
			}
			must(err)
			var keys []string
			for _, o := range objects {
				keys = append(keys, o.Key)
			}
			slices.Sort(keys)
			return keys
		},
		body: func(key string) []byte {
			body, err := r.Get(t.Context(), key, 1<<30)
			must(err)
			return body
		},
		set:  func(key string, body []byte) { must(r.PutIf(t.Context(), key, body, rclone.Cond{})) },
		drop: func(key string) { must(r.Delete(t.Context(), []string{key})) },
	}
}

// serverRemote is the root of a bucket on a real S3 server.
func serverRemote(t testing.TB) *rclone.Remote {
	t.Helper()
	server := s3test.Start(t)
	return remoteOn(t, rclone.Root("primary", server.Bucket, ""),
		rclone.Backend{Name: "primary", Type: "s3", Options: server.Options(server.Endpoint)})
}

// conform is the suite: what the layouts promise on every store.
func conform(t *testing.T, f func(t *testing.T, s *suite)) {
	for _, layout := range layouts {
		conformOn(t, "memory", layout, inMemory, f)
		conformOn(t, "server", layout, onServer, f)
	}
	for _, r := range rowsOf(t) {
		conformOn(t, r.store, r.layout, func(t testing.TB) place {
			p := on(t, backends[r.store].open(t))
			p.sealed = r.store == "crypt"
			return p
		}, f)
	}
}

// conformLarge is [conform] for what moves many bytes: each layout and each store once,
// and chance says which on which; all where the whole is asked for.
func conformLarge(t *testing.T, f func(t *testing.T, s *suite)) {
	if allBackends() {
		conform(t, f)
		return
	}
	stores := []string{"memory", "server"}
	opened := map[string]func(testing.TB) place{"memory": inMemory, "server": onServer}
	for _, turn := range sample.Some(t, 1, []int{0, 1}) {
		for i, layout := range layouts {
			store := stores[(i+turn)%2]
			conformOn(t, store, layout, opened[store], f)
		}
	}
}

// layouts are all that there are.
var layouts = []string{"snapshot", "mirror"}

func conformOn(t *testing.T, store, layout string, open func(testing.TB) place, f func(t *testing.T, s *suite)) {
	t.Run(store+"/"+layout, func(t *testing.T) {
		t.Parallel()
		p := open(t)
		s := &suite{t: t, place: p, dir: t.TempDir()}
		if s.Layout = NewSnapshot(p.Bucket, filepath.Join(s.dir, "trees")); layout == "mirror" {
			s.Layout = NewMirror(p.meta)
		}
		f(t, s)
	})
}

// suite is one layout on one store.
type suite struct {
	Layout
	t          testing.TB
	place      place
	dir        string
	generation int64
	ref        string
	here       *Here // for fetches
}

// item is an entry with its content.
type item struct {
	tree.Entry
	content []byte
}

func file(path, content string) item {
	return item{tree.Entry{
		Path: path, Kind: tree.File, Mode: 0o644, MTime: 1700000000123456789, Size: int64(len(content)),
		Sum: sha256.Sum256([]byte(content)),
	}, []byte(content)}
}

func link(path, target string) item {
	return item{tree.Entry{Path: path, Kind: tree.Link, Mode: 0o777, MTime: 1600000000987654321, Link: target}, nil}
}

// noise is content that cannot be compressed.
func (s *suite) noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(s.generation)}).Read(b)
	return b
}

func (s *suite) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *suite) tmp() string {
	s.t.Helper()
	dir, err := os.MkdirTemp(s.dir, "x")
	s.must(err)
	return dir
}

// add stages one item.
func (s *suite) add(b Batch, it *item) func() error {
	s.t.Helper()
	content := it.content
	if it.Kind == tree.Link {
		content = []byte(it.Link)
	}
	undo, err := b.Add(s.t.Context(), &it.Entry, bytes.NewReader(content))
	s.must(err)
	return undo
}

// publish sends items and makes them the tree. gone is what it has no more.
func (s *suite) publish(items []item, gone ...tree.Entry) []item {
	s.t.Helper()
	dir := s.tmp()
	batch := s.Begin(dir, 7, nil)
	for i := range items {
		if items[i].Kind != tree.Dir {
			s.add(batch, &items[i])
		}
	}
	s.must(batch.Send(s.t.Context()))
	if n := batch.Staged(); n != 0 {
		s.t.Errorf("%d bytes are still staged", n)
	}
	s.announce(dir, items, gone...)
	return items
}

// announce publishes a tree whose content is there.
func (s *suite) announce(dir string, items []item, gone ...tree.Entry) {
	s.t.Helper()
	s.generation++
	p := Publication{Gone: gone, Workspace: "a/b/c", Replica: "r", Epoch: 7, Generation: s.generation}
	var entries []tree.Entry
	for _, it := range items {
		entries = append(entries, it.Entry)
	}
	tree.Sort(entries)
	p.Entries = tree.All(entries)
	p.Filters = []filter.Rule{{Pattern: "x\xff"}, {Include: true, Pattern: "y"}}
	ref, err := s.Publish(s.t.Context(), p)
	s.must(err)
	s.ref = ref.Manifest
}

// entries reads the tree, files and links apart from directories.
func (s *suite) entries() []*tree.Entry {
	s.t.Helper()
	got, err := s.Tree(s.t.Context(), s.ref)
	s.must(err)
	var out []*tree.Entry
	for i := range got.Entries {
		if got.Entries[i].Kind != tree.Dir {
			out = append(out, &got.Entries[i])
		}
	}
	return out
}

// verify fetches the tree and compares it with the items.
func (s *suite) verify(items []item) {
	s.t.Helper()
	s.fetchInto(s.tmp(), items)
}

func (s *suite) fetchInto(dir string, items []item) {
	s.t.Helper()
	got, want := map[string]string{}, map[string]string{}
	entries := slices.DeleteFunc(s.entries(), func(e *tree.Entry) bool {
		whole := e.Kind == tree.Link && e.Tag == "" // a manifest has all of it
		if whole {
			got[e.Path] = fmt.Sprintf("> %s", e.Link)
		}
		return whole
	})
	s.must(s.Fetch(s.t.Context(), entries, dir, s.here, nil))
	for i, e := range entries {
		if e.Kind == tree.Link {
			got[e.Path] = fmt.Sprintf("> %s", e.Link)
			continue
		}
		body, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
		s.must(err)
		if e.Mode == tree.NoMode { // the usual one: the object may as well have told none
			e.Mode = 0o644
		}
		got[e.Path] = fmt.Sprintf("%o %x @%d %d", e.Mode, sha256.Sum256(body), e.MTime, e.Size)
		if e.Sum != sha256.Sum256(body) {
			s.t.Errorf("%q has another sum than its content", e.Path)
		}
	}
	for _, it := range items {
		switch it.Kind {
		case tree.File:
			want[it.Path] = fmt.Sprintf("%o %x @%d %d", it.Mode, sha256.Sum256(it.content), it.MTime, len(it.content))
		case tree.Link:
			want[it.Path] = fmt.Sprintf("> %s", it.Link)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Error(diff)
	}
}

// names are those that tools stumble over.
var names = []string{
	"plain", "sp ace", " lead", "trail ", `quo"te`, "apos'", "hash#", "#first", "; semi", "per%20cent", "%", "ünï/cödé/文字",
	"new\nline", "cr\r", "tab\t", "bad\xff\xfe", "-dash", "--flag=x", ".dot", "..two", "...", "a/.hidden/b", "back\\slash",
	"{curly}", "[brack]", "star*", "quest?", "colon:x", "comma,x", "tilde~", "deep/" + strings.Repeat("d/", 20) + "f",
	strings.Repeat("n", 200),
}

func TestConformNames(t *testing.T) {
	conform(t, func(t *testing.T, s *suite) {
		var items []item
		for i, name := range names {
			if len(name) > 100 && s.place.sealed {
				continue // an encrypted name is half as long again, and 255 bytes are the most
			}
			it := file(name, fmt.Sprintf("content of %d", i))
			it.Mode = []uint32{0o644, 0o755, 0o600, 0o640}[i%4]
			items = append(items, it, link(name+".ln", "../"+name))
		}
		s.verify(s.publish(items))
	})
}

func TestConformSizes(t *testing.T) {
	conform(t, func(t *testing.T, s *suite) {
		noise := s.noise(3 * smallFile)
		items := []item{file("empty", ""), file("one", "1"), file("text", strings.Repeat("text ", 9000))}
		for _, n := range []int{smallFile - 1, smallFile, smallFile + 1, 2 * smallFile} {
			items = append(items, file(fmt.Sprint("noise", n), string(noise[:n])), file(fmt.Sprint("zero", n), strings.Repeat("\x00", n)))
		}
		s.verify(s.publish(items))
	})
}

func TestConformLargeFiles(t *testing.T) {
	sample.Long(t)
	conformLarge(t, func(t *testing.T, s *suite) {
		big := bytes.Repeat([]byte("0123456789abcdef"), (shipSize+smallFile)/16)
		noise := s.noise(2*shipSize + packSize)
		items := []item{file("alike", string(big)), file("exactly", string(big[:packSize])), file("noise", string(noise)), file("empty", "")}
		s.verify(s.publish(items))
		if s.ByContent() && items[0].Where[0] != items[1].Where[0] {
			t.Errorf("a part was sent twice: %v", items[1].Where)
		}
	})
}

func TestConformSameContent(t *testing.T) {
	conform(t, func(t *testing.T, s *suite) {
		large := strings.Repeat("the same ", 20000)
		var items []item
		for i := range 4 {
			items = append(items, file(fmt.Sprint("small", i), "the same"), file(fmt.Sprint("large", i), large))
		}
		dir := s.tmp()
		batch := s.Begin(dir, 7, nil)
		for i := range items {
			undo := s.add(batch, &items[i])
			if i%2 == 1 { // taking one of several out leaves the others
				s.must(undo())
				s.add(batch, &items[i])
			}
		}
		s.must(batch.Send(t.Context()))
		s.announce(dir, items)
		s.verify(items)
	})
}

func TestConformUndo(t *testing.T) {
	conform(t, func(t *testing.T, s *suite) {
		dir := s.tmp()
		batch := s.Begin(dir, 7, nil)
		var kept []item
		for i := range 12 {
			content := fmt.Sprint("content ", i)
			if i%4 == 3 {
				content = strings.Repeat(content, 10000)
			}
			it := file(fmt.Sprint("f", i), content)
			staged := batch.Staged()
			undo := s.add(batch, &it)
			if i%3 == 0 {
				s.must(undo())
				if batch.Staged() != staged {
					t.Errorf("%d bytes staged, and %d after an undo", staged, batch.Staged())
				}
				continue
			}
			kept = append(kept, it)
		}
		// Entries were copied: the batch filled in those it was given.
		again := s.Begin(s.tmp(), 7, nil)
		for i := range kept {
			s.add(again, &kept[i])
		}
		s.must(batch.Send(t.Context()))
		s.must(again.Send(t.Context()))
		if s.ByContent() {
			s.announce(dir, kept)
		}
		s.verify(kept)
	})
}

func TestConformUndoOfAll(t *testing.T) {
	conform(t, func(t *testing.T, s *suite) {
		batch := s.Begin(s.tmp(), 7, nil)
		for _, content := range []string{"small", strings.Repeat("large", 50000)} {
			it := file("f", content)
			s.must(s.add(batch, &it)())
		}
		s.must(batch.Send(t.Context()))
		if keys := s.place.keys(); len(keys) != 0 {
			t.Errorf("objects: %q", keys)
		}
	})
}

// What an interrupted fetch left in the directory must do no harm, and objects
// that are there already are not asked for again.
func TestConformFetchIntoLeftovers(t *testing.T) {
	conform(t, func(t *testing.T, s *suite) {
		items := s.publish([]item{file("a", "content of a"), file("b", strings.Repeat("b", 100000)), link("l", "a")})
		dir := s.tmp()
		for i := range 4 {
			s.must(os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte("a leftover, longer than any content of a"), 0o400))
		}
		s.must(os.MkdirAll(filepath.Join(dir, "mirror"), 0o700))
		s.must(os.WriteFile(filepath.Join(dir, "mirror", "a"), []byte("half"), 0o600))
		if s.ByContent() {
			for _, x := range objectsOf(s.entries()...) {
				s.must(os.MkdirAll(filepath.Join(dir, Dir, "o"), 0o700))
				s.must(os.WriteFile(filepath.Join(dir, Dir, x), []byte("cut sho"), 0o600))
			}
		}
		s.fetchInto(dir, items)
		s.fetchInto(dir, items)
	})
}

func TestConformDamage(t *testing.T) {
	tests := map[string]struct {
		do   func(s *suite, key string)
		want error
	}{
		"missing": {func(s *suite, key string) { s.place.drop(key) }, rclone.ErrNotFound},
		"corrupted": {func(s *suite, key string) {
			body := bytes.Clone(s.place.body(key))
			body[len(body)/2] ^= 1
			s.place.set(key, body)
		}, nil},
		"cut short": {func(s *suite, key string) { s.place.set(key, s.place.body(key)[:3]) }, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			conform(t, func(t *testing.T, s *suite) {
				s.publish([]item{file("a", strings.Repeat("content of a", 10000)), file("b", "content of b")})
				entries := s.entries()
				key := entries[0].Path
				if s.ByContent() {
					key = Dir + "/" + entries[0].Where[0].Object
				}
				if s.place.sealed && !s.ByContent() && name == "corrupted" {
					t.Skip("a mirror on crypt has no hash to hold an object to, only a size; a snapshot has both")
				}
				tt.do(s, key)
				err := s.Fetch(t.Context(), entries, s.tmp(), nil, nil)
				if err == nil || !strings.Contains(err.Error(), key) || tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("want an error that names %q, got %v", key, err)
				}
			})
		})
	}
}

// The next tree replaces and drops; what is dropped stays readable.
func TestConformNextTree(t *testing.T) {
	conform(t, func(t *testing.T, s *suite) {
		first := s.publish([]item{file("a", "a1"), file("b", "b1"), file("k", "a file"), link("m", "x"), file("n", "n1")})
		firstRef := s.ref
		a := file("a", "a2")
		a.Tag = first[0].Tag
		k, m := link("k", "y"), file("m", "a file now")
		next := s.publish([]item{a, k, m}, first[1].Entry, first[2].Entry, first[3].Entry)
		all := slices.Concat(next, first[4:])
		if s.ByContent() {
			s.announce(s.tmp(), all)
		}
		s.verify(all)
		if s.ByContent() {
			s.ref = firstRef
			s.verify(first)
			return
		}
		kept := strings.Join(s.place.keys(), "\n")
		for _, suffix := range []string{"/a", "/b", "/k", "/m" + linkSuffix} {
			if !strings.Contains(kept+"\n", suffix+"\n") || !strings.Contains(kept, Dir+"/history/") {
				t.Errorf("no %s in the history: %s", suffix, kept)
			}
		}
	})
}

func TestConformNothingStaged(t *testing.T) {
	conform(t, func(t *testing.T, s *suite) {
		s.must(s.Begin(s.tmp(), 7, nil).Send(t.Context()))
		s.must(s.Fetch(t.Context(), nil, s.tmp(), nil, nil))
		if keys := s.place.keys(); len(keys) != 0 {
			t.Errorf("objects: %q", keys)
		}
	})
}

func TestConformSendFails(t *testing.T) {
	for _, mirror := range []bool{false, true} {
		for _, kind := range []storetest.Kind{storetest.Before, storetest.After, storetest.Halfway} {
			t.Run(fmt.Sprint(mirror, kind), func(t *testing.T) {
				b := storetest.New()
				s := &suite{t: t, dir: t.TempDir(), Layout: NewMirror(b.Metadata())}
				if !mirror {
					s.Layout = NewSnapshot(b, filepath.Join(s.dir, "trees"))
				}
				items := []item{file("a", "1"), file("b", strings.Repeat("b", 70000)), file("c", "3")}
				dir := s.tmp()
				batch := s.Begin(dir, 7, nil)
				for i := range items {
					s.add(batch, &items[i])
				}
				b.Inject(storetest.Fault{Op: storetest.Upload, Kind: kind})
				if err := batch.Send(t.Context()); err == nil {
					t.Fatal("a failed upload was taken for one that went well")
				}
				s.must(batch.Send(t.Context()))
				s.announce(dir, items)
				s.verify(items)
			})
		}
	}
}

func TestConformCanceled(t *testing.T) {
	conform(t, func(t *testing.T, s *suite) {
		s.publish([]item{file("a", "1")})
		entries := s.entries()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Fetch(ctx, entries, s.tmp(), nil, nil); err == nil {
			t.Error("a fetch went on")
		}
		if _, err := s.Tree(ctx, s.ref); err == nil {
			t.Error("a tree was read")
		}
	})
}

// Snapshot alone: everything of an entry is exact, directories too.
func TestSnapshotIsExact(t *testing.T) {
	for name, open := range map[string]func(testing.TB) place{"memory": inMemory, "server": onServer} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			s := &suite{t: t, place: p, dir: t.TempDir()}
			s.Layout = NewSnapshot(p.Bucket, filepath.Join(s.dir, "trees"))
			odd := file("odd", "x")
			odd.Mode, odd.MTime = 0o4751, -1
			items := s.publish([]item{
				{Entry: tree.Entry{Path: "d", Kind: tree.Dir, Mode: 0o1777}}, {Entry: tree.Entry{Path: "d/empty", Kind: tree.Dir, Mode: 0o555}},
				file("d/f", ""), odd, link("l\n", "\xff\t"),
			})
			var want []tree.Entry
			for _, it := range items {
				want = append(want, it.Entry)
			}
			tree.Sort(want)
			got, err := s.Tree(t.Context(), s.ref)
			s.must(err)
			if diff := cmp.Diff(want, got.Entries); diff != "" {
				t.Error(diff)
			}
			if len(got.Filters) != 2 || !got.Filters[1].Include {
				t.Errorf("filters: %v", got.Filters)
			}
			// The manifest itself is held to its name, by who has no copy.
			elsewhere := func() error {
				_, err := NewSnapshot(p.Bucket, s.tmp()).Tree(t.Context(), s.ref)
				return err
			}
			key := Dir + "/" + s.ref
			body := bytes.Clone(p.body(key))
			body[len(body)/2] ^= 1
			p.set(key, body)
			if err := elsewhere(); err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("a corrupted manifest: %v", err)
			}
			p.drop(key)
			if err := elsewhere(); !errors.Is(err, rclone.ErrNotFound) || !strings.Contains(err.Error(), key) {
				t.Errorf("a missing manifest: %v", err)
			}
		})
	}
}

func TestManifestRefuses(t *testing.T) {
	good := file("a", "xy").Entry
	good.Where = []tree.Extent{{Object: "o/1", Stored: 2, Size: 2, Codec: tree.Raw}}
	tests := map[string]func(e *tree.Entry){
		"up":              func(e *tree.Entry) { e.Path = "../a" },
		"up in between":   func(e *tree.Entry) { e.Path = "b/../../a" },
		"absolute":        func(e *tree.Entry) { e.Path = "/etc/passwd" },
		"an empty name":   func(e *tree.Entry) { e.Path = "a//b" },
		"a zero byte":     func(e *tree.Entry) { e.Path = "a\x00b" },
		"an object above": func(e *tree.Entry) { e.Where[0].Object = "../../x" },
		"not sent":        func(e *tree.Entry) { e.Where = nil },
		"no object":       func(e *tree.Entry) { e.Where[0].Object = "" },
		"short":           func(e *tree.Entry) { e.Where[0].Size = 1 },
	}
	s := &suite{t: t, dir: t.TempDir()}
	s.Layout = NewSnapshot(storetest.New(), filepath.Join(s.dir, "trees"))
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			e := good
			e.Where = slices.Clone(good.Where)
			change(&e)
			p := Publication{Entries: tree.All([]tree.Entry{e})}
			if _, err := s.Publish(t.Context(), p); err == nil {
				t.Error("it was published")
			}
		})
	}
}

func TestMirrorTree(t *testing.T) {
	tests := map[string]struct{ keys, want []string }{
		"files and the directories above": {[]string{"a", "d/e/f"}, []string{"f a", "d d", "d d/e", "f d/e/f"}},
		"ours is not the tree's":          {[]string{".coltec/claim.json", ".coltecs"}, []string{"f .coltecs"}},
		"a link":                          {[]string{"l.rclonelink", ".rclonelink"}, []string{"f .rclonelink", "l l"}},
		"a file and files below it":       {[]string{"a", "a/b"}, []string{"d a", "f a/b"}},
		"a file and a link":               {[]string{"a", "a.rclonelink"}, []string{"f a"}},
		"what is not a path":              {[]string{"../a", "/b", "c//d", "e/", "f/./g", "ok"}, []string{"f ok"}},
		"nothing":                         {nil, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := storetest.New()
			for _, key := range tt.keys {
				b.Set(key, []byte("x"))
			}
			got, err := NewMirror(b).Tree(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for i, e := range got.Entries {
				lines = append(lines, fmt.Sprintf("%c %s", e.Kind, e.Path))
				if i > 0 && tree.Compare(got.Entries[i-1].Path, e.Path) >= 0 {
					t.Error("out of order")
				}
			}
			if diff := cmp.Diff(tt.want, lines); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The lease on a real server.
func TestLeaseOnServer(t *testing.T) {
	r := serverRemote(t)
	leaseOnServer(t, func() *rclone.Remote { return r })
}

// A bucket under SSE-KMS, whose ETags are no MD5s, was said to know no conditional writes.
func TestLeaseOnASealedServer(t *testing.T) {
	server := s3test.Start(t)
	proxy := server.Proxy(t)
	proxy.Inject(s3test.Fault{Seal: s3test.SealedBy(http.Header{"X-Amz-Server-Side-Encryption": {"aws:kms"}})})
	leaseOnServer(t, func() *rclone.Remote {
		return remoteOn(t, rclone.Root("primary", server.Bucket, ""),
			rclone.Backend{Name: "primary", Type: "s3", Options: server.Options(proxy.Endpoint)})
	})
}

// leaseOnServer has two machines take turns; each has a remote of its own.
func leaseOnServer(t *testing.T, remote func() *rclone.Remote) {
	open := func(host string) *Lease {
		return NewLease(remote(), LeaseOptions{Workspace: workspace, TTL: 60e9, Self: Holder{Host: host, Instance: NewID()}})
	}
	a, b := open("a"), open("b")
	mustAcquire(t, a)
	var other *HeldByOther
	if err := b.Acquire(t.Context()); !errors.As(err, &other) || other.Holder.Host != "a" || other.LastSeen.IsZero() {
		t.Fatalf("got %v", err)
	}
	nonce := NewID()
	wantErr(t, a.Commit(t.Context(), nonce, map[string]Ref{"r": {Manifest: "m/1"}}, nil), nil)
	wantErr(t, a.Renew(t.Context()), nil)
	wantErr(t, a.Release(t.Context(), somethingLeft(2)), nil)
	mustAcquire(t, b)
	if leftBehind(b) != 2 || b.Head().Generation != 1 || !b.Head().Holds(nonce) {
		t.Errorf("%+v, dirty %d", b.Head(), leftBehind(b))
	}
	mustAcquire(t, b)
	wantErr(t, a.Renew(t.Context()), ErrFenced)
}
