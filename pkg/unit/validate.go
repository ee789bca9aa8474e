package unit

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"
)

// isName keeps names usable as file names and on a command line.
func isName(text string) bool {
	const small = "abcdefghijklmnopqrstuvwxyz0123456789"
	return text != "" && len(text) <= 63 && strings.Contains(small, text[:1]) && strings.Trim(text, small+"._-") == ""
}

// Validate returns all that is wrong with u as one error, or nil.
func (u Unit) Validate() error {
	var problems *multierror.Error
	bad := func(format string, args ...any) {
		problems = multierror.Append(problems, fmt.Errorf("unit %q: "+format, append([]any{u.Name}, args...)...))
	}
	if !isName(u.Name) {
		bad("its name is not of a-z, 0-9, '.', '_' and '-', at most 63 long")
	}
	u.validateChild(bad)
	u.validatePolicy(bad)
	u.validateKind(bad)
	return problems.ErrorOrNil()
}

// validateChild checks what the kernel would refuse or cut.
func (u Unit) validateChild(bad func(string, ...any)) {
	if len(u.Argv) == 0 || u.Argv[0] == "" {
		bad("it has no command")
	}
	if slices.ContainsFunc(u.Argv, hasNUL) {
		bad("its command holds a NUL byte")
	}
	for _, kv := range u.Env {
		name, _, ok := strings.Cut(kv, "=")
		if !ok || name == "" || hasNUL(kv) {
			bad("its environment holds a malformed entry named %q", strings.ReplaceAll(name, "\x00", "?"))
		}
	}
	if u.Dir != "" && !filepath.IsAbs(u.Dir) {
		bad("its directory %q is not absolute", u.Dir)
	}
}

func (u Unit) validatePolicy(bad func(string, ...any)) {
	if !slices.Contains([]Restart{"", Always, OnFailure, Never}, u.Restart) {
		bad("restart is %q, not always, on-failure or never", u.Restart)
	}
	b := u.Backoff
	if b.Base < 0 || b.Max < 0 || b.Healthy < 0 || u.StartLimit.Window < 0 || u.Timeout < 0 || u.Schedule.Every < 0 {
		bad("a duration is negative")
	}
	if b.Max != 0 && b.Max < b.Base {
		bad("backoff.max %v is shorter than backoff.base %v", b.Max, b.Base)
	}
	if b.Factor != 0 && !(b.Factor >= 1) { // also refuses NaN
		bad("backoff.factor %v is less than 1", b.Factor)
	}
	if u.Stop.Signal < 0 || u.Stop.Signal > 64 {
		bad("stop.signal %d is not a signal", int(u.Stop.Signal))
	}
	if p := u.Ready; p != nil && (len(p.Exec) == 0 || p.Interval < 0 || p.Timeout < 0) {
		bad("its ready probe has no command or a negative duration")
	}
}

func (u Unit) validateKind(bad func(string, ...any)) {
	if !slices.Contains([]Kind{"", Service, Job, Hook}, u.Kind) {
		bad("kind is %q, not service, job or hook", u.Kind)
	}
	if u.Kind != Job && u.Schedule.Every != 0 {
		bad("only a job has a schedule")
	}
	if (u.Kind == Hook) != (u.Point != "") {
		bad("a hook, and only a hook, has a point")
	}
	if !slices.Contains([]FailurePolicy{"", Ignore, Fail}, u.OnFailure) {
		bad("on_failure is %q, not ignore or fail", u.OnFailure)
	}
	if u.Ready != nil && (u.Kind == Job || u.Kind == Hook) {
		bad("only a service has a ready probe")
	}
	if u.Screen && (u.Kind == Job || u.Kind == Hook) {
		bad("only a service has a terminal")
	}
	if len(u.After) > 0 && u.Kind == Hook {
		bad("a hook runs at its point, not after other units")
	}
}

func hasNUL(s string) bool { return strings.ContainsRune(s, 0) }

// ValidateSet checks units together: each alone, names twice, dependencies that
// are neither a unit nor one of milestones, and circles. A nil milestones allows
// any.
func ValidateSet(units []Unit, milestones []string) error {
	var problems *multierror.Error
	byName := make(map[string]Unit, len(units))
	for _, u := range units {
		if err := u.Validate(); err != nil {
			problems = multierror.Append(problems, err)
		}
		if _, twice := byName[u.Name]; twice {
			problems = multierror.Append(problems, fmt.Errorf("unit %q is defined twice", u.Name))
		}
		byName[u.Name] = u
	}
	for _, u := range units {
		for _, name := range u.After {
			if _, ok := byName[name]; !ok && milestones != nil && !slices.Contains(milestones, name) {
				problems = multierror.Append(problems, fmt.Errorf("unit %q: it starts after %q, which is neither a unit nor one of %s", u.Name, name, strings.Join(milestones, ", ")))
			}
			if byName[name].Kind == Hook {
				problems = multierror.Append(problems, fmt.Errorf("unit %q: it starts after the hook %q, and hooks run at their point only", u.Name, name))
			}
		}
	}
	if path := circle(units, byName); path != nil {
		problems = multierror.Append(problems, fmt.Errorf("units start after each other in a circle: %s", strings.Join(path, " after ")))
	}
	return problems.ErrorOrNil()
}

// circle returns one circle of dependencies, its first name repeated at the end.
func circle(units []Unit, byName map[string]Unit) []string {
	done := map[string]bool{}
	var path []string
	var visit func(name string) []string
	visit = func(name string) []string {
		if i := slices.Index(path, name); i >= 0 {
			return append(slices.Clone(path[i:]), name)
		}
		if done[name] {
			return nil
		}
		path = append(path, name)
		for _, next := range byName[name].After {
			if found := visit(next); found != nil {
				return found
			}
		}
		path = path[:len(path)-1]
		done[name] = true
		return nil
	}
	for _, u := range units {
		if found := visit(u.Name); found != nil {
			return found
		}
	}
	return nil
}

// GraceOf is how long a stop of u may take before KILL.
func (u Unit) GraceOf() time.Duration {
	return max(0, u.WithDefaults().Stop.Grace)
}
