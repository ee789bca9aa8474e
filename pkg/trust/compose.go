package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/coltec/coltec/pkg/yamlfile"
)

// compose notes compose files by their content: each of their lines may reach the host.
func (r *reader) compose(on string, raw json.RawMessage) error {
	var names []string
	var one string
	if json.Unmarshal(raw, &one) == nil && one != "" {
		names = []string{one}
	} else if json.Unmarshal(raw, &names) != nil || len(names) == 0 || slices.Contains(names, "") {
		return fmt.Errorf("%s is neither the name of a file nor a list of names: what Docker takes then is not known", on)
	}
	r.add(on, raw)
	project := ""
	for i, name := range names {
		file, err := r.named(name)
		if err != nil {
			return err
		}
		if i == 0 { // where its variables come from, and where the names in all of the files count from
			project = filepath.Dir(file)
			if err := r.variablesOf(filepath.Join(project, ".env"), filepath.Join(r.folder, ".env")); err != nil {
				return err
			}
		}
		if err := r.composeFile(file, project, true); err != nil {
			return err
		}
	}
	return nil
}

// variablesOf notes files that Docker takes variables from, where they are there.
func (r *reader) variablesOf(files ...string) error {
	for _, file := range files {
		if file == os.DevNull { // how a compose file says that there is none
			continue
		}
		text, _, err := r.content(file, false)
		if err != nil {
			return err
		}
		r.env = append(r.env, text)
	}
	return nil
}

// composeFile notes a compose file, and what it draws in. The names in it are relative to
// dir.
func (r *reader) composeFile(file, dir string, named bool) error {
	text, ok, err := r.content(file, named)
	if err != nil || !ok || r.looked[[2]string{file, dir}] {
		return err
	}
	r.looked[[2]string{file, dir}] = true
	root, err := yamlfile.Parse(text)
	if err == nil && root != nil {
		d := drawn{reader: r, dir: dir, anchors: map[string][]ast.Node{}}
		ast.Walk(&d, root)
		err = d.file(root)
	}
	var of *fileError
	if err != nil && !errors.As(err, &of) { // it may draw in files that were not looked at
		return &fileError{r.label(file), err}
	}
	return err
}

// drawn finds the files that a compose file draws in: those that it includes or extends,
// those that variables and labels come from, and those that images are built by.
type drawn struct {
	*reader
	dir     string
	anchors map[string][]ast.Node
	steps   int // aliases make many values of few bytes
}

// stepsMost is far above what a compose file takes.
const stepsMost = 100_000

var errRepeats = errors.New("it is larger than any such file by what it repeats")

// Visit collects the anchors.
func (d *drawn) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok {
		name := a.Name.GetToken().Value
		d.anchors[name] = append(d.anchors[name], a.Value)
	}
	return d
}

// kinds are the tags that leave a value what it looks like.
var kinds = set("!reset", "!override", "!!str", "!!int", "!!bool", "!!float", "!!null", "!!map", "!!seq", "!!merge")

// values are what a node stands for. An anchor that is there twice counts as both.
func (d *drawn) values(n ast.Node) ([]ast.Node, error) {
	if d.steps++; d.steps > stepsMost {
		return nil, errRepeats
	}
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return nil, nil
	case *ast.AnchorNode:
		return d.values(n.Value)
	case *ast.MappingKeyNode:
		return d.values(n.Value)
	case *ast.TagNode:
		if !kinds[n.Start.Value] {
			return nil, fmt.Errorf("it has a tag %q: what that makes of a value is not known", n.Start.Value)
		}
		if s, ok := n.Value.(*ast.StringNode); ok && s.Value == "null" {
			return nil, nil
		}
		return d.values(n.Value)
	case *ast.AliasNode:
		var all []ast.Node
		for _, anchor := range d.anchors[n.Value.GetToken().Value] {
			values, err := d.values(anchor)
			if err != nil {
				return nil, err
			}
			all = append(all, values...)
		}
		return all, nil
	}
	return []ast.Node{n}, nil
}

// fields calls each for the fields of a map. Of what is merged into it all counts: programs
// differ in what wins.
func (d *drawn) fields(n ast.Node, each func(key string, value ast.Node) error) error {
	values, err := d.values(n)
	if err != nil {
		return err
	}
	for _, v := range values {
		var pairs []*ast.MappingValueNode
		switch v := v.(type) {
		case *ast.MappingNode:
			pairs = v.Values
		case *ast.MappingValueNode:
			pairs = []*ast.MappingValueNode{v}
		}
		for _, pair := range pairs {
			if err := d.field(pair, each); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *drawn) field(pair *ast.MappingValueNode, each func(key string, value ast.Node) error) error {
	if pair.Key.IsMergeKey() {
		return d.items(pair.Value, func(n ast.Node) error { return d.fields(n, each) })
	}
	keys, err := d.values(pair.Key)
	if err != nil {
		return err
	}
	for _, key := range keys {
		name, _ := text(key)
		if name == "<<" {
			err = d.items(pair.Value, func(n ast.Node) error { return d.fields(n, each) })
		} else {
			err = each(name, pair.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// items calls each for the elements of a list, or for the node if it is not a list.
func (d *drawn) items(n ast.Node, each func(n ast.Node) error) error {
	values, err := d.values(n)
	if err != nil {
		return err
	}
	for _, v := range values {
		list := []ast.Node{v}
		if s, ok := v.(*ast.SequenceNode); ok {
			list = s.Values
		}
		for _, item := range list {
			if err := each(item); err != nil {
				return err
			}
		}
	}
	return nil
}

func text(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

func isMap(n ast.Node) bool {
	t := n.Type()
	return t == ast.MappingType || t == ast.MappingValueType
}

// texts are the names in a text or a list of texts.
func (d *drawn) texts(on string, n ast.Node) (names []string, err error) {
	err = d.items(n, func(item ast.Node) error {
		values, err := d.values(item)
		for _, v := range values {
			name, ok := text(v)
			if !ok {
				return fmt.Errorf("its %s is not plain text", on)
			}
			names = append(names, name)
		}
		return err
	})
	return names, err
}

// paths are the absolute paths of those: two of one below ~, which Docker takes for the
// home of the user in some places.
func (d *drawn) paths(on string, n ast.Node) (files []string, err error) {
	names, err := d.texts(on, n)
	for _, name := range names {
		file, err := d.name(d.dir, name)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
		if below, ok := strings.CutPrefix(name, "~"); ok {
			home, err := os.UserHomeDir()
			if err == nil {
				file, err = d.name(home, "."+below)
			}
			if err != nil {
				return nil, err
			}
			files = append(files, file)
		}
	}
	return files, err
}

// composeVariable is what Docker fills in: a name, and what it is by default.
var composeVariable = regexp.MustCompile(`\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?)-([^{}$]*))?\})`)

// name is the absolute path of a name in a compose file. A variable counts where it cannot
// come from a file: what those say, only Docker knows.
func (d *drawn) name(dir, name string) (string, error) {
	full := composeVariable.ReplaceAllStringFunc(name, func(written string) string {
		m := composeVariable.FindStringSubmatch(written)
		variable := m[1] + m[2]
		value, ok := os.LookupEnv(variable)
		if !ok && slices.ContainsFunc(d.env, func(text []byte) bool { return bytes.Contains(text, []byte(variable)) }) {
			return written
		}
		d.variables[variable] = true
		if !ok || value == "" && m[3] == ":" {
			value = m[4]
		}
		return value
	})
	if full != name && strings.HasPrefix(full, "~") {
		full = name // refused
	}
	return d.path(dir, full, name)
}

// file notes what a compose file draws in.
func (d *drawn) file(root ast.Node) error {
	return d.fields(root, func(key string, value ast.Node) error {
		switch key {
		case "include":
			return d.items(value, d.include)
		case "services":
			return d.fields(value, func(_ string, service ast.Node) error { return d.fields(service, d.service) })
		}
		return nil
	})
}

// include is a name, or a map with names. What is included has a folder of its own that
// its names are relative to, and a .env there.
func (d *drawn) include(entry ast.Node) error {
	values, err := d.values(entry)
	if err != nil {
		return err
	}
	for _, v := range values {
		in := included{drawn: d}
		if isMap(v) {
			err = d.fields(v, in.field)
		} else {
			in.files, err = d.paths("include", v)
		}
		if err == nil {
			err = in.note()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// included is one entry of include.
type included struct {
	*drawn
	files, from, dirs []string
}

func (in *included) field(key string, value ast.Node) (err error) {
	var more []string
	switch key {
	case "path":
		more, err = in.paths("include", value)
		in.files = append(in.files, more...)
	case "env_file":
		more, err = in.paths("env_file", value)
		in.from = append(in.from, more...)
	case "project_directory":
		more, err = in.paths("project_directory", value)
		in.dirs = append(in.dirs, more...)
	default:
		err = fmt.Errorf("its include has the key %q: what Docker reads then is not known", key)
	}
	return err
}

func (in *included) note() error {
	if len(in.dirs) == 0 && len(in.files) > 0 {
		in.dirs = []string{filepath.Dir(in.files[0])}
	}
	if err := in.variablesOf(in.from...); err != nil {
		return err
	}
	for _, dir := range in.dirs {
		if err := in.variablesOf(filepath.Join(dir, ".env")); err != nil {
			return err
		}
		for _, file := range in.files {
			if err := in.composeFile(file, dir, !in.remote(file)); err != nil {
				return err
			}
		}
	}
	return nil
}

// remote reports whether Docker takes a name for a repository or an image: its text says
// what is used. A file of that name counts all the same.
func (d *drawn) remote(file string) bool {
	name, _ := filepath.Rel(d.dir, file)
	for _, scheme := range []string{"https:/", "http:/", "git:/", "ssh:/", "oci:/", "git@"} {
		if strings.HasPrefix(name, scheme) {
			return true
		}
	}
	return false
}

// service notes what a key of a service draws in.
func (d *drawn) service(key string, value ast.Node) error {
	switch key {
	case "extends": // a text is another service of this file
		return d.fields(value, d.extends)
	case "env_file", "label_file":
		return d.items(value, func(item ast.Node) error { return d.plain(key, item) })
	case "build":
		return d.items(value, d.build)
	}
	return nil
}

func (d *drawn) extends(key string, value ast.Node) error {
	if key != "file" {
		return nil
	}
	files, err := d.paths("extends", value)
	for _, file := range files {
		if err := d.composeFile(file, filepath.Dir(file), !d.remote(file)); err != nil {
			return err
		}
	}
	return err
}

// plain notes files that are no compose files: a text, or a map with a path.
func (d *drawn) plain(on string, item ast.Node) error {
	values, err := d.values(item)
	if err != nil {
		return err
	}
	for _, v := range values {
		if isMap(v) {
			err = d.fields(v, func(key string, value ast.Node) error {
				if key != "path" {
					return nil
				}
				return d.plain(on, value)
			})
			if err != nil {
				return err
			}
			continue
		}
		files, err := d.paths(on, v)
		if err != nil {
			return err
		}
		for _, file := range files {
			if _, _, err := d.content(file, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// build notes the Dockerfile of a build: a text is its context.
func (d *drawn) build(item ast.Node) error {
	contexts, recipes, inline := []string{}, []string{}, false
	var err error
	if isMap(item) {
		err = d.fields(item, func(key string, value ast.Node) (err error) {
			var more []string
			switch key {
			case "context":
				more, err = d.paths("build context", value)
				contexts = append(contexts, more...)
			case "dockerfile":
				more, err = d.texts("dockerfile", value)
				recipes = append(recipes, more...)
			case "dockerfile_inline":
				inline = true
			}
			return err
		})
	} else {
		contexts, err = d.paths("build", item)
	}
	if err != nil {
		return err
	}
	if len(contexts) == 0 {
		contexts = []string{d.dir}
	}
	if len(recipes) == 0 {
		recipes = []string{"Dockerfile"}
	}
	for _, context := range contexts {
		for _, name := range recipes {
			file, err := d.name(context, name)
			if err != nil {
				return err
			}
			if _, _, err := d.content(file, !inline && !d.remote(context)); err != nil {
				return err
			}
		}
	}
	return nil
}
