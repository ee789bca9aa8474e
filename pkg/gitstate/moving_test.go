package gitstate

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/gittest"
	"github.com/coltec/coltec/internal/sample"
)

// writes is what somebody does meanwhile. Two branches are led on in one transaction.
const writes = `set -e
i=0
while [ $i -lt ROUNDS ]; do
	i=$((i+1))
	echo $i >d0/f0
	git commit -q -am "c$i"
	head=$(git rev-parse HEAD)
	printf 'start\nupdate refs/heads/one %s\nupdate refs/heads/two %s\nprepare\ncommit\n' $head $head | git update-ref --stdin >/dev/null
	case $((i%5)) in
	0) git gc -q --prune=now;;
	1) git repack -adq; git worktree add -q --detach "../beside$i";;
	2) git pack-refs --all --prune;;
	3) git rebase -q --force-rebase HEAD~2; git worktree remove --force "../beside$((i-2))";;
	4) echo $i >d0/f0; git stash -q; git commit-graph write --reachable; git repack -q; git multi-pack-index write;;
	esac
done
`

// What is captured while git writes is a state that was, with all that it reaches; else that
// it is at work is said, and nothing is called damaged.
func TestCapturedWhileGitWrites(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, b := newPlace(t), newPlace(t)
	a.history("work", 10)
	a.git("work", "branch", "one")
	a.git("work", "branch", "two")
	script := filepath.Join(t.TempDir(), "writes.sh")
	rounds := []string{"10", "200"}[sample.Size(0, 1)]
	if err := os.WriteFile(script, []byte(strings.ReplaceAll(writes, "ROUNDS", rounds)), 0o644); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() {
		out, err := gittest.Run(filepath.Join(a.root, "work"), "-c", "alias.x=!sh "+script, "x")
		if err != nil {
			err = errors.Join(err, errors.New(out))
		}
		wrote <- err
	}()
	captured, busy := 0, 0
	for done := false; !done; {
		select {
		case err := <-wrote:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
		changed, err := a.k.Capture(t.Context(), "work/.git")
		switch {
		case errors.Is(err, ErrBusy):
			busy++
		case err != nil:
			t.Errorf("it said %v", err)
		case changed:
			captured++
			a.aState()
		}
	}
	t.Logf("captured %d times, busy %d times", captured, busy)
	a.capture("work/.git")
	a.aState()
	copyTree(t, a.root, b.root)
	b.restore(a, "work/.git")
	sameAnswers(t, a.root, b.root, "work")
}

// aState holds a copy to what was true at each moment.
func (p *placed) aState() {
	p.t.Helper()
	shadow := filepath.Join(p.k.Shadow, "work/.git")
	out, err := gittest.Run(shadow, "--git-dir=.", "fsck", "--strict", "--no-dangling")
	if err != nil || strings.Contains(out, "missing") || strings.Contains(out, "error") {
		p.t.Errorf("git fsck: %v\n%s", err, out)
	}
	refs, err := os.ReadFile(filepath.Join(shadow, "packed-refs"))
	list := packedIn(refs)
	if one, two := list["refs/heads/one"], list["refs/heads/two"]; err != nil || one == "" || one != two {
		p.t.Errorf("one is at %q, two at %q: %v", one, two, err)
	}
}
