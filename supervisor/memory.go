package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/unit"
	"github.com/coltec/coltec/pkg/wholefile"
)

// past is what has to outlive a supervisor that was killed: a unit that keeps
// failing would else start its delays over with each crash, and one that a person
// has paused would run again.
type past struct {
	Argv      []string    `json:"argv"` // another command has no past
	State     State       `json:"state"`
	Since     time.Time   `json:"since"`
	Down      bool        `json:"down,omitempty"` // stopped by a person
	Attempt   int         `json:"attempt,omitempty"`
	Starts    []time.Time `json:"starts,omitempty"`
	CoolOffs  int         `json:"cool_offs,omitempty"`
	Restarts  int         `json:"restarts,omitempty"`
	NextRetry time.Time   `json:"next_retry,omitzero"`
	LastExit  string      `json:"last_exit,omitempty"`
	LastError string      `json:"last_error,omitempty"`
}

// pastOf is what is worth to be remembered of u.
func pastOf(u unitState) past {
	return past{
		Argv: u.def.Argv, State: u.state, Since: u.since, Down: u.want == wantDown,
		Attempt: u.attempt, Starts: u.starts.Times(), CoolOffs: u.coolOffs, Restarts: u.restarts,
		NextRetry: u.nextRetry, LastExit: u.exit, LastError: u.lastErr,
	}
}

// recall continues where an earlier supervisor was. Its clock may have been another
// one: no delay is longer than it would be now.
func (t *turn) recall(p past) {
	if t.run > 0 || t.state != Waiting || t.def.Kind == unit.Hook || !slices.Equal(p.Argv, t.def.Argv) {
		return
	}
	t.attempt, t.coolOffs, t.restarts, t.exit = p.Attempt, p.CoolOffs, p.Restarts, p.LastExit
	for _, at := range p.Starts {
		if !at.After(t.now) {
			t.starts, _ = t.starts.Add(at, t.def.StartLimit.Burst, t.def.StartLimit.Window)
		}
	}
	switch {
	case p.State == Paused:
		t.want = wantPaused
		t.enter(Paused)
	case p.Down && p.State == Exited:
		t.want = wantDown
		t.enter(Exited)
	case p.State == Failed:
		t.wait(p, coolOffMax)
	case p.State == Backoff:
		t.wait(p, t.def.Backoff.Max)
	case t.now.Sub(p.Since) >= t.def.Backoff.Healthy: // it ran on, as far as anybody knows
		t.attempt, t.coolOffs = 0, 0
	}
}

// wait takes up a delay that an earlier supervisor has begun.
func (t *turn) wait(p past, most time.Duration) {
	if !p.NextRetry.After(t.now) {
		return // it has passed meanwhile
	}
	t.due, t.lastErr = false, p.LastError
	t.enter(p.State)
	t.nextRetry = earlier(p.NextRetry, t.now.Add(most))
	t.arm(t.nextRetry)
}

// memorable reports whether memory should hold a change.
func memorable(a actChange) bool {
	for _, s := range []State{a.from, a.to} {
		if s == Backoff || s == Failed || s == Paused || s == Exited {
			return true
		}
	}
	return false
}

// memory is the file that holds the past; empty: there is none.
type memory string

func (m memory) load() (units map[string]past, err error) {
	if m == "" {
		return nil, nil
	}
	b, err := os.ReadFile(string(m))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &units)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what earlier units did: %w", err)
	}
	return units, nil
}

// save writes the file anew. No unit survives a power cut.
func (m memory) save(units map[string]past) error {
	if m == "" {
		return nil
	}
	b, err := json.Marshal(units)
	if err == nil {
		err = wholefile.Write(string(m), b, 0o600, wholefile.Volatile)
	}
	if err != nil {
		return fmt.Errorf("cannot remember what units did: %w", err)
	}
	return nil
}

// forget is for the end in order: the next start is a fresh one.
func (m memory) forget() {
	if m != "" {
		_ = os.Remove(string(m)) // none there is as good
	}
}

// remember saves the past of all units, after a change that is worth it.
func (s *Supervisor) remember() {
	units := map[string]past{}
	for name, u := range s.machine.units {
		if u.def.Kind != unit.Hook {
			units[name] = pastOf(*u)
		}
	}
	if err := s.opts.memory().save(units); err != nil && !s.forgetful {
		s.forgetful = true
		s.opts.Logger.Warn("delays and pauses will not outlive a crash", "error", err)
	}
}

// recollect reads what an earlier supervisor has saved.
func (s *Supervisor) recollect() {
	units, err := s.opts.memory().load()
	if err != nil {
		s.opts.Logger.Warn("units start without their past", "error", err)
	}
	s.machine.past = units
}

func (o Options) memory() memory { return memory(o.Memory) }
