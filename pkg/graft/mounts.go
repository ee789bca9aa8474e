package graft

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/coltec/coltec/pkg/isolation"
	"github.com/coltec/coltec/pkg/yamlfile"
)

// Mounts are those of the services in the Compose files of a project, its own and those
// beside it, as far as these files say.
func (p Project) Mounts() (list []isolation.Mount, err error) {
	files, own, base, err := p.composeFiles()
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		var file struct {
			Services map[string]struct {
				Volumes []any
				Tmpfs   any
			}
		}
		if err := yaml.Unmarshal(yamlfile.Text(f.text), &file); err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", f.name, err)
		}
		for _, name := range slices.Sorted(maps.Keys(file.Services)) {
			service := file.Services[name]
			for _, v := range slices.Concat(service.Volumes, inMemory(service.Tmpfs)) {
				m, ok := composeMount(v)
				if !ok {
					continue
				}
				if name != own {
					m.Service = name
				}
				if m.Kind == isolation.Bind {
					m.Source = p.named(m.Source, base)
				}
				list = append(list, m)
			}
		}
	}
	return list, nil
}

// inMemory are the entries of tmpfs, a path or a list of them, as long volumes.
func inMemory(v any) (list []any) {
	paths, several := v.([]any)
	if !several {
		paths = []any{v}
	}
	for _, at := range paths {
		if s, ok := at.(string); ok {
			target, _, _ := strings.Cut(s, ":") // options come after it
			list = append(list, map[string]any{"type": isolation.Memory, "target": target})
		}
	}
	return list
}

// composeMount reads a volume of a service, in either of its forms.
func composeMount(v any) (m isolation.Mount, ok bool) {
	switch v := v.(type) {
	case string:
		return isolation.ReadVolume(v)
	case map[string]any:
		text := func(key string) string {
			s, _ := v[key].(string)
			return s
		}
		readOnly, _ := v["read_only"].(bool)
		m = isolation.Mount{Kind: text("type"), Source: text("source"), Target: text("target"), ReadOnly: readOnly}
		return m, m.Target != ""
	}
	return m, false
}

// named is a path of a Compose file, as a devcontainer.json would name it where it is in the
// project's folder, or has that in it.
func (p Project) named(source, base string) string {
	if strings.ContainsAny(source, "$~") {
		return source // where that is, the host's variables say
	}
	if !filepath.IsAbs(source) {
		source = filepath.Join(base, source)
	}
	return isolation.SourceOf(p.Folder, source)
}
