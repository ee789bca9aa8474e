package trigger

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOf(t *testing.T) {
	for name, c := range map[string]struct {
		path    string
		content string
		exec    bool
		git     bool
		want    string // "": nothing runs it
	}{
		"git, fsmonitor":               {".git/config", "[core]\n\tfsmonitor = ./x.sh\n", false, true, ".git/config (core.fsmonitor)"},
		"git's own fsmonitor":          {".git/config", "[core]\n\tfsmonitor = true\n\tbare = false\n", false, true, ""},
		"on the section's line":        {".git/config", "[core] FSMonitor = x", false, true, ".git/config (core.fsmonitor)"},
		"big letters":                  {".GIT/CONFIG", "[CORE]\nSSHCOMMAND=x", false, true, ".GIT/CONFIG (core.sshcommand)"},
		"a filter, a diff, a merge":    {".git/config", "[filter \"a.b \\\" c\"]\n clean = x\n[diff \"d\"]\ntextconv=x\n[merge \"m\"]\ndriver=x %A\n", false, true, ".git/config (diff.textconv, filter.clean, merge.driver)"},
		"the old form of a subsection": {".git/config", "[filter.x]\nprocess=y", false, true, ".git/config (filter.process)"},
		"wrapped":                      {".git/config", "[core]\nhooks\\\nPath = \\\n x", false, true, ".git/config (core.hookspath)"},
		"an alias":                     {".git/config", "[alias]\nst = status\nx = \"!sh -c id\"\n", false, true, ".git/config (alias.x)"},
		"an alias of git's":            {".git/config", "[alias]\nst = status\n", false, true, ""},
		"includes":                     {".git/config", "[include]\npath=x\n[includeIf \"gitdir:/\"]\npath = y\n", false, true, ".git/config (include.path, includeif.path)"},
		"a remote that is a command":   {".git/config", "[remote \"o\"]\nurl = ext::sh -c id\n", false, true, ".git/config (remote.url)"},
		"an honest remote":             {".git/config", "[remote \"origin\"]\n\turl = git@example.com:x.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n[branch \"main\"]\n\tremote = origin\n", false, true, ""},
		"a worktree elsewhere":         {".git/modules/x/config", "[core]\nworktree = /home\n", false, true, ".git/modules/x/config (core.worktree)"},
		"with a mark":                  {".git/config", "\ufeff[core]\r\neditor = x\r\n", false, true, ".git/config (core.editor)"},
		"a config of something else":   {"app/config", "[core]\nfsmonitor = x\n", false, false, ""},
		"a hook":                       {".git/hooks/pre-commit", "", true, true, ".git/hooks/pre-commit"},
		"a hook that is off":           {".git/hooks/pre-commit", "", false, true, ""},
		"a sample":                     {".git/hooks/pre-commit.sample", "", true, true, ""},
		"an initializeCommand":         {".devcontainer/devcontainer.json", "{/*c*/\"initialize\\u0043ommand\": [\"x\"],}", false, false, ".devcontainer/devcontainer.json (initializeCommand)"},
		"of a folder":                  {"a/.devcontainer/b/devcontainer.json", `{"initializeCommand": {"a": "x"}}`, false, false, "a/.devcontainer/b/devcontainer.json (initializeCommand)"},
		"without a folder":             {".devcontainer.json", `{"initializeCommand": "x"}`, false, false, ".devcontainer.json (initializeCommand)"},
		"a container alone":            {".devcontainer/devcontainer.json", `{"postCreateCommand": "x"}`, false, false, ""},
		"no JSON":                      {".devcontainer/devcontainer.json", `{`, false, false, ".devcontainer/devcontainer.json (cannot be read here)"},
		"a deep one":                   {".devcontainer/devcontainer.json", strings.Repeat("[", 1<<19), false, false, ".devcontainer/devcontainer.json (cannot be read here)"},
		"direnv":                       {"sub/.envrc", "", false, false, "sub/.envrc"},
		"mise":                         {".mise.toml", "", false, false, ".mise.toml"},
		"a task at the opening":        {".vscode/tasks.json", `{"tasks": [{"runOptions": {"runOn": "folderOpen"}}]}`, false, false, ".vscode/tasks.json (runOn)"},
		"other tasks":                  {".vscode/tasks.json", `{"tasks": [{"command": "make"}]}`, false, false, ""},
		"a program in settings":        {".vscode/settings.json", `{"git.path": "./x", "editor.tabSize": 2}`, false, false, ".vscode/settings.json (git.path)"},
		"other settings":               {".vscode/settings.json", `{"editor.tabSize": 2, "files.exclude": {"**/*.o": true}}`, false, false, ""},
		"a long s":                     {".v\u017fcode/tasks.json", `{"runOn": "folderOpen"}`, false, false, ".v\u017fcode/tasks.json (runOn)"},
		"what is not seen":             {".env\u200crc", "", false, false, ".env\u200crc"},
		"named so in part":             {"my.envrc", "", false, false, ""},
		"package.json":                 {"package.json", `{"scripts": {"x": "y"}}`, false, false, ""},
	} {
		found, ok := Of(File{Path: c.path, Executable: c.exec, InGitDir: c.git, Read: func() []byte { return []byte(c.content) }})
		if got := found.String(); ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s: %q, %v, want %q", name, got, ok, c.want)
		}
	}
}

// A folder is looked through without following a link or waiting for a pipe, and a
// bare repository is one whatever its name.
func TestFind(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	put := func(name, content string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	put(".git/HEAD", "ref: refs/heads/main\n", 0o644)
	put(".git/config", "[core]\nfsmonitor=x\n", 0o644)
	put(".git/hooks/post-checkout", "#!/bin/sh\n", 0o755)
	put("plain/hooks/post-checkout", "#!/bin/sh\n", 0o755)
	put("docs/objects/00/x", "", 0o644)
	put("docs/config", "[alias]\nx=!y\n", 0o644)
	put("a\n\x1b[31m\xff/.envrc", "", 0o644)
	put(strings.Repeat("d/", 100)+".envrc", "", 0o644)
	if err := os.WriteFile(filepath.Join(outside, ".envrc"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, ".vscode"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(dir, ".vscode/tasks.json")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var got []string
	for _, f := range Find(root) {
		got = append(got, f.String())
	}
	slices.Sort(got)
	want := []string{
		".git/config (core.fsmonitor)", ".git/hooks/post-checkout", ".vscode/tasks.json (cannot be read here)",
		"a\n\x1b[31m\xff/.envrc", strings.Repeat("d/", 100) + ".envrc", "docs/config (alias.x)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
