package gitstate

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/gittest"
	"github.com/coltec/coltec/internal/sample"
)

// What is wrong with the copy of a repository is found: in its packs, in what its refs reach,
// and what was wrong with the repository already. What is only odd is as somebody wrote it.
func TestFsck(t *testing.T) {
	sample.Long(t)
	for name, tt := range map[string]struct {
		before func(t *testing.T, p *placed)         // the repository is captured
		after  func(t *testing.T, copy, pack string) // with the copy
		want   string                                // "": nothing is wrong
	}{
		"sound": {},
		"odd objects": {before: func(t *testing.T, p *placed) {
			tree := strings.TrimSpace(p.git("r", "rev-parse", "HEAD^{tree}"))
			if err := os.WriteFile(filepath.Join(p.root, "odd"), []byte("tree "+tree+"\nauthor A <a@example.org> 1700000000 +00000000\ncommitter A <a@example.org> 1700000000 +0000\n\nodd\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			oid := strings.TrimSpace(p.git("r", "hash-object", "-t", "commit", "--literally", "-w", "../odd"))
			p.git("r", "update-ref", "refs/heads/odd", oid)
		}},
		"a shallow clone": {before: func(t *testing.T, p *placed) {
			p.git("", "clone", "-q", "--depth", "2", "file://"+filepath.Join(p.root, "r"), "clone")
			p.git("", "clone", "-q", "--depth", "2", "--bare", "file://"+filepath.Join(p.root, "r"), "far")
			if err := os.RemoveAll(filepath.Join(p.root, "r")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(p.root, "clone"), filepath.Join(p.root, "r")); err != nil {
				t.Fatal(err)
			}
		}},
		"with other hashes": {before: func(t *testing.T, p *placed) {
			if err := os.RemoveAll(filepath.Join(p.root, "r/.git")); err != nil {
				t.Fatal(err)
			}
			p.git("r", "init", "-q", "--object-format=sha256")
			p.git("r", "add", "-A")
			p.git("r", "commit", "-q", "-m", "all")
			p.git("r", "checkout", "-q", "--detach")
		}},
		"missing when it was captured": {before: func(t *testing.T, p *placed) {
			p.unpack("r")
			if err := os.Remove(p.loose("r", "HEAD:d1/f1")); err != nil {
				t.Fatal(err)
			}
		}, want: "1 object was missing or damaged when it was saved"},
		"a bit of a pack": {after: func(t *testing.T, _, pack string) {
			b, err := os.ReadFile(pack)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 4
			rewrite(t, pack, b)
		}, want: "pack"},
		"a pack cut short": {after: func(t *testing.T, _, pack string) {
			b, err := os.ReadFile(pack)
			if err != nil {
				t.Fatal(err)
			}
			rewrite(t, pack, b[:len(b)-100])
		}, want: "error: packfile objects/pack/pack-"},
		"a pack that is gone": {after: func(t *testing.T, _, pack string) {
			if err := os.Remove(pack); err != nil {
				t.Fatal(err)
			}
		}, want: "refs/coltec/HEAD"},
		"a pack without its index": {after: func(t *testing.T, _, pack string) {
			if err := os.Remove(strings.TrimSuffix(pack, ".pack") + ".idx"); err != nil {
				t.Fatal(err)
			}
		}, want: "refs/heads/main"},
		"a ref to nothing": {after: func(t *testing.T, copy, _ string) {
			rewrite(t, filepath.Join(copy, "packed-refs"), []byte(strings.Repeat("1", 40)+" refs/heads/x\n"))
		}, want: "refs/heads/x"},
		"no mark": {after: func(t *testing.T, copy, _ string) {
			if err := os.Remove(filepath.Join(copy, Mark)); err != nil {
				t.Fatal(err)
			}
		}, want: Mark},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			gittest.History(t, filepath.Join(p.root, "r"), 50, 20)
			if tt.before == nil {
				gittest.EveryKind(t, filepath.Join(p.root, "r"))
			} else {
				tt.before(t, p)
			}
			if _, err := p.k.Capture(t.Context(), "r/.git"); err != nil && tt.want == "" {
				t.Fatal(err)
			}
			copy := filepath.Join(p.root, ".coltec/git/r/.git")
			packs, err := filepath.Glob(filepath.Join(strings.ReplaceAll(copy, "[x]", "[[]x]"), "objects/pack/*.pack"))
			if err != nil || len(packs) == 0 {
				t.Fatalf("packs %q, %v", packs, err)
			}
			if tt.after != nil {
				tt.after(t, copy, packs[0])
			}
			wrong, err := Fsck(t.Context(), copy, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" && len(wrong) > 0 || tt.want != "" && !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, tt.want) }) {
				t.Errorf("it says %q, want %q", wrong, tt.want)
			}
			if len(wrong) > wrongMost+1 {
				t.Errorf("it says %d things", len(wrong))
			}
		})
	}
}

// rewrite gives a file that may not be written other content.
func rewrite(t *testing.T, file string, body []byte) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, body, 0o644); err != nil {
		t.Fatal(err)
	}
}
