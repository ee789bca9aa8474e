package scaffold

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/goccy/go-yaml"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/yamlfile"
)

// errNotDir is what a path below a file gives.
const errNotDir = syscall.ENOTDIR

// Kinds of Action.
const (
	Create   = "create"   // the template has it, the workspace does not
	Replace  = "replace"  // only the template changed it
	Merged   = "merge"    // both changed it, in different places
	Conflict = "conflict" // both changed it: markers in the file, or its new version in FILE.new
	Remove   = "remove"   // the template has it no longer, and nobody changed it
	Keep     = "keep"     // left as it is, though the template changed it: deleted or changed here
)

// Action is what an update does to one file.
type Action struct {
	Kind string `json:"action"`
	Path string `json:"path"`
	Note string `json:"note,omitempty"`
	Old  []byte `json:"-"`
	New  []byte `json:"-"`
}

// Plan is an update before anything is written.
type Plan struct {
	Actions []Action
	Aside   []string // the FILE.new of before that still lie there
	changes []change // of the workspace's files and of the state
}

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.changes) == 0 }

// Conflicts among the actions.
func (p *Plan) Conflicts() (n int) {
	for _, a := range p.Actions {
		if a.Kind == Conflict {
			n++
		}
	}
	return n
}

// Record is answers.yaml: what a workspace was made from.
type Record struct {
	Template string            `yaml:"template"` // as it was named; a path is relative to the workspace or absolute
	Version  string            `yaml:"version"`
	Answers  map[string]string `yaml:"answers"`
}

// NewRecord records what a workspace is made from. Answers that are the default are
// left out: a default may follow another answer, or a better template. Those of questions
// that older workspaces have another answer to are kept.
func NewRecord(ref string, t *Template, answers Answers) Record {
	r := Record{Template: ref, Version: t.Version(), Answers: map[string]string{}}
	for _, q := range t.Questions() {
		v, ok := answers[q.Name]
		if !ok {
			continue
		}
		if q.Default != nil && q.Before == nil {
			def, err := expand(q.Name, *q.Default, answers)
			if err == nil && string(def) == asText(v) {
				continue
			}
		}
		r.Answers[q.Name] = asText(v)
	}
	return r
}

// For are the recorded answers that count for a template: those to questions that it still
// asks, and those of a workspace that was made before it asked them.
func (r *Record) For(t *Template) map[string]string {
	given := map[string]string{}
	for _, q := range t.Questions() {
		if v, ok := r.Answers[q.Name]; ok {
			given[q.Name] = v
		} else if q.Before != nil {
			given[q.Name] = *q.Before
		}
	}
	return given
}

// ErrNoRecord is the error of a folder that no template made.
var ErrNoRecord = errors.New("no " + answersName)

// ReadRecord reads what the workspace in folder was made from.
func ReadRecord(folder string) (*Record, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("cannot open the workspace: %w", err)
	}
	defer root.Close()
	f, ok, err := read(root, answersName)
	if err != nil {
		return nil, fmt.Errorf("cannot read the answers of %s: %w", folder, err)
	}
	if !ok {
		return nil, hint.Wrap(fmt.Errorf("no template made %s: %w", folder, ErrNoRecord), "make a workspace: coltec new DIR")
	}
	r, err := ParseRecord(f.Data)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s/%s: %w", folder, answersName, err)
	}
	return r, nil
}

// ParseRecord reads what somebody wrote about what a workspace was made from: nothing of it
// is checked but its form.
func ParseRecord(b []byte) (*Record, error) {
	var r Record
	if err := yamlfile.UnmarshalWritten(b, &r, "", yaml.Strict()); err != nil {
		return nil, err
	}
	return &r, nil
}

// PlanNew compares a new workspace with what is in folder, which need not exist.
// Files that are there with other content are an error: nothing is overwritten.
func PlanNew(folder string, tree Tree, record Record) (*Plan, error) {
	p := &Plan{}
	root, err := os.OpenRoot(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot make a workspace: %w", err)
	}
	if err == nil {
		defer root.Close()
		if _, ok, err := read(root, answersName); ok || err != nil {
			return nil, hint.Wrap(errors.Join(fmt.Errorf("cannot make a workspace: %s is one", folder), err), "coltec update %s brings it up to date", hint.Word(folder))
		}
	}
	var there []string
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		f := tree[name]
		was := ""
		if root != nil {
			cur, ok, err := read(root, name)
			if err != nil {
				return nil, fmt.Errorf("cannot make a workspace in %s: %w", folder, err)
			}
			if ok && !bytes.Equal(cur.Data, f.Data) {
				there = append(there, name)
			}
			if ok {
				was = sum(cur.Data)
			}
		}
		p.Actions = append(p.Actions, Action{Kind: Create, Path: name, New: f.Data})
		p.changes = append(p.changes, change{step{Path: name, Was: was, Now: sum(f.Data), Mode: f.Mode}, f.Data})
	}
	if there != nil {
		return nil, hint.Wrap(fmt.Errorf("cannot make a workspace in %s: there is already %s", folder, strings.Join(there, ", ")), "move it away, or take another folder")
	}
	return p, p.state(root, tree, record)
}

// PlanUpdate compares, file by file, the workspace in folder, the files as they
// were rendered last time, and tree, as they are rendered now.
func PlanUpdate(folder string, tree Tree, record Record) (*Plan, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("cannot open the workspace: %w", err)
	}
	defer root.Close()
	base, err := readBase(root)
	if err != nil {
		return nil, fmt.Errorf("cannot read what %s was made of: %w", folder, err)
	}
	p := &Plan{}
	names := map[string]bool{}
	for name := range base {
		names[name] = true
	}
	for name := range tree {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		cur, here, err := read(root, name)
		if err != nil {
			return nil, fmt.Errorf("cannot update %s: %w", folder, err)
		}
		then, was := base[name]
		now, is := tree[name]
		if here {
			then.Data, now.Data = savedAs(cur.Data, then.Data), savedAs(cur.Data, now.Data)
		}
		if aside, ok, _ := read(root, name+".new"); ok && is && bytes.Equal(aside.Data, now.Data) {
			p.Aside = append(p.Aside, name+".new")
		}
		p.file(name, cur, here, then, was, now, is, "template "+record.Version)
	}
	return p, p.state(root, tree, record)
}

// savedAs is a text in the form in which an editor, or git on Windows, saved a file: else
// each line of it would be another one.
func savedAs(file, text []byte) []byte {
	if binary(text) {
		return text
	}
	const mark = "\ufeff"
	ends := bytes.Count(file, []byte("\r\n"))
	if ends > 0 && ends == bytes.Count(file, []byte("\n")) && !bytes.Contains(text, []byte("\r")) {
		text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	}
	if bytes.HasPrefix(file, []byte(mark)) && !bytes.HasPrefix(text, []byte(mark)) {
		text = append([]byte(mark), text...)
	}
	return text
}

// file decides about one file.
func (p *Plan) file(name string, cur File, here bool, then File, was bool, now File, is bool, label string) {
	act := func(kind, note string, data []byte, mode fs.FileMode) {
		p.Actions = append(p.Actions, Action{kind, name, note, cur.Data, data})
		if kind == Keep {
			return
		}
		s := step{Path: name, Mode: mode}
		if here {
			s.Was = sum(cur.Data)
		}
		if kind != Remove {
			s.Now = sum(data)
		}
		p.changes = append(p.changes, change{s, data})
	}
	templateChanged := was != is || !bytes.Equal(then.Data, now.Data) || then.Mode != now.Mode
	// A person's own bits stay; the template's change of the exec bit is made.
	mode := now.Mode
	if here && then.Mode == now.Mode {
		mode = cur.Mode
	}
	switch {
	case !templateChanged:
	case !is && !here:
	case !is && bytes.Equal(cur.Data, then.Data):
		act(Remove, "the template has it no longer", nil, 0)
	case !is:
		act(Keep, "the template has it no longer, but it was changed here", nil, 0)
	case !here && was:
		act(Keep, "it was deleted here", nil, 0)
	case !here:
		act(Create, "", now.Data, now.Mode)
	case bytes.Equal(cur.Data, now.Data):
		if mode != cur.Mode {
			act(Replace, "mode", now.Data, mode)
		}
	case was && bytes.Equal(cur.Data, then.Data):
		act(Replace, "", now.Data, mode)
	case was && bytes.Equal(then.Data, now.Data):
		act(Replace, "mode", cur.Data, mode)
	default:
		p.merge(name, cur, then, now, mode, label, act)
	}
}

// merge decides about a file that both changed.
func (p *Plan) merge(name string, cur, then, now File, mode fs.FileMode, label string, act func(kind, note string, data []byte, mode fs.FileMode)) {
	if binary(cur.Data) || binary(now.Data) || binary(then.Data) {
		p.aside(name, now, "not text: the template's version is in "+path.Base(name)+".new")
		return
	}
	merged, n := Merge(then.Data, cur.Data, now.Data, "yours", label)
	switch {
	case n > 0:
		act(Conflict, fmt.Sprintf("%d between <<<<<<< yours and >>>>>>> %s", n, label), merged, mode)
	case parses(name, merged) != nil:
		// Each side may be right, together they are not: a person has to look.
		p.aside(name, now, "the merge would not be valid: the template's version is in "+path.Base(name)+".new")
	default:
		act(Merged, "", merged, mode)
	}
}

// aside puts the template's version beside the file.
func (p *Plan) aside(name string, now File, note string) {
	p.Actions = append(p.Actions, Action{Kind: Conflict, Path: name, Note: note, New: now.Data})
	p.changes = append(p.changes, change{step{Path: name + ".new", Now: sum(now.Data), Mode: now.Mode}, now.Data})
}

func binary(b []byte) bool { return bytes.IndexByte(b[:min(len(b), 8000)], 0) >= 0 }

// state adds what is remembered: the files as rendered, then the record. root is
// nil when there is no folder yet.
func (p *Plan) state(root *os.Root, tree Tree, record Record) error {
	base := Tree{}
	if root != nil {
		var err error
		if base, err = readBase(root); err != nil {
			return err
		}
	}
	remember := func(name, was string, data []byte, mode fs.FileMode) {
		p.changes = append(p.changes, change{step{Path: name, Was: was, Now: sum(data), Mode: mode}, data})
	}
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		f, was := tree[name], ""
		if old, ok := base[name]; ok {
			if bytes.Equal(old.Data, f.Data) && old.Mode == f.Mode {
				continue
			}
			was = sum(old.Data)
		}
		remember(path.Join(baseDir, name), was, f.Data, f.Mode)
	}
	for _, name := range slices.Sorted(maps.Keys(base)) {
		if _, ok := tree[name]; !ok {
			p.changes = append(p.changes, change{step: step{Path: path.Join(baseDir, name), Was: sum(base[name].Data)}})
		}
	}
	b, err := yaml.Marshal(record)
	if err != nil {
		return err
	}
	b = append([]byte("# What coltec made this workspace from; coltec update reads it.\n"), b...)
	was := ""
	if root != nil {
		old, ok, err := read(root, answersName)
		if err != nil {
			return err
		}
		if ok && bytes.Equal(old.Data, b) {
			return nil
		}
		if ok {
			was = sum(old.Data)
		}
	}
	remember(answersName, was, b, 0o644)
	return nil
}

// readBase reads the files as they were rendered last time.
func readBase(root *os.Root) (Tree, error) {
	tree := Tree{}
	err := fs.WalkDir(root.FS(), baseDir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == baseDir {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		f, ok, err := read(root, name)
		if ok {
			// Only the exec bit is the template's; the rest is the umask's.
			f.Mode = 0o644 | f.Mode&0o111
			if f.Mode != 0o644 {
				f.Mode = 0o755
			}
			tree[strings.TrimPrefix(name, baseDir+"/")] = f
		}
		return err
	})
	return tree, err
}

// Write makes what is planned, all of it or nothing, inside folder, which is made
// when it is missing.
func (p *Plan) Write(folder string) error {
	if p.Empty() {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("cannot make the workspace: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("cannot open the workspace: %w", err)
	}
	defer root.Close()
	if err := apply(root, p.changes); err != nil {
		return fmt.Errorf("cannot write into %s: %w", folder, err)
	}
	return nil
}
