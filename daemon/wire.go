package daemon

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/user"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/internal/remote"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/unit"
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
	changed func()                                // is told that replicas are in another state; nil: nobody
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

// wants tells whether --only leaves name in.
func (s setting) wants(name string) bool {
	return len(s.only) == 0 || slices.Contains(s.only, name)
}

// units are the services and hooks of the spec, its mounts in mode mounted, and
// its node in a tailnet.
func (s setting) units(rc func() (rclone.Binary, error)) []unit.Unit {
	units := s.tailnet()
	for _, m := range s.spec.Mountpoints() {
		units = append(units, s.mount(m, rc))
	}
	for i := range s.spec.Services {
		units = append(units, s.service(&s.spec.Services[i]))
	}
	if len(s.only) > 0 {
		units = slices.DeleteFunc(units, func(u unit.Unit) bool { return !s.wants(u.Name) })
		for i := range units {
			units[i].After = slices.DeleteFunc(slices.Clone(units[i].After), func(name string) bool {
				return name != milestoneRestore && !s.wants(name)
			})
		}
	}
	for _, point := range hooks.Points() {
		units = append(units, hooks.Units(point, s.hooksAt(point))...)
	}
	return units
}

func (s setting) service(def *spec.Service) unit.Unit {
	u := unit.Unit{
		Name: def.Name, Kind: unit.Service, Argv: def.Command, Dir: s.dir(def.Dir), User: def.User,
		Restart:    unit.Restart(def.Restart),
		Backoff:    unit.Backoff{Base: def.Backoff.Base, Max: def.Backoff.Max, Factor: def.Backoff.Factor},
		StartLimit: unit.StartLimit{Burst: def.StartLimit.Burst, Window: def.StartLimit.Window},
		Stop:       unit.Stop{Signal: signalOf(def.Stop.Signal), Grace: def.Stop.Grace},
		After:      def.After,
	}
	if r := def.Ready; r != nil {
		u.Ready = &unit.Probe{Exec: r.Exec, Interval: r.Interval, Timeout: r.Timeout}
	}
	full, err := def.Expand(lookup(s.environ))
	if err != nil {
		u.Blocked = err.Error()
		return u
	}
	u.Env = s.childEnv(def.User, reveal(full.Env))
	return u
}

// hooksAt are the hooks of the spec at a point.
func (s setting) hooksAt(point hooks.Point) []hooks.Def {
	var defs []hooks.Def
	for _, h := range s.spec.Hooks[point] {
		full, blocked := h.Expand(lookup(s.environ))
		def := hooks.Def{
			Name: h.Name, Command: h.Command, Dir: s.dir(h.Dir), User: h.User, Timeout: h.Timeout,
			Env: s.childEnv(h.User, reveal(full.Env)), OnFailure: unit.FailurePolicy(h.OnFailure),
		}
		if blocked != nil {
			def.Blocked = blocked.Error()
		}
		defs = append(defs, def)
	}
	return defs
}

// dir is where a unit runs: in the workspace, unless its spec says otherwise.
func (s setting) dir(dir string) string {
	if dir != "" {
		return dir
	}
	return s.folder
}

// signalOf reads a name as the spec has it; it was checked there.
func signalOf(name string) syscall.Signal {
	return unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG"))
}

func reveal[V interface{ Reveal() string }](values map[string]V) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		out = append(out, name+"="+values[name].Reveal())
	}
	return out
}

// childEnv is the environment of a service or hook: ours without what opens the
// remotes and the tailnet, then what the spec lists for it.
func (s setting) childEnv(name string, own []string) []string {
	hidden := credentials(s.spec)
	vars := map[string]string{}
	for _, kv := range slices.Concat(s.environ, homeOf(name), own) {
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

// fuseDevice is what a mount needs of the container.
const fuseDevice = "/dev/fuse"

// mount is the service that mounts a remote path, or a blocked one that says
// what is missing.
func (s setting) mount(m spec.Mountpoint, rc func() (rclone.Binary, error)) unit.Unit {
	u := unit.Unit{Name: m.Name, Kind: unit.Service, Argv: []string{"rclone", "mount"}, Dir: "/"}
	remote, err := s.mounted(m, rc)
	if err != nil {
		u.Blocked = err.Error()
		return u
	}
	cache := s.runtime + "/mount-" + m.Name
	u.Argv, u.Env = remote.Mount(m.Path, rclone.MountOptions{CacheDir: cache, ReadOnly: m.ReadOnly})
	// What is written and not uploaded yet goes up before the mount ends.
	u.Stop = unit.Stop{Signal: syscall.SIGTERM, Grace: StopTimeout}
	u.Ready = &unit.Probe{Exec: []string{"mountpoint", "-q", m.Path}}
	return u
}

func (s setting) mounted(m spec.Mountpoint, rc func() (rclone.Binary, error)) (*rclone.Remote, error) {
	if _, err := os.Stat(fuseDevice); err != nil {
		return nil, fmt.Errorf("FUSE is missing (no %s): give the container --device %s --cap-add SYS_ADMIN, or use mode: replicated", fuseDevice, fuseDevice)
	}
	get := lookup(s.environ)
	t, err := s.spec.Target(m.Remote, m.RemotePath, get)
	if err != nil {
		return nil, err
	}
	bin, err := rc()
	if err != nil {
		return nil, err
	}
	return s.policy().Open(bin, t, rclone.Options{
		Env: rclone.Lookup(get), Transfers: m.Transfer.Transfers, Checkers: m.Transfer.Checkers, BwLimit: m.Transfer.BwLimit,
	})
}

// policy says what the spec may tell rclone: those who write it may be other users of
// this container than coltecd's.
func (s setting) policy() remote.Policy {
	return remote.NewPolicy(rclone.Container, rclone.Lookup(lookup(s.environ)))
}
