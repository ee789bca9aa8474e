package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
)

// The path of a replica is a link: what it leads to is carried where nobody but root and its
// own user can have put the link there, and else it is said which path to write.
func TestTreeBehindALink(t *testing.T) {
	sample.Long(t)
	for name, tt := range map[string]struct {
		link  func(dir, other string) error // makes dir/linked
		words string                        // why it is blocked; "": it is carried
	}{
		"to a directory": {func(dir, other string) error { return os.Symlink(other, dir+"/linked") }, ""},
		"by a link": {func(dir, other string) error {
			return errors.Join(os.Symlink(other, dir+"/first"), os.Symlink("first", dir+"/linked"))
		}, ""},
		"on the way": {func(dir, other string) error {
			return errors.Join(os.MkdirAll(other+"/deep/linked", 0o755), os.Symlink(other+"/deep", dir+"/x"), os.Symlink("x/linked", dir+"/linked"))
		}, ""},
		"to nothing yet": {func(dir, other string) error { return os.Symlink(other+"/nothing", dir+"/linked") }, ""},
		"to itself":      {func(dir, _ string) error { return os.Symlink("linked", dir+"/linked") }, `is a link to "linked": too many levels of symbolic links; have the link lead to a directory`},
		"to a file": {func(dir, other string) error {
			return errors.Join(os.WriteFile(other+"/f", nil, 0o644), os.Symlink(other+"/f", dir+"/linked"))
		}, `other/f": not a directory; have the link lead to a directory`},
		"by somebody else": {func(dir, other string) error {
			return errors.Join(os.Mkdir(dir+"/open", 0o755), os.Chmod(dir+"/open", 0o777), os.Symlink(other, dir+"/open/linked"), os.Symlink("open/linked", dir+"/linked"))
		}, "it is a link that others may have put there; put a folder in the place of the link, or name the folder that it leads to"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, b := w.machine("a"), w.machine("b")
			for _, m := range []*machine{a, b} {
				home := filepath.Dir(m.dir)
				if err := errors.Join(os.Mkdir(home+"/other", 0o755), tt.link(home, home+"/other")); err != nil {
					t.Fatal(err)
				}
				m.spec(func(o *specOptions) {
					o.Replicas = append(o.Replicas, m.replica("linked", home+"/linked"))
				})
			}
			at := func(m *machine) string { return filepath.Join(filepath.Dir(m.dir), "linked", "file") }
			if tt.words == "" {
				save := func(from, to *machine, text string) {
					t.Helper()
					from.start()
					if err := os.WriteFile(at(from), []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
					from.sync()
					from.stop()
					to.start()
					if got, err := os.ReadFile(at(to)); err != nil || string(got) != text {
						t.Errorf("on %s: %q, %v", to.name, got, err)
					}
					to.stop()
				}
				save(a, b, "carried\n")
				save(b, a, "and back\n")
				return
			}
			a.must("start")
			a.await("it says why it is not carried", func(d status.Document) bool { return strings.Contains(strings.Join(d.Attention, "\n"), tt.words) })
		})
	}
}

// A link that leads elsewhere while coltecd runs: nothing of the one directory counts as deleted
// because it is not in the other.
func TestTreeBehindALinkThatIsSwitched(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	home := filepath.Dir(a.dir)
	for _, err := range []error{os.Mkdir(home+"/one", 0o755), os.Mkdir(home+"/two", 0o755), os.Symlink("one", home+"/linked"), os.WriteFile(home+"/one/file", []byte("kept\n"), 0o644)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	a.spec(func(o *specOptions) { o.Replicas = append(o.Replicas, a.replica("linked", home+"/linked")) })
	a.start()
	a.sync()
	for _, err := range []error{os.Remove(home + "/linked"), os.Symlink("two", home+"/linked"), os.WriteFile(home+"/two/other", []byte("new\n"), 0o644)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	a.await("it says that the link leads elsewhere", func(d status.Document) bool {
		return strings.Contains(strings.Join(d.Attention, "\n"), "/two by now, and ")
	})
	a.must("start")
	a.await("both are in the second one", func(status.Document) bool {
		b, err := os.ReadFile(home + "/two/file")
		return err == nil && string(b) == "kept\n"
	})
	a.sync()
	a.stop()
	b := w.machine("b")
	b.spec(func(o *specOptions) {
		o.Replicas = append(o.Replicas, b.replica("linked", filepath.Dir(b.dir)+"/linked"))
	})
	b.once()
	for name, want := range map[string]string{"file": "kept\n", "other": "new\n"} {
		if got, err := os.ReadFile(filepath.Dir(b.dir) + "/linked/" + name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
