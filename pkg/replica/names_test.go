package replica_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/replica/replicatest"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/google/go-cmp/cmp"
)

// site is one machine of a workspace, whose file system has a shape.
type site struct {
	*replica.Replica
	t     *testing.T
	w     *workspace
	shape replicatest.Shape

	withheld []localfs.Unknown // of the last push
}

// workspace is what the machines share.
type workspace struct {
	bucket     *storetest.Bucket
	ref        string
	generation int64
}

func (w *workspace) site(t *testing.T, name string, shape replicatest.Shape) *site {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, w: w, shape: shape, Replica: replica.New(replica.Options{
		Name: "r", Workspace: "o/p/e", Path: path, Host: name, Filter: &filter.Filter{},
		Layout:     store.NewSnapshot(w.bucket, filepath.Join(path, ".coltec/manifests")),
		FileSystem: shape.Open,
	})}
	t.Cleanup(s.Close)
	return s
}

// turn takes the workspace over, and pushes what is here.
func (s *site) turn() *replica.Outcome {
	s.t.Helper()
	ctx, w := s.t.Context(), s.w
	s.must(s.Open("lineage", w.generation))
	out := &replica.Outcome{}
	for range 4 { // what waits for something that goes is there the next time
		next := &store.Tree{}
		if w.ref != "" {
			var err error
			next, err = s.Layout.Tree(ctx, w.ref)
			s.must(err)
		}
		s.must(s.Receive(next, w.ref, 1, w.generation))
		o, err := s.Settle(ctx, replica.SettleOptions{Source: s.Layout, AllowDelete: true})
		s.must(err)
		out.Problems, out.Conflicts = o.Problems, append(out.Conflicts, o.Conflicts...)
		out.Placed += o.Placed
	}
	s.push(ctx)
	return out
}

func (s *site) push(ctx context.Context) {
	s.t.Helper()
	found, err := s.ScanIn(ctx, nil)
	s.must(err)
	staged, err := s.Send(ctx, found, 1, nil)
	s.must(err)
	staged.Goes = true
	step, err := s.MakeStep(staged, false, 1, s.w.generation+1)
	s.must(err)
	s.withheld = staged.Withheld
	if step == nil {
		return
	}
	ref, err := s.Layout.Publish(ctx, step.Publication)
	s.must(err)
	step.Delta.Header.Ref = ref.Manifest
	s.must(s.Base().Prepare("n", step.Delta))
	s.must(s.Base().Resolve(true))
	s.w.generation, s.w.ref = s.w.generation+1, ref.Manifest
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// at is where a path really lies.
func (s *site) at(path string) string { return filepath.Join(s.Path, s.shape.Real(s.Path, path)) }

func (s *site) write(path, content string) {
	s.t.Helper()
	s.must(os.MkdirAll(filepath.Dir(s.at(path)), 0o755))
	s.must(os.WriteFile(s.at(path), []byte(content), 0o644))
}

// show reads the tree: path → mode, time and content.
func (s *site) show() map[string]string {
	s.t.Helper()
	out := map[string]string{}
	s.must(filepath.WalkDir(s.Path, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(s.Path, path)
		if err != nil || rel == "." {
			return err
		}
		if rel == ".coltec" {
			return filepath.SkipDir
		}
		info, err := d.Info()
		s.must(err)
		switch info.Mode().Type() {
		case os.ModeDir:
			out[rel] = info.Mode().String()
		case os.ModeSymlink:
			out[rel], err = os.Readlink(path)
		default:
			var body []byte
			body, err = os.ReadFile(path)
			out[rel] = fmt.Sprintf("%s %d %s", info.Mode(), info.ModTime().UnixNano(), body)
		}
		return err
	}))
	return out
}

var shapes = map[string]replicatest.Shape{
	"folds case":    {Folds: true},
	"normal form D": {Decomps: true},
	"both":          {Folds: true, Decomps: true},
	"no modes":      {NoModes: true},
	"whole seconds": {Grain: time.Second},
	"even seconds":  {Grain: 2 * time.Second},
	"no symlinks":   {NoLinks: true},
	"a USB stick":   {Folds: true, NoModes: true, Grain: 2 * time.Second, NoLinks: true},
}

// TestHopThroughAnotherFileSystem holds that a hop to a machine whose file
// system cannot show everything, and back, changes nothing on the others.
func TestHopThroughAnotherFileSystem(t *testing.T) {
	sample.Long(t)
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			w := &workspace{bucket: storetest.New()}
			one, two := w.site(t, "one", replicatest.Shape{}), w.site(t, "two", shape)
			for path, content := range map[string]string{
				"README": "upper", "readme": "lower", "Dir/a": "in Dir", "dir/a": "in dir", "dir/b": "only there",
				"caf\u00e9": "composed", "cafe\u0301": "decomposed", "caf\u00e9s/men\u00fc": "composed below",
				"plain": "plain", "bin/tool": "tool", "odd": "odd second",
			} {
				one.write(path, content)
			}
			one.must(os.Symlink("plain", one.at("link")))
			one.must(os.Chmod(one.at("bin/tool"), 0o755))
			one.must(os.Chmod(one.at("plain"), 0o600))
			one.must(os.Chmod(one.at("bin"), 0o700))
			one.must(os.Chtimes(one.at("odd"), time.Time{}, time.Unix(1_000_000_001, 999_999_999)))
			before := one.show()
			one.turn()
			ref := w.ref
			two.turn()
			two.turn()
			if w.ref != ref {
				t.Error("the other machine pushed something")
			}
			one.turn()
			if diff := cmp.Diff(before, one.show()); diff != "" {
				t.Error(diff)
			}
			two.write("new", "from two")
			two.write("bin/tool", "edited")
			two.turn()
			if out := one.turn(); len(out.Conflicts)+len(out.Problems) > 0 {
				t.Errorf("%+v", out)
			}
			after := one.show()
			delete(after, "new")
			if !strings.HasPrefix(after["bin/tool"], "-rwxr-xr-x") || !strings.HasSuffix(after["bin/tool"], "edited") {
				t.Errorf("bin/tool: %s", after["bin/tool"])
			}
			before["bin/tool"], after["bin/tool"] = "", ""
			if diff := cmp.Diff(before, after); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestFileWhereADirectoryHoldsMore holds that what has the place of a directory, of which all
// that could be shown was removed, waits here while the bucket has the rest: a file below a file
// would be a tree that nobody can read.
func TestFileWhereADirectoryHoldsMore(t *testing.T) {
	tests := map[string]struct {
		shape  replicatest.Shape
		files  []string
		link   string
		place  string // of the directory that goes, and a file comes
		linked bool   // not a file, but a link comes
	}{
		"a link":                 {shapes["no symlinks"], []string{"d/x", "k"}, "d/link", "d", false},
		"a link alone":           {shapes["no symlinks"], []string{"k"}, "d/link", "d", false},
		"a link, deeper":         {shapes["no symlinks"], []string{"d/e/x", "k"}, "d/e/link", "d", false},
		"a link, in the deeper":  {shapes["no symlinks"], []string{"d/e/x", "k"}, "d/e/link", "d/e", false},
		"a twin":                 {shapes["folds case"], []string{"d/X", "d/x", "k"}, "", "d", false},
		"a twin, by a link":      {shapes["folds case"], []string{"d/X", "d/x", "k"}, "", "d", true},
		"a twin of a directory":  {shapes["folds case"], []string{"d/E/x", "d/e/x", "d/e/y", "k"}, "", "d", false},
		"a name in another form": {shapes["normal form D"], []string{"d/caf\u00e9", "d/cafe\u0301", "k"}, "", "d", false},
		"a stick":                {shapes["a USB stick"], []string{"d/X", "d/x", "k"}, "d/link", "d", false},
	}
	for name, tt := range tests {
		for _, turns := range []string{"at once", "one after the other"} {
			t.Run(name+" "+turns, func(t *testing.T) {
				w := &workspace{bucket: storetest.New()}
				one, two := w.site(t, "one", replicatest.Shape{}), w.site(t, "two", tt.shape)
				for _, f := range tt.files {
					one.write(f, "content of "+f)
				}
				if tt.link != "" {
					one.must(os.MkdirAll(filepath.Dir(one.at(tt.link)), 0o755))
					one.must(os.Symlink("target", one.at(tt.link)))
				}
				one.turn()
				two.turn()
				two.must(os.RemoveAll(two.at(tt.place)))
				if turns == "one after the other" {
					two.turn()
				}
				if tt.linked {
					two.must(os.Symlink("other", two.at(tt.place)))
				} else {
					two.write(tt.place, "a file now")
				}
				two.turn()
				if len(two.withheld) != 1 || two.withheld[0].Path != tt.place {
					t.Errorf("what waits is not named: %+v", two.withheld)
				}
				one.turn()
				two.turn()
				hidden := 0
				for path := range one.show() {
					if strings.HasPrefix(path, tt.place+"/") {
						hidden++
					}
				}
				if hidden == 0 {
					t.Errorf("what could not be shown is gone: %v", one.show())
				}
				one.must(os.RemoveAll(one.at(tt.place)))
				one.turn()
				two.turn()
				one.turn()
				aside, err := filepath.Glob(filepath.Join(two.Path, ".coltec/conflicts/*", tt.place))
				two.must(err)
				if _, there := two.show()[tt.place]; !there && len(aside) == 0 {
					t.Errorf("what waited is lost: %v", two.show())
				}
				if diff := cmp.Diff(one.show()[tt.place], two.show()[tt.place]); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// TestUnshowableIsNamed holds that what cannot be shown is said.
func TestUnshowableIsNamed(t *testing.T) {
	tests := map[string]struct {
		shape replicatest.Shape
		files []string
		links []string
		want  []string
	}{
		"case":              {shapes["folds case"], []string{"A", "a", "b"}, nil, []string{"a"}},
		"directories":       {shapes["folds case"], []string{"D/x", "d/x", "d/y"}, nil, []string{"d"}},
		"below a directory": {shapes["folds case"], []string{"d/X", "d/x"}, nil, []string{"d/x"}},
		"normal form":       {shapes["normal form D"], []string{"\u00e9", "e\u0301"}, nil, []string{"\u00e9"}},
		"another letter":    {shapes["folds case"], []string{"\u00c9", "\u00e9"}, nil, []string{"\u00e9"}},
		"links":             {shapes["no symlinks"], []string{"a"}, []string{"l", "m"}, []string{"l", "m"}},
		"all is well":       {shapes["both"], []string{"a", "b"}, []string{"l"}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := &workspace{bucket: storetest.New()}
			one, two := w.site(t, "one", replicatest.Shape{}), w.site(t, "two", tt.shape)
			for _, f := range tt.files {
				one.write(f, "content of "+f)
			}
			for _, l := range tt.links {
				one.must(os.Symlink("target", one.at(l)))
			}
			one.turn()
			var got []string
			for _, p := range two.turn().Problems {
				got = append(got, p.Path)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestCaseOnlyRenames holds that a change of case is a rename on either side,
// also where both names are one.
func TestCaseOnlyRenames(t *testing.T) {
	for _, where := range []string{"there", "here"} {
		t.Run(where, func(t *testing.T) {
			w := &workspace{bucket: storetest.New()}
			one, two := w.site(t, "one", replicatest.Shape{}), w.site(t, "two", shapes["folds case"])
			one.write("file", "content")
			one.write("dir/sub/x", "x")
			one.write("dir/y", "y")
			one.turn()
			two.turn()
			m := one
			if where == "here" {
				m = two
			}
			for _, r := range [][2]string{{"file", "File"}, {"dir", "DIR"}} {
				m.must(os.Rename(filepath.Join(m.Path, r[0]), filepath.Join(m.Path, r[1])))
			}
			want := m.show()
			for _, s := range []*site{m, one, two, one, two} {
				s.turn()
			}
			for _, s := range []*site{one, two} {
				if diff := cmp.Diff(want, s.show()); diff != "" {
					t.Errorf("%s: %s", s.Host, diff)
				}
			}
		})
	}
}

// TestRecasedDirectoryKeepsWhatIsNotCarried holds that a directory that is
// renamed in case, with something excluded in it, is the renamed one here too:
// else the next scan would rename it back for everybody.
func TestRecasedDirectoryKeepsWhatIsNotCarried(t *testing.T) {
	w := &workspace{bucket: storetest.New()}
	one, two := w.site(t, "one", replicatest.Shape{}), w.site(t, "two", shapes["folds case"])
	one.write("dir/x", "x")
	one.turn()
	rules, err := filter.Compile(filter.Excludes([]string{"*.o"}))
	two.must(err)
	two.Filter = rules
	two.turn()
	two.write("dir/x.o", "object")
	one.must(os.Rename(one.at("dir"), one.at("DIR")))
	one.turn()
	two.turn()
	two.turn()
	one.turn()
	for _, s := range []*site{one, two} {
		if _, there := s.show()["DIR/x"]; !there {
			t.Errorf("%s: %v", s.Host, s.show())
		}
	}
}

// TestLocalFileWhereALinkIs holds that a file in the place of a link that
// cannot be shown stays where it is and is nobody else's.
func TestLocalFileWhereALinkIs(t *testing.T) {
	w := &workspace{bucket: storetest.New()}
	one, two := w.site(t, "one", replicatest.Shape{}), w.site(t, "two", shapes["no symlinks"])
	one.must(os.Symlink("target", one.at("link")))
	one.write("dir", "x")
	one.turn()
	two.turn()
	two.write("link", "target") // as git has it here
	two.turn()
	one.turn()
	if got := one.show()["link"]; got != "target" {
		t.Errorf("the link became %q", got)
	}
	if got := two.show()["link"]; !strings.HasSuffix(got, " target") {
		t.Errorf("the local file became %q", got)
	}
}

var _ localfs.FileSystem = (*localfs.Root)(nil)
