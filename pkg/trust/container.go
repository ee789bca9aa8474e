package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/jsonc"
)

// Files reads a file of the workspace by its path below the workspace's folder, with
// slashes. It follows nothing out of the folder and does not block.
type Files func(name string) ([]byte, error)

// inside are the keys of devcontainer.json that act in the container alone, if their values
// are plain. All others act on the host, also those that a later dev container CLI may know,
// and overrideFeatureInstallOrder, whose names the CLI looks up in their registries.
var inside = set("$schema", "name", "remoteUser", "containerUser", "workspaceFolder", "containerEnv", "remoteEnv",
	"forwardPorts", "portsAttributes", "otherPortsAttributes", "customizations", "secrets", "init", "overrideCommand",
	"shutdownAction", "updateRemoteUserUID", "userEnvProbe", "waitFor", "service", "runServices",
	"onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand")

// insideFeature are those of devcontainer-feature.json; not installsAfter, as above.
var insideFeature = set("$schema", "id", "version", "name", "documentationURL", "licenseURL", "description", "keywords", "options",
	"containerEnv", "customizations", "legacyIds", "deprecated", "entrypoint", "init",
	"onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand")

// insideBuild are those of build in devcontainer.json.
var insideBuild = set("target") // args may name what the image is made from

// written are those of all three that the dev container CLI writes as they are into YAML,
// a Dockerfile, a path or a command line of the host, with what is plain there.
var written = map[string]func(raw json.RawMessage) bool{
	"remoteUser": isWord, "containerUser": isWord, "service": isWord, "target": isWord, "entrypoint": isWord, "workspaceFolder": isWord,
	"runServices": areWords, "containerEnv": isEnvironment, "id": isID,
}

// plain reports whether a value is no more than a value where it is written.
func plain(key string, raw json.RawMessage) bool {
	check := written[key]
	return check == nil || check(raw)
}

var (
	word    = regexp.MustCompile(`^(?:[\w.@+/]|\$\{[\w.:@+/-]*\})(?:[\w.@+/:-]|\$\{[\w.:@+/-]*\})*$`)
	envName = regexp.MustCompile(`^[A-Za-z_][\w.-]*$`)
	id      = regexp.MustCompile(`^[\w-]+$`)
)

func isText(raw json.RawMessage, of *regexp.Regexp) bool {
	var s *string
	return json.Unmarshal(raw, &s) == nil && (s == nil || *s == "" || of.MatchString(*s))
}

func isWord(raw json.RawMessage) bool { return isText(raw, word) }
func isID(raw json.RawMessage) bool   { return isText(raw, id) }

func areWords(raw json.RawMessage) bool {
	var list []json.RawMessage
	return json.Unmarshal(raw, &list) == nil && !slices.ContainsFunc(list, func(x json.RawMessage) bool { return !isWord(x) })
}

// isEnvironment allows any text of one line: the CLI escapes what ends a value, and no ends
// of lines.
func isEnvironment(raw json.RawMessage) bool {
	var m map[string]any
	if json.Unmarshal(raw, &m) != nil {
		return false
	}
	for name, v := range m {
		switch v := v.(type) {
		case string:
			if strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
				return false
			}
		case map[string]any, []any:
			return false
		}
		if !envName.MatchString(name) {
			return false
		}
	}
	return true
}

// ours has the Feature that coltec writes anew before each start.
const (
	ours       = ".devcontainer"
	ourFeature = ours + "/coltec"
)

// deepest is how far Features may depend on each other.
const deepest = 10

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

// Container returns what a dev container of a workspace's folder does on its host: the
// text of its devcontainer.json is src, at is its path in the folder. Files that it names
// count with it, also those outside of the workspace. The order is that of the text,
// because it has a meaning in runArgs.
func Container(folder string, src []byte, at string, files Files) ([]Act, error) {
	wrong := func(err error) ([]Act, error) {
		var of *fileError
		if !errors.As(err, &of) {
			err = &fileError{at, err}
		}
		return nil, err
	}
	top, err := object(src)
	if err != nil {
		return wrong(err)
	}
	real, err := resolve(folder)
	if err != nil {
		return wrong(err)
	}
	r := &reader{
		in: files, folder: filepath.Clean(folder), real: real, dir: filepath.Join(folder, path.Dir(at)),
		variables: map[string]bool{}, found: map[string]found{}, noted: map[string]bool{}, looked: map[[2]string]bool{},
	}
	for _, key := range slices.Sorted(maps.Keys(top)) {
		if err := r.key(key, top[key]); err != nil {
			return wrong(err)
		}
		r.mentions(top[key])
	}
	if err := r.lock(at); err != nil {
		return wrong(err)
	}
	r.containerFolder(top["workspaceFolder"])
	for _, name := range slices.Sorted(maps.Keys(r.variables)) {
		r.acts = append(r.acts, Act{"variable of this host", name})
	}
	return r.acts, nil
}

// containerFolder notes workspaceFolder where it is a part of other acts.
func (r *reader) containerFolder(raw json.RawMessage) {
	in := func(a Act) bool { return strings.Contains(a.Text, "${containerWorkspaceFolder") }
	if raw != nil && plain("workspaceFolder", raw) && slices.ContainsFunc(r.acts, in) {
		r.add("workspaceFolder", raw)
	}
}

// key notes what a key of devcontainer.json does.
func (r *reader) key(key string, raw json.RawMessage) error {
	switch key {
	case "features":
		return r.features(raw, 0)
	case "build":
		return r.build(raw)
	case "dockerFile":
		return r.dockerfile(key, raw)
	case "dockerComposeFile":
		return r.compose(key, raw)
	case "hostRequirements":
		r.requirements(raw)
	default:
		if !inside[key] || !plain(key, raw) {
			r.add(key, raw)
		}
	}
	return nil
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
	in           Files
	folder, real string // of the workspace on the host, as it is called and without links
	dir          string // of devcontainer.json, on the host
	acts         []Act
	variables    map[string]bool    // of the host, that are handed in
	found        map[string]found   // files, by their absolute paths
	files, bytes int                // of those that are there
	noted        map[string]bool    // files that are acts
	env          [][]byte           // files that Docker takes variables from
	looked       map[[2]string]bool // compose files, and what their names are relative to; Features
}

// add notes a value: each element of a list by itself, so that a difference names it.
func (r *reader) add(on string, raw json.RawMessage) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 { // null, too: the key is there
		list = []json.RawMessage{raw}
	}
	for _, v := range list {
		r.acts = append(r.acts, Act{on, compact(v)})
	}
}

// compact is a value on one line; a text without its quotes.
func compact(raw json.RawMessage) string {
	var text *string
	if json.Unmarshal(raw, &text) == nil && text != nil {
		return *text
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
		local := strings.HasPrefix(name, "./") || strings.HasPrefix(name, "../")
		if local && depth == 0 && r.label(filepath.Join(r.dir, name)) == ourFeature {
			continue
		}
		r.acts = append(r.acts, Act{"feature", name})
		if !local {
			continue
		}
		err := r.feature(filepath.Join(r.dir, name, "devcontainer-feature.json"), depth)
		if err != nil {
			return err
		}
	}
	return nil
}

// feature notes what a Feature of the workspace asks for. Its install.sh runs in the build
// alone, in a container as the workspace's own.
func (r *reader) feature(file string, depth int) error {
	src, _, err := r.read(file)
	if missing(err) || r.looked[[2]string{file}] {
		return nil
	}
	label := r.label(file)
	var top map[string]json.RawMessage
	if err == nil {
		top, err = object(src)
	}
	if err != nil {
		return &fileError{label, err}
	}
	r.looked[[2]string{file}] = true
	for _, key := range slices.Sorted(maps.Keys(top)) {
		switch {
		case key == "dependsOn":
			if err := r.features(top[key], depth+1); err != nil {
				return err
			}
		case !insideFeature[key] || !plain(key, top[key]):
			r.add(label+": "+key, top[key])
		}
		r.mentions(top[key])
	}
	return nil
}

// lock notes where the lock file beside devcontainer.json differs from the digest that a
// Feature is named by: the CLI believes the lock file. For a name without a digest any entry
// is fine: the CLI of each host writes it, and such a name promises nothing more itself.
func (r *reader) lock(at string) error {
	name := "devcontainer-lock.json"
	if strings.HasPrefix(path.Base(at), ".") {
		name = "." + name
	}
	file := filepath.Join(r.dir, name)
	label := r.label(file)
	dir, err := resolve(r.dir)
	if err != nil {
		return &fileError{label, err}
	}
	src, real, err := r.read(file)
	switch {
	case real != "" && real != filepath.Join(dir, name):
		return &fileError{label, fmt.Errorf("it is a link to %s, and the dev container CLI writes to it", r.label(real))}
	case missing(err):
		return nil
	case err != nil:
		return &fileError{label, err}
	}
	if len(bytes.TrimSpace(src)) == 0 {
		return nil
	}
	var top, features map[string]json.RawMessage // with the case of their keys
	if json.Unmarshal(src, &top) != nil || top["features"] != nil && json.Unmarshal(top["features"], &features) != nil {
		_, _, err := r.content(file, true)
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(features)) {
		var entry map[string]json.RawMessage
		_ = json.Unmarshal(features[name], &entry) // what is not a map has no integrity
		_, digest, ok := strings.Cut(name, "@")
		if pin := entry["integrity"]; ok && pin != nil && compact(pin) != digest {
			r.acts = append(r.acts, Act{label + ": " + name, compact(pin)})
		}
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
		case !insideBuild[key] || !plain(key, o[key]):
			r.add("build."+key, o[key])
		}
	}
	return nil
}

// dockerfile notes a Dockerfile by its content: what an image is made from may say what its
// container does on the host, and only Docker knows which of its lines is which.
func (r *reader) dockerfile(on string, raw json.RawMessage) error {
	r.add(on, raw)
	var name string
	if json.Unmarshal(raw, &name) != nil || name == "" {
		return nil
	}
	file, err := r.named(name)
	if err == nil {
		_, _, err = r.content(file, true)
	}
	return err
}
