package scaffold

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
)

// TestMergeAgreesWithGit compares random three-way cases with git merge-file: the
// same cases conflict, and what is clean is the same text.
func TestMergeAgreesWithGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal("git is not installed: it is needed to build and test, see README.md")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	clean := 0
	cases := sample.Size(250, 1000)
	for n := range cases {
		var base [][]byte
		for i := range r.IntN(30) {
			base = append(base, fmt.Appendf(nil, "line %d\n", i))
		}
		a, b := edited(r, base, "a"), edited(r, base, "b")
		o := bytes.Join(base, nil)
		merged, conflicts := Merge(o, a, b, "yours", "template 2")
		for name, data := range map[string][]byte{"o": o, "a": a, "b": b} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("git", "merge-file", "-p", "a", "o", "b")
		cmd.Dir = dir
		want, err := cmd.Output()
		if code := cmd.ProcessState.ExitCode(); code < 0 || code > 127 {
			t.Fatalf("git merge-file: %v", err)
		}
		gitClean := err == nil
		if gitClean != (conflicts == 0) || gitClean && !bytes.Equal(merged, want) {
			t.Fatalf("case %d: %d conflicts, git clean: %v\nbase:\n%s\nyours:\n%s\ntheirs:\n%s\ngot:\n%s\nwant:\n%s", n, conflicts, gitClean, o, a, b, merged, want)
		}
		if gitClean {
			clean++
		}
	}
	if clean < cases/10 || clean > cases*9/10 {
		t.Errorf("%d of %d cases are clean: the cases show little", clean, cases)
	}
}

// edited changes, removes and adds a few lines; both sides sometimes make the
// same change.
func edited(r *rand.Rand, base [][]byte, who string) []byte {
	var out bytes.Buffer
	for i, l := range base {
		switch r.IntN(24) {
		case 0:
			fmt.Fprintf(&out, "line %d changed by %s\n", i, who)
		case 1:
		case 2:
			fmt.Fprintf(&out, "new before %d by %s\n%s", i, who, l)
		case 3:
			fmt.Fprintf(&out, "line %d changed alike\n", i)
		default:
			out.Write(l)
		}
	}
	return out.Bytes()
}
