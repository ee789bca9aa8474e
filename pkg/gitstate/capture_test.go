package gitstate

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/gittest"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/google/go-cmp/cmp"
)

// place is a tree with repositories and its keeper.
type placed struct {
	t    *testing.T
	root string
	k    *Keeper
}

func newPlace(t *testing.T) *placed {
	t.Helper()
	root := filepath.Join(t.TempDir(), "a tree: [x]")
	for _, dir := range []string{"objects", "refs"} { // git clean and git stash leave it alone
		if err := os.MkdirAll(filepath.Join(root, ".coltec/.git", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, ".coltec/.git/HEAD"), []byte("ref: refs/heads/coltec\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	own, err := os.Open(filepath.Join(root, ".coltec")) // as where others can redirect it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.Close() })
	stage := filepath.Join(anchor.At(own), "stage/git")
	return &placed{t, root, New(Options{
		Root: root, Shadow: filepath.Join(root, ".coltec/git"), Stage: func() string { return stage }, Env: "dev",
	})}
}

// git runs git as a person would, in a directory of the tree.
func (p *placed) git(dir string, args ...string) string {
	p.t.Helper()
	out, err := p.try(dir, args...)
	if err != nil {
		p.t.Fatalf("git %q in %q: %v\n%s", args, dir, err, out)
	}
	return out
}

func (p *placed) try(dir string, args ...string) (string, error) {
	return gittest.Run(filepath.Join(p.root, dir), args...)
}

func (p *placed) write(path, body string) {
	p.t.Helper()
	file := filepath.Join(p.root, path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// capture captures a repository, and those nested in it.
func (p *placed) capture(dir string) bool {
	p.t.Helper()
	changed, err := p.k.Capture(p.t.Context(), dir)
	if err != nil {
		p.t.Fatalf("capture of %q: %v", dir, err)
	}
	nested, err := p.k.Nested(dir)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, below := range nested {
		if _, err := p.k.Capture(p.t.Context(), below); err != nil {
			p.t.Fatalf("capture of %q: %v", below, err)
		}
	}
	return changed
}

// copyTree copies a tree as the replica would: all but git directories.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	script := `cd "$1" && find . \( -path ./.coltec -o -name .git -type d \) -prune -o -print0 | tar --null --no-recursion -T - -cf - | tar -C "$2" -xpf -`
	if out, err := exec.Command("sh", "-c", script, "sh", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// arrival copies a shadow to where it arrives, without the packs.
func (p *placed) arrival(from *placed, dir string) Arrival {
	p.t.Helper()
	a := Arrival{Dir: dir, From: filepath.Join(p.root, ".coltec/stage/arrival", dir)}
	shadow := filepath.Join(from.k.Shadow, dir)
	l, err := list(shadow)
	if err := errors.Join(err, os.RemoveAll(a.From)); err != nil {
		p.t.Fatal(err)
	}
	var files []string
	for _, f := range l.items {
		files = append(files, f.path)
	}
	idx, _ := filepath.Glob(filepath.Join(globEscape(shadow), "objects/pack/*.idx"))
	for _, x := range idx {
		files = append(files, "objects/pack/"+filepath.Base(x))
	}
	if _, err := os.Lstat(filepath.Join(shadow, missingMark)); err == nil {
		files = append(files, missingMark)
	}
	for _, path := range append(files, Mark) {
		if err := p.k.area().Copy(filepath.Join(shadow, path), filepath.Join(a.From, path)); err != nil {
			p.t.Fatal(err)
		}
	}
	return a
}

// bring fetches the packs that an arrival needs, and says how many.
func (p *placed) bring(from *placed, a Arrival) int {
	p.t.Helper()
	need, err := p.k.Needed(p.t.Context(), a)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, pack := range need {
		if err := p.k.area().Copy(filepath.Join(from.k.Shadow, a.Dir, pack), filepath.Join(a.From, pack)); err != nil {
			p.t.Fatal(err)
		}
	}
	return len(need)
}

func (p *placed) restore(from *placed, dirs ...string) {
	p.t.Helper()
	for _, dir := range dirs {
		a := p.arrival(from, dir)
		p.bring(from, a)
		if err := p.k.Restore(p.t.Context(), a); err != nil {
			p.t.Fatal(err)
		}
	}
}

// questions are what a person would ask a repository.
var questions = [][]string{
	{"status", "--porcelain=v2", "--branch", "--show-stash"}, {"stash", "list"}, {"log", "--all", "--format=%H %an %s %D"},
	{"reflog", "--all"}, {"branch", "-vv", "--all"}, {"for-each-ref"}, {"diff"}, {"diff", "--cached"}, {"stash", "show", "-p"},
	{"remote", "-v"}, {"config", "--local", "--list"}, {"rev-parse", "--is-shallow-repository"}, {"ls-files", "-s", "-v"}, {"tag", "-n"},
}

// sameAnswers compares two repositories command by command.
func sameAnswers(t *testing.T, a, b, dir string) {
	t.Helper()
	for _, q := range questions {
		x, errX := gittest.Run(filepath.Join(a, dir), q...)
		y, errY := gittest.Run(filepath.Join(b, dir), q...)
		if diff := cmp.Diff(strings.ReplaceAll(x, a, "ROOT"), strings.ReplaceAll(y, b, "ROOT")); diff != "" || (errX == nil) != (errY == nil) {
			t.Errorf("%s: git %q (-before +after): %v %v\n%s", dir, q, errX, errY, diff)
		}
	}
	fsck(t, filepath.Join(b, dir))
}

func fsck(t *testing.T, dir string) {
	t.Helper()
	if out, err := gittest.Run(dir, "fsck", "--no-dangling", "--strict"); err != nil || strings.Contains(out, "missing") || strings.Contains(out, "error") {
		t.Errorf("git fsck: %v\n%s", err, out)
	}
}

// history makes a repository of n commits with a remote-less main branch.
func (p *placed) history(dir string, n int) {
	p.t.Helper()
	gittest.History(p.t, filepath.Join(p.root, dir), n, 100)
}

// everyKind brings a repository into a state with something of everything.
func (p *placed) everyKind(dir string) {
	p.t.Helper()
	gittest.EveryKind(p.t, filepath.Join(p.root, dir))
}

func TestRestoredAsItWas(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, b := newPlace(t), newPlace(t)
	a.history("work", 200)
	a.everyKind("work")
	if !a.capture("work/.git") {
		t.Error("nothing was captured")
	}
	copyTree(t, a.root, b.root)
	b.restore(a, "work/.git")
	sameAnswers(t, a.root, b.root, "work")
}

func TestNothingMovedNothingDone(t *testing.T) {
	sample.Long(t)
	a := newPlace(t)
	a.history("work", 20)
	a.capture("work/.git")
	t.Setenv("PATH", t.TempDir()) // there is no git to be run
	if a.capture("work/.git") {
		t.Error("captured again")
	}
	a.k.seen = map[string]listing{} // as after a start
	if a.capture("work/.git") {
		t.Error("captured again after a start")
	}
}

// What git status writes into an index is not a change.
func TestARefreshedIndexIsNoChange(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a := newPlace(t)
	a.history("work", 20)
	for n, version := range []string{"2", "3", "4"} {
		a.git("work", "update-index", "--index-version", version)
		if version == "3" {
			a.git("work", "add", "--intent-to-add", "--", a.file("work/new"))
		}
		a.capture("work/.git")
		for i := range 20 {
			at := time.Unix(1500000000, 0).Add(time.Duration(n) * time.Hour)
			if err := os.Chtimes(filepath.Join(a.root, fmt.Sprintf("work/d%d/f%d", i%10, i)), at, at); err != nil {
				t.Fatal(err)
			}
		}
		before, err := os.ReadFile(filepath.Join(a.root, "work/.git/index"))
		if err != nil {
			t.Fatal(err)
		}
		a.git("work", "status")
		after, _ := os.ReadFile(filepath.Join(a.root, "work/.git/index"))
		if bytes.Equal(before, after) {
			t.Fatalf("version %s: git status wrote nothing", version)
		}
		if a.capture("work/.git") {
			t.Errorf("version %s: captured again", version)
		}
		a.write("work/d0/f0", "staged in version "+version)
		a.git("work", "add", "d0/f0")
		if !a.capture("work/.git") {
			t.Errorf("version %s: what was staged is not captured", version)
		}
		a.git("work", "reset", "-q", "--hard")
		a.capture("work/.git")
	}
}

// file makes an empty file and gives its path.
func (p *placed) file(path string) string {
	p.write(path, "")
	return filepath.Join(p.root, path)
}

// A long step says how far it is.
func TestProgress(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a := newPlace(t)
	a.history("work", 500)
	var last Progress
	a.k.Progress = func(p Progress) { last = p }
	a.capture("work/.git")
	if last.Total < 500 || last.Done != last.Total || last.Repository != "work/.git" {
		t.Errorf("it said last: %+v", last)
	}
}

// One pack that is lost makes none count: what is known must be known with all
// that it reaches.
func TestALostPackIsPackedAgain(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, b := newPlace(t), newPlace(t)
	a.history("work", 30)
	a.capture("work/.git")
	a.git("work", "commit", "-q", "--allow-empty", "-m", "in a pack of its own")
	a.capture("work/.git")
	packs, _ := filepath.Glob(filepath.Join(globEscape(a.k.Shadow), "work/.git/objects/pack/*.idx"))
	if len(packs) != 2 {
		t.Fatalf("packs: %q", packs)
	}
	largest := packs[0]
	for _, p := range packs {
		x, _ := os.Stat(p)
		if y, _ := os.Stat(largest); x.Size() > y.Size() {
			largest = p
		}
	}
	if err := os.Chmod(largest, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(largest, 100); err != nil {
		t.Fatal(err)
	}
	a.git("work", "commit", "-q", "--allow-empty", "-m", "another")
	a.capture("work/.git")
	copyTree(t, a.root, b.root)
	b.restore(a, "work/.git")
	sameAnswers(t, a.root, b.root, "work")
}
