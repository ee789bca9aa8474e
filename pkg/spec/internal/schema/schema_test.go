package schema

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/spec"
)

// TestGenerated holds that the schema in the tree is that of the types.
func TestGenerated(t *testing.T) {
	want, err := Generate("../..")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(spec.Schema())); diff != "" {
		t.Errorf("the schema is not that of the types: run \"go generate ./pkg/spec\"\n%s", diff)
	}
}
