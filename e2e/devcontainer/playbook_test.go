package devcontainer

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/modeltest"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// inTheBucket is how long a save may take to be in the bucket without anybody
// asking for it.
const inTheBucket = 5 * time.Second

// machine is a host with a checkout of its own, as far as the playbook's blocks
// look at it, and with the user's fnox.toml.
type machine struct {
	*ground
	dir string
}

func (g *ground) machine(name string) machine {
	g.t.Helper()
	m := machine{g, filepath.Join(g.dir, name)}
	if err := os.Mkdir(m.dir, 0o755); err != nil {
		g.t.Fatal(err)
	}
	for _, part := range []string{"bin", "scripts", "extensions"} {
		if err := os.Symlink(filepath.Join(g.root, part), filepath.Join(m.dir, part)); err != nil {
			g.t.Fatal(err)
		}
	}
	return m
}

// try runs a block of the page.
func (m machine) try(block string) (string, error) {
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", block)
	cmd.Dir = m.dir
	cmd.Env = append(slices.Clone(m.env), "PATH="+m.root+"/bin:"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (m machine) bash(block string) string {
	m.t.Helper()
	out, err := m.try(block)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", block, err, out)
	}
	return out
}

// fit makes a folder of coltec new fit for this machine: the bucket is on
// loopback, the template's image is not to be had and the base image takes its
// name, and the user of the test is root.
func (m machine) fit(folder string) string {
	m.t.Helper()
	dir := m.own(filepath.Join(filepath.Base(m.dir), folder))
	b, err := os.ReadFile(filepath.Join(dir, ".devcontainer/devcontainer.json"))
	if err != nil {
		m.t.Fatal(err)
	}
	var made struct{ Image string }
	if err := json.Unmarshal(b, &made); err != nil {
		m.t.Fatal(err)
	}
	m.lend(made.Image)
	m.edit(dir, `"--stop-timeout=60",`, `"--stop-timeout=60", "--network=host",`)
	if out, err := m.run("chown", "-R", "1000:1000", dir); err != nil {
		m.t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// stored reads a replica out of the bucket, by the documented format and without
// a line of ours: path -> content, or -> target for a link and "" for a directory.
func (g *ground) stored(env, replica string) map[string]string {
	g.t.Helper()
	out, err := os.MkdirTemp(g.dir, "stored")
	if err != nil {
		g.t.Fatal(err)
	}
	defer os.RemoveAll(out)
	// An error: a commit came in between, or there is none yet.
	_, _ = g.run("python3", g.root+"/docs/example/read_bucket.py", g.bucket(), "acme/widget/"+env, out)
	found := map[string]string{}
	root := filepath.Join(out, replica)
	_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		switch {
		case d.IsDir():
			found[rel] = ""
		case d.Type()&os.ModeSymlink != 0:
			found[rel], _ = os.Readlink(path)
		default:
			b, _ := os.ReadFile(path)
			found[rel] = string(b)
		}
		return nil
	})
	return found
}

func (g *ground) bucket() string { return filepath.Join(g.server.Dir, g.server.Bucket) }

// The page itself: five workspaces of its loop, up at once with secrets from an
// age-encrypted fnox.toml; saves are in the bucket in time; a restart, and the
// manual flow after it; a hop and back.
func TestPlaybook(t *testing.T) {
	g := newGround(t)
	page := readPage(t, filepath.Join(g.root, "docs/playbook.md"))
	a := g.machine("a")
	envs := []string{"dev-a", "dev-b", "dev-c", "dev-d", "dev-e"}
	dirs := map[string]string{}

	model := modeltest.Start(t)
	a.bash(page.next("Five workspaces"))
	for _, env := range envs {
		dirs[env] = a.fit("widget-" + env)
		g.withAgents(dirs[env], model)
	}
	a.bash(page.next("Five workspaces")) // coltec check

	began := time.Now()
	out := a.bash(page.next("Bring them up"))
	t.Logf("five up in %.1f s", time.Since(began).Seconds())
	for _, env := range envs {
		if !strings.Contains(out, env+": running\n") || !strings.Contains(out, "acme/widget/"+env+" ") {
			t.Fatalf("%s is not up:\n%s", env, out)
		}
	}

	g.saves(envs, dirs)
	for _, env := range envs {
		g.healthy(dirs[env])
		g.apart(env)
	}
	g.noSecrets(dirs["dev-a"])

	// docker restart brings no secrets; the manual flow does.
	dir := dirs["dev-a"]
	g.restarted(dir)
	a.bash(page.next("Bring them up")) // secrets export, devcontainer up
	if _, err := os.Stat("/tmp/coltec-secrets.json"); err == nil {
		t.Error("the manual flow leaves the secrets in a file")
	}
	g.eventually("what was edited meanwhile is in the bucket", func() bool {
		return g.stored("dev-a", "workspace")["meanwhile"] == "edited\n"
	})

	// The hop: down here, up in a fresh folder of another machine.
	before := g.tree(dir)
	began = time.Now()
	a.bash(page.next("Hop"))
	if h := g.head("dev-a"); h.State != store.Released {
		t.Errorf("after down the lease is %s", h.State)
	}
	b := g.machine("b")
	b.bash(page.next("Hop"))
	other := b.fit("widget-dev-a")
	g.withAgents(other, model)
	b.bash(page.next("Hop"))
	t.Logf("hop in %.1f s", time.Since(began).Seconds())
	if after := g.tree(other); after != before {
		t.Errorf("on the other machine:\n%s\nwas:\n%s", after, before)
	}
	g.healthy(other)
	g.noConflicts(other)

	// Back without down: refused, and taken over.
	g.sh(other, "echo of b > /workspace/of-b")
	if out, err := a.try("coltec up ./widget-dev-a"); err == nil || !strings.Contains(out, "has held the lease since") {
		t.Fatalf("while b is up: %v\n%s", err, out)
	}
	a.bash(page.next("Hop")) // takeover
	g.eventually("a has what b saved", func() bool {
		got, err := os.ReadFile(filepath.Join(dir, "of-b"))
		return err == nil && string(got) == "of b\n"
	})
	g.healthy(dir)
	g.noConflicts(dir)

	g.fiveAgents(page, model, a, b, dirs)

	a.bash(page.next("On your tailnet"))
	spec, err := os.ReadFile(filepath.Join(a.dir, "widget-dev-net/.devcontainer/workspace-spec.yaml"))
	if err != nil || !strings.Contains(string(spec), "\nnetworking:\n") {
		t.Errorf("%v: %s", err, spec)
	}
	page.end()
}

// fiveAgents has an agent work in each workspace, and three of them hop from a to b, where they
// are told what was said before; one that stays goes on where it is.
func (g *ground) fiveAgents(page *page, model *modeltest.Model, a, b machine, dirs map[string]string) {
	g.t.Helper()
	for _, env := range []string{"dev-d", "dev-e"} {
		g.inHome(dirs[env], ".codex/config.toml", model.CodexConfig())
	}
	began := time.Now()
	a.bash(page.next("Five agents"))
	g.t.Logf("five agents have done a turn in %.1f s", time.Since(began).Seconds())
	for env := range dirs {
		if !model.Knew(0, "Remember that you work in "+env+".") {
			g.t.Errorf("the agent of %s has asked nothing", env)
		}
	}
	began = time.Now()
	a.bash(page.next("Five agents")) // down
	b.bash(page.next("Five agents")) // new
	hopped := []string{"dev-b", "dev-c", "dev-d"}
	for _, env := range hopped {
		g.withAgents(b.fit("widget-"+env), model)
	}
	out := b.bash(page.next("Five agents")) // up
	g.t.Logf("three hopped in %.1f s", time.Since(began).Seconds())
	for _, want := range []string{"dev-b: claude: 1 conversation, ", "dev-c: claude: 1 conversation, ", "dev-d: codex: 1 conversation, "} {
		if !strings.Contains(out, want) {
			g.t.Errorf("up does not say %q:\n%s", want, out)
		}
	}
	from := len(model.Asked(0))
	out = b.bash(page.next("Five agents")) // go on
	for _, env := range hopped {
		if !model.Knew(from, "Remember that you work in "+env+".", "I say nonce-", "Where do you work?") {
			g.t.Errorf("the agent of %s does not go on: %s", env, out)
		}
	}
	g.turn(model, dirs["dev-e"], []string{"Remember that you work in dev-e.", "I say nonce-"}, "codex", "exec", "resume", "--last", "--skip-git-repo-check", "Where do you work?")
	b.bash(page.next("Five agents")) // check
}

// saves edits files in all containers at once and waits until all of it is in
// the bucket, without a word to coltecd. The bucket is read when every container has
// committed something, by one at a time: reading it takes the CPU that they need.
func (g *ground) saves(envs []string, dirs map[string]string) {
	g.t.Helper()
	var wg, committed sync.WaitGroup
	var reading sync.Mutex
	committed.Add(len(envs))
	for _, env := range envs {
		wg.Go(func() {
			done := sync.OnceFunc(committed.Done)
			defer done() // a failed test ends this goroutine
			before := g.head(env).Generation
			out, err := g.run(g.root+"/bin/coltec", "exec", dirs[env], "--", "sh", "-c",
				"cd /workspace && mkdir -p empty src && echo of "+env+" > src/main && chmod 755 src/main && ln -s main src/link && mkdir -p ~/.claude && echo agents of "+env+" > ~/.claude/CLAUDE.md")
			saved := time.Now()
			if err != nil {
				g.t.Errorf("%s: %v: %s", env, err, out)
				return
			}
			g.eventually("a commit of "+env, func() bool { return g.head(env).Generation > before })
			done()
			committed.Wait()
			there := g.awaitStored(env, &reading).Sub(saved)
			g.t.Logf("%s: in the bucket after %.1f s", env, there.Seconds())
			if there > inTheBucket {
				g.t.Errorf("%s: a save takes %.1f s to the bucket", env, there.Seconds())
			}
		})
	}
	wg.Wait()
}

// awaitStored waits until what saves edits is in the bucket, and gives when the
// head came that has all of it.
func (g *ground) awaitStored(env string, reading *sync.Mutex) (came time.Time) {
	want := map[string]string{"empty": "", "src/main": "of " + env + "\n", "src/link": "main"}
	var looked time.Time
	generation := int64(-1)
	// A renewal is a head that came later, of the same generation.
	look := func() bool {
		h := g.head(env) // first: one that comes in between is only said to have come later
		at := g.headCame(env)
		if h.Generation != generation {
			generation, came = h.Generation, at
		}
		changed := !at.Equal(looked)
		looked = at
		return changed
	}
	g.eventually("the saves of "+env+" are in the bucket", func() bool {
		if !look() { // reading all of it takes a while: only what is new is read
			return false
		}
		reading.Lock()
		defer reading.Unlock()
		return contains(g.stored(env, "workspace"), want) && g.stored(env, "home")[".claude/CLAUDE.md"] == "agents of "+env+"\n"
	})
	look() // it may be a later one that was read
	return came
}

// contains reports whether all of want is in have.
func contains(have, want map[string]string) bool {
	for name, text := range want {
		if got, ok := have[name]; !ok || got != text {
			return false
		}
	}
	return true
}

// healthy fails unless coltecd says that all is well.
func (g *ground) healthy(dir string) {
	g.t.Helper()
	g.eventually("all is well in "+dir, func() bool {
		_, err := g.run(g.root+"/bin/coltec", "status", dir)
		return err == nil
	})
	doc := g.status(dir)
	if doc.State != status.Running || doc.Lease.State != status.LeaseHeld || len(doc.Replicas) != 2 {
		g.t.Errorf("%s is not healthy: %+v", dir, doc)
	}
}

func (g *ground) noConflicts(dir string) {
	g.t.Helper()
	for _, r := range g.status(dir).Replicas {
		if r.Conflicts != 0 {
			g.t.Errorf("%s: replica %s has %d conflicts", dir, r.Name, r.Conflicts)
		}
	}
	aside, err := filepath.Glob(filepath.Join(dir, ".coltec/conflicts/*"))
	if err != nil || len(aside) > 0 {
		g.t.Errorf("%s: conflicts: %v, %v", dir, aside, err)
	}
}

// apart fails when anything under the prefix of env is of another.
func (g *ground) apart(env string) {
	g.t.Helper()
	prefix := filepath.Join(g.bucket(), "workspaces/acme/widget")
	entries, err := os.ReadDir(prefix)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"dev-a", "dev-b", "dev-c", "dev-d", "dev-e"}; err != nil || !slices.Equal(names, want) {
		g.t.Errorf("prefixes: %v, %v", names, err)
	}
	for _, replica := range []string{"workspace", "home"} {
		var claim store.Claim
		b, err := os.ReadFile(filepath.Join(prefix, env, replica, ".coltec/claim.json"))
		if err == nil {
			err = json.Unmarshal(b, &claim)
		}
		if err != nil || claim.Workspace != "acme/widget/"+env || claim.Replica != replica {
			g.t.Errorf("claim of %s %s: %+v, %v", env, replica, claim, err)
		}
		for path, text := range g.stored(env, replica) {
			if base := filepath.Base(path); (base == "main" || base == "CLAUDE.md") && !strings.HasSuffix(text, "of "+env+"\n") {
				g.t.Errorf("under the prefix of %s: %s is %q", env, path, text)
			}
		}
	}
}

// restarted restarts the container of a workspace, and sees that coltecd runs
// without secrets, says so everywhere, and that one can go on working.
func (g *ground) restarted(dir string) {
	g.t.Helper()
	if out, err := g.run("docker", "restart", g.container(dir)); err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	g.eventually("coltecd runs again, blocked by name", func() bool {
		doc := g.status(dir)
		return doc.State == status.Degraded && !slices.ContainsFunc(doc.Replicas, func(r status.Replica) bool {
			return r.State != status.ReplicaBlocked || !strings.Contains(r.LastError, "RCLONE_BUCKET")
		}) && len(doc.Replicas) > 0
	})
	g.eventually("coltec ls says it", func() bool {
		out := g.must("ls", "--local")
		return strings.Contains(out, "degraded") && strings.Contains(out, "RCLONE_BUCKET")
	})
	if out := g.shell(dir); !strings.Contains(out, "RCLONE_BUCKET is not set") {
		g.t.Errorf("a new shell says: %q", out)
	}
	g.sh(dir, "echo edited > /workspace/meanwhile")
}

// shell is what a new interactive shell on a terminal says.
func (g *ground) shell(dir string) string {
	g.t.Helper()
	out, err := g.run("script", "-qec", fmt.Sprintf("docker exec -it -u vscode %s bash -ic exit", g.container(dir)), "/dev/null")
	if err != nil {
		g.t.Errorf("a new shell: %v: %s", err, out)
	}
	return out
}

// tree is a listing of a workspace's files: type, mode, time, target, content.
func (g *ground) tree(dir string) string {
	g.t.Helper()
	out, err := g.run("bash", "-c", `cd "$1" && find . \( -path '*/.coltec' -o -path ./.devcontainer/coltec -o -path ./.devcontainer/logs -o -name devcontainer-lock.json \) -prune -o \
		\( -type d -printf '%P %y %m\n' -o -path './.devcontainer/*' -printf '%P %y %m %l ' -exec sh -c '[ -L "$1" ] || sha256sum <"$1"' sh {} \; \
		-o -printf '%P %y %m %T@ %l ' -exec sh -c '[ -L "$1" ] && echo || sha256sum <"$1"' sh {} \; \) | LC_ALL=C sort`, "bash", dir)
	if err != nil || !strings.Contains(out, "src/main f 755 ") || !strings.Contains(out, "empty d ") {
		g.t.Fatalf("%v: %s", err, out)
	}
	return out
}
