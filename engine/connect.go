package engine

import (
	"context"

	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/whole"
)

// connectMember opens a member's prefix, once.
func (l *loop) connectMember(ctx context.Context, m *member) error {
	if m.remote != nil {
		return nil
	}
	remote, err := l.connect(ctx, scope.Target{Replica: m.Name, Plain: m.Layout == "mirror", Spent: l.spending(&m.cost)})
	if err == nil {
		m.connected = l.assemble(m, remote)
	}
	return err
}

// assemble makes what a member works on. Without a remote it can be surveyed, and knows
// of no state that came from elsewhere.
func (l *loop) assemble(m *member, remote scope.Remote) connected {
	c := connected{remote: remote}
	show := l.shown.underWay(m)
	c.wholes = m.Wholes.Carry(whole.Options{
		Replica: m.Name, Path: m.Path, Env: l.o.Workspace.Env, Host: l.o.Self.Host, Log: l.o.Log, Now: l.clock.Now,
		Carries:    func(path string) bool { return m.Filter.Carries(path, false) },
		Came:       func(path string) bool { return remote == nil || c.rep.Agrees(path) },
		Conflicted: func(paths []string) { l.conflicted(m.Name, paths) },
		Progress:   showProgress(show),
		Doing:      func(what string) { show(func(r *status.Replica) { r.Doing = what }) },
	})
	c.rep = replica.New(replica.Options{
		Name: m.Name, Workspace: l.o.Workspace.String(), Path: m.Path, Host: l.o.Self.Host,
		Filter: m.Filter, Within: m.Within, PushOnly: m.Direction == scope.PushOnly, Pristine: replica.AsRendered(m.Path, l.o.Rendered),
		FileSystem: l.clock.files, Now: l.clock.Now, Wholes: m.Wholes, Capture: c.wholes.Capture, Comes: c.wholes.Comes,
	})
	c.wholes.Serve(c.rep)
	c.layout = layoutOf(&m.Replica, c.rep.Dir(), remote)
	c.rep.Layout = c.layout
	return c
}
