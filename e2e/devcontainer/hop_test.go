package devcontainer

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/store"
)

// hopper is a host to hop from and to: its own agreements, its own name, and its own Docker.
type hopper struct {
	*ground
	name string
	dir  string
	env  []string
}

// hopperAt is a host whose Docker is at an endpoint; "" for the machine's own.
func (g *ground) hopperAt(name, endpoint string) hopper {
	g.t.Helper()
	h := hopper{g, name, g.own(filepath.Join(name, "w")), []string{"XDG_STATE_HOME=" + filepath.Join(g.dir, name, "state")}}
	if err := os.MkdirAll(filepath.Dir(h.dir), 0o755); err != nil {
		g.t.Fatal(err)
	}
	if endpoint != "" {
		h.env = append(h.env, "DOCKER_HOST="+endpoint)
		g.t.Cleanup(func() {
			for id := range strings.FieldsSeq(g.there(endpoint, "ps", "-aq")) {
				g.there(endpoint, "rm", "-f", "-v", id)
			}
			for image := range strings.FieldsSeq(g.there(endpoint, "images", "--format", "{{.Repository}}")) {
				if strings.HasPrefix(image, "vsc-") {
					g.there(endpoint, "rmi", image)
				}
			}
		})
	}
	return h
}

func (h hopper) coltec(args ...string) (string, error) {
	return h.with(h.env, h.root+"/bin/coltec", args...)
}

func (h hopper) must(args ...string) string {
	h.t.Helper()
	out, err := h.coltec(args...)
	if err != nil {
		h.t.Fatalf("%s: coltec %s: %v\n%s", h.name, strings.Join(args, " "), err, out)
	}
	return out
}

// answers are those that the workspaces of these tests are made with.
func answers(env string) []string {
	return []string{"--data", "org=acme", "--data", "project=widget", "--data", "env=" + env,
		"--data", "image=" + os.Getenv("COLTEC_E2E_IMAGE"), "--data", "run_args=--network=host"}
}

// begin makes a workspace with some files on a host and brings it up there. Its lease is renewed
// so often that a test can wait for it.
func (h hopper) begin(env string, files int) {
	h.t.Helper()
	h.must(append([]string{"new", h.dir}, answers(env)...)...)
	path := filepath.Join(h.dir, ".devcontainer/workspace-spec.yaml")
	b, err := os.ReadFile(path)
	if err != nil {
		h.t.Fatal(err)
	}
	text := strings.Replace(string(b), "  defaults: {", "  lease: {ttl: 90s, renew: 5s}\n  defaults: {", 1)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
	for i := range files {
		h.write(fmt.Sprintf("%s/w/src/%02d/file%d", h.name, i%40, i), fmt.Sprintf("of file %d\n", i))
	}
	out := h.must("up", "--chown", h.dir, "--remote-env", "COLTEC_HOST=machine-"+h.name)
	if strings.Contains(out, "not restored") { // the first commands waited for what nobody could write
		h.t.Errorf("its user got the files too late:\n%s", out)
	}
}

// here is the command that brings the workspace to a host.
func (h hopper) here(env string, more ...string) []string {
	args := append([]string{"hop", "acme/widget/" + env, h.dir, "--chown", "--remote-env", "COLTEC_HOST=machine-" + h.name}, more...)
	return append(args, answers(env)[6:]...)
}

func (h hopper) sh(script string) string {
	h.t.Helper()
	return h.must("exec", h.dir, "--", "sh", "-c", script)
}

// One command brings a workspace from one Docker host to another: the folder is made as the
// bucket has it, the one that has the lease pushes and stops, and the line at the end says what
// came. What its container does on this host is asked about first.
func TestHop(t *testing.T) {
	g := newGround(t)
	const env = "dev-n"
	a, b := g.hopperAt("a", ""), g.hopperAt("b", g.dockerd())
	a.begin(env, 30)
	a.sh("cd /workspace && git init -q repo && cd repo && git -c user.name=n -c user.email=e commit -q --allow-empty -m first")

	// The bucket says what is asked about, and nothing is moved before the answer.
	out, err := b.coltec("hop", "acme/widget/"+env, b.dir)
	if exitOf(err) != cmdline.CodeUntrusted || !strings.Contains(out, "+ image: "+os.Getenv("COLTEC_E2E_IMAGE")) || !strings.Contains(out, "coltec trust") {
		t.Fatalf("%v\n%s", err, out)
	}
	g.heldBy(env, "machine-a")
	b.must("trust", b.dir)
	out = b.must(b.here(env)...)
	if !strings.Contains(out, "is in "+a.dir+" on this host: it pushes and stops there") || !strings.Contains(out, "acme/widget/dev-n is here: ") || !strings.Contains(out, "1 repository") {
		t.Errorf("it says:\n%s", out)
	}
	g.heldBy(env, "machine-b")
	if running, err := g.run("docker", "ps", "-q", "--filter", "label=devcontainer.local_folder="+a.dir); err != nil || running != "" {
		t.Errorf("the container that had it still runs: %q, %v", running, err)
	}
	if got := b.sh("cat /workspace/src/07/file7; git -C /workspace/repo log --format=%s"); got != "of file 7\nfirst\n" {
		t.Errorf("there is %q", got)
	}
	b.noConflicts(b.dir)
	if out := b.must(b.here(env)...); !strings.Contains(out, "acme/widget/dev-n is here already: "+b.dir) {
		t.Errorf("a second time:\n%s", out)
	}

	// Back, while the other has it and is another machine: by a request in the bucket, in words.
	b.sh("echo of b > /workspace/note")
	out = a.must(a.here(env)...)
	if !strings.Contains(out, "machine-b has held the lease since") || !strings.Contains(out, "this machine now holds the lease") || !strings.Contains(out, "is here: ") {
		t.Errorf("it says:\n%s", out)
	}
	if got := a.sh("cat /workspace/note"); got != "of b\n" {
		t.Errorf("there is %q", got)
	}

	// Down, and up elsewhere.
	b.must("down", b.dir)
	a.must("down", a.dir)
	if out := b.must(b.here(env)...); !strings.Contains(out, "is here: ") {
		t.Errorf("it says:\n%s", out)
	}

	// Gone: what is left behind is said, and without an answer nothing is taken.
	if out, err := g.run("docker", "--host", strings.TrimPrefix(b.env[1], "DOCKER_HOST="), "kill", b.id()); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := a.coltec(a.here(env, "--force")...); exitOf(err) != cmdline.CodeUsage {
		t.Errorf("without a terminal: %v\n%s", err, out)
	}
	out = a.must(a.here(env, "--force", "--yes")...)
	if !strings.Contains(out, "and was last seen ") || !strings.Contains(out, "stays there, and is merged when it comes back") || !strings.Contains(out, "the newest state in the bucket is generation") {
		t.Errorf("it says:\n%s", out)
	}
	g.heldBy(env, "machine-a")
}

// heldBy fails unless a machine has the lease.
func (g *ground) heldBy(env, name string) {
	g.t.Helper()
	if h := g.head(env); h.State != store.Held || h.Holder.Host != name {
		g.t.Errorf("the lease is %s, of %s, and not of %s", h.State, h.Holder.Host, name)
	}
}

// id is the container of a host.
func (h hopper) id() string {
	h.t.Helper()
	out, err := h.with(h.env, "docker", "ps", "-q", "--filter", "label=devcontainer.local_folder="+h.dir)
	if ids := strings.Fields(out); err != nil || len(ids) != 1 {
		h.t.Fatalf("containers of %s: %q, %v", h.dir, out, err)
	}
	return strings.TrimSpace(out)
}

func exitOf(err error) int {
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return ended.ExitCode()
	}
	return 0
}

// A holder that does not answer is waited for until Ctrl-C, which leaves all as it was but the
// request; the same command goes on. Of two that ask at once one gets it, and the other is told
// which.
func TestHopIsCutOff(t *testing.T) {
	g := newGround(t)
	const env = "dev-o"
	b := g.hopperAt("b", g.dockerd())
	a, c := g.hopperAt("a", ""), g.hopperAt("c", "")
	b.begin(env, 3)
	a.must(a.here(env, "--prepare")...)
	c.must(c.here(env, "--prepare")...)
	g.heldBy(env, "machine-b")

	b.stands("pause")
	cut := a.starts(a.here(env)...)
	cut.asks()
	_ = cut.cmd.Process.Signal(syscall.SIGINT)
	if code := cut.ends(); code != cmdline.CodeInterrupted {
		t.Errorf("after Ctrl-C: exit %d", code)
	}
	out := cut.said.String()
	if !strings.Contains(out, "was asked, and hands over when it sees that") || !strings.Contains(out, "goes on") {
		t.Errorf("after Ctrl-C:\n%s", out)
	}
	b.stands("unpause")
	if out := a.must(a.here(env)...); !strings.Contains(out, "acme/widget/dev-o is here") {
		t.Errorf("it says:\n%s", out)
	}

	// One that was fenced asks as any other.
	b.must(b.here(env, "--force", "--yes")...)
	if out := a.must(a.here(env)...); !strings.Contains(out, "machine-b has held the lease since") || !strings.Contains(out, "acme/widget/dev-o is here") {
		t.Errorf("it says:\n%s", out)
	}

	// Two at once: both have asked before b sees either.
	b.must(b.here(env)...)
	b.stands("pause")
	both := map[string]*hopping{"a": a.starts(a.here(env)...), "c": c.starts(c.here(env)...)}
	for _, x := range both {
		x.asks()
	}
	b.stands("unpause")
	said, got := map[string]string{}, []string{}
	for name, x := range both {
		if x.ends() == 0 {
			got = append(got, name)
		}
		said[name] = x.said.String()
	}
	if len(got) != 1 {
		t.Fatalf("%v have it:\n%s\n%s", got, said["a"], said["c"])
	}
	lost := map[string]string{"a": "c", "c": "a"}[got[0]]
	if !strings.Contains(said[lost], "machine-"+got[0]) {
		t.Errorf("%s has it, and %s is told:\n%s", got[0], lost, said[lost])
	}
	g.heldBy(env, "machine-"+got[0])
}

// stands has Docker pause the container of a host, or let it go on.
func (h hopper) stands(verb string) {
	h.t.Helper()
	if out, err := h.with(h.env, "docker", verb, h.id()); err != nil {
		h.t.Fatalf("%s: %v: %s", verb, err, out)
	}
}

// hopping is a coltec that runs, and what it has said.
type hopping struct {
	hopper
	cmd  *exec.Cmd
	said strings.Builder
	news chan string // what it says; closed at its end
}

// starts starts coltec.
func (h hopper) starts(args ...string) *hopping {
	h.t.Helper()
	x := &hopping{hopper: h, cmd: exec.CommandContext(h.t.Context(), h.root+"/bin/coltec", args...), news: make(chan string)}
	x.cmd.Env, x.cmd.Dir = append(append([]string{}, h.ground.env...), h.env...), h.ground.dir
	talk, err := x.cmd.StderrPipe()
	if err == nil {
		err = x.cmd.Start()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	go func() {
		defer close(x.news)
		buf := make([]byte, 4096)
		for {
			n, err := talk.Read(buf)
			x.news <- string(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	return x
}

// asks waits until it has asked the holder, which is said one way or another.
func (x *hopping) asks() {
	x.t.Helper()
	late := time.After(2 * patience)
	for !strings.Contains(x.said.String(), "asked at ") && !strings.Contains(x.said.String(), "has not renewed the lease for") {
		select {
		case text, more := <-x.news:
			if x.said.WriteString(text); !more {
				x.t.Fatalf("%s: it asks nobody:\n%s", x.hopper.name, x.said.String())
			}
		case <-late:
			x.t.Fatalf("%s: it asks nobody:\n%s", x.hopper.name, x.said.String())
		}
	}
}

// ends waits for the end and gives the exit code.
func (x *hopping) ends() int {
	x.t.Helper()
	late := time.After(2 * patience)
	for {
		select {
		case text, more := <-x.news:
			if x.said.WriteString(text); !more {
				return exitOf(x.cmd.Wait())
			}
		case <-late:
			x.t.Fatalf("%s: it does not end:\n%s", x.hopper.name, x.said.String())
		}
	}
}

// coltec hop --to has another machine get it, by a real sshd: that one is prepared first, then
// it ends here.
func TestHopTo(t *testing.T) {
	g := newGround(t)
	const env = "dev-p"
	a, b := g.hopperAt("a", ""), g.hopperAt("b", g.dockerd())
	a.begin(env, 3)
	vars := g.sshTo(strings.Join(b.env, " ") + " FNOX_AGE_KEY_FILE=" + g.dir + "/key.txt TMPDIR=" + g.dir + "/tmp PATH=" + g.root + "/bin:" + os.Getenv("PATH"))
	u, err := url.Parse(strings.TrimPrefix(vars[0], "DOCKER_HOST="))
	if err != nil {
		t.Fatal(err)
	}
	a.env = append(a.env, vars[1])
	send := []string{"hop", "--to", u.String(), "--chown", a.dir, b.dir}
	out, err := a.coltec(send...)
	if exitOf(err) != cmdline.CodeUntrusted || !strings.Contains(out, "agree there: ssh -t ") {
		t.Fatalf("%v\n%s", err, out)
	}
	g.heldBy(env, "machine-a")
	b.must("trust", b.dir)
	out = a.must(send...)
	if !strings.Contains(out, "acme/widget/dev-p is here: ") || !strings.Contains(out, "dev-p: down") {
		t.Errorf("it says:\n%s", out)
	}
	if got := b.sh("cat /workspace/src/01/file1"); got != "of file 1\n" {
		t.Errorf("there is %q", got)
	}
}

// What a hop of 1,000 files takes between two Docker hosts: make bench-hop.
func TestBenchHop(t *testing.T) {
	if os.Getenv("COLTEC_BENCH_HOP") == "" {
		t.Skip("figures, and no promise: make bench-hop")
	}
	g := newGround(t)
	const env = "dev-q"
	a, b := g.hopperAt("a", ""), g.hopperAt("b", g.dockerd())
	a.begin(env, 1000)
	took := func(what string, h hopper) {
		began := time.Now()
		out := h.must(h.here(env)...)
		t.Logf("%s: %.1f s", what, time.Since(began).Seconds())
		if !strings.Contains(out, "is here: ") {
			t.Errorf("it says:\n%s", out)
		}
	}
	took("into nothing, and the image is built there", b)
	for round := range 3 {
		t.Logf("round %d", round)
		took("back, from another machine, by the bucket (renewed each 5 s)", a)
		b.must("down", b.dir)
		b.vanish()
		took("into nothing, from this host, live", b)
		b.must("down", b.dir)
		took("back, released", a)
		a.must("down", a.dir)
		b.vanish()
		took("into nothing, released", b)
		b.must("down", b.dir)
		took("back, released", a)
		a.sh("echo a > /workspace/src/changed")
		took("back, from this host, live", b)
	}
}

// vanish removes the folder of a host and its container; the image stays.
func (h hopper) vanish() {
	h.t.Helper()
	ids, err := h.with(h.env, "docker", "ps", "-aq", "--filter", "label=devcontainer.local_folder="+h.dir)
	if err != nil {
		h.t.Fatalf("%v: %s", err, ids)
	}
	for id := range strings.FieldsSeq(ids) {
		if out, err := h.with(h.env, "docker", "rm", "-f", "-v", id); err != nil {
			h.t.Fatalf("%v: %s", err, out)
		}
	}
	if err := os.RemoveAll(h.dir); err != nil {
		h.t.Fatal(err)
	}
}
