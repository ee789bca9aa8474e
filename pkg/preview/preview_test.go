package preview

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store/storetest"
)

// TestOf: what would be done is told of each replica, and no request writes anything.
func TestOf(t *testing.T) {
	bucket := storetest.New()
	bucket.Set("r/there", []byte("1"))
	bucket.Hook(func(e storetest.Event) error {
		switch e.Op {
		case storetest.Get, storetest.List, storetest.Stat, storetest.Download:
			return nil
		}
		t.Errorf("%s %v", e.Op, e.Keys)
		return nil
	})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "here"), []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	replica := func(name string, d scope.Direction) scope.Replica {
		return scope.Replica{Name: name, Path: dir, Remote: name, Direction: d, Layout: "snapshot", Filter: &filter.Filter{}}
	}
	blocked := replica("blocked", scope.Bidirectional)
	blocked.Blocked = "it is set up wrongly"
	got := Of(t.Context(), Options{
		Workspace: status.Workspace{Org: "o", Project: "p", Env: "e"}, HeadRoot: func() string { return "mem:" },
		Connect: func(_ context.Context, to scope.Target) (scope.Remote, error) { return bucket.At(to.Replica), nil },
		Replicas: []scope.Replica{
			replica("r", scope.Bidirectional), replica("r", scope.PushOnly), blocked, replica("follows", scope.PullOnly),
		},
	})
	want := []Preview{
		{Replica: "r", Steps: []Step{{"push", "here"}, {"fetch", "there"}}},
		{Replica: "r", Steps: []Step{{"push", "here"}}},
		{Replica: "blocked", Err: errors.New("it is set up wrongly")},
		{Replica: "follows", Err: errors.New("cannot follow follows: no workspace has published there yet")},
	}
	same := cmp.Comparer(func(a, b error) bool { return a == b || a != nil && b != nil && a.Error() == b.Error() })
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Error(diff)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("here are %v, %v", names, err)
	}
}
