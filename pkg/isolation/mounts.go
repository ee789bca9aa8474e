package isolation

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/spec"
)

// Kinds of a [Mount], in Docker's words.
const (
	Volume = "volume"
	Bind   = "bind"
	Memory = "tmpfs"
)

// Mount is a place in a container whose content is not the container's own layer.
type Mount struct {
	Kind     string
	Source   string // a path of the host, or the name of a volume, "" without one; variables as they are written
	Target   string // in the container
	ReadOnly bool
	Service  string // of Compose, where that is beside the workspace's own; "" for its own
}

// OwnFolder is how a devcontainer.json names the workspace's folder on the host.
const OwnFolder = "${localWorkspaceFolder}"

// SourceOf is a path of the host as a devcontainer.json in a folder names it: by its variable,
// where it is in that folder, or has that in it. Both are absolute.
func SourceOf(folder, source string) string {
	if rel, err := filepath.Rel(source, folder); err == nil && filepath.IsLocal(rel) {
		return OwnFolder
	}
	if rel, err := filepath.Rel(folder, source); err == nil && filepath.IsLocal(rel) {
		return OwnFolder + "/" + filepath.ToSlash(rel)
	}
	return source
}

// Mounts are those that devcontainer.json, and the files of Compose that were read, name. One
// whose target holds a variable of the host is left out: where it is, is not known.
func (w Workspace) Mounts() (list []Mount) {
	place := w.Place
	if place == "" {
		place = w.Container.Folder
	}
	said := strings.NewReplacer("${containerWorkspaceFolder}", place, "${containerWorkspaceFolderBasename}", path.Base(place))
	for _, m := range w.Container.Mounts {
		m.Target = said.Replace(m.Target)
		if path.IsAbs(m.Target) && !strings.Contains(m.Target, "${") {
			list = append(list, m)
		}
	}
	return list
}

// passing are places whose content is of this run of the container or of this host, and no
// state of the project: sockets, devices, what the system and editors put there.
var passing = []string{"/dev", "/etc", "/proc", "/run", "/sys", "/tmp", "/var/run", "/var/tmp", "/vscode"}

// editors are folders of a home in which editors keep their own programs.
var editors = []string{".vscode-server", ".vscode-server-insiders", ".vscode-remote", ".cursor-server", ".cache/JetBrains"}

// Unkept says which of the mounts of a workspace's container no replica keeps anything of. What is
// below a replica's path and excluded there, what is read only, and what persistence.unkept
// names is meant so; so it is where the workspace keeps nothing at all.
func Unkept(w Workspace, mounts []Mount) (found []Finding) {
	replicas := w.replicas()
	if len(replicas) == 0 {
		return nil
	}
	kept := map[string]bool{} // volumes and folders of the host that a kept mount has: another way to them
	for _, m := range mounts {
		if m.Service == "" && m.Source != "" && keptAt(replicas, m.Target) {
			kept[m.Kind+m.Source] = true
		}
	}
	for _, m := range mounts {
		switch {
		case m.ReadOnly, m.meant(w.Spec.Persistence.Unkept), kept[m.Kind+m.Source] && m.Source != "", inFolder(w, replicas, m),
			m.Service == "" && (keptAt(replicas, m.Target) || m.passes()), m.Service != "" && (m.Kind != Volume || m.Source == ""):
			continue
		}
		found = append(found, Finding{"unkept-mount", Warning, []string{w.Folder}, m.what(), m.mend(w.Spec)})
	}
	return found
}

// inFolder reports whether a bind is of a part of the workspace's own folder that a replica keeps
// where the folder is.
func inFolder(w Workspace, replicas []spec.Sync, m Mount) bool {
	rest, own := strings.CutPrefix(m.Source, OwnFolder)
	switch {
	case !own || m.Kind != Bind || rest != "" && rest[0] != '/':
		return false
	case path.Clean("/"+rest) == "/": // the folder itself: that it is elsewhere than its replica is another finding
		return true
	}
	return w.Place != "" && keptAt(replicas, path.Join(w.Place, rest))
}

// keptAt reports whether a replica keeps what is at a path of the container, or a part of it.
func keptAt(replicas []spec.Sync, at string) bool {
	at = path.Clean(at)
	return slices.ContainsFunc(replicas, func(y spec.Sync) bool {
		return slices.ContainsFunc(y.Trees(), func(tree string) bool {
			tree = inHomeOf(at, tree)
			return inside(tree, at) || inside(at, tree)
		})
	})
}

// inHomeOf is a path of a spec, with ~ in it the home that another path is in: whose that is,
// is not known on the host.
func inHomeOf(at, name string) string {
	name = path.Clean(name)
	if name != "~" && !strings.HasPrefix(name, "~/") {
		return name
	}
	home := "/root"
	if f := strings.Split(at, "/"); len(f) > 2 && f[1] == "home" {
		home = path.Join("/home", f[2])
	}
	return path.Join(home, strings.TrimPrefix(name, "~"))
}

// homeOf is the home that a path is in, "" for none.
func homeOf(at string) string {
	if home := inHomeOf(at, "~"); inside(at, home) {
		return home
	}
	return ""
}

// passes reports whether it is at a place whose content is no state of the project.
func (m Mount) passes() bool {
	at := path.Clean(m.Target)
	if strings.HasSuffix(at, ".sock") || slices.ContainsFunc(passing, func(dir string) bool { return inside(at, dir) }) {
		return true
	}
	home := homeOf(at)
	return home != "" && slices.ContainsFunc(editors, func(dir string) bool { return inside(at, path.Join(home, dir)) })
}

// meant reports whether the spec says that nothing is to keep it: by its volume, its path, or
// a path that it is in.
func (m Mount) meant(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		if !strings.Contains(name, "/") && name != "~" {
			return m.Kind == Volume && m.Source == name
		}
		return m.Service == "" && inside(path.Clean(m.Target), inHomeOf(m.Target, name))
	})
}

// what says what it is, and what becomes of it.
func (m Mount) what() string {
	where := path.Clean(m.Target)
	if m.Service != "" {
		where += " of service " + m.Service
	}
	switch {
	case m.Kind == Memory:
		return where + " is in memory, and nothing keeps it: it is gone when the container stops"
	case m.Kind == Bind:
		return fmt.Sprintf("%s is %s of this host, and nothing keeps it: on another machine it is that machine's", where, m.Source)
	case m.Source == "":
		return where + " is a volume without a name that nothing keeps: it goes with the container"
	}
	return fmt.Sprintf("%s is a volume that nothing keeps: %s stays on this host", where, m.Source)
}

// mend says how to have it kept, or not named.
func (m Mount) mend(s *spec.Spec) string {
	at := path.Clean(m.Target)
	if m.Service != "" {
		return fmt.Sprintf("mount it in the workspace's own service, too, and add {name: %s, path: %s} to persistence.sync of the spec (with consistency for a database); or, if nothing is to keep it, persistence.unkept: [%s]", m.name(s), at, m.Source)
	}
	if home := homeOf(at); home != "" {
		at = path.Join("~", strings.TrimPrefix(at, home))
	}
	return fmt.Sprintf("add {name: %s, path: %s} to persistence.sync of the spec; or, if nothing is to keep it, persistence.unkept: [%s]", m.name(s), at, at)
}

// name is a name for a replica of it that the spec does not have yet.
func (m Mount) name(s *spec.Spec) string {
	name := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, path.Base(path.Clean(m.Target))), "-")
	if name == "" {
		name = "data"
	}
	for slices.ContainsFunc(s.Replicas(), func(y spec.Sync) bool { return y.Name == name }) {
		name += "-2"
	}
	return name
}
