package hooks

import (
	"fmt"
	"slices"
	"strings"
)

// Point in the life of a workspace where hooks run.
type Point string

// The points. Each has a row in points.
const (
	PostRestore    Point = "post_restore"
	PreStop        Point = "pre_stop"
	PostSync       Point = "post_sync"
	PreCapture     Point = "pre_capture"
	PostCapture    Point = "post_capture"
	OnConflict     Point = "on_conflict"
	OnFailure      Point = "on_failure"
	OnAgentWaiting Point = "on_agent_waiting"
	OnAttention    Point = "on_attention"
)

// points is the list of all points, in the order in which they come, and says when each
// runs. What a spec may hold, its schema, the default names of hooks and the units that
// are made of them follow from it: a new point is a row here and a call that runs it.
var points = []struct {
	point Point
	runs  string
}{
	{PostRestore, "after the restore and before services that wait for it"},
	{PreStop, "before the last push"},
	{PostSync, "after a cycle that moved something"},
	{PreCapture, "before a directory that has a consistency is captured"},
	{PostCapture, "after that, whatever came of it, once for each time that those before it began"},
	{OnConflict, "after a conflict was put aside"},
	{OnFailure, "when a service or a replica fails"},
	{OnAgentWaiting, "when an agent waits for a person"},
	{OnAttention, "when something needs attention, and when it does not any more"},
}

// Points are all points, in the order in which they come.
func Points() []Point {
	all := make([]Point, 0, len(points))
	for _, row := range points {
		all = append(all, row.point)
	}
	return all
}

// Known reports whether there is such a point.
func (p Point) Known() bool { return slices.Contains(Points(), p) }

// Runs says when the hooks of the point run, for a person: "before the last push".
func (p Point) Runs() string {
	for _, row := range points {
		if row.point == p {
			return row.runs
		}
	}
	return ""
}

// HookName is what the hook at place i of a point is called unless it has a name of its
// own: post-restore-1 is the first one. It names a log file, so it has no underscores.
func (p Point) HookName(i int) string {
	return fmt.Sprintf("%s-%d", strings.ReplaceAll(string(p), "_", "-"), i+1)
}
