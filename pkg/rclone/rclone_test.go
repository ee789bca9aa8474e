package rclone

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
)

// realBinary is the rclone of this repository.
func realBinary(t testing.TB) Binary {
	t.Helper()
	sample.Long(t)
	path, err := s3test.Rclone()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := Check(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// store is a remote on a real S3 server behind a counting proxy.
type store struct {
	*Remote
	server  *s3test.Server
	proxy   *s3test.Proxy
	backend Backend
}

// newStore starts one, rooted at a prefix.
func newStore(t testing.TB, opts Options) *store {
	t.Helper()
	server := s3test.Start(t)
	proxy := server.Proxy(t)
	backend := Backend{Name: "primary", Type: "s3", Options: server.Options(proxy.Endpoint)}
	r, err := NewRemote(realBinary(t), []Backend{backend}, Root("primary", server.Bucket, "some/prefix"), opts)
	if err != nil {
		t.Fatal(err)
	}
	return &store{r, server, proxy, backend}
}

// counts compares the requests since the last call.
func (s *store) counts(t testing.TB, want map[s3test.Kind]int) {
	t.Helper()
	if diff := cmp.Diff(want, s.proxy.Counts()); diff != "" {
		t.Errorf("requests: %s", diff)
		for _, r := range s.proxy.Requests() {
			t.Logf("%s %s %s?%s -> %d", r.Method, r.Kind, r.Key, r.Query.Encode(), r.Status)
		}
	}
	s.proxy.Reset()
}

// tree writes files into a new directory.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSmallObjects(t *testing.T) {
	t.Parallel()
	s, ctx := newStore(t, Options{}), t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.PutIf(ctx, "a/head.json", []byte("one"), IfAbsent))
	s.counts(t, map[s3test.Kind]int{s3test.Put: 1})

	if err := s.PutIf(ctx, "a/head.json", []byte("two"), IfAbsent); !errors.Is(err, ErrPrecondition) {
		t.Errorf("a second create: %v", err)
	}
	s.counts(t, map[s3test.Kind]int{s3test.Put: 1})

	must(s.PutIf(ctx, "a/head.json", []byte("three"), IfMatch(ETag([]byte("one")))))
	s.counts(t, map[s3test.Kind]int{s3test.Put: 1})

	got, err := s.Get(ctx, "a/head.json", 1<<30)
	must(err)
	if string(got) != "three" {
		t.Errorf("got %q", got)
	}
	s.counts(t, map[s3test.Kind]int{s3test.Get: 1})

	if _, err := s.Get(ctx, "a/none", 1<<30); !errors.Is(err, ErrNotFound) {
		t.Errorf("a missing object: %v", err)
	}
	s.counts(t, map[s3test.Kind]int{s3test.Get: 1})

	o, err := s.Stat(ctx, "a/head.json")
	must(err)
	if o.Key != "a/head.json" || o.Size != 5 || o.MD5 != ETag([]byte("three")) || o.ModTime.IsZero() {
		t.Errorf("stat: %+v", o)
	}
	s.counts(t, map[s3test.Kind]int{s3test.Head: 1})

	must(s.Delete(ctx, []string{"a/head.json", "a/none"}))
	s.counts(t, map[s3test.Kind]int{s3test.Delete: 2})
	if _, err := s.Stat(ctx, "a/head.json"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a deleted object: %v", err)
	}
}

func TestManyObjects(t *testing.T) {
	t.Parallel()
	s, ctx := newStore(t, Options{}), t.Context()
	files := map[string]string{"empty": "", "dir/deep/er": "x"}
	for i := range 20 {
		files[fmt.Sprintf("d%d/f%d", i%3, i)] = strings.Repeat("y", i*100)
	}
	var keys []string
	for key := range files {
		keys = append(keys, key)
	}
	var last Progress
	done, err := s.Upload(ctx, tree(t, files), keys, func(p Progress) { last = p })
	if err != nil || done.Files != len(keys) {
		t.Fatalf("upload: %+v %v", done, err)
	}
	if last.Files != len(keys) || last.TotalFiles != len(keys) {
		t.Errorf("progress: %+v", last)
	}
	s.counts(t, map[s3test.Kind]int{s3test.Put: len(keys)})

	objects, err := s.List(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Object{}
	for key, content := range files {
		want[key] = Object{Key: key, Size: int64(len(content)), MD5: ETag([]byte(content))}
	}
	got := map[string]Object{}
	for _, o := range objects {
		got[o.Key] = o
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("list: %s", diff)
	}
	s.counts(t, map[s3test.Kind]int{s3test.List: 1})

	dir := t.TempDir()
	if done, err = s.Download(ctx, keys, dir, nil); err != nil || done.Files != len(keys) {
		t.Fatalf("download: %+v %v", done, err)
	}
	s.counts(t, map[s3test.Kind]int{s3test.Get: len(keys)})
	if diff := cmp.Diff(files, readTree(t, dir)); diff != "" {
		t.Errorf("download: %s", diff)
	}

	slices.Sort(keys)
	if err := s.Delete(ctx, keys[1:]); err != nil {
		t.Fatal(err)
	}
	s.counts(t, map[s3test.Kind]int{s3test.Delete: len(keys) - 1})
	if objects, err = s.List(ctx, ""); err != nil || len(objects) != 1 || objects[0].Key != keys[0] {
		t.Errorf("after the delete: %v %v", objects, err)
	}
}

// readTree reads all files below a directory.
func readTree(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		files[rel] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
