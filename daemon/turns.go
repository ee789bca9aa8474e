package daemon

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/agents"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/talks"
)

const (
	// turnPatience is how long a stop or a hand-over lets an agent end its turn: an answer that
	// is being written takes some seconds, and one that takes longer is carried as it is.
	turnPatience = 5 * time.Second
	// turnEvery is how often it is looked whether it has: a fraction of what counts as rest.
	turnEvery = talks.Rest / 3
	// looksEvery is how old what status tells of agents may be.
	looksEvery = time.Second
)

// turns looks at the conversations of the spec's agents.
type turns struct {
	reader talks.Reader

	mu   sync.Mutex // guards what follows
	at   time.Time  // of the last look
	last []status.Agent
}

// agents are those of a setting, as of now.
func (t *turns) agents(s setting, now time.Time) (list []status.Agent) {
	if len(s.spec.Agents) == 0 {
		return nil
	}
	home, err := os.OpenRoot(s.home())
	if err != nil {
		return nil // it comes with the first restore, and a replica of it says what is wrong
	}
	defer home.Close()
	for _, listed := range s.spec.Agents {
		known, is := agents.Find(listed.Name)
		if !is {
			continue
		}
		f := t.reader.Look(home, known, s.folder, now)
		a := status.Agent{Name: known.Name, State: status.AgentDone, Talks: f.Talks, LastTurn: when(f.Last), Resume: known.Resume}
		switch {
		case f.Working:
			a.State = status.AgentWorking
		case f.Last.IsZero():
			a.State = status.AgentNone
		}
		list = append(list, a)
	}
	return list
}

// status are the agents as of a moment ago.
func (t *turns) status(s setting) []status.Agent {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); t.at.IsZero() || now.Sub(t.at) > looksEvery {
		t.at, t.last = now, t.agents(s, now)
	}
	return t.last
}

// working are the names of the agents that have a turn under way.
func (t *turns) working(s setting) (names []string) {
	for _, a := range t.agents(s, time.Now()) {
		if a.State == status.AgentWorking {
			names = append(names, a.Name)
		}
	}
	return names
}

// await returns once no agent has a turn under way, at once where none has, or when limit is
// over: what is cut off is carried as it is. It gives who worked at its begin, and who still
// does.
func (t *turns) await(ctx context.Context, s setting, limit time.Duration) (began, left []string) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began = t.working(s)
	for left = began; len(left) > 0; left = t.working(s) {
		if pause(ctx, turnEvery) != nil {
			break
		}
	}
	return began, left
}

// awaitTurns lets agents end their turns before a hand-over.
func (s setting) awaitTurns(ctx context.Context) {
	if s.turns == nil {
		return
	}
	began, left := s.turns.await(ctx, s, turnPatience)
	s.logTurns(began, left)
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
