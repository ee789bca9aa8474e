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
		m.connected = l.assemble(m, remote, l.shown.underWay(m))
	}
	return err
}

// assemble makes what a member works on. show is told how that goes. Without a remote it can
// be surveyed, and knows of no state that came from elsewhere.
func (v *env) assemble(m *member, remote scope.Remote, show func(change func(*status.Replica))) connected {
	c := connected{remote: remote}
	c.wholes = m.Wholes.Carry(whole.Options{
		Replica: m.Name, Path: m.Path, Env: v.o.Workspace.Env, Host: v.o.Self.Host, Log: v.o.Log, Now: v.clock.Now,
		Carries:    func(path string) bool { return m.Filter.Carries(path, false) },
		Came:       func(path string) bool { return remote == nil || c.rep.Agrees(path) },
		Conflicted: func(paths []string) { v.conflicted(m.Name, paths) },
		Progress:   showProgress(show),
		Doing:      func(what string) { show(func(r *status.Replica) { r.Doing = what }) },
	})
	c.rep = replica.New(replica.Options{
		Name: m.Name, Workspace: v.o.Workspace.String(), Path: m.Path, Host: v.o.Self.Host,
		Filter: m.Filter, Within: m.Within, PushOnly: m.Direction == scope.PushOnly, Pristine: replica.AsRendered(m.Path, v.o.Rendered),
		FileSystem: v.clock.files, Now: v.clock.Now, Wholes: m.Wholes, Capture: c.wholes.Capture, Comes: c.wholes.Comes,
	})
	c.wholes.Serve(c.rep)
	c.layout = layoutOf(&m.Replica, c.rep.Dir(), remote)
	c.rep.Layout = c.layout
	return c
}
