//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/store"
)

// The steps of a hop at which a crash test kills coltec: what comes after them are those of an up.
var (
	pointHopStaged = killpoint.New("hop:staged")
	pointHopPlaced = killpoint.New("hop:placed")
)

// land gives the folder of the workspace that is to come here. Where there is none, it is made
// as the bucket has it.
func (p hopper) land(c *cli.Context) (folder string, err error) {
	name, dir := c.Args().Get(0), c.Args().Get(1)
	var id string
	if dir != "" && entire(name) { // which may be in several folders of this host
		id = name
	} else {
		w, err := p.open(c.Context, name)
		switch {
		case err == nil && dir == "":
			return w.folder, nil
		case err == nil:
			id = w.spec.ID()
		case name == "" || !errors.Is(err, errNoWorkspace):
			return "", err
		default:
			if id, err = p.named(c, name, err); err != nil {
				return "", err
			}
		}
	}
	if dir == "" {
		_, rest, _ := strings.Cut(id, "/")
		dir = strings.ReplaceAll(rest, "/", "-")
	}
	return p.landIn(c, id, dir)
}

// entire reports whether a name is org/project/env.
func entire(name string) bool {
	parts := strings.Split(name, "/")
	return len(parts) == 3 && !slices.Contains(parts, "") && !slices.Contains(parts, ".") && !slices.Contains(parts, "..")
}

// landIn gives the folder of a workspace, or makes it.
func (p hopper) landIn(c *cli.Context, id, dir string) (folder string, err error) {
	if folder, err = p.destination(dir); err != nil {
		return "", err
	}
	there, err := open(folder)
	switch {
	case err == nil && there.spec.ID() != id:
		return "", hint.Wrap(fmt.Errorf("%s is another workspace: %s", folder, there.spec.ID()), "name another folder: coltec hop %s DIR", hint.Word(id))
	case err == nil:
		_ = os.Remove(stageOf(folder)) // empty: of a hop that was killed at its end
		return folder, nil
	case !errors.Is(err, errNoWorkspace):
		return "", err
	}
	release, err := p.lock(c.Context, folder)
	if err != nil {
		return "", err
	}
	defer release()
	return folder, p.fetch(c, id, folder)
}

// named is the workspace that a name means which no folder here has: org/project/env, or a part
// of that which one alone has in the bucket that coltec ls would show. unknown is the error of
// a name that nothing has.
func (p hopper) named(c *cli.Context, name string, unknown error) (id string, err error) {
	if entire(name) {
		return name, nil
	}
	if strings.HasPrefix(name, ".") || filepath.IsAbs(name) || strings.HasPrefix(name, "~") {
		return "", unknown
	}
	local, unasked := p.localFleet(c.Context) // the bucket may know the name without Docker
	there, err := lister(p).bucketFleet(c.Context, look{wait: c.Duration("wait"), flags: c}, local)
	if errors.Is(err, errNoSecrets) {
		err = nil // the hint says it
	}
	var ids []string
	for _, s := range there.seen {
		if s.Bad == nil && entire(s.Head.Workspace) {
			ids = append(ids, s.Head.Workspace)
		}
	}
	var found []string
	for _, i := range fleet.Match(name, ids, false) {
		found = append(found, ids[i])
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		slices.Sort(found)
		return "", hint.Wrap(cmdline.Usage("%q may be any of: %s", name, strings.Join(found, "; ")), "name more of it")
	}
	return "", hint.Wrap(errors.Join(unknown, notAsked(unasked), err), "name it whole, org/project/env, where no workspace here says which bucket to ask")
}

// fetch makes the folder of a workspace as its newest generation has it: what it does on this
// host and the spec come from there, and the user is asked about what the template would not
// have made of its name. Nothing is left of it after an error.
func (p hopper) fetch(c *cli.Context, id, folder string) error {
	typed, err := p.templateOf(c, id, folder)
	if err != nil {
		return err
	}
	if err := replica.Vacant(folder); err != nil {
		return hint.Wrap(fmt.Errorf("cannot make %s in %s: %w", id, folder, err), "name a folder that is not there yet: coltec hop %s DIR", hint.Word(id))
	}
	values, err := maker(p).reachable(c, folder, typed.spec)
	if err != nil {
		return fmt.Errorf("cannot look for %s in the bucket: %w", id, err)
	}
	s, err := maker(p).found(c.Context, typed.spec, values)
	if err != nil {
		return err
	}
	if s == nil {
		return hint.Wrap(fmt.Errorf("the bucket has nothing of %s", id), "a new one: coltec new %s; where another bucket or prefix is meant, --template and --data say it", hint.Word(filepath.Base(folder)))
	}
	defer s.reader.Close()
	p.say("%s: generation %d, of %s ago, in %s", id, s.generation.Number, span(time.Since(s.generation.Time)), folder)
	if err := p.put(c, s, id, folder); err != nil {
		return err
	}
	p.trustMade(folder, typed, nil)
	return nil
}

// templateOf is what the template makes of a workspace's name and what --data says: by that
// the bucket is found.
func (p hopper) templateOf(c *cli.Context, id, folder string) (made rendered, err error) {
	given, err := data(c)
	if err != nil {
		return made, err
	}
	parts := strings.Split(id, "/")
	given["org"], given["project"], given["env"] = parts[0], parts[1], parts[2]
	ref := c.String("template")
	t, err := carried.Open(ref, ".")
	if err != nil {
		return made, err
	}
	answers, err := t.Answer(given, nil)
	if err != nil {
		return made, err
	}
	if made, err = renderedFrom(folder, t, answers); err != nil {
		return made, err
	}
	made.others = true
	if made.ref, err = fromFolder(folder, ref); err != nil {
		return made, err
	}
	if !(&workspace{folder, made.spec}).hasBucket() || made.spec.ID() != id {
		return made, fmt.Errorf("template %s does not say in which bucket %s is", t.Name(), id)
	}
	return made, nil
}

// put writes what the bucket has of a workspace's .devcontainer, whole or not at all.
func (p hopper) put(c *cli.Context, s *stored, id, folder string) error {
	stage, err := stageBeside(folder)
	if err != nil {
		return fmt.Errorf("cannot make the workspace: %w", err)
	}
	defer os.RemoveAll(stage)
	made := filepath.Join(stage, "it") // below: what is beside the folder is taken for a workspace of its own
	if err := p.writeOut(c, s, made); err != nil {
		return err
	}
	w, err := open(made)
	if err != nil {
		return fmt.Errorf("cannot take %s as the bucket has it: %w", id, err)
	}
	if w.spec.ID() != id {
		return fmt.Errorf("cannot take %s as the bucket has it: its spec is of %s", id, w.spec.ID())
	}
	own, err := lookAt(made)
	if err != nil {
		return err
	}
	own.Folder = folder
	if err := p.refuse(folder, own); err != nil {
		return err
	}
	pointHopStaged.Reach()
	if err := os.Remove(folder); err != nil && !errors.Is(err, os.ErrNotExist) { // an empty one
		return err
	}
	if err := os.Rename(made, folder); err != nil {
		return err
	}
	pointHopPlaced.Reach()
	return nil
}

// stageOf is where a folder that is to come is made, beside it: it has its name of the folder.
func stageOf(folder string) string {
	sum := sha256.Sum256([]byte(folder))
	return filepath.Join(filepath.Dir(folder), fmt.Sprintf(".coltec-hop-%x", sum[:8]))
}

// stageBeside makes that directory anew. The caller has the lock of the folder, so that what lies
// there is of a hop that was killed.
func stageBeside(folder string) (string, error) {
	stage := stageOf(folder)
	if err := os.MkdirAll(filepath.Dir(stage), 0o755); err != nil {
		return "", err
	}
	root, err := os.OpenRoot(filepath.Dir(stage))
	if err != nil {
		return "", err
	}
	defer root.Close()
	return stage, errors.Join(root.RemoveAll(filepath.Base(stage)), root.Mkdir(filepath.Base(stage), 0o700))
}

// writeOut writes the directory of the spec of a generation. The logs of a machine stay there, and
// the programs of the Feature are this host's.
func (p hopper) writeOut(c *cli.Context, s *stored, to string) error {
	placed, err := (*history.Placed)(nil), history.ErrNotThere
	if s.generation.Replicas[s.at.Name].Manifest != "" {
		placed, err = s.reader.Export(c.Context, s.at, s.rel, s.generation, to, p.exportOptions(c))
	}
	if errors.Is(err, history.ErrNotThere) {
		return hint.Wrap(fmt.Errorf("the bucket has %s, and no %s of it, which says how to bring it up", s.sp.ID(), filepath.Dir(specName)),
			"make that here: coltec new, or coltec init in a clone of the project; then coltec hop %s", hint.Word(s.sp.ID()))
	}
	if err != nil {
		return err
	}
	if len(placed.Problems) > 0 {
		return fmt.Errorf("cannot take %s as the bucket has it: %s", s.sp.ID(), strings.Join(placed.Problems, "; "))
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer root.Close()
	return errors.Join(root.RemoveAll(logsName), root.RemoveAll(".devcontainer/coltec"))
}

// newest is the newest generation of a workspace that comes up.
func (j *journey) newest(ctx context.Context, a *ascent) (g store.Generation, err error) {
	r, _, err := j.reader(a.w.spec, a.secrets)
	if err != nil {
		return g, err
	}
	defer r.Close()
	return r.At(ctx, "", time.Now())
}

// content counts what came.
func (j *journey) content(ctx context.Context, a *ascent) (n history.Content, err error) {
	r, _, err := j.reader(a.w.spec, a.secrets)
	if err != nil {
		return n, err
	}
	defer r.Close()
	g, err := r.At(ctx, "", time.Now())
	if err != nil {
		return n, err
	}
	return r.Content(ctx, g)
}
