package engine

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/localfs"
)

// Each socket of a tree was a line for attention of its own, for ever.
func TestSocketsAreOneNote(t *testing.T) {
	odd := func(path string) localfs.Unknown { return localfs.Unknown{Path: path, Reason: localfs.ReasonKind} }
	unknown := []localfs.Unknown{odd("a.sock"), {Path: "b", Reason: "permission denied", Unread: true}, odd("c.sock"), odd("d")}
	want := []string{
		`replica w: "b" is not synced: permission denied`,
		`replica w: "a.sock", "c.sock" and "d" are not synced: sockets, fifos and devices are not carried`,
	}
	if diff := cmp.Diff(want, unknownNotes("w", unknown)); diff != "" {
		t.Error(diff)
	}
	want = []string{fmt.Sprintf("replica w: %q is not synced: %s", "a.sock", localfs.ReasonKind)}
	if diff := cmp.Diff(want, unknownNotes("w", unknown[:1])); diff != "" {
		t.Error(diff)
	}
}
