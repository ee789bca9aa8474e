package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/feature"
	"github.com/coltec/coltec/pkg/graft"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/scaffold"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/trust"
	"github.com/coltec/coltec/pkg/wholefile"
)

func cmdInit(p *program) *cli.Command {
	return &cli.Command{
		Name:      "init",
		Usage:     "bring Coltec into a project as it is; --remove takes it out again",
		ArgsUsage: "[DIR]",
		Flags: []cli.Flag{
			dataFlag(),
			&cli.StringFlag{Name: "config", Usage: "the devcontainer.json to bring it into, `FILE` in the project, where there are several"},
			&cli.StringFlag{Name: "template", Value: "base", Usage: "the template for a project without a devcontainer.json, as for new"},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "show what would be done"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
			&cli.BoolFlag{Name: "remove", Usage: "undo what init did; what was changed since stays"},
		},
		Description: `It writes a spec beside the project's devcontainer.json and adds two members to that: the Feature, and
where the spec is. It shows the difference and asks. org, project and env come from the git remote and the folder's name
where --data does not say them. A project without a devcontainer.json gets one, as from coltec new. What bringing the
container up does on this host is shown, too: to say yes is to agree to it.`,
		Action: func(c *cli.Context) error { return grafter{p}.initialize(c) },
	}
}

// initName is what init did to a devcontainer.json, for --remove.
const initName = ".devcontainer/.coltec/init.json"

// initRecord is the content of initName.
type initRecord struct {
	Config string       `json:"config"`
	Edits  []graft.Edit `json:"edits"`
}

// joining is what init does to one project.
type joining struct {
	folder string
	at     string // of the devcontainer.json
	was    []byte
	now    []byte
	record initRecord

	spec   *spec.Spec
	plan   *scaffold.Plan // of the spec; nil where the project has one
	ref    string         // of the template
	acts   []trust.Act    // of the container
	remove bool
}

// grafter brings Coltec into projects as they are, and takes it out again.
type grafter struct{ *program }

func (p grafter) initialize(c *cli.Context) error {
	folder, err := filepath.Abs(c.Args().First())
	if err != nil {
		return err
	}
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return hint.Wrap(fmt.Errorf("cannot bring Coltec into %s: it is not a folder", folder), "a new workspace: coltec new %s", hint.Word(folder))
	}
	if _, err := p.destination(folder); err != nil {
		return err
	}
	if err := p.mayBeOne(folder); err != nil && !c.Bool("remove") {
		return err
	}
	if c.Bool("remove") {
		return p.initRemove(c, folder)
	}
	at, err := initConfig(c, folder)
	if err != nil {
		return err
	}
	if at == "" {
		return p.initFresh(c, folder)
	}
	release, err := p.lock(c.Context, folder)
	if err != nil {
		return err
	}
	defer release()
	j, err := p.join(c, folder, at)
	if err != nil {
		return err
	}
	if given, err := data(c); err == nil && j.plan == nil && len(given) > 0 {
		p.say("note: the project has a spec already, which --data changes nothing of; of one that init wrote, coltec update %s --data … does", hint.Word(folder))
	}
	if j.plan == nil && bytes.Equal(j.was, j.now) {
		p.say("%s: Coltec is in it already: coltec up %s", folder, hint.Word(folder))
		return nil
	}
	if ok, err := p.mayJoin(c, j); !ok {
		return err
	}
	if err := p.write(j); err != nil {
		return err
	}
	if err := p.agreeJoined(c, j); err != nil {
		p.say("note: the next coltec up will ask: %v", err)
	}
	p.say("%s: Coltec is in it, as %s; next: coltec up %s", folder, j.spec.ID(), hint.Word(folder))
	return nil
}

// initConfig is the devcontainer.json of a project that is meant; "" when it has none.
func initConfig(c *cli.Context, folder string) (string, error) {
	if c.IsSet("config") {
		at, _, err := configArg(folder, []string{"--config", filepath.Join(folder, inFolder(folder, c.String("config")))})
		return at, err
	}
	found, err := configs(folder)
	if err != nil || len(found) == 0 {
		return "", err
	}
	if !graft.Plain(found[0]) && len(found) > 1 {
		return "", hint.Wrap(fmt.Errorf("%s has several devcontainer.json files: %s", folder, strings.Join(found, ", ")), "say which: coltec init --config %s %s", hint.Word(found[0]), hint.Word(folder))
	}
	return found[0], nil
}

// inFolder is a path as it counts in a folder: one that is there from here is meant from here.
func inFolder(folder, name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		if rel, err := filepath.Rel(folder, abs); err == nil && filepath.IsLocal(rel) {
			if _, err := os.Lstat(abs); err == nil {
				return rel
			}
		}
	}
	return name
}

// initFresh makes a workspace of a project without a dev container, as new does, with what
// the project says of itself for answers.
func (p grafter) initFresh(c *cli.Context, folder string) error {
	if _, err := scaffold.ReadRecord(folder); !errors.Is(err, scaffold.ErrNoRecord) {
		return hint.Wrap(errors.Join(noConfig(folder, configName), err), "coltec update %s", hint.Word(folder))
	}
	given, err := p.answersFor(c, folder)
	if err != nil {
		return err
	}
	p.say("%s has no devcontainer.json; template %s makes one, as %s/%s/%s. Files that are there stay as they are.",
		folder, c.String("template"), given["org"], given["project"], given["env"])
	if ok, err := p.confirmed(c); !ok {
		return err
	}
	_, err = maker(p).makeNew(c, folder, given)
	if err == nil {
		err = ownAsFolder(folder, configName)
	}
	if err == nil {
		p.say("next: coltec up %s", hint.Word(folder))
	}
	return err
}

// answersFor are what --data says, and for org, project and env what the folder says otherwise.
func (p grafter) answersFor(c *cli.Context, folder string) (map[string]string, error) {
	given, err := data(c)
	if err != nil {
		return nil, err
	}
	config, err := optional(folder, ".git/config")
	if err != nil { // a link, or too long
		config = nil
	}
	org, project := graft.Origin(config)
	project = firstSlug(project, filepath.Base(folder), "project")
	org = firstSlug(org, p.env("USER"), "me")
	for name, def := range map[string]string{"org": org, "project": project, "env": "dev"} {
		if _, ok := given[name]; !ok {
			given[name] = def
		}
	}
	return given, nil
}

// lockfiles are what the template's installs go by. What pip goes by does not say where it
// is installed.
var lockfiles = []struct{ file, installs string }{
	{"package-lock.json", "npm"}, {"pnpm-lock.yaml", "pnpm"}, {"uv.lock", "uv"}, {"go.sum", "go"}, {"Cargo.lock", "cargo"},
}

// installsOf is the template's answer for what a folder has lockfiles of.
func installsOf(folder string) (string, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return "", err
	}
	defer root.Close()
	var all []string
	for _, l := range lockfiles {
		if info, err := root.Stat(l.file); err == nil && info.Mode().IsRegular() {
			all = append(all, l.installs)
		}
	}
	return strings.Join(all, ","), nil
}

func firstSlug(names ...string) string {
	for _, n := range names {
		if s := graft.Slug(n); s != "" {
			return s
		}
	}
	return "x"
}

// join says what is to be done to a project.
func (p grafter) join(c *cli.Context, folder, at string) (*joining, error) {
	if _, err := scaffold.Recover(folder); err != nil {
		return nil, err
	}
	text, err := optional(folder, at)
	if err != nil || text == nil {
		return nil, errors.Join(err, noConfig(folder, at))
	}
	j := &joining{folder: folder, at: at, was: text, record: initRecord{Config: at}}
	if j.record, err = readInit(folder, at); err != nil {
		return nil, err
	}
	project := graft.Project{Folder: folder, Top: mountedTop(folder), At: at, Text: text, Read: readHost}
	place, err := p.placeSaid(c, project)
	if err != nil {
		return nil, err
	}
	var done []graft.Edit
	j.now, done, err = graft.Apply(text, graft.Needed(at, project.Spec(place, specName)))
	if err != nil {
		return nil, fmt.Errorf("cannot edit %s: %w", filepath.Join(folder, at), err)
	}
	for _, e := range done {
		j.record.Edits = append(slices.DeleteFunc(j.record.Edits, func(o graft.Edit) bool { return o.In == e.In && o.Name == e.Name }), e)
	}
	if w, err := open(folder); err == nil {
		j.spec = w.spec
	} else if !errors.Is(err, errNoWorkspace) {
		return nil, err
	} else if err := p.joinSpec(c, j, place); err != nil {
		return nil, err
	}
	f, err := newConfig(folder, at, j.now)
	if err != nil {
		return nil, err
	}
	if err := p.keptApart(f); err != nil {
		return nil, err
	}
	j.acts, err = f.acts()
	return j, err
}

// placeSaid is where a project is in its container: as --data says, or its files.
func (p grafter) placeSaid(c *cli.Context, project graft.Project) (string, error) {
	given, err := data(c)
	if err != nil || given["folder"] != "" {
		return path.Clean(given["folder"]), err
	}
	return project.Place()
}

// joinSpec plans the spec of a project that has none.
func (p grafter) joinSpec(c *cli.Context, j *joining, place string) error {
	const name = "project"
	t, err := carried.Open(name, ".")
	if err != nil {
		return err
	}
	given, err := p.answersFor(c, j.folder)
	if err != nil {
		return err
	}
	given["folder"] = place
	if _, said := given["installs"]; !said {
		if given["installs"], err = installsOf(j.folder); err != nil {
			return err
		}
	}
	if b, err := optional(j.folder, ".devcontainer/.gitignore"); b != nil || err != nil {
		given["ignore"] = "false"
		if !bytes.Contains(b, []byte("logs")) {
			p.say("note: .devcontainer/.gitignore is yours: a line /logs/ in it keeps what coltecd logs out of git")
		}
	}
	answers, err := t.Answer(given, nil)
	if err != nil {
		return err
	}
	tree, err := t.Render(answers)
	if err != nil {
		return err
	}
	if j.spec, err = spec.Parse(filepath.Join(j.folder, specName), tree[specName].Data); err != nil {
		return err
	}
	own, err := containedIn(j.folder, j.spec, j.was, "")
	if err != nil {
		return err
	}
	if err := p.refuse(j.folder, own); err != nil {
		return err
	}
	j.ref = name
	j.plan, err = scaffold.PlanNew(j.folder, tree, scaffold.NewRecord(name, t, answers))
	return err
}

// readInit reads what an earlier init did.
func readInit(folder, at string) (initRecord, error) {
	r := initRecord{Config: at}
	b, err := optional(folder, initName)
	if err != nil || b == nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("cannot read %s: %w", filepath.Join(folder, initName), err)
	}
	if r.Config != at {
		return r, hint.Wrap(fmt.Errorf("%s of this project has Coltec in it already", r.Config), "take it out of that first: coltec init --remove %s", hint.Word(folder))
	}
	return r, nil
}

// mayJoin shows what init would do, and asks.
func (p grafter) mayJoin(c *cli.Context, j *joining) (bool, error) {
	if found, err := configs(j.folder); err == nil && len(found) > 1 && found[0] == graft.Usual && found[1] == graft.AtRoot {
		p.say("note: %s hides %s, which nothing reads", graft.Usual, graft.AtRoot)
	}
	out := p.verbatim()
	if j.plan != nil {
		for _, a := range j.plan.Actions {
			switch {
			case a.Path == specName && !j.remove:
				fmt.Fprint(out, udiff.Unified("/dev/null", "b/"+a.Path, string(a.Old), string(a.New)))
			case a.Note != "":
				fmt.Fprintf(p.out, "%-8s  %s  (%s)\n", a.Kind, a.Path, a.Note)
			default:
				fmt.Fprintf(p.out, "%-8s  %s\n", a.Kind, a.Path)
			}
		}
	}
	fmt.Fprint(out, udiff.Unified("a/"+j.at, "b/"+j.at, string(j.was), string(j.now)))
	if len(j.acts) > 0 && !j.remove {
		p.say("Bringing its container up would do this on this host:")
		for _, a := range j.acts {
			p.say("  %s", oneLine(a.String()))
		}
	}
	return p.confirmed(c)
}

// confirmed asks a person whether to go on. false without an error is no error: it was a
// dry run, or the answer was no.
func (p grafter) confirmed(c *cli.Context) (bool, error) {
	if c.Bool("dry-run") {
		p.say("nothing is written: --dry-run")
		return false, nil
	}
	if c.Bool("yes") {
		return true, nil
	}
	err := p.asks().Agree(c.Context, cmdline.Question{
		Text: "Do it?", No: errors.New("nothing is written"),
		Nobody: hint.Wrap(errors.New("nothing is written: there is no terminal to ask at"), "agree with --yes"),
	})
	return err == nil, err
}

// write does what join planned. The edit of the devcontainer.json comes last: a project whose
// file is as it was works as it did.
func (p grafter) write(j *joining) error {
	if j.plan != nil {
		if err := j.plan.Write(j.folder); err != nil {
			return err
		}
	}
	arches, err := p.putFeature(j.folder, j.spec, feature.Find(p.binDirs()...))
	if err != nil {
		return err
	}
	if len(arches) == 0 {
		p.say("note: %v", feature.Missing(p.binDirs()...))
	}
	b, err := json.MarshalIndent(j.record, "", "  ")
	if err != nil {
		return err
	}
	if err := writeIn(j.folder, initName, append(b, '\n'), 0o644); err != nil {
		return err
	}
	if err := j.writeConfig(); err != nil {
		return err
	}
	return ownAsFolder(j.folder, j.at)
}

// writeConfig replaces the devcontainer.json, unless somebody changed it meanwhile.
func (j *joining) writeConfig() error {
	if bytes.Equal(j.was, j.now) {
		return nil
	}
	file := filepath.Join(j.folder, j.at)
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return hint.Wrap(fmt.Errorf("%s is a link", file), "name the file that it leads to: --config FILE")
	}
	cur, err := optional(j.folder, j.at)
	if err != nil {
		return err
	}
	if !bytes.Equal(cur, j.was) {
		return hint.Wrap(fmt.Errorf("%s was changed meanwhile", file), "do it again: coltec init %s", hint.Word(j.folder))
	}
	return writeIn(j.folder, j.at, j.now, info.Mode().Perm())
}

// writeIn writes a file of a folder whole.
func writeIn(folder, name string, b []byte, mode fs.FileMode) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if err := wholefile.WriteIn(root, name, bytes.NewReader(b), mode, wholefile.Durable); err != nil {
		return fmt.Errorf("cannot write %s: %w", filepath.Join(folder, name), err)
	}
	return nil
}

// agreeJoined keeps that the user agreed to what was shown, and to what the spec asks for.
func (p grafter) agreeJoined(c *cli.Context, j *joining) error {
	record, err := p.agreed(j.folder)
	if err != nil {
		return err
	}
	d, err := p.demands(c, &workspace{j.folder, j.spec}, j.acts, nil)
	if err != nil {
		return err
	}
	for _, x := range wanted(j.spec) {
		if a := secretAct(x.Name); !slices.Contains(d.Grants, a) {
			d.Grants = append(d.Grants, a)
		}
	}
	if j.ref != "" {
		d.Grants = append(d.Grants, trust.Act{On: trust.Template, Text: j.ref})
	}
	next := record.Agree(j.at, d)
	if next.Answers, err = answersHash(j.folder); err != nil {
		return err
	}
	return p.keep(j.folder, next)
}

// initRemove takes out of a project what init brought into it.
func (p grafter) initRemove(c *cli.Context, folder string) error {
	b, err := optional(folder, initName)
	if err != nil {
		return err
	}
	if b == nil {
		return hint.Wrap(fmt.Errorf("coltec init did not make %s: there is no %s", folder, initName), "what coltec new makes is removed with its folder")
	}
	j := &joining{folder: folder, remove: true}
	if err := json.Unmarshal(b, &j.record); err != nil {
		return fmt.Errorf("cannot read %s: %w", filepath.Join(folder, initName), err)
	}
	release, err := p.lock(c.Context, folder)
	if err != nil {
		return err
	}
	defer release()
	if err := p.stopped(c, folder); err != nil {
		return err
	}
	if j.at, _, err = configArg(folder, []string{"--config", filepath.Join(folder, j.record.Config)}); err != nil {
		return err
	}
	if j.was, err = optional(folder, j.at); err != nil {
		return err
	}
	var stays []string
	if j.was != nil {
		if j.now, stays, err = graft.Undo(j.was, j.record.Edits); err != nil {
			return fmt.Errorf("cannot edit %s: %w", filepath.Join(folder, j.at), err)
		}
	}
	if _, err := scaffold.ReadRecord(folder); err == nil {
		if j.plan, err = scaffold.PlanUpdate(folder, scaffold.Tree{}, scaffold.Record{}); err != nil {
			return err
		}
	}
	for _, name := range stays {
		p.say("note: %s of %s stays: it was changed since", name, j.at)
	}
	if ok, err := p.mayJoin(c, j); !ok {
		return err
	}
	return p.takeOut(j)
}

// stopped is the error of a folder whose container runs: what it has is pushed first.
func (p grafter) stopped(c *cli.Context, folder string) error {
	tools, err := devcontainer.Docker(p.environ)
	if err != nil {
		return nil // no container either
	}
	ct, ok, err := tools.Of(c.Context, folder)
	if err == nil && ok && ct.Running {
		return hint.Wrap(fmt.Errorf("the container of %s is running", folder), "push what it has first: coltec down %s", hint.Word(folder))
	}
	return nil
}

// takeOut does what initRemove planned.
func (p grafter) takeOut(j *joining) error {
	if j.was != nil {
		if err := j.writeConfig(); err != nil {
			return err
		}
	}
	if j.plan != nil {
		if err := j.plan.Write(j.folder); err != nil {
			return err
		}
	}
	root, err := os.OpenRoot(j.folder)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := errors.Join(root.RemoveAll(feature.Dir), root.RemoveAll(path.Dir(initName))); err != nil {
		return err
	}
	if err := root.Remove(path.Dir(specName)); err != nil && !errors.Is(err, fs.ErrNotExist) { // it has other files
		if _, err := root.Lstat(logsName); err == nil {
			p.say("note: what coltecd logged stays in %s", filepath.Join(j.folder, logsName))
		}
	}
	store, err := p.records()
	if err == nil {
		if real, err := realPath(j.folder); err == nil {
			_, err = store.Forget(real)
			if err != nil {
				return err
			}
		}
	}
	if own := ownAsFolder(j.folder, j.at); own != nil {
		return own
	}
	p.say("%s: Coltec is taken out; what is in the bucket stays there", j.folder)
	return err
}
