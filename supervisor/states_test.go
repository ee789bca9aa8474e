package supervisor

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/unit"
)

var update = flag.Bool("update", false, "write the documents that are made from the code")

// statesFile is made from step, so it cannot say what the code does not do.
const statesFile = "../docs/states.md"

// example is one event with its name for people.
type example struct {
	name string
	ev   func(unitState) event
}

var examples = []example{
	{"dependencies met", func(unitState) event { return evRelease{} }},
	{"child runs", func(u unitState) event { return evStarted{u.run, 42} }},
	{"cannot start", func(u unitState) event { return evNoStart{u.run, "missing", false} }},
	{"cannot start, a person must act", func(u unitState) event { return evNoStart{u.run, "not permitted", true} }},
	{"ready probe passes", func(u unitState) event { return evProbed{u.run, ""} }},
	{"ready probe fails", func(u unitState) event { return evProbed{u.run, "exit status 1"} }},
	{"timer", func(u unitState) event { return evTimer{u.timer} }},
	{"ends well", func(u unitState) event { return evExited{u.run, "exit status 0", true, false} }},
	{"ends badly", func(u unitState) event { return evExited{u.run, "exit status 1", false, false} }},
	{"ends, leaves others of its group", func(u unitState) event { return evExited{u.run, "exit status 1", false, true} }},
	{"nothing of the group is left", func(u unitState) event { return evGone{u.run} }},
	{"stop", func(unitState) event { return evHalt{wantDown} }},
	{"pause", func(unitState) event { return evHalt{wantPaused} }},
	{"start, resume", func(unitState) event { return evBegin{"start"} }},
	{"restart", func(unitState) event { return evBegin{"restart"} }},
	{"no more grace", func(unitState) event { return evKill{} }},
	{"hook point", func(unitState) event { return evHook{id: 1} }},
	{"a crash of coltecd, failed before", func(u unitState) event { return evRecall{before(u, Failed)} }},
	{"a crash of coltecd, in back-off before", func(u unitState) event { return evRecall{before(u, Backoff)} }},
	{"a crash of coltecd, paused before", func(u unitState) event { return evRecall{before(u, Paused)} }},
	{"reload, another command", func(u unitState) event {
		u.def.Argv = []string{"another"}
		return evDefine{u.def}
	}},
	{"reload, blocked", func(u unitState) event {
		u.def.Blocked = "X is not set"
		return evDefine{u.def}
	}},
}

// before is a past in which the unit had a minute to wait.
func before(u unitState, s State) past {
	return past{Argv: u.def.Argv, State: s, Since: u.since, NextRetry: u.since.Add(time.Minute)}
}

// refusedForHooks are the verbs that the machine does not pass on.
var refusedForHooks = map[string]bool{"pause": true, "start, resume": true, "restart": true}

// transition is a row of the table, without the units that take it.
type transition struct{ from, event, to string }

// explore walks all that events can do to a unit, a few steps deep: states differ
// in more than their name (a job that runs again, a stop that becomes a restart).
func explore(def unit.Unit, found map[transition][]string) {
	seen := map[string]bool{}
	now := time.Unix(0, 0)
	var visit func(u unitState, now time.Time, depth int)
	visit = func(u unitState, now time.Time, depth int) {
		key := fmt.Sprint(u.state, u.want, u.alive, u.ended, u.due, u.again, u.forked, u.armed, u.next != nil, u.hook, u.starts.Len(), u.def.Blocked)
		if seen[key] || depth == 0 {
			return
		}
		seen[key] = true
		for _, e := range examples {
			if def.Kind == unit.Hook && refusedForHooks[e.name] {
				continue
			}
			at := now.Add(time.Second)
			next, _ := step(u, at, e.ev(u))
			if next.state != u.state {
				row := transition{string(u.state), e.name, string(next.state)}
				if kind := string(def.Kind); !slices.Contains(found[row], kind) {
					found[row] = append(found[row], kind)
				}
			}
			visit(next, at, depth-1)
		}
	}
	visit(newUnit(def, now, 1), now, 9)
}

func statesDocument() string {
	limit := unit.StartLimit{Burst: 1, Window: time.Hour}
	probe := &unit.Probe{Exec: []string{"true"}, Timeout: 2 * time.Second}
	found := map[transition][]string{}
	for _, u := range []unit.Unit{
		{Kind: unit.Service, Restart: unit.Always, StartLimit: limit},
		{Kind: unit.Service, Restart: unit.OnFailure, StartLimit: limit, Ready: probe},
		{Kind: unit.Service, Restart: unit.Never},
		{Kind: unit.Job, Schedule: unit.Schedule{Every: time.Hour}, Timeout: time.Minute},
		{Kind: unit.Job, Restart: unit.OnFailure, StartLimit: limit},
		{Kind: unit.Hook, Point: "post_sync"},
	} {
		u := u
		u.Name, u.Argv = "unit", []string{"run"}
		explore(u, found)
	}
	order := []State{Waiting, Starting, Running, Ready, Stopping, Killing, Backoff, Failed, Exited, Blocked, Paused}
	rank := func(s string) int { return slices.Index(order, State(s)) }
	var rows []transition
	for row := range found {
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b transition) int {
		if a.from != b.from {
			return rank(a.from) - rank(b.from)
		}
		if i := exampleIndex(a.event) - exampleIndex(b.event); i != 0 {
			return i
		}
		return rank(a.to) - rank(b.to)
	})
	var out, diagram strings.Builder
	drawn := map[string]bool{}
	for _, row := range rows {
		if edge := fmt.Sprintf("    %s --> %s\n", row.from, row.to); !drawn[edge] {
			drawn[edge] = true
			diagram.WriteString(edge)
		}
	}
	out.WriteString("# States of a unit\n\nMade from `step` in `supervisor/` by `go test ./supervisor -run TestStatesDocument -update`.\n" +
		"What is not in the table changes no state. Where an event has several outcomes, the unit's policy decides:\n" +
		"restart, start limit, a pending restart, who asked for the stop.\n\n```mermaid\nstateDiagram-v2\n    [*] --> waiting\n" + diagram.String() + "```\n\n| state | event | next | kinds |\n|---|---|---|---|\n")
	for _, row := range rows {
		kinds := found[row]
		slices.Sort(kinds)
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", row.from, row.event, row.to, strings.Join(kinds, ", "))
	}
	return out.String()
}

func exampleIndex(name string) int {
	return slices.IndexFunc(examples, func(e example) bool { return e.name == name })
}

func TestStatesDocument(t *testing.T) {
	want := statesDocument()
	if *update {
		if err := os.MkdirAll("../docs", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(statesFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(statesFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not what the code does; run with -update and read the difference:\n%s", statesFile, diff)
	}
}
