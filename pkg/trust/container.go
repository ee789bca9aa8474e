package trust

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/jsonc"
	"github.com/coltec/coltec/pkg/yamlfile"
)

// Files reads a file of the workspace by its path below the workspace's folder, with
// slashes. It follows nothing out of the folder and does not block.
type Files func(name string) ([]byte, error)

// inside are the keys of devcontainer.json that act in the container alone. All
// others act on the host, also those that a later dev container CLI may know.
var inside = set("$schema", "name", "remoteUser", "containerUser", "workspaceFolder", "containerEnv", "remoteEnv",
	"forwardPorts", "portsAttributes", "otherPortsAttributes", "customizations", "secrets", "init", "overrideCommand",
	"shutdownAction", "updateRemoteUserUID", "userEnvProbe", "waitFor", "service", "runServices", "overrideFeatureInstallOrder",
	"onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand")

// insideFeature are those of devcontainer-feature.json.
var insideFeature = set("$schema", "id", "version", "name", "documentationURL", "licenseURL", "description", "keywords", "options",
	"containerEnv", "customizations", "installsAfter", "legacyIds", "deprecated", "entrypoint", "init",
	"onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand")

// insideBuild are those of build in devcontainer.json.
var insideBuild = set("target") // args may name what the image is made from

// OurFeature is the Feature that coltec writes anew before each start, beside the
// devcontainer.json in ours.
const (
	OurFeature = "./coltec"
	ours       = ".devcontainer"
)

const (
	// filesMost bounds the files that one configuration may draw in.
	filesMost = 50
	// deepest is how far Features may depend on each other.
	deepest = 10
)

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

// Container returns what a dev container of a workspace's folder does on its host: the
// text of its devcontainer.json is src, at is its path in the folder. Files of the workspace that it names count
// with it. The order is that of the text, because it has a meaning in runArgs.
func Container(folder string, src []byte, at string, files Files) ([]Act, error) {
	top, err := object(src)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", at, err)
	}
	r := &reader{files: files, folder: folder, dir: path.Dir(at), left: filesMost, variables: map[string]bool{}, seen: map[string]bool{}}
	for _, key := range slices.Sorted(maps.Keys(top)) {
		raw := top[key]
		switch key {
		case "features":
			err = r.features(raw, 0)
		case "build":
			err = r.build(raw)
		case "dockerFile":
			err = r.dockerfile(key, raw)
		case "dockerComposeFile":
			err = r.compose(key, raw)
		case "hostRequirements":
			r.requirements(raw)
		default:
			if !inside[key] {
				r.add(key, raw)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", at, err)
		}
		r.mentions(raw)
	}
	for _, name := range slices.Sorted(maps.Keys(r.variables)) {
		r.acts = append(r.acts, Act{"variable of this host", name})
	}
	return r.acts, nil
}

// object reads JSON with comments. Of a key that is there twice the last counts, as
// for the dev container CLI.
func object(src []byte) (map[string]json.RawMessage, error) {
	b, err := jsonc.Standard(src)
	if err != nil {
		return nil, err
	}
	var top map[string]json.RawMessage
	return top, json.Unmarshal(b, &top)
}

// reader collects acts.
type reader struct {
	files     Files
	folder    string // of the workspace, on the host
	dir       string // that paths are relative to
	left      int    // files that may still be read
	acts      []Act
	variables map[string]bool // of the host, that are handed in
	seen      map[string]bool // files that are noted by their content
}

// add notes a value: each element of a list by itself, so that a difference names it.
func (r *reader) add(on string, raw json.RawMessage) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	}
	for _, v := range list {
		r.acts = append(r.acts, Act{on, compact(v)})
	}
}

// compact is a value on one line; a text without its quotes.
func compact(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}

// hostVariable is how devcontainer.json hands in a variable of the host.
var hostVariable = regexp.MustCompile(`\$\{(?:localEnv|env):([^}:]*)`)

// mentions notes the host's variables in all texts of a value.
func (r *reader) mentions(raw json.RawMessage) {
	var v any
	if json.Unmarshal(raw, &v) == nil {
		r.texts(v)
	}
}

func (r *reader) texts(v any) {
	switch v := v.(type) {
	case string:
		for _, m := range hostVariable.FindAllStringSubmatch(v, -1) {
			r.variables[m[1]] = true
		}
	case []any:
		for _, x := range v {
			r.texts(x)
		}
	case map[string]any:
		for k, x := range v {
			r.texts(k)
			r.texts(x)
		}
	}
}

// requirements are met by the host without a word, but for its graphics cards.
func (r *reader) requirements(raw json.RawMessage) {
	var o map[string]json.RawMessage
	if json.Unmarshal(raw, &o) == nil && o["gpu"] != nil {
		r.add("hostRequirements.gpu", o["gpu"])
	}
}

// features notes each Feature by its name, and what those in the workspace ask for.
func (r *reader) features(raw json.RawMessage, depth int) error {
	var list map[string]json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("features: %w", err)
	}
	if depth > deepest {
		return fmt.Errorf("the depth of Features that depend on each other is more than %d", deepest)
	}
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if name == OurFeature && r.dir == ours {
			continue
		}
		r.acts = append(r.acts, Act{"feature", name})
		if !strings.HasPrefix(name, "./") && !strings.HasPrefix(name, "../") {
			continue
		}
		file := path.Join(r.dir, name, "devcontainer-feature.json")
		b, ok, err := r.read(file)
		if err == nil && ok {
			err = r.feature(file, b, depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) feature(file string, src []byte, depth int) error {
	top, err := object(src)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, key := range slices.Sorted(maps.Keys(top)) {
		switch {
		case key == "dependsOn":
			if err := r.features(top[key], depth+1); err != nil {
				return err
			}
		case !insideFeature[key]:
			r.add(file+": "+key, top[key])
		}
		r.mentions(top[key])
	}
	return nil
}

func (r *reader) build(raw json.RawMessage) error {
	var o map[string]json.RawMessage
	if err := json.Unmarshal(raw, &o); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	for _, key := range slices.Sorted(maps.Keys(o)) {
		switch {
		case key == "dockerfile":
			if err := r.dockerfile("build.dockerfile", o[key]); err != nil {
				return err
			}
		case !insideBuild[key]:
			r.add("build."+key, o[key])
		}
	}
	return nil
}

// dockerfile notes a Dockerfile by its content: what an image is made from may say what its
// container does on the host, and only Docker knows which of its lines is which.
func (r *reader) dockerfile(on string, raw json.RawMessage) error {
	var name string
	if json.Unmarshal(raw, &name) != nil {
		r.add(on, raw)
		return nil
	}
	r.acts = append(r.acts, Act{on, name})
	file, err := r.inFolder(name)
	if err != nil || file == "" {
		return err
	}
	return r.content(file)
}

// compose notes compose files by their content: each of their lines may reach the host.
func (r *reader) compose(on string, raw json.RawMessage) error {
	r.add(on, raw)
	var names []string
	var one string
	if json.Unmarshal(raw, &one) == nil {
		names = []string{one}
	} else if json.Unmarshal(raw, &names) != nil {
		return nil
	}
	if len(names) == 0 {
		return fmt.Errorf("%s names no file: what Docker looks for then is not known", on)
	}
	for i, name := range names {
		file, err := r.inFolder(name)
		if err != nil {
			return err
		}
		if file == "" {
			continue
		}
		if i == 0 { // compose takes variables from the project's .env
			if err := r.content(path.Join(path.Dir(file), ".env")); err != nil {
				return err
			}
		}
		if err := r.composeFile(file); err != nil {
			return err
		}
	}
	return r.content(".env")
}

func (r *reader) composeFile(file string) error {
	if r.seen[file] {
		return nil
	}
	if err := r.content(file); err != nil {
		return err
	}
	b, ok, err := r.read(file)
	if err != nil || !ok {
		return err
	}
	var tree any
	if err := yamlfile.Unmarshal(b, &tree); err != nil {
		return fmt.Errorf("%s: %w", file, err) // it may draw in files that were not looked at
	}
	d := drawn{dir: path.Dir(file)}
	if !d.in(tree, "") {
		return fmt.Errorf("%s: it is larger than any such file by what it repeats", file)
	}
	for _, name := range d.plain {
		if fs.ValidPath(name) {
			if err := r.content(name); err != nil {
				return err
			}
		}
	}
	for _, name := range d.compose {
		if fs.ValidPath(name) {
			if err := r.composeFile(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// drawn are the files that a compose file draws in, by their paths in the workspace: those
// that it includes or extends, and plain ones, that variables come from or images are
// built by. A path with a variable, or one that leads elsewhere, is in the compose file's
// own text.
type drawn struct {
	dir            string // of the compose file
	compose, plain []string
	seen           int // values: aliases make many of few bytes
}

// valuesMost is far above what a compose file has.
const valuesMost = 100_000

// in collects those of a value below a key. It gives up, and returns false, where there is
// no end of values.
func (d *drawn) in(v any, key string) bool {
	if d.seen++; d.seen > valuesMost {
		return false
	}
	switch v := v.(type) {
	case string:
		d.name(key, v)
	case []any:
		for _, x := range v {
			if !d.in(x, key) {
				return false
			}
		}
	case map[string]any:
		if key == "build" {
			d.build(v)
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			below := k
			if key == "env_file" || (key == "include" || key == "extends") && (k == "file" || k == "path") {
				below = key
			}
			if !d.in(v[k], below) {
				return false
			}
		}
	}
	return true
}

func (d *drawn) name(key, name string) {
	switch key {
	case "include", "extends":
		d.compose = append(d.compose, path.Join(d.dir, name))
	case "env_file":
		d.plain = append(d.plain, path.Join(d.dir, name))
	case "build":
		d.plain = append(d.plain, path.Join(d.dir, name, "Dockerfile"))
	}
}

func (d *drawn) build(v map[string]any) {
	context, _ := v["context"].(string)
	file, ok := v["dockerfile"].(string)
	if !ok {
		file = "Dockerfile"
	}
	d.plain = append(d.plain, path.Join(d.dir, context, file))
}

// content notes a file by its hash, if it is there.
func (r *reader) content(file string) error {
	if r.seen[file] {
		return nil
	}
	r.seen[file] = true
	b, ok, err := r.read(file)
	if err != nil || !ok {
		return err
	}
	r.acts = append(r.acts, Act{file, fmt.Sprintf("as it is now (sha256 %x)", sha256.Sum256(b))})
	return nil
}

// inFolder is the path in the workspace of a file that devcontainer.json names; "" of one
// that leads out of it, which is none of the workspace's.
func (r *reader) inFolder(name string) (string, error) {
	file := path.Join(r.dir, name)
	for _, folder := range []string{"${localWorkspaceFolder}", r.folder} {
		if below, ok := strings.CutPrefix(name, folder+"/"); ok {
			file, name = path.Clean(below), below
		}
	}
	if strings.Contains(name, "$") {
		return "", fmt.Errorf("the file %q has a variable in its name: it cannot be looked at", name)
	}
	if name == "" || path.IsAbs(name) || !fs.ValidPath(file) {
		return "", nil
	}
	return file, nil
}

// read reads a file that may be missing.
func (r *reader) read(file string) ([]byte, bool, error) {
	if r.left--; r.left < 0 {
		return nil, false, fmt.Errorf("it draws in more than %d files", filesMost)
	}
	b, err := r.files(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return b, err == nil, err
}
