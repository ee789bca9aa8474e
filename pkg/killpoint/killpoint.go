// Package killpoint lets a test kill the process at a named step. A crash is
// the one fault that a fake cannot show: kill -9 at each step of push, commit,
// restore and place is how crash safety is held.
package killpoint

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// Variable names the environment variable that arms a point: "name" or
// "name:n" for the n-th time it is reached.
const Variable = "COLTEC_TEST_KILL_AT"

// A Point is a named step. Points are package-level variables made by New, so
// that Names lists them all.
type Point struct {
	name    string
	left    atomic.Int64           // 0: not armed
	instead atomic.Pointer[func()] // what a turn does; nil: it kills the process
}

var points []*Point

// New registers a point. Names are "operation:step".
func New(name string) *Point {
	p := &Point{name: name}
	if at, n := parse(os.Getenv(Variable)); at == name {
		p.left.Store(n)
	}
	points = append(points, p)
	return p
}

// parse splits "push:staged:3" in "push:staged" and 3.
func parse(v string) (string, int64) {
	if i := strings.LastIndexByte(v, ':'); i >= 0 {
		if n, err := strconv.ParseInt(v[i+1:], 10, 64); err == nil && n > 0 {
			return v[:i], n
		}
	}
	return v, 1
}

// Reach ends the process with SIGKILL when the point is armed and its turn
// has come. Otherwise it costs one atomic load.
func (p *Point) Reach() {
	if p.left.Load() == 0 || p.left.Add(-1) != 0 {
		return
	}
	if f := p.instead.Load(); f != nil {
		(*f)()
		return
	}
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // the signal is on its way
}

// Arm has the n-th turn of a point call f, which is to take the place of the
// process's death: a test that runs many machines in one process lets one of
// them die. An n of 0 disarms the point.
func Arm(name string, n int64, f func()) {
	for _, p := range points {
		if p.name == name {
			p.instead.Store(&f)
			p.left.Store(n)
		}
	}
}

// Names lists every point in the program, sorted.
func Names() []string {
	var names []string
	for _, p := range points {
		names = append(names, p.name)
	}
	slices.Sort(names)
	return names
}
