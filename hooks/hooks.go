// Package hooks turns hook definitions into units: pure functions, no process.
// The supervisor runs what it makes; cmd/coltecd maps the spec's hooks to it.
package hooks

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/unit"
)

// Point in the life of a workspace where hooks run.
type Point string

// The points.
const (
	PostRestore Point = "post_restore"      // the trees are as they were left; services that come after restore start next
	PreStop     Point = "pre_stop"          // before the last push
	PostSync    Point = "post_sync"         // after a generation was committed
	OnConflict  Point = "on_conflict"       // a local version was set aside
	OnFailure   Point = unit.PointOnFailure // a unit reached its start limit
)

// Points are all points, in the order in which they come.
func Points() []Point { return []Point{PostRestore, PreStop, PostSync, OnConflict, OnFailure} }

// ParsePoint checks the name of a point.
func ParsePoint(s string) (Point, error) {
	if p := Point(s); slices.Contains(Points(), p) {
		return p, nil
	}
	names := make([]string, 0, len(Points()))
	for _, p := range Points() {
		names = append(names, string(p))
	}
	return "", fmt.Errorf("cannot use hook point %q: it is none of %s", s, strings.Join(names, ", "))
}

// Def is one hook as a person defines it.
type Def struct {
	Command   []string
	Env       []string // the full environment, as for a unit
	Dir       string
	User      string
	Timeout   time.Duration // 0: a minute
	OnFailure unit.FailurePolicy
}

// EnvPoint tells a hook which point it runs at.
const EnvPoint = "COLTEC_HOOK"

// Units makes the units of the hooks of a point, in their order. They are named
// after the point and their place in it: post_sync-1, post_sync-2.
func Units(p Point, defs []Def) ([]unit.Unit, error) {
	if _, err := ParsePoint(string(p)); err != nil {
		return nil, err
	}
	units := make([]unit.Unit, 0, len(defs))
	var problems []error
	for i, d := range defs {
		u := unit.Unit{
			Name: fmt.Sprintf("%s-%d", p, i+1), Kind: unit.Hook, Point: string(p),
			Argv: slices.Clone(d.Command), Dir: d.Dir, User: d.User,
			Env:     append(slices.Clone(d.Env), EnvPoint+"="+string(p)),
			Timeout: d.Timeout, OnFailure: d.OnFailure,
		}.WithDefaults()
		if err := u.Validate(); err != nil {
			problems = append(problems, err)
		}
		units = append(units, u)
	}
	return units, errors.Join(problems...)
}
