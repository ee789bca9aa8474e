package isolation

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/jsonc"
	"github.com/coltec/coltec/pkg/spec"
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
	c.standsFor(b)
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
		case "--tmpfs":
			target, _, _ := strings.Cut(value, ":")
			c.Mounts = append(c.Mounts, Mount{Kind: Memory, Target: target})
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

// standsFor notes which path of the spec the folder is, by the variable that coltecd goes by.
func (c *Container) standsFor(text []byte) {
	var e struct {
		Env map[string]string `json:"containerEnv"`
	}
	if json.Unmarshal(text, &e) == nil { // of another form: said by the dev container CLI
		c.StandsFor = e.Env[spec.PlaceVar]
	}
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
var volumeArg = regexp.MustCompile(`^(?:(.+):)?((?:/|\$\{[^}]*\})(?:\$\{[^}]*\}|[^:])*?)(?::([\w,=-]*))?$`)

// volume notes the argument of --volume.
func (c *Container) volume(s string) {
	m, ok := ReadVolume(s)
	if !ok {
		return
	}
	c.Mounts = append(c.Mounts, m)
	if m.Kind == Volume && m.Source != "" {
		c.Volumes = append(c.Volumes, m.Source)
	}
}

// ReadVolume reads the argument of --volume, or a line of a service's volumes in Compose.
func ReadVolume(s string) (m Mount, ok bool) {
	f := volumeArg.FindStringSubmatch(s)
	if f == nil {
		return m, false
	}
	m = Mount{Kind: Volume, Source: f[1], Target: f[2], ReadOnly: slices.Contains(strings.Split(f[3], ","), "ro")}
	if strings.ContainsAny(m.Source, `/\.$~`) {
		m.Kind = Bind
	}
	return m, true
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
	c.Mounts = append(c.Mounts, Mount{Kind: cmp.Or(o.Type, Volume), Source: o.Source, Target: o.Target})
	if o.Type == "volume" && o.Source != "" {
		c.Volumes = append(c.Volumes, o.Source)
	}
}

// mountText notes Docker's source=…,target=…,type=….
func (c *Container) mountText(s string) {
	m := parseMount(s)
	c.Mounts = append(c.Mounts, m)
	// ${devcontainerId} in a name keeps containers apart.
	if m.Kind == Volume && m.Source != "" && !strings.Contains(m.Source, "${devcontainerId}") {
		c.Volumes = append(c.Volumes, m.Source)
	}
}

// parseMount reads Docker's source=…,target=…,type=….
func parseMount(s string) Mount {
	m := Mount{Kind: Volume}
	fields, err := csv.NewReader(strings.NewReader(s)).Read() // as Docker does
	if err != nil {
		fields = strings.Split(s, ",")
	}
	for _, part := range fields {
		k, v, _ := strings.Cut(part, "=")
		switch k {
		case "type":
			m.Kind = v
		case "source", "src":
			m.Source = v
		case "target", "dst", "destination":
			m.Target = v
		case "readonly", "ro":
			m.ReadOnly = v == "" || v == "true" || v == "1"
		}
	}
	return m
}
