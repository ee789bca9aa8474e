package gitstate

import "testing"

// A ref that leads to another, and was removed elsewhere, came back with the next capture here.
func TestSymbolicRefThatWasRemoved(t *testing.T) {
	a, b := newPlace(t), newPlace(t)
	a.history("work", 3)
	a.git("work", "symbolic-ref", "refs/heads/alias", "refs/heads/main")
	a.git("work", "symbolic-ref", "refs/heads/mine", "refs/heads/main")
	b.hop(a, true, "work/.git")
	b.git("work", "symbolic-ref", "--delete", "refs/heads/alias")
	b.git("work", "symbolic-ref", "--delete", "refs/heads/mine")
	a.git("work", "branch", "other")
	a.git("work", "symbolic-ref", "refs/heads/mine", "refs/heads/other") // it is led elsewhere meanwhile
	b.capture("work/.git")
	a.join(b, true, "work/.git")
	if refs := a.had().refs; refs["refs/heads/alias"] != "" || refs["refs/heads/mine"] != "ref: refs/heads/other" {
		t.Errorf("refs are %q", refs)
	}
}
