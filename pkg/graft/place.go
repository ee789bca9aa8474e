package graft

import (
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/isolation"
	"github.com/coltec/coltec/pkg/jsonc"
	"github.com/coltec/coltec/pkg/yamlfile"
)

// Project is a folder with a devcontainer.json.
type Project struct {
	Folder string                            // absolute, on the host
	Top    string                            // what the dev container CLI mounts of it by itself: it, or the repository that it is in
	At     string                            // of its devcontainer.json, below Folder
	Text   []byte                            // of that
	Read   func(file string) ([]byte, error) // reads a file of the host by its absolute path
}

// Place is where the project is in its container. It is read from what the files say, and
// nothing of them is run.
func (p Project) Place() (string, error) {
	c, err := isolation.ReadContainer(p.Text)
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %w", p.At, err)
	}
	if c.Compose {
		return p.composed(c.Folder)
	}
	place := c.PlaceOf(p.Folder, p.Top)
	if place == "" {
		return "", hint.Wrap(fmt.Errorf("%s does not say where the project is in its container", p.At), "say it: --data %s", hint.Word("folder=/workspaces/"+path.Base(p.Folder)))
	}
	if c.FolderMount != nil && !strings.Contains(*c.FolderMount, "localWorkspaceFolder") && !strings.Contains(*c.FolderMount, p.Folder) {
		return "", hint.Wrap(fmt.Errorf(`the container of %s has the project in %q, and not this folder: what is written here would not be there`, p.At, *c.FolderMount),
			`mount the folder: "workspaceMount": "source=${localWorkspaceFolder},target=%s,type=bind"`, place)
	}
	return place, nil
}

// Spec is how a devcontainer.json names the spec in its container: by a variable where the
// project is in the folder that is opened there, so that the folder may be called otherwise on
// another machine.
func (p Project) Spec(place, spec string) string {
	c, err := isolation.ReadContainer(p.Text)
	if err == nil && (c.Folder == "" && !c.Compose || path.Clean(c.Folder) == place) {
		return "${containerWorkspaceFolder}/" + spec
	}
	return path.Join(place, spec)
}

// composed is the place of a project whose container is a service of Compose.
func (p Project) composed(opened string) (string, error) {
	files, service, base, err := p.composeFiles()
	if err != nil {
		return "", err
	}
	place := ""
	for _, file := range files {
		at, err := mounted(file.text, service, base, p.Folder)
		if err != nil {
			return "", fmt.Errorf("cannot read %s: %w", file.name, err)
		}
		if at != "" { // a later file counts over an earlier one
			place = at
		}
	}
	if place == "" {
		return "", hint.Wrap(fmt.Errorf("service %q does not mount this folder, as far as its files say", service),
			"add a volume to it, such as %q; or say where the folder is: --data %s", relativeTo(base, p.Folder)+":/workspaces/"+filepath.Base(p.Folder), hint.Word("folder="+orElse(opened, "/workspaces/"+filepath.Base(p.Folder))))
	}
	return place, nil
}

// composeFile is one of those that a devcontainer.json names.
type composeFile struct {
	name string
	text []byte
}

// composeFiles reads them. service is the one that is the project's container, base what names
// in all of the files count from.
func (p Project) composeFiles() (files []composeFile, service, base string, err error) {
	names, service, err := composeNames(p.Text)
	if err != nil {
		return nil, "", "", fmt.Errorf("cannot read %s: %w", p.At, err)
	}
	dir := filepath.Join(p.Folder, path.Dir(p.At))
	for _, name := range names {
		file := name
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, name)
		}
		text, err := p.Read(file)
		if err != nil {
			return nil, "", "", fmt.Errorf("cannot read %s: %w", name, err)
		}
		files = append(files, composeFile{name, text})
	}
	return files, service, filepath.Dir(filepath.Join(dir, names[0])), nil
}

func orElse(s, other string) string {
	if s == "" || strings.Contains(s, "${") {
		return other
	}
	return s
}

func relativeTo(base, folder string) string {
	rel, err := filepath.Rel(base, folder)
	if err != nil {
		return folder
	}
	return rel
}

// composeNames are the compose files of a devcontainer.json, and the service that is its container.
func composeNames(text []byte) (files []string, service string, err error) {
	b, err := jsonc.Standard(text)
	if err != nil {
		return nil, "", err
	}
	var raw struct {
		Files   json.RawMessage `json:"dockerComposeFile"`
		Service string          `json:"service"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, "", err
	}
	var one string
	if json.Unmarshal(raw.Files, &one) == nil {
		files = []string{one}
	} else if err := json.Unmarshal(raw.Files, &files); err != nil {
		return nil, "", err
	}
	if raw.Service == "" || len(files) == 0 || slices.Contains(files, "") {
		return nil, "", fmt.Errorf("it names no compose file, or no service")
	}
	return files, raw.Service, nil
}

// volume is one of a service, in its long form.
type volume struct{ Type, Source, Target string }

// mounted is where a service has a folder of the host, by the volumes of a compose file; ""
// when it has not. Names in it count from base.
func mounted(text []byte, service, base, folder string) (string, error) {
	var file struct {
		Services map[string]struct{ Volumes []any }
	}
	if err := yaml.Unmarshal(yamlfile.Text(text), &file); err != nil {
		return "", err
	}
	best, place := -1, ""
	for _, v := range file.Services[service].Volumes {
		b := bind(v)
		if b.Type != "bind" || !path.IsAbs(b.Target) {
			continue
		}
		source := b.Source
		if !filepath.IsAbs(source) {
			source = filepath.Join(base, source)
		}
		rel, err := filepath.Rel(source, folder)
		if err != nil || !filepath.IsLocal(rel) || len(source) < best {
			continue
		}
		best, place = len(source), path.Join(b.Target, filepath.ToSlash(rel))
	}
	return place, nil
}

// bind reads a volume; one whose names hold variables is not known.
func bind(v any) volume {
	switch v := v.(type) {
	case string:
		source, rest, ok := strings.Cut(v, ":")
		target, _, _ := strings.Cut(rest, ":")
		if !ok || strings.Contains(source, "$") || strings.Contains(target, "$") || !strings.HasPrefix(source, ".") && !strings.HasPrefix(source, "/") {
			return volume{}
		}
		return volume{"bind", source, target}
	case map[string]any:
		text := func(key string) string {
			s, _ := v[key].(string)
			if strings.Contains(s, "$") {
				return ""
			}
			return s
		}
		if text("source") == "" {
			return volume{}
		}
		return volume{text("type"), text("source"), text("target")}
	}
	return volume{}
}
