package daemon

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/unit"
)

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
	units = append(units, s.agentUnits()...)
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
