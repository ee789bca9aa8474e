package daemon

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/coltec/coltec/pkg/spec"
)

// carriedHome is a spec with agents, placed in a home, and that home with files.
func carriedHome(t *testing.T, text string, files map[string]string) (o Options, home string) {
	t.Helper()
	home = t.TempDir()
	for name, body := range files {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "spec.yaml")
	body := "version: 1\nname: x\nmetadata: {org: acme, project: widget}\n" +
		"persistence:\n  default_remote: p\n  remotes: {p: {type: s3, bucket: b}}\n" + strings.ReplaceAll(text, "HOME", home)
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"HOME=" + home}
	sp, err := ReadSpec(path, spec.Lookup(lookup(environ)))
	if err != nil {
		t.Fatal(err)
	}
	return Options{Path: path, Spec: sp, Environ: environ}, home
}

// What is carried of the home is looked through, and nothing else of it: no login, no file
// of another program's credentials, none that the spec excludes, none behind a link.
func TestLookForSecrets(t *testing.T) {
	token := "ghp_" + "q7Rk2ZpXw9LmT4vBc8Nd" + "6HsJfYgUe3Ao1KtQ"
	o, home := carriedHome(t, "agents: [{name: claude, include: [.mine, .npmrc], exclude: [\"/.mine/out/**\"]}]\n", map[string]string{
		".claude/projects/-w/talk.jsonl":    "{\"a\": 1}\n{\"text\": \"use\\n" + token + "\"}\n",
		".claude/settings.json":             "{}",
		".claude/.credentials.json":         token,
		".codex/auth.json":                  token,
		".netrc":                            token,
		".npmrc":                            "//r/:_authToken=" + token, // the spec names it
		".mine/out/x":                       token,
		".mine/in":                          "fine",
		"elsewhere/notes":                   token,
		".claude/projects/-w/\x1b[2Jodd\nx": token,
	})
	if err := os.Symlink(filepath.Join(home, "elsewhere"), filepath.Join(home, ".mine/link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(home, ".mine/pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := LookForSecrets(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range all.Found {
		rel, err := filepath.Rel(home, f.Path)
		if err != nil || f.Kind != "a token of GitHub" {
			t.Errorf("%+v %v", f, err)
		}
		got = append(got, rel)
		if strings.HasSuffix(rel, "talk.jsonl") && f.Line != 2 {
			t.Errorf("%+v", f)
		}
	}
	slices.Sort(got)
	want := []string{".claude/projects/-w/\x1b[2Jodd\nx", ".claude/projects/-w/talk.jsonl", ".npmrc"}
	if !slices.Equal(got, want) {
		t.Errorf("found in %q, not in %q", got, want)
	}
	if all.Files != 5 {
		t.Errorf("%d files: %+v", all.Files, all)
	}
}

// A home that a spec writes out is one, too; the workspace's folder is none, wherever it is.
func TestLookForSecretsInAPath(t *testing.T) {
	token := "glpat-" + "q7Rk2ZpXw9LmT4vBc8Nd"
	o, home := carriedHome(t, "  sync: [{name: claude, path: HOME/.claude}, {name: w, path: HOME/w}, {name: o, path: /nowhere/o}]\n", map[string]string{
		".claude/projects/x.jsonl": token, "w/code": token, "none": token,
	})
	o.Path = filepath.Join(home, "w", SpecName)
	all, err := LookForSecrets(context.Background(), o)
	if err != nil || len(all.Found) != 1 || all.Found[0].Path != filepath.Join(home, ".claude/projects/x.jsonl") {
		t.Errorf("%+v %v", all, err)
	}
}

// That nothing is carried, or that there is no home, is no "nothing found".
func TestLookForSecretsNowhere(t *testing.T) {
	o, _ := carriedHome(t, "", nil)
	if _, err := LookForSecrets(context.Background(), o); err == nil || !strings.Contains(err.Error(), "nothing of the home") {
		t.Errorf("%v", err)
	}
	o, home := carriedHome(t, "agents: [claude]\n", nil)
	if err := os.Remove(home); err != nil {
		t.Fatal(err)
	}
	if all, err := LookForSecrets(context.Background(), o); err == nil {
		t.Errorf("%+v", all)
	}
}
