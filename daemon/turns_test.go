package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
)

const (
	claudePrompt = `{"type":"user","message":{"role":"user","content":"x"},"cwd":"/workspace","timestamp":"%s"}` + "\n"
	claudeAnswer = `{"type":"assistant","message":{"role":"assistant","stop_reason":"end_turn"},"cwd":"/workspace","timestamp":"%s"}` + "\n"
)

// agentHome is a setting with claude in its spec, and the file of a conversation in its home.
func agentHome(t *testing.T) (s setting, talk string) {
	t.Helper()
	home := t.TempDir()
	talk = filepath.Join(home, ".claude/projects/-workspace/1.jsonl")
	if err := os.MkdirAll(filepath.Dir(talk), 0o700); err != nil {
		t.Fatal(err)
	}
	return setting{
		spec:   &spec.Spec{Agents: []spec.Agent{{Name: "claude"}, {Name: "codex"}, {Name: "of-my-own", Include: []string{".x"}}}},
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
		"never":          {[]string{claudePrompt}, turnPatience, []string{"claude"}, []string{"claude"}},
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
				began, left := all.await(t.Context(), s, turnPatience)
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
		if _, left := all.await(ctx, s, turnPatience); len(left) != 1 || time.Since(begin) != time.Second {
			t.Errorf("%q after %v", left, time.Since(begin))
		}
	})
}

// Status tells of each agent that is known, and follows its conversation.
func TestAgentsInStatus(t *testing.T) {
	s, talk := agentHome(t)
	synctest.Test(t, func(t *testing.T) {
		var all turns
		look := func() (states []string) {
			for _, a := range all.status(s) {
				states = append(states, fmt.Sprint(a.Name, " ", a.State, " ", a.Talks))
			}
			return states
		}
		for _, step := range []struct {
			line string
			wait time.Duration
			want string
		}{{"", 0, "claude none 0"}, {claudePrompt, time.Second, "claude working 1"}, {claudeAnswer, time.Second, "claude done 1"}, {claudePrompt, 3 * time.Minute, "claude done 1"}} {
			if step.line != "" {
				said(t, talk, step.line)
			}
			time.Sleep(step.wait + time.Millisecond)
			if diff := cmp.Diff([]string{step.want, "codex none 0"}, look()); diff != "" {
				t.Error(diff)
			}
		}
	})
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
		if took := time.Since(begin); took < time.Second || took >= turnPatience {
			t.Errorf("it waited %v for an answer that came after a second", took)
		}
	})
}
