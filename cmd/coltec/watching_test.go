package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/status"
)

// withoutContainers puts a docker in PATH that knows of none.
func withoutContainers(t *testing.T, apart string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(apart, "..", "bin", "docker"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// The table goes on to be shown at a terminal, in no more lines than that has, until Ctrl-C.
func TestLsWatchAtATerminal(t *testing.T) {
	sample.Long(t)
	withoutContainers(t, completed(t))
	x := onTerminal(t, "bash", "--norc", "-c", "stty rows 3 cols 80; exec coltec ls --local --watch")
	x.answers("dev-one", "\x1b[J", "")
	x.answers("WORKSPACE", "\x1b[J", "\x03")
	if code := x.ends(); code != cmdline.CodeInterrupted {
		t.Errorf("it ended with %d\n%s", code, x.said.String())
	}
	for _, shown := range strings.Split(x.said.String(), "\x1b[H")[1:] {
		shown, rest, whole := strings.Cut(shown, "\x1b[J")
		if n := strings.Count(shown, "\n"); n > 2 || whole && strings.Contains(rest, "\x1b[?") {
			t.Errorf("%d lines in three, and then %q: %q", n, rest, shown)
		}
	}
}

// What somebody wrote into a bucket is text on a terminal that is drawn anew: no code of it acts,
// in whatever a row has.
func TestLsWatchShowsText(t *testing.T) {
	const evil = "x\x1b]0;owned\x07\x1b[2J\u202e\r"
	now := time.Now()
	row := fleet.Row{
		Workspace: evil, Needs: status.Need(evil), State: evil, Where: evil, Folder: evil, Container: evil, Since: &now, LastSeen: &now,
		Attention: []string{evil}, Agents: []status.Agent{{Name: evil, State: status.AgentWaits}}, Checkpoint: &fleet.Checkpoint{Name: evil, Made: now},
	}
	for _, width := range []int{0, 20, 80, 200} {
		text := watchText([]fleet.Row{row}, []string{evil}, now, "", width)
		if strings.ContainsAny(text, "\x1b\x07\r\u202e") {
			t.Errorf("%d wide: %q", width, text)
		}
	}
}

// A word that says the same as the state stands in the table once.
func TestLsSaysAWordOnce(t *testing.T) {
	now := time.Now()
	for _, state := range []string{fleet.Silent, fleet.Unreadable, fleet.Lost} {
		text := rowsText([]fleet.Row{{Workspace: "w", Needs: status.Need(state), State: state}}, now, "", 0)
		if strings.Count(text, state) != 1 {
			t.Errorf("%s:\n%s", state, text)
		}
	}
	if text := rowsText([]fleet.Row{{Workspace: "w", Needs: status.NeedAnswer, State: "running"}}, now, "", 0); !strings.Contains(text, "asks") || !strings.Contains(text, "running") {
		t.Error(text)
	}
}

// Each change is a line of JSON, and what does not change is none; an interrupt ends it.
func TestLsWatchInJSON(t *testing.T) {
	sample.Long(t)
	apart := completed(t)
	withoutContainers(t, apart)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "coltec", "ls", "--local", "--watch", "--json", "--needs")
	out, err := cmd.StdoutPipe()
	if err := errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	next := func() (rows []fleet.Row) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("no line: %v", lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &rows); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	if rows := next(); len(rows) != 0 {
		t.Errorf("%+v", rows)
	}
	file := filepath.Join(apart, "..", "ws", "dev-one", logsName, status.FileName)
	for _, doc := range []string{`{"replicas": [{"name": "workspace", "pending": 2}]}`, `{"replicas": [{"name": "workspace", "conflicts": 1}]}`} {
		if err := os.WriteFile(file+".new", []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
		if rows := next(); len(rows) != 1 || rows[0].Workspace != "acme/widget/dev-one" || rows[0].Needs != status.NeedUnsaved && rows[0].Needs != status.NeedConflicts {
			t.Errorf("after %s: %+v", doc, rows)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if lines.Scan() {
		t.Errorf("another line: %s", lines.Text())
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != cmdline.CodeInterrupted {
		t.Errorf("it ended with %d", code)
	}
}

// What grows all the time is no change, and all else is.
func TestSameRows(t *testing.T) {
	now, later := time.Unix(1, 0), time.Unix(2, 0)
	was := func() fleet.Row {
		return fleet.Row{Workspace: "w", State: "running", LastSeen: &now, Attention: []string{"seen 3m5s ago"}, Agents: []status.Agent{{Name: "a", State: status.AgentWorking, LastTurn: &now}}}
	}
	for name, tt := range map[string]struct {
		change func(*fleet.Row)
		same   bool
	}{
		"nothing":     {func(*fleet.Row) {}, true},
		"when seen":   {func(r *fleet.Row) { r.LastSeen, r.LastSave, r.Lag = &later, &later, 3 }, true},
		"an age":      {func(r *fleet.Row) { r.Attention = []string{"seen 4m0s ago"} }, true},
		"a turn":      {func(r *fleet.Row) { r.Agents[0].LastTurn = &later }, true},
		"a state":     {func(r *fleet.Row) { r.State = "silent" }, false},
		"an agent":    {func(r *fleet.Row) { r.Agents[0].State = status.AgentWaits }, false},
		"a need":      {func(r *fleet.Row) { r.Needs = status.NeedAnswer }, false},
		"a sentence":  {func(r *fleet.Row) { r.Attention = append(r.Attention, "more") }, false},
		"a conflict":  {func(r *fleet.Row) { r.Conflicts = 1 }, false},
		"a container": {func(r *fleet.Row) { r.Container = "c" }, false},
	} {
		r := was()
		tt.change(&r)
		if got := fleet.SameRows([]fleet.Row{was()}, []fleet.Row{r}); got != tt.same {
			t.Errorf("%s: the same %v", name, got)
		}
	}
	if fleet.SameRows([]fleet.Row{was()}, nil) {
		t.Error("no rows")
	}
}
