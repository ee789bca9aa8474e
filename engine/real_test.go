package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
	"github.com/google/go-cmp/cmp"
)

// realRemotes connects to a real S3 server through real rclone.
func realRemotes(t *testing.T, s *s3test.Server) func(context.Context, scope.Target) (scope.Remote, error) {
	t.Helper()
	path, err := s3test.Rclone()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := rclone.Check(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	backend := rclone.Backend{Name: "primary", Type: "s3", Options: s.Options(s.Endpoint)}
	return func(_ context.Context, target scope.Target) (scope.Remote, error) {
		root := rclone.Root("primary", s.Bucket)
		if target.Replica != "" {
			root = rclone.Root("primary", s.Bucket, "workspaces/acme/widget/dev", target.Replica)
		}
		r, err := rclone.NewRemote(bin, []rclone.Backend{backend}, root, rclone.Options{})
		if err != nil {
			return nil, err
		}
		if target.Plain {
			return r.Metadata(), nil
		}
		return r, nil
	}
}

func optionsAt(path string, connect func(context.Context, scope.Target) (scope.Remote, error)) Options {
	return Options{
		Workspace: status.Workspace{Org: "acme", Project: "widget", Env: "dev", Name: "dev"},
		Self:      store.Holder{Host: "test", Instance: store.NewID(), Place: path},
		HeadRoot:  func() string { return "s3:bucket" }, Connect: connect,
		LeaseTTL: time.Minute, LeaseRenew: 20 * time.Second, StopTimeout: 9 * time.Second,
		Replicas: []scope.Replica{{
			Name: "workspace", Path: path, Remote: "primary:bucket", Direction: scope.Bidirectional, Layout: "snapshot",
			Interval: 10 * time.Second, Filter: &filter.Filter{},
		}},
	}
}

func TestRealHop(t *testing.T) {
	connect := realRemotes(t, s3test.Start(t))
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	write(t, a, "hello.txt", "hello")
	write(t, a, "dir/x.sh", "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(a, "dir/x.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, dir := range []string{a, b, b, a} {
		if err := New(optionsAt(dir, connect)).Once(t.Context()); err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		if i == 1 {
			write(t, b, "from-b", "hello from b")
		}
	}
	if diff := cmp.Diff(files(t, a), files(t, b)); diff != "" {
		t.Error(diff)
	}
}

// A finished adoption does not look at the plain objects any more, and leaves
// them where they are.
func TestRealFinishAdoption(t *testing.T) {
	connect := realRemotes(t, s3test.Start(t))
	plain, err := connect(t.Context(), scope.Target{Replica: "workspace", Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string) {
		t.Helper()
		if err := plain.PutIf(t.Context(), key, []byte("plain"), rclone.Cond{}); err != nil {
			t.Fatal(err)
		}
	}
	once := func(dir string) map[string]string {
		t.Helper()
		if err := New(optionsAt(dir, connect)).Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		return files(t, dir)
	}
	put("first")
	dir := filepath.Join(t.TempDir(), "a")
	once(dir)
	put("second")
	if got := once(dir); len(got) != 2 {
		t.Fatalf("before the end of the adoption there are %v", got)
	}
	finish(t, New(optionsAt(dir, connect)))
	put("third")
	if got := once(dir); len(got) != 2 {
		t.Errorf("after the end of the adoption there are %v", got)
	}
	if got := once(filepath.Join(t.TempDir(), "b")); len(got) != 2 {
		t.Errorf("elsewhere there are %v", got)
	}
	left, err := store.NewMirror(plain).Tree(t.Context(), "")
	if err != nil || len(left.Entries) != 3 {
		t.Errorf("plain objects: %v, %v", left, err)
	}
}

// finish runs an engine for as long as it takes to finish its adoptions.
func finish(t *testing.T, e *Engine) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	err := errors.Join(e.Sync(ctx, nil, SyncOptions{}), e.FinishAdoption(ctx, nil))
	cancel()
	if err := errors.Join(err, <-ended); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == ".coltec" {
			return filepath.SkipDir
		}
		info, err := d.Info()
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		out[rel] = info.Mode().String() + " " + info.ModTime().String() + " " + string(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What a person has mended was tried again only when its delay was over, up to a
// minute later, and status repeated what had been wrong.
func TestRetryForgetsTheDelay(t *testing.T) {
	connect := realRemotes(t, s3test.Start(t))
	broken := true
	o := optionsAt(filepath.Join(t.TempDir(), "a"), func(ctx context.Context, target scope.Target) (scope.Remote, error) {
		if broken {
			return nil, errors.New("KEY is not set")
		}
		return connect(ctx, target)
	})
	write(t, o.Replicas[0].Path, "note", "kept")
	e := New(o)
	e.leaseFail = 10 // as long as delays get
	e.round(t.Context())
	if _, replicas, _ := e.Status(); replicas[0].State != status.ReplicaBlocked {
		t.Fatalf("%+v", replicas)
	}
	broken = false
	e.round(t.Context())
	if _, replicas, _ := e.Status(); replicas[0].State != status.ReplicaBlocked {
		t.Fatalf("it did not wait: %+v", replicas)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.await(ctx)
	}()
	if err := e.Retry(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
	if _, replicas, attention := e.Status(); replicas[0].State != status.ReplicaWaiting || replicas[0].LastError != "" || len(attention) > 0 {
		t.Errorf("after it was asked for: %+v, %q", replicas[0], attention)
	}
	e.round(t.Context())
	if _, replicas, _ := e.Status(); replicas[0].State != status.ReplicaSynced || replicas[0].Files != 1 {
		t.Errorf("%+v", replicas[0])
	}
	if err := e.finish(); err != nil {
		t.Error(err)
	}
}

// sleeper is a prefix whose first claim of it takes so long that the lease runs
// out.
type sleeper struct {
	scope.Remote
	sleep func()
}

func (s sleeper) PutIf(ctx context.Context, key string, body []byte, cond rclone.Cond) error {
	s.sleep()
	return s.Remote.PutIf(ctx, key, body, cond)
}

// A lease that ran out between the restore and the push ended the one cycle as
// if all was well: nothing had been pushed, and nobody said so.
func TestOnceTakesALeaseThatRanOutAgain(t *testing.T) {
	real := realRemotes(t, s3test.Start(t))
	slept := time.Duration(0)
	connect := func(ctx context.Context, target scope.Target) (scope.Remote, error) {
		r, err := real(ctx, target)
		if err == nil && target.Replica != "" {
			r = sleeper{r, func() { slept = time.Hour }}
		}
		return r, err
	}
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	write(t, a, "note", "kept")
	e := New(optionsAt(a, connect))
	start := time.Now()
	e.clock.Boot = func() time.Duration { return time.Since(start) + slept }
	if err := e.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if slept == 0 {
		t.Fatal("the lease did not run out")
	}
	if err := New(optionsAt(b, real)).Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files(t, a), files(t, b)); diff != "" {
		t.Error(diff)
	}
}
