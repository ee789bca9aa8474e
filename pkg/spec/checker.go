package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/secret"
)

// checker notes what is wrong with one spec.
type checker struct {
	*problems
	s *Spec
}

// bad notes a problem with the value at path, which begins the text. A value that
// could not be read was complained about already.
func (c checker) bad(path, format string, args ...any) {
	if c.s.src.failed[path] {
		return
	}
	c.add(c.s.src.value(path), "%s %s", path, fmt.Sprintf(format, args...))
}

// isSlug reports whether text is [a-z0-9][a-z0-9-]*, of a length that host names and
// file names allow.
func isSlug(text string) bool {
	return text != "" && len(text) <= 63 && text[0] != '-' && !strings.ContainsFunc(text, func(r rune) bool {
		return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}

// isName is isSlug with capital letters, dots and underscores: what the earlier
// tool's names may hold and a file name can.
func isName(text string) bool {
	return text != "" && text[0] != '.' && text[0] != '_' && isSlug(strings.NewReplacer(".", "x", "_", "x").Replace(strings.ToLower(text)))
}

const (
	slugRule = "must be lower-case letters, digits and dashes, such as dev-a, at most 63"
	nameRule = "must be letters, digits, dashes, dots and underscores, at most 63, and begin with a letter or digit"
)

// absolute checks a local path.
func (c checker) absolute(at, p string) {
	switch {
	case strings.Contains(p, "${"):
		c.bad(at, "is a local path, in which no variables are replaced: write it out")
	case !strings.HasPrefix(p, "/"):
		c.bad(at, "must be an absolute path: begin it with /")
	case climbs(p):
		c.bad(at, `has "..": write the path without it`)
	case strings.ContainsRune(p, 0):
		c.bad(at, "has a NUL character")
	}
}

// template checks a text that may hold variables.
func (c checker) template(at, text string) {
	if _, err := pieces(text); err != nil {
		c.bad(at, "%v", err)
	}
}

func (c checker) templates(at string, values map[string]secret.Value) {
	for _, k := range slices.Sorted(maps.Keys(values)) {
		c.template(c.s.src.path(at, k), values[k].Reveal())
	}
}

func isOption(key string) bool { return isSlug(strings.ReplaceAll(key, "_", "-")) }
