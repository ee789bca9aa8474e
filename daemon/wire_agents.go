package daemon

import (
	"fmt"
	"os"
	"slices"

	"github.com/coltec/coltec/pkg/agents"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/talks"
	"github.com/coltec/coltec/pkg/terminal"
	"github.com/coltec/coltec/pkg/unit"
	"github.com/coltec/coltec/supervisor"
)

// agentUnits are the agents that coltecd runs: each on a terminal of its own, once its
// conversations are there.
func (s setting) agentUnits() (units []unit.Unit) {
	for _, a := range s.spec.Agents {
		if a.Resume != spec.ResumeAlways {
			continue
		}
		units = append(units, unit.Unit{
			Name: a.Unit(), Kind: unit.Service, Screen: true, Dir: s.folder, After: []string{milestoneRestore},
			// Which command it is says the home as it is then, at each start.
			Argv: []string{"/proc/self/exe", "agents", "resume", a.Name}, Env: s.childEnv("", []string{"TERM=" + terminal.Name}),
		})
	}
	return units
}

// ResumeCommand is the command that goes on with the last conversation of an agent in a folder:
// the program alone where there is none. environ says where the home is.
func ResumeCommand(name, folder string, environ []string) ([]string, error) {
	a, is := agents.Find(name)
	if !is {
		return nil, hint.Wrap(fmt.Errorf("cannot go on with %q: it is not known", name), "known are %v", agents.Names())
	}
	home, err := os.OpenRoot(setting{environ: environ}.home())
	if err != nil {
		return nil, fmt.Errorf("cannot go on with %s: %w", name, err)
	}
	defer home.Close()
	if talks.Any(home, a, folder) {
		return a.Resume, nil
	}
	return []string{a.Program}, nil
}

// withUnits has agents fail that coltecd cannot keep running.
func withUnits(list []status.Agent, units []status.Unit) []status.Agent {
	list = slices.Clone(list)
	for i := range list {
		name := spec.Agent{Name: list[i].Name}.Unit()
		for _, u := range units {
			if is := supervisor.State(u.State); u.Name == name && (is == supervisor.Failed || is == supervisor.Blocked) {
				list[i].State, list[i].Since = status.AgentFailed, u.Since
			}
		}
	}
	return list
}
