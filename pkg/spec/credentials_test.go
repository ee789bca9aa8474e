package spec

import (
	"testing"

	"github.com/coltec/coltec/pkg/filter"
)

// What programs keep credentials in is left out of each replica of the home, whether there
// are agents or not, and wherever in the home the replica begins; what a spec names by itself
// travels, and nothing beside it.
func TestCredentialsOfAHome(t *testing.T) {
	for name, tt := range map[string]struct {
		entry   string
		carried map[string]bool
	}{
		"all of it":           {"{name: all, path: ~}", map[string]bool{".ssh/id": false, ".netrc": false, ".config/gh/hosts.yml": false, ".bashrc": true, "w/.netrc": true}},
		"a directory in it":   {"{name: c, path: ~/.config}", map[string]bool{"gh/hosts.yml": false, "gcloud/x/y": false, "mine/x": true, ".netrc": true}},
		"a list":              {"{name: l, path: ~, include: [.config, .bashrc]}", map[string]bool{".config/gh/hosts.yml": false, ".config/mine": true, ".netrc": false}},
		"it is named":         {"{name: n, path: ~, include: [.npmrc, .config]}", map[string]bool{".npmrc": true, ".config/gh/hosts.yml": false, ".netrc": false}},
		"a file in it":        {"{name: n, path: ~, include: [.ssh/config, .ssh/known_hosts]}", map[string]bool{".ssh/config": true, ".ssh/known_hosts": true, ".ssh/id": false}},
		"named and all above": {"{name: n, path: ~/.config, include: [\"**\", gcloud/configurations]}", map[string]bool{"gcloud/credentials.db": false, "mine": true}},
		"the replica is it":   {"{name: s, path: ~/.ssh}", map[string]bool{"config": true, "id": true}},
		"in it":               {"{name: s, path: ~/.ssh/known}", map[string]bool{"x": true}},
		"one file":            {"{name: f, path: ~/.npmrc, file: true}", map[string]bool{".npmrc": true}},
		"no home":             {"{name: w, path: /workspace}", map[string]bool{".netrc": true, ".ssh/id": true}},
		"agents and another":  {"{name: all, path: ~/.config}]\nagents: [claude]\n#", map[string]bool{"gh/hosts.yml": false, "mine": true}},
	} {
		s := withAgents(t, "  sync: ["+tt.entry+"]\n")
		var y Sync
		for _, y = range s.Replicas() {
			if y.Name != HomeReplica {
				break
			}
		}
		rules := filter.Excludes(y.Exclude)
		if len(y.Include) > 0 {
			rules = append(rules, filter.Only(y.Include)...)
		}
		f, err := filter.Compile(rules)
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range tt.carried {
			if got := f.Carries(path, false); got != want {
				t.Errorf("%s: %s is carried: %v", name, path, got)
			}
		}
	}
}
