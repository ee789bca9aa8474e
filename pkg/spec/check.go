package spec

import (
	"fmt"
	"net/netip"
	"strings"
)

// check notes every rule that s breaks.
func check(s *Spec, ps *problems) {
	c := checker{ps, s}
	c.identity()
	c.secrets()
	c.agents()
	c.devcontainer()
	c.remotes()
	c.persistence()
	c.units()
	c.rest()
	c.webhook()
	checkPrefixes(s, ps)
}

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

// isVersionOne reports whether text is 1.x or 1.x.y.
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

// rest checks networking, logs and metrics.
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
		if !isTag(tag) {
			c.bad(fmt.Sprintf("networking.tags[%d]", i), "must be tag: and a name of letters, digits and dashes that begins with a letter, such as tag:devcontainer")
		}
	}
	if c.s.Logs.MaxSize <= 0 {
		c.bad("logs.max_size", "must be more than 0, such as 10MB")
	}
	if c.s.Metrics.Listen != "" && !isLoopback(c.s.Metrics.Listen) {
		c.bad("metrics.listen", "must be a loopback address and a port, such as 127.0.0.1:9464 or [::1]:9464: it is answered without a password")
	}
}

// isLoopback reports whether text is an address of this machine alone, with a port. A name
// is none: what it stands for is not decided here.
func isLoopback(text string) bool {
	at, err := netip.ParseAddrPort(text)
	return err == nil && at.Addr().IsLoopback() && at.Port() != 0
}
