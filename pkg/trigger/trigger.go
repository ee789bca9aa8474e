// Package trigger finds the files of a folder that make tools run programs by
// themselves: git when it is asked for a status, an editor when it opens the folder, a
// shell when it enters it. Whoever brings files of others to a machine names them.
package trigger

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode"
)

// File is a file as a tool finds it.
type File struct {
	Path       string // below the folder, with slashes
	Executable bool
	InGitDir   bool          // its directory is a git directory, or looks like one
	Read       func() []byte // what it has; nil when that cannot be read
}

// Found is a file that something runs, and what that is.
type Found struct {
	Path string   `json:"path"`
	What []string `json:"what,omitempty"` // keys in it; none when the file itself is run
}

// String names the file as a person is told of it.
func (f Found) String() string {
	if len(f.What) == 0 {
		return f.Path
	}
	return f.Path + " (" + strings.Join(f.What, ", ") + ")"
}

// unreadable is told in the place of keys of a file that a tool may be able to read.
const unreadable = "cannot be read here"

// rule is one kind of file.
type rule struct {
	names []string
	keys  func(content []byte) []string // nil: the file itself is run
}

// rules are by the end of a path. Files that ask before they run something, or that
// somebody has to name (a Makefile, package.json), are not among them.
var rules = []rule{
	{names: []string{".devcontainer/devcontainer.json", ".devcontainer.json"}, keys: containerKeys},
	{names: []string{".envrc"}},
	{names: []string{"mise.toml", ".mise.toml", "mise.local.toml", ".mise.local.toml", "mise/config.toml", ".mise/config.toml"}},
	{names: []string{".vscode/tasks.json"}, keys: taskKeys},
	{names: []string{".vscode/settings.json"}, keys: settingKeys},
	{names: []string{".zed/settings.json"}, keys: settingKeys},
	{names: []string{".idea/startup.xml", ".idea/watcherTasks.xml"}},
	{names: []string{".nvim.lua", ".nvimrc", ".exrc", ".vimrc", "_vimrc", ".lvimrc"}},
}

// leads reports whether a directory at a path is one that a rule looks into, or git.
func leads(place string) bool {
	p := fold(place)
	if path.Base(p) == ".git" || path.Base(path.Dir(p)) == ".devcontainer" {
		return true
	}
	return slices.ContainsFunc(rules, func(r rule) bool {
		return slices.ContainsFunc(r.names, func(name string) bool { return path.Dir(name) != "." && path.Base(p) == fold(path.Dir(name)) })
	})
}

// Of reports whether something runs a file, or what is in it, by itself.
func Of(f File) (Found, bool) {
	found := Found{Path: f.Path}
	p := fold(f.Path)
	base := path.Base(p)
	switch {
	case f.InGitDir && (base == "config" || base == "config.worktree"):
		found.What = gitKeys(f.Read())
		return found, len(found.What) > 0
	case path.Base(path.Dir(p)) == "hooks" && f.InGitDir:
		return found, f.Executable && !strings.HasSuffix(base, ".sample")
	case strings.HasSuffix(base, ".code-workspace"):
		found.What = append(taskKeys(f.Read()), settingKeys(f.Read())...)
		return found, len(found.What) > 0
	case base == "devcontainer.json" && path.Base(path.Dir(path.Dir(p))) == ".devcontainer":
		found.What = containerKeys(f.Read())
		return found, len(found.What) > 0
	}
	for _, r := range rules {
		for _, name := range r.names {
			if p != name && !strings.HasSuffix(p, "/"+name) {
				continue
			}
			if r.keys == nil {
				return found, true
			}
			found.What = r.keys(f.Read())
			return found, len(found.What) > 0
		}
	}
	return Found{}, false
}

// Folds reports whether two names are one where a file system does not tell their case,
// or leaves out what cannot be seen.
func Folds(a, b string) bool { return fold(a) == fold(b) }

// fold writes a name as such a file system compares it.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		least := r // of those that are one when case does not count: ſ is s, K is k
		for x := unicode.SimpleFold(r); x != r; x = unicode.SimpleFold(x) {
			least = min(least, x)
		}
		return unicode.ToLower(least)
	}, name)
}

// executable reports whether anybody may run a file.
func executable(mode fs.FileMode) bool { return mode.IsRegular() && mode&0o111 != 0 }
