package spec

import (
	"path"
	"slices"
	"strings"
)

// cleanRemote brings a remote path to its one form: no empty or "." elements and
// no slash at its ends. ".." stays, to be refused.
func cleanRemote(p string) string { return strings.Join(elements(p), "/") }

// cleanPrefix is cleanRemote, but for a remote without a bucket (local, sftp) a
// slash in front says that the path is absolute.
func cleanPrefix(p string, bucket bool) string {
	if !bucket && strings.HasPrefix(p, "/") {
		return "/" + cleanRemote(p)
	}
	return cleanRemote(p)
}

// elements splits a path, leaving out empty elements and ".".
func elements(p string) []string {
	return slices.DeleteFunc(strings.Split(p, "/"), func(e string) bool { return e == "" || e == "." })
}

// climbs says whether a path has "..".
func climbs(p string) bool { return slices.Contains(strings.Split(p, "/"), "..") }

// Root is the place in the back end that the remote's paths begin at: the bucket
// and the prefix, as rclone wants them after "name:". For crypt it is empty.
func (r *Remote) Root() string {
	if r.Bucket == "" {
		return r.PathPrefix
	}
	return strings.TrimSuffix(r.Bucket+"/"+cleanRemote(r.PathPrefix), "/")
}

// placeholders are what a remote path may hold in braces.
var placeholders = []string{"org", "project", "env"}

// fillPlaceholders replaces {org}, {project} and {env}; ${env} is a variable.
func (s *Spec) fillPlaceholders(p string) string {
	values := map[string]string{"org": s.Metadata.Org, "project": s.Metadata.Project, "env": s.Metadata.Environment}
	return mapPlaceholders(p, func(name string) string {
		if value := values[name]; value != "" {
			return value
		}
		return "{" + name + "}"
	})
}

// mapPlaceholders replaces each {word} that is not part of a ${word}.
func mapPlaceholders(p string, replace func(name string) string) string {
	var out strings.Builder
	for p != "" {
		open := strings.IndexByte(p, '{')
		if open < 0 {
			break
		}
		end := strings.IndexByte(p[open:], '}')
		if end < 0 {
			break
		}
		end += open
		name := p[open+1 : end]
		out.WriteString(p[:open])
		if open > 0 && p[open-1] == '$' || strings.ContainsAny(name, "{/$") {
			out.WriteString("{")
			p = p[open+1:]
			continue
		}
		out.WriteString(replace(name))
		p = p[end+1:]
	}
	return out.String() + p
}

// location is where a path in a remote really lies, as elements that can be
// compared: the store and bucket, then the path. A crypt remote's names mean
// nothing to others, so they come after an element that only it has.
func (s *Spec) location(remote, p string) []string {
	chain := s.Chain(remote)
	where := elements(p)
	for _, r := range chain {
		if r.Type == "crypt" {
			inner := append(elements(r.WrapPath), where...)
			if r.Crypt != nil && r.Crypt.FilenameEncryption != "off" && r.Crypt.DirectoryNameEncryption {
				sealed := "\x00" + r.Crypt.PasswordEnv + "\x00" + r.Crypt.Password2Env + "\x00" + r.Crypt.FilenameEncryption
				inner = append(append(elements(r.WrapPath), sealed), where...)
			}
			where = append(elements(r.PathPrefix), inner...)
			continue
		}
		store := r.Type + "\x00" + r.Options["endpoint"].Reveal() + "\x00" + r.Options["host"].Reveal() + "\x00" + r.Options["account"].Reveal() + "\x00" + r.Bucket
		where = append(append([]string{store}, elements(r.PathPrefix)...), where...)
	}
	return where
}

// within says whether inner is outer or lies in it.
func within(inner, outer []string) bool {
	return len(inner) >= len(outer) && slices.Equal(inner[:len(outer)], outer)
}

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

// ID is the workspace's identity, org/project/env.
func (s *Spec) ID() string {
	return s.Metadata.Org + "/" + s.Metadata.Project + "/" + s.Metadata.Environment
}

// File is the name that the spec was parsed under.
func (s *Spec) File() string { return s.src.file }

// Line is the line that the value at path stands in, such as
// persistence.sync[0].path, or the nearest thing around it.
func (s *Spec) Line(path string) int { return max(s.src.value(path).line, 1) }

// Location is where a path of a remote really lies, as elements that can be
// compared with another spec's: the store with its bucket, then the path.
func (s *Spec) Location(remote, p string) []string {
	return s.location(remote, s.fillPlaceholders(p))
}
