package daemon

import (
	"fmt"
	"os"
	"slices"
	"strings"

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
	own, err := os.Executable()
	if err != nil {
		own = "/proc/self/exe"
	}
	for _, a := range s.spec.Agents {
		if a.Resume != spec.ResumeAlways {
			continue
		}
		units = append(units, unit.Unit{
			Name: a.Unit(), Kind: unit.Service, Screen: true, Dir: s.folder, After: []string{milestoneRestore},
			// Which command it is says the home as it is then, at each start.
			Argv: []string{own, "agents", "resume", a.Name}, Env: s.childEnv("", []string{"TERM=" + terminal.Name}),
		})
	}
	return units
}

// ResumeCommands are the commands that go on with the last conversation of an agent in a folder,
// where there is one, and that begin another. environ says where the home is. The first one may
// be nil, and may fail at once: not every agent goes on with each of its conversations.
func ResumeCommands(name, folder string, environ []string) (resume, begin []string, err error) {
	a, is := agents.Find(name)
	if !is {
		return nil, nil, hint.Wrap(fmt.Errorf("cannot go on with %q: it is not known", name), "known are %s", strings.Join(agents.Names(), ", "))
	}
	home, err := os.OpenRoot(setting{environ: environ}.home())
	if err != nil {
		return nil, nil, fmt.Errorf("cannot go on with %s: %w", name, err)
	}
	defer home.Close()
	if talks.Any(home, a, folder) {
		resume = a.Resume
	}
	return resume, []string{a.Program}, nil
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
