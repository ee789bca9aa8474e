package spec

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/agents"
	"github.com/coltec/coltec/pkg/hint"
)

// AgeKeyVariable is the variable with the key to which logins are encrypted.
const AgeKeyVariable = "COLTEC_AGE_KEY"

// Whether the logins of an agent leave the machine.
const (
	LoginsOff    = "off"
	LoginsTravel = "travel"
)

// Agent is a program of which what lies in the home is carried.
type Agent struct {
	// Name of the agent: claude, codex, copilot, gemini, opencode, or one of your own.
	Name string `yaml:"name" jsonschema:"required"`
	// Include lists more paths of the home that travel, each with all below it; needed for an agent that is not known.
	Include []string `yaml:"include"`
	// Exclude lists paths of the home that do not travel, as filter patterns of rclone from the home on.
	Exclude []string `yaml:"exclude"`
	// Logins: off keeps them on the machine, travel has the newest go along with the lease, encrypted to the key in COLTEC_AGE_KEY.
	Logins string `yaml:"logins" jsonschema:"enum=off,enum=travel,default=off"`
	// LoginsFiles are the files below the home that are the login; those of an agent that is known need not be given.
	LoginsFiles []string `yaml:"logins_files"`
	// Hooks is true to have the agent tell coltecd by hooks in its own settings when a turn begins and ends, and false to take them out again; without a word the settings stay as they are.
	Hooks *bool `yaml:"hooks"`
	// Resume is always to run the agent as a unit on a terminal of its own, agent-NAME, once the restore is through: with its last conversation, else with a new one.
	Resume string `yaml:"resume" jsonschema:"enum=never,enum=always,default=never"`
	// Timeout is how long a stop and a hand-over let it end its turn, at most 1m, of a stop a third of its time; 5s by default.
	Timeout time.Duration `yaml:"timeout"`
}

// Whether coltecd runs an agent.
const (
	ResumeNever  = "never"
	ResumeAlways = "always"
)

const (
	// turnTime is how long an agent may take to end its turn where nothing is said: an answer that
	// is being written takes some seconds.
	turnTime = 5 * time.Second
	// turnMost is the longest time that it may be given: who stops waits.
	turnMost = time.Minute
)

// agentsOrigin is where the replica that is made for agents was written.
const agentsOrigin = "agents"

// adoptAgents has what the listed agents keep in the home carried by one replica: that of
// the name home, where the spec has one that is of the home, or one of its own.
func adoptAgents(s *Spec) {
	if len(s.Agents) == 0 {
		return
	}
	var listed []agents.Agent
	var include, named, exclude []string
	for _, a := range s.Agents {
		known, _ := agents.Find(a.Name)
		known.Logins = append(slices.Clone(known.Logins), a.LoginsFiles...)
		listed = append(listed, known)
		for _, p := range a.Include {
			named = append(named, strings.Trim(p, "/"))
		}
		exclude = append(exclude, a.Exclude...)
	}
	include = append(agents.Include(listed), named...)
	p := &s.Persistence
	i := slices.IndexFunc(p.Sync, func(y Sync) bool { return y.Name == HomeReplica && path.Clean(y.Path) == homeMark })
	if i < 0 {
		p.Sync = append(p.Sync, Sync{Name: HomeReplica, Path: homeMark})
		s.src.origin = append(s.src.origin, agentsOrigin)
		i = len(p.Sync) - 1
	} else if len(p.Sync[i].Include) == 0 { // all of the home, by the spec's own word
		include = nil
	} else {
		named = append(named, p.Sync[i].Include...)
	}
	y := &p.Sync[i]
	y.Agents = true
	for _, at := range include {
		if !slices.Contains(y.Include, at) {
			y.Include = append(y.Include, at)
		}
	}
	y.Exclude = slices.Concat(y.Exclude, exclude, agents.Exclude(listed, named))
}

// Carried are the listed agents, as they are known, with what the spec has carried of them.
func (s *Spec) Carried() (list []agents.Agent) {
	for _, a := range s.Agents {
		known, _ := agents.Find(a.Name)
		known.Name = a.Name
		known.Carry = slices.Concat(known.Carry, a.Include)
		list = append(list, known)
	}
	return list
}

// leaveCredentials has what programs keep credentials in left out of the other replicas of
// the home, unless an include names it.
func leaveCredentials(s *Spec) {
	for i := range s.Persistence.Sync {
		y := &s.Persistence.Sync[i]
		if !isHome(y.Path) || y.Agents || y.File {
			continue
		}
		var named []string
		for _, p := range y.Include {
			named = append(named, strings.Trim(p, "/"))
		}
		dir := strings.Trim(strings.TrimPrefix(path.Clean(y.Path), homeMark), "/")
		y.Exclude = slices.Concat(y.Exclude, agents.ExcludeCredentials(dir, named))
	}
}

// LoginsTravel reports whether the logins of any agent do.
func (s *Spec) LoginsTravel() bool {
	return slices.ContainsFunc(s.Agents, func(a Agent) bool { return a.Logins == LoginsTravel })
}

func (c checker) agents() {
	seen := map[string]bool{}
	for i, a := range c.s.Agents {
		at := fmt.Sprintf("agents[%d]", i)
		switch {
		case !isName(a.Name):
			c.bad(at+".name", nameRule)
		case seen[a.Name]:
			c.bad(at+".name", "names %s a second time; keep one", a.Name)
		}
		seen[a.Name] = true
		if _, known := agents.Find(a.Name); !known && isName(a.Name) && len(a.Include) == 0 {
			c.bad(at+".name", "is %s, which is not known%s: list what of the home travels in include", shown(a.Name), didYouMean(a.Name, agents.Names()))
		}
		c.agentUnit(at, a)
		for j, p := range a.Include {
			if !isBelowHome(strings.Trim(p, "/")) {
				c.bad(fmt.Sprintf("%s.include[%d]", at, j), "must be a path below the home, as .tool/sessions")
			}
		}
		for j, p := range a.Exclude {
			if strings.TrimSpace(p) == "" {
				c.bad(fmt.Sprintf("%s.exclude[%d]", at, j), "is an empty pattern: remove it")
			}
		}
		for j, p := range a.LoginsFiles {
			if !isBelowHome(p) {
				c.bad(fmt.Sprintf("%s.logins_files[%d]", at, j), "must be the path of a file below the home, as .tool/auth.json")
			}
		}
	}
}

// agentUnit checks what coltecd does with an agent that runs.
func (c checker) agentUnit(at string, a Agent) {
	known, is := agents.Find(a.Name)
	if a.Hooks != nil && *a.Hooks && known.Hooks.Form == "" {
		c.bad(at+".hooks", "cannot be true: no hooks of %s are known; have it run coltecd agents report STATE --agent %s by its own settings", shown(a.Name), hint.Word(a.Name))
	}
	if a.Timeout > turnMost {
		c.bad(at+".timeout", "must be at most 1m: who stops the workspace waits for it")
	}
	if a.Resume != ResumeAlways {
		return
	}
	if !is {
		c.bad(at+".resume", "cannot be always: how to go on with %s is not known; write a service", shown(a.Name))
	}
	if slices.ContainsFunc(c.s.Services, func(s Service) bool { return s.Name == a.Unit() }) {
		c.bad(at+".resume", "makes a unit %s, and a service has that name; rename it", a.Unit())
	}
}

// Unit is the name of the unit that runs an agent.
func (a Agent) Unit() string { return "agent-" + a.Name }

// isBelowHome reports whether a path is one of a file below a directory, written plainly.
func isBelowHome(p string) bool {
	return p != "." && filepath.IsLocal(p) && path.Clean(p) == p
}

// Home is where ~ is: what a spec says of logins is below it.
func Home(lookup Lookup) (string, error) { return homeOf(lookup) }
