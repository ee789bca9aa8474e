package graft

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPlace: where the project is in its container, by what its files say.
func TestPlace(t *testing.T) {
	compose := func(volumes string) string {
		return "services:\n  app:\n    volumes: " + volumes + "\n  db:\n    volumes: ['..:/db']\n"
	}
	tests := map[string]struct{ config, compose, want, wrong string }{
		"default":           {config: `{"image": "x"}`, want: "/workspaces/p"},
		"mounted":           {config: `{"workspaceFolder": "/code", "workspaceMount": "source=${localWorkspaceFolder},target=/code,type=bind"}`, want: "/code"},
		"opened below":      {config: `{"workspaceFolder": "/code/app", "workspaceMount": "source=${localWorkspaceFolder},target=/code,type=bind"}`, want: "/code"},
		"in a volume":       {config: `{"workspaceFolder": "/w", "workspaceMount": "source=v,target=/w,type=volume"}`, wrong: "and not this folder"},
		"compose":           {config: `{"dockerComposeFile": "c.yml", "service": "app"}`, compose: compose(`["..:/code:cached"]`), want: "/code"},
		"compose, above":    {config: `{"dockerComposeFile": ["c.yml"], "service": "app"}`, compose: compose(`["../..:/workspaces"]`), want: "/workspaces/p"},
		"compose, long":     {config: `{"dockerComposeFile": "c.yml", "service": "app"}`, compose: compose(`[{type: bind, source: .., target: /code}]`), want: "/code"},
		"compose, nearest":  {config: `{"dockerComposeFile": "c.yml", "service": "app"}`, compose: compose(`["../..:/all", "..:/code"]`), want: "/code"},
		"compose, volume":   {config: `{"dockerComposeFile": "c.yml", "service": "app"}`, compose: compose(`["data:/code"]`), wrong: "does not mount this folder"},
		"compose, variable": {config: `{"dockerComposeFile": "c.yml", "service": "app"}`, compose: compose(`["$HERE:/code"]`), wrong: "does not mount this folder"},
		"compose, no file":  {config: `{"dockerComposeFile": "no.yml", "service": "app"}`, wrong: "cannot read no.yml"},
		"compose, broken":   {config: `{"dockerComposeFile": "c.yml", "service": "app"}`, compose: "services: [", wrong: "cannot read c.yml"},
		"no service":        {config: `{"dockerComposeFile": "c.yml"}`, wrong: "no service"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Project{Folder: "/home/me/p", Top: "/home/me/p", At: Usual, Text: []byte(tt.config), Read: func(file string) ([]byte, error) {
				if file != "/home/me/p/.devcontainer/c.yml" {
					return nil, fs.ErrNotExist
				}
				return []byte(tt.compose), nil
			}}.Place()
			if got != tt.want || (err != nil) != (tt.wrong != "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// TestFind: the order is the dev container CLI's.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{AtRoot, ".devcontainer/b/devcontainer.json", ".devcontainer/a/devcontainer.json", ".devcontainer/c/other.json", Usual} {
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	want := []string{Usual, AtRoot, ".devcontainer/a/devcontainer.json", ".devcontainer/b/devcontainer.json"}
	if got, err := Find(root); err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
}

// What was changed since an edit is not taken back on a guess.
func TestUndo(t *testing.T) {
	const text = "{\n  \"image\": \"x\" // mine\n}\n"
	out, done, err := Apply([]byte(text), Needed(AtRoot, "/code/spec.yaml"))
	if err != nil || len(done) != 2 {
		t.Fatal(done, err)
	}
	if has, err := Has(AtRoot, out); err != nil || !has {
		t.Errorf("no Feature: %v\n%s", err, out)
	}
	if again, done, err := Apply(out, Needed(AtRoot, "/code/spec.yaml")); err != nil || len(done) > 0 || string(again) != string(out) {
		t.Errorf("again: %v, %v\n%s", done, err, again)
	}
	if back, stays, err := Undo(out, done); err != nil || stays != nil || string(back) != text {
		t.Errorf("back: %q, %v, %v", back, stays, err)
	}
	edited := strings.ReplaceAll(strings.ReplaceAll(string(out), "/code/spec.yaml", "/mine.yaml"), `"start": true`, `"start": true, "tailscale": true`)
	back, stays, err := Undo([]byte(edited), done)
	if err != nil || !slices.Equal(stays, []string{"containerEnv.COLTEC_CONFIG"}) || strings.Contains(string(back), "features") {
		t.Errorf("back: %q, %v, %v", back, stays, err)
	}
}

func TestOrigin(t *testing.T) {
	for url, want := range map[string][2]string{
		"git@github.com:Acme/Gadget.git":       {"Acme", "Gadget"},
		"https://example.org/a/b/c/":           {"b", "c"},
		"ssh://git@example.org:22/acme/widget": {"acme", "widget"},
		"/srv/git/thing.git":                   {"git", "thing"},
		"https://example.org":                  {"", "example.org"},
	} {
		owner, name := Origin([]byte("[remote \"other\"]\n\turl = x/y/z\n[remote \"origin\"]\n\turl = " + url + "\n"))
		if owner != want[0] || name != want[1] {
			t.Errorf("%s: %q, %q", url, owner, name)
		}
	}
	for s, want := range map[string]string{"My_Project.v2": "my-project-v2", "---": "", "a-very-long-name-of-a-project": "a-very-long-name-of", "Ünï": "n"} {
		if got := Slug(s); got != want {
			t.Errorf("Slug(%q) is %q", s, got)
		}
	}
}

func TestPublished(t *testing.T) {
	for features, want := range map[string]bool{
		`{"registry.example.org/coltec/coltec/coltec:1": {}}`:            true,
		`{"localhost:5000/acme/coltec": {}, // a port is no tag` + "\n}": true,
		`{"registry.example.org/a/coltec@sha256:00": {}}`:                true,
		`{"registry.example.org/coltec/coltec/other:1": {}}`:             false,
		`{"./coltec": {}}`:  false, // its files lie beside: Has
		`{"../coltec": {}}`: false,
		`{}`:                false,
		`["coltec"]`:        false,
	} {
		got, err := Published([]byte(`{"features": ` + features + `}`))
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", features, got, err)
		}
	}
	if got, err := Published([]byte(`{"image": "x"}`)); err != nil || got {
		t.Errorf("without features: %v, %v", got, err)
	}
}
