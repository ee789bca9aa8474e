package rclone

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/s3test"
)

// seals are the ways in which stores have ETags that are no MD5s.
var seals = map[string]func(string) (string, http.Header){
	"SSE-KMS":    s3test.SealedBy(http.Header{"X-Amz-Server-Side-Encryption": {"aws:kms"}, "X-Amz-Request-Id": {"1"}}),
	"DSSE-KMS":   s3test.SealedBy(http.Header{"X-Amz-Server-Side-Encryption": {"aws:kms:dsse"}}),
	"SSE-C":      s3test.SealedBy(http.Header{"X-Amz-Server-Side-Encryption-Customer-Algorithm": {"AES256"}}),
	"a gateway":  s3test.SealedBy(nil),
	"upper case": func(tag string) (string, http.Header) { return strings.ToUpper(tag[16:] + tag[:16]), nil },
	"other words": func(tag string) (string, http.Header) {
		return "0x8D" + tag[:12], http.Header{"X-Amz-Request-Id": {"1"}}
	},
	"as in pieces": func(tag string) (string, http.Header) {
		return fmt.Sprintf("%s-1", tag), http.Header{"X-Amz-Request-Id": {"1"}}
	},
}

// A bucket under SSE-KMS was said to know no conditional writes, and to spoil what it got.
func TestSealedBucket(t *testing.T) {
	t.Parallel()
	for name, seal := range seals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, ctx := newStore(t, Options{}), t.Context()
			s.proxy.Inject(s3test.Fault{Seal: seal})
			probe, err := s.Probe(ctx, "probe")
			if err != nil || !probe.Strong() {
				t.Fatalf("%+v, %v", probe, err)
			}
			if err := probe.Gone(); err != nil {
				t.Error(err)
			}
			one, two, three := []byte("one"), []byte(strings.Repeat("two", memory)), []byte("three")
			for _, step := range []struct {
				say  string
				err  error
				want error
			}{
				{"create", s.PutIf(ctx, "k", one, IfAbsent), nil},
				{"create again", s.PutIf(ctx, "k", two, IfAbsent), ErrPrecondition},
				{"over another", s.PutIf(ctx, "k", two, IfMatch(ETag(three))), ErrPrecondition},
				{"over it", s.PutIf(ctx, "k", two, IfMatch(ETag(one))), nil},
				{"over what was", s.PutIf(ctx, "k", three, IfMatch(ETag(one))), ErrPrecondition},
			} {
				if !errors.Is(step.err, step.want) || step.want == nil && step.err != nil {
					t.Errorf("%s: %v", step.say, step.err)
				}
			}
			// Somebody else reads it first, and knows no more of it.
			other := at(t, s, nil)
			if body, err := other.Get(ctx, "k", 1<<20); err != nil || string(body) != string(two) {
				t.Errorf("get: %d bytes, %v", len(body), err)
			}
			if err := other.PutIf(ctx, "k", three, IfMatch(ETag(two))); err != nil {
				t.Errorf("another's write: %v", err)
			}
			if err := s.PutIf(ctx, "k", one, IfMatch(ETag(two))); !errors.Is(err, ErrPrecondition) {
				t.Errorf("over another's: %v", err)
			}
			conform(t, s.At("all"))
		})
	}
}

// What is uploaded first to such a bucket, and nothing was written there yet that tells.
func TestFirstUploadToASealedBucket(t *testing.T) {
	t.Parallel()
	files := map[string]string{"a": "1", "b/c": "2", "empty": ""}
	for _, name := range []string{"SSE-KMS", "DSSE-KMS", "SSE-C"} {
		s, ctx := newStore(t, Options{}), t.Context()
		s.proxy.Inject(s3test.Fault{Seal: seals[name]})
		sealed, err := NewRemote(s.bin, []Backend{s.backend, {Name: "sealed", Type: "crypt", Options: map[string]string{"remote": Root("primary", s.server.Bucket, "c")}, Passwords: map[string]string{"password": "p"}}}, "sealed:x", Options{})
		if err != nil {
			t.Fatal(err)
		}
		for where, r := range map[string]*Remote{"plain": s.At("1"), "a mirror": at(t, s, nil).At("2").Metadata(), "crypt": sealed} {
			if done, err := r.Upload(ctx, tree(t, files), []string{"a", "b/c", "empty"}, nil); err != nil || done.Files != 3 {
				t.Errorf("%s, %s: %+v, %v", name, where, done, err)
			}
			dir := t.TempDir()
			if _, err := r.Download(ctx, []string{"a", "b/c", "empty"}, dir, nil); err != nil {
				t.Errorf("%s, %s: %v", name, where, err)
			}
			if diff := cmp.Diff(files, readTree(t, dir)); diff != "" {
				t.Errorf("%s, %s: %s", name, where, diff)
			}
		}
		other := at(t, s, nil).At("2").Metadata() // has uploaded nothing
		if _, err := other.Download(ctx, []string{"a", "b/c"}, t.TempDir(), nil); err != nil {
			t.Errorf("%s, download: %v", name, err)
		}
		if done, err := at(t, s, nil).At("2").Move(ctx, []string{"a", "b/c"}, "moved"); err != nil || done.Files != 2 {
			t.Errorf("%s, move: %+v, %v", name, done, err)
		}
	}
}

// A store that is not under such keys, and spoils what it gets, is still told from one.
func TestSpoiledIsSpoiled(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	s.proxy.Inject(s3test.Fault{Kind: s3test.Put, Seal: s3test.SealedBy(nil)})
	if _, err := s.Upload(t.Context(), tree(t, map[string]string{"a": "1"}), []string{"a"}, nil); ClassOf(err) != Corrupted {
		t.Errorf("%s: %v", ClassOf(err), err)
	}
}
