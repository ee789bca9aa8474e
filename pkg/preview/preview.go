// Package preview tells what the next cycle of each replica would do. It takes no lease,
// keeps nothing, and writes nothing here or there.
package preview

import (
	"context"
	"errors"
	"os"

	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// Options say of what a preview is made.
type Options struct {
	Workspace status.Workspace
	Replicas  []scope.Replica
	Host      string
	// HeadRoot is where heads are, for the claims: type:bucket/prefix. It is asked once a
	// remote could be connected.
	HeadRoot func() string
	// Connect opens a prefix.
	Connect  func(ctx context.Context, t scope.Target) (scope.Remote, error)
	Rendered func(path string) string // the file that a template rendered for an absolute path; nil for none
}

// Preview is what a cycle of one replica would do.
type Preview struct {
	Replica string
	Steps   []Step
	Err     error // why it cannot be told
}

// Step is one path that a cycle would do something with.
type Step struct {
	Do   string // fetch, push, delete here, delete there, keep aside and fetch, set mode and time
	Path string
}

// Of is what the next cycle of each replica would do.
func Of(ctx context.Context, o Options) []Preview {
	var out []Preview
	for i := range o.Replicas {
		x := &o.Replicas[i]
		steps, err := o.steps(ctx, x)
		out = append(out, Preview{x.Name, steps, err})
	}
	return out
}

func (o *Options) steps(ctx context.Context, x *scope.Replica) ([]Step, error) {
	if x.Blocked != "" {
		return nil, errors.New(x.Blocked)
	}
	tmp, err := os.MkdirTemp("", "coltec-preview-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	other, err := o.other(ctx, x, tmp)
	if err != nil {
		return nil, err
	}
	rep := replica.New(replica.Options{
		Name: x.Name, Workspace: o.Workspace.String(), Path: x.Path, Host: o.Host, Filter: x.Filter, Within: x.Within,
		PushOnly: x.Direction == scope.PushOnly, Pristine: replica.AsRendered(x.Path, o.Rendered), Layout: other.layout,
		Wholes: x.Wholes,
	})
	plan, err := rep.Peek(ctx, other.lineage, other.generation, other.tree)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, d := range plan {
		if do := describe(x, d); do != "" {
			steps = append(steps, Step{do, d.Path})
		}
	}
	return steps, nil
}

// side is the remote tree that a cycle would compare with.
type side struct {
	layout     store.Layout
	lineage    string
	generation int64
	tree       *store.Tree
}

// other reads the remote side of a replica.
func (o *Options) other(ctx context.Context, x *scope.Replica, tmp string) (side, error) {
	var s side
	root, err := o.Connect(ctx, scope.Target{})
	if err != nil {
		return s, err
	}
	remote, err := o.Connect(ctx, scope.Target{Replica: x.Name, Plain: x.Layout == "mirror"})
	if err != nil {
		return s, err
	}
	at, err := o.at(ctx, x, remote, root)
	if err != nil {
		return s, err
	}
	s.lineage, s.generation = at.Lineage, at.Generation
	switch {
	case x.Layout == "mirror":
		s.layout = store.NewMirror(remote)
	default:
		s.layout = store.NewSnapshot(remote, tmp)
	}
	from := s.layout
	if x.Layout == "snapshot" && at.Manifest == "" { // nothing published: what an earlier tool left counts
		plain, err := o.Connect(ctx, scope.Target{Replica: x.Name, Plain: true})
		if err != nil {
			return s, err
		}
		from = store.NewMirror(plain)
	}
	s.tree, err = from.Tree(ctx, at.Manifest)
	return s, err
}

// at is the generation that a cycle would compare with; the zero value where there is none.
func (o *Options) at(ctx context.Context, x *scope.Replica, remote, root scope.Remote) (history.Followed, error) {
	if !x.Writes() {
		return history.Follow(ctx, x, remote, func(context.Context) (scope.Remote, error) { return root, nil }, o.HeadRoot)
	}
	head, err := store.ReadHead(ctx, root, o.Workspace.String())
	if errors.Is(err, rclone.ErrNotFound) {
		return history.Followed{}, nil
	}
	if err != nil {
		return history.Followed{}, err
	}
	return history.Followed{Manifest: head.Replicas[x.Name].Manifest, Lineage: head.Lineage, Generation: head.Generation}, nil
}

// describe puts a decision in words; "" for none.
func describe(x *scope.Replica, d plan.Decision) string {
	pulls, pushes := x.Direction != scope.PushOnly, x.Writes()
	switch {
	case d.Op == plan.Take && pulls:
		return "fetch"
	case d.Op == plan.Delete && pulls:
		return "delete here"
	case d.Op == plan.Meta && pulls:
		return "set mode and time"
	case d.Op == plan.Conflict && pulls:
		return "keep aside and fetch"
	case d.Op == plan.Displace && pulls:
		return "keep aside"
	case (d.Op == plan.Keep || d.Op == plan.Conflict) && pushes, d.Op == plan.Adopt && pushes && d.Changed():
		return "push"
	case d.Op == plan.Withdraw && pushes:
		return "delete there"
	}
	return ""
}
