package isolation

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/pkg/spec"
)

// PlaceOf is where a folder of the host is in the container, as the dev container CLI
// mounts it; "" where the file does not say, or where Compose's says what is mounted.
// Without a workspaceMount that is top, the folder itself or the git repository that it is
// in, at /workspaces/NAME.
func (c Container) PlaceOf(folder, top string) string {
	if c.Compose {
		return ""
	}
	known := func(p string) string {
		if !path.IsAbs(p) || strings.Contains(p, "${") {
			return ""
		}
		return path.Clean(p)
	}
	source, target := top, "/workspaces/"+filepath.Base(top)
	if c.FolderMount != nil {
		said := strings.NewReplacer("${localWorkspaceFolder}", folder, "${localWorkspaceFolderBasename}", filepath.Base(folder))
		m := parseMount(*c.FolderMount) // first: there may be commas in the folder's path
		source, target = said.Replace(m.Source), said.Replace(m.Target)
	}
	rel, err := filepath.Rel(source, folder)
	if err != nil || !filepath.IsAbs(source) || !filepath.IsLocal(rel) {
		return known(c.Folder) // a volume, or another folder: what is in it is not known
	}
	if target = known(target); target == "" {
		return ""
	}
	return path.Join(target, filepath.ToSlash(rel))
}

// Misplaced says which replicas of a workspace are at paths where its folder is not: coltecd
// blocks them, because an empty folder of the container's layer would be synced, and
// nothing of the project. Where a replica has the folder, the others are at their places
// on purpose; so they are in a mount, and where they only pull.
func Misplaced(w Workspace) []Finding {
	var names []string
	var first string
	for _, y := range w.replicas() {
		at := path.Clean(y.Path)
		switch {
		case w.Place == "", inside(w.Place, at):
			return nil
		case y.Direction == spec.PullOnly, y.InHome, inside(at, w.Place), w.Container.mounts(at):
			continue
		}
		names = append(names, fmt.Sprintf("%s (%s)", y.Name, at))
		if first == "" || inside(first, at) {
			first = at
		}
	}
	if names == nil {
		return nil
	}
	return []Finding{{"misplaced", Error, []string{w.Folder},
		fmt.Sprintf("the folder is at %s in the container, and nothing is there for %s: nothing of the project would be saved", w.Place, strings.Join(names, ", ")),
		fmt.Sprintf(`put "workspaceFolder": %q and "workspaceMount": "source=${localWorkspaceFolder},target=%s,type=bind" into devcontainer.json, or set path: %s in the spec`, first, first, w.Place)}}
}

// replicas are those of the spec, at the paths where they are in the container.
func (w Workspace) replicas() []spec.Sync {
	list := w.Spec.Replicas()
	from := path.Clean(w.Container.StandsFor)
	if !path.IsAbs(from) || from == "/" || w.Place == "" {
		return list
	}
	for i := range list {
		if at := path.Clean(list[i].Path); inside(at, from) {
			list[i].Path = path.Join(w.Place, strings.TrimPrefix(at, from))
		}
	}
	return list
}

// mounts reports whether something is mounted at a path, or above it.
func (c Container) mounts(at string) bool {
	for _, m := range c.Mounts {
		if m.Service == "" && path.IsAbs(m.Target) && path.Clean(m.Target) != "/" && inside(at, path.Clean(m.Target)) {
			return true
		}
	}
	return false
}

// inside reports whether a path is dir or lies in it; both are clean.
func inside(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}
