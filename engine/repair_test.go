package engine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/coltec/coltec/pkg/history"
)

// TestRepairOfWhatWasEditedSince: between the verification and the repair a person
// mended the file by writing it anew.
func TestRepairOfWhatWasEditedSince(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	a.put("f", []byte("old"))
	a.round()
	v := &history.Verdict{Replica: "r", Damaged: []string{"f"}}
	r := y.reader(a)
	if _, err := r.Log(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.put("f", []byte("mended"))
	if err := a.e.repair(t.Context(), r, v); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(a.dir, "f")); err != nil || string(got) != "mended" {
		t.Errorf("%q, %v", got, err)
	}
}
