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

// check notes every rule that s breaks.
func check(s *Spec, ps *problems) {
	c := checker{ps, s}
	c.identity()
	c.secrets()
	c.devcontainer()
	c.remotes()
	c.persistence()
	c.units()
	c.rest()
	checkPrefixes(s, ps)
}

// isSlug says whether text is [a-z0-9][a-z0-9-]*, of a length that host names and
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

func (c checker) identity() {
	s, has := c.s, c.s.src.has
	if has("version") && s.Version != "1" && !isVersionOne(s.Version) {
		c.bad("version", `must be 1 or 1.x.y: this program reads no other format`)
	}
	if has("metadata.org") && !isSlug(s.Metadata.Org) {
		c.bad("metadata.org", slugRule)
	}
	if has("metadata.project") && !isSlug(s.Metadata.Project) {
		c.bad("metadata.project", slugRule)
	}
	switch {
	case has("metadata.environment"):
		if !isSlug(s.Metadata.Environment) {
			c.bad("metadata.environment", slugRule)
		}
		if has("name") && !isName(s.Name) {
			c.bad("name", nameRule)
		}
	case has("name"):
		if !isSlug(s.Name) {
			c.bad("name", "is the environment too and "+slugRule+"; or give metadata.environment")
		}
	default:
		c.add(position{1, 1}, "the workspace has no name: give name, or metadata.environment")
	}
}

// isVersionOne says whether text is 1.x or 1.x.y.
func isVersionOne(text string) bool {
	parts := strings.Split(text, ".")
	for _, p := range parts {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return parts[0] == "1" && len(parts) <= 3
}

func (c checker) secrets() {
	seen := map[string]bool{}
	for i, x := range c.s.Secrets {
		at := fmt.Sprintf("secrets[%d]", i)
		switch {
		case x.Name == "" && x.Key == "" && x.Provider == "":
			c.bad(at, "needs a name: the name of the environment variable, never its value")
		case x.Name != "" && !isVariable(x.Name):
			c.bad(at+".name", "must be the name of an environment variable, never its value")
		case x.Name != "" && seen[x.Name]:
			c.bad(at+".name", "names %s a second time; keep one", x.Name)
		}
		seen[x.Name] = true
		if x.MountPath != "" {
			c.absolute(at+".mount_path", x.MountPath)
		}
	}
}

func (c checker) devcontainer() {
	for i, m := range c.s.Mounts {
		c.containerMount(fmt.Sprintf("mounts[%d]", i), m)
	}
	for i, m := range c.s.Devcontainer.Mounts {
		c.containerMount(fmt.Sprintf("devcontainer.mounts[%d]", i), m)
	}
	c.absolute("devcontainer.workspace_folder", c.s.Devcontainer.WorkspaceFolder)
}

// containerMount checks a mount of the container. Its paths may hold variables of
// the dev container tool.
func (c checker) containerMount(at string, m ContainerMount) {
	if m.Target != "" && !strings.HasPrefix(m.Target, "$") {
		c.absolute(at+".target", m.Target)
	}
	if m.Source == "" && m.Type != "tmpfs" {
		c.bad(at, "needs a source: the name of a volume or a folder of the host")
	}
}

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

// rest checks networking and logs.
func (c checker) rest() {
	n := &c.s.Networking
	if strings.Contains(n.HostnamePrefix, "${") {
		c.bad("networking.hostname_prefix", "has a variable, and none are replaced here: set COLTEC_NET_HOSTNAME_PREFIX instead")
	} else if n.HostnamePrefix != "" && !isSlug(strings.ToLower(n.HostnamePrefix)) {
		c.bad("networking.hostname_prefix", "must be letters, digits and dashes: it begins a host name")
	} else if n.Enabled && n.HostnamePrefix == "" {
		c.bad("networking.hostname_prefix", "is empty: remove it for dev-, or write another")
	}
	for i, tag := range n.Tags {
		if !strings.HasPrefix(tag, "tag:") || len(tag) == len("tag:") {
			c.bad(fmt.Sprintf("networking.tags[%d]", i), "must begin with tag: and a name, such as tag:devcontainer")
		}
	}
	if c.s.Logs.MaxSize <= 0 {
		c.bad("logs.max_size", "must be more than 0, such as 10MB")
	}
}
