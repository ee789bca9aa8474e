package gitstate

import "testing"

// What is laid out file by file is read by git as its user's own: nothing in it leads git
// to objects, references or a configuration somewhere else.
func TestHarmless(t *testing.T) {
	for path, want := range map[string]bool{
		"HEAD":                              true,
		"config":                            true, // its user is told what it makes git run
		"refs/heads/main":                   true,
		"objects/info/packs":                true,
		"objects/info/alternates":           false,
		"objects/info/http-alternates":      false,
		"modules/m/objects/info/alternates": false,
		"commondir":                         false,
		"modules/m/commondir":               false,
		"worktrees/w/commondir":             true, // git writes it: it leads to the repository that it lies in
		"notes/commondir.txt":               true,
	} {
		if got := Harmless(path, false, ""); got != want {
			t.Errorf("a file %s: %v", path, got)
		}
	}
	for _, link := range []struct {
		path, target string
		want         bool
	}{
		{"HEAD", "refs/heads/main", true},
		{"HEAD", "../../elsewhere", false},
		{"refs/heads/x", "../../../../elsewhere", false},
		{"objects/pack", "/tmp", false},
		{"objects/pack/p.pack", "q.pack", false},
		{"commondir", "config", false},
	} {
		if got := Harmless(link.path, true, link.target); got != link.want {
			t.Errorf("a link %s to %s: %v", link.path, link.target, got)
		}
	}
}
