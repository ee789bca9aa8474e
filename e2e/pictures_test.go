package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/picture"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
)

// picturesVariable has the pictures of the documents written anew: make pictures.
const picturesVariable = "COLTEC_PICTURES"

// TestPictures: the pictures of README are what the programs print, in colours, of five
// workspaces on four machines. What was measured is replaced by fixed numbers (internal/picture),
// and nothing else is.
func TestPictures(t *testing.T) {
	sample.Long(t)
	w := newWorld(t)
	train := w.posed("train", "dev-d", nil)
	train.write("notes.md", "on the way\n")
	train.start()
	train.kill9() // its lease runs out while the others are made
	laptop, desk := w.posedAtWork("laptop", "dev-a", status.AgentDone), w.posedAtWork("desk", "dev-b", status.AgentWaits)
	free, box := w.posed("laptop", "dev-c", nil), w.posed("box", "dev-e", nil)
	free.write("notes.md", "done\n")
	free.once()
	for i := range 12 {
		box.write(fmt.Sprintf("data/%02d.csv", i), fmt.Sprint(i))
	}
	box.start()
	box.sync()
	box.remove("data")
	box.leaves(stopping, "12 deletions")

	free.trust()
	var fleet string
	eventually(t, "the workspace of the machine that was killed is lost", func() error {
		fleet = free.drawn(coltec, "ls", free.dir, "--wide", "--wait", "20s")
		told := !strings.Contains(fleet, "AGENTS") || strings.Contains(fleet, "claude waits for you")
		if !strings.Contains(fleet, "lost") || !strings.Contains(fleet, "dev-e") || !told {
			return fmt.Errorf("ls says %s", fleet)
		}
		return nil
	})
	own := desk.drawn(coltecd, "status", "--wide")
	compare(t, "ls.svg", "coltec ls shows five workspaces: where each is, and what it needs", "coltec ls", fleet)
	compare(t, "status.svg", "coltecd status shows services, replicas, and what an agent does", "coltecd status", own)
	desk.stop()
	laptop.stop()
}

// posed is a machine whose folder has a name that people give; with a change of its spec it has a
// home beside that.
func (w *world) posed(host, env string, change func(*machine, *specOptions)) *machine {
	w.t.Helper()
	m := w.machine(host)
	dir := filepath.Join(filepath.Dir(m.dir), "widget-"+env)
	if err := os.Rename(m.dir, dir); err != nil {
		w.t.Fatal(err)
	}
	m.dir = dir
	if change != nil {
		m.env["HOME"] = filepath.Join(filepath.Dir(dir), "home")
		if err := os.Mkdir(m.env["HOME"], 0o750); err != nil {
			w.t.Fatal(err)
		}
	}
	m.spec(func(o *specOptions) {
		o.Env, o.TTL, o.Renew = env, "600s", "100s" // a machine that is busy keeps it
		if host == "train" {
			o.TTL, o.Renew = "10s", "4s"
		}
		o.Replicas = []replicaSpec{m.replica("workspace", m.dir)}
		o.Replicas[0].Interval, o.Replicas[0].Watch = 180, true
		if change != nil {
			change(m, o)
		}
	})
	return m
}

// standIn is a program of an agent's name that does nothing: what an agent does is told by its
// name and its conversation.
func (m *machine) standIn(name string) string {
	m.t.Helper()
	path := filepath.Join(filepath.Dir(m.dir), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\nsleep \"$1\"\n"), 0o755); err != nil {
		m.t.Fatal(err)
	}
	return path
}

// posedAtWork is a machine on which an agent has ended its turn, and runs still, or does not: it
// waits for a person, or is done. Both stay so.
func (w *world) posedAtWork(host, env string, state status.AgentState) *machine {
	w.t.Helper()
	m := w.posed(host, env, func(m *machine, o *specOptions) {
		o.More = map[string]any{"agents": []any{"claude"}}
		after := []string{"restore"}
		o.Services = []map[string]any{{"name": "web", "command": []string{"sleep", "600"}, "after": after}}
		if state == status.AgentWaits {
			o.Services = append(o.Services, map[string]any{"name": "claude", "command": []string{m.standIn("claude"), "600"}, "dir": m.dir, "after": after})
		}
	})
	m.atHome(".claude/projects/-w/1.jsonl", m.turnLine("user", "")+m.turnLine("assistant", "end_turn"))
	m.write("README.md", "# widget\n")
	m.start()
	m.sync()
	m.await("all is in the status", func(doc status.Document) bool {
		behind := slices.ContainsFunc(doc.Replicas, func(r status.Replica) bool { return r.State != status.ReplicaSynced || r.Pending > 0 })
		return len(doc.Agents) > 0 && doc.Agents[0].State == state && len(doc.Replicas) == 2 && !behind
	})
	return m
}

// drawn is what a program prints at a terminal that has colours, settled.
func (m *machine) drawn(program string, args ...string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	words := append([]string{program}, args...)
	for i := range words {
		words[i] = "'" + words[i] + "'"
	}
	cmd := exec.CommandContext(ctx, "script", "-qec", strings.Join(words, " "), "/dev/null")
	cmd.Dir = m.dir
	for name, value := range m.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	// A docker that has no containers, so that it is the same whatever this machine has.
	none := m.t.TempDir()
	if err := os.WriteFile(filepath.Join(none, "docker"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		m.t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "PATH="+none+":"+os.Getenv("PATH"), "TERM=xterm-256color")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil || out.Len() == 0 {
		m.t.Fatalf("%q: %v\n%s", words, err, &out)
	}
	return picture.Fit(picture.Settle(out.String(), accidents...), 120)
}

// accidents are what a machine on which the pictures are drawn has of its own.
var accidents = []picture.Rule{
	{What: regexp.MustCompile(`coltecd \(?devel\S*|coltecd v?\d\S*`), By: "coltecd dev"},
	{What: regexp.MustCompile(` \(container [^)]*\)`), By: ""},
}

// compare holds a picture of docs/pictures to what it should be, or writes it.
func compare(t *testing.T, name, title, command, output string) {
	t.Helper()
	path := filepath.Join("..", "docs", "pictures", name)
	want := picture.SVG(title, command, output)
	if os.Getenv(picturesVariable) != "" {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/pictures/%s is not what is printed (%v): make pictures\n%s", name, err, output)
	}
}
