package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/remote"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/inquiry"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/trigger"
)

func (p exporter) export(c *cli.Context) error {
	w, err := p.open(c.Context, c.Args().Get(0))
	if err != nil {
		return err
	}
	dir, err := p.destination(c.Args().Get(1))
	if err != nil {
		return err
	}
	if err := p.trustsRemotes(w); err != nil {
		return err
	}
	values, err := p.collect(c, w.folder, w.spec, nil)
	if err != nil {
		return err
	}
	r, replicas, err := p.reader(w.spec, values)
	if err != nil {
		return err
	}
	defer r.Close()
	if name := c.String("replica"); name != "" {
		if replicas, err = only(name, replicas); err != nil {
			return err
		}
	}
	g, err := r.At(c.Context, c.String("at"), time.Now())
	if err != nil {
		return err
	}
	p.say("generation %d of %s", g.Number, g.Time.Local().Format(time.DateTime))
	placed, left, err := r.ExportAll(c.Context, replicas, g, dir, p.exportOptions(c))
	if err != nil {
		return err
	}
	p.sayTriggers(dir, trigger.In(dir))
	for _, name := range left {
		p.say("%s: left out: it is not in generation %d, or is kept as plain objects, which rclone copy reads", name, g.Number)
	}
	return p.page().Placed(inquiry.Placed(placed), c.Bool("json"), func(x control.Placed) string {
		return fmt.Sprintf("%s: %s in %s", x.Replica, hint.Count(x.Placed, "file or directory", "files and directories"), x.Dir)
	})
}

// only is the replica of a name.
func only(name string, replicas []scope.Replica) ([]scope.Replica, error) {
	words := map[string]string{}
	for _, x := range replicas {
		if x.Name == name {
			return []scope.Replica{x}, nil
		}
		words[x.Name] = x.Name
	}
	err := cmdline.Usage("there is no replica %q", name)
	if near := cmdline.Nearest(name, words); near != "" {
		return nil, hint.Wrap(err, "did you mean %s?", near)
	}
	return nil, hint.Wrap(err, "there is %s", strings.Join(slices.Sorted(maps.Keys(words)), ", "))
}

// exportOptions are how files of a workspace come to this host: not with the power to
// run as somebody else.
func (p *program) exportOptions(c *cli.Context) history.ExportOptions {
	return history.ExportOptions{
		PlainModes: !c.Bool("keep-modes"),
		Progress: func(name string) store.Progress {
			return remote.Progress(name, func(line string) { p.say("%s", line) })
		},
	}
}

// reader reads the workspace of a spec with these secrets.
func (v environment) reader(sp *spec.Spec, values secret.Values) (*history.Reader, []scope.Replica, error) {
	return readerBy(remote.NewOpener(sp, v.policy(), revealed(values), v.lookupRclone, nil), sp)
}

// readerBy reads the workspace of a spec with what opens its remotes.
func readerBy(opener *remote.Opener, sp *spec.Spec) (*history.Reader, []scope.Replica, error) {
	o := history.Options{
		Workspace: status.Workspace{Org: sp.Metadata.Org, Project: sp.Metadata.Project, Env: sp.Metadata.Environment, Name: sp.Name},
		Connect: func(ctx context.Context, t scope.Target) (scope.Remote, error) {
			r, err := opener.OpenAt(ctx, t.Replica, t.Prefix, t.Plain, t.Spent)
			if err != nil {
				return nil, err // not a nil *Remote in an interface
			}
			return r, nil
		},
	}
	for _, y := range sp.Replicas() {
		o.Replicas = append(o.Replicas, scope.Replica{Name: y.Name, Path: filepath.Clean(y.Path), Home: y.InHome, Layout: y.Layout})
	}
	if len(o.Replicas) == 0 {
		return nil, nil, hint.Wrap(fmt.Errorf("%s has no replicas", sp.ID()), "enable persistence in its spec")
	}
	r, err := history.NewReader(o)
	return r, o.Replicas, err
}
