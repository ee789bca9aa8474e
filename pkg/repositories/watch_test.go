package repositories

import "testing"

// all matches everything but what a walk leaves to git.
type all struct{}

func (all) Dir(string) bool  { return true }
func (all) File(string) bool { return true }

// TestWatched: of a git directory what every command of git touches is watched, and not
// its objects; a submodule's lies in that of another.
func TestWatched(t *testing.T) {
	w := Kind{Mode: Wholes}.Watched(all{})
	for path, want := range map[string]bool{
		"a": true, "a/.git": true, "a/.git/refs": true, "a/.git/refs/heads": true, "a/.git/worktrees/x": true,
		"a/.git/objects": false, "a/.git/objects/ab": false, "a/.git/modules": true, "a/.git/modules/m": true,
		"a/.git/modules/m/refs": true, "a/.git/modules/m/objects": false, "a/.github": true,
	} {
		if got := w.Dir(path); got != want {
			t.Errorf("directory %q: %v", path, got)
		}
	}
	for path, want := range map[string]bool{
		"a": true, ".git": false, "a/.git/HEAD": true, "a/.git/index": true, "a/.git/index.lock": false,
		"a/.git/modules/m/HEAD": true, "a/.git/modules/m/HEAD.lock": false,
	} {
		if got := w.File(path); got != want {
			t.Errorf("file %q: %v", path, got)
		}
	}
}
