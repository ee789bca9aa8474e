package history

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/scope"
)

// Where each replica lies in an export, and that none is mixed with another.
func TestArrange(t *testing.T) {
	for given, want := range map[string]string{ // name=path …: name=place …
		"w=/workspace": "w=.",
		"w=/workspace ctx=/workspace/agent/context":      "w=. ctx=agent/context",
		"ctx=/workspace/agent w=/workspace":              "w=. ctx=agent",
		"home=~ w=/workspace":                            "w=. home=home",
		"home=~/.config w=/workspace ctx=/workspace/ctx": "w=. ctx=ctx home=home",
		"a=/data/a b=/data/b":                            "a=. b=b",
		"home=~":                                         "home=.",
		"w=/workspace x=/workspace-x":                    "w=. x=x",
		"deep=/w/a/b/c in=/w/a w=/w data=/data":          "w=. in=a deep=a/b/c data=data",
		"w=/workspace same=/workspace":                   "w=. same=same",
	} {
		var replicas []scope.Replica
		for word := range strings.FieldsSeq(given) {
			name, path, _ := strings.Cut(word, "=")
			replicas = append(replicas, scope.Replica{Name: name, Path: path})
		}
		var got []string
		for _, x := range arrange(replicas) {
			got = append(got, x.Name+"="+x.rel)
			if x.beside && x.rel != x.Name {
				t.Errorf("%s: %+v", given, x)
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", given, s, want)
		}
	}
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, want := range []string{"home", "home.replica", "home.replica.replica"} {
		if got := unused(root, "home"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if err := os.Symlink("nowhere", filepath.Join(dir, want)); err != nil { // a link takes a name, too
			t.Fatal(err)
		}
	}
}
