package spec

import (
	"fmt"
	"strings"
)

// Notice names an accepted field that does nothing here.
type Notice struct {
	Path string // such as persistence.scope
	Line int    // in the spec's file
	Text string // why, and what to do instead
}

// String says it in one line.
func (n Notice) String() string { return fmt.Sprintf("%s (line %d): %s", n.Path, n.Line, n.Text) }

// source remembers where each value of a spec stands, by its path such as
// persistence.sync[0].name, and what was said there.
type source struct {
	file string
	keys map[string]position // of the key, or of the list's entry
	at   map[string]position // of the value
	idle []Notice
	// odd are the paths with a key that no error may show, as it may be a
	// credential, and the paths that stand for them.
	odd map[string]string
	// failed are the paths whose values could not be read: no rule is checked there.
	failed map[string]bool
	// origin of each entry of Persistence.Sync: the path it was written at.
	origin []string
}

// path is that of a key that may be anything, below path: one that no error may
// show is told by its place.
func (s *source) path(path, key string) string {
	at := join(path, key)
	if odd, ok := s.odd[at]; ok {
		return odd
	}
	return at
}

// has reports whether a value was given at path. A null is none.
func (s *source) has(path string) bool { _, ok := s.at[path]; return ok }

// value is the place of the value at path, or of the nearest thing around it.
func (s *source) value(path string) position { return around(s.at, path) }

// key is the place of the key at path, or of the nearest thing around it.
func (s *source) key(path string) position { return around(s.keys, path) }

func around(places map[string]position, path string) position {
	for {
		if at, ok := places[path]; ok || path == "" {
			return at
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
