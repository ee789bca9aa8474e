package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/status"
)

// look is a question for all workspaces: those of this host, and those of a bucket.
type look struct {
	folder string        // whose bucket is asked; "": that of the current folder, or of the first one here whose secrets are at hand
	local  bool          // no bucket is asked
	wait   time.Duration // how long a bucket may take to answer; 0: readPatience
	every  time.Duration // how often it is asked by a watch
	price  string        // of the store, as fleet.ParsePrice reads it; "": that of its provider
	flags  *cli.Context  // of a verb with secretFlags: where secrets are looked for
}

// look gives a row for each workspace, and lines for a person about what is not among them. The
// error is that of a question that cannot be asked; a [cmdline.Exit] says that nothing could be
// looked at, and the notes say why.
func (p *program) look(ctx context.Context, l look) (rows []fleet.Row, notes []string, err error) {
	v := view{look: l}
	v.local, v.localErr = p.localFleet(ctx)
	if !l.local {
		v.bucket, v.bucketErr = lister{p}.bucketFleet(ctx, l, v.local)
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return v.rows(time.Now())
}

// view is what is known of all workspaces.
type view struct {
	look
	local     []fleet.Local
	localErr  error
	bucket    bucketLook
	bucketErr error
	answered  bool // of a watch: the bucket did, once
}

// rows are those of a view, as look gives them.
func (v view) rows(now time.Time) (rows []fleet.Row, notes []string, err error) {
	notes = unasked(notes, v.localErr)
	notes = append(notes, v.bucket.notes...)
	notes = notShown(notes, "the bucket is", v.bucketErr)
	rows = fleet.Rows(v.local, v.bucket.seen, now)
	if v.localErr != nil && (v.bucketErr != nil || v.look.local && len(rows) == 0) {
		err = cmdline.Exit{Code: cmdline.CodeFailed}
	}
	if v.price != "" {
		price, wrong := fleet.ParsePrice(v.price)
		if wrong != nil {
			return nil, nil, cmdline.Usage("--price: %v", wrong)
		}
		fleet.Cost(rows, price)
	} else if v.bucket.priced {
		fleet.Cost(rows, v.bucket.price)
	}
	return rows, notes, err
}

// unasked says in one line that rows are told without the containers of this host, and why.
func unasked(notes []string, err error) []string {
	if err == nil {
		return notes
	}
	line := fmt.Sprintf("note: %v", notAsked(err))
	if steps := hint.Of(err); len(steps) > 0 {
		line += " (" + steps[0] + ")"
	}
	return append(notes, line)
}

// notShown says what is missing from the rows, and why.
func notShown(notes []string, what string, err error) []string {
	if err == nil {
		return notes
	}
	notes = append(notes, fmt.Sprintf("note: %s not shown: %v", what, err))
	for _, h := range hint.Of(err) {
		notes = append(notes, "hint: "+h)
	}
	return notes
}

// localFleet are the workspaces here: those with a container, by Docker's labels, and those
// that never ran or whose container is gone. How they are is in the status files that coltecd
// writes; nothing is run in a container, but where its folder is on another machine. With an
// error, containers could not be asked, and those are given that are known without.
func (v environment) localFleet(ctx context.Context) (local []fleet.Local, err error) {
	containers, err := v.containers(ctx)
	for _, ct := range containers {
		l := fleet.Local{Workspace: v.workspaceOf(ct), Folder: ct.Folder(), Container: short(ct.ID), Running: ct.Running, Disabled: cmdline.Yes(ct.Switch())}
		if l.Workspace == "" {
			continue // somebody's dev container without Coltec
		}
		if ct.Volume() == "" {
			l = withStatus(l)
		} else if doc, err := v.statusThere(ctx, ct); err == nil {
			l.Status, l.Written = &doc, time.Now()
		}
		local = append(local, l)
	}
	for _, k := range v.folders() {
		if !slices.ContainsFunc(local, func(l fleet.Local) bool { return same(l.Folder, k.folder) }) {
			local = append(local, withStatus(fleet.Local{Workspace: k.id, Folder: k.folder, Unasked: err != nil}))
		}
	}
	return local, err
}

// withStatus adds what coltecd wrote last. What is known of it already is not read again.
func withStatus(l fleet.Local) fleet.Local {
	if at, err := status.WrittenAt(filepath.Join(l.Folder, logsName)); l.Status != nil && err == nil && at.Equal(l.Written) {
		return l
	}
	if doc, at, err := readStatus(l.Folder); err == nil {
		l.Status, l.Written = &doc, at
	}
	return l
}

// statusThere asks the coltecd of a container on another machine how it is.
func (v environment) statusThere(ctx context.Context, ct devcontainer.Container) (status.Document, error) {
	if !ct.Running {
		return status.Document{}, errors.New("the container is not running")
	}
	tools, err := devcontainer.Docker(v.environ)
	if err != nil {
		return status.Document{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	return ask(ctx, tools, ct, nil, 0)
}

func short(id string) string { return id[:min(len(id), 12)] }

const (
	// answerPatience is how long a bucket may take to answer: the rows of this host
	// are there without it, and whoever asks for them has no second to lose.
	answerPatience = time.Second
	// readPatience bounds the reading of heads from a bucket that answered.
	readPatience = 10 * time.Second
)

// bucketLook is what a bucket told.
type bucketLook struct {
	seen   []fleet.Seen
	notes  []string
	price  fleet.Price
	priced bool
}

// opened is a bucket that can be asked.
type opened struct {
	root   *rclone.Remote
	price  fleet.Price // of its provider
	priced bool
}

// bucketFleet reads the heads in the bucket of the named workspace, of the one in
// the current folder, or of the first one here whose secrets are at hand.
func (p lister) bucketFleet(ctx context.Context, l look, local []fleet.Local) (bucketLook, error) {
	bucket, err := p.bucketFor(ctx, l, local)
	if err != nil {
		return bucketLook{}, err
	}
	return bucket.ask(ctx, l.wait)
}

// ask reads how workspaces are, with what a person should know of that.
func (o opened) ask(ctx context.Context, wait time.Duration) (found bucketLook, err error) {
	found.price, found.priced = o.price, o.priced
	var left int
	found.seen, left, err = fleet.Heads(ctx, o.root.With(headsAtOnce, headsAtOnce, ""), time.Now(), cmp.Or(wait, readPatience), readPatience)
	if errors.Is(err, fleet.ErrNoAnswer) {
		err = hint.Wrap(err, "--wait 10s gives it longer; --local asks none")
	}
	if left > 0 {
		found.notes = append(found.notes, fmt.Sprintf("note: %s not shown: those that were written last are", hint.Count(left, "workspace of the bucket is", "workspaces of the bucket are")))
	}
	return found, err
}

// bucketFor opens the bucket that is to be asked.
func (p lister) bucketFor(ctx context.Context, l look, local []fleet.Local) (opened, error) {
	var refused error
	folders := []string{l.folder} // "" is the current one
	if l.folder == "" {
		for _, here := range local {
			folders = append(folders, here.Folder)
		}
	}
	for _, folder := range folders {
		w, err := open(folder)
		if err != nil {
			if l.folder != "" {
				return opened{}, err
			}
			continue
		}
		bucket, err := p.openHead(ctx, l.flags, w)
		if errors.Is(err, errNoRemote) || errors.As(err, new(*secret.MissingError)) && l.folder == "" {
			continue
		}
		if cmdline.CodeOf(err) == cmdline.CodeUntrusted && l.folder == "" {
			refused = err // another one may do
			continue
		}
		return bucket, err
	}
	if refused == nil {
		refused = hint.Wrap(errNoSecrets, "name a workspace, or see --secrets-file and --age-key-file")
	}
	return opened{}, refused
}

// headsAtOnce is how many heads are read at a time. They are small: what counts is
// the way to the store and back.
const headsAtOnce = 32

// Errors of a bucket that cannot be asked.
var (
	errNoRemote  = errors.New("the workspace keeps nothing in a bucket")
	errNoSecrets = errors.New("no secrets for it")
)

// openHead opens the root of the remote that has the workspace's head.
func (p lister) openHead(ctx context.Context, flags *cli.Context, w *workspace) (opened, error) {
	if !w.hasBucket() {
		return opened{}, errNoRemote
	}
	asked := *flags
	asked.Context = ctx
	values, err := p.collect(&asked, w.folder, w.spec, nil)
	if err != nil {
		return opened{}, err
	}
	bin, err := p.rclone(ctx)
	if err != nil {
		return opened{}, err
	}
	remote := w.spec.Persistence.Remotes[w.spec.HeadRemote()]
	var o opened
	o.price, o.priced = fleet.PriceAt(remote.Type, remote.Options["provider"].Reveal())
	o.root, err = p.headRemote(w, values, bin)
	return o, err
}
