package unit

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func service(change func(*Unit)) Unit {
	u := Unit{Name: "web", Kind: Service, Argv: []string{"/bin/sleep", "1"}}
	if change != nil {
		change(&u)
	}
	return u
}

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		unit Unit
		want string // part of the error; empty: valid
	}{
		"plain":           {service(nil), ""},
		"name":            {service(func(u *Unit) { u.Name = "../etc" }), "its name"},
		"no name":         {service(func(u *Unit) { u.Name = "" }), "its name"},
		"kind":            {service(func(u *Unit) { u.Kind = "daemon" }), `kind is "daemon"`},
		"no command":      {service(func(u *Unit) { u.Argv = nil }), "no command"},
		"NUL":             {service(func(u *Unit) { u.Argv = []string{"a\x00b"} }), "NUL"},
		"env":             {service(func(u *Unit) { u.Env = []string{"NOVALUE"} }), `named "NOVALUE"`},
		"dir":             {service(func(u *Unit) { u.Dir = "src" }), "not absolute"},
		"restart":         {service(func(u *Unit) { u.Restart = "maybe" }), "restart is"},
		"negative":        {service(func(u *Unit) { u.Backoff.Base = -1 }), "negative"},
		"max below base":  {service(func(u *Unit) { u.Backoff = Backoff{Base: 2, Max: 1} }), "shorter"},
		"factor":          {service(func(u *Unit) { u.Backoff.Factor = 0.5 }), "factor"},
		"signal":          {service(func(u *Unit) { u.Stop.Signal = 99 }), "not a signal"},
		"probe":           {service(func(u *Unit) { u.Ready = &Probe{} }), "ready probe"},
		"schedule":        {service(func(u *Unit) { u.Schedule.Every = time.Second }), "only a job"},
		"point":           {service(func(u *Unit) { u.Point = "pre_stop" }), "has a point"},
		"hook":            {service(func(u *Unit) { u.Kind, u.Point = Hook, "pre_stop" }), ""},
		"hook, no point":  {service(func(u *Unit) { u.Kind = Hook }), "has a point"},
		"hook after":      {service(func(u *Unit) { u.Kind, u.Point, u.After = Hook, "p", []string{"x"} }), "at its point"},
		"on failure":      {service(func(u *Unit) { u.OnFailure = "panic" }), "on_failure"},
		"job with a test": {service(func(u *Unit) { u.Kind, u.Ready = Job, &Probe{Exec: []string{"true"}} }), "only a service"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { wantError(t, tt.unit.Validate(), tt.want) })
	}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("got error %v, want %q", err, want)
	}
}

func TestValidateKeepsValuesOut(t *testing.T) {
	u := service(func(u *Unit) { u.Env = []string{"KEY=hunter2\x00"} })
	if err := u.Validate(); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error shows the value: %v", err)
	}
}

func TestValidateSet(t *testing.T) {
	named := func(name string, after ...string) Unit {
		return service(func(u *Unit) { u.Name, u.After = name, after })
	}
	hook := service(func(u *Unit) { u.Name, u.Kind, u.Point = "h", Hook, "p" })
	tests := map[string]struct {
		units []Unit
		want  string
	}{
		"chain":       {[]Unit{named("a", "restore"), named("b", "a")}, ""},
		"empty":       {nil, ""},
		"twice":       {[]Unit{named("a"), named("a")}, "twice"},
		"unknown":     {[]Unit{named("a", "restroe")}, `"restroe", which is neither a unit nor one of restore`},
		"self":        {[]Unit{named("a", "a")}, "circle: a after a"},
		"circle":      {[]Unit{named("x", "a"), named("a", "b"), named("b", "c"), named("c", "a")}, "circle: a after b after c after a"},
		"after hook":  {[]Unit{named("a", "h"), hook}, "hooks run at their point"},
		"each is bad": {[]Unit{named("A")}, "its name"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { wantError(t, ValidateSet(tt.units, []string{"restore"}), tt.want) })
	}
	wantError(t, ValidateSet([]Unit{named("a", "anything")}, nil), "")
}

func TestEqual(t *testing.T) {
	tests := map[string]struct {
		change      func(*Unit)
		equal, same bool
	}{
		"nothing":          {func(*Unit) {}, true, true},
		"empty, not nil":   {func(u *Unit) { u.Env, u.After = []string{}, []string{} }, true, true},
		"default spelled":  {func(u *Unit) { u.Restart, u.Stop.Grace = Always, DefaultGrace }, true, true},
		"policy":           {func(u *Unit) { u.Restart = Never }, false, true},
		"order":            {func(u *Unit) { u.After = []string{"db"} }, false, true},
		"probe":            {func(u *Unit) { u.Ready = &Probe{Exec: []string{"true"}} }, false, true},
		"command":          {func(u *Unit) { u.Argv = []string{"other"} }, false, false},
		"environment":      {func(u *Unit) { u.Env = []string{"A=1"} }, false, false},
		"directory":        {func(u *Unit) { u.Dir = "/tmp" }, false, false},
		"user":             {func(u *Unit) { u.User = "nobody" }, false, false},
		"needs something":  {func(u *Unit) { u.Blocked = "X is not set" }, false, false},
		"kind of the unit": {func(u *Unit) { u.Kind = Job }, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a, b := service(nil), service(tt.change)
			if diff := cmp.Diff([]bool{tt.equal, tt.same}, []bool{Equal(a, b), SameProcess(a, b)}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAUnitPrintsItsNameOnly(t *testing.T) {
	u := service(func(u *Unit) { u.Env = []string{"KEY=hunter2"} })
	asJSON, err := json.Marshal(map[string]any{"u": u, "p": &u, "l": []Unit{u}})
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "unit", u, "p", &u)
	all := fmt.Sprintf("%v %+v %#v %s %d %x %v", u, u, u, u, u, u, []Unit{u}) + string(asJSON) + logged.String()
	if strings.Contains(all, "hunter2") || strings.Contains(all, fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("a unit shows its environment: %s", all)
	}
}

func TestGraceOf(t *testing.T) {
	for grace, want := range map[time.Duration]time.Duration{0: DefaultGrace, -1: 0, time.Second: time.Second} {
		if got := service(func(u *Unit) { u.Stop.Grace = grace }).GraceOf(); got != want {
			t.Errorf("grace %v: got %v, want %v", grace, got, want)
		}
	}
}
