package replica

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/tree/treetest"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// world is a workspace with one replica: a bucket, and what the head says of
// it. It stands in for the engine.
type world struct {
	t          testing.TB
	bucket     *storetest.Bucket
	mirror     bool
	epoch      int64
	generation int64
	ref        string
	nonces     map[string]bool
	refs       []string // of all generations
	read       map[string]generationRead
	told       int // steps that came with all that they edit
}

func newWorld(t testing.TB) *world {
	return &world{t: t, bucket: storetest.New(), nonces: map[string]bool{}, read: map[string]generationRead{}}
}

// machine is one place where the workspace is opened.
type machine struct {
	*Replica
	w *world
}

// machine makes a place with a tree of its own.
func (w *world) machine(name string, excludes ...string) *machine {
	w.t.Helper()
	return w.machineAt(filepath.Join(treetest.Dir(w.t), name), excludes...)
}

func (w *world) machineAt(path string, excludes ...string) *machine {
	w.t.Helper()
	f, err := filter.Compile(filter.Excludes(excludes))
	if err != nil {
		w.t.Fatal(err)
	}
	m := &machine{w: w}
	m.Replica = New(Options{
		Name: "r", Workspace: "o/p/e", Path: path, Host: filepath.Base(path), Filter: f, Layout: w.layout(path),
	})
	m.spoolAfter = 1 // so that it is met
	return m
}

func (w *world) layout(path string) store.Layout {
	if w.mirror {
		return store.NewMirror(w.bucket.At("p").Metadata())
	}
	return store.NewSnapshot(w.bucket.At("p"), filepath.Join(path, localfs.Dir, "manifests"))
}

// restart is what a crash leaves: a new process over the same tree.
func (m *machine) restart() {
	m.Close()
	o, merge := m.Options, m.merge
	m.Replica = New(o)
	m.merge, m.spoolAfter = merge, 1
}

// acquire brings the tree to the head: what the engine does with a new lease.
func (m *machine) acquire(o SettleOptions) (*Outcome, error) {
	w := m.w
	w.epoch++
	if err := m.Open("lineage", w.generation); err != nil {
		return nil, err
	}
	if p := m.base.Pending; p != nil {
		if err := m.base.Resolve(w.nonces[p.Nonce]); err != nil {
			return nil, err
		}
	}
	if err := m.Tidy(time.Time{}); err != nil {
		return nil, err
	}
	if w.mirror || m.base.Header.Ref != w.ref || w.generation == 0 {
		t := &store.Tree{}
		if w.generation > 0 {
			var err error
			if t, err = m.Layout.Tree(w.t.Context(), w.ref); err != nil {
				return nil, err
			}
		}
		receive := m.Receive
		if w.mirror {
			receive = func(t *store.Tree, ref string, epoch, generation int64) error {
				_, err := m.ReceiveChanged(t, ref, epoch, generation)
				return err
			}
		}
		if err := receive(t, w.ref, w.epoch, w.generation); err != nil {
			return nil, err
		}
	}
	return m.settle(o)
}

func (m *machine) settle(o SettleOptions) (*Outcome, error) {
	o.Source = m.Layout
	return m.Settle(m.w.t.Context(), o)
}

// mustAcquire is acquire that must leave nothing to place.
func (m *machine) mustAcquire() *Outcome {
	m.w.t.Helper()
	out, err := m.acquire(SettleOptions{})
	if err != nil {
		m.w.t.Fatal(err)
	}
	if len(out.Problems) > 0 {
		m.w.t.Fatalf("problems: %+v", out.Problems)
	}
	return out
}

// push makes one generation of what changed; false when nothing did. It begins
// with a base at rest, as most do.
func (m *machine) push() (more bool, err error) {
	w, ctx := m.w, m.w.t.Context()
	defer func() {
		counted := m.base.Totals()
		if err == nil {
			err = m.base.Load() // for the test to look at
		}
		if now := m.base.Totals(); err == nil && now != counted {
			err = fmt.Errorf("it was counted %+v, and the base has %+v", counted, now)
		}
	}()
	if m.spoolAfter < base.SpoolMany { // so that a spool is met, and none is
		m.spoolAfter = 1 + int(w.generation%3)*100
	}
	found, err := m.Scan(ctx, nil)
	if err != nil || !found.Any {
		return false, err
	}
	if found.Loaded != nil {
		return false, found.Loaded
	}
	staged, err := m.Send(ctx, found, w.epoch, nil)
	if err != nil {
		return false, err
	}
	staged.Goes = true
	step, err := m.MakeStep(staged, false, w.epoch, w.generation+1)
	if step == nil || err != nil {
		return false, err
	}
	if err := w.checkEdits(m, step); err != nil {
		return false, err
	}
	ref, err := m.Layout.Publish(ctx, step.Publication)
	if err != nil {
		return false, err
	}
	step.Delta.Header.Ref = ref.Manifest
	return true, w.commit(m, *step)
}

// checkEdits compares the edits that are told with the tree with what the bucket has.
func (w *world) checkEdits(m *machine, step *Step) error {
	p := step.Publication
	if !p.Known {
		return nil
	}
	w.told++
	was, err := m.Layout.Tree(w.t.Context(), p.From)
	if err != nil {
		return err
	}
	rows := map[string]tree.Entry{}
	for _, e := range was.Entries {
		rows[e.Path] = e
	}
	for _, e := range p.Edits {
		old, is := rows[e.Now.Path]
		if is != (e.Was != nil) || is && (old.Kind != e.Was.Kind || old.Size != e.Was.Size) {
			return fmt.Errorf("before %+v there was %+v, and %+v was told", e.Now, old, e.Was)
		}
		rows[e.Now.Path] = e.Now
	}
	leaf := ""
	for e, err := range p.Entries {
		if err != nil {
			return err
		}
		if leaf != "" && tree.Within(e.Path, leaf) {
			return fmt.Errorf("the edits put %s where %s is", leaf, e.Path)
		}
		if e.Kind != tree.Dir {
			leaf = e.Path
		}
		if diff := cmp.Diff(rows[e.Path], *e, cmpopts.EquateEmpty()); diff != "" {
			return fmt.Errorf("the edits leave out a difference: %s", diff)
		}
		delete(rows, e.Path)
	}
	if len(rows) > 0 {
		return fmt.Errorf("the edits leave out %d paths that go", len(rows))
	}
	return nil
}

// commit is the head's compare-and-swap.
func (w *world) commit(m *machine, step Step) error {
	nonce := store.NewID()
	if err := m.base.Prepare(nonce, step.Delta); err != nil {
		return err
	}
	w.generation++
	w.ref = step.Delta.Header.Ref
	w.nonces[nonce] = true
	w.refs = append(w.refs, w.ref)
	return m.base.Resolve(true)
}

// pushAll pushes until nothing is left, and says how many generations it made.
func (m *machine) pushAll() int {
	m.w.t.Helper()
	for n := 0; ; n++ {
		more, err := m.push()
		if err != nil {
			m.w.t.Fatal(err)
		}
		if !more {
			return n
		}
		if n > 5 {
			m.w.t.Fatal("pushing does not come to an end")
		}
	}
}

// fileTree is a tree as a test writes it down: path → what is there. "/" after
// the mode is a directory, "> target" a link, else mode and content.
type fileTree map[string]string

// write makes a tree's files. A name that ends in "/" is a directory, content
// that begins with "> " a link's target.
func (m *machine) write(files map[string]string) {
	m.w.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		m.put(name, files[name])
	}
}

func (m *machine) put(name, content string) {
	m.w.t.Helper()
	path := filepath.Join(m.Path, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.w.t.Fatal(err)
	}
	var err error
	if target, ok := strings.CutPrefix(content, "> "); ok {
		err = os.Symlink(target, path)
	} else if strings.HasSuffix(name, "/") {
		err = os.MkdirAll(path, 0o755)
	} else {
		err = os.WriteFile(path, []byte(content), 0o644)
	}
	if err != nil {
		m.w.t.Fatal(err)
	}
}

// must is for the calls of package os.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// show reads the tree without the code under test: kind, mode, time and
// content.
func (m *machine) show() fileTree { return showTree(m.w.t, m.Path) }

func showTree(t testing.TB, root string) fileTree {
	t.Helper()
	out := fileTree{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if rel == localfs.Dir {
			return filepath.SkipDir
		}
		if d.Type()&^(fs.ModeDir|fs.ModeSymlink) != 0 {
			return nil // a fifo: not carried
		}
		out[rel], err = showOne(path, d)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func showOne(path string, d fs.DirEntry) (string, error) {
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		return fmt.Sprintf("%o/", mode12(info)), nil
	case fs.ModeSymlink:
		target, err := os.Readlink(path)
		return fmt.Sprintf("> %s @%d", target, info.ModTime().UnixNano()), err
	}
	body, err := os.ReadFile(path)
	return fmt.Sprintf("%o @%d %s", mode12(info), info.ModTime().UnixNano(), body), err
}

func mode12(info fs.FileInfo) uint32 { return uint32(info.Mode().Perm()) }

// plain drops modes and times: "content", "/" or "> target".
func (f fileTree) plain() map[string]string {
	out := map[string]string{}
	for path, text := range f {
		out[path] = contentIn(text)
	}
	return out
}

// contentIn is the content in a shown entry.
func contentIn(text string) string {
	switch {
	case strings.HasSuffix(text, "/") && !strings.Contains(text, "@"):
		return "/"
	case strings.HasPrefix(text, "> "):
		return text[:strings.LastIndex(text, " @")]
	}
	_, rest, _ := strings.Cut(text, "@")
	_, content, _ := strings.Cut(rest, " ")
	return content
}

// wantTree compares a machine's tree, without modes and times.
func (m *machine) wantTree(want map[string]string) {
	m.w.t.Helper()
	if diff := cmp.Diff(want, m.show().plain()); diff != "" {
		m.w.t.Errorf("%s: %s", m.Host, diff)
	}
}

// aside reads what a directory of the replica's own keeps: the paths without
// the stamp.
func (m *machine) aside(dir string) map[string]string {
	m.w.t.Helper()
	out := map[string]string{}
	root := filepath.Join(m.Dir(), dir)
	stamps, _ := os.ReadDir(root)
	for _, s := range stamps {
		for path, text := range showTree(m.w.t, filepath.Join(root, s.Name())).plain() {
			if text != "/" {
				out[path] = text
			}
		}
	}
	return out
}

func (m *machine) conflicts() map[string]string { return m.aside(conflictsDir) }
func (m *machine) replaced() map[string]string  { return m.aside(replacedDir) }

// remote reads a generation's tree with its content, apart from what is kept
// aside, which is given on its own by content.
func (w *world) remote(ref string) (files fileTree, kept map[string]bool) {
	w.t.Helper()
	if w.mirror {
		return w.readRemote(ref)
	}
	if _, ok := w.read[ref]; !ok {
		files, kept := w.readRemote(ref)
		w.read[ref] = generationRead{files, kept}
	}
	return w.read[ref].files, w.read[ref].kept
}

// generationRead is a generation's tree as it was read once.
type generationRead struct {
	files fileTree
	kept  map[string]bool
}

func (w *world) readRemote(ref string) (files fileTree, kept map[string]bool) {
	w.t.Helper()
	files, kept = fileTree{}, map[string]bool{}
	if ref == "" && !w.mirror {
		return files, kept
	}
	tmp := treetest.Dir(w.t)
	defer os.RemoveAll(tmp) // histories read thousands of these
	layout := w.layout(tmp)
	t, err := layout.Tree(w.t.Context(), ref)
	if err != nil {
		w.t.Fatal(err)
	}
	var fetch []*tree.Entry
	for i := range t.Entries {
		if t.Entries[i].Kind == tree.File {
			fetch = append(fetch, &t.Entries[i])
		}
	}
	dir := filepath.Join(tmp, "in")
	w.must(os.MkdirAll(dir, 0o700))
	if err := layout.Fetch(w.t.Context(), fetch, dir, nil, nil); err != nil {
		w.t.Fatal(err)
	}
	for i, e := range fetch {
		body, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
		w.must(err)
		if tree.Within(e.Path, localfs.Dir) {
			kept[string(body)] = true
			continue
		}
		files[e.Path] = fmt.Sprintf("%o @%d %s", e.Mode, e.MTime, body)
	}
	for i := range t.Entries {
		switch e := &t.Entries[i]; {
		case tree.Within(e.Path, localfs.Dir):
			if e.Kind == tree.Link {
				kept["> "+e.Link] = true
			}
		case e.Kind == tree.Dir:
			files[e.Path] = fmt.Sprintf("%o/", e.Mode)
		case e.Kind == tree.Link:
			files[e.Path] = fmt.Sprintf("> %s @%d", e.Link, e.MTime)
		}
	}
	return files, kept
}
