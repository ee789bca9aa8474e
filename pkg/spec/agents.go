package spec

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
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
	// Logins: off keeps them on the machine, travel has the newest go along with the lease, encrypted to the key in COLTEC_AGE_KEY.
	Logins string `yaml:"logins" jsonschema:"enum=off,enum=travel,default=off"`
	// LoginsFiles are the files below the home that are the login; those of an agent that is known need not be given.
	LoginsFiles []string `yaml:"logins_files"`
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
		for j, p := range a.LoginsFiles {
			if !isBelowHome(p) {
				c.bad(fmt.Sprintf("%s.logins_files[%d]", at, j), "must be the path of a file below the home, as .tool/auth.json")
			}
		}
	}
}

// isBelowHome reports whether a path is one of a file below a directory, written plainly.
func isBelowHome(p string) bool {
	return p != "." && filepath.IsLocal(p) && path.Clean(p) == p
}

// Home is where ~ is: what a spec says of logins is below it.
func Home(lookup Lookup) (string, error) { return homeOf(lookup) }
