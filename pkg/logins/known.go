package logins

import "github.com/coltec/coltec/pkg/agents"

// Known are the login files of agents that coltecd knows, below the home: they are in no
// replica, whether their agent is in the spec or not.
func Known() (list []Agent) {
	for _, a := range agents.All() {
		list = append(list, Agent{a.Name, a.Logins})
	}
	return list
}
