package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/status"
)

// tools is an agent that has the tools of a machine.
type tools struct {
	m       *machine
	session *mcp.ClientSession
}

// tools starts coltecd mcp, or coltec mcp, as an agent does it.
func (m *machine) tools(program string, flags ...string) *tools {
	m.t.Helper()
	cmd := m.command(context.Background(), append([]string{"mcp"}, flags...)...)
	cmd.Path, cmd.Args[0] = program, program
	var said strings.Builder
	cmd.Stderr = &said
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, nil)
	session, err := client.Connect(ctx, &mcp.CommandTransport{Command: cmd}, nil)
	if err != nil {
		m.t.Fatalf("%s mcp: %v\n%s", program, err, &said)
	}
	x := &tools{m, session}
	m.t.Cleanup(x.end)
	return x
}

// end ends the server by the end of its input.
func (x *tools) end() {
	x.m.t.Helper()
	if err := x.session.Close(); err != nil {
		x.m.t.Errorf("mcp ends with %v", err)
	}
}

// call calls a tool.
func (x *tools) call(ctx context.Context, name string, args map[string]any) (words string, r *mcp.CallToolResult, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if r, err = x.session.CallTool(ctx, &mcp.CallToolParams{Name: name, Arguments: args}); err != nil {
		return "", nil, err
	}
	for _, c := range r.Content {
		words += c.(*mcp.TextContent).Text
	}
	return words, r, nil
}

// fails calls a tool that answers with an error, which has all of that in it.
func (x *tools) fails(name string, args map[string]any, wanted ...string) {
	x.m.t.Helper()
	words, r, err := x.call(context.Background(), name, args)
	if err != nil || !r.IsError {
		x.m.t.Errorf("%s %v: %v, no error: %s", name, args, err, words)
		return
	}
	for _, w := range wanted {
		if !strings.Contains(words, w) {
			x.m.t.Errorf("%s %v: %q lacks %q", name, args, words, w)
		}
	}
}

// gives calls a tool that answers, and reads the answer.
func gives[A any](x *tools, name string, args map[string]any) (answer A) {
	x.m.t.Helper()
	words, r, err := x.call(context.Background(), name, args)
	if err != nil || r.IsError {
		x.m.t.Fatalf("%s %v: %v\n%s", name, args, err, words)
	}
	b, err := json.Marshal(r.StructuredContent)
	if err != nil {
		x.m.t.Fatal(err)
	}
	var got struct{ Answer A }
	if err := json.Unmarshal(b, &got); err != nil {
		x.m.t.Fatalf("%s %v: %v: %s", name, args, err, b)
	}
	return got.Answer
}

type given = map[string]any

// An agent in a container has each tool of its workspace, for real: it checkpoints, looks, pauses
// and, where a person has allowed it, rewinds.
func TestToolsInside(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.spec(func(o *specOptions) {
		o.Services = []map[string]any{{"name": "web", "command": []string{"sh", "-c", `printf 'ready \033[2J\n'; exec sleep 1000`}}}
	})
	m.write("notes.txt", "one")
	m.start()
	x := m.tools(coltecd)

	if words, _, err := x.call(context.Background(), "checkpoints", nil); err != nil || words != `{"exit":0,"answer":[]}` {
		t.Errorf("no checkpoints: %s, %v", words, err)
	}
	if made := gives[control.Checkpoint](x, "checkpoint", given{"name": "before", "message": "all is well"}); made.Name != "before" || made.Number == 0 {
		t.Errorf("%+v", made)
	}
	m.write("notes.txt", "two")
	gives[any](x, "sync", nil)
	if doc := gives[status.Document](x, "status", nil); doc.Workspace.Org != "acme" || len(doc.Units) == 0 {
		t.Errorf("%+v", doc)
	}
	if list := gives[[]control.Checkpoint](x, "checkpoints", nil); len(list) != 1 || list[0].Text != "all is well" {
		t.Errorf("%+v", list)
	}
	found := gives[control.Comparison](x, "compare", given{"a": "before", "diff": true})
	if d := found.Replicas["workspace"]; len(d) != 1 || d[0].Path != "notes.txt" || !strings.Contains(d[0].Diff, "+two") {
		t.Errorf("%+v", found)
	}
	if gens := gives[[]control.Generation](x, "history", nil); len(gens) < 2 {
		t.Errorf("%+v", gens)
	}
	if v := gives[control.Versions](x, "history", given{"path": "notes.txt"}); len(v.Versions) < 2 {
		t.Errorf("%+v", v)
	}
	if c := gives[control.Changes](x, "history", given{"at": "before"}); c.Generation.Number == 0 {
		t.Errorf("%+v", c)
	}
	if list := gives[[]control.Conflict](x, "conflicts", nil); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	eventually(t, "the log of web", func() error {
		if text := gives[string](x, "logs", given{"unit": "web", "lines": 5}); !strings.Contains(text, "ready ?[2J") {
			return fmt.Errorf("it is %q", text)
		}
		return nil
	})

	for name, args := range map[string]given{"rewind": {"at": "before"}, "pause": {"name": "web"}, "resume": {"name": "web"}, "join": {"fork": "acme/widget/no"}, "take": {"path": "notes.txt"}, "drop": {"all": true}} {
		x.fails(name, args, name+" is not allowed here", "coltecd mcp --allow "+name)
	}
	x.fails("compare", given{"a": "no-such-state"}, "no-such-state")
	x.fails("checkpoint", given{"name": "before"}, "before")
	x.fails("checkpoint", given{"name": "--remove=before"}, `may not begin with "-"`)
	x.fails("logs", given{"unit": "nothing"}, "nothing")

	y := m.tools(coltecd, "--allow", "rewind", "--allow", "pause", "--allow", "resume", "--allow", "join")
	y.fails("resume", given{"name": "web"}, "it is not paused")
	would := gives[control.Rewound](y, "rewind", given{"at": "before", "dry_run": true})
	if m.read("notes.txt") != "two" || would.To == 0 || would.Generation != 0 {
		t.Errorf("asked only: %q, %+v", m.read("notes.txt"), would)
	}
	done := gives[control.Rewound](y, "rewind", given{"at": "before"})
	if m.read("notes.txt") != "one" || done.Before == "" {
		t.Errorf("rewound: %q, %+v", m.read("notes.txt"), done)
	}
	gives[control.Rewound](y, "rewind", given{"at": done.Before, "path": "notes.txt"})
	if m.read("notes.txt") != "two" {
		t.Errorf("and back: %q", m.read("notes.txt"))
	}
	gives[any](y, "pause", given{"name": "web"})
	m.await("web is paused", func(doc status.Document) bool { return doc.Units[0].State == "paused" })
	gives[any](y, "resume", given{"name": "web"})
	y.fails("join", given{"fork": "acme/widget/no"}, "acme/widget/no")
}

// A call that is cancelled is, and the next one has its turn; an answer that is too large is said
// to be; two questions at once are answered.
func TestToolsUnderStrain(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.spec(nil)
	m.write("notes.txt", "one")
	m.start()
	x := m.tools(coltecd)
	gives[control.Checkpoint](x, "checkpoint", given{"name": "before"})

	reached, goOn := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(reached) })
	remove := w.proxy.Inject(s3test.Fault{Kind: s3test.Put, If: func(r s3test.Request) bool { return !strings.Contains(r.Key, "head") }, Before: func(s3test.Request) { once(); <-goOn }})
	m.write("notes.txt", "two")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, _, err := x.call(ctx, "sync", nil)
		ended <- err
	}()
	<-reached
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	remove()
	close(goOn)
	gives[any](x, "sync", nil)

	for i := range 2500 {
		m.write(fmt.Sprintf("many/%s-%d", strings.Repeat("n", 200), i), "")
	}
	gives[any](x, "sync", nil)
	if words, r, err := x.call(context.Background(), "compare", given{"a": "before"}); err != nil || r.IsError || !strings.Contains(words, "larger than 512 KiB") {
		t.Errorf("%v: %d bytes", err, len(words))
	}
	if found := gives[control.Comparison](x, "compare", given{"a": "before", "path": filepath.Join(m.dir, "notes.txt")}); len(found.Replicas["workspace"]) != 1 {
		t.Errorf("%+v", found)
	}

	var together sync.WaitGroup
	for _, name := range []string{"status", "history", "checkpoints", "conflicts", "status", "history"} {
		together.Go(func() {
			if words, r, err := x.call(context.Background(), name, nil); err != nil || r.IsError {
				t.Errorf("%s: %v %s", name, err, words)
			}
		})
	}
	together.Wait()
}

// An agent on a host lists the workspaces there, looks into their past and forks one; what only a
// running container can do says so, with the next step. A fork that worked is joined inside.
func TestToolsOnTheHost(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	m := w.ofEnv("dev")
	m.write("notes.txt", "one")
	m.start()
	m.must("checkpoint", "first")
	m.write("notes.txt", "two")
	m.sync()
	source, said, err := m.made("dev")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	docker := filepath.Join(t.TempDir(), "docker") // no containers
	if err := os.WriteFile(docker, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.env["COLTEC_DOCKER"] = docker
	x := m.tools(coltec, "--allow-actions")
	at := given{"workspace": source}
	with := func(more given) given {
		more["workspace"] = source
		return more
	}
	if rows := gives[[]fleet.Row](x, "list", at); !slices.ContainsFunc(rows, func(r fleet.Row) bool { return r.Workspace == "acme/widget/dev" && r.Folder == source }) {
		t.Errorf("%+v", rows)
	}
	if list := gives[[]control.Checkpoint](x, "checkpoints", at); len(list) != 1 || list[0].Name != "first" {
		t.Errorf("%+v", list)
	}
	if found := gives[control.Comparison](x, "compare", with(given{"a": "first"})); len(found.Replicas["workspace"]) != 1 {
		t.Errorf("%+v", found)
	}
	x.fails("compare", with(given{"a": "."}), `it is neither a generation nor a time`) // the folder of the workspace, and no fork
	if gens := gives[[]control.Generation](x, "history", at); len(gens) < 2 {
		t.Errorf("%+v", gens)
	}
	if list := gives[[]control.Conflict](x, "conflicts", at); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	for name, args := range map[string]given{
		"status": {}, "sync": {}, "checkpoint": {"name": "second"}, "rewind": {"at": "first"}, "logs": {"unit": "web"},
		"pause": {"name": "web"}, "resume": {"name": "web"}, "join": {"fork": "acme/widget/try"},
		"take": {"path": "notes.txt"}, "drop": {"all": true},
	} {
		x.fails(name, with(args), "coltec up")
	}
	x.fails("status", given{"workspace": "no/such/workspace"}, "no/such/workspace")
	x.fails("status", nil, "status needs workspace")
	x.fails("hop", with(given{}), "error: ")

	forks := gives[[]struct{ Workspace, Folder string }](x, "fork", with(given{"new": "try", "at": "first"}))
	if len(forks) != 1 || forks[0].Workspace != "acme/widget/try" {
		t.Fatalf("%+v", forks)
	}
	f := w.ofEnv("try")
	f.once()
	if text := f.read("notes.txt"); text != "one" {
		t.Errorf("the fork has %q", text)
	}
	f.write("of the fork.txt", "new")
	f.once()
	joined := gives[control.Joined](m.tools(coltecd, "--allow", "join"), "join", given{"fork": "acme/widget/try"})
	if m.read("of the fork.txt") != "new" || m.read("notes.txt") != "two" || joined.Checkpoint == "" {
		t.Errorf("%+v", joined)
	}
}

// asContainer has coltec on the machine find its coltecd in a container: Docker is a script, which
// runs what is to be run in there beside it. Real containers are e2e/devcontainer's.
func (m *machine) asContainer() {
	m.t.Helper()
	docker := filepath.Join(m.t.TempDir(), "docker")
	script := fmt.Sprintf(`#!/bin/sh
case "$1" in
ps) echo a1 ;;
inspect) echo '{"ID":"a1","Running":true,"Created":"2026-01-02","Labels":{"devcontainer.local_folder":"%s"},"Mounts":[],"Setting":[]}' ;;
exec)
	while [ "$1" != coltecd ]; do shift; done
	shift
	cd '%[1]s' && exec '%s' "$@"
	;;
esac
`, m.dir, coltecd)
	if err := os.WriteFile(docker, []byte(script), 0o755); err != nil {
		m.t.Fatal(err)
	}
	m.env["COLTEC_DOCKER"] = docker
	m.write(".devcontainer/devcontainer.json", "{}")
}

// An agent on a host has the tools of a workspace that runs there: they go into its container.
func TestToolsOfAHostReachIn(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.spec(func(o *specOptions) {
		o.Services = []map[string]any{{"name": "web", "command": []string{"sh", "-c", `echo ready; exec sleep 1000`}}}
	})
	m.write("notes.txt", "one")
	m.start()
	m.asContainer()
	x := m.tools(coltec, "--allow-actions")
	of := func(more given) given {
		more["workspace"] = m.dir
		return more
	}
	if made := gives[control.Checkpoint](x, "checkpoint", of(given{"name": "before", "message": "all is well"})); made.Name != "before" || made.Text != "all is well" {
		t.Errorf("%+v", made)
	}
	m.write("notes.txt", "two")
	gives[any](x, "sync", of(given{"replica": "workspace"}))
	if doc := gives[status.Document](x, "status", of(given{})); len(doc.Units) != 1 {
		t.Errorf("%+v", doc)
	}
	if found := gives[control.Comparison](x, "compare", of(given{"a": "before"})); len(found.Replicas["workspace"]) != 1 {
		t.Errorf("%+v", found)
	}
	if v := gives[control.Versions](x, "history", of(given{"path": "notes.txt"})); len(v.Versions) < 2 {
		t.Errorf("%+v", v)
	}
	if text := gives[string](x, "logs", of(given{"unit": "web"})); !strings.Contains(text, "ready") {
		t.Errorf("%q", text)
	}
	if would := gives[control.Rewound](x, "rewind", of(given{"at": "before", "dry_run": true})); would.Generation != 0 || m.read("notes.txt") != "two" {
		t.Errorf("asked only: %+v", would)
	}
	if done := gives[control.Rewound](x, "rewind", of(given{"at": "before"})); done.Before == "" || m.read("notes.txt") != "one" {
		t.Errorf("%+v", done)
	}
	gives[any](x, "pause", of(given{"name": "web"}))
	m.await("web is paused", func(doc status.Document) bool { return doc.Units[0].State == "paused" })
	gives[any](x, "resume", of(given{"name": "web"}))
	x.fails("pause", of(given{"name": "nothing"}), "nothing")
	x.fails("join", of(given{"fork": "acme/widget/no"}), "acme/widget/no")
}
