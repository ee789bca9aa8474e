package talks

import (
	"os"
	"path"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/agents"
)

const (
	// depthMost is how deep below an agent's directory it is looked for conversations: those that
	// are known lie up to five deep.
	depthMost = 8
	// strayMost is how many are named.
	strayMost = 3
)

// Elsewhere are files of an agent's directory that are of the kind that its conversations are in,
// where the places that are known have none: a version that keeps them elsewhere was at work. It
// names a few; none where there are conversations, or nothing like one.
func Elsewhere(home *os.Root, a agents.Agent) (stray []string) {
	left := entriesMost
	var kinds []string
	for _, pattern := range a.Talks {
		if slices.ContainsFunc(glob(home, pattern, &left), func(name string) bool {
			_, err := home.Lstat(name)
			return err == nil
		}) {
			return nil
		}
		kinds = append(kinds, path.Ext(pattern))
	}
	dirs := []string{a.Root}
	for depth := 0; depth < depthMost && len(dirs) > 0; depth++ {
		var next []string
		for _, dir := range dirs {
			for _, e := range entries(home, dir, &left) {
				at := path.Join(dir, e)
				info, err := home.Lstat(at)
				switch {
				case err != nil || mentioned(a, at):
				case info.IsDir():
					next = append(next, at)
				case info.Mode().IsRegular() && slices.Contains(kinds, path.Ext(e)) && len(stray) < strayMost:
					stray = append(stray, at)
				}
			}
		}
		dirs = next
	}
	slices.Sort(stray)
	return stray
}

// mentioned reports whether a path is one of which is known that no conversation is there.
func mentioned(a agents.Agent, at string) bool {
	var paths []string
	for _, l := range a.Leave {
		paths = append(paths, l.Path)
	}
	for _, p := range a.Carry {
		if !slices.ContainsFunc(a.Talks, func(t string) bool { return strings.HasPrefix(t, p+"/") }) {
			paths = append(paths, p)
		}
	}
	return slices.ContainsFunc(append(paths, a.Logins...), func(p string) bool {
		is, err := path.Match(p, at)
		return is && err == nil
	})
}
