package e2e

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
)

// box is what a container is to coltecd: a mount namespace whose root is a layer over
// this machine's files that nothing else sees, and mounts of the host in it. Beside them it shares
// the programs under test and the machine's runtime directory.
type box struct {
	*machine
	folder string // of the workspace, in there
}

// boxed makes the machine's folder a mount of a box, at folder there. Its spec has
// replicas at the given paths; more is run in the box first.
func (w *world) boxed(name, folder, more string, paths ...string) *box {
	w.t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			w.t.Fatal("needs to be root, to make a mount namespace")
		}
		w.t.Skip("needs to be root, to make a mount namespace")
	}
	b := &box{machine: w.machine(name), folder: folder}
	b.spec(func(o *specOptions) {
		o.TTL, o.Renew = "90s", "20s"
		o.Replicas = nil
		for _, p := range paths {
			o.Replicas = append(o.Replicas, b.replica(strings.ReplaceAll(strings.Trim(p, "/."), "/", "-"), p))
		}
	})
	b.specAt = filepath.Join(folder, ".devcontainer/workspace-spec.yaml")
	b.env["COLTEC_CONFIG"] = b.specAt
	b.enter(w.t.TempDir(), `mkdir -p "$FOLDER" && mount --bind "$DIR" "$FOLDER" && cd / && `+more)
	return b
}

// enter opens the box and runs a script in it. The box is there until the test ends.
func (b *box) enter(layer, script string) {
	b.t.Helper()
	// The layer is on a disk of its own: an overlay takes none that is one itself.
	const outside = `set -e
mount -t tmpfs layer "$LAYER"
mkdir "$LAYER/up" "$LAYER/work" "$LAYER/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$LAYER/up,workdir=$LAYER/work" "$LAYER/root"
for d in /dev /proc /sys; do mount --rbind "$d" "$LAYER/root$d"; done
mount -t tmpfs tmp "$LAYER/root/tmp" # a lock is taken in /tmp too, and other boxes have their own
for d; do mkdir -p "$LAYER/root$d"; mount --rbind "$d" "$LAYER/root$d"; done
exec chroot "$LAYER/root" sh -ec "$SCRIPT
echo open
exec cat"`
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", outside, "sh",
		filepath.Dir(coltecd), filepath.Dir(rclonePath), b.runtime, filepath.Dir(b.dir))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LAYER=" + layer, "DIR=" + b.dir, "FOLDER=" + b.folder, "SCRIPT=" + script}
	var talk bytes.Buffer
	cmd.Stderr = &talk
	in, err := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err != nil || err2 != nil {
		b.t.Fatal(err, err2)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
		b.t.Fatalf("the box does not open: %q %s", line, &talk)
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	b.inside = func(ctx context.Context, program string, args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, "nsenter", append([]string{"--target", pid, "--mount", "--root", "--wd=/", program}, args...)...)
	}
}

// sh runs a line of shell in the box.
func (b *box) sh(line string) string {
	b.t.Helper()
	cmd := b.inside(b.t.Context(), "sh", "-c", line)
	var talk bytes.Buffer
	cmd.Dir, cmd.Stderr = "/", &talk
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", line, err, &talk)
	}
	return string(out)
}

// The project is mounted at another path than its spec says, the dev container CLI's
// default say: an empty folder was made in the container's layer and called synced,
// and nothing of the project was ever saved.
func TestProjectMountedElsewhere(t *testing.T) {
	t.Parallel()
	const elsewhere = "/workspaces/widget"
	tests := map[string]struct {
		paths   []string
		more    string   // what the image has
		blocked []string // replicas; none: all are synced
		says    []string
	}{
		"not there":                      {[]string{"/workspace"}, "", []string{"workspace"}, []string{`"/workspace" is not there`, `"/workspaces/widget"`, "workspaceMount", "set path: /workspaces/widget", "mkdir -p /workspace/.coltec"}},
		"with a nested one":              {[]string{"/workspace", "/workspace/agent-context"}, "", []string{"workspace", "workspace-agent-context"}, []string{"set path: /workspaces/widget/agent-context"}},
		"with a slash and a dot":         {[]string{"/./workspace/"}, "", []string{"workspace"}, []string{`"/workspace" is not there`}},
		"beside the folder":              {[]string{"/workspaces/other"}, "", []string{"workspaces-other"}, nil},
		"the image has an empty one":     {[]string{"/workspace"}, "mkdir /workspace", []string{"workspace"}, []string{`"/workspace" is empty`, "mkdir -p /workspace/.coltec"}},
		"a link to nowhere":              {[]string{"/workspace"}, "ln -s /nowhere /workspace", []string{"workspace"}, []string{`"/workspace" is not there`}},
		"made on purpose":                {[]string{"/workspace"}, "mkdir -p /workspace/.coltec", nil, []string{`"/workspaces/widget", the workspace's own folder, is in no replica`}},
		"the image has files there":      {[]string{"/workspace"}, "mkdir /workspace; echo x >/workspace/x", nil, []string{"is in no replica"}},
		"a link to the folder":           {[]string{"/workspace"}, "ln -s " + elsewhere + " /workspace", nil, nil},
		"a volume":                       {[]string{"/workspace"}, "mkdir /workspace; mount -t tmpfs t /workspace", nil, []string{"is in no replica"}},
		"within a volume":                {[]string{"/data/notes"}, "mkdir /data; mount -t tmpfs t /data", nil, []string{"is in no replica"}},
		"the folder":                     {[]string{elsewhere, elsewhere + "/agent-context"}, "", nil, nil},
		"only a part of the folder":      {[]string{elsewhere + "/src/deep"}, "", nil, nil},
		"what the folder is in":          {[]string{"/workspaces"}, "", nil, nil},
		"beside one that has it":         {[]string{elsewhere, "/root/.notes"}, "", nil, nil},
		"the folder with a slash":        {[]string{elsewhere + "/./"}, "", nil, nil},
		"only one of two is right":       {[]string{"/workspace", elsewhere + "/agent-context"}, "", []string{"workspace"}, nil},
		"the project's folder by a link": {[]string{"/home/me/src"}, "mkdir -p /home/me; ln -s " + elsewhere + " /home/me/src", nil, nil},
	}
	for name, tt := range sample.Cases(t, 9, tests) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			b := w.boxed("b", elsewhere, tt.more, tt.paths...)
			b.write("src/main.go", "package main")
			_, talk, code := b.run("start", "--wait")
			doc := b.status()
			said := strings.Join(doc.Attention, "\n")
			for _, r := range doc.Replicas {
				want := status.ReplicaSynced
				for _, name := range tt.blocked {
					if name == r.Name {
						want = status.ReplicaBlocked
					}
				}
				if r.State != want && (want != status.ReplicaSynced || r.State != status.ReplicaSyncing) {
					t.Errorf("%s is %s, want %s: %s", r.Name, r.State, want, r.LastError)
				}
			}
			for _, want := range tt.says {
				if !strings.Contains(said, want) {
					t.Errorf("status does not say %q: %s", want, said)
				}
			}
			if len(tt.says) == 0 && len(tt.blocked) == 0 && said != "" {
				t.Errorf("status says: %s", said)
			}
			if blocked := len(tt.blocked) > 0; blocked != (code == 1) || blocked != (doc.State == status.Degraded) {
				t.Errorf("start --wait ended with %d, %s: %s", code, doc.State, talk)
			}
			for _, name := range tt.blocked {
				if !strings.Contains(talk, "not restored: ") || !strings.Contains(talk, name+": ") {
					t.Errorf("start --wait does not name %s: %s", name, talk)
				}
			}
			if strings.Contains(tt.more, "mkdir") {
				return
			}
			made := b.sh("for d in /workspace /nowhere; do [ ! -e $d ] || realpath $d; done")
			if want := map[bool]string{true: elsewhere + "\n"}[name == "a link to the folder"]; made != want {
				t.Errorf("in the container's layer there is %q, want %q", made, want)
			}
		})
	}
}

// Once the path is what was meant, a start goes on: nothing is to be made anew.
func TestMisplacedIsMended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.boxed("b", "/workspaces/widget", ":", "/workspace")
	b.must("start")
	b.says(`"/workspace" is not there`)
	if _, talk, code := b.run("sync"); code == 0 || !strings.Contains(talk, "is not there") {
		t.Errorf("sync: %d, %s", code, talk)
	}
	if keys := w.objects(); len(keys) != 0 {
		t.Errorf("the bucket has %v", keys) // nobody else has to wait for this machine
	}
	b.sh("mkdir -p /workspace/.coltec && echo x >/workspace/note")
	b.must("start", "--wait")
	b.sync()
	b.stop()
	c := w.machine("c")
	c.spec(func(o *specOptions) { o.TTL, o.Renew = "90s", "20s" })
	c.once()
	if c.read("note") != "x\n" {
		t.Errorf("the bucket has %q", c.read("note"))
	}
	if _, talk, code := b.run("run", "--once"); code != 0 {
		t.Errorf("%d: %s", code, talk)
	}
	b.sh("rm -r /workspace")
	if _, talk, code := b.run("run", "--once"); code == 0 || !strings.Contains(talk, "is not there") {
		t.Errorf("run --once: %d, %s", code, talk)
	}
}

// A workspace comes to a fresh machine, where its folder has its spec and nothing else.
func TestRestoreIntoAMount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paths := []string{"/workspace", "/workspace/agent-context"}
	a := w.boxed("a", "/workspace", ":", paths...)
	a.write("src/main.go", "package main")
	a.write("agent-context/memory.md", "kept")
	a.must("run", "--once")
	b := w.boxed("b", "/workspace", ":", paths...)
	b.must("start", "--wait")
	if b.read("src/main.go") != "package main" || b.read("agent-context/memory.md") != "kept" {
		t.Error("it is not restored")
	}
	b.stop()
}

// A replica that only pulls has nothing to lose where it is.
func TestPullOnlyElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(func(o *specOptions) { o.TTL, o.Renew = "90s", "20s" })
	a.seed()
	a.once()
	b := w.boxed("b", "/workspaces/widget", ":", "/reference")
	b.spec(func(o *specOptions) {
		o.Env, o.TTL, o.Renew = "other", "90s", "20s"
		r := b.replica("reference", "/reference")
		r.RemotePath, r.Direction, r.Layout = prefix("workspace"), "pull-only", "snapshot"
		o.Replicas = []replicaSpec{r}
	})
	b.must("start", "--wait")
	if got := b.sh("cat /reference/edit.txt"); got != "before" {
		t.Errorf("%q", got)
	}
	b.stop()
}
