package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/graft"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/isolation"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/wholefile"
)

const answersName = ".devcontainer/.coltec/answers.yaml"

func cmdCheck(p *program) *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "check that workspaces are valid and apart from each other",
		ArgsUsage: "DIR…",
		Flags:     []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}},
		Action:    func(c *cli.Context) error { return p.check(c) },
	}
}

func (p *program) check(c *cli.Context) error {
	dirs := c.Args().Slice()
	if len(dirs) == 0 {
		dirs = []string{"."}
	}
	found := []isolation.Finding{}
	var list []isolation.Workspace
	seen := map[string]bool{}
	for _, dir := range dirs {
		dir, err := p.checked(c, dir)
		if err != nil {
			return err
		}
		path, err := filepath.Abs(dir)
		if err != nil {
			return err
		}
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		if seen[path] {
			continue // named twice
		}
		seen[path] = true
		w, err := lookAt(dir)
		if err != nil {
			found = append(found, invalid(dir, err)...)
			continue
		}
		list = append(list, *w)
		found = append(found, featureMissing(dir, path)...)
	}
	for _, w := range list {
		found = append(found, isolation.Misplaced(w)...)
		found = append(found, isolation.Early(w)...)
		found = append(found, isolation.Unkept(w, w.Mounts())...)
		found = append(found, isolation.Providers(w)...)
	}
	found = append(found, isolation.Check(list)...)
	bad := slices.ContainsFunc(found, func(f isolation.Finding) bool { return f.Severity == isolation.Error })
	if c.Bool("json") {
		if err := p.printJSON(struct {
			Workspaces int                 `json:"workspaces"`
			OK         bool                `json:"ok"`
			Findings   []isolation.Finding `json:"findings"`
		}{len(seen), !bad, found}); err != nil {
			return err
		}
	} else {
		for _, f := range found {
			fmt.Fprintf(p.out, "%s: %s: %s: %s\n", f.Severity, f.Code, strings.Join(f.Folders, ", "), f.Text)
			fmt.Fprintln(p.out, "  fix: "+f.Fix)
		}
		if len(found) == 0 {
			p.say("%s", hint.Count(len(seen), "workspace: valid", "workspaces: valid, and apart from each other"))
		}
	}
	if bad {
		return cmdline.Exit{Code: cmdline.CodeFailed}
	}
	return nil
}

// checked is the folder that a person names for a check; one that is none, or no workspace,
// is a finding.
func (p *program) checked(c *cli.Context, name string) (string, error) {
	w, err := p.open(c.Context, name)
	switch {
	case err == nil && !same(w.folder, name):
		return w.folder, nil
	case cmdline.CodeOf(err) == cmdline.CodeUsage:
		return "", err
	}
	return name, nil
}

// invalid makes findings of what is wrong in one workspace.
func invalid(dir string, err error) (found []isolation.Finding) {
	fix := "correct the file"
	if h := hint.Of(err); len(h) > 0 {
		fix = h[0]
	}
	if list := spec.Problems(err); len(list) > 0 {
		for _, p := range list {
			found = append(found, isolation.Finding{Code: "invalid-spec", Severity: isolation.Error, Folders: []string{dir}, Text: p.Error(), Fix: fix})
		}
		return found
	}
	return []isolation.Finding{{Code: "not-readable", Severity: isolation.Error, Folders: []string{dir}, Text: err.Error(), Fix: fix}}
}

// lookAt reads what the check needs of the workspace in dir.
func lookAt(dir string) (*isolation.Workspace, error) {
	w, err := open(dir)
	if err != nil {
		return nil, err
	}
	at, err := configAt(w.folder)
	if err != nil {
		return nil, err
	}
	config, err := optional(w.folder, at)
	if err != nil {
		return nil, err
	}
	answers, err := optional(w.folder, answersName)
	if err != nil {
		return nil, err
	}
	own, err := containedIn(dir, w.spec, config, string(answers))
	if err == nil && config != nil {
		own.Place = own.Container.PlaceOf(w.folder, mountedTop(w.folder))
		if own.Container.Compose {
			own.Place = composedPlace(w.folder, at, config)
			own.Container.Mounts = composedMounts(w.folder, at, config)
		}
		for i, m := range own.Container.Mounts {
			if m.Kind == isolation.Bind && filepath.IsAbs(m.Source) {
				own.Container.Mounts[i].Source = isolation.SourceOf(w.folder, m.Source)
			}
		}
	}
	return own, err
}

// featureMissing is the finding of a devcontainer.json whose container would have no coltecd.
func featureMissing(dir, folder string) []isolation.Finding {
	at, err := configAt(folder)
	if err != nil {
		return nil // said already
	}
	if text, err := optional(folder, at); err != nil || text == nil {
		return nil
	}
	if err := featureFault(folder, at); err != nil {
		return []isolation.Finding{{Code: "no-feature", Severity: isolation.Warning, Folders: []string{dir}, Text: err.Error(), Fix: strings.Join(hint.Of(err), "; ")}}
	}
	return nil
}

// composedPlace is where a folder is in a service of Compose; "" where its files do not say.
func composedPlace(folder, at string, config []byte) string {
	place, err := graft.Project{Folder: folder, Top: folder, At: at, Text: config, Read: readHost}.Place()
	if err != nil {
		return ""
	}
	return place
}

// readHost reads a file that a person wrote, of this host.
func readHost(name string) ([]byte, error) { return wholefile.Read(name, wholefile.ByHand) }

// mountedTop is what is mounted of a folder whose devcontainer.json does not say, as the
// dev container CLI would by itself: the git repository that it is in, or the folder.
func mountedTop(folder string) string {
	for dir := folder; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return folder
		}
	}
}

// optional reads a file of a workspace that need not be there.
func optional(folder, name string) ([]byte, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	b, err := wholefile.ReadIn(root, name, wholefile.ByHand)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

func containedIn(dir string, sp *spec.Spec, config []byte, answers string) (*isolation.Workspace, error) {
	w := &isolation.Workspace{Folder: dir, Spec: sp, Answers: answers}
	if config == nil {
		return w, nil
	}
	var err error
	if w.Container, err = isolation.ReadContainer(config); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", filepath.Join(dir, configName), err)
	}
	return w, nil
}

// neighbours are the workspaces beside folder. One that cannot be read is reported
// of, and is no reason to stop work on another.
func (p *program) neighbours(folder string) []isolation.Workspace {
	specs, err := filepath.Glob(filepath.Join(escape(filepath.Dir(folder)), "*", specName))
	if err != nil {
		p.say("note: cannot look for other workspaces: %v", err)
	}
	var list []isolation.Workspace
	for _, name := range specs {
		dir := filepath.Dir(filepath.Dir(name))
		if dir == folder {
			continue
		}
		w, err := lookAt(dir)
		if err != nil {
			p.say("note: %s beside it is not compared: %v", dir, err)
			continue
		}
		list = append(list, *w)
	}
	return list
}

// escape takes a path's characters as they are in a pattern.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// refuse is the error of a workspace that is not apart from its neighbours.
func (p *program) refuse(folder string, own *isolation.Workspace) error {
	for _, other := range p.neighbours(folder) {
		for _, f := range isolation.Check([]isolation.Workspace{*own, other}) {
			if f.Severity == isolation.Error {
				return hint.Wrap(fmt.Errorf("%s is not apart from %s: %s (%s)", folder, other.Folder, f.Text, f.Code), "%s", f.Fix)
			}
		}
	}
	return nil
}
