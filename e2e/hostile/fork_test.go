package hostile

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/s3test"
)

// forkWorld is a bucket, what an agent pushed into it, and the host of a person.
type forkWorld struct {
	t       *testing.T
	s3      *s3test.Server
	name    string // of the workspace's environment
	outside string // on the host; nothing may come to be in it
	state   string // what the person agreed to
}

func newForkWorld(t *testing.T) *forkWorld {
	t.Helper()
	return &forkWorld{t: t, s3: s3test.Start(t), name: "dev", outside: t.TempDir(), state: t.TempDir()}
}

// beside is another workspace in the same bucket, for a test within the test.
func (w *forkWorld) beside(t *testing.T, name string) *forkWorld {
	t.Helper()
	return &forkWorld{t: t, s3: w.s3, name: strings.ReplaceAll(strings.TrimPrefix(name, "."), " ", "-"), outside: t.TempDir(), state: t.TempDir()}
}

// env is the environment of a program.
func (w *forkWorld) env() []string {
	run := w.t.TempDir()
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + run, "XDG_RUNTIME_DIR=" + run, "TMPDIR=" + w.t.TempDir(), "COLTEC_RCLONE=" + rclonePath, "XDG_STATE_HOME=" + w.state,
		"RCLONE_BUCKET=" + w.s3.Bucket, "RCLONE_S3_ENDPOINT=" + w.s3.Endpoint,
		"RCLONE_S3_ACCESS_KEY_ID=" + w.s3.AccessKey, "RCLONE_S3_SECRET_ACCESS_KEY=" + w.s3.SecretKey,
	}
}

// spec is a workspace's, with its replicas at these paths, in turn name and path.
func (w *forkWorld) spec(replicas ...string) string {
	var sync []map[string]any
	for i := 0; i < len(replicas); i += 2 {
		sync = append(sync, map[string]any{
			"name": replicas[i], "path": replicas[i+1], "remote_path": "workspaces/{org}/{project}/{env}/" + replicas[i],
			"interval": 10, "watch": false, "exclude": []string{"/.agent/**"},
		})
	}
	b, err := json.MarshalIndent(map[string]any{
		"version": "1.0.0", "name": w.name, "metadata": map[string]string{"org": "acme", "project": "widget", "environment": w.name},
		"persistence": map[string]any{
			"enabled": true, "default_remote": "primary", "sync": sync,
			"remotes": map[string]any{"primary": map[string]any{"type": "s3", "bucket": "${RCLONE_BUCKET}", "options": map[string]string{
				"provider": "Rclone", "endpoint": "${RCLONE_S3_ENDPOINT}",
				"access_key_id": "${RCLONE_S3_ACCESS_KEY_ID}", "secret_access_key": "${RCLONE_S3_SECRET_ACCESS_KEY}",
			}}},
		},
	}, "", "  ")
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// push is the agent: it commits what lies in folders of its own as the replicas.
func (w *forkWorld) push(replicas ...string) {
	w.t.Helper()
	dir := w.t.TempDir()
	forkPut(w.t, dir, ".devcontainer/workspace-spec.yaml", w.spec(replicas...), 0o644)
	cmd := exec.Command(coltecd, "run", "--once")
	cmd.Dir, cmd.Env = dir, w.env()
	if out, err := cmd.CombinedOutput(); err != nil && cmd.ProcessState.ExitCode() != 6 { // pipes and devices stay there
		w.t.Fatalf("the agent cannot push: %v\n%s", err, out)
	}
}

// host runs coltec as a person does.
func (w *forkWorld) host(dir string, args ...string) (string, error) {
	cmd := exec.Command(coltec, args...)
	cmd.Dir, cmd.Env = dir, w.env()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// workspace is a folder on the host with a spec that the person trusts.
func (w *forkWorld) workspace(replicas ...string) string {
	dir := w.t.TempDir()
	forkPut(w.t, dir, ".devcontainer/workspace-spec.yaml", w.spec(replicas...), 0o644)
	if out, err := w.host(dir, "trust"); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// untouched fails when something came to be outside.
func (w *forkWorld) untouched(what string) {
	w.t.Helper()
	err := filepath.WalkDir(w.outside, func(p string, _ fs.DirEntry, err error) error {
		if p != w.outside {
			w.t.Errorf("%s wrote %s", what, strings.TrimPrefix(p, w.outside))
			_ = os.RemoveAll(p)
			return fs.SkipAll
		}
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
}

func forkPut(t *testing.T, dir, name, text string, mode fs.FileMode) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func forkLink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// special are the paths in a folder with more than permission bits, or that are no
// file, folder or link.
func special(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky|fs.ModeDevice|fs.ModeNamedPipe|fs.ModeSocket) != 0 {
			found = append(found, fmt.Sprint(strings.TrimPrefix(p, dir), " ", info.Mode()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

const forkFake = "note: all is well" // that a name pretends coltec to say

// hostileTree is a workspace whose agent wants to be run on the host.
func hostileTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	forkPut(t, dir, "suid", "#!/bin/sh\n", fs.ModeSetuid|fs.ModeSetgid|0o755)
	forkPut(t, dir, "shared/file", "x", 0o644)
	if err := os.Chmod(filepath.Join(dir, "shared"), fs.ModeSetgid|fs.ModeSticky|0o777); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := unix.Mknod(filepath.Join(dir, "disk"), syscall.S_IFBLK|0o666, int(unix.Mkdev(8, 0))); err != nil {
			t.Log("no device can be made here:", err)
		}
	}
	if out, err := exec.Command("git", "-C", dir, "init", "-q").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	forkPut(t, dir, ".git/config", "[core]\n\tbare = false\n\tfsmonitor = ./fsmonitor.sh\n[alias]\n\tst = !id\n[include]\n\tpath = ../more\n", 0o644)
	forkPut(t, dir, ".git/hooks/post-checkout", "#!/bin/sh\n", 0o755)
	forkPut(t, dir, "lib.git/HEAD", "ref: refs/heads/main\n", 0o644)
	forkPut(t, dir, "lib.git/config", "[core]\n\tbare = true\n\tsshCommand = id\n", 0o644)
	forkPut(t, dir, ".devcontainer/devcontainer.json", `{"initializeCommand": "id"}`, 0o644)
	forkPut(t, dir, ".DEVCONTAINER/devcontainer.json", `{"initializeCommand": "id"}`, 0o644)
	forkPut(t, dir, ".COLTEC/base", "x", 0o644)
	forkPut(t, dir, ".devcontainer.json", `{"initializeCommand": "id"}`, 0o644)
	forkPut(t, dir, "sub/.envrc", "id\n", 0o644)
	forkPut(t, dir, ".vscode/tasks.json", `{"tasks": [{"runOptions": {"runOn": "folderOpen"}}]}`, 0o644)
	forkPut(t, dir, "a\n"+forkFake+"\n\x1b[2J/.envrc", "id\n", 0o644)
	forkPut(t, dir, "caf\u00e9", "composed", 0o644)
	forkPut(t, dir, "cafe\u0301", "decomposed", 0o644)
	forkPut(t, dir, strings.Repeat("d/", 100)+"deep", "x", 0o644)
	for _, name := range []string{"con", "nul.txt", "a:b", `back\slash`, `..\..\x`, "trailing.", "-rf", " ", "\xff\xfe"} {
		forkPut(t, dir, "names/"+name, name, 0o644)
	}
	forkPut(t, dir, "one", "linked", 0o644)
	if err := os.Link(filepath.Join(dir, "one"), filepath.Join(dir, "two")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// forkNames is what a person is told to look at.
var forkNames = []string{".git/config (alias.st, core.fsmonitor, include.path)", ".git/hooks/post-checkout", "lib.git/config (core.sshcommand)", ".devcontainer.json (initializeCommand)", "sub/.envrc", ".vscode/tasks.json (runOn)"}

// An export brought setuid programs to the host, and said nothing of what git and
// editors would run there.
func TestExportOfAHostileWorkspace(t *testing.T) {
	t.Parallel()
	w := newForkWorld(t)
	tree := hostileTree(t)
	w.push("workspace", tree)
	ws := w.workspace("workspace", "/workspace")
	out := filepath.Join(t.TempDir(), "out")
	said, err := w.host(ws, "export", ws, out)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if got := special(t, out); len(got) > 0 {
		t.Errorf("the host has %v", got)
	}
	for _, name := range append(forkNames, ".devcontainer/devcontainer.json (initializeCommand)") {
		if !strings.Contains(said, name) {
			t.Errorf("%s is not named in\n%s", name, said)
		}
	}
	if strings.Contains(said, "\n"+forkFake) || strings.Contains(said, "\x1b") {
		t.Errorf("a name speaks for coltec:\n%q", said)
	}
	for _, name := range []string{"caf\u00e9", "cafe\u0301", "names/..\\..\\x", "names/\xff\xfe", strings.Repeat("d/", 100) + "deep"} {
		want, _ := os.ReadFile(filepath.Join(tree, name))
		if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(got) != string(want) {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	// A file with two names is two: a later write to one is none to the other.
	if info, err := os.Stat(filepath.Join(out, "one")); err != nil || info.Sys().(*syscall.Stat_t).Nlink != 1 {
		t.Errorf("%v, %v", info, err)
	}
	kept := filepath.Join(t.TempDir(), "kept")
	if said, err := w.host(ws, "export", "--keep-modes", ws, kept); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if info, err := os.Stat(filepath.Join(kept, "suid")); err != nil || info.Mode()&fs.ModeSetuid == 0 {
		t.Errorf("with --keep-modes it is %v, %v", info.Mode(), err)
	}
}

// A tree had a link where the export puts the next one: that was written through it.
func TestExportThroughALink(t *testing.T) {
	t.Parallel()
	all := newForkWorld(t)
	for name, lay := range map[string]func(w *forkWorld, first string){
		"in its place": func(w *forkWorld, first string) { forkLink(w.t, w.outside, filepath.Join(first, "sub/notes")) },
		"above it":     func(w *forkWorld, first string) { forkLink(w.t, w.outside, filepath.Join(first, "sub")) },
		"to nothing yet": func(w *forkWorld, first string) {
			forkLink(w.t, filepath.Join(w.outside, "new"), filepath.Join(first, "sub"))
		},
		"within the tree": func(w *forkWorld, first string) {
			forkLink(w.t, "other", filepath.Join(first, "sub"))
			forkPut(w.t, first, "other/x", "", 0o644)
		},
		"a file in its place": func(w *forkWorld, first string) { forkPut(w.t, first, "sub/notes", "", 0o644) },
		"a file above it":     func(w *forkWorld, first string) { forkPut(w.t, first, "sub", "", 0o644) },
		"where the other one would go instead": func(w *forkWorld, first string) {
			forkLink(w.t, w.outside, filepath.Join(first, "elsewhere"))
			forkLink(w.t, w.outside, filepath.Join(first, "elsewhere.replica"))
		},
		"where the other one is": func(w *forkWorld, first string) { forkLink(w.t, w.outside, filepath.Join(first, "elsewhere")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := all.beside(t, name)
			first, second := t.TempDir(), t.TempDir()
			lay(w, first)
			forkPut(t, second, ".profile", "id\n", 0o644)
			at, replica := "/workspace/sub/notes", "notes"
			if strings.HasPrefix(name, "where the other one") { // outside of the first, it is put there by its name
				at, replica = "/home/elsewhere", "elsewhere"
			}
			w.push("workspace", first, replica, second)
			ws := w.workspace("workspace", "/workspace", replica, at)
			out := filepath.Join(t.TempDir(), "out")
			said, err := w.host(ws, "export", ws, out)
			if strings.HasPrefix(name, "where the other one") {
				if err != nil || !strings.Contains(said, ".replica\n") {
					t.Errorf("it goes beside the link: %v\n%s", err, said)
				}
			} else if err == nil || !strings.Contains(said, "is a link or a file, and no folder") {
				t.Errorf("%v\n%s", err, said)
			}
			w.untouched("the export")
			if _, err := os.Stat(filepath.Join(out, "other/notes")); err == nil {
				t.Error("it went through a link within the tree")
			}
		})
	}
}

// What an agent lays into its workspace may lie where a person exports to.
func TestExportToALink(t *testing.T) {
	t.Parallel()
	w := newForkWorld(t)
	tree := t.TempDir()
	forkPut(t, tree, ".profile", "id\n", 0o644)
	w.push("workspace", tree)
	ws := w.workspace("workspace", "/workspace")
	forkLink(t, w.outside, filepath.Join(ws, "out"))
	forkLink(t, filepath.Join(w.outside, "dangling"), filepath.Join(ws, "gone"))
	forkPut(t, ws, "file", "", 0o644)
	if err := unix.Mkfifo(filepath.Join(ws, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	forkLink(t, w.outside, filepath.Join(elsewhere, "out"))
	for dir, want := range map[string]string{
		"out": "is a link in a workspace", "out/x": "is a link in a workspace", "out/x/y": "is a link in a workspace", "gone": "is a link in a workspace",
		"./sub/../out/x": "is a link in a workspace", "file": "no folder", "pipe": "no folder", filepath.Join(elsewhere, "out"): "no folder",
	} {
		if said, err := w.host(ws, "export", ".", dir); err == nil || !strings.Contains(said, want) {
			t.Errorf("export to %s: %v\n%s", dir, err, said)
		}
		w.untouched("an export to " + dir)
	}
	// A link of the person's own, above the folder, is theirs.
	mine := t.TempDir()
	forkLink(t, mine, filepath.Join(elsewhere, "big"))
	if said, err := w.host(ws, "export", ".", filepath.Join(elsewhere, "big/out")); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
	if _, err := os.Stat(filepath.Join(mine, "out/.profile")); err != nil {
		t.Error(err)
	}
}

// forkTemplate is a template of the person's, whose workspaces have a second tree below
// a folder of the first.
func forkTemplate(t *testing.T, w *forkWorld) string {
	t.Helper()
	dir := t.TempDir()
	forkPut(t, dir, "template.yaml", "name: two\nversion: 1.0.0\nquestions:\n"+
		"  - {name: org, type: slug}\n  - {name: project, type: slug}\n  - {name: env, type: slug}\n", 0o644)
	spec := w.spec("workspace", "/workspace", "notes", "/workspace/sub/notes")
	for name, value := range map[string]string{`"org": "acme"`: `"org": {{json .org}}`, `"project": "widget"`: `"project": {{json .project}}`, `"environment": "` + w.name + `"`: `"environment": {{json .env}}`, `"name": "` + w.name + `"`: `"name": {{json .env}}`} {
		spec = strings.Replace(spec, name, value, 1)
	}
	forkPut(t, dir, "files/.devcontainer/workspace-spec.yaml.tmpl", spec, 0o644)
	forkPut(t, dir, "files/.devcontainer/devcontainer.json.tmpl", `{"image": "x", "workspaceFolder": "/workspace"}`, 0o644)
	return dir
}

// fork makes a workspace that begins with what the agent pushed.
func (w *forkWorld) fork(template string) (dir, said string, err error) {
	w.t.Helper()
	dir = filepath.Join(w.t.TempDir(), "fork")
	said, err = w.host(filepath.Dir(dir), "new", dir, "--template", template, "--fork", "acme/widget/"+w.name,
		"--data", "org=acme", "--data", "project=widget", "--data", "env="+w.name[:min(len(w.name), 16)]+"-f") // a name has 20 letters at most
	return dir, said, err
}

// ownAlone holds that a folder has nothing but what its template makes.
func ownAlone(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != ".devcontainer" {
		t.Errorf("the fork's folder has %v, %v", entries, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, ".devcontainer/devcontainer.json")); err != nil || strings.Contains(string(b), "initializeCommand") {
		t.Errorf("%s, %v", b, err)
	}
}

// A fork brought setuid programs to the host, and a devcontainer.json whose folder is spelled
// otherwise. Nothing of the other workspace comes to the host by it; what names that is not in
// the fork either.
func TestForkOfAHostileWorkspace(t *testing.T) {
	t.Parallel()
	w := newForkWorld(t)
	notes := t.TempDir()
	forkPut(t, notes, ".envrc", "id\n", 0o644)
	w.push("workspace", hostileTree(t), "notes", notes)
	dir, said, err := w.fork(forkTemplate(t, w))
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if strings.Contains(said, "\n"+forkFake) || strings.Contains(said, "\x1b") {
		t.Errorf("a name speaks for coltec:\n%q", said)
	}
	ownAlone(t, dir)
	out := filepath.Join(t.TempDir(), "out")
	if said, err := w.host(dir, "export", dir, out); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if got := special(t, out); len(got) > 0 {
		t.Errorf("the host has %v", got)
	}
	for _, name := range []string{".DEVCONTAINER", ".COLTEC", ".devcontainer"} {
		if _, err := os.Lstat(filepath.Join(out, name)); err == nil {
			t.Errorf("the fork has %s of the other workspace", name)
		}
	}
	if _, err := os.Stat(filepath.Join(out, "sub/notes/.envrc")); err != nil {
		t.Error(err)
	}
}

// A link in the first tree put the second one into .devcontainer, where its
// devcontainer.json counts, or out of the folder.
func TestForkThroughALink(t *testing.T) {
	t.Parallel()
	all := newForkWorld(t)
	for name, lay := range map[string]func(w *forkWorld, first string){
		"into its folder":     func(w *forkWorld, first string) { forkLink(w.t, ".devcontainer", filepath.Join(first, "sub")) },
		"out of it":           func(w *forkWorld, first string) { forkLink(w.t, w.outside, filepath.Join(first, "sub")) },
		"up":                  func(w *forkWorld, first string) { forkLink(w.t, "../..", filepath.Join(first, "sub")) },
		"in its place":        func(w *forkWorld, first string) { forkLink(w.t, "../.devcontainer", filepath.Join(first, "sub/notes")) },
		"a file in its place": func(w *forkWorld, first string) { forkPut(w.t, first, "sub/notes", "", 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := all.beside(t, name)
			first, second := t.TempDir(), t.TempDir()
			lay(w, first)
			forkPut(t, second, "devcontainer.json", `{"initializeCommand": "id"}`, 0o644)
			w.push("workspace", first, "notes", second)
			dir, said, err := w.fork(forkTemplate(t, w))
			if err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			ownAlone(t, dir)
			w.untouched("the fork")
		})
	}
}

// A fork is made where the person says, and not where an agent's link leads.
func TestForkToALink(t *testing.T) {
	t.Parallel()
	w := newForkWorld(t)
	tree := t.TempDir()
	forkPut(t, tree, "x", "", 0o644)
	w.push("workspace", tree, "notes", t.TempDir())
	ws := w.workspace("workspace", "/workspace")
	forkLink(t, w.outside, filepath.Join(ws, "out"))
	template := forkTemplate(t, w)
	for _, dir := range []string{"out", "out/x", "out/x/y"} {
		said, err := w.host(ws, "new", dir, "--template", template, "--fork", "acme/widget/dev", "--data", "org=acme", "--data", "project=widget", "--data", "env=other")
		if err == nil {
			t.Errorf("a fork to %s was made\n%s", dir, said)
		}
		w.untouched("a fork to " + dir)
	}
}
