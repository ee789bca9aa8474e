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
		"to nothing":    {func(dir, other string) error { return os.Symlink(other+"/nothing", dir+"/linked") }, "?"},
		"to itself":     {func(dir, _ string) error { return os.Symlink("linked", dir+"/linked") }, "?"},
		"to a file":     {func(dir, other string) error { return errors.Join(os.WriteFile(other+"/f", nil, 0o644), os.Symlink(other+"/f", dir+"/linked")) }, "?"},
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
				if err := os.WriteFile(at(a), []byte("carried\n"), 0o644); err != nil {
					t.Fatal(err)
				}
				a.once()
				b.once()
				if got, err := os.ReadFile(at(b)); err != nil || string(got) != "carried\n" {
					t.Errorf("%q, %v", got, err)
				}
				return
			}
			a.must("start")
			doc := a.await("it is blocked", func(d status.Document) bool { return len(d.Replicas) == 2 && d.Replicas[1].State == status.ReplicaBlocked || len(d.Attention) > 0 })
			said := strings.Join(doc.Attention, "\n")
			if !strings.Contains(said, tt.words) {
				t.Errorf("said %q, want %q", said, tt.words)
			}
			t.Log(said)
		})
	}
}
