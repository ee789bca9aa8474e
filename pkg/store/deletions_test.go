package store

import (
	"encoding/json"
	"testing"
	"time"
)

// What waits on a machine is told until that machine says otherwise, or did not come back
// for as long as history is kept; what was allowed adds up.
func TestDeletions(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a, b := Holder{Host: "a", Place: "1:1"}, Holder{Host: "b", Place: "1:1"}
	h := Head{Generation: 7}
	h.Hold("ws", a, &HeldDeletions{Since: at, Made: 14, Names: []string{"x"}}, at.Add(-time.Hour))
	h.Hold("ws", b, nil, at.Add(-time.Hour))
	if got := h.Deletions["ws"].Elsewhere(b); len(got) != 1 || got[0].Host != "a" || got[0].Made != 14 {
		t.Errorf("b is told %+v", got)
	}
	if got := h.Deletions["ws"].Elsewhere(a); len(got) != 0 {
		t.Errorf("a is told of itself: %+v", got)
	}
	before := h.Clone()
	h.Hold("ws", a, &HeldDeletions{Since: at.Add(time.Minute), Made: 15}, at.Add(-time.Hour))
	if got := h.Deletions["ws"].Held; len(got) != 1 || got[0].Made != 15 || !got[0].Since.Equal(at) {
		t.Errorf("later: %+v", got)
	}
	if before.Deletions["ws"].Held[0].Made != 14 {
		t.Error("a copy of the head changed")
	}
	h.Pass("ws", 5, nil)
	h.Pass("ws", 3, &Passed{Count: 20, Files: 30, Host: "a", Time: at})
	if d := h.Deletions["ws"]; d.Allowed != 8 || d.Passed.Generation != 7 || len(d.Held) != 1 {
		t.Errorf("passed: %+v", d)
	}
	h.PutBack("ws")
	if d := h.Deletions["ws"]; d.Allowed != 8 || d.Passed != nil || len(d.Held) != 1 {
		t.Errorf("put back: %+v", d)
	}
	h.Hold("ws", b, nil, at.Add(time.Second)) // a is gone for longer than history is kept
	if d := h.Deletions["ws"]; len(d.Held) != 0 {
		t.Errorf("for ever: %+v", d)
	}
	h.Hold("other", a, nil, at)
	body, err := json.Marshal(Head{})
	if _, there := h.Deletions["other"]; there || err != nil || len(body) == 0 {
		t.Errorf("nothing is said with many words: %+v", h.Deletions)
	}
}
