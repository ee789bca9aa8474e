package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// place is one workspace of a fleet: how it comes to be as it is, and what a person at the desk
// is to be told of it.
type place struct {
	env  string
	at   seat
	make func(*place)
	then func(*place) // what is waited for when all are made
	want told

	estate *estate
	m      *machine // at the desk
	far    *machine // another one that has, or had, the workspace
}

// seat says what a workspace is made of at the desk.
type seat int

const (
	running seat = iota // a folder with a container that runs
	stopped             // a folder with a container that does not run
	bare                // a folder alone
	remote              // nothing: it is in the bucket alone
)

// told is what is to be told of a workspace, by how it was made.
type told struct {
	state, where string
	says         string // a part of a sentence for a person; "": there is none
	agent        string // what claude does there; "": nothing is said of one
	need         string // the word why somebody has to do something; "": nobody has
}

// estate is a desk and the workspaces of one bucket.
type estate struct {
	*world
	desk   *desk
	places []*place
}

// states has a workspace in each state that there is. Those at the desk whose coltecd lives are
// eleven, and one lives elsewhere: a small machine has to run them all.
func states() []*place {
	return []*place{
		{env: "calm", make: (*place).calm, want: told{state: "running", where: "here"}},
		{env: "asks", make: (*place).asks, want: told{state: "running", where: "here", says: "claude waits for you", agent: "waits for you", need: "asks"}},
		{env: "works", make: (*place).works, want: told{state: "running", where: "here", agent: "working"}},
		{env: "done", make: (*place).done, want: told{state: "running", where: "here", agent: "done"}},
		{env: "failed", make: (*place).failed, want: told{state: "running", where: "here", says: "claude has failed", agent: "failed", need: "failed"}},
		{env: "waits", make: (*place).waits, want: told{state: "degraded", where: "laptop", says: "laptop", need: "attention"}},
		{env: "fenced", make: (*place).fenced, want: told{state: "degraded", where: "laptop", says: "laptop", need: "fenced"}},
		{env: "conflicted", make: (*place).conflicted, want: told{state: "degraded", where: "here", says: "conflict", need: "conflicts"}},
		{env: "brake", make: (*place).brake, want: told{state: "degraded", where: "here", says: "deletion", need: "deletions"}},
		{env: "blocked", make: (*place).blocked, want: told{state: "degraded", where: "here", says: "replica locked", need: "blocked"}},
		{env: "paused", make: (*place).paused, want: told{state: "degraded", where: "here", says: "replica workspace is paused", need: "attention"}},
		{env: "killed", make: (*place).killed, want: told{state: "silent", where: "here", says: "has written no status for 1", need: "silent"}},
		{env: "disabled", make: (*place).disabled, want: told{state: "disabled", where: "here"}},
		{env: "down", at: stopped, make: (*place).once, want: told{state: "down", where: "here"}},
		{env: "left", at: stopped, make: (*place).left, want: told{state: "down", where: "here", says: "not in the bucket", need: "unsaved"}},
		{env: "fresh", at: bare, make: (*place).fresh, want: told{state: "new", where: "here"}},
		{env: "lent", at: bare, make: (*place).lent, want: told{state: "down", where: "laptop"}},
		{env: "away", at: remote, make: (*place).away, want: told{state: "elsewhere", where: "laptop"}},
		{env: "lost", at: remote, make: (*place).lost, then: (*place).over, want: told{state: "lost", where: "laptop", says: "was last seen"}},
		{env: "dirty", at: remote, make: (*place).dirty, want: told{state: "free", says: "laptop stopped at", need: "unsaved"}},
		{env: "later", at: remote, make: (*place).later, want: told{state: "unreadable", says: "format 99", need: "unreadable"}},
	}
}

// newEstate makes the workspaces, as many as a machine can at a time, and forks of one more, all
// given back, until there are so many.
func newEstate(t *testing.T, many int, places []*place) *estate {
	t.Helper()
	f := &estate{world: newWorld(t), places: places}
	f.desk = f.world.desk()
	if n := many - len(places); n > 0 {
		pool := &place{env: "pool", at: remote, make: func(p *place) { p.pool(n - 1) }, want: told{state: "free"}}
		f.places = append([]*place{pool}, places...) // it takes longest
	}
	for _, p := range f.places {
		p.estate = f
		if p.at != remote {
			p.m = f.desk.at(p.env)
			p.spec(p.m)
		}
		p.far = f.machine("laptop")
		p.spec(p.far)
	}
	t.Run("made", func(t *testing.T) {
		for _, p := range f.places {
			t.Run(p.env, func(t *testing.T) {
				t.Parallel()
				for _, m := range []*machine{p.m, p.far} {
					if m != nil {
						m.t = t
						defer func() { m.t = f.world.t }()
					}
				}
				p.make(p)
				switch p.at {
				case running:
					f.desk.box(p.m, p.env, true, p.setting()...)
				case stopped:
					f.desk.box(p.m, p.env, false)
				case bare:
					f.desk.knows(p.m)
				}
			})
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	f.desk.knows(f.first()) // so the bucket may be asked
	for _, p := range f.places {
		if p.then != nil {
			p.then(p)
		}
	}
	return f
}

// find is the workspace of that name.
func (f *estate) find(env string) *place {
	f.t.Helper()
	i := slices.IndexFunc(f.places, func(p *place) bool { return p.env == env })
	if i < 0 {
		f.t.Fatalf("no workspace %s was made", env)
	}
	return f.places[i]
}

// first is a workspace that runs at the desk: by it the bucket is known.
func (f *estate) first() *machine { return f.find("calm").m }

// spec has a machine's workspace be this one. Nothing is saved but when a test says so, and a
// lease outlasts every test.
func (p *place) spec(m *machine, more ...func(*specOptions)) {
	m.spec(func(o *specOptions) {
		o.Env, o.TTL, o.Renew = p.env, "1800s", "100s"
		for _, change := range more {
			change(o)
		}
		for i := range o.Replicas {
			o.Replicas[i].Interval = 3600
		}
	})
}

// soon has a lease be renewed each two seconds.
func soon(o *specOptions) { o.TTL, o.Renew = "12s", "2s" }

func (p *place) id() string { return "acme/widget/" + p.env }

// setting are the variables of the container that Docker tells.
func (p *place) setting() []string {
	if value, ok := p.m.env["COLTEC_DISABLED"]; ok {
		return []string{"COLTEC_DISABLED=" + value}
	}
	return nil
}

// has starts coltecd on a machine, with a file in the bucket.
func (p *place) has(m *machine) {
	m.t.Helper()
	m.write("notes.txt", "as it was")
	m.start()
	m.sync()
}

func (p *place) calm() { p.has(p.m) }

func (p *place) once() {
	p.m.write("notes.txt", "as it was")
	p.m.once()
}

// claude has a conversation of Claude Code in the machine's home, with these lines, and its
// program where it runs.
func (p *place) claude(m *machine, runs bool, lines ...string) {
	m.t.Helper()
	m.env["HOME"] = filepath.Join(filepath.Dir(m.dir), "home")
	p.spec(m, func(o *specOptions) { o.More = map[string]any{"agents": []any{"claude"}} })
	m.atHome(".claude/projects/-w/3b3f8f4e-5f6a-4c1e-9d54-0a3a7c1f9e21.jsonl", strings.Join(lines, ""))
	if runs {
		p.program(m, "claude")
	}
	p.has(m)
	m.await("the conversation was read", func(doc status.Document) bool { // what it says later counts for more than a report
		return len(doc.Agents) == 1 && doc.Agents[0].State != status.AgentNone
	})
}

// program runs a program of that name in the machine's folder, until the end of the test.
func (p *place) program(m *machine, name string) {
	m.t.Helper()
	cmd := exec.Command("sleep", "3600")
	cmd.Args[0], cmd.Dir = name, m.dir
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	p.estate.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func (p *place) asks() {
	p.claude(p.m, true, p.m.turnLine("user", ""), p.m.turnLine("assistant", "tool_use"))
	p.m.must("agents", "report", "waits", "--agent", "claude")
}

func (p *place) works() {
	p.claude(p.m, true, p.m.turnLine("user", ""))
	p.m.must("agents", "report", "working", "--agent", "claude")
}

func (p *place) done() {
	p.claude(p.m, false, p.m.turnLine("user", ""), p.m.turnLine("assistant", "end_turn"))
}

func (p *place) failed() {
	p.claude(p.m, false, p.m.turnLine("user", ""), p.m.turnLine("assistant", "end_turn"))
	p.m.must("agents", "report", "failed", "--agent", "claude")
}

// waits: another machine had the lease, and was killed; its time runs out after the test.
func (p *place) waits() {
	p.has(p.far)
	p.far.kill9()
	p.m.must("start")
	p.elsewhere()
}

// elsewhere waits until the desk knows that the laptop has the lease.
func (p *place) elsewhere() {
	p.m.t.Helper()
	p.m.await("it knows who has the lease", func(doc status.Document) bool {
		return doc.Lease.State == status.LeaseWaiting && doc.Lease.Holder != nil && doc.Lease.Holder.Host == "laptop"
	})
}

// fenced: another machine took the lease by force, and this one has a file that it had not saved.
func (p *place) fenced() {
	p.spec(p.m, func(o *specOptions) { o.Renew = "2s" }) // it sees soon that it was taken
	p.has(p.m)
	p.m.write("unsaved.txt", "only here")
	p.far.must("start")
	p.far.await("it waits", func(doc status.Document) bool { return doc.Lease.State == status.LeaseWaiting })
	p.far.must("takeover", "--force")
	p.far.kill9()
	p.elsewhere()
	p.m.await("it knows what is only here", func(doc status.Document) bool { return replicaIn(p.m.t, doc, "workspace").Pending == 1 })
}

// conflicted: both changed one file.
func (p *place) conflicted() {
	p.once()
	p.far.once()
	p.far.write("notes.txt", "by the laptop")
	p.far.once()
	p.m.write("notes.txt", "by the desk")
	p.m.start()
	p.m.await("it has a conflict", func(doc status.Document) bool { return replicaIn(p.m.t, doc, "workspace").Conflicts == 1 })
}

// brake: all files were deleted at once.
func (p *place) brake() {
	for _, name := range []string{"a.txt", "b.txt", "c.txt"} {
		p.m.write(name, "text of "+name)
	}
	p.m.start()
	p.m.sync()
	for _, name := range []string{"a.txt", "b.txt", "c.txt"} {
		p.m.remove(name)
	}
	p.m.run("sync") // it fails: a person is asked
	p.m.await("the deletions wait", func(doc status.Document) bool {
		r := replicaIn(p.m.t, doc, "workspace")
		return len(r.OnlyHere) == 1 && r.OnlyHere[0].Reason == "held" && r.Pending == 3
	})
}

// blocked: the store lets nobody write what one of its replicas keeps.
func (p *place) blocked() {
	p.spec(p.m, func(o *specOptions) { o.Replicas = append(o.Replicas, p.m.replica("locked", p.m.path("locked"))) })
	p.estate.proxy.Inject(s3test.Fault{Key: "workspaces/" + p.id() + "/locked/", Status: 403, Code: "AccessDenied"})
	p.m.write("notes.txt", "as it was")
	p.m.write("locked/notes.txt", "as it was")
	p.m.must("start")
	p.m.await("a replica is blocked", func(doc status.Document) bool {
		return len(doc.Replicas) == 2 && replicaIn(p.m.t, doc, "locked").State == status.ReplicaBlocked && replicaIn(p.m.t, doc, "workspace").State == status.ReplicaSynced
	})
}

func (p *place) paused() {
	p.has(p.m)
	p.m.must("pause", "workspace")
	p.m.await("it is paused", func(doc status.Document) bool {
		return replicaIn(p.m.t, doc, "workspace").State == status.ReplicaPaused
	})
}

// killed: coltecd and its keeper were killed, ten minutes ago by the time of what it wrote last.
func (p *place) killed() {
	p.has(p.m)
	eventually(p.m.t, "its status file says that it has the lease", func() error { // else it may be another machine's
		doc, _, err := status.ReadFile(p.m.path(".devcontainer/logs"))
		if err == nil && doc.Lease.State != status.LeaseHeld {
			err = fmt.Errorf("the lease is %s", doc.Lease.State)
		}
		return err
	})
	p.m.kill9()
	then := time.Now().Add(-10 * time.Minute)
	if err := os.Chtimes(p.m.path(".devcontainer/logs/status.json"), then, then); err != nil {
		p.m.t.Fatal(err)
	}
}

func (p *place) disabled() {
	p.m.write("notes.txt", "as it was")
	p.m.env["COLTEC_DISABLED"] = "1"
	p.m.must("start")
}

// leaves has a machine stop with a file that did not get to the bucket, for want of time.
func (p *place) leaves(m *machine) {
	m.t.Helper()
	began := time.Now()
	p.has(m)
	enough := min(5*time.Second+3*time.Since(began), 30*time.Second) // to say so, on a machine as busy as this one
	m.write("late.txt", "not pushed")
	mend := p.estate.proxy.Inject(s3test.Fault{Kind: s3test.Put, Key: "workspaces/" + p.id() + "/workspace/", Hang: true})
	m.leaves([]string{"stop", "--timeout", enough.String()}, "late.txt")
	mend()
}

func (p *place) left() { p.leaves(p.m) }

func (p *place) dirty() { p.leaves(p.far) }

func (p *place) fresh() {}

// lent: it was here, and the laptop has it now.
func (p *place) lent() {
	p.has(p.m)
	p.m.stop()
	p.has(p.far)
	p.far.kill9()
}

// away: it runs elsewhere, and an agent works there.
func (p *place) away() {
	p.claude(p.far, true, p.far.turnLine("user", ""))
	p.far.must("agents", "report", "working", "--agent", "claude")
}

// lost: it ran elsewhere until it was killed, and its time is over.
func (p *place) lost() {
	p.spec(p.far, soon)
	p.has(p.far)
	p.far.kill9()
}

func (p *place) over() {
	head := p.estate.headFile(p.env)
	eventually(p.far.t, "the time of its lease is over", func() error {
		info, err := os.Stat(head)
		if err == nil && time.Since(info.ModTime()) < 13*time.Second {
			err = fmt.Errorf("it was renewed %s ago", time.Since(info.ModTime()))
		}
		return err
	})
}

// headFile is where the server has the head of a workspace.
func (f *estate) headFile(env string) string {
	return filepath.Join(f.s3.Dir, f.s3.Bucket, store.HeadKey("acme/widget/"+env))
}

// later: a later version of coltec wrote the head.
func (p *place) later() {
	p.far.write("notes.txt", "as it was")
	p.far.once()
	var head map[string]any
	p.estate.json(store.HeadKey(p.id()), &head)
	head["format"] = 99
	file := filepath.Join(p.far.t.TempDir(), "head.json")
	if err := os.WriteFile(file, []byte(inline(head)), 0o600); err != nil {
		p.far.t.Fatal(err)
	}
	p.estate.rclone("copyto", file, "{bucket}/"+store.HeadKey(p.id()))
}

// pool is a workspace that nobody has, and so many forks of it.
func (p *place) pool(forks int) {
	p.far.spec(func(o *specOptions) {
		o.Env = p.env
		o.Replicas = append(o.Replicas, p.far.replica("agent-context", p.far.path("agent-context")))
	})
	p.far.write("notes.txt", "as it was")
	p.far.once()
	source, said, err := p.far.made(p.env)
	if err != nil {
		p.far.t.Fatalf("%v\n%s", err, said)
	}
	if said, err := p.far.host("fork", source, p.env, "--count", fmt.Sprint(forks)); err != nil {
		p.far.t.Fatalf("%v\n%s", err, said)
	}
}

// row is what coltec ls says of a workspace.
type row struct {
	Workspace, State, Where, Folder, Needs string
	Since                                  *time.Time
	LastSeen                               *time.Time `json:"last_seen"`
	Attention                              []string
	Agents                                 []struct{ Name, State string }
}

// claude is what it says of that agent.
func (r row) claude() string {
	for _, a := range r.Agents {
		if a.Name == "claude" {
			return a.State
		}
	}
	return ""
}

// ls is what coltec ls says at the desk, in its order.
func (f *estate) ls() ([]row, error) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := f.desk.coltec(ctx, "ls", "--json", "--wait", "30s", f.first().dir)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	var rows []row
	if err == nil {
		err = json.Unmarshal(out, &rows)
	}
	if err != nil || said.Len() > 0 { // that somebody did not answer in time, where the machine stood still
		return nil, fmt.Errorf("ls: %v\n%s\n%s", err, out, &said)
	}
	return rows, nil
}

// coltec is a program of the host, with the environment that the person has there.
func (d *desk) coltec(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, coltec, args...)
	cmd.Dir = filepath.Dir(d.dir)
	for name, value := range d.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.WaitDelay = 20 * time.Second
	return cmd
}

// told compares what is told of a workspace with how it was made.
func (p *place) told(r row) error {
	said := strings.Join(r.Attention, "\n")
	switch {
	case r.State != p.want.state, r.Where != p.want.where:
		return fmt.Errorf("%s is %s at %q, want %s at %q: %s", p.env, r.State, r.Where, p.want.state, p.want.where, said)
	case p.want.says == "" && said != "", !strings.Contains(said, p.want.says):
		return fmt.Errorf("%s says %q, want %q", p.env, said, p.want.says)
	case r.Needs != p.want.need:
		return fmt.Errorf("%s needs somebody because of %q, want %q: %s", p.env, r.Needs, p.want.need, said)
	case p.at != remote && r.claude() != p.want.agent:
		return fmt.Errorf("%s: claude is %q, want %q", p.env, r.claude(), p.want.agent)
	case (p.at == remote) != (r.Folder == ""), p.at != remote && r.Folder != p.m.dir:
		return fmt.Errorf("%s is in %q", p.env, r.Folder)
	}
	return nil
}

// Fifty workspaces, in every state that there is: each was brought there by what does so, and ls
// says of each what was done to it.
func TestFleet(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	const many = 50
	began := time.Now()
	f := newEstate(t, many, states())
	t.Logf("%d workspaces made in %.1f s", many, time.Since(began).Seconds())
	for i := range many - len(f.places) {
		f.places = append(f.places, &place{env: fmt.Sprintf("pool-%d", i+1), at: remote, want: told{state: "free"}})
	}
	var list []row
	eventually(t, "each is told as it was made", func() error { // a coltecd tells its host what it does within five seconds
		f.desk.way.Reset()
		var err error
		if list, err = f.ls(); err != nil {
			return err
		}
		rows := byEnv(list)
		var wrong []error
		for _, p := range f.places {
			wrong = append(wrong, p.told(rows[p.env]))
		}
		return errors.Join(wrong...)
	})
	// One listing says all, but of a head whose holder is silent, and of one that nobody understands.
	if n := len(f.desk.way.Requests()); n > 2+2 {
		t.Errorf("ls asked the bucket %d times: %v", n, f.desk.way.Requests())
	}
	if i := slices.IndexFunc(list, func(r row) bool { return r.Needs == "" }); i < 0 || slices.ContainsFunc(list[i:], func(r row) bool { return r.Needs != "" }) {
		t.Error("who needs somebody is not before all others")
	}
	if len(list) != many {
		t.Errorf("%d workspaces, want %d", len(list), many)
	}
	if !t.Failed() {
		f.changes(t)
	}
}

func byEnv(list []row) map[string]row {
	rows := map[string]row{}
	for _, r := range list {
		rows[strings.TrimPrefix(r.Workspace, "acme/widget/")] = r
	}
	return rows
}

// watches runs ls --watch at the desk until end is called: each time that it says something, that
// is one of lines.
func (f *estate) watches(t *testing.T) (lines chan map[string]row, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := f.desk.coltec(ctx, "ls", "--watch", "--json", "--wait", "30s", f.first().dir)
	var said lockedText
	cmd.Stderr = &said
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	lines = make(chan map[string]row)
	go func() {
		defer close(lines)
		for in := json.NewDecoder(pipe); ; {
			var list []row
			if in.Decode(&list) != nil {
				return
			}
			lines <- byEnv(list)
		}
	}()
	return lines, func() {
		cancel()
		for range lines { // until it has ended
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 130 || said.String() != "" {
			t.Errorf("it ended with %d: %s", code, &said)
		}
	}
}

// changes does something to workspaces, here and elsewhere, and waits until who watches is told.
func (f *estate) changes(t *testing.T) {
	lines, end := f.watches(t)
	defer end()
	asks := func(r row) bool { return r.Needs == "asks" && r.claude() == "waits for you" }
	works, away, brake := f.find("works"), f.find("away"), f.find("brake")
	for _, step := range []struct {
		what string
		do   func()
		env  string
		is   func(row) bool
	}{
		{"nothing", func() {}, "away", func(r row) bool { return r.State == "elsewhere" && r.claude() == "working" }},
		{"an agent here waits", func() { works.m.must("agents", "report", "waits", "--agent", "claude") }, "works", asks},
		{"an agent elsewhere waits", func() { away.far.must("agents", "report", "waits", "--agent", "claude") }, "away", asks},
		{"a person decides", func() { brake.m.sync("--allow-delete") }, "brake", func(r row) bool { return r.Needs == "" && r.State == "running" }},
		{"another machine gives it back", func() { away.far.stop() }, "away", func(r row) bool { return r.State == "free" && r.Needs == "" }},
	} {
		step.do()
		since, deadline := time.Now(), time.After(patience)
		for told := false; !told; {
			select {
			case rows, ok := <-lines:
				if !ok {
					t.Fatalf("%s: nobody says anything any more", step.what)
				}
				told = step.is(rows[step.env])
			case <-deadline:
				t.Fatalf("%s: not told in %s", step.what, patience)
			}
		}
		t.Logf("%s: told %.1f s after it", step.what, time.Since(since).Seconds())
	}
}
