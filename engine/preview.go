package engine

import (
	"context"
	"errors"
	"os"

	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store"
)

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

// Preview says what the next cycle of each replica would do. It takes no
// lease, and writes nothing here or there.
func (e *Engine) Preview(ctx context.Context) []Preview {
	var out []Preview
	for _, m := range e.members {
		steps, err := e.previewOne(ctx, m)
		out = append(out, Preview{m.Name, steps, err})
	}
	return out
}

func (e *Engine) previewOne(ctx context.Context, m *member) ([]Step, error) {
	if m.err != nil {
		return nil, m.err
	}
	tmp, err := os.MkdirTemp("", "coltec-preview-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	if err := e.connectRoot(ctx); err != nil {
		return nil, err
	}
	if err := e.connect(ctx, m); err != nil {
		return nil, err
	}
	if m.Layout == "snapshot" {
		m.layout = store.NewSnapshot(m.remote, tmp)
	}
	lineage, generation, tree, err := e.previewTree(ctx, m)
	if err != nil {
		return nil, err
	}
	plan, err := m.rep.Peek(ctx, lineage, generation, tree)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, d := range plan {
		if do := m.says(d); do != "" {
			steps = append(steps, Step{do, d.Path})
		}
	}
	return steps, nil
}

// previewTree reads the remote tree that a cycle would compare with.
func (e *Engine) previewTree(ctx context.Context, m *member) (lineage string, generation int64, t *store.Tree, err error) {
	manifest := ""
	if m.writes() {
		head, err := store.ReadHead(ctx, e.head, e.o.Workspace.String())
		if err != nil && !errors.Is(err, rclone.ErrNotFound) {
			return "", 0, nil, err
		}
		if err == nil {
			lineage, generation = head.Lineage, head.Generation
			manifest = head.Replicas[m.Name].Manifest
		}
	} else {
		ref, err := e.pullRef(ctx, m)
		if err != nil {
			return "", 0, nil, err
		}
		lineage, generation, manifest = ref.lineage, ref.generation, ref.manifest
	}
	layout := m.layout
	if m.Layout == "snapshot" && manifest == "" { // nothing published: what an earlier tool left counts
		remote, err := e.o.Connect(ctx, Target{Replica: m.Name, Plain: true})
		if err != nil {
			return "", 0, nil, err
		}
		layout = store.NewMirror(remote)
	}
	t, err = layout.Tree(ctx, manifest)
	return lineage, generation, t, err
}

// says puts a decision in words; "" for none.
func (m *member) says(d plan.Decision) string {
	pulls, pushes := m.Direction != PushOnly, m.writes()
	switch {
	case d.Op == plan.Take && pulls:
		return "fetch"
	case d.Op == plan.Delete && pulls:
		return "delete here"
	case d.Op == plan.Meta && pulls:
		return "set mode and time"
	case d.Op == plan.Conflict && pulls:
		return "keep aside and fetch"
	case d.Op == plan.Aside && pulls:
		return "keep aside"
	case (d.Op == plan.Keep || d.Op == plan.Conflict) && pushes, d.Op == plan.Adopt && pushes && d.Changed():
		return "push"
	case d.Op == plan.Withdraw && pushes:
		return "delete there"
	}
	return ""
}
