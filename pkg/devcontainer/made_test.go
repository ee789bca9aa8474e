package devcontainer

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMade: what a container was made from is said by the label that the dev container CLI
// makes of the text; hooks and what editors read need no new container.
func TestMade(t *testing.T) {
	const text = `{"image": "a", "runArgs": ["--init"], "name": "x", "postStartCommand": "true", "customizations": {"vscode": {"extensions": ["e"]}}}`
	was, err := MadeFrom([]byte(text), map[string]string{"Dockerfile": "1"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Dressed([]byte(text), map[string]string{LabelOrg: "acme"}, was)
	if err != nil {
		t.Fatal(err)
	}
	// As the CLI does: parts of images, then the file's.
	c := Container{Labels: map[string]string{LabelMetadata: `[{"id":"./coltec"},` + string(b) + `]`}}
	if diff := cmp.Diff(was, c.Made()); diff != "" {
		t.Error(diff)
	}
	for edit, want := range map[string][]string{
		text: nil,
		strings.ReplaceAll(text, `"x", "postStartCommand": "true"`, `"y"`): nil,
		strings.ReplaceAll(text, ": ", ":  "):                              nil,
		strings.ReplaceAll(text, `"a"`, `"b"`):                             {"image"},
		strings.ReplaceAll(text, `"--init"`, `"--init", "--privileged"`):   {"runArgs"},
		strings.ReplaceAll(text, `"runArgs"`, `"mounts"`):                  {"mounts", "runArgs"},
	} {
		now, err := MadeFrom([]byte(edit), map[string]string{"Dockerfile": "1"})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Made().Differs(now); !slices.Equal(got, want) {
			t.Errorf("%s differs in %v, want %v", edit, got, want)
		}
	}
	now, _ := MadeFrom([]byte(text), map[string]string{"Dockerfile": "2"})
	if got := was.Differs(now); !slices.Equal(got, []string{"Dockerfile"}) {
		t.Errorf("another Dockerfile: %v", got)
	}
	if (Container{}).Made() != nil {
		t.Error("a container of others says what it was made from")
	}
}

// What the file says itself counts over what coltec says beside it.
func TestDressed(t *testing.T) {
	for text, want := range map[string][]string{
		`{"image": "a"}`: {"--label=coltec.org=acme", "--stop-timeout=60"},
		`{"image": "a", "runArgs": ["--stop-timeout=10", "--label=coltec.org=acme"]}`: {"--stop-timeout=10", "--label=coltec.org=acme"},
		`{"image": "a", "containerEnv": {"COLTEC_STOP_TIMEOUT": "9s"}}`:               {"--label=coltec.org=acme"},
		`{"dockerComposeFile": "c.yml", "service": "a"}`:                              nil,
	} {
		b, err := Dressed([]byte(text), map[string]string{LabelOrg: "acme"}, Made{"image": "1"})
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ RunArgs []string }
		if err := json.Unmarshal(b, &got); err != nil || !slices.Equal(got.RunArgs, want) {
			t.Errorf("%s: %q, %v", text, got.RunArgs, err)
		}
	}
}
