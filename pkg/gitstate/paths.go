package gitstate

import (
	"path/filepath"
	"strings"
)

// shared says that linked working trees have a file from their repository.
func shared(path string) bool {
	top, below, _ := strings.Cut(path, "/")
	switch top {
	case "objects", "packed-refs", "config", "shallow", "hooks", "description", "rr-cache":
		return true
	case "info":
		return below != "sparse-checkout"
	case "refs":
		return !loose(path, "")
	case "logs":
		return below != "HEAD" && !loose(below, "")
	}
	return false
}

// isLog says that a file of a git directory is a ref's log.
func isLog(path string) bool {
	if _, rest, ok := cutTree(path); ok {
		path = rest
	}
	return strings.HasPrefix(path, "logs/")
}

func cutTree(path string) (name, rest string, ok bool) {
	below, ok := strings.CutPrefix(path, "worktrees/")
	name, rest, _ = strings.Cut(below, "/")
	return name, rest, ok
}

// ofTree says that a file belongs to a working tree's state: what is checked
// out there, staged, and under way. Of a linked one that is all of its files
// but the logs.
func ofTree(tree, path string) bool {
	rest, ok := strings.CutPrefix(path, tree)
	if !ok || strings.HasPrefix(rest, "logs/") {
		return false
	}
	if tree != "" {
		return true
	}
	base, _, _ := strings.Cut(rest, "/")
	switch base {
	case "HEAD", "index", "rebase-merge", "rebase-apply", "sequencer":
		return true
	case "FETCH_HEAD":
		return false
	}
	return strings.HasPrefix(base, "sharedindex.") || strings.HasPrefix(base, "MERGE_") || strings.HasPrefix(base, "BISECT_") ||
		base == "AUTO_MERGE" || base == "SQUASH_MSG" || base == "COMMIT_EDITMSG" || strings.HasSuffix(base, "_HEAD") ||
		strings.HasPrefix(rest, "refs/bisect/") || strings.HasPrefix(rest, "refs/worktree/") || strings.HasPrefix(rest, "refs/rewritten/")
}

// fleeting files tell of what was done last; that one differs is not a change of
// what is checked out.
func fleeting(path string) bool {
	switch filepath.Base(path) {
	case "ORIG_HEAD", "COMMIT_EDITMSG", "FETCH_HEAD":
		return true
	}
	return false
}

// derived says that git makes a file from others, for those who fetch without git: that
// it differs is not the work of anybody's.
func derived(path string) bool { return path == "info/refs" }

// mentions says whether a file of a git directory may name objects that nothing
// else names: logs, heads of operations under way, notes of a rebase.
func mentions(path string) bool {
	base := filepath.Base(path)
	if isIndex(path) || strings.HasPrefix(base, "config") || base == "description" || strings.HasPrefix(base, "sharedindex.") {
		return false
	}
	path = strings.TrimPrefix(path, "worktrees/")
	for _, dir := range []string{"hooks/", "info/", "lfs/", "annex/", "rr-cache/"} {
		if strings.HasPrefix(path, dir) {
			return false
		}
	}
	return true
}

// isIndex says that a path is the index of a working tree.
func isIndex(path string) bool {
	if path == "index" {
		return true
	}
	rest, ok := strings.CutPrefix(path, "worktrees/")
	_, name, _ := strings.Cut(rest, "/")
	return ok && name == "index"
}
