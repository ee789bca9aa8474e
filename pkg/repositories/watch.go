package repositories

import (
	"strings"

	"github.com/coltec/coltec/pkg/localfs"
)

// watched matches what of a tree is watched: what its Matcher does, and repositories as far as
// everything that git does to them shows: their refs, HEAD and index.
type watched struct{ localfs.Matcher }

// Dir reports whether a directory is watched.
func (w watched) Dir(path string) bool {
	below, ok := inGitDir(path)
	if asks, some := w.Matcher.(interface{ Asks(path string) bool }); !ok || some && !asks.Asks(path) {
		return w.Matcher.Dir(path)
	}
	return below == "" || below == "refs" || strings.HasPrefix(below, "refs/") || below == "worktrees" || strings.HasPrefix(below, "worktrees/")
}

// File reports whether a file is.
func (w watched) File(path string) bool {
	below, ok := inGitDir(path)
	if !ok {
		return w.Matcher.File(path)
	}
	return below != "" && !strings.HasSuffix(below, ".lock")
}

// inGitDir gives what of a path is below the git directory in it; a submodule's
// is in that of another.
func inGitDir(path string) (below string, ok bool) {
	in := "/" + path + "/"
	i := strings.LastIndex(in, "/.git/")
	if i < 0 {
		return "", false
	}
	below = strings.Trim(in[i+len("/.git"):], "/")
	for strings.HasPrefix(below, "modules/") {
		_, below, _ = strings.Cut(strings.TrimPrefix(below, "modules/"), "/")
	}
	if below == "modules" {
		below = ""
	}
	return below, true
}
