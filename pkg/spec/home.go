package spec

import (
	"errors"
	"fmt"
	"os/user"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/hint"
)

// homeMark is what a path in the home of the workspace's user begins with. What it stands
// for is known where coltecd runs, and nowhere else.
const homeMark = "~"

// isHome reports whether a path is written as one in the home of the workspace's user.
func isHome(p string) bool { return p == homeMark || strings.HasPrefix(p, homeMark+"/") }

// isHomePath reports whether a null is the path of a replica and written as ~, which is one
// of YAML's words for null, and here what it looks like.
func isHomePath(path string, n ast.Node) bool {
	return strings.HasPrefix(path, "persistence.sync[") && strings.HasSuffix(path, "].path") && n.GetToken().Value == homeMark
}

// enterHome gives the replicas with the paths that they have here. An error names what is not
// known, or which two replicas are one here.
func (s *Spec) enterHome(lookup Lookup) ([]Sync, error) {
	list := slices.Clone(s.Persistence.Sync)
	if !slices.ContainsFunc(list, func(y Sync) bool { return isHome(y.Path) }) {
		return list, nil
	}
	home, err := homeOf(lookup)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if isHome(list[i].Path) {
			list[i].Path = path.Join(home, strings.TrimPrefix(list[i].Path, homeMark))
		}
	}
	list = withoutOwnHome(list, s.src.origin)
	for i := range list {
		for j := range list[:i] {
			if path.Clean(list[i].Path) == path.Clean(list[j].Path) {
				return nil, hint.Wrap(fmt.Errorf("cannot use the replicas %s and %s: both are at %s here", list[j].Name, list[i].Name, list[i].Path),
					"make them one, whose include lists what to carry, or choose another path for one of them")
			}
		}
	}
	return list, nil
}

// withoutOwnHome leaves out the replica that was made for agents, where the spec has one of
// the same directory, under whatever name: that one carries what agents keep, too.
func withoutOwnHome(list []Sync, origin []string) []Sync {
	own := slices.Index(origin, agentsOrigin)
	if own < 0 || own >= len(list) || !list[own].Agents { // it was left out before
		return list
	}
	i := slices.IndexFunc(list, func(y Sync) bool { return y.Name != list[own].Name && path.Clean(y.Path) == path.Clean(list[own].Path) })
	if i < 0 {
		return list
	}
	if len(list[i].Include) > 0 {
		list[i].Include = slices.Concat(list[i].Include, list[own].Include)
	}
	list[i].Exclude = slices.Concat(list[i].Exclude, list[own].Exclude)
	return slices.Delete(list, own, own+1)
}

// homeOf is where the user's home is: HOME, as every program here sees it, or what the
// system has of the user.
func homeOf(lookup Lookup) (string, error) {
	home, _ := lookup("HOME")
	if home == "" {
		if u, err := user.Current(); err == nil {
			home = u.HomeDir
		}
	}
	if !path.IsAbs(home) || path.Clean(home) == "/" {
		return "", hint.Wrap(errors.New("cannot tell what ~ stands for: this user has no home of its own"),
			"set HOME to the directory, or write the paths of the replicas out")
	}
	return path.Clean(home), nil
}

// include checks what alone is carried of a tree.
func (c checker) include(at string, y *Sync) {
	if y.File && c.s.src.has(at+".include") {
		c.bad(at+".file", "is true, and there is an include: a file has nothing in it; remove one of the two")
		return
	}
	if y.File && y.Path == homeMark && len(y.Include) == 0 {
		c.bad(at+".file", "is true, and the path is a home, which is a directory: remove file")
		return
	}
	if c.s.src.has(at+".include") && len(y.Include) == 0 {
		c.bad(at+".include", "is empty, so nothing would be carried: remove it to carry all, or list what to carry")
	}
	for i, pattern := range y.Include {
		here := fmt.Sprintf("%s.include[%d]", at, i)
		top, _, _ := strings.Cut(strings.TrimPrefix(pattern, "/"), "/")
		switch {
		case strings.Trim(strings.TrimSpace(pattern), "/") == "":
			c.bad(here, "is empty: write a path below the replica's, or remove it")
		case climbs(pattern), isHome(pattern), strings.ContainsRune(pattern, 0):
			c.bad(here, "must be a path below the replica's, such as .config/tool")
		case top == ".coltec":
			c.bad(here, "is, or lies in, .coltec, which coltec needs for itself: choose another")
		default:
			c.pattern(here, filter.Only([]string{pattern}))
		}
	}
}

// literally is a name as a filter pattern that matches it alone.
func literally(name string) string {
	var out strings.Builder
	for _, r := range name {
		if strings.ContainsRune(`\*?[]{}`, r) {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}

// Trees are the local paths that the replica may fill: its own, or, where an include says
// what alone is carried, the paths of that, up to the first element that is a pattern.
func (y *Sync) Trees() []string {
	if len(y.Include) == 0 {
		return []string{y.Path}
	}
	var all []string
	for _, pattern := range y.Include {
		at := path.Clean(y.Path)
		for e := range strings.SplitSeq(strings.Trim(pattern, "/"), "/") {
			plain := strings.NewReplacer(`\\`, `\`, `\*`, "*", `\?`, "?", `\[`, "[", `\]`, "]", `\{`, "{", `\}`, "}").Replace(e)
			if strings.ContainsAny(e, "*?[{") && literally(plain) != e {
				break
			}
			at = path.Join(at, plain)
		}
		all = append(all, at)
	}
	return append(all, path.Join(y.Path, ".coltec"))
}

// HomeReplica is the name of the replica of the home that agents are carried by.
const HomeReplica = "home"
