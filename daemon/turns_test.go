package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/talks"
)

const (
	claudePrompt = `{"type":"user","message":{"role":"user","content":"x"},"cwd":"/workspace","timestamp":"%s"}` + "\n"
	claudeAnswer = `{"type":"assistant","message":{"role":"assistant","stop_reason":"end_turn"},"cwd":"/workspace","timestamp":"%s"}` + "\n"
)

// turnTime is what a spec gives agents for the end of a turn, unless it says something else.
const turnTime = 5 * time.Second

// agentHome is a setting with claude in its spec, and the file of a conversation in its home.
func agentHome(t *testing.T) (s setting, talk string) {
	t.Helper()
	home := t.TempDir()
	talk = filepath.Join(home, ".claude/projects/-workspace/1.jsonl")
	if err := os.MkdirAll(filepath.Dir(talk), 0o700); err != nil {
		t.Fatal(err)
	}
	return setting{
		spec:   &spec.Spec{Agents: []spec.Agent{{Name: "claude", Timeout: turnTime}, {Name: "codex", Timeout: turnTime}, {Name: "of-my-own", Include: []string{".x"}}}},
		folder: "/workspace", environ: []string{"HOME=" + home},
	}, talk
}

// said appends a line to a conversation, as of now, which may be a bubble's.
func said(t *testing.T, talk, line string) {
	t.Helper()
	f, err := os.OpenFile(talk, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(f, line, time.Now().UTC().Format(time.RFC3339Nano))
		err = errors.Join(err, f.Close(), os.Chtimes(talk, time.Now(), time.Now()))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A stop waits until the answer is there and the file rests, not longer than its limit, and
// not at all where nobody works.
func TestAwaitTurns(t *testing.T) {
	for name, tt := range map[string]struct {
		lines       []string      // the first before, the others each after a second more
		took        time.Duration // of 5 s, in steps of a look
		began, left []string
	}{
		"nobody":         {nil, 0, nil, nil},
		"answered":       {[]string{claudeAnswer}, 0, nil, nil},
		"answers":        {[]string{claudePrompt, claudeAnswer}, 1300 * time.Millisecond, []string{"claude"}, nil},
		"a tool between": {[]string{claudePrompt, claudePrompt, claudeAnswer}, 2300 * time.Millisecond, []string{"claude"}, nil},
		"never":          {[]string{claudePrompt}, turnTime, []string{"claude"}, []string{"claude"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, talk := agentHome(t)
			synctest.Test(t, func(t *testing.T) {
				for i, line := range tt.lines {
					if i == 0 {
						said(t, talk, line)
						time.Sleep(time.Second)
						continue
					}
					time.AfterFunc(time.Duration(i)*time.Second, func() { said(t, talk, line) })
				}
				var all turns
				begin := time.Now()
				began, left := all.await(t.Context(), s, turnTime)
				took := time.Since(begin)
				if !slices.Equal(began, tt.began) || !slices.Equal(left, tt.left) || took < tt.took || took > tt.took+2*turnEvery {
					t.Errorf("%q worked, %q do; after %v, want %v", began, left, took, tt.took)
				}
			})
		})
	}
}

// A stop that is cut off does not wait on.
func TestAwaitTurnsEndsWithItsContext(t *testing.T) {
	s, talk := agentHome(t)
	synctest.Test(t, func(t *testing.T) {
		said(t, talk, claudePrompt)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all turns
		begin := time.Now()
		if _, left := all.await(ctx, s, turnTime); len(left) != 1 || time.Since(begin) != time.Second {
			t.Errorf("%q after %v", left, time.Since(begin))
		}
	})
}

// Status tells of each agent that is known, follows its conversation and its program, and
// believes its hook.
func TestAgentsInStatus(t *testing.T) {
	s, talk := agentHome(t)
	synctest.Test(t, func(t *testing.T) {
		running, looks := false, 0
		all := turns{runs: func(programs map[string][]string, folder string) map[string]bool {
			if _, is := programs["claude"]; len(programs) != 1 || !is || folder != "/workspace" {
				t.Errorf("it looks for %q in %s", programs, folder)
			}
			looks++
			return map[string]bool{"claude": running}
		}}
		began := time.Now()
		for _, step := range []struct {
			does string
			line string // written to the conversation
			said status.AgentState
			runs bool
			wait time.Duration
			want string
		}{
			{does: "is not there", want: "claude none 0"},
			{does: "is asked", line: claudePrompt, runs: true, wait: time.Second, want: "claude working 1 1"},
			{does: "answers", line: claudeAnswer, runs: true, wait: time.Second, want: "claude waits for you 1 1"},
			{does: "ends", wait: time.Second, want: "claude done 1 1"},
			{does: "is asked again", line: claudePrompt, runs: true, wait: time.Second, want: "claude working 1 1"},
			{does: "says that it asks for a permission", said: status.AgentWaits, runs: true, wait: time.Second, want: "claude waits for you 1 1"},
			{does: "has it, and goes on", line: claudePrompt, runs: true, wait: 2 * time.Second, want: "claude working 1 1"},
			{does: "goes no further", runs: true, wait: 3 * time.Minute, want: "claude waits for you 1 1"},
			{does: "is killed", wait: time.Second, want: "claude failed 1 1"},
		} {
			if step.line != "" {
				said(t, talk, step.line)
			}
			if step.said != "" {
				time.Sleep(time.Millisecond)
				all.say("claude", step.said, time.Now())
			}
			running, looks = step.runs, 0
			time.Sleep(step.wait + time.Millisecond)
			list := all.status(s, looksEvery)
			if len(list) != 2 || list[1].Name != "codex" || list[1].State != status.AgentNone {
				t.Fatalf("%s: %+v", step.does, list)
			}
			a := list[0]
			if got := strings.TrimSuffix(fmt.Sprint(a.Name, " ", a.State, " ", a.Talks, " ", a.Conversation), " "); got != step.want {
				t.Errorf("it %s: %q, want %q", step.does, got, step.want)
			}
			if wants := a.State != status.AgentNone && a.State != status.AgentWorking; wants != (looks > 0) {
				t.Errorf("it %s: all processes are looked at %d times", step.does, looks)
			}
			if (a.Since == nil) != (a.State == status.AgentNone) || a.Since != nil && (a.Since.Before(began) || a.Since.After(time.Now())) {
				t.Errorf("it %s: since %v", step.does, a.Since)
			}
		}
	})
}

// An agent of which nothing is known but its name is shown once its hook said something.
func TestAnAgentOfOnesOwnReports(t *testing.T) {
	s, _ := agentHome(t)
	all := turns{runs: func(map[string][]string, string) map[string]bool { return nil }}
	all.say("of-my-own", status.AgentWaits, time.Now())
	list := all.status(s, looksEvery)
	if len(list) != 3 || list[2].Name != "of-my-own" || list[2].State != status.AgentWaits {
		t.Errorf("%+v", list)
	}
}

func TestStateOf(t *testing.T) {
	at := time.Date(2026, 11, 30, 5, 0, 0, 0, time.UTC)
	grew := func(open bool) talks.Found { return talks.Found{Last: at, Recent: talks.Recent{Grew: at, Open: open}} }
	grows := grew(true)
	grows.Working = true
	before, after := at.Add(-2*reportSlack), at.Add(time.Second)
	for name, tt := range map[string]struct {
		found talks.Found
		runs  bool
		said  report
		want  status.AgentState
	}{
		"nothing":                            {talks.Found{}, false, report{}, status.AgentNone},
		"it runs, and was not asked":         {talks.Found{}, true, report{}, status.AgentNone},
		"a turn":                             {grows, true, report{}, status.AgentWorking},
		"a turn, by a program under no name": {grows, false, report{}, status.AgentWorking},
		"a turn that went no further":        {grew(true), true, report{}, status.AgentWaits},
		"a turn that was cut off":            {grew(true), false, report{}, status.AgentFailed},
		"answered":                           {grew(false), true, report{}, status.AgentWaits},
		"answered, and ended":                {grew(false), false, report{}, status.AgentDone},
		"it says that it works":              {grew(true), true, report{status.AgentWorking, after}, status.AgentWorking},
		"it said so, and was killed":         {grew(true), false, report{status.AgentWorking, after}, status.AgentFailed},
		"it says so before its first line":   {talks.Found{}, true, report{status.AgentWorking, after}, status.AgentWorking},
		"it asks for a permission":           {grows, true, report{status.AgentWaits, after}, status.AgentWaits},
		"it had asked, and goes on":          {grows, true, report{status.AgentWaits, before}, status.AgentWorking},
		"it waited, and was ended":           {grew(false), false, report{status.AgentWaits, after}, status.AgentDone},
		"it says that it ends":               {grew(false), false, report{status.AgentDone, after}, status.AgentDone},
		"one of two ends":                    {grew(false), true, report{status.AgentDone, after}, status.AgentWaits},
		"it says that it failed":             {grew(false), false, report{status.AgentFailed, after}, status.AgentFailed},
		"it failed, and goes on":             {grows, true, report{status.AgentFailed, before}, status.AgentWorking},
		"an older word, and nothing since":   {grew(false), true, report{status.AgentWorking, before}, status.AgentWorking},
	} {
		if got := stateOf(tt.found, tt.runs, tt.said); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// Who waits is told of once, after a moment, and again when it has worked since.
func TestDueWaits(t *testing.T) {
	now := time.Date(2026, 11, 30, 5, 0, 0, 0, time.UTC)
	var all turns
	for i, step := range []struct {
		state status.AgentState
		since time.Duration // before now
		want  int
	}{
		{status.AgentWorking, time.Minute, 0},
		{status.AgentWaits, time.Second, 0},
		{status.AgentWaits, waitSettles, 1},
		{status.AgentWaits, waitSettles, 0},
		{status.AgentWorking, 0, 0},
		{status.AgentWaits, waitSettles, 1},
		{status.AgentWaits, waitSettles + time.Minute, 1}, // another wait, of which the work between was not seen
	} {
		since := now.Add(-step.since)
		if got := all.dueWaits([]status.Agent{{Name: "claude", State: step.state, Since: &since}}, now); len(got) != step.want {
			t.Errorf("step %d: %+v", i, got)
		}
	}
}

// Each agent has the time that its spec gives it, 0 for none.
func TestEachAgentHasItsTime(t *testing.T) {
	for name, tt := range map[string]struct {
		timeout, took time.Duration
	}{"none": {0, 0}, "a second": {time.Second, time.Second}, "more than there is": {time.Minute, 20 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			s, talk := agentHome(t)
			s.spec.Agents[0].Timeout = tt.timeout
			synctest.Test(t, func(t *testing.T) {
				said(t, talk, claudePrompt)
				time.Sleep(time.Second)
				var all turns
				begin := time.Now()
				began, left := all.await(t.Context(), s, 20*time.Second)
				if took := time.Since(begin); took < tt.took || took > tt.took+2*turnEvery || len(began) != 1 || len(left) != 1 {
					t.Errorf("%q worked, %q do; after %v, want %v", began, left, took, tt.took)
				}
			})
		})
	}
}

func TestChangesOfAgents(t *testing.T) {
	doc := func(state status.AgentState) status.Document {
		return status.Document{Agents: []status.Agent{{Name: "claude", State: state}}}
	}
	got := changes(doc(status.AgentWorking), doc(status.AgentDone))
	want := []control.Event{{Subject: "agent", Name: "claude", From: "working", To: "done"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The engine waits for turns before a hand-over: it is given what does.
func TestAHandOverWaitsForTurns(t *testing.T) {
	s, talk := agentHome(t)
	s.turns = &turns{}
	o, err := s.engineOptions()
	if err != nil || o.Turns == nil {
		t.Fatalf("the engine has nothing that waits; %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		said(t, talk, claudePrompt)
		time.AfterFunc(time.Second, func() { said(t, talk, claudeAnswer) })
		begin := time.Now()
		o.Turns(t.Context())
		if took := time.Since(begin); took < time.Second || took >= turnTime {
			t.Errorf("it waited %v for an answer that came after a second", took)
		}
	})
}
