package spec

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/secret"
)

// signals that a service may be stopped with.
var signals = []string{"HUP", "INT", "QUIT", "ABRT", "KILL", "USR1", "USR2", "ALRM", "TERM", "CONT", "WINCH"}

// Names that units cannot have: milestones, and the log of coltecd itself.
var reserved = []string{Restore, "coltecd"}

// Restore is the milestone that services may name in after: all replicas are in place.
const Restore = "restore"

func (c checker) units() {
	names := map[string]string{}
	for i := range c.s.Services {
		v := &c.s.Services[i]
		at := fmt.Sprintf("services[%d]", i)
		c.unitName(at, v.Name, names)
		c.service(at, v)
	}
	for _, point := range hooks.Points() {
		for i, h := range c.s.Hooks[point] {
			at := fmt.Sprintf("hooks.%s[%d]", point, i)
			c.unitName(at, h.Name, names)
			c.command(at+".command", h.Command)
			c.templates(at+".env", h.Env)
			c.variableNames(at+".env", h.Env)
			c.positive(at+".timeout", h.Timeout)
			if h.Dir != "" {
				c.absolute(at+".dir", h.Dir)
			}
			c.when(at+".when", point, h.When)
		}
	}
	c.order()
}

func (c checker) when(at string, point hooks.Point, w *When) {
	if w == nil {
		return
	}
	if point != hooks.PostRestore {
		c.bad(at, "is for post_restore hooks: those of %s always run", point)
	}
	if c.s.src.has(at+".changed") && len(w.Changed) == 0 {
		c.bad(at+".changed", "names no file")
	}
	for name, list := range map[string][]string{".changed": w.Changed, ".missing": w.Missing} {
		for i, file := range list {
			if !filepath.IsLocal(file) {
				c.bad(fmt.Sprintf("%s%s[%d]", at, name, i), "must be a path below the hook's dir, without .. and not absolute")
			}
		}
	}
}

func (c checker) unitName(at, name string, names map[string]string) {
	if name == "" {
		return
	}
	first, double := names[name]
	switch {
	case !isSlug(name):
		c.bad(at+".name", slugRule+": it names a log file")
	case slices.Contains(reserved, name):
		c.bad(at+".name", "is %q, which means something else to coltecd: choose another", name)
	case c.s.Networking.Enabled && (name == "tailscaled" || name == "tailscale-up"):
		c.bad(at+".name", "is %q, which networking runs: choose another", name)
	case double:
		c.bad(at+".name", "is %q, as in %s: rename one", name, first)
	default:
		names[name] = at
	}
}

func (c checker) service(at string, v *Service) {
	c.command(at+".command", v.Command)
	c.templates(at+".env", v.Env)
	c.variableNames(at+".env", v.Env)
	if v.Dir != "" {
		c.absolute(at+".dir", v.Dir)
	}
	c.positive(at+".backoff.base", v.Backoff.Base)
	if v.Backoff.Max < v.Backoff.Base {
		c.bad(at+".backoff.max", "is %s, less than base, which is %s", formatDuration(v.Backoff.Max), formatDuration(v.Backoff.Base))
	}
	c.positive(at+".start_limit.window", v.StartLimit.Window)
	if !slices.Contains(signals, v.Stop.Signal) {
		c.bad(at+".stop.signal", "is %s, which is not a signal%s", shown(v.Stop.Signal), didYouMean(strings.ToUpper(v.Stop.Signal), signals))
	}
	if v.Ready != nil {
		c.command(at+".ready.exec", v.Ready.Exec)
		c.positive(at+".ready.interval", v.Ready.Interval)
		c.positive(at+".ready.timeout", v.Ready.Timeout)
	}
}

func (c checker) command(at string, argv []string) {
	if c.s.src.has(at) && (len(argv) == 0 || strings.TrimSpace(argv[0]) == "") {
		c.bad(at, "has no program: write [program, argument, …]")
	}
}

func (c checker) positive(at string, d time.Duration) {
	if d <= 0 {
		c.bad(at, "must be more than 0")
	}
}

// variableNames checks the keys of an environment.
func (c checker) variableNames(at string, env map[string]secret.Value) {
	for _, k := range slices.Sorted(maps.Keys(env)) {
		if !isVariable(k) {
			c.add(c.s.src.key(c.s.src.path(at, k)), "%s has a key that is not a valid variable name: letters, digits and underscores", at)
		}
	}
}

// order checks that services wait for what exists, and not for themselves.
func (c checker) order() {
	after := map[string][]string{}
	known := []string{Restore}
	for _, v := range c.s.Services {
		after[v.Name] = v.After
		known = append(known, v.Name)
	}
	for i, v := range c.s.Services {
		for j, name := range v.After {
			at := fmt.Sprintf("services[%d].after[%d]", i, j)
			if !slices.Contains(known, name) {
				c.bad(at, "is %s, which is not a service%s", shown(name), didYouMean(name, known))
			} else if name != Restore && slices.Contains(reach(after, name), v.Name) {
				c.bad(at, "makes a circle, since %s waits for %s: remove one of the two", shown(name), shown(v.Name))
			}
		}
	}
}

// reach returns name and all that it waits for, directly or not.
func reach(after map[string][]string, name string) []string {
	found := []string{name}
	for i := 0; i < len(found); i++ {
		for _, next := range after[found[i]] {
			if !slices.Contains(found, next) {
				found = append(found, next)
			}
		}
	}
	return found
}
