package spec

import (
	"slices"
)

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

// Location is where a path of a remote really lies, as elements that can be
// compared with another spec's: the store with its bucket, then the path.
func (s *Spec) Location(remote, p string) []string {
	return s.location(remote, s.fillPlaceholders(p))
}

// within reports whether inner is outer or lies in it.
func within(inner, outer []string) bool {
	return len(inner) >= len(outer) && slices.Equal(inner[:len(outer)], outer)
}

// Chain returns a remote and those it wraps, outermost first; nothing when there
// is no such remote.
func (s *Spec) Chain(remote string) []*Remote {
	var chain []*Remote
	for r := s.Persistence.Remotes[remote]; r != nil && !slices.Contains(chain, r); r = s.Persistence.Remotes[r.WrapRemote] {
		chain = append(chain, r)
		if r.Type != "crypt" {
			break
		}
	}
	return chain
}

// checkPrefixes notes replicas whose remote prefixes are equal or nested: each
// would take the other's objects for its own.
func checkPrefixes(s *Spec, ps *problems) {
	c := checker{ps, s}
	type placed struct {
		at    string
		where []string
	}
	var before []placed
	for i, y := range s.Persistence.Sync {
		if y.RemotePath == "" || s.Persistence.Remotes[y.Remote] == nil || climbs(y.RemotePath) {
			continue
		}
		this := placed{s.src.origin[i], s.location(y.Remote, y.RemotePath)}
		for _, other := range before {
			relation := ""
			switch {
			case slices.Equal(this.where, other.where):
				relation = "is the same prefix as"
			case within(this.where, other.where):
				relation = "lies in the prefix of"
			case within(other.where, this.where):
				relation = "contains the prefix of"
			default:
				continue
			}
			c.bad(this.at+".remote_path", "%s %s: give each replica a prefix of its own", relation, other.at)
		}
		before = append(before, this)
	}
}
