package hostile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/s3test"
)

// rootOther is the user who owns the tree.
const rootOther = 65534

// rootBox is a workspace whose folder belongs to one user and whose coltecd runs as
// another, and what lies elsewhere, which nobody may touch by way of the folder.
type rootBox struct {
	t         *testing.T
	dir       string // the workspace's folder
	elsewhere string // of whom coltecd runs as
	env       []string
	uid       int // who coltecd runs as
	name      string
	trees     map[string]string // paths of replicas, by name
}

// rootAs are who coltecd runs as, in a tree that another user, or the same one, writes.
func rootAs(t *testing.T) []int {
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI runs this as root: only root can be two users")
		}
		return []int{os.Getuid()}
	}
	return []int{0, rootOther}
}

// newRootBox makes a workspace with one replica, of the folder tree in it.
func newRootBox(t *testing.T, s3 *s3test.Server, env string, uid int, services ...string) *rootBox {
	t.Helper()
	top, err := os.MkdirTemp("/tmp", "coltec-root-") // short, and below nothing that is for us alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	b := &rootBox{t: t, dir: filepath.Join(top, "w"), elsewhere: filepath.Join(top, "elsewhere"), uid: uid, name: env}
	b.trees = map[string]string{"tree": b.at("tree")}
	b.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(top, "tmp"), "TMPDIR=" + filepath.Join(top, "tmp"), "XDG_RUNTIME_DIR=" + filepath.Join(top, "run"),
		"COLTEC_RCLONE=" + rclonePath, "COLTEC_HOST=" + env, "RCLONE_BUCKET=" + s3.Bucket, "RCLONE_S3_ENDPOINT=" + s3.Endpoint,
		"RCLONE_S3_ACCESS_KEY_ID=" + s3.AccessKey, "RCLONE_S3_SECRET_ACCESS_KEY=" + s3.SecretKey, "COLTEC_CACHE_HOME=" + filepath.Join(top, "tmp"),
	}
	for _, dir := range []string{"w/.devcontainer/logs", "w/tree/sub", "elsewhere/20200101T000000.000Z", "elsewhere/tree", "elsewhere/inner", "tmp", "run"} {
		rootDo(t, os.MkdirAll(filepath.Join(top, dir), 0o755))
	}
	for _, name := range []string{"profile", "20200101T000000.000Z/file", "tree/file", "inner/file", "head", "HEAD"} {
		rootDo(t, os.WriteFile(filepath.Join(b.elsewhere, name), []byte("as it was\n"), 0o644))
	}
	rootDo(t, os.WriteFile(b.at("tree/file"), []byte("a file\n"), 0o644))
	b.spec(services...)
	rootDo(t, os.Chmod(filepath.Join(top, "run"), 0o700), os.Chmod(top, 0o755))
	for _, dir := range []string{"elsewhere", "tmp", "run"} {
		rootOwn(t, filepath.Join(top, dir), uid)
	}
	return b
}

// at is a path in the workspace.
func (b *rootBox) at(name string) string { return filepath.Join(b.dir, name) }

func (b *rootBox) spec(services ...string) {
	b.t.Helper()
	var units, trees []map[string]any
	for name, path := range b.trees {
		trees = append(trees, map[string]any{
			"name": name, "path": path, "remote_path": "workspaces/{org}/{project}/{env}/" + name, "interval": 10, "watch": false,
		})
	}
	for _, name := range services {
		units = append(units, map[string]any{"name": name, "command": []string{"sh", "-c", "while echo line; do sleep 0.2; done"}})
	}
	doc := map[string]any{
		"version": "1.0.0", "name": b.name,
		"metadata": map[string]any{"org": "acme", "project": "widget", "environment": b.name},
		"services": units,
		"persistence": map[string]any{
			"enabled": true, "default_remote": "primary",
			"remotes": map[string]any{"primary": map[string]any{"type": "s3", "bucket": "${RCLONE_BUCKET}", "options": map[string]string{
				"provider": "Rclone", "endpoint": "${RCLONE_S3_ENDPOINT}",
				"access_key_id": "${RCLONE_S3_ACCESS_KEY_ID}", "secret_access_key": "${RCLONE_S3_SECRET_ACCESS_KEY}",
			}}},
			"sync": trees,
		},
	}
	body, err := json.Marshal(doc)
	rootDo(b.t, err, os.WriteFile(b.at(".devcontainer/workspace-spec.yaml"), body, 0o644))
}

// plant does something as the user who owns the tree would, and gives it to them. A
// plant that needs a right of root's is one that a kernel without protected_hardlinks
// lets everybody do.
func (b *rootBox) plant(plant func(b *rootBox)) {
	b.t.Helper()
	plant(b)
	rootOwn(b.t, b.dir, rootOther)
}

// link makes a symlink in the workspace, with the directories above it.
func (b *rootBox) link(target, name string) {
	b.t.Helper()
	rootDo(b.t, os.MkdirAll(filepath.Dir(b.at(name)), 0o755), os.Symlink(target, b.at(name)))
}

// command is a program with the box's environment.
func (b *rootBox) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = b.dir, b.env, time.Second
	if b.uid != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(b.uid), Gid: uint32(b.uid)}}
	}
	return cmd
}

// run runs a program to its end, which must come.
func (b *rootBox) run(program string, args ...string) (said string, exit int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := b.command(ctx, program, args...)
	out, _ := cmd.CombinedOutput()
	if ctx.Err() != nil {
		b.t.Fatalf("%s %q hangs\n%s", filepath.Base(program), args, out)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// rootDo fails the test for an error.
func rootDo(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// rootOwn gives a tree to a user.
func rootOwn(t *testing.T, top string, uid int) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	rootDo(t, filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if info, err := os.Lstat(p); err == nil && info.Mode().IsRegular() && info.Sys().(*syscall.Stat_t).Nlink > 1 {
			return nil // the other name's
		}
		return errors.Join(err, os.Lchown(p, uid, uid))
	}))
}

// rootState is all that can be seen of a tree.
func rootState(t *testing.T, top string) map[string]string {
	t.Helper()
	state := map[string]string{}
	rootDo(t, filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		body := []byte{}
		if info.Mode().IsRegular() {
			body, err = os.ReadFile(p)
		}
		state[p] = fmt.Sprintf("%s %d:%d %q", info.Mode(), st.Uid, st.Gid, body)
		return err
	}))
	return state
}

// rootUntouched holds that nothing elsewhere is another than it was.
func (b *rootBox) untouched(was map[string]string) {
	b.t.Helper()
	if diff := cmp.Diff(was, rootState(b.t, b.elsewhere)); diff != "" {
		b.t.Errorf("something was done elsewhere (-was +is):\n%s", diff)
	}
}

// A replica's own directory, and all on the way to the tree, may be planted by who owns
// the tree: nothing is written, emptied or read elsewhere, nothing waits, and what cannot
// go on says why.
func TestRootPlantedDirectories(t *testing.T) {
	t.Parallel()
	s3 := s3test.Start(t)
	for name, plant := range map[string]func(b *rootBox){
		"the own directory": func(b *rootBox) { b.link(b.elsewhere, "tree/.coltec") },
		"the stage":         func(b *rootBox) { b.link(b.elsewhere, "tree/.coltec/stage") },
		"replaced":          func(b *rootBox) { b.link(b.elsewhere, "tree/.coltec/replaced") },
		"manifests":         func(b *rootBox) { b.link(b.elsewhere, "tree/.coltec/manifests") },
		"the skeleton":      func(b *rootBox) { b.link(b.elsewhere, "tree/.coltec/.git") },
		"a base that is a pipe": func(b *rootBox) {
			rootDo(b.t, os.Mkdir(b.at("tree/.coltec"), 0o700), unix.Mkfifo(b.at("tree/.coltec/base"), 0o666))
		},
		"git's list of excludes": func(b *rootBox) {
			b.link(filepath.Join(b.elsewhere, "profile"), "tree/.git/info/exclude")
			rootDo(b.t, os.Mkdir(b.at("tree/.git/objects"), 0o755), os.Mkdir(b.at("tree/.git/refs"), 0o755), os.WriteFile(b.at("tree/.git/HEAD"), []byte("ref: refs/heads/main\n"), 0o644))
		},
		"the tree itself": func(b *rootBox) {
			rootDo(b.t, os.Rename(b.at("tree"), b.at("was")))
			b.link(b.elsewhere, "tree")
		},
		"a directory above the tree": func(b *rootBox) {
			b.trees["tree"] = b.at("above/tree")
			b.spec()
			b.link(b.elsewhere, "above")
		},
		"a directory above a tree in a tree": func(b *rootBox) {
			b.trees["inner"] = b.at("tree/sub/inner")
			b.spec()
			rootDo(b.t, os.Remove(b.at("tree/sub")))
			b.link(b.elsewhere, "tree/sub")
		},
	} {
		for _, uid := range rootAs(t) {
			if uid != 0 && !slices.Contains([]string{"the own directory", "the stage", "replaced", "a base that is a pipe", "a directory above a tree in a tree"}, name) {
				continue // as another user: a sample
			}
			t.Run(fmt.Sprintf("%s as %d", name, uid), func(t *testing.T) {
				t.Parallel()
				b := newRootBox(t, s3, strings.ToLower(strings.Map(rootLetter, name))+fmt.Sprint(uid), uid)
				b.plant(plant)
				was := rootState(t, b.elsewhere)
				said, exit := b.run(coltecd, "run", "--once")
				b.untouched(was)
				if exit != 0 && !slices.ContainsFunc(slices.Collect(maps.Values(b.trees)), func(path string) bool { return strings.Contains(said, path) }) {
					t.Errorf("it ends with %d and names nothing:\n%s", exit, said)
				}
			})
		}
	}
}

func rootLetter(r rune) rune {
	if r == ' ' || r == '\'' {
		return '-'
	}
	return r
}

// What coltecd writes beside the spec is written there, whatever has its names.
func TestRootPlantedLogs(t *testing.T) {
	t.Parallel()
	s3 := s3test.Start(t)
	for _, uid := range rootAs(t) {
		t.Run(fmt.Sprint(uid), func(t *testing.T) {
			t.Parallel()
			services := []string{"links", "linked", "pipe", "socket", "folder", "none"}
			b := newRootBox(t, s3, fmt.Sprintf("logs%d", uid), uid, services...)
			b.plant(func(b *rootBox) {
				logs, profile := ".devcontainer/logs/", filepath.Join(b.elsewhere, "profile")
				b.link(profile, logs+"links.log")
				b.link(filepath.Join(b.elsewhere, "new"), logs+"none.log")
				rootDo(t, os.Link(profile, b.at(logs+"linked.log")), unix.Mkfifo(b.at(logs+"pipe.log"), 0o666))
				l, err := net.Listen("unix", b.at(logs+"socket.log"))
				rootDo(t, err, os.Mkdir(b.at(logs+"folder.log"), 0o755))
				t.Cleanup(func() { l.Close() })
				b.link(profile, logs+"status.json.new")
				rootDo(t, unix.Mkfifo(b.at(logs+"status.json"), 0o666), unix.Mkfifo(b.at(logs+"coltecd.crash.log"), 0o666))
				b.link(profile, logs+"coltecd.log")
			})
			was := rootState(t, b.elsewhere)
			said, exit := b.run(coltecd, "start")
			if exit != 0 {
				t.Fatalf("start ends with %d:\n%s", exit, said)
			}
			t.Cleanup(func() { b.run(coltecd, "stop", "--timeout", "30s") })
			for _, name := range append(services, "coltecd") {
				b.logged(name)
			}
			if said, _ := b.run(coltecd, "status"); !strings.Contains(said, ".aside-") {
				t.Errorf("status does not say what was moved aside:\n%s", said)
			}
			b.untouched(was)
			// Under the running coltecd the folder of the logs, and the one above it,
			// lead elsewhere.
			for _, name := range []string{".devcontainer/logs", ".devcontainer"} {
				// In one step each: coltecd makes a folder that is not there anew.
				rootDo(t, os.Symlink(b.elsewhere, b.at(name+".was")))
				rootOwn(t, b.at(name+".was"), rootOther)
				rootDo(t, rootSwap(b.at(name), b.at(name+".was")))
				time.Sleep(time.Second) // five lines of each service
				b.untouched(was)
				rootDo(t, rootSwap(b.at(name), b.at(name+".was")))
				rootDo(t, os.Remove(b.at(name+".was")))
			}
			b.logged("links") // and goes on
			if said, exit := b.run(coltecd, "stop", "--timeout", "30s"); exit != 0 {
				t.Errorf("stop ends with %d:\n%s", exit, said)
			}
			b.untouched(was)
		})
	}
}

// rootSwap exchanges what two names stand for, with no moment at which one of
// them is not there.
func rootSwap(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// logged waits for a new line in a log that is a file of its own.
func (b *rootBox) logged(name string) {
	b.t.Helper()
	path, from := b.at(".devcontainer/logs/"+name+".log"), int64(-1)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		info, err := os.Lstat(path)
		switch {
		case err != nil || !info.Mode().IsRegular() || info.Sys().(*syscall.Stat_t).Nlink > 1:
		case name == "coltecd" || from >= 0 && info.Size() > from:
			return
		case from < 0:
			from = info.Size()
		}
		if time.Now().After(deadline) {
			said, _ := b.run(coltecd, "status")
			b.t.Fatalf("no line in %s: %v\n%s", path, err, said)
		}
	}
}

// A log is read by who asks for it, whatever has its name by then: nothing waits, and the
// memory is not filled.
func TestRootReadsOfPlantedLogs(t *testing.T) {
	// Not beside others: the most that a child has had begins with what its parent has.
	s3 := s3test.Start(t)
	for _, kind := range []string{"pipe", "device", "gibibyte"} {
		b := newRootBox(t, s3, "reads", os.Getuid())
		rootDo(t, irregular[kind](b.at(".devcontainer/logs/web.log")))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cmd := b.command(ctx, coltecd, "logs", "web")
		cmd.Stderr = new(strings.Builder)
		_ = cmd.Run()
		if ctx.Err() != nil {
			t.Errorf("the log is a %s: it hangs", kind)
		}
		cancel()
		if rss := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10; rss > memoryMost {
			t.Errorf("the log is a %s: it took %d MB", kind, rss>>20)
		}
	}
}

// A bucket makes a link of a folder that another tree lies below. coltecd's own user made
// it, and the verbs that place are held to what the daemon is.
func TestRestoreBelowALink(t *testing.T) {
	t.Parallel()
	b := newRootBox(t, s3test.Start(t), "below", os.Getuid())
	b.trees["inner"] = b.at("tree/x/data")
	b.spec()
	rootDo(t, os.MkdirAll(b.at("tree/x/data/sub"), 0o755), os.WriteFile(b.at("tree/x/data/file"), []byte("inner\n"), 0o644))
	if said, exit := b.run(coltecd, "run", "--once"); exit != 0 {
		t.Fatalf("run ends with %d:\n%s", exit, said)
	}
	kept := filepath.Join(b.elsewhere, "data/.coltec/conflicts/20200101T000000.000Z-other")
	rootDo(t, os.RemoveAll(b.at("tree/x")), os.Symlink(b.elsewhere, b.at("tree/x")), os.MkdirAll(kept, 0o700), os.WriteFile(filepath.Join(kept, "secret"), []byte("a secret\n"), 0o600))
	was := rootState(t, b.elsewhere)
	for _, args := range [][]string{
		{"run", "--once", "--only", "inner"},
		{"history", "restore", b.at("tree/x/data"), "--at", "0s"},
		{"history", "restore", b.at("tree/x/data/file"), "--at", "0s"},
		{"history", "restore", b.at("tree/x/data"), "--at", "0s", "--deleted"},
		{"conflicts", "take", b.at("tree/x/data/secret")},
		{"conflicts", "drop", b.at("tree/x/data/secret")},
		{"run", "--once"},
	} {
		if said, exit := b.run(coltecd, args...); exit == 0 || !strings.Contains(said, "tree/x") {
			t.Errorf("%q ends with %d:\n%s", args, exit, said)
		}
		b.untouched(was)
	}
}

// Who owns the tree leads the replica's own directory elsewhere under a running coltecd.
func TestRootSwappedWhileItRuns(t *testing.T) {
	t.Parallel()
	if len(rootAs(t)) < 2 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI runs this as root")
		}
		t.Skip("only root can be two users")
	}
	b := newRootBox(t, s3test.Start(t), "swapped", 0)
	for _, dir := range []string{"stage/out", "stage/in", "stage/git-in", "manifests", "replaced/20200101T000000.000Z", "conflicts"} {
		rootDo(t, os.MkdirAll(filepath.Join(b.elsewhere, dir), 0o755), os.WriteFile(filepath.Join(b.elsewhere, dir, "file"), []byte("as it was"), 0o644))
	}
	b.plant(func(*rootBox) {})
	was := rootState(t, b.elsewhere)
	if said, exit := b.run(coltecd, "start", "--wait"); exit != 0 {
		t.Fatalf("start ends with %d:\n%s", exit, said)
	}
	t.Cleanup(func() { b.run(coltecd, "stop", "--timeout", "30s") })
	attack := func(script string) {
		t.Helper()
		cmd := b.command(t.Context(), "/bin/sh", "-ec", script, "sh", b.elsewhere)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: rootOther, Gid: rootOther}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("the attack fails: %v\n%s", err, out)
		}
	}
	attack(`mv tree/.coltec tree/was; ln -s "$1" tree/.coltec; echo more >tree/more`)
	for range 2 { // what the first finds out, the second goes by
		if said, exit := b.run(coltecd, "sync"); exit == 0 || !strings.Contains(said, "tree") {
			t.Errorf("sync ends with %d:\n%s", exit, said)
		}
	}
	attack(`rm tree/.coltec; mv tree/was tree/.coltec`)
	b.untouched(was)
	if said, exit := b.run(coltecd, "sync"); exit != 0 {
		t.Errorf("with its own directory back sync ends with %d:\n%s", exit, said)
	}
}

// What a user set up goes on to work, or a sentence says what does not.
func TestRootHonestSetups(t *testing.T) {
	t.Parallel()
	s3 := s3test.Start(t)
	for _, uid := range rootAs(t) {
		t.Run(fmt.Sprint(uid), func(t *testing.T) {
			t.Parallel()
			b := newRootBox(t, s3, fmt.Sprintf("honest%d", uid), uid, "web")
			// The folder is below a home that root has linked.
			home := filepath.Join(filepath.Dir(b.dir), "home")
			rootDo(t, os.Symlink(".", home))
			b.dir = filepath.Join(home, "w")
			b.trees["tree"] = b.at("tree")
			// A link of the user's within the folder leads to where the logs are kept.
			rootDo(t, os.Remove(b.at(".devcontainer/logs")), os.Mkdir(b.at("kept"), 0o755), os.Symlink("../kept", b.at(".devcontainer/logs")))
			b.spec("web")
			rootOwn(t, b.dir+"/", uid)
			if said, exit := b.run(coltecd, "start", "--wait"); exit != 0 {
				t.Fatalf("start ends with %d:\n%s", exit, said)
			}
			t.Cleanup(func() { b.run(coltecd, "stop", "--timeout", "30s") })
			if said, exit := b.run(coltecd, "sync"); exit != 0 || !b.pushed() {
				t.Errorf("sync ends with %d:\n%s", exit, said)
			}
			if said, _ := b.run(coltecd, "status"); !strings.Contains(said, "logs") || !strings.Contains(said, "it is a link") {
				t.Errorf("status does not say why there are no logs:\n%s", said)
			}
		})
	}
}

// pushed says that the replica has a base: a generation was agreed on.
func (b *rootBox) pushed() bool {
	info, err := os.Stat(b.at("tree/.coltec/base"))
	return err == nil && info.Size() > 0
}
