package devcontainer

import (
	"strings"
	"testing"
)

// A commit that was never pushed, a stash and a staged change arrive by a hop.
func TestUnpushedGitWork(t *testing.T) {
	g := newGround(t)
	a, b := g.make("a", "dev-g"), g.make("machine b/b", "dev-g")
	if out, err := g.up(a); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	g.sh(a, `set -e
		git config --global user.name A
		git config --global user.email a@example.org
		git init -q -b main /workspace/work
		cd /workspace/work
		echo one > one; git add one; git commit -q -m "never pushed"
		git switch -q -c topic
		echo stashed > one; git stash push -q -m "a stash"
		echo staged > two; git add two
		echo edited > one`)
	const questions = `cd /workspace/work && git log --all --format="%H %s" && git stash list && git stash show -p &&
		git status --porcelain=v2 --branch --show-stash && git diff --cached && git reflog --all && git fsck --no-dangling --strict`
	before := g.sh(a, questions)
	for _, want := range []string{"never pushed", "stash@{0}: On topic: a stash", "+staged", "branch.head topic"} {
		if !strings.Contains(before, want) {
			t.Fatalf("no %q in\n%s", want, before)
		}
	}
	g.must("down", a)
	if out, err := g.up(b); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if after := g.sh(b, questions); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if said := g.status(b).Attention; len(said) > 0 {
		t.Errorf("attention: %q", said)
	}
}
