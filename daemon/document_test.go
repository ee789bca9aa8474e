package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/status"
)

// What a killed coltecd left is said for as long as it is news, and in the tense
// that is right.
func TestUnpushed(t *testing.T) {
	none, one, three := 0, 1, 3
	replica := func(found *int, pending int) status.Replica {
		return status.Replica{Direction: "bidirectional", FoundAtStart: found, Pending: pending}
	}
	for want, replicas := range map[string][]status.Replica{
		"it had pushed everything":                               {replica(&none, 0), {Direction: "pull-only"}},
		"1 change that it had not pushed is in the bucket now":   {replica(&one, 0), replica(&none, 0)},
		"4 changes that it had not pushed are being pushed":      {replica(&one, 0), replica(&three, 3)},
		"4 changes that it had not pushed are in the bucket now": {replica(&one, 0), replica(&three, 0)},
		"what it had not pushed is pushed as soon as it can be":  {replica(&one, 0), replica(nil, 0)},
	} {
		if got := unpushed(replicas); got != want {
			t.Errorf("%+v: %q, want %q", replicas, got, want)
		}
	}
}

// A status file that says running, and nobody who runs: that one was killed. The
// keeper tells of a coltecd that crashed alone.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, status.FileName)
	if at := (origin{}).killed(dir); !at.IsZero() {
		t.Errorf("the first start of all: %v", at)
	}
	seen := time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]bool{
		`{"state": "running"}`: true, `{"state": "degraded"}`: true,
		`{"state": "stopped"}`: false, `{"state": "disabled"}`: false, `{"sta`: false,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, seen, seen); err != nil {
			t.Fatal(err)
		}
		if got := (origin{}).killed(dir); got.Equal(seen) != want || got.IsZero() == want {
			t.Errorf("%s: %v", text, got)
		}
		if got := (origin{crashed: "signal: killed"}).killed(dir); !got.IsZero() {
			t.Errorf("%s after a crash: %v", text, got)
		}
	}
}

// A tree that others change too is worth a word that names it, and no other is.
func TestShareNotices(t *testing.T) {
	got := shareNotices([]status.Replica{{Name: "work", Path: "/workspace", SharedFileSystem: "fuse"}, {Name: "memory", Path: "/home/dev/memory"}})
	if len(got) != 1 || !strings.Contains(got[0], "replica work: /workspace is on fuse") || !strings.Contains(got[0], "coltecd sync") {
		t.Errorf("it says %q", got)
	}
}
