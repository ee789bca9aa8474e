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

// climbs reports whether a path has "..".
func climbs(p string) bool { return slices.Contains(strings.Split(p, "/"), "..") }

// cleanBelow cleans a path below a replica's, "" being that itself. One that is none stays.
func cleanBelow(p string) string {
	if climbs(p) || strings.HasPrefix(p, "/") {
		return p
	}
	return strings.TrimPrefix(path.Clean("/"+p), "/")
}

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

// ID is the workspace's identity, org/project/env.
func (s *Spec) ID() string {
	return s.Metadata.Org + "/" + s.Metadata.Project + "/" + s.Metadata.Environment
}

// File is the name that the spec was parsed under.
func (s *Spec) File() string { return s.src.file }

// Line is the line that the value at path stands in, such as
// persistence.sync[0].path, or the nearest thing around it.
func (s *Spec) Line(path string) int { return max(s.src.value(path).line, 1) }
