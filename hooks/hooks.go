// Package hooks owns the points at which hooks run, and turns hook definitions into
// units: pure functions, no process. The supervisor runs what it makes; the
// daemon maps the spec's hooks to it.
package hooks

import (
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/unit"
)

// Def is one hook as a person defines it.
type Def struct {
	Name      string // unique among all units; see HookName
	Command   []string
	Env       []string // the full environment, as for a unit
	Dir       string
	User      string
	Timeout   time.Duration // 0: a minute
	OnFailure unit.FailurePolicy
	Blocked   string // not empty: why it cannot run
}

// EnvPoint tells a hook which point it runs at.
const EnvPoint = "COLTEC_HOOK"

// Units makes the units of the hooks of a point, in their order. What is wrong with one
// is found where all units are checked as a set.
func Units(p Point, defs []Def) []unit.Unit {
	units := make([]unit.Unit, 0, len(defs))
	for _, d := range defs {
		units = append(units, unit.Unit{
			Name: d.Name, Kind: unit.Hook, Point: string(p),
			Argv: slices.Clone(d.Command), Dir: d.Dir, User: d.User,
			Env:     append(slices.Clone(d.Env), EnvPoint+"="+string(p)),
			Timeout: d.Timeout, OnFailure: d.OnFailure, Blocked: d.Blocked,
		}.WithDefaults())
	}
	return units
}
