package rclone

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/hint"
)

// awkward are names that some layer between us and the object may spoil.
var awkward = []string{
	"plain", "#hash", ";semicolon", "-dash", "--delete-before", " leading", "trailing ", "a  b", "per%cent", "%41", "a+b",
	`quo"te`, `single'`, `back\slash`, "new\nline", "cr\r", "cr\r\nlf", "tab\t", "\tleading tab", "bell\a", "del\x7f",
	"ümläut", "u\u0308decomposed", "日本", "full／width", "quote‛char", "‛FF", "␊", "．", "x．", "␀", "␡", "\xff\xfe not utf-8", "caf\xe9", "*", "?", "[a]", "{a,b}",
	"colon:colon", "a,b", "comma, \"quoted\"", "~", "$HOME", "`id`", "&amp;", "<xml>", "trailing.", "...", ".hidden", "dir /file ", "dir\nnew/li\nne",
	"\ufeffbom", "\ufffd", "con", strings.Repeat("x", 200), strings.Repeat("deep/", 40) + "end", strings.Repeat("é", 100),
}

func TestNamesGoThereAndBack(t *testing.T) {
	t.Parallel()
	s, ctx := newStore(t, Options{}), t.Context()
	files := map[string]string{}
	for i, name := range awkward {
		files[name] = fmt.Sprintf("content %d", i)
	}
	if _, err := s.Upload(ctx, tree(t, files), awkward, nil); err != nil {
		t.Fatal(err)
	}
	s.counts(t, map[s3test.Kind]int{s3test.Put: len(files)})

	objects, err := s.List(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, o := range objects {
		listed[o.Key] = o.MD5
	}
	want := map[string]string{}
	for name, content := range files {
		want[name] = ETag([]byte(content))
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("list: %s", diff)
	}

	dir := t.TempDir()
	var arrived []string
	if _, err := s.Download(ctx, awkward, dir, func(p Progress) {
		if p.Arrived != "" {
			arrived = append(arrived, p.Arrived)
		}
	}); err != nil {
		t.Fatal(err)
	}
	for _, name := range awkward {
		if utf8.ValidString(name) && !slices.Contains(arrived, name) {
			t.Errorf("%q arrived, and nobody was told", name)
		}
	}
	if diff := cmp.Diff(files, readTree(t, dir)); diff != "" {
		t.Errorf("download: %s", diff)
	}

	for i, name := range awkward {
		if i%8 != 0 && name != "new\nline" && name != "\xff\xfe not utf-8" {
			continue // a process each: some will do
		}
		size := int64(len(files[name]))
		if got, err := s.Get(ctx, name, size); err != nil || string(got) != files[name] {
			t.Errorf("get %q: %q %v", name, got, err)
		}
		if got, err := s.Get(ctx, name, size-1); !errors.Is(err, ErrTooLarge) || got != nil {
			t.Errorf("get %q with a byte less: %q %v", name, got, err)
		}
		if o, err := s.Stat(ctx, name); err != nil || o.Key != name {
			t.Errorf("stat %q: %q %v", name, o.Key, err)
		}
	}

	// All but one go; what is left is the one.
	if err := s.Delete(ctx, awkward[1:]); err != nil {
		t.Fatal(err)
	}
	if objects, err = s.List(ctx, ""); err != nil || len(objects) != 1 || objects[0].Key != awkward[0] {
		t.Errorf("after the delete: %+v %v", objects, err)
	}
}

func TestPutNames(t *testing.T) {
	s := newStore(t, Options{})
	for _, name := range []string{"-dash", "new\nline", "a:b", "dir /x ", "caf\xe9", `"quoted", yes`} {
		if err := s.PutIf(t.Context(), name, []byte(name), IfAbsent); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	objects, err := s.List(t.Context(), "")
	if err != nil || len(objects) != 6 {
		t.Fatalf("%+v %v", objects, err)
	}
	for _, o := range objects {
		if o.MD5 != ETag([]byte(o.Key)) {
			t.Errorf("%q holds something else", o.Key)
		}
	}
}

// Above 100 KiB rclone streams in parts, which carry no condition: a lease over
// a grown head would have been no lease.
func TestConditionHoldsAtAnySize(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	for _, size := range []int{0, 1, memory - 1, memory, memory + 1, 150_000, 200<<10 - 1, 200 << 10, 3 << 20} {
		key, body := fmt.Sprint("k", size), bytes.Repeat([]byte("x"), size)
		if err := s.PutIf(t.Context(), key, body, IfAbsent); err != nil {
			t.Errorf("%d: %v", size, err)
		}
		if err := s.PutIf(t.Context(), key, body, IfAbsent); !errors.Is(err, ErrPrecondition) {
			t.Errorf("%d again: %v", size, err)
		}
		s.counts(t, map[s3test.Kind]int{s3test.Put: 2})
		if got, err := s.Get(t.Context(), key, 1<<30); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d: got %d bytes, %v", size, len(got), err)
		}
		s.proxy.Reset()
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	s, ctx := newStore(t, Options{}), t.Context()
	if err := s.PutIf(ctx, "there", []byte("x"), Cond{}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	done, err := s.Download(ctx, []string{"there", "gone", "dir/gone too"}, dir, nil)
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, ErrNotFound) {
		t.Fatalf("download: %v", err)
	}
	slices.Sort(e.Keys)
	if diff := cmp.Diff([]string{"dir/gone too", "gone"}, e.Keys); diff != "" {
		t.Error(diff)
	}
	if done.Files != 1 || readTree(t, dir)["there"] != "x" {
		t.Errorf("the one that is there did not come: %+v", done)
	}
	if found, err := s.StatAll(ctx, []string{"gone", "there"}); err != nil || len(found) != 1 || found[0].Key != "there" {
		t.Errorf("stat: %+v %v", found, err)
	}
	if objects, err := s.List(ctx, "no/such/prefix"); err != nil || len(objects) != 0 {
		t.Errorf("list: %v %v", objects, err)
	}
	_, err = s.Upload(ctx, tree(t, map[string]string{"a": "1"}), []string{"a", "vanished"}, nil)
	if !errors.As(err, &e) || e.Class != LocalChanged || !cmp.Equal(e.Keys, []string{"vanished"}) {
		t.Errorf("upload: %v", err)
	}
}

// A missing bucket is one to a listing, too, and no empty prefix.
func TestNoBucket(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	r := *s.Remote
	r.root = "primary:no-such-bucket/x"
	err := r.PutIf(t.Context(), "k", []byte("x"), IfAbsent)
	if ClassOf(err) != NoBucket || len(hint.Of(err)) == 0 {
		t.Errorf("put: %v", err)
	}
	if _, err := r.Upload(t.Context(), tree(t, map[string]string{"a": "1"}), []string{"a"}, nil); ClassOf(err) != NoBucket {
		t.Errorf("upload: %v", err)
	}
	if _, err := r.List(t.Context(), ""); ClassOf(err) != NoBucket {
		t.Errorf("list: %v", err)
	}
}

func TestBadCredentials(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	secret := "notthesecretatall"
	for option, value := range map[string]string{"secret_access_key": secret, "access_key_id": secret} {
		b := Backend{Name: "primary", Type: "s3", Options: s.server.Options(s.proxy.Endpoint)}
		b.Options[option] = value
		r, err := NewRemote(s.bin, []Backend{b}, s.root, Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, getErr := r.Get(t.Context(), "k", 1<<30)
		_, listErr := r.List(t.Context(), "")
		for op, err := range map[string]error{"put": r.PutIf(t.Context(), "k", nil, Cond{}), "get": getErr, "list": listErr} {
			if ClassOf(err) != Unauthorized || strings.Contains(err.Error(), secret) || len(hint.Of(err)) == 0 {
				t.Errorf("%s, %s: class %s: %v", option, op, ClassOf(err), err)
			}
		}
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	const endpoint = "http://127.0.0.1:9" // a port that was free a moment ago may be another test's now
	b := Backend{Name: "p", Type: "s3", Options: map[string]string{"provider": "Other", "endpoint": endpoint, "access_key_id": "abcdefgh", "secret_access_key": "abcdefghi"}}
	r, err := NewRemote(realBinary(t), []Backend{b}, "p:b", Options{})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err = r.PutIf(t.Context(), "k", nil, IfAbsent)
	if ClassOf(err) != Unreachable || !errors.Is(err, ErrUnknown) {
		t.Errorf("put: %v", err)
	}
	if _, err := r.List(t.Context(), ""); ClassOf(err) != Unreachable {
		t.Errorf("list: %v", err)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestInjectedFaults(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fault s3test.Fault
		want  Class
	}{
		"slow down":       {s3test.Fault{Status: 503, Code: "SlowDown"}, Throttled},
		"429":             {s3test.Fault{Status: 429, Code: "TooManyRequests"}, Throttled},
		"conflict":        {s3test.Fault{Status: 409, Code: "ConditionalRequestConflict"}, Conflict},
		"internal error":  {s3test.Fault{Status: 500, Code: "InternalError"}, Server},
		"skewed":          {s3test.Fault{Status: 403, Code: "RequestTimeTooSkewed"}, ClockSkew},
		"not implemented": {s3test.Fault{Status: 501, Code: "NotImplemented"}, Unsupported},
		"dropped":         {s3test.Fault{Drop: true}, Unreachable},
		"answer dropped":  {s3test.Fault{DropResponse: true}, Unreachable},
		"silent":          {s3test.Fault{Hang: true}, Unreachable},
	}
	patient, hasty := newStore(t, Options{}), newStore(t, Options{IdleTimeout: 2 * time.Second})
	class := func(name string) Class { return tests[name].want }
	for _, name := range sample.OfEach(t, 1, slices.Sorted(maps.Keys(tests)), class) {
		t.Run(name, func(t *testing.T) {
			tt, s := tests[name], patient
			if tt.fault.Hang {
				s = hasty
			}
			s.proxy.Reset()
			remove := s.proxy.Inject(tt.fault)
			err := s.PutIf(t.Context(), name, []byte("x"), IfAbsent)
			if ClassOf(err) != tt.want {
				t.Errorf("class %s: %v", ClassOf(err), err)
			}
			puts := 1 // an unknown answer must be the caller's to see
			if tt.want == Throttled {
				puts = throttledTries // nothing was written, and it will be taken a little later
			}
			if n := s.proxy.Counts()[s3test.Put]; n != puts {
				t.Errorf("%d PUTs, want %d", n, puts)
			}
			remove()
			_, err = s.Get(t.Context(), name, 1<<30)
			if written := err == nil; written != tt.fault.DropResponse {
				t.Errorf("written: %v", written)
			}
		})
	}
}

// The body that was cut short is never taken for the whole.
func TestTruncatedAnswer(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	if err := s.PutIf(t.Context(), "k", bytes.Repeat([]byte("x"), 5000), Cond{}); err != nil {
		t.Fatal(err)
	}
	remove := s.proxy.Inject(s3test.Fault{Kind: s3test.Get, Truncate: true})
	if got, err := s.Get(t.Context(), "k", 1<<30); ClassOf(err) != Unreachable {
		t.Errorf("get: %d bytes, %v", len(got), err)
	}
	dir := t.TempDir()
	if _, err := s.Download(t.Context(), []string{"k"}, dir, nil); err == nil {
		t.Error("download: no error")
	}
	remove()
	if _, err := s.Download(t.Context(), []string{"k"}, dir, nil); err != nil || len(readTree(t, dir)["k"]) != 5000 {
		t.Errorf("download again: %v", err)
	}
}

func TestCanceledUpload(t *testing.T) {
	s := newStore(t, Options{})
	why := errors.New("the lease is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	s.proxy.Inject(s3test.Fault{Kind: s3test.Put, Hang: true, Before: func(s3test.Request) { cancel(why) }})
	start := time.Now()
	_, err := s.Upload(ctx, tree(t, map[string]string{"a": "1"}), []string{"a"}, nil)
	if !errors.Is(err, why) || ClassOf(err) != Canceled {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > killAfter+30*time.Second {
		t.Errorf("took %s", took)
	}
}

// A copy to another root is the store's own: no byte of it comes by here. Within a back end
// that cannot copy, all of it does, and that is said.
func TestCopyTo(t *testing.T) {
	t.Parallel()
	s, ctx := newStore(t, Options{}), t.Context()
	keys := []string{"a", "d/b", "caf\xe9\n"}
	files := map[string]string{}
	size := 0
	for _, key := range keys {
		files[key] = strings.Repeat("content of "+key, 1000)
		size += len(files[key])
	}
	from, to := s.At("from"), s.At("to")
	if _, err := from.Upload(ctx, tree(t, files), keys, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again: all of it is copied once more
		s.proxy.Reset()
		done, err := from.CopyTo(ctx, append([]string{"gone"}, keys...), to)
		if err != nil || done.Files != 3 || done.Through != 0 {
			t.Fatalf("%+v %v", done, err)
		}
		s.counts(t, map[s3test.Kind]int{s3test.Head: 4 + 3, s3test.Copy: 3})
	}
	for _, at := range []*Remote{from, to} {
		objects, err := at.List(ctx, "")
		if err != nil || len(objects) != 3 {
			t.Fatalf("%v, %v", objects, err)
		}
		for _, o := range objects {
			if o.MD5 != ETag([]byte(files[o.Key])) {
				t.Errorf("%s is something else", o.Key)
			}
		}
	}
	// Names and contents of an encrypted remote do not depend on where in it they are.
	crypt := Backend{Name: "sealed", Type: "crypt", Options: map[string]string{
		"remote": Root("primary", s.server.Bucket, "sealed"), "filename_encryption": "standard", "directory_name_encryption": "true",
	}, Passwords: map[string]string{"password": "a password"}}
	sealed, err := NewRemote(s.bin, []Backend{crypt, s.backend}, Root("sealed"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealed.At("from").Upload(ctx, tree(t, files), keys, nil); err != nil {
		t.Fatal(err)
	}
	if done, err := sealed.At("from").CopyTo(ctx, keys, sealed.At("to")); err != nil || done.Files != 3 || done.Through != 0 {
		t.Errorf("encrypted: %+v, %v", done, err)
	}
	dir := t.TempDir()
	if _, err := sealed.At("to").Download(ctx, keys, dir, nil); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if b, err := os.ReadFile(filepath.Join(dir, key)); err != nil || string(b) != files[key] {
			t.Errorf("encrypted: %q has %d bytes, %v", key, len(b), err)
		}
	}
	local := func(name string) *Remote {
		r, err := NewRemote(s.bin, []Backend{{Name: name, Type: "local"}}, Root(name, t.TempDir()), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	disk := local("disk")
	if _, err := disk.At("from").Upload(ctx, tree(t, files), keys[:2], nil); err != nil {
		t.Fatal(err)
	}
	done, err := disk.At("from").CopyTo(ctx, keys[:2], disk.At("to"))
	if want := int64(len(files["a"]) + len(files["d/b"])); err != nil || done.Files != 2 || done.Through != want {
		t.Errorf("within what cannot copy: %+v, %v; want %d", done, err, want)
	}
	if _, err := from.CopyTo(ctx, keys, disk); ClassOf(err) != Config {
		t.Errorf("to another remote: %v", err)
	}
}

func TestMove(t *testing.T) {
	t.Parallel()
	s, ctx := newStore(t, Options{}), t.Context()
	keys := []string{"a", "d/b", "keep", "caf\xe9\n"}
	files := map[string]string{}
	for _, key := range keys {
		files[key] = "content of " + key
	}
	if _, err := s.Upload(ctx, tree(t, files), keys, nil); err != nil {
		t.Fatal(err)
	}
	s.proxy.Reset()
	done, err := s.Move(ctx, []string{"a", "d/b", "caf\xe9\n", "gone"}, ".coltec/history/20260101T000000Z")
	if err != nil || done.Files != 3 {
		t.Fatalf("%+v %v", done, err)
	}
	s.counts(t, map[s3test.Kind]int{s3test.Head: 4 + 3, s3test.Copy: 3, s3test.Delete: 3})
	objects, err := s.List(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, o := range objects {
		got[o.Key] = o.MD5
	}
	want := map[string]string{"keep": ETag([]byte("content of keep"))}
	for _, key := range []string{"a", "d/b", "caf\xe9\n"} {
		want[".coltec/history/20260101T000000Z/"+key] = ETag([]byte("content of " + key))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Move(ctx, []string{".coltec/history/20260101T000000Z/a"}, ".coltec/history"); ClassOf(err) != Config {
		t.Errorf("a move into itself: %v", err)
	}
	if _, err := s.Move(ctx, []string{"keep"}, "../x"); ClassOf(err) != Config {
		t.Errorf("a move out of the root: %v", err)
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	got, err := s.Probe(t.Context(), "probe")
	if err != nil || !got.Strong() || time.Since(got.ServerTime).Abs() > time.Minute {
		t.Fatalf("%+v %v", got, err)
	}
	if err := got.Gone(); err != nil {
		t.Error(err)
	}
	s.counts(t, map[s3test.Kind]int{s3test.Put: 4, s3test.Head: 1, s3test.Delete: 1})
	if _, err := s.Stat(t.Context(), "probe"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the probe stays: %v", err)
	}
	now, err := s.ServerTime(t.Context(), "now")
	if err != nil || time.Since(now).Abs() > time.Minute {
		t.Errorf("%s %v", now, err)
	}
}

func TestProbeWithoutConditions(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	s.proxy.Inject(s3test.Fault{Status: 501, Code: "NotImplemented", If: func(r s3test.Request) bool { return r.Header.Get("If-None-Match") != "" }})
	got, err := s.Probe(t.Context(), "probe")
	if err != nil || got.Create || got.Match || got.Strong() || got.ServerTime.IsZero() {
		t.Errorf("a store that refuses the header: %+v %v", got, err)
	}
	s.proxy.Reset()
	s.proxy.Inject(s3test.Fault{Kind: s3test.Put, Nth: 2, Status: 500, Code: "InternalError"})
	if _, err := s.Probe(t.Context(), "probe2"); ClassOf(err) != Server {
		t.Errorf("an unknown answer counts for nothing: %v", err)
	}
	if _, err := s.Stat(t.Context(), "probe2"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the probe stays: %v", err)
	}

}

// A disk ignores conditions, and two writes of one file at once spoil each other: one
// of them would be said to have been corrupted on its way.
func TestProbeOfADirectory(t *testing.T) {
	lock := filepath.Join(t.TempDir(), "lock")
	alone := fake(t, fmt.Sprintf(`mkdir %q || exit 9; %q "$@"; code=$?; rmdir %q; exit $code`, lock, realBinary(t).Path, lock))
	local, err := NewRemote(alone, []Backend{{Name: "l", Type: "local"}}, Root("l", t.TempDir()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := local.Probe(t.Context(), "probe")
	if err != nil || got.Create || got.Match || got.ETagIsMD5 {
		t.Fatalf("%+v %v", got, err)
	}
	if err := got.Gone(); err != nil {
		t.Error(err)
	}
}

// The same things hold on a directory, and on crypt over S3.
func TestOtherBackends(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	backends := []Backend{
		s.backend,
		{Name: "my-local", Type: "local"},
		{Name: "sealed", Type: "crypt", Options: map[string]string{"remote": Root("primary", s.server.Bucket, "sealed")}, Passwords: map[string]string{"password": "pass one", "password2": "salt"}},
	}
	for _, root := range []string{Root("my-local", t.TempDir(), "x"), Root("sealed", "x")} {
		t.Run(root, func(t *testing.T) {
			r, err := NewRemote(s.bin, backends, root, Options{})
			if err != nil {
				t.Fatal(err)
			}
			conform(t, r)
		})
	}
}

// conform does everything once on any remote.
func conform(t *testing.T, r *Remote) {
	ctx := t.Context()
	files := map[string]string{"a": "1", "empty": "", "d/new\nline": "2", "big": strings.Repeat("x", 300_000)}
	keys := []string{"a", "empty", "d/new\nline", "big"}
	if _, err := r.Upload(ctx, tree(t, files), keys, nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := r.Download(ctx, keys, dir, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, readTree(t, dir)); diff != "" {
		t.Error(diff)
	}
	sizes := map[string]int64{}
	err := r.ListEach(ctx, "", ListOptions{ModTime: true}, func(o Object) error {
		sizes[o.Key] = o.Size
		if o.ModTime.IsZero() {
			t.Errorf("%q has no time", o.Key)
		}
		return nil
	})
	if diff := cmp.Diff(map[string]int64{"a": 1, "empty": 0, "d/new\nline": 1, "big": 300_000}, sizes); diff != "" || err != nil {
		t.Errorf("list: %v %s", err, diff)
	}
	for _, key := range keys {
		if got, err := r.Get(ctx, key, 1<<30); err != nil || string(got) != files[key] {
			t.Errorf("get %q: %d bytes, %v", key, len(got), err)
		}
	}
	if _, err := r.Get(ctx, "gone", 1<<30); !errors.Is(err, ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	var e *Error
	if _, err := r.Download(ctx, []string{"a", "gone"}, t.TempDir(), nil); !errors.As(err, &e) || !errors.Is(err, ErrNotFound) || !cmp.Equal(e.Keys, []string{"gone"}) {
		t.Errorf("download: %v", err)
	}
	if err := r.PutIf(ctx, "put", []byte("x"), Cond{}); err != nil {
		t.Errorf("put: %v", err)
	}
	if done, err := r.Move(ctx, []string{"put"}, "history/1"); err != nil || done.Files != 1 {
		t.Errorf("move: %+v %v", done, err)
	}
	if err := r.Delete(ctx, []string{"a", "gone", "big"}); err != nil {
		t.Errorf("delete: %v", err)
	}
	left, err := r.List(ctx, "")
	if err != nil || len(left) != 3 {
		t.Errorf("left: %+v %v", left, err)
	}
}

// What Metadata carries: the mode and the time of a file.
func TestMetadata(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	r := s.Metadata()
	dir := tree(t, map[string]string{"script": "#!/bin/sh\n"})
	path, when := filepath.Join(dir, "script"), time.Unix(1_500_000_000, 123_000_000)
	if err := errors.Join(os.Chmod(path, 0o755), os.Chtimes(path, when, when)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Upload(t.Context(), dir, []string{"script"}, nil); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if _, err := r.Download(t.Context(), []string{"script"}, to, nil); err != nil {
		t.Fatal(err)
	}
	s.counts(t, map[s3test.Kind]int{s3test.Put: 1, s3test.Get: 1})
	info, err := os.Stat(filepath.Join(to, "script"))
	if err != nil || info.Mode().Perm() != 0o755 || !info.ModTime().Equal(when) {
		t.Errorf("%v %v", info, err)
	}
}

// An empty list is nothing to rclone, not everything: what we never run would
// do no harm either.
func TestAnEmptyListMeansNothing(t *testing.T) {
	files := map[string]string{"a": "1", "b": "2"}
	dir := tree(t, files)
	var opts Options
	opts.fill()
	cmd := exec.Command(realBinary(t).Path, opts.deleteArgv(dir)...)
	cmd.Env = []string{"HOME=/", "RCLONE_CONFIG=" + noConfig}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v %s", err, out)
	}
	if diff := cmp.Diff(files, readTree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// No secret is in an argument list, and no rclone sees our own environment.
func TestSecretsStayInTheEnvironment(t *testing.T) {
	dump := filepath.Join(t.TempDir(), "dump")
	r := fakeRemote(t, stored("")+`{ tr '\0' '\n' < /proc/$$/cmdline; echo ==; env; } > `+dump, Options{Env: lookupIn(map[string]string{"PATH": os.Getenv("PATH"), "COLTEC_X": "1"})})
	if err := r.PutIf(t.Context(), "k", nil, IfAbsent); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	argv, env, _ := strings.Cut(string(text), "==")
	if strings.Contains(argv, "verysecret") {
		t.Errorf("argv %s", argv)
	}
	if !strings.Contains(env, "RCLONE_CONFIG_P_SECRET_ACCESS_KEY=verysecret") || strings.Contains(env, "COLTEC_X") {
		t.Errorf("env %s", env)
	}
}

func TestUploadOfAnUnreadableFile(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		// Root reads everything; a link that leads nowhere is unreadable to all.
		s := newStore(t, Options{})
		dir := t.TempDir()
		if err := os.Symlink("nowhere", filepath.Join(dir, "a")); err != nil {
			t.Fatal(err)
		}
		_, err := s.Upload(t.Context(), dir, []string{"a"}, nil)
		var e *Error
		if !errors.As(err, &e) || !cmp.Equal(e.Keys, []string{"a"}) {
			t.Errorf("%v", err)
		}
		return
	}
	s := newStore(t, Options{})
	dir := tree(t, map[string]string{"a": "1"})
	if err := os.Chmod(filepath.Join(dir, "a"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Upload(t.Context(), dir, []string{"a"}, nil); ClassOf(err) != LocalDenied {
		t.Errorf("class %s: %v", ClassOf(err), err)
	}
}

// What a remote says that it cost is what the store saw.
func TestSpent(t *testing.T) {
	t.Parallel()
	var (
		mu    sync.Mutex
		spent Spent
	)
	s := newStore(t, Options{Spent: func(more Spent) {
		mu.Lock()
		defer mu.Unlock()
		spent.Requests += more.Requests
		spent.Sent += more.Sent
		spent.Received += more.Received
	}})
	ctx, dir := t.Context(), t.TempDir()
	var keys []string
	for i := range 1200 {
		keys = append(keys, fmt.Sprint("k", i))
		if err := os.WriteFile(filepath.Join(dir, keys[i]), []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "large"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "large"), uploadThreads+1); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		do    func() error
		bytes int64 // of content; -1: not looked at
		gets  bool  // they are received, not sent
	}{
		{"put", func() error { return s.PutIf(ctx, "one", []byte("12345"), IfAbsent) }, 5, false},
		{"put that is refused", func() error { _ = s.PutIf(ctx, "one", []byte("12345"), IfAbsent); return nil }, -1, false},
		{"get", func() error { _, err := s.Get(ctx, "one", 1<<30); return err }, 5, true},
		{"get what is not there", func() error { _, _ = s.Get(ctx, "two", 1<<30); return nil }, -1, false},
		{"stat", func() error { _, err := s.StatAll(ctx, []string{"one", "two"}); return err }, 0, false},
		{"upload", func() error { _, err := s.Upload(ctx, dir, keys, nil); return err }, 1200 * 7, false},
		{"upload in parts", func() error { _, err := s.Upload(ctx, dir, []string{"large"}, nil); return err }, uploadThreads + 1, false},
		{"list", func() error { _, err := s.List(ctx, ""); return err }, -1, false},
		{"list nothing", func() error { _, err := s.List(ctx, "nowhere"); return err }, -1, false},
		{"download", func() error { _, err := s.Download(ctx, keys[:30], t.TempDir(), nil); return err }, 30 * 7, true},
		{"download what came in parts", func() error { _, err := s.Download(ctx, []string{"large"}, t.TempDir(), nil); return err }, uploadThreads + 1, true},
		{"copy", func() error { _, err := s.Copy(ctx, keys[:3], "copies"); return err }, -1, false},
		{"move", func() error { _, err := s.Move(ctx, append(keys[:3:3], "not there"), "moved"); return err }, -1, false},
		{"delete", func() error { return s.Delete(ctx, keys[3:20]) }, 0, false},
		{"probe", func() error {
			p, err := s.Probe(ctx, "probe")
			if err == nil {
				err = p.Gone()
			}
			return err
		}, -1, false},
	} {
		spent = Spent{}
		s.proxy.Reset()
		if err := tt.do(); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := s.proxy.Total().Requests; spent.Requests != got {
			t.Errorf("%s: %d requests are told, the store saw %d: %v", tt.name, spent.Requests, got, s.proxy.Counts())
		}
		sent, received := tt.bytes, int64(0)
		if tt.gets {
			sent, received = received, sent
		}
		if tt.bytes >= 0 && (spent.Sent != sent || spent.Received != received) {
			t.Errorf("%s: %d bytes sent and %d received are told, want %d and %d", tt.name, spent.Sent, spent.Received, sent, received)
		}
	}
}
