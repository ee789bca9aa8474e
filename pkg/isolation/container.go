package isolation

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/coltec/coltec/pkg/jsonc"
)

// ReadContainer reads devcontainer.json, comments and all.
func ReadContainer(src []byte) (Container, error) {
	var c Container
	b, err := jsonc.Standard(src)
	if err != nil {
		return c, err
	}
	var raw struct {
		RunArgs []string          `json:"runArgs"`
		Mounts  []json.RawMessage `json:"mounts"`
		AppPort any               `json:"appPort"`
		Folder  string            `json:"workspaceFolder"`
		Mount   *string           `json:"workspaceMount"`
		Compose any               `json:"dockerComposeFile"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return c, err
	}
	c.early(b)
	c.Folder, c.FolderMount, c.Compose = raw.Folder, raw.Mount, raw.Compose != nil
	for _, m := range raw.Mounts {
		c.mount(m)
	}
	args := raw.RunArgs
	for i := 0; i < len(args); i++ {
		name, value, ok := strings.Cut(args[i], "=")
		if !ok && i+1 < len(args) {
			value = args[i+1]
		}
		switch name {
		case "--hostname", "-h":
			c.Hostnames = append(c.Hostnames, value)
		case "--publish", "-p":
			c.publish(value)
		case "--volume", "-v":
			c.volume(value)
		case "--mount":
			c.mountText(value)
		}
	}
	switch v := raw.AppPort.(type) {
	case []any:
		for _, p := range v {
			c.publish(fmt.Sprint(p))
		}
	case nil:
	default:
		c.publish(fmt.Sprint(v))
	}
	return c, nil
}

// publish notes [address:]host:container, or a number that is both.
func (c *Container) publish(s string) {
	s, _, _ = strings.Cut(s, "/")
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		s = s[:i]
	}
	if s != "" && !strings.HasSuffix(s, ":") && s != "0" {
		c.Ports = append(c.Ports, s)
	}
}

// volumeArg is [source:]target[:options]. There are colons in variables, and behind the
// letter of a drive.
var volumeArg = regexp.MustCompile(`^(?:(.+):)?((?:/|\$\{[^}]*\})(?:\$\{[^}]*\}|[^:])*?)(?::[\w,=-]*)?$`)

// volume notes the argument of --volume.
func (c *Container) volume(s string) {
	m := volumeArg.FindStringSubmatch(s)
	if m == nil {
		return
	}
	c.Targets = append(c.Targets, m[2])
	if m[1] != "" && !strings.ContainsAny(m[1], `/\.$~`) {
		c.Volumes = append(c.Volumes, m[1])
	}
}

func (c *Container) mount(m json.RawMessage) {
	var text string
	if json.Unmarshal(m, &text) == nil {
		c.mountText(text)
		return
	}
	var o struct{ Type, Source, Target string }
	if json.Unmarshal(m, &o) != nil {
		return
	}
	c.Targets = append(c.Targets, o.Target)
	if o.Type == "volume" && o.Source != "" {
		c.Volumes = append(c.Volumes, o.Source)
	}
}

// mountText notes Docker's source=…,target=…,type=….
func (c *Container) mountText(s string) {
	kind, source, target := parseMount(s)
	c.Targets = append(c.Targets, target)
	// ${devcontainerId} in a name keeps containers apart.
	if kind == "volume" && source != "" && !strings.Contains(source, "${devcontainerId}") {
		c.Volumes = append(c.Volumes, source)
	}
}

// parseMount reads Docker's source=…,target=…,type=….
func parseMount(s string) (kind, source, target string) {
	kind = "volume"
	fields, err := csv.NewReader(strings.NewReader(s)).Read() // as Docker does
	if err != nil {
		fields = strings.Split(s, ",")
	}
	for _, part := range fields {
		k, v, _ := strings.Cut(part, "=")
		switch k {
		case "type":
			kind = v
		case "source", "src":
			source = v
		case "target", "dst", "destination":
			target = v
		}
	}
	return kind, source, target
}
