package fleet

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

func TestRows(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	since := now.Add(-time.Hour)
	doc := func(state status.State, replicas ...status.Replica) *status.Document {
		return &status.Document{State: state, Since: &since, Replicas: replicas}
	}
	head := func(name string, state store.HeadState, age time.Duration) Seen {
		return Seen{Head: store.Head{Workspace: name, State: state, TTL: 180, Dirty: 3, Holder: store.Holder{Host: "laptop", Since: since}}, At: now.Add(-age)}
	}
	rows := Rows([]Local{
		{Workspace: "o/p/up", Folder: "/up", Running: true, Status: doc(status.Running, status.Replica{LagSeconds: 7}), Written: now},
		{Workspace: "o/p/silent", Folder: "/s", Running: true, Status: doc(status.Running), Written: since},
		{Workspace: "o/p/down", Folder: "/d", Status: doc(status.Stopped, status.Replica{Name: "r", Pending: 2}), Written: since},
		{Workspace: "o/p/new", Folder: "/n", Running: true},
	}, []Seen{
		head("o/p/up", store.Held, 0), head("o/p/down", store.Held, 0), head("o/p/far", store.Held, time.Minute),
		head("o/p/lost", store.Held, time.Hour), head("o/p/free", store.Released, time.Hour), head("o/p/dirty", store.Dirty, time.Hour),
	}, now)
	want := map[string]string{ // workspace → state, where, a word of the attention
		"o/p/up": "running here -", "o/p/silent": "silent here status", "o/p/down": "down laptop pushes", "o/p/new": "silent here status",
		"o/p/far": "elsewhere laptop -", "o/p/lost": "lost laptop takes", "o/p/free": "free  -", "o/p/dirty": "free  3",
	}
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d: %+v", len(rows), len(want), rows)
	}
	for _, r := range rows {
		w := strings.Split(want[r.Workspace], " ")
		text := strings.Join(r.Attention, ";")
		if r.State != w[0] || r.Where != w[1] || w[2] == "-" && text != "" || w[2] != "-" && !strings.Contains(text, w[2]) {
			t.Errorf("%s: %+v, want %q", r.Workspace, r, want[r.Workspace])
		}
		if r.Workspace == "o/p/up" && r.Lag != 7 {
			t.Errorf("lag %v", r.Lag)
		}
	}
}

// Where containers cannot be asked, what a coltecd wrote lately counts, and else nothing is claimed:
// neither that it is down, nor that it needs somebody. The bucket tells who has it.
func TestRowsWithoutContainers(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	since := now.Add(-time.Hour)
	doc := func(state status.State) *status.Document {
		return &status.Document{State: state, Since: &since, Replicas: []status.Replica{{Name: "r", Pending: 2, LagSeconds: 9}}}
	}
	rows := Rows([]Local{
		{Workspace: "o/p/fresh", Unasked: true, Status: doc(status.Running), Written: now.Add(-time.Minute)},
		{Workspace: "o/p/old", Unasked: true, Status: doc(status.Running), Written: since},
		{Workspace: "o/p/ended", Unasked: true, Status: doc(status.Stopped), Written: now},
		{Workspace: "o/p/never", Unasked: true},
		{Workspace: "o/p/taken", Unasked: true, Status: doc(status.Running), Written: since},
	}, []Seen{{Head: store.Head{Workspace: "o/p/taken", State: store.Held, TTL: 180, Holder: store.Holder{Host: "laptop", Since: since}}, At: now}}, now)
	want := map[string]string{"o/p/fresh": "running here 9", "o/p/old": "unknown here 0", "o/p/ended": "unknown here 0", "o/p/never": "unknown here 0", "o/p/taken": "unknown laptop 0"}
	for _, r := range rows {
		if got := fmt.Sprintf("%s %s %v", r.State, r.Where, r.Lag); got != want[r.Workspace] || r.Needs != "" || len(r.Attention) > 0 {
			t.Errorf("%s: %q, want %q: %+v", r.Workspace, got, want[r.Workspace], r)
		}
	}
	if len(rows) != len(want) {
		t.Error(rows)
	}
}

// Of what needs attention, an agent that waits for a person comes first; what one did when
// coltecd last wrote says nothing once that is long ago.
func TestRowsOfAgents(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	agents := []status.Agent{{Name: "codex", State: status.AgentWorking}, {Name: "claude", State: status.AgentWaits}}
	doc := func(state status.State) *status.Document {
		return &status.Document{State: state, Agents: agents, Attention: []string{"a disk is full"}}
	}
	rows := Rows([]Local{
		{Workspace: "o/p/a", Running: true, Status: doc(status.Degraded), Written: now},
		{Workspace: "o/p/b", Running: true, Status: doc(status.Running), Written: now.Add(-time.Hour)},
		{Workspace: "o/p/c", Running: true, Status: doc(status.Stopped), Written: now},
		{Workspace: "o/p/d", Status: doc(status.Running), Written: now},
	}, nil, now)
	for i, want := range []string{"claude waits for you;a disk is full", "a disk is full;coltecd has written no status", "a disk is full", ""} {
		text := strings.Join(rows[i].Attention, ";")
		if !strings.HasPrefix(text, want) || strings.Contains(text, "claude") != (i == 0) || len(rows[i].Agents) > 0 != (i == 0) {
			t.Errorf("%s: %q, %+v", rows[i].Workspace, text, rows[i].Agents)
		}
	}
}

// What is here and never ran, was told to do nothing, or lost its container.
func TestRowsOfWhatDoesNotRun(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	long := now.Add(-time.Hour)
	pending := &status.Document{State: status.Running, Replicas: []status.Replica{{Name: "r", Pending: 2}}, Attention: []string{"old"}}
	held := Seen{Head: store.Head{Workspace: "o/p/taken", State: store.Held, TTL: 1e6, Holder: store.Holder{Host: "laptop"}}, At: now}
	rows := Rows([]Local{
		{Workspace: "o/p/new", Folder: "/n"},
		{Workspace: "o/p/taken", Folder: "/t"},
		{Workspace: "o/p/gone", Folder: "/g", Status: pending, Written: long},
		{Workspace: "o/p/off", Folder: "/o", Container: "c", Running: true, Disabled: true},
		{Workspace: "o/p/off-again", Folder: "/a", Container: "c", Running: true, Disabled: true, Status: pending, Written: long},
		{Workspace: "o/p/off-down", Folder: "/f", Container: "c", Disabled: true, Status: pending, Written: long},
		{Workspace: "o/p/silent", Folder: "/s", Container: "c", Running: true},
	}, []Seen{held}, now)
	want := map[string]string{
		"o/p/new": "new here 0", "o/p/taken": "new laptop 0", "o/p/gone": "down here 1", "o/p/off": "disabled here 0",
		"o/p/off-again": "disabled here 0", "o/p/off-down": "down here 1", "o/p/silent": "silent here 1",
	}
	if len(rows) != len(want) {
		t.Errorf("%d rows", len(rows))
	}
	for _, r := range rows {
		if got := fmt.Sprintf("%s %s %d", r.State, r.Where, len(r.Attention)); got != want[r.Workspace] {
			t.Errorf("%s: %s, want %s: %q", r.Workspace, got, want[r.Workspace], r.Attention)
		}
		if r.Folder == "" {
			t.Errorf("%s has no folder", r.Workspace)
		}
	}
}

// Each field of a row, and each need, is in the page about them.
func TestRowsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/fleet.md")
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	row := reflect.TypeFor[Row]()
	for i := range row.NumField() {
		if name, _, _ := strings.Cut(row.Field(i).Tag.Get("json"), ","); name != "" {
			words = append(words, name)
		}
	}
	for _, n := range status.AllNeeds() {
		words = append(words, string(n))
	}
	for name, p := range prices {
		words = append(words, name)
		for _, dollars := range []string{fmt.Sprintf("$%.3f", p.Gigabyte)} {
			if !strings.Contains(string(page), dollars) {
				t.Errorf("docs/fleet.md has no %s, of %s", dollars, name)
			}
		}
	}
	if len(words) < 25 {
		t.Errorf("%d words", len(words))
	}
	for _, w := range words {
		if !strings.Contains(string(page), "`"+w+"`") {
			t.Errorf("docs/fleet.md says nothing of %s", w)
		}
	}
}
