package spec

import (
	"path"
	"slices"
	"strings"
)

// NestedIn returns the local paths of other replicas that lie in y's, relative to
// it and sorted: y's replica leaves them to theirs.
func (s *Spec) NestedIn(y Sync) []string {
	var nested []string
	for _, other := range s.Persistence.Sync {
		if rest, ok := strings.CutPrefix(path.Clean(other.Path), strings.TrimSuffix(path.Clean(y.Path), "/")+"/"); ok && rest != "" {
			nested = append(nested, rest)
		}
	}
	slices.Sort(nested)
	return nested
}

// Replicas returns the replicas that run: none unless persistence is enabled in
// mode replicated. Those of lower priority come first, else as in the file.
func (s *Spec) Replicas() []Sync {
	if !s.Persistence.Enabled || s.Persistence.Mode != Replicated {
		return nil
	}
	list := slices.Clone(s.Persistence.Sync)
	slices.SortStableFunc(list, func(a, b Sync) int { return a.Priority - b.Priority })
	return list
}

// Mountpoint is a remote path that is mounted, in mode mounted.
type Mountpoint struct {
	Name       string // of the entry, unique; unit names are made of it
	Remote     string
	RemotePath string // may hold ${VAR}: see Target
	Path       string // local, absolute
	ReadOnly   bool
	Exclude    []string
	Transfer   Transfer
}

// Mountpoints returns what is mounted: none unless persistence is enabled in mode
// mounted. Outer local paths come before those nested in them.
func (s *Spec) Mountpoints() []Mountpoint {
	p := &s.Persistence
	if !p.Enabled || p.Mode != Mounted {
		return nil
	}
	var list []Mountpoint
	for _, y := range p.Sync {
		list = append(list, Mountpoint{y.Name, y.Remote, y.RemotePath, y.Path, y.Direction == PullOnly, y.Exclude, Transfer{y.Transfers, y.Checkers, y.BwLimit}})
	}
	for _, m := range p.Mounts {
		list = append(list, Mountpoint{Name: m.Name, Remote: p.DefaultRemote, RemotePath: m.Source, Path: m.Target, Transfer: p.Defaults})
	}
	slices.SortStableFunc(list, func(a, b Mountpoint) int { return strings.Compare(a.Path, b.Path) })
	return list
}
