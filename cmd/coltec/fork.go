//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/remote"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scaffold"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// forksAtOnce is how many forks are made at a time, and how many copies are under way: the
// store copies, and this host waits.
const forksAtOnce = 4

// forks makes workspaces of a generation of another one, within its bucket.
type forks struct{ *program }

// forked is a generation of a workspace, as forks are made of it.
type forked struct {
	spec       *spec.Spec // of the workspace
	at         string     // what was asked for; "": whatever is the newest
	values     secret.Values
	opener     *remote.Opener
	root       *rclone.Remote // of the heads
	head       *store.Head
	generation store.Generation
	replicas   []store.ForkReplica // without what is of one fork
	from       map[string]*rclone.Remote
	vacant     map[string]bool // keys of heads that were looked for, and are not there
	announce   func(digestKey string)
}

// read reads what a fork of a workspace is made of: the generation at a moment, a number or a
// checkpoint; "" is the newest one.
func (p forks) read(ctx context.Context, sp *spec.Spec, values secret.Values, at string) (*forked, error) {
	f := &forked{spec: sp, at: at, values: values, from: map[string]*rclone.Remote{}}
	f.opener = remote.NewOpener(sp, p.policy(), revealed(values), p.lookupRclone, nil).AtOnce(forksAtOnce)
	r, replicas, err := readerBy(f.opener, sp)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if f.generation, err = r.At(ctx, at, time.Now()); err != nil {
		return nil, err
	}
	if f.head, err = r.Head(ctx); err != nil {
		return nil, err
	}
	if f.root, err = f.opener.Open(ctx, "", false, nil); err != nil {
		return nil, err
	}
	for _, x := range replicas {
		if x.Layout == "mirror" {
			p.say("note: %s is left out: it is kept as plain objects", x.Name)
			continue
		}
		y := store.ForkReplica{Name: x.Name, Ref: f.generation.Replicas[x.Name]}
		if y.Ref.Manifest != "" { // else nothing was there to be committed yet
			if y.Tree, _, err = r.Tree(ctx, x, f.generation); err != nil {
				return nil, err
			}
			y.Tree.Entries = slices.DeleteFunc(y.Tree.Entries, func(e tree.Entry) bool { return store.OfWorkspace(e.Path) })
		}
		if f.from[x.Name], err = f.opener.Open(ctx, x.Name, false, nil); err != nil {
			return nil, err
		}
		f.replicas = append(f.replicas, y)
	}
	return f, nil
}

// make makes a fork for a spec. It says what went through this host, and reports whether the
// fork was there already.
func (p forks) make(ctx context.Context, f *forked, sp *spec.Spec) (made bool, err error) {
	local, err := os.MkdirTemp("", "coltec-fork-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(local)
	host, _ := os.Hostname()
	fork := store.Fork{
		Root: f.root, Workspace: sp.ID(), Head: history.HeadAt(f.opener.HeadRoot(), sp.ID()), Source: f.head, Generation: f.generation,
		Host: host, Now: time.Now(), Local: local, Vacant: f.vacant[store.HeadKey(sp.ID())], Announce: f.announce,
	}
	for _, r := range f.replicas {
		i := slices.IndexFunc(sp.Persistence.Sync, func(y spec.Sync) bool { return y.Name == r.Name })
		if i < 0 {
			p.say("note: %s is left out: the spec of %s has no replica of that name", r.Name, sp.ID())
			continue
		}
		target, err := sp.Target(sp.Persistence.Sync[i].Remote, sp.Persistence.Sync[i].RemotePath, revealed(f.values))
		if err != nil {
			return false, err
		}
		r.Prefix = target.Path
		to, err := f.opener.OpenAt(ctx, r.Name, r.Prefix, false, nil)
		if err != nil {
			return false, err
		}
		from := f.from[r.Name]
		r.To, r.Copy = to, func(ctx context.Context, keys []string) (rclone.Transfer, error) { return from.CopyTo(ctx, keys, to) }
		fork.Replicas = append(fork.Replicas, r)
	}
	done, made, err := fork.Make(ctx)
	if err != nil {
		return false, err
	}
	switch {
	case !made:
		return false, p.isMade(ctx, f, sp)
	case done.Through > 0:
		p.say("note: the store of %s cannot copy by itself: %s of it went through this host", sp.ID(), cmdline.Size(done.Through))
	}
	return made, nil
}

// isMade says of which generation a fork is that was there already. The error is of one that
// is not what was asked for: the newest may be a later one since a call was cut off.
func (p forks) isMade(ctx context.Context, f *forked, sp *spec.Spec) error {
	h, err := store.ReadHead(ctx, f.root, sp.ID())
	if err != nil {
		return err
	}
	if h.Origin == nil {
		return fmt.Errorf("cannot fork %s as %s: %w", f.spec.ID(), sp.ID(), store.ErrForkTaken)
	}
	if of := h.Origin.Generation; f.at != "" && of != f.generation.Number {
		return hint.Wrap(fmt.Errorf("cannot fork %s as %s: there is a fork of that name, of generation %d", f.spec.ID(), sp.ID(), of), "give the fork another name")
	}
	p.say("%s: is a fork of %s already, of generation %d, and nobody used it since", sp.ID(), f.spec.ID(), h.Origin.Generation)
	return nil
}

// each makes a fork for each of some specs. Of several it looks for all heads at one time, and
// writes all digests so.
func (p forks) each(ctx context.Context, f *forked, specs []*spec.Spec) error {
	if len(specs) > 1 {
		if err := f.look(ctx, specs); err != nil {
			return err
		}
		var mu sync.Mutex
		var digests []string
		f.announce = func(key string) {
			mu.Lock()
			defer mu.Unlock()
			digests = append(digests, key)
		}
		defer func() { f.writeDigests(ctx, digests) }()
	}
	return several(ctx, specs, func(ctx context.Context, sp *spec.Spec) error {
		_, err := p.make(ctx, f, sp)
		return err
	})
}

// look finds out which of some workspaces have no head.
func (f *forked) look(ctx context.Context, specs []*spec.Spec) error {
	f.vacant = map[string]bool{}
	var keys []string
	for _, sp := range specs {
		keys = append(keys, store.HeadKey(sp.ID()))
		f.vacant[store.HeadKey(sp.ID())] = true
	}
	there, err := f.root.StatAll(ctx, keys)
	for _, o := range there {
		delete(f.vacant, o.Key)
	}
	return err
}

// writeDigests writes them beside the heads. Where it cannot, the heads are read.
func (f *forked) writeDigests(ctx context.Context, digests []string) {
	dir, err := os.MkdirTemp("", "coltec-fork-")
	if err != nil {
		return
	}
	defer os.RemoveAll(dir)
	for _, key := range digests {
		path := filepath.Join(dir, filepath.FromSlash(key))
		if errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(store.DigestBody), 0o600)) != nil {
			return
		}
	}
	_, _ = f.root.Upload(ctx, dir, digests, nil)
}

// several does something for each in a list, [forksAtOnce] at a time. The first error ends what
// is under way, and what has not begun.
func several[A any](ctx context.Context, list []A, do func(context.Context, A) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots, errs := make(chan struct{}, forksAtOnce), make(chan error, len(list))
	for _, a := range list {
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			err := context.Cause(ctx)
			if err == nil {
				err = do(ctx, a)
			}
			if err != nil {
				cancel(err)
			}
			errs <- err
		}()
	}
	var failed error
	for range list {
		if err := <-errs; err != nil {
			failed = context.Cause(ctx) // of the first, which others may only have seen
		}
	}
	return failed
}

// ofTemplate makes the fork of a new workspace that is to begin with the files of another one
// of the same template and bucket, org/project/env.
func (p forks) ofTemplate(c *cli.Context, of string, d *drawn) error {
	parts := strings.Split(of, "/")
	if len(parts) != 3 || slices.Contains(parts, "") {
		return cmdline.Usage("--fork takes org/project/env, not %q", of)
	}
	other := maps.Clone(d.answers)
	other["org"], other["project"], other["env"] = parts[0], parts[1], parts[2]
	rendered, err := d.template.Render(other)
	if err != nil {
		return err
	}
	sp, err := spec.Parse(of, rendered[specName].Data)
	if err != nil {
		return err
	}
	if sp.ID() != of {
		return fmt.Errorf("cannot fork %s: template %s does not name a workspace by org, project and env", of, d.template.Name())
	}
	if err := p.vacant(d.folder); err != nil {
		return err
	}
	values, err := p.collectMade(c, d.folder, sp)
	if err != nil {
		return err
	}
	f, err := p.read(c.Context, sp, values, "")
	if err != nil {
		return err
	}
	p.sayOf(d.folder, f)
	_, err = p.make(c.Context, f, d.spec)
	return err
}

// sayOf says what a fork is made of.
func (p forks) sayOf(name string, f *forked) {
	p.say("%s: from generation %d of %s, %s", filepath.Base(name), f.generation.Number, f.spec.ID(), f.generation.Time.Local().Format(time.DateTime))
}

// vacant is the error of a folder that a fork cannot be made in.
func (p forks) vacant(folder string) error {
	if _, err := p.destination(folder); err != nil {
		return err
	}
	if _, err := os.Lstat(folder); err == nil {
		return hint.Wrap(fmt.Errorf("cannot fork into %s: it already exists", folder), "name a folder that does not exist yet")
	}
	return nil
}

func cmdFork(p *program) *cli.Command {
	return &cli.Command{
		Name:      "fork",
		Usage:     "make workspaces that begin with the state of another one, by copies within its bucket",
		ArgsUsage: "WORKSPACE[@WHEN] NEW [DIR]",
		Description: `The bucket copies: nothing of the files comes through this host, and the other workspace is only
read. WHEN is the name of a checkpoint, a generation's number, how long ago (2h, 3d), or a time. NEW is org/project/env, or
env alone. Each fork has a lease, a history and a folder of its own: DIR, or one of its env's name beside the other's; its
files come there with coltec up. With --count they are NEW-1, NEW-2 and so on. Logins do not come along. What is in the
bucket counts: coltecd sync in the other workspace brings the newest there.

coltec join brings back what was done in a fork.`,
		Flags: append([]cli.Flag{
			&cli.IntFlag{Name: "count", Aliases: []string{"n"}, Value: 1, Usage: "make so `MANY`"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
		}, secretFlags()...),
		Action: func(c *cli.Context) error { return forks{p}.fork(c) },
	}
}

// forkMost is how many forks one call makes.
const forkMost = 100

// newFork is a fork that is there.
type newFork struct {
	Workspace string `json:"workspace"`
	Folder    string `json:"folder"`
}

func (p forks) fork(c *cli.Context) error {
	count := c.Int("count")
	if c.IsSet("count") && (count < 1 || count > forkMost) {
		return cmdline.Usage("--count is 1 to %d, not %d", forkMost, count)
	}
	w, at, err := p.openAt(c.Context, c.Args().Get(0))
	if err != nil {
		return err
	}
	var all []*drawn
	for i := range max(count, 1) {
		name, dir := c.Args().Get(1), c.Args().Get(2)
		if c.IsSet("count") {
			name = fmt.Sprintf("%s-%d", name, i+1)
			if dir != "" {
				dir = fmt.Sprintf("%s-%d", dir, i+1)
			}
		}
		d, release, err := p.draw(c, w, name, dir)
		if err != nil {
			return err
		}
		defer release()
		all = append(all, d)
	}
	if err := p.trustsRemotes(w); err != nil {
		return err
	}
	values, err := p.collect(c, w.folder, w.spec, nil)
	if err != nil {
		return err
	}
	f, err := p.read(c.Context, w.spec, values, at)
	if err != nil {
		return err
	}
	p.sayOf(c.Args().Get(1), f)
	var specs []*spec.Spec
	for _, d := range all {
		specs = append(specs, d.spec)
	}
	err = p.each(c.Context, f, specs)
	if errors.Is(err, store.ErrForkGone) { // a collection was faster: the newest log tells what there is
		if f, err = p.read(c.Context, w.spec, values, at); err == nil {
			err = p.each(c.Context, f, specs)
		}
	}
	if err != nil {
		return err
	}
	return p.write(c, w, all)
}

// write makes the folders of forks that the bucket has. What they do on this host is agreed to
// where what they are made of is in order: an agent in the other workspace can write its answers.
func (p forks) write(c *cli.Context, w *workspace, all []*drawn) error {
	_, inOrder := p.inOrder(w.folder)
	if !inOrder {
		p.say("note: what %s does on this host, or its answers, is not what you agreed to: the next coltec up asks", w.spec.ID())
	}
	list := []newFork{}
	for _, d := range all {
		if d.tree != nil {
			if _, err := p.render(d.folder, d.tree, scaffold.NewRecord(d.ref, d.template, d.answers), d.spec); err != nil {
				return err
			}
			if inOrder {
				p.trustMade(d.folder, rendered{ref: d.ref, spec: d.spec, tree: d.tree}, nil)
			}
		}
		list = append(list, newFork{d.spec.ID(), d.folder})
	}
	if c.Bool("json") {
		return p.printJSON(list)
	}
	for _, n := range list {
		p.say("%s: forked; next: coltec up %s", n.Workspace, hint.Word(n.Folder))
	}
	return nil
}

// openAt finds the workspace that a person names, with the moment after an @.
func (p forks) openAt(ctx context.Context, name string) (w *workspace, at string, err error) {
	i := strings.LastIndexByte(name, '@')
	if i < 0 || isFolder(name) {
		w, err = p.open(ctx, name)
		return w, "", err
	}
	w, err = p.open(ctx, name[:i])
	return w, name[i+1:], err
}

// draw plans a fork of a workspace. Its tree is nil where the folder is that of the fork
// already: a call that was cut off has made it.
func (p forks) draw(c *cli.Context, w *workspace, name, dir string) (d *drawn, release func(), err error) {
	record, err := scaffold.ReadRecord(w.folder)
	if errors.Is(err, scaffold.ErrNoRecord) {
		return nil, nil, hint.Wrap(fmt.Errorf("cannot fork %s: no template made it, so nothing says how to make another", w.spec.ID()),
			"make one of a template that has the same replicas: coltec new DIR --fork %s", hint.Word(w.spec.ID()))
	}
	if err != nil {
		return nil, nil, err
	}
	if err := p.trustsTemplate(w.folder, record.Template); err != nil {
		return nil, nil, err
	}
	t, err := carried.Open(record.Template, w.folder)
	if err != nil {
		return nil, nil, err
	}
	given := record.For(t)
	given["org"], given["project"] = w.spec.Metadata.Org, w.spec.Metadata.Project
	switch parts := strings.Split(name, "/"); len(parts) {
	case 1:
		given["env"] = name
	case 3:
		given["org"], given["project"], given["env"] = parts[0], parts[1], parts[2]
	default:
		return nil, nil, cmdline.Usage("a fork is called org/project/env, or env alone, and not %q", name)
	}
	if strings.Join([]string{given["org"], given["project"], given["env"]}, "/") == w.spec.ID() {
		return nil, nil, cmdline.Usage("a fork of %s needs another name", w.spec.ID())
	}
	if dir == "" {
		dir = filepath.Join(filepath.Dir(w.folder), given["env"])
	}
	folder, err := p.destination(dir)
	if err != nil {
		return nil, nil, err
	}
	answers, err := t.Answer(given, nil)
	if err != nil {
		return nil, nil, err
	}
	ref, err := fromFolder(folder, below(w.folder, record.Template))
	if err != nil {
		return nil, nil, err
	}
	if release, err = p.lock(c.Context, folder); err != nil {
		return nil, nil, err
	}
	if d, err = (maker(p)).drawn(folder, ref, t, answers); err == nil {
		err = p.fits(w, d)
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return d, release, nil
}

// below is what a reference to a template means in a folder: a path in it is another elsewhere.
func below(folder, ref string) string {
	if scaffold.IsURL(ref) || filepath.IsAbs(ref) || !strings.ContainsAny(ref, `/\`) && ref != "." && ref != ".." {
		return ref
	}
	return filepath.Join(folder, ref)
}

// fits is the error of a fork that cannot be made of a workspace, or not in its folder.
func (p forks) fits(w *workspace, d *drawn) error {
	for _, y := range w.spec.Persistence.Sync {
		for _, z := range d.spec.Persistence.Sync {
			if y.Name == z.Name && !sameStore(w.spec, d.spec, y.Remote, z.Remote) {
				return fmt.Errorf("cannot fork %s: its replica %s is in another store than the template says", w.spec.ID(), y.Name)
			}
		}
	}
	if sp, err := spec.Load(filepath.Join(d.folder, specName)); err == nil && sp.ID() == d.spec.ID() {
		d.tree = nil
		return nil
	}
	return p.vacant(d.folder)
}

// sameStore reports whether two specs lead to one store by two remotes.
func sameStore(a, b *spec.Spec, x, y string) bool {
	return slices.Equal(a.Location(x, "p"), b.Location(y, "p"))
}
