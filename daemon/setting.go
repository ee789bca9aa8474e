package daemon

import (
	"context"
	"log/slog"
	"maps"
	"os/user"
	"slices"
	"strings"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/internal/remote"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/spec"
)

// milestoneRestore is reached when every replica that can be restored is.
const milestoneRestore = "restore"

// setting is all that the units and the engine are made of: a spec, and the
// environment and the place that it is read in.
type setting struct {
	spec    *spec.Spec
	folder  string   // of the workspace
	runtime string   // private directory of this coltecd
	ground  *ground  // what it has locked; nil: nothing
	environ []string // coltecd's own, credentials included
	only    []string // names of units and replicas to run; none: all
	logDir  string
	log     *slog.Logger
	hooks   func(point hooks.Point, env []string) // asks for the hooks of a point; nil: none
	// await runs the hooks of a point, and waits for them; nil: none run here.
	await   func(ctx context.Context, point hooks.Point, env []string) error
	changed func() // called when replicas are in another state; nil: not
	turns   *turns // of the agents; nil: nobody looks at them
}

// lookup reads environ; an empty variable counts as unset.
func lookup(environ []string) spec.Lookup {
	values := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		values[name] = value
	}
	return func(name string) (string, bool) {
		v := values[name]
		return v, v != ""
	}
}

// wants reports whether --only leaves name in.
func (s setting) wants(name string) bool {
	return len(s.only) == 0 || slices.Contains(s.only, name)
}

// dir is where a unit runs: in the workspace, unless its spec says otherwise.
func (s setting) dir(dir string) string {
	if dir != "" {
		return dir
	}
	return s.folder
}

// childEnv is the environment of a service or hook: ours without what opens the
// remotes and the tailnet, then what the spec lists for it.
func (s setting) childEnv(name string, own []string) []string {
	hidden := credentials(s.spec)
	vars := map[string]string{}
	// Of the directory that coltecd was started in, and who started it there, nothing is so for
	// a unit: PWD would name another place than the one that it runs in.
	environ := slices.DeleteFunc(slices.Clone(s.environ), func(kv string) bool {
		return strings.HasPrefix(kv, "PWD=") || strings.HasPrefix(kv, "OLDPWD=")
	})
	for _, kv := range slices.Concat(environ, homeOf(name), own) {
		k, v, _ := strings.Cut(kv, "=")
		vars[k] = v
	}
	listed := map[string]bool{}
	for _, kv := range own {
		k, _, _ := strings.Cut(kv, "=")
		listed[k] = true
	}
	var env []string
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		if hidden[k] && !listed[k] || strings.HasPrefix(k, "RCLONE_CONFIG_") && !listed[k] {
			continue
		}
		env = append(env, k+"="+vars[k])
	}
	return env
}

// homeOf is what a login of that user would set. An unknown user is for the
// supervisor to complain about.
func homeOf(name string) []string {
	name, _, _ = strings.Cut(name, ":")
	if name == "" {
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return nil
		}
	}
	return []string{"HOME=" + u.HomeDir, "USER=" + u.Username, "LOGNAME=" + u.Username}
}

// credentials are the names of the variables that open the remotes and the tailnet.
func credentials(sp *spec.Spec) map[string]bool {
	names := map[string]bool{}
	for _, v := range sp.Variables() {
		if v.Credential {
			names[v.Name] = true
		}
	}
	return names
}

// secretValues are the values that no log may hold: of the remotes' variables
// and of the secrets that the spec declares.
func secretValues(sp *spec.Spec, environ []string) []string {
	get := lookup(environ)
	var values []string
	for _, v := range sp.Variables() {
		if value, ok := get(v.Name); ok && v.Secret() {
			values = append(values, value)
		}
	}
	for _, r := range sp.Persistence.Remotes {
		for name, v := range r.Options {
			if literal := v.Reveal(); strings.Contains(name, "secret") && !strings.Contains(literal, "$") {
				values = append(values, literal)
			}
		}
	}
	return values
}

// policy says what the spec may tell rclone: those who write it may be other users of
// this container than coltecd's.
func (s setting) policy() remote.Policy {
	return remote.NewPolicy(rclone.Container, rclone.Lookup(lookup(s.environ)))
}
