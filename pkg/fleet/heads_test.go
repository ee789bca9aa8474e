package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store"
)

// patience is far above what anything takes on a busy machine.
const patience = time.Minute

// counted is the root of a bucket, read by an rclone that notes each of its runs
// in the file runs.
func counted(t *testing.T, s *s3test.Server, endpoint string) (root *rclone.Remote, runs string) {
	t.Helper()
	real, err := s3test.Rclone()
	if err != nil {
		t.Fatal(err)
	}
	runs = filepath.Join(t.TempDir(), "runs")
	script := filepath.Join(t.TempDir(), "rclone")
	text := fmt.Sprintf("#!/bin/sh\necho \"$1\" >>'%s'\nexec '%s' \"$@\"\n", runs, real)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	backend := rclone.Backend{Name: "primary", Type: "s3", Options: s.Options(endpoint)}
	root, err = rclone.NewRemote(rclone.Binary{Path: script, Version: rclone.Needed}, []rclone.Backend{backend}, rclone.Root("primary", s.Bucket), rclone.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return root, runs
}

// Fifty heads cost two runs of rclone, not fifty. What else lies beside heads is no
// workspace, and a head that a later version wrote hides no other.
func TestHeads(t *testing.T) {
	s := s3test.Start(t)
	put := func(key, text string) { t.Helper(); put(t, s, key, text) }
	for i := range 50 {
		h := store.Head{Format: 1, Workspace: fmt.Sprintf("acme/widget/dev-%d", i), State: store.Held, TTL: 180, Holder: store.Holder{Host: "laptop"}}
		b, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		put(store.HeadKey(h.Workspace), string(b))
		put(".coltec/fleet/"+h.Workspace+"/log/1", "no head")
	}
	put(store.HeadKey("acme/widget/later"), `{"format": 99, "workspace": "acme/widget/later"}`)
	put(store.HeadKey("acme/widget/other"), "{")
	put("workspaces/acme/widget/x/head.json", "a file of somebody")

	root, runs := counted(t, s, s.Endpoint)
	seen, left, err := Heads(t.Context(), root, time.Now(), patience, patience)
	if err != nil {
		t.Fatal(err)
	}
	if left != 0 {
		t.Errorf("%d were left", left)
	}
	good := 0
	bad := map[string]string{}
	for _, x := range seen {
		if x.Bad != nil {
			bad[x.Head.Workspace] = x.Bad.Error()
		} else if x.Head.Holder.Host == "laptop" && time.Since(x.At) < time.Hour {
			good++
		}
	}
	if good != 50 || len(bad) != 2 || !strings.Contains(bad["acme/widget/later"], "format 99") || bad["acme/widget/other"] == "" {
		t.Errorf("%d heads, %v", good, bad)
	}
	b, err := os.ReadFile(runs)
	if err != nil || strings.Count(string(b), "\n") != 2 {
		t.Errorf("rclone ran: %q, %v", b, err)
	}
	for _, row := range Rows(nil, seen, time.Now()) {
		if row.Workspace == "acme/widget/later" && (row.State != Unreadable || len(row.Attention) != 1) {
			t.Errorf("%+v", row)
		}
	}
}

func TestHeadsOfASilentStore(t *testing.T) {
	s := s3test.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	root, _ := counted(t, s, "http://"+l.Addr().String())
	began := time.Now()
	if _, _, err := Heads(t.Context(), root, time.Now(), time.Second, patience); !errors.Is(err, ErrNoAnswer) || !strings.Contains(err.Error(), "within 1s") {
		t.Errorf("a silent store: %v", err)
	}
	t.Logf("after %.1f s", time.Since(began).Seconds())
	root, _ = counted(t, s, "http://127.0.0.1:9")
	if _, _, err := Heads(t.Context(), root, time.Now(), patience, patience); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("a closed port: %v", err)
	}
}

// listing is a bucket of heads that are listed, and counts those that are read.
type listing struct {
	n, read int
}

func (l *listing) ListEach(_ context.Context, _ string, _ rclone.ListOptions, f func(rclone.Object) error) error {
	for i := range l.n {
		if err := f(rclone.Object{Key: fmt.Sprintf("acme/widget/dev-%d/head.json", i), ModTime: time.Unix(int64(i*7919%l.n), 0)}); err != nil {
			return err
		}
	}
	return nil
}

func (l *listing) Download(_ context.Context, keys []string, dir string, _ func(rclone.Progress)) (rclone.Transfer, error) {
	l.read += len(keys)
	for _, key := range keys {
		file := filepath.Join(dir, key)
		name := strings.TrimSuffix(strings.TrimPrefix(key, ".coltec/fleet/"), "/head.json")
		body := fmt.Appendf(nil, `{"format":1,"workspace":%q}`, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, body, 0o600)); err != nil {
			return rclone.Transfer{}, err
		}
	}
	return rclone.Transfer{}, nil
}

// A hundred thousand heads hide no workspace that was written a while ago, and are no
// hundred thousand downloads.
func TestMoreHeadsThanAnybodyHas(t *testing.T) {
	sample.Long(t)
	l := &listing{n: 100_000}
	seen, left, err := Heads(t.Context(), l, time.Now(), patience, patience)
	if err != nil || len(seen) != headsMost || left != l.n-headsMost || l.read != headsMost {
		t.Fatalf("%d heads, %d left, %d read, %v", len(seen), left, l.read, err)
	}
	for _, s := range seen {
		if s.Bad != nil || s.At.Unix() < int64(l.n-headsMost) {
			t.Fatalf("%+v is not among the last", s)
		}
	}
}
