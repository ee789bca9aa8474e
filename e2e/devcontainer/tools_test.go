package devcontainer

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// toolsOf is an agent of a host that has its tools.
type toolsOf struct {
	hopper
	session *mcp.ClientSession
	server  *exec.Cmd
	heard   chan string // what it is told of calls that are under way
}

// tools starts coltec mcp, as an agent of the host does it.
func (h hopper) tools(flags ...string) *toolsOf {
	h.t.Helper()
	x := &toolsOf{hopper: h, server: exec.Command(h.root+"/bin/coltec", append([]string{"mcp"}, flags...)...), heard: make(chan string, 1000)}
	x.server.Env, x.server.Dir = append(append([]string{}, h.ground.env...), h.env...), h.ground.dir
	client := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { x.heard <- r.Params.Message },
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	if x.session, err = client.Connect(ctx, &mcp.CommandTransport{Command: x.server}, nil); err != nil {
		h.t.Fatalf("%s: %v", h.name, err)
	}
	h.t.Cleanup(func() { _ = x.session.Close() })
	return x
}

// hop calls the tool, and gives what it says.
func (x *toolsOf) hop(ctx context.Context, env string) (words string, failed bool, err error) {
	params := &mcp.CallToolParams{Name: "hop", Arguments: map[string]any{"workspace": "acme/widget/" + env, "folder": x.dir}}
	params.SetProgressToken(env)
	ctx, cancel := context.WithTimeout(ctx, 10*patience)
	defer cancel()
	r, err := x.session.CallTool(ctx, params)
	if err != nil {
		return "", true, err
	}
	return r.Content[0].(*mcp.TextContent).Text, r.IsError, nil
}

// hears waits until it is told of a call what has one of the parts in it.
func (x *toolsOf) hears(parts ...string) {
	x.t.Helper()
	late := time.After(2 * patience)
	var all []string
	for {
		select {
		case line := <-x.heard:
			all = append(all, line)
			for _, part := range parts {
				if strings.Contains(line, part) {
					return
				}
			}
		case <-late:
			x.t.Fatalf("%s: nobody says any of %q:\n%s", x.hopper.name, parts, strings.Join(all, "\n"))
		}
	}
}

// told is what it was told, and did not hear yet.
func (x *toolsOf) told() (lines []string) {
	for len(x.heard) > 0 {
		lines = append(lines, <-x.heard)
	}
	return lines
}

// hops are the coltec hop that run for this folder.
func (x *toolsOf) hops() string {
	x.t.Helper()
	out, _ := exec.Command("pgrep", "-f", "coltec hop -- .*"+x.dir+"$").Output() // it fails where there is none
	return string(out)
}

// An agent brings a workspace to its host by a tool, from one Docker to another: a person agrees
// first to what it does on this host. A call that is cancelled, and a server that is killed,
// leave no hop behind that goes on by itself, and the next call goes on.
func TestHopByATool(t *testing.T) {
	g := newGround(t)
	const env = "dev-mcp"
	a, b := g.hopperAt("a", ""), g.hopperAt("b", g.dockerd())
	a.begin(env, 30)
	x := b.tools("--allow", "hop")
	words, failed, err := x.hop(t.Context(), env)
	if err != nil || !failed || !strings.Contains(words, ": coltec trust "+b.dir) || !strings.Contains(words, "is for a person to decide") {
		t.Errorf("nobody agreed: %v %v %s", failed, err, words)
	}
	g.heldBy(env, "machine-a")
	b.must("trust", b.dir)
	if out, err := exec.Command("chown", "-R", "1000:1000", b.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	words, failed, err = x.hop(t.Context(), env)
	if err != nil || failed || !strings.Contains(words, "acme/widget/"+env+" is here: ") {
		t.Fatalf("%v %v %s\nit said:\n%s", failed, err, words, strings.Join(x.told(), "\n"))
	}
	if !strings.Contains(words, "it pushes and stops there") { // which may go by between two notifications
		t.Errorf("what the other machine did is not said: %s", words)
	}
	if got := b.sh("cat /workspace/src/07/file7"); got != "of file 7\n" {
		t.Errorf("there is %q", got)
	}

	// Back, while the other machine answers to nothing: both are cut off.
	y := a.tools("--allow", "hop")
	b.stands("pause")
	for _, how := range []string{"cancelled", "killed"} {
		y.told() // of the call before
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, _, err := y.hop(ctx, env)
			ended <- err
		}()
		y.hears("asked at ", "has not renewed the lease for")
		if y.hops() == "" {
			t.Errorf("%s: no coltec hop runs", how)
		}
		if how == "cancelled" {
			cancel()
		} else if err := y.server.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil {
			t.Errorf("%s: it was answered", how)
		}
		cancel()
		g.eventually(how+": the hop ends", func() bool { return y.hops() == "" })
	}
	b.stands("unpause")
	words, failed, err = a.tools("--allow", "hop").hop(t.Context(), env)
	if err != nil || failed || !strings.Contains(words, "acme/widget/"+env+" is here") {
		t.Errorf("%v %v %s", failed, err, words)
	}
	if got := a.sh("cat /workspace/src/07/file7"); got != "of file 7\n" {
		t.Errorf("there is %q", got)
	}
}
