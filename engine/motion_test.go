package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/watch"
	"github.com/google/go-cmp/cmp"
)

func edits(paths ...string) *replica.Changes {
	c := &replica.Changes{}
	for _, p := range paths {
		c.Edited = append(c.Edited, replica.Edit{Entry: localfs.Entry{Path: p, Kind: tree.File}})
	}
	return c
}

// A file that is written all the time was in a step every two seconds, three requests
// each, for ever.
func TestPaceOfMotion(t *testing.T) {
	long := make([]string, motionMost+1)
	for i := range long {
		long[i] = fmt.Sprint(i)
	}
	tests := map[string]struct {
		before [][]string    // steps, two seconds apart
		bytes  int64         // of each file in them
		later  time.Duration // than the last one began
		asked  bool
		gather time.Duration
		found  *replica.Changes
		want   time.Duration // after the last step began it is put off to; 0: it is not
	}{
		"a first save":               {found: edits("a")},
		"a second save":              {before: [][]string{{"a"}}, later: 2 * time.Second, found: edits("a")},
		"in motion":                  {before: [][]string{{"a"}, {"a"}}, later: 2 * time.Second, found: edits("a"), want: 6 * time.Second},
		"two in motion":              {before: [][]string{{"a", "b"}, {"a", "b"}}, later: time.Second, found: edits("a", "b"), want: 6 * time.Second},
		"with a save of another":     {before: [][]string{{"a"}, {"a"}}, later: 2 * time.Second, found: edits("a", "b")},
		"with a deletion":            {before: [][]string{{"a"}, {"a"}}, later: 2 * time.Second, found: &replica.Changes{Edited: edits("a").Edited, Gone: []tree.Entry{{Path: "x"}}}},
		"gathered: a first change":   {gather: 10 * time.Second, found: edits("a")},
		"gathered: the next one":     {before: [][]string{{"a"}}, gather: 10 * time.Second, later: 3 * time.Second, found: edits("b"), want: 10 * time.Second},
		"gathered: of a database":    {before: [][]string{{"a"}}, gather: 10 * time.Second, later: 3 * time.Second, found: edits(".coltec/sqlite/x/log"), want: 10 * time.Second},
		"gathered: asked for":        {before: [][]string{{"a"}}, gather: 10 * time.Second, later: 3 * time.Second, asked: true, found: edits("b")},
		"gathered: in time":          {before: [][]string{{"a"}}, gather: 10 * time.Second, later: 10 * time.Second, found: edits("b")},
		"when the time has come":     {before: [][]string{{"a"}, {"a"}}, later: 6 * time.Second, found: edits("a")},
		"after a break":              {before: [][]string{{"a"}, {"a"}}, later: time.Minute, found: edits("a")},
		"another in between":         {before: [][]string{{"a"}, {"b"}}, later: 2 * time.Second, found: edits("a")},
		"asked for":                  {before: [][]string{{"a"}, {"a"}}, later: 2 * time.Second, asked: true, found: edits("a")},
		"a large file":               {before: [][]string{{"a"}, {"a"}}, bytes: 400e6, later: 8 * time.Second, found: edits("a"), want: 20 * time.Second},
		"more than can be followed":  {before: [][]string{long, long}, later: 2 * time.Second, found: edits(long...)},
		"nothing":                    {before: [][]string{{"a"}, {"a"}}, later: 2 * time.Second, found: edits()},
		"new between two that moved": {before: [][]string{{"a", "c"}, {"a", "c"}}, later: 2 * time.Second, found: edits("a", "b", "c")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			var o motion
			for i, paths := range tt.before {
				if i > 0 {
					now = now.Add(2 * time.Second)
				}
				found := edits(paths...)
				for i := range found.Edited {
					found.Edited[i].Size = tt.bytes
				}
				o.step(found, now)
			}
			began := now
			off := o.putOff(tt.found, !tt.asked, began.Add(tt.later), tt.gather)
			want := time.Time{}
			if tt.want > 0 {
				want = began.Add(tt.want)
			}
			if !off.Equal(want) {
				t.Errorf("put off to %v, want %v after it began", off, tt.want)
			}
		})
	}
}

// What was walked for a step that is put off is walked again, with what came since.
func TestHintsOfAStepThatIsPutOff(t *testing.T) {
	var h hints
	h.take() // which leaves what the next one adds to
	h.put(map[string]bool{"d": true, "e": false}, edits("f", "e/x", "g/h/i"))
	h.dirs = h.dirs.Join(watch.Touched{"since": false})
	want := watch.Touched{"d": true, "e": false, "": false, "g/h": false, "since": false}
	if diff := cmp.Diff(want, h.take()); diff != "" {
		t.Error(diff)
	}
	h.put(nil, edits("f"))
	if got := h.take(); got != nil {
		t.Errorf("a walk of everything became one of %v", got)
	}
}
