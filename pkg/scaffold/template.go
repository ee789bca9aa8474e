// Package scaffold makes workspaces from templates, and brings them up to date
// when the template or an answer changes: Render is pure, Plan compares, Write
// puts the result under an os.Root, all of it or nothing.
package scaffold

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/yamlfile"
)

// Question is one thing that a template wants to know. Secrets are never asked.
type Question struct {
	Name    string   `yaml:"name" json:"name"`
	Type    string   `yaml:"type" json:"type"` // slug, text, bool, choice, list
	Help    string   `yaml:"help" json:"help,omitempty"`
	Default *string  `yaml:"default" json:"default,omitempty"` // a template over the answers before it
	Choices []string `yaml:"choices" json:"choices,omitempty"`
	Pattern string   `yaml:"pattern" json:"pattern,omitempty"` // the whole answer fits this regular expression
	Example string   `yaml:"example" json:"example,omitempty"`
	// Before is the answer of a workspace that was made before the template had the question.
	// One that has it is asked of nobody: its default is that of a new workspace.
	Before *string `yaml:"before" json:"before,omitempty"`
}

// FileRule is what is special about one file.
type FileRule struct {
	Path       string `yaml:"path"`
	Executable bool   `yaml:"executable"`
	Merge      bool   `yaml:"merge"` // by keys into the file of the template below
	When       string `yaml:"when"`  // made only when this renders as "true"
}

// manifest is template.yaml.
type manifest struct {
	Name        string     `yaml:"name"`
	Version     string     `yaml:"version"`
	Description string     `yaml:"description"`
	Extends     string     `yaml:"extends"`
	Questions   []Question `yaml:"questions"`
	Files       []FileRule `yaml:"files"`
}

// layer is one template's own part.
type layer struct {
	manifest
	files map[string][]byte // by name below files/
}

// Template is a template with all that it extends, the lowest first.
type Template struct {
	layers []layer
}

// Name of the topmost template.
func (t *Template) Name() string { return t.top().Name }

// Version of the topmost template.
func (t *Template) Version() string { return t.top().Version }

// Description of the topmost template.
func (t *Template) Description() string { return t.top().Description }

func (t *Template) top() layer { return t.layers[len(t.layers)-1] }

// Questions of all layers, in order; an upper one replaces its namesake in place.
func (t *Template) Questions() []Question {
	var list []Question
	for _, l := range t.layers {
		for _, q := range l.Questions {
			if i := slices.IndexFunc(list, func(o Question) bool { return o.Name == q.Name }); i >= 0 {
				list[i] = q
			} else {
				list = append(list, q)
			}
		}
	}
	return list
}

// Store finds templates: those that coltec carries by name, others by path.
type Store []fs.FS

// Names of the templates that the store carries.
func (s Store) Names() []string {
	var names []string
	for _, f := range s {
		list, _ := fs.ReadDir(f, ".")
		for _, d := range list {
			if d.IsDir() {
				names = append(names, d.Name())
			}
		}
	}
	slices.Sort(names)
	return names
}

// Open reads the template that ref names, and what it extends: a name of the
// store, the path of a directory (with a separator in it) relative to dir, or a
// git repository (see IsURL).
func (s Store) Open(ref, dir string) (*Template, error) {
	o := opener{store: s, dir: dir, seen: map[string]bool{}}
	defer o.close()
	t := &Template{}
	for ref != "" {
		l, err := o.layer(ref)
		if err != nil {
			return nil, fmt.Errorf("cannot read template %q: %w", ref, err)
		}
		t.layers = append([]layer{*l}, t.layers...)
		ref = l.Extends
	}
	return t, nil
}

// opener walks from a template down to what it extends.
type opener struct {
	store  Store
	dir    string          // what the next relative path starts from, "" below a carried template
	clone  string          // the repository that dir is in, "" outside
	seen   map[string]bool // templates read
	clones []string        // to be removed
}

func (o *opener) close() {
	for _, dir := range o.clones {
		os.RemoveAll(dir)
	}
}

// isPath reports whether ref is a path, not a name.
func isPath(ref string) bool { return strings.ContainsAny(ref, `/\`) || ref == "." || ref == ".." }

// layer reads one template.
func (o *opener) layer(ref string) (*layer, error) {
	switch {
	case IsURL(ref):
		if err := o.once(ref); err != nil {
			return nil, err
		}
		dir, folder, err := clone(ref)
		if err != nil {
			return nil, err
		}
		o.clones = append(o.clones, dir)
		o.clone, o.dir = dir, filepath.Join(dir, folder)
		return o.cloned(folder)
	case isPath(ref) && o.clone != "":
		// What came from elsewhere does not reach into this machine's folders.
		rel, err := filepath.Rel(o.clone, filepath.Join(o.dir, ref))
		if err != nil || filepath.IsAbs(ref) || !filepath.IsLocal(rel) {
			return nil, errors.New("it leaves the repository")
		}
		o.dir = filepath.Join(o.clone, rel)
		if err := o.once(o.dir); err != nil {
			return nil, err
		}
		return o.cloned(rel)
	case isPath(ref):
		if !filepath.IsAbs(ref) {
			ref = filepath.Join(o.dir, ref)
		}
		o.dir = ref
		if err := o.once(ref); err != nil {
			return nil, err
		}
		return o.folder(ref)
	}
	return o.carried(ref)
}

// once refuses a template that extends itself.
func (o *opener) once(ref string) error {
	if o.seen[ref] {
		return errors.New("it extends itself")
	}
	o.seen[ref] = true
	return nil
}

// cloned reads the template in a folder of the clone, links out refused.
func (o *opener) cloned(folder string) (*layer, error) {
	root, err := os.OpenRoot(o.clone)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	sub, err := root.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer sub.Close()
	return readLayer(sub.FS())
}

func (o *opener) folder(dir string) (*layer, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, hint.Wrap(err, "a template is a name (%s), the path of a directory with template.yaml, or a git URL", strings.Join(o.store.Names(), ", "))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return readLayer(root.FS())
}

func (o *opener) carried(name string) (*layer, error) {
	if err := o.once(name); err != nil {
		return nil, err
	}
	for _, f := range o.store {
		if _, err := fs.Stat(f, name+"/template.yaml"); err == nil {
			sub, err := fs.Sub(f, name)
			if err != nil {
				return nil, err
			}
			return readLayer(sub)
		}
	}
	return nil, hint.Wrap(errors.New("there is none of that name"), "there are: %s; the path of your own has a slash in it (./%s)", strings.Join(o.store.Names(), ", "), name)
}

// maxFile bounds a template's file: it is text for people, read whole.
const maxFile = 16 << 20

func readLayer(f fs.FS) (*layer, error) {
	b, err := fs.ReadFile(f, "template.yaml")
	if err != nil {
		return nil, err
	}
	l := &layer{files: map[string][]byte{}}
	if err := yamlfile.UnmarshalWritten(b, &l.manifest, "", yaml.Strict()); err != nil {
		return nil, fmt.Errorf("template.yaml: %w", err)
	}
	if l.Name == "" || l.Version == "" {
		return nil, errors.New("template.yaml: name and version are required")
	}
	for _, q := range l.Questions {
		if err := q.valid(); err != nil {
			return nil, fmt.Errorf("template.yaml: question %q: %w", q.Name, err)
		}
	}
	for _, r := range l.Files {
		if err := safe(r.Path); err != nil {
			return nil, fmt.Errorf("template.yaml: %w", err)
		}
	}
	err = fs.WalkDir(f, "files", func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == "files" {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is a link or no regular file: a template has files only", name)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Size() > maxFile {
			return fmt.Errorf("%s has more than %d MiB", name, maxFile>>20)
		}
		l.files[strings.TrimPrefix(name, "files/")], err = fs.ReadFile(f, name)
		return err
	})
	return l, err
}

// safe refuses a name outside of the workspace, or of a file that is no template's business.
func safe(name string) error {
	switch {
	case name == "" || path.IsAbs(name) || strings.Contains(name, `\`) || strings.Contains(name, ":") || strings.ContainsRune(name, 0):
		return fmt.Errorf("path %q is not relative and plain", name)
	case path.Clean(name) != name || !fs.ValidPath(name):
		return fmt.Errorf("path %q leaves the workspace", name)
	}
	for part := range strings.SplitSeq(strings.ToLower(name), "/") {
		if part == ".git" || part == ".coltec" {
			return fmt.Errorf("path %q is not a template's to write", name)
		}
	}
	return nil
}

var slug = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,19}$`)

func (q Question) valid() error {
	if !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(q.Name) {
		return errors.New("a name has small letters, digits and _")
	}
	if _, err := regexp.Compile(q.Pattern); err != nil {
		return err
	}
	if !slices.Contains([]string{"slug", "text", "bool", "choice", "list"}, q.Type) {
		return fmt.Errorf("type %q is none of slug, text, bool, choice, list", q.Type)
	}
	if q.Before != nil && q.Default == nil {
		return errors.New("it has an answer for workspaces of before, and none for new ones: give it a default")
	}
	return nil
}

// Check returns the value of an answer, or the rule that it breaks as an error.
func (q Question) Check(answer string) (any, error) {
	refuse := func(rule string) error {
		err := fmt.Errorf("cannot take %s=%q: %s", q.Name, answer, rule)
		if q.Example != "" {
			err = hint.Wrap(err, "for example: --data %s", hint.Word(q.Name+"="+q.Example))
		}
		return err
	}
	switch q.Type {
	case "slug":
		if !slug.MatchString(answer) {
			return nil, refuse("it must be 1 to 20 small letters, digits and -, not - first")
		}
	case "bool":
		switch strings.ToLower(answer) {
		case "true", "yes", "on", "1", "y":
			return true, nil
		case "false", "no", "off", "0", "n":
			return false, nil
		}
		return nil, refuse("it must be true or false")
	case "choice":
		if !slices.Contains(q.Choices, answer) {
			return nil, refuse("it must be one of " + strings.Join(q.Choices, ", ") + q.meant(answer))
		}
	case "list":
		words := strings.FieldsFunc(answer, func(r rune) bool { return r == ',' || r == ' ' })
		for i, word := range words {
			if !slices.Contains(q.Choices, word) {
				return nil, refuse(fmt.Sprintf("%q is none of %s%s", word, strings.Join(q.Choices, ", "), q.meant(word)))
			}
			if slices.Contains(words[:i], word) {
				return nil, refuse(word + " is in it twice")
			}
		}
		return words, nil
	}
	if strings.ContainsAny(answer, "\x00\n\r") {
		return nil, refuse("it must be one line")
	}
	if q.Pattern != "" && !regexp.MustCompile(`^(?:`+q.Pattern+`)$`).MatchString(answer) {
		return nil, refuse("it must fit " + q.Pattern)
	}
	return answer, nil
}

// meant asks whether one of the choices was meant; "" where none is near.
func (q Question) meant(word string) string {
	if near := spec.Nearest(word, q.Choices); near != "" {
		return fmt.Sprintf(" (did you mean %s?)", near)
	}
	return ""
}
