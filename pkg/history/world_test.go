package history

import (
	"context"
	"testing"

	"github.com/coltec/coltec/internal/gentest"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// world is a workspace whose history is read.
type world struct {
	*gentest.Workspace
	t       *testing.T
	replica scope.Replica
}

func newWorld(t *testing.T) *world {
	return &world{gentest.New(t), t, scope.Replica{Name: gentest.Replica, Path: t.TempDir(), Remote: "mem:r", Layout: "snapshot"}}
}

// reader reads the bucket as it is now.
func (w *world) reader() *Reader {
	w.t.Helper()
	r, err := NewReader(Options{
		Workspace: status.Workspace{Org: "o", Project: "p", Env: "e"}, Replicas: []scope.Replica{w.replica},
		Connect: func(_ context.Context, t scope.Target) (scope.Remote, error) {
			if t.Replica == "" {
				return w.Bucket, nil
			}
			return w.Bucket.At(t.Replica), nil
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(r.Close)
	return r
}

// claim claims the replica's prefix.
func (w *world) claim(c store.Claim) {
	w.t.Helper()
	if _, err := store.Stake(w.t.Context(), w.Prefix, c, store.Look{}); err != nil {
		w.t.Fatal(err)
	}
}
