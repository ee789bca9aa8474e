package history

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/gittest"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/gitstate"
)

// shadow is that of a repository of so many commits, by the paths in it.
func shadow(t *testing.T, commits int) map[string]string {
	t.Helper()
	root := t.TempDir()
	gittest.History(t, root, commits, 10)
	copies := filepath.Join(root, ".coltec/git")
	k := gitstate.New(gitstate.Options{Root: root, Shadow: copies, Stage: func() string { return filepath.Join(root, ".coltec/stage") }})
	if _, err := k.Capture(t.Context(), ".git"); err != nil {
		t.Fatal(err)
	}
	return filesIn(t, copies+"/.git")
}

// filesIn are the files below a directory, by their paths in it.
func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir+"/")] = string(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A pack that was exchanged for a sound one of another repository, and refs to nothing, are
// what the hashes of a bucket say nothing of.
func TestVerifyWholes(t *testing.T) {
	sample.Long(t)
	w := newWorld(t)
	const dir = ".coltec/git/"
	sound, other := shadow(t, 20), shadow(t, 30)
	pack := ""
	for _, name := range []string{"lib/.git/", ".git/"} {
		for path, body := range sound {
			w.Put(dir+name+path, body)
			if strings.HasSuffix(path, ".pack") {
				pack = path
			}
		}
	}
	w.Publish()
	w.Save("a file")
	w.Put(dir+"lib/.git/packed-refs", strings.Repeat("1", 40)+" refs/heads/main\n")
	w.Publish()
	for path, body := range other {
		if strings.HasSuffix(path, ".pack") {
			w.Put(dir+"lib/.git/"+pack, body)
		}
	}
	w.Publish()
	v := w.verify(true)
	if !v.OK() {
		t.Fatalf("to its hashes the bucket is not as it should be: %+v", v)
	}
	var said []string
	r := w.reader()
	for at, want := range map[string]int64{"1": 0, "2": 0, "3": 2, "4": 2} {
		g, err := r.At(t.Context(), at, w.Now)
		if err != nil {
			t.Fatal(err)
		}
		v := &Verdict{}
		if err := r.VerifyWholes(t.Context(), w.replica, g, v, func(s string) { said = append(said, s) }); err != nil {
			t.Fatal(err)
		}
		if v.Opened != 2 || len(v.Broken) != int(min(want, 1)) || v.OK() != (want == 0) {
			t.Errorf("generation %s: %+v", at, v)
		}
		for _, b := range v.Broken {
			if b.Path != "lib/.git" || b.Sound != want || len(b.Wrong) == 0 {
				t.Errorf("generation %s: %+v", at, b)
			}
		}
	}
	if left, _ := filepath.Glob(r.tmp + "/whole-*"); len(left) > 0 {
		t.Errorf("it left %q", left)
	}
	if !strings.Contains(strings.Join(said, "\n"), `opening "lib/.git", `) {
		t.Errorf("it tells %q", said)
	}
	w.Prefix.Drop(w.key(w.Object(dir + ".git/HEAD")))
	g, err := w.reader().At(t.Context(), "", w.Now)
	if err != nil {
		t.Fatal(err)
	}
	v = &Verdict{}
	if err := w.reader().VerifyWholes(t.Context(), w.replica, g, v, func(string) {}); err != nil || len(v.Broken) != 2 {
		t.Errorf("without an object: %+v, %v", v, err)
	}
}
