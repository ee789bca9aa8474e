package daemon

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/frozen"
	"github.com/coltec/coltec/pkg/process"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/supervisor"
)

// frozenIn are the directories of a replica that are only valid together, and what there is
// to capture them by.
func (s setting) frozenIn(y spec.Sync) (frozen.Kind, error) {
	carries, err := filter.Compile(append(filter.Excludes(y.Exclude), filter.Rule{Pattern: partials}))
	if err != nil {
		return frozen.Kind{}, err
	}
	k := frozen.Kind{Carries: carries}
	for _, w := range y.Consistency {
		k.Paths = append(k.Paths, frozen.Path{Path: w.Path, By: frozen.By(w.By), Units: w.Units})
	}
	if s.runtime == "" { // a dry run
		return k, nil
	}
	k.Means.Stopper = s.stopper
	if s.capturing() && s.await != nil {
		k.Means.Before = func(ctx context.Context, env []string) error { return s.capture(ctx, hooks.PreCapture, env) }
		k.Means.After = func(ctx context.Context, env []string) error { return s.capture(ctx, hooks.PostCapture, env) }
	}
	return k, nil
}

// capturing reports whether there are hooks around captures.
func (s setting) capturing() bool {
	return len(s.spec.Hooks[hooks.PreCapture])+len(s.spec.Hooks[hooks.PostCapture]) > 0
}

// capture runs the hooks of a point, and waits for them.
func (s setting) capture(ctx context.Context, point hooks.Point, env []string) error {
	err := s.await(ctx, point, env)
	if errors.Is(err, supervisor.ErrStopped) {
		return frozen.ErrOver
	}
	return err
}

// GuardVerb is the verb of the process that has others go on when this one is killed. Its
// argument is for how long they stand at most.
const GuardVerb = "guard"

// Guard is the work of that process. It ends with in.
func Guard(in io.Reader, out io.Writer, limit time.Duration) error {
	return process.Guard(in, out, limit)
}

// stopper has the processes of units stand still.
func (s setting) stopper() (frozen.Stopper, error) {
	f, err := process.NewFreezer([]string{"/proc/self/exe", GuardVerb}, frozen.Limit)
	if err != nil {
		return nil, err
	}
	return stopper{f, s.selection}, nil
}

// stopper is a Freezer of units of this coltecd.
type stopper struct {
	*process.Freezer
	of func(units []string) process.Selection
}

// Stop stops the processes of units.
func (s stopper) Stop(units []string) (int, error) { return s.Freezer.Stop(s.of(units)) }

// selection are the processes of units; nil: of all but those that coltecd itself needs.
func (s setting) selection(units []string) process.Selection {
	return process.Selection{Marker: markOf(s.runtime), Units: units, Spare: []string{engineUnit, "tailscaled", "tailscale-up"}}
}
