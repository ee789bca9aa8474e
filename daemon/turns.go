package daemon

import (
	"context"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/agents"
	"github.com/coltec/coltec/pkg/process"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/talks"
)

const (
	// turnEvery is how often it is looked whether it has: a fraction of what counts as rest.
	turnEvery = talks.Rest / 3
	// looksEvery is how old what status tells of agents may be when somebody asks.
	looksEvery = time.Second
	// agentsEvery is how often it is looked what agents do while nobody asks: a listing of their
	// conversations and of the processes, ten milliseconds.
	agentsEvery = 2 * time.Second
	// agentsSeen is how old that may be where nobody asks: it is what the last of those looks saw.
	agentsSeen = 2 * agentsEvery
)

// turns looks at the conversations of the spec's agents, and knows what their hooks said.
type turns struct {
	reader talks.Reader
	runs   func(programs map[string][]string, folder string) map[string]bool // nil: as the processes tell

	mu     sync.Mutex // guards what follows
	at     time.Time  // of the last look
	last   []status.Agent
	said   map[string]report
	waited map[string]time.Time // since when agents wait of which that was told
}

// of is what is known of an agent that a spec lists; of one that nobody knows its name alone.
func knownAs(name string) agents.Agent {
	a, is := agents.Find(name)
	if !is {
		a.Name = name
	}
	return a
}

// found are the conversations of the spec's agents, in its order.
func (t *turns) found(s setting, now time.Time) (list []talks.Found) {
	list = make([]talks.Found, len(s.spec.Agents))
	home, err := os.OpenRoot(s.home())
	if err != nil {
		return list // it comes with the first restore, and a replica of it says what is wrong
	}
	defer home.Close()
	for i, listed := range s.spec.Agents {
		list[i] = t.reader.Look(home, knownAs(listed.Name), s.folder, now)
	}
	return list
}

// look is what the agents do as of now. The caller has the lock.
func (t *turns) look(s setting, now time.Time) (list []status.Agent) {
	if len(s.spec.Agents) == 0 {
		return nil
	}
	found := t.found(s, now)
	programs := map[string][]string{}
	for i, listed := range s.spec.Agents {
		a := knownAs(listed.Name)
		said := t.said[a.Name]
		if a.Program != "" && stateOf(found[i], true, said) != stateOf(found[i], false, said) { // else it need not be known: all processes are looked at
			programs[a.Program] = a.Aside
		}
	}
	runs := map[string]bool{}
	switch {
	case len(programs) == 0:
	case t.runs != nil:
		runs = t.runs(programs, s.folder)
	default:
		runs = process.Running(programs, s.folder)
	}
	for i, listed := range s.spec.Agents {
		known, f, said := knownAs(listed.Name), found[i], t.said[listed.Name]
		if known.Program == "" && said.at.IsZero() {
			continue // nothing is known of what it does
		}
		a := status.Agent{
			Name: listed.Name, Talks: f.Talks, Conversation: f.Name, LastTurn: when(f.Last), Resume: append([]string{}, known.Resume...),
			State: stateOf(f, known.Program == "" || runs[known.Program], said),
		}
		a.Since = t.since(a, f.Grew, now)
		list = append(list, a)
	}
	return list
}

// since is from when on an agent is in its state: as before where that is the same, from when
// its conversation grew at the first look, else from now on. The caller has the lock.
func (t *turns) since(a status.Agent, grew, now time.Time) *time.Time {
	i := slices.IndexFunc(t.last, func(b status.Agent) bool { return b.Name == a.Name })
	switch {
	case a.State == status.AgentNone:
		return nil
	case i < 0:
		return when(grew)
	case t.last[i].State == a.State:
		return t.last[i].Since
	}
	return when(now)
}

// status are the agents as of at most that long ago.
func (t *turns) status(s setting, old time.Duration) []status.Agent {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); t.at.IsZero() || now.Sub(t.at) > old || now.Before(t.at) {
		t.at, t.last = now, t.look(s, now)
	}
	return t.last
}

// say notes what the hook of an agent said.
func (t *turns) say(name string, state status.AgentState, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.said == nil {
		t.said = map[string]report{}
	}
	t.said[name] = report{state, now}
	t.at = time.Time{} // the next look is a new one
}

// dueWaits are the agents that wait for a person for long enough to tell somebody, and of which
// that was not told: each once until it has done something else.
func (t *turns) dueWaits(list []status.Agent, now time.Time) (due []status.Agent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waited == nil {
		t.waited = map[string]time.Time{}
	}
	for _, a := range list {
		switch {
		case a.State != status.AgentWaits || a.Since == nil:
			delete(t.waited, a.Name)
		case now.Sub(*a.Since) >= waitSettles && !t.waited[a.Name].Equal(*a.Since):
			t.waited[a.Name] = *a.Since
			due = append(due, a)
		}
	}
	return due
}

// watchAgents looks at what agents do, so that who waits for events learns of it, and the hooks
// for agents that wait run. It ends with ctx.
func (d *daemon) watchAgents(ctx context.Context) {
	var last []status.Agent
	for {
		seen, s := d.status.now(), d.conf.get()
		if len(s.spec.Agents) == 0 {
			if d.status.wait(ctx, seen, publishEvery) != nil {
				return
			}
			continue
		}
		d.setAgentHooks()
		list := d.turns.status(s, looksEvery)
		if !slices.EqualFunc(last, list, sameAgent) {
			d.status.changed()
		}
		last = list
		for _, a := range d.turns.dueWaits(list, time.Now()) {
			d.log.Info("an agent waits for a person", "agent", a.Name, "conversation", a.Conversation, "since", a.Since)
			d.hooks.add(hooks.OnAgentWaiting, []string{
				"COLTEC_AGENT=" + a.Name, "COLTEC_CONVERSATION=" + a.Conversation, "COLTEC_SINCE=" + a.Since.Format(time.RFC3339),
			})
		}
		if pause(ctx, agentsEvery) != nil {
			return
		}
	}
}

// sameAgent reports whether an agent does what it did; a conversation that has grown does not
// count.
func sameAgent(a, b status.Agent) bool {
	return a.Name == b.Name && a.State == b.State && a.Talks == b.Talks && a.Conversation == b.Conversation
}

// working are the agents that have a turn under way, by what their conversations tell, and
// have more time to end it than that.
func (t *turns) working(s setting, after time.Duration) (names []string) {
	if len(s.spec.Agents) == 0 {
		return nil
	}
	for i, f := range t.found(s, time.Now()) {
		if a := s.spec.Agents[i]; f.Working && after < a.Timeout {
			names = append(names, a.Name)
		}
	}
	return names
}

// await returns once no agent has a turn under way that it has time for, at once where none has,
// or when limit is over: what is cut off is carried as it is. It gives who worked at its begin,
// and who still does.
func (t *turns) await(ctx context.Context, s setting, limit time.Duration) (began, left []string) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	begin := time.Now()
	began = t.working(s, -1)
	for waited := t.working(s, 0); len(waited) > 0; waited = t.working(s, time.Since(begin)) {
		if pause(ctx, turnEvery) != nil {
			break
		}
	}
	if len(began) > 0 {
		left = t.working(s, -1)
	}
	return began, left
}

// awaitTurns lets agents end their turns before a hand-over.
func (s setting) awaitTurns(ctx context.Context) {
	if s.turns == nil {
		return
	}
	s.logTurns(s.turns.await(ctx, s, s.turnsMost()))
}

// turnsMost is the longest time that any agent has to end its turn.
func (s setting) turnsMost() (most time.Duration) {
	for _, a := range s.spec.Agents {
		most = max(most, a.Timeout)
	}
	return most
}

// logTurns says that agents were waited for.
func (s setting) logTurns(began, left []string) {
	switch {
	case s.log == nil || len(began) == 0:
	case len(left) > 0:
		s.log.Warn("agents had not ended their turn: it is carried as it is", "agents", left)
	default:
		s.log.Info("agents have ended their turn", "agents", began)
	}
}
