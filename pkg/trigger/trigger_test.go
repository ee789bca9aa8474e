package trigger

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
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
		"wrapped":                      {".git/config", "[core]\nhooksPath = \\\n x", false, true, ".git/config (core.hookspath)"},
		"behind a comment that wraps":  {".git/config", "[core]\n#\\\nfsmonitor = x\n", false, true, ".git/config (core.fsmonitor)"},
		"a comment behind a value":     {".git/config", "[core]\nbare = false ;\\\nfsmonitor = x\n", false, true, ".git/config (core.fsmonitor)"},
		"two sections on a line":       {".git/config", "[a] [core] fsmonitor = x", false, true, ".git/config (core.fsmonitor)"},
		"in quotes":                    {".git/config", "[core]\nfsmonitor = \"tr\"ue\n[alias]\nx = \"\"!y\n", false, true, ".git/config (alias.x)"},
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

// Links that git and editors follow hid what runs: a hook, a directory of hooks, and one of
// settings. A place within another folder hid the names above it.
func TestFindBehindLinks(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	put := func(name, content string, mode os.FileMode) {
		t.Helper()
		must(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(os.WriteFile(filepath.Join(dir, name), []byte(content), mode))
	}
	link := func(to, name string) {
		t.Helper()
		must(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(os.Symlink(to, filepath.Join(dir, name)))
	}
	put(".git/HEAD", "ref: refs/heads/main\n", 0o644)
	put("x/run", "#!/bin/sh\n", 0o755)
	put("x/text", "", 0o644)
	put("x/settings.json", `{"git.path": "./x"}`, 0o644)
	put("x/devcontainer.json", `{"initializeCommand": "x"}`, 0o644)
	put("y/pre-push", "#!/bin/sh\n", 0o755)
	put("y/HEAD", "", 0o644)
	put("bare/HEAD", "", 0o644)
	link("../../x/run", ".git/hooks/pre-commit")
	link("../../x/text", ".git/hooks/post-commit")
	link("/usr/bin/true", ".git/hooks/post-merge")
	link("../y", "bare/hooks")
	link("x", ".vscode")
	link("../x", ".devcontainer/one")
	link("/elsewhere", "sub/.vscode")
	link(".", "sub/.idea")
	link("x", "honest")
	var got []string
	for _, f := range In(dir) {
		got = append(got, f.String())
	}
	slices.Sort(got)
	want := []string{
		".devcontainer/one/devcontainer.json (initializeCommand)", ".git/hooks/post-merge", ".git/hooks/pre-commit",
		".vscode/settings.json (git.path)", "bare/hooks/pre-push",
		"sub/.idea/.vscode (cannot be read here)", "sub/.vscode (cannot be read here)",
	}
	for i, name := range got { // a link to itself is followed as often as package os does
		if strings.Contains(name, ".idea/.idea") {
			got[i] = ""
		}
	}
	got = slices.DeleteFunc(got, func(name string) bool { return name == "" })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for place, want := range map[string]string{".vscode": ".vscode/settings.json (git.path)", ".git/hooks": ".git/hooks/run", "a/.devcontainer": "a/.devcontainer/devcontainer.json (initializeCommand)"} {
		if found := At(filepath.Join(dir, "x"), place); len(found) != 1 || found[0].String() != want {
			t.Errorf("at %s: %v", place, found)
		}
	}
}

// dangerous are the keys of a configuration that git sees and runs, by git itself.
func dangerous(t *testing.T, file string) (keys []string, ok bool) {
	out, err := exec.Command("git", "config", "--file", file, "--no-includes", "--list", "--null").Output()
	for one := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		key, value, _ := strings.Cut(one, "\n")
		first, last := strings.Index(key, "."), strings.LastIndex(key, ".")
		if first < 0 {
			continue
		}
		key = strings.ToLower(key[:first] + key[last:])
		if gitRunsIt(strings.ToLower(one[:first]), key, value) && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, err == nil
}

// checkGitKeys compares what is found with what git sees: all of it, and where git takes
// the file, nothing else.
func checkGitKeys(t *testing.T, content string) (taken bool) {
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	want, taken := dangerous(t, file)
	got := gitKeys([]byte(content))
	for _, key := range want {
		if !slices.Contains(got, key) {
			t.Errorf("git sees %s in %q, found are %q", key, content, got)
		}
	}
	if taken && len(got) > len(want) && !strings.Contains(content, "\x00") {
		t.Errorf("git sees %q in %q, found are %q", want, content, got)
	}
	return taken
}

// gitPieces are what a configuration is made of, and what may lead a reader astray.
var gitPieces = []string{
	"[core]\n", "[core] ", "[CORE]\r\n", "[a] ", "[filter \"x\"]\n", "[filter \"\\\"]\"] ", "[filter.y]\n", "[alias]\n", "[remote \"o]\"]\n",
	"#\\\n", "; x \\\n", "# [a]\n", "\n", "\t \\v", "bare = false ;\\\n", "bare = false #\\\r\n", "x = \"a;\\\nb\"\n", "x = a \\\n", "x = \"#\" \\\n",
	"fsmonitor = x\n", "fsmonitor=\"x\"\r\n", "fsmonitor\n", "fsmonitor = true\n", "fsmonitor = \\\n", "FSMonitor = tr\"ue\" ; x\n", "editor = \\\"\n",
	"clean = x\n", "clean = \n", "url = ext::sh\n", "url = https://x\n", "x = \\\\!y\n", "x = \"\"!y\n", "x = \"!y\"\n", "process = \\t#\n", "x-1 = [core]\n",
}

// Every key that git sees and runs is found, whatever a configuration looks like.
func TestGitKeysAreThoseOfGit(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	rounds := sample.Size(200, 200)
	taken := 0
	for range rounds {
		text := gitPieces[r.IntN(9)]
		for range r.IntN(12) {
			text += gitPieces[r.IntN(len(gitPieces))]
		}
		if checkGitKeys(t, text) {
			taken++
		}
	}
	if rounds > 100 && taken < rounds/4 {
		t.Errorf("git took %d of %d", taken, rounds)
	}
}

func FuzzGitKeys(f *testing.F) {
	f.Add("[core]\n#\\\nfsmonitor = x\n")
	f.Add("[a] [core] fsmonitor = x")
	f.Add("[filter \"a\\\"b\"]\nclean = \"x;y\" # z\\\n")
	f.Fuzz(func(t *testing.T, content string) { checkGitKeys(t, content) })
}
