package trust

import (
	"io/fs"
	"slices"
	"testing"
	"time"
)

// FuzzCompose holds what every compose file gives: an error, soon, or the same acts each
// time.
func FuzzCompose(f *testing.F) {
	for _, src := range []string{
		"", "a", "services: {s: {build: ., env_file: [a, {path: b}], extends: {file: c}}}\ninclude: [d, {path: [e, f], env_file: g, project_directory: h}]\n",
		"x: &x\n  build: {context: a, dockerfile: b}\nservices:\n  s:\n    <<: [*x, *x]\n  *x : !override\n    ? env_file\n    : |\n      a\n", "include: !!binary YQ==\n", "&a include: [*a]\n", "? !reset include\n: !!str ~\n", "<<: {include: a}\n", "a: &a\n  <<: *a\nservices: {s: *a}\n", "services: *b", "- a\n", "%TAG ! x\n---\nservices: {s: {build: {}}}\n",
	} {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) {
		look := func() ([]Act, error) {
			return Container("/w", []byte(`{"dockerComposeFile": "/w/c.yml"}`), "devcontainer.json", func(name string) ([]byte, error) {
				if name == "c.yml" {
					return []byte(src), nil
				}
				return nil, fs.ErrNotExist
			})
		}
		began := time.Now()
		acts, err := look()
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it takes %v", took)
		}
		again, err2 := look()
		if (err == nil) != (err2 == nil) || !slices.Equal(acts, again) {
			t.Errorf("%v, %v; again %v, %v", acts, err, again, err2)
		}
	})
}
