package toolbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/order"
)

// An order about one workspace holds up none about others, however long it takes; of one workspace,
// whatever it is called, one order alone is carried out at a time.
func TestTurns(t *testing.T) {
	sample.Long(t)
	a := newAgent(t, t.Context(), func(o *Options) {
		o.Host = true
		o.times = usual
		o.times.beat = 10 * time.Millisecond
		o.Which = func(_ context.Context, name string) string { return strings.TrimPrefix(name, "./") }
	})
	ended := make(chan string, 10)
	ask := func(workspace string) {
		r, err := a.call(t.Context(), "checkpoint", map[string]any{"workspace": workspace, "name": "meet"})
		if err != nil || r.IsError {
			ended <- fmt.Sprintf("%s: %v %+v", workspace, err, r)
			return
		}
		ended <- ""
	}
	go ask("a")
	a1 := a.meets() // and stays there
	for _, other := range []string{"b", "./b", "c"} {
		go ask(other)
		fmt.Fprintln(a.meets(), "go on")
		if fault := <-ended; fault != "" {
			t.Error(fault)
		}
	}
	if words, _, isError := a.asks("status", map[string]any{"workspace": "a"}); isError {
		t.Errorf("a question waits for an order: %s", words)
	}
	go func() {
		params := &mcp.CallToolParams{Name: "checkpoint", Arguments: map[string]any{"workspace": "./a", "name": "meet"}}
		params.SetProgressToken("mine")
		_, err := a.session.CallTool(t.Context(), params)
		ended <- fmt.Sprint(err)
	}()
	a.heard("checkpoint waits for its turn, for ")
	fmt.Fprintln(a1, "go on")
	if fault := <-ended; fault != "" {
		t.Error(fault)
	}
	fmt.Fprintln(a.meets(), "go on")
	if fault := <-ended; fault != "<nil>" {
		t.Error(fault)
	}
}

// Which workspace a name is of is asked, and may take as long as Docker does, where an order waits for
// its turn; a question waits for none, and was held up by it.
func TestNamesOfQuestionsAreNotAsked(t *testing.T) {
	sample.Long(t)
	var asked []string
	a := newAgent(t, t.Context(), func(o *Options) {
		o.Host = true
		o.Which = func(_ context.Context, name string) string {
			asked = append(asked, name)
			return name
		}
	})
	for _, call := range []struct {
		name string
		args map[string]any
		want bool
	}{
		{"status", map[string]any{"workspace": "a"}, false},
		{"list", map[string]any{}, false},
		{"history", map[string]any{"workspace": "a"}, false},
		{"checkpoint", map[string]any{"workspace": "a", "name": "b"}, true},
		{"sync", map[string]any{"workspace": "a"}, true},
	} {
		asked = nil
		words, _, isError := a.asks(call.name, call.args)
		if isError {
			t.Errorf("%s: %s", call.name, words)
		}
		if got := len(asked) > 0; got != call.want {
			t.Errorf("%s asked which workspace it is of: %v, want %v", call.name, got, call.want)
		}
	}
}

// Who has a turn keeps each other one of its workspace waiting, who gives up has none, and of
// workspaces that nobody waits for nothing is kept.
func TestTurnsOfWorkspaces(t *testing.T) {
	changes, asks := order.Order{Changes: true}, order.Order{}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	all := newTurns()
	wait := func(o order.Order, workspace string) func() {
		t.Helper()
		done, err := all.wait(t.Context(), o, workspace)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	first := wait(changes, "a")
	if _, err := all.wait(over, changes, "a"); err == nil || !strings.Contains(err.Error(), "nothing was done") {
		t.Errorf("two at once: %v", err)
	}
	if _, err := all.wait(over, changes, "b"); err == nil {
		t.Error("who gave up has a turn")
	}
	var others []func()
	for i := range actionsAtOnce - 1 {
		others = append(others, wait(changes, fmt.Sprint(i)))
	}
	if _, err := all.wait(over, changes, "more"); err == nil {
		t.Error("there is no bound")
	}
	for range questionsAtOnce {
		others = append(others, wait(asks, "a"))
	}
	second := make(chan func())
	go func() {
		done, err := all.wait(context.WithoutCancel(over), changes, "a")
		if err != nil {
			t.Error(err)
		}
		second <- done
	}()
	first()
	(<-second)()
	for _, done := range others {
		done()
	}
	if len(all.of) != 0 || len(all.acting) != 0 || len(all.asking) != 0 {
		t.Errorf("it keeps %v, %d, %d", all.of, len(all.acting), len(all.asking))
	}
}
