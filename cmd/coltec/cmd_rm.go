package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/status"
)

func cmdRm(p *program) *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Usage:     "remove a workspace from this host; with --purge from its bucket too",
		ArgsUsage: "WORKSPACE",
		Description: `The container pushes, stops and is removed, with the home volume of the template and the volume that stands for the
folder, and what Coltec keeps on this host of the workspace: logs, caches, what you agreed to. Nothing is removed while something is only
here, or that is not known. The files stay in the folder, unless --files; the bucket stays as it is, unless --purge.

--purge deletes the workspace in its bucket, with its history, checkpoints and logins, for all machines. Forks of it stay, and so do plain
objects. Another machine that has the lease has to stop first. After Ctrl-C the same command goes on.`,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "purge", Usage: "delete it in the bucket too; its name is to be typed"},
			&cli.BoolFlag{Name: "files", Usage: "remove the folder too, with what no replica carries of it"},
			&cli.BoolFlag{Name: "force", Usage: "remove what is only here too; with --purge: take the lease of a machine that is gone, once its time has run out"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would go, and remove nothing"},
		}, secretFlags()...),
		Action: func(c *cli.Context) error { return remover{p}.remove(c) },
	}
}

// The steps of a removal at which a crash test kills coltec; those in the bucket are of a purge.
var (
	pointRmEnded   = killpoint.New("rm:ended")
	pointRmPurged  = killpoint.New("rm:purged")
	pointRmBoxless = killpoint.New("rm:boxless")
	pointRmEmptied = killpoint.New("rm:emptied")
	pointRmCleared = killpoint.New("rm:cleared")
)

// remover takes workspaces off this host.
type remover struct{ *program }

// removal is a workspace that is to go, and what there is of it.
type removal struct {
	w          *workspace
	tools      devcontainer.Tools
	containers []devcontainer.Container
	volumes    []string // ours, by name
	shared     []string // others that it has
	alone      []string // of the names of ours, that no container here has
	state      []string // of Coltec, below the folder
	around     []string // folders of other workspaces
	files      bool     // the folder goes too
	force      bool
}

// stateNames are what Coltec keeps in a folder that is made again when it is gone. What both
// sides agreed on last, and conflict copies, belong to the files.
var stateNames = []string{logsName, ".devcontainer/coltec/bin", ".coltec/manifests"}

func (p remover) remove(c *cli.Context) error {
	w, err := p.open(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	release, err := p.lock(c.Context, w.folder)
	if err != nil {
		return err
	}
	defer release()
	r, err := p.found(c.Context, w)
	if err != nil {
		return err
	}
	r.files, r.force = c.Bool("files"), c.Bool("force")
	if err := p.alone(r); err != nil {
		return err
	}
	var bucket *purging
	if c.Bool("purge") {
		if bucket, err = p.inBucket(c, r); err != nil {
			return err
		}
	}
	p.show(r)
	if bucket != nil {
		bucket.show()
	}
	if c.Bool("dry-run") {
		return nil
	}
	if err := p.agreesTo(c, r, bucket != nil); err != nil {
		return err
	}
	if err := p.ends(c.Context, r); err != nil {
		return err
	}
	p.notes(r)
	pointRmEnded.Reach()
	if bucket != nil {
		if err := bucket.purge(c.Context); err != nil {
			return err
		}
	}
	pointRmPurged.Reach()
	return p.take(c.Context, r)
}

// found is what there is of a workspace here.
func (p remover) found(ctx context.Context, w *workspace) (*removal, error) {
	r := &removal{w: w}
	var err error
	var all []devcontainer.Container
	if r.tools, err = devcontainer.Docker(p.environ); err == nil {
		asked, cancel := inTime(ctx, r.tools)
		all, err = r.tools.List(asked, devcontainer.LabelFolder)
		cancel()
	}
	if err != nil {
		return nil, fmt.Errorf("nothing is removed, as %w", notAsked(err))
	}
	for _, ct := range all { // by whatever way it was made for the folder
		if same(ct.Folder(), w.folder) {
			r.containers = append(r.containers, ct)
		} else {
			r.around = append(r.around, ct.Folder())
		}
	}
	m := w.spec.Metadata
	ours := []string{
		devcontainer.VolumeOf(w.spec.ID()),
		strings.Join([]string{m.Org, m.Project, m.Environment, "home"}, "-"), // of the template base
	}
	for _, ct := range r.containers {
		for _, mount := range ct.Mounts {
			switch {
			case slices.Contains(ours, mount.Name):
				r.volumes = append(r.volumes, mount.Name)
			case mount.Name != "" && !anonymous(mount.Name):
				r.shared = append(r.shared, mount.Name)
			}
		}
	}
	for _, list := range []*[]string{&r.volumes, &r.shared} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	for _, name := range ours {
		there := false
		if !slices.Contains(r.volumes, name) {
			if there, err = r.tools.HasVolume(ctx, name); err != nil {
				return nil, err
			}
		}
		if there {
			r.alone = append(r.alone, name)
		}
	}
	for _, name := range stateNames {
		if _, err := os.Lstat(filepath.Join(w.folder, name)); err == nil {
			r.state = append(r.state, name)
		}
	}
	return r, nil
}

// notes says for the next call, where this one does not come to its end, what of the folder the
// bucket has: all that is there now.
func (p remover) notes(r *removal) {
	if !r.files || r.force {
		return
	}
	left, err := p.remainsOf(r)
	if err == nil {
		err = left.write()
	}
	if err != nil { // who removes may have no room for more
		p.say("note: if this is cut off, the next call asks for --force: cannot note what is in %s: %v", r.w.folder, err)
	}
}

func (p remover) remainsOf(r *removal) (remains, error) {
	real, err := realPath(r.w.folder)
	if err != nil {
		return remains{}, err
	}
	return p.remains(real)
}

// begun reports whether an earlier call has begun to remove the folder, and nothing was put there since.
func (p remover) begun(r *removal) bool {
	if !r.files {
		return false
	}
	left, err := p.remainsOf(r)
	return err == nil && left.only()
}

// alone is the error of a folder that is to go and has another workspace in it.
func (p remover) alone(r *removal) error {
	if !r.files {
		return nil
	}
	real, err := realPath(r.w.folder)
	if err != nil {
		return err
	}
	records, err := p.records()
	if err != nil {
		return err
	}
	for _, other := range slices.Concat(r.around, records.Folders()) {
		at, err := realPath(other)
		if err != nil {
			continue // it is not on this host
		}
		if rel, err := filepath.Rel(real, at); err == nil && rel != "." && filepath.IsLocal(rel) {
			return hint.Wrap(fmt.Errorf("cannot remove %s: workspace %s is in it", r.w.folder, other), "remove that first: coltec rm --files %s", hint.Word(other))
		}
	}
	return nil
}

// anonymous reports whether a volume has the name that Docker makes up for one without.
func anonymous(name string) bool {
	return len(name) == 64 && strings.Trim(name, "0123456789abcdef") == ""
}

// show says what goes, and what stays.
func (p remover) show(r *removal) {
	name := r.w.spec.ID()
	for _, ct := range r.containers {
		p.say("%s: container %.12s goes, and what is only in it", name, ct.ID)
	}
	for _, v := range r.volumes {
		p.say("%s: volume %s goes, with what no replica carries of it", name, v)
	}
	for _, v := range r.shared {
		p.say("%s: volume %s stays: others may have it", name, v)
	}
	for _, v := range r.alone {
		p.say("%s: volume %s stays: no container of %s has it, so it may be another's; if it is what a removal left that was cut off: %s volume rm %s", name, v, r.w.folder, r.tools.Client(), hint.Word(v))
	}
	if r.files {
		p.say("%s: folder %s goes, with what no replica carries of it", name, r.w.folder)
		return
	}
	for _, s := range r.state {
		p.say("%s: %s goes", name, s)
	}
	p.say("%s: the files in %s stay", name, r.w.folder)
}

// agreesTo asks a person.
func (p remover) agreesTo(c *cli.Context, r *removal, purge bool) error {
	if c.Bool("yes") {
		return nil
	}
	asks, nobody := p.asks(), hint.Wrap(errors.New("nobody can be asked whether this is to be removed"), "--dry-run says what would go, --yes removes it")
	if !purge {
		return asks.Agree(c.Context, cmdline.Question{
			Text: "Remove " + r.w.spec.ID() + " from this host?", No: errors.New("nothing was removed: you did not agree"), Nobody: nobody,
		})
	}
	if !asks.Can() {
		return nobody
	}
	typed, err := asks.Line(c.Context, "What is in the bucket is gone then, for all machines. Type "+r.w.spec.ID()+" to delete it: ")
	if err == nil && typed != r.w.spec.ID() {
		err = errors.New("nothing was removed: that is not its name")
	}
	return err
}

// ends has everything pushed and the containers stopped. What would go and is only here is an
// error, unless it is to go.
func (p remover) ends(ctx context.Context, r *removal) error {
	told := map[string]bool{} // of which containers
	for _, ct := range r.containers {
		if !ct.Running {
			continue
		}
		err := p.descend(ctx, r.w, r.tools, ct, flushPatience)
		switch code := cmdline.CodeOf(err); {
		case err == nil:
			told[ct.ID] = true
		case code == cmdline.CodeKept:
			p.say("note: %v", err)
			told[ct.ID] = true
		case code == cmdline.CodeOnlyHere && r.force:
			p.say("note: %v", err)
		case code == cmdline.CodeOnlyHere:
			return hint.Wrap(err, "nothing was removed: coltec up %s pushes it; --force removes it", hint.Word(r.w.folder))
		default:
			return err
		}
	}
	if r.force {
		return nil
	}
	err := r.onlyHere(told, p.begun(r))
	if err != nil && !r.w.hasBucket() {
		return hint.Wrap(err, "nothing was removed: --force removes it")
	}
	if err != nil {
		return hint.Wrap(err, "nothing was removed: coltec up %s pushes it; --force removes it", hint.Word(r.w.folder))
	}
	return nil
}

// onlyHere is the error of what would go and may be nowhere else. told are the containers whose
// coltecd has just said that everything is in the bucket; begun: it was so of the folder when an
// earlier call began to remove it.
func (r *removal) onlyHere(told map[string]bool, begun bool) error {
	var goes []string
	goesUnless := func(known bool, what string) {
		if !known || !r.w.hasBucket() {
			goes = append(goes, what)
		}
	}
	if r.files {
		goesUnless(len(told) > 0 || begun, "the files in "+r.w.folder)
	}
	for _, v := range r.volumes {
		goesUnless(slices.ContainsFunc(r.containers, func(ct devcontainer.Container) bool { return told[ct.ID] && hasVolume(ct, v) }), "volume "+v)
	}
	for _, ct := range r.containers {
		for _, at := range onlyInside(r.w, ct) {
			goesUnless(told[ct.ID], fmt.Sprintf("%s in container %.12s", at, ct.ID))
		}
	}
	if len(goes) == 0 {
		return nil
	}
	if !r.w.hasBucket() {
		return cmdline.Exit{Code: cmdline.CodeOnlyHere, Cause: fmt.Errorf("%s: no bucket has %s", r.w.spec.ID(), strings.Join(goes, ", "))}
	}
	if doc, _, err := readStatus(r.w.folder); err == nil && (!r.files || begun) && len(r.containers) <= 1 && doc.State == status.Stopped && doc.Accounts && status.OnlyHere(doc.Replicas) == nil {
		return nil // nothing has written there since
	}
	return cmdline.Exit{Code: cmdline.CodeOnlyHere, Cause: fmt.Errorf("%s: its container does not run, so it is not known whether the bucket has all of %s", r.w.spec.ID(), strings.Join(goes, ", "))}
}

func hasVolume(ct devcontainer.Container, name string) bool {
	return slices.ContainsFunc(ct.Mounts, func(m devcontainer.Mount) bool { return m.Name == name })
}

// take removes what there is here. What cannot be removed ends it; the next call goes on.
func (p remover) take(ctx context.Context, r *removal) error {
	for _, ct := range r.containers {
		if err := r.tools.Remove(ctx, ct); err != nil {
			return err
		}
	}
	pointRmBoxless.Reach()
	for i, v := range r.volumes {
		err := r.tools.RemoveVolume(ctx, v)
		if ctx.Err() != nil { // of an interrupt no error is shown
			for _, left := range r.volumes[i:] {
				p.say("note: its container is gone, and volume %s may be there: %s volume rm %s", left, hint.Word(r.tools.Client()), hint.Word(left))
			}
			return context.Cause(ctx)
		}
		if err != nil {
			p.say("note: volume %s stays: %v", v, err)
		}
	}
	pointRmEmptied.Reach()
	real, err := realPath(r.w.folder)
	if err != nil {
		return err
	}
	if err := r.clear(real); err != nil {
		return err
	}
	pointRmCleared.Reach()
	records, err := p.records()
	if err == nil {
		_, err = records.Forget(real)
	}
	if left, e := p.remains(real); err == nil && e == nil {
		err = left.forget()
	}
	if err == nil {
		p.say("%s: removed", r.w.spec.ID())
	}
	return err
}

// clear removes files of a folder, a path without links, and follows none that the container
// has put there.
func (r *removal) clear(real string) error {
	failed := func(err error) error {
		if errors.Is(err, fs.ErrPermission) {
			return hint.Wrap(err, "they are another user's, the container's perhaps: make them yours, then the same command goes on: sudo chown -R %d %s", os.Getuid(), hint.Word(real))
		}
		return err
	}
	if !r.files {
		root, err := os.OpenRoot(real)
		if err != nil {
			return err
		}
		defer root.Close()
		for _, name := range r.state {
			if err := root.RemoveAll(name); err != nil {
				return failed(fmt.Errorf("cannot remove %s: %w", name, err))
			}
		}
		return nil
	}
	switch has, err := holdsHome(real); {
	case err != nil:
		return err
	case has:
		return fmt.Errorf("cannot remove %s: the home directory is in it", real)
	}
	root, err := os.OpenRoot(filepath.Dir(real))
	if err != nil {
		return err
	}
	defer root.Close()
	if err := clearTree(root, filepath.Base(real)); err != nil {
		return failed(fmt.Errorf("cannot remove %s: %w", real, err))
	}
	return nil
}

// clearTree removes a folder, its spec last: without that the next call would find no workspace.
func clearTree(parent *os.Root, name string) error {
	folder, err := parent.OpenRoot(name)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := clearBut(folder, path.Dir(specName)); err != nil {
		return err
	}
	if sub, err := folder.OpenRoot(path.Dir(specName)); err == nil { // else it is a link, which goes as one
		err = clearBut(sub, path.Base(specName))
		sub.Close()
		if err != nil {
			return err
		}
	}
	return parent.RemoveAll(name)
}

// clearBut removes all that is in a folder but one name. It ends with the first error, once it
// has removed what it can.
func clearBut(folder *os.Root, kept string) error {
	entries, err := fs.ReadDir(folder.FS(), ".")
	for _, e := range entries {
		if e.Name() == kept {
			continue
		}
		if failed := folder.RemoveAll(e.Name()); err == nil {
			err = failed
		}
	}
	return err
}
