package agents

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/modeltest"
	"github.com/coltec/coltec/pkg/agents"
)

// running is a turn that has been started.
type running struct {
	w    *world
	a    agent
	at   string // the machine
	argv []string
	cmd  *exec.Cmd
	from int // how many requests there were before
	out  bytes.Buffer
	talk bytes.Buffer
	stop context.CancelFunc
}

// begin starts a turn.
func (w *world) begin(a agent, argv []string, prompt string) *running {
	w.t.Helper()
	return w.beginFor(patience, a, argv, prompt)
}

// beginFor starts one that has so long.
func (w *world) beginFor(most time.Duration, a agent, argv []string, prompt string) *running {
	w.t.Helper()
	dir, err := a.find()
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), most)
	r := &running{w: w, a: a, at: w.at, argv: append(slices.Clone(argv), prompt), from: len(w.model.Asked(0)), stop: cancel}
	program := filepath.Join(w.tools(dir), "node_modules/.bin", argv[0])
	r.cmd = w.command(ctx, append([]string{program}, r.argv[1:]...))
	r.cmd.Env = w.agentEnv()
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.talk
	r.cmd.SysProcAttr.Setpgid = true // it has children
	r.cmd.Cancel = func() error { return syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL) }
	if err := r.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// beginHeld starts a turn of which the answer is held back, until its question is written.
func (w *world) beginHeld(a agent, prompt string) *running {
	w.t.Helper()
	reached := w.model.HoldBack(prompt)
	r := w.beginFor(time.Duration(2*len(all))*patience, a, a.next, prompt) // it waits for all others
	w.t.Cleanup(func() { r.stop(); _ = r.cmd.Wait() })
	select {
	case <-reached:
	case <-time.After(patience):
		w.t.Fatalf("%s asks nothing in %s: %s", a.name, patience, kinds(w.model.Asked(r.from)))
	}
	r.hasWritten(prompt)
	return r
}

// hasWritten waits until what the agent keeps of its conversations has that.
func (r *running) hasWritten(text string) {
	r.w.t.Helper()
	known, _ := agents.Find(r.a.name)
	r.w.until(fmt.Sprintf("%s has written %q", r.a.name, text), func() bool {
		for _, pattern := range known.Talks {
			paths, _ := filepath.Glob(r.w.real(r.at, filepath.Join(r.w.home(), pattern)))
			for _, path := range paths {
				if b, _ := os.ReadFile(path); strings.Contains(string(b), text) {
					return true
				}
			}
		}
		return false
	})
}

// turn is what a turn was: what was asked of the model, and the nonce that it said.
type turn struct {
	of       agent
	nonce    string
	requests []string
}

// do does a whole turn.
func (w *world) do(a agent, argv []string, prompt string) turn {
	w.t.Helper()
	return w.begin(a, argv, prompt).wait()
}

// wait waits for the end of a turn, which has to be an answer.
func (r *running) wait() turn {
	r.w.t.Helper()
	err := r.cmd.Wait()
	r.stop()
	done := turn{r.a, modeltest.Nonce(r.out.String()), r.w.model.Asked(r.from)}
	if err != nil || done.nonce == "" {
		r.w.t.Fatalf("%s on %s, %q: %v\n%s\n%s\n%s", r.a.name, r.at, r.argv, err, &r.out, &r.talk, kinds(done.requests))
	}
	return done
}

// kinds says in short what was asked.
func kinds(requests []string) string {
	var b strings.Builder
	for _, body := range requests {
		var top map[string]json.RawMessage
		_ = json.Unmarshal([]byte(body), &top)
		b.WriteString("a request of ")
		b.Write(top["model"])
		b.WriteString(": ")
		b.WriteString(body[max(0, len(body)-300):])
		b.WriteByte('\n')
	}
	return b.String()
}

// holds holds that the model was told all of that in one request.
func (d turn) holds(t *testing.T, wanted ...string) {
	t.Helper()
	var missing []string
	for _, body := range d.requests {
		missing = nil
		for _, word := range wanted {
			if !strings.Contains(body, word) {
				missing = append(missing, word)
			}
		}
		if missing == nil {
			return
		}
	}
	t.Errorf("%s does not go on: the request lacks %q\n%s", d.of.name, missing, kinds(d.requests))
}
