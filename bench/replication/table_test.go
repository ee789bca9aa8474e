package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/s3test"
)

func TestGrowth(t *testing.T) {
	for name, tt := range map[string]struct {
		points []point
		want   float64
		known  bool
	}{
		"flat":         {[]point{{1000, 3}, {10000, 3}, {100000, 3}}, 0, true},
		"proportional": {[]point{{1000, 2}, {10000, 20}, {100000, 200}}, 1, true},
		"square root":  {[]point{{100, 10}, {10000, 100}}, 0.5, true},
		"one size":     {[]point{{1000, 2}, {1000, 4}}, 0, false},
		"a zero":       {[]point{{1000, 0}, {10000, 4}}, 0, false},
		"nothing":      {nil, 0, false},
	} {
		got, known := growth(tt.points)
		if known != tt.known || math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: got %v %v, want %v %v", name, got, known, tt.want, tt.known)
		}
	}
}

func TestVerdict(t *testing.T) {
	f := figure{Unit: "s", Ours: 2, Beside: []peer{{"rclone", 16}, {"restic", 1.9}}}
	for _, tt := range []struct {
		goals      []goal
		text, word string
	}{
		{nil, "", ""},
		{[]goal{most(2)}, "≤ 2", "met"},
		{[]goal{most(1.9)}, "≤ 1.9", "NOT MET"},
		{[]goal{share("rclone", 1./8)}, "≤ 1/8 of rclone", "met"},
		{[]goal{share("rclone", 1./8), share("restic", 1)}, "≤ 1/8 of rclone, ≤ 1 × restic", "NOT MET"},
		{[]goal{share("bisync", 2)}, "≤ 2 × bisync", "NOT MET"}, // what was not measured is not met
	} {
		f.Goals = tt.goals
		if text, word := f.verdict(); text != tt.text || word != tt.word {
			t.Errorf("got %q %q, want %q %q", text, word, tt.text, tt.word)
		}
	}
	if got, want := f.others(), "rclone 16.0 s (8×), restic 1.90 s (0.95×)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What is measured again takes the place of what was, and nothing else goes.
func TestUpdatedTable(t *testing.T) {
	earlier := table{{Name: "push", Files: 1000, Ours: 1, Goals: []goal{share("rclone", 1./8)}}, {Name: "push", Files: 10000, Ours: 2}, {Name: "idle", Ours: 3}}
	text, err := json.Marshal(earlier)
	if err != nil {
		t.Fatal(err)
	}
	var read table
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	got := read.updated(table{{Name: "push", Files: 10000, Ours: 4}, {Name: "hop", Files: 1000, Ours: 5}})
	want := table{earlier[0], {Name: "push", Files: 10000, Ours: 4}, earlier[2], {Name: "hop", Files: 1000, Ours: 5}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A renewal that counts as a save, or a save as a renewal, would hide requests.
func TestHeads(t *testing.T) {
	put, get := s3test.Put, s3test.Get
	const head, tree = ".coltec/fleet/o/p/e/head.json", "prefix/.coltec/"
	for name, tt := range map[string]struct {
		requests []s3test.Request
		want     heads
	}{
		"nothing":              {nil, heads{}},
		"a save":               {[]s3test.Request{{Kind: put, Key: tree + "o/1"}, {Kind: put, Key: tree + "m/1"}, {Kind: put, Key: head}}, heads{}},
		"a deletion":           {[]s3test.Request{{Kind: put, Key: tree + "m/1"}, {Kind: put, Key: head}}, heads{}},
		"a renewal":            {[]s3test.Request{{Kind: put, Key: head}}, heads{1, 0}},
		"one in a save":        {[]s3test.Request{{Kind: put, Key: tree + "o/1"}, {Kind: put, Key: head}, {Kind: put, Key: tree + "m/1"}, {Kind: put, Key: head}, {Kind: put, Key: head}}, heads{1, 0}},
		"others' and reads":    {[]s3test.Request{{Kind: put, Key: "rclone/o/head.json"}, {Kind: get, Key: head}, {Kind: get, Key: tree + "o/1"}}, heads{}},
		"a read is not a save": {[]s3test.Request{{Kind: get, Key: tree + "o/1"}, {Kind: put, Key: head}}, heads{1, 0}},
		"the log":              {[]s3test.Request{{Kind: put, Key: tree + "m/1"}, {Kind: put, Key: ".coltec/fleet/o/p/e/log-3-16-6903"}, {Kind: put, Key: head}}, heads{0, 1}},
		"one after each two":   {[]s3test.Request{{Kind: put, Key: tree + "m/1"}, {Kind: put, Key: head}, {Kind: put, Key: head}, {Kind: put, Key: head}}, heads{2, 0}},
	} {
		if got := headsOf(tt.requests); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

func TestTimes(t *testing.T) {
	for ratio, want := range map[float64]string{0.954: "0.95", 8: "8", 66.4: "66", 99.6: "100", 200.6: "201", 10012: "10,012"} {
		if got := times(ratio); got != want {
			t.Errorf("%v: got %q, want %q", ratio, got, want)
		}
	}
}

func TestPercentile(t *testing.T) {
	var values []time.Duration
	for i := 100; i > 0; i-- {
		values = append(values, time.Duration(i))
	}
	if got := percentile(values, 0.95); got != 96 {
		t.Errorf("p95 of 1 to 100 is %d, want 96", got)
	}
	if got := percentile(values[:1], 0.95); got != 100 {
		t.Errorf("p95 of one value is %d", got)
	}
}

// A comparison that misses a difference would let a fast wrong answer through.
func TestCompare(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for _, root := range []string{a, b} {
		if err := plant(root, 200); err != nil {
			t.Fatal(err)
		}
	}
	if err := compare(a, b, false); err != nil {
		t.Fatalf("two trees of one seed: %v", err)
	}
	if err := edit(b, 200, hundred, 7); err != nil {
		t.Fatal(err)
	}
	if err := compare(a, b, false); err == nil || !strings.HasPrefix(err.Error(), "100 files") {
		t.Errorf("after a hundred edits: %v", err)
	}
	if err := edit(a, 200, hundred, 7); err != nil {
		t.Fatal(err)
	}
	if err := compare(a, b, false); err != nil {
		t.Errorf("after the same edits: %v", err)
	}
	path := filepath.Join(b, pathOf(3))
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if compare(a, b, false) != nil || compare(a, b, true) == nil {
		t.Error("a mode counts if and only if the comparison is exact")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if compare(a, b, false) == nil || compare(b, a, false) == nil {
		t.Error("a missing file is not seen")
	}
}

func TestParse(t *testing.T) {
	good := func() options {
		return options{interval: time.Minute, intervals: 1, saves: 1, big: 10, age: time.Minute}
	}
	o := good()
	if err := o.parse("10000,1000", "hop,push", "push"); err != nil {
		t.Fatal(err)
	}
	if len(o.parts) != 1 || o.parts[0].name != "hop" || o.sizes[0] != 1000 {
		t.Errorf("got %+v", o)
	}
	for _, bad := range [][3]string{{"ten", "", ""}, {"50", "", ""}, {"1000", "hopp", ""}, {"1000", "", "hopp"}} {
		o := good()
		if err := o.parse(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
