package status

import (
	"strings"
	"testing"
	"time"
)

// up waits for what gets better by itself, and not for a store that nobody
// reaches: it once waited ten minutes for a restore that could not begin.
func TestSettling(t *testing.T) {
	const dead = "dial tcp 127.0.0.1:9: connect: connection refused"
	replica := func(state ReplicaState, bytes int64) Replica {
		r := Replica{Name: "w", State: state}
		if bytes > 0 {
			r.Progress = &Progress{Bytes: bytes, Files: bytes, TotalFiles: 99}
		}
		if state == ReplicaRetrying {
			r.LastError = dead
		}
		return r
	}
	synced := time.Unix(1, 0)
	type step struct {
		at    time.Duration
		r     Replica
		again bool
		says  string
	}
	retrying := func(at time.Duration, again bool, says string) step {
		return step{at, replica(ReplicaRetrying, 0), again, says}
	}
	tests := map[string][]step{
		"at once":          {{0, replica(ReplicaSynced, 0), false, ""}},
		"needs a person":   {{0, replica(ReplicaBlocked, 0), false, ""}},
		"pushing":          {{0, Replica{State: ReplicaSyncing, LastSync: &synced}, false, ""}},
		"a long restore":   {{0, replica(ReplicaWaiting, 0), true, "restoring"}, {time.Minute, replica(ReplicaRestoring, 7), true, "w: 7 of 99 files"}, {9 * time.Minute, replica(ReplicaSynced, 0), false, ""}},
		"a too long one":   {{11 * time.Minute, replica(ReplicaRestoring, 7), false, "the restore is not finished; it continues in the background"}},
		"a fault passes":   {retrying(0, true, dead), retrying(19*time.Second, true, dead), {25 * time.Second, replica(ReplicaSynced, 0), false, ""}},
		"a fault stays":    {retrying(0, true, dead), retrying(21*time.Second, false, "")},
		"a late fault":     {{5 * time.Minute, replica(ReplicaRestoring, 0), true, ""}, retrying(5*time.Minute, true, dead), retrying(5*time.Minute+21*time.Second, false, "")},
		"a try that hangs": {retrying(0, true, dead), {10 * time.Second, replica(ReplicaRestoring, 0), true, "restoring"}, retrying(21*time.Second, false, "")},
		"it gets further":  {retrying(0, true, dead), {19 * time.Second, replica(ReplicaRestoring, 3), true, "3 of"}, retrying(30*time.Second, true, dead), {35 * time.Second, replica(ReplicaRestoring, 2), true, "2 of"}, retrying(50*time.Second, true, dead), retrying(56*time.Second, false, "")},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			began := time.Unix(100, 0)
			s := &Watch{Patience: 10 * time.Minute, Began: began}
			for _, step := range steps {
				again, line := s.Look(Document{State: Running, Replicas: []Replica{step.r}}, began.Add(step.at))
				if again != step.again || !strings.Contains(line, step.says) || step.says == "" && !again && line != "" {
					t.Errorf("at %s: %v %q, want %v %q", step.at, again, line, step.again, step.says)
				}
			}
		})
	}
	s := &Watch{Patience: 10 * time.Minute, Began: time.Unix(0, 0)}
	other := Document{State: Degraded, Lease: Lease{State: LeaseWaiting}, Replicas: []Replica{replica(ReplicaWaiting, 0)}}
	if again, _ := s.Look(other, time.Unix(0, 0)); again {
		t.Error("it waits for another machine")
	}
	// A replica that only pulls gets further whoever holds the lease.
	reads := replica(ReplicaRestoring, 3)
	reads.Direction = "pull-only"
	other.Replicas = append(other.Replicas, reads)
	if again, line := s.Look(other, time.Unix(0, 0)); !again || line != "w: 3 of 99 files" {
		t.Errorf("it does not wait for a reader: %v %q", again, line)
	}
}

// What fails in a directory that nobody may write fails for ever: up and the hooks of the
// container waited 20 s each before they said so.
func TestSettlingInAClosedDirectory(t *testing.T) {
	replica := func(name, path string, state ReplicaState) Replica {
		return Replica{Name: name, Path: path, State: state, LastError: "it is not ours to write"}
	}
	closed := replica("workspace", "/workspace/", ReplicaRetrying)
	for name, tt := range map[string]struct {
		replicas []Replica
		again    bool
	}{
		"it fails":                         {[]Replica{closed}, false},
		"it has not been tried":            {[]Replica{replica("workspace", "/workspace", ReplicaRestoring)}, true},
		"another is on its way":            {[]Replica{closed, replica("home", "/home", ReplicaRestoring)}, true},
		"another one fails, and may go on": {[]Replica{closed, replica("home", "/home", ReplicaRetrying)}, true},
		"another one is back":              {[]Replica{closed, {Name: "home", Path: "/home", State: ReplicaSynced}}, false},
		"another one needs a person":       {[]Replica{replica("home", "/home", ReplicaBlocked), closed}, false},
		"one below it fails":               {[]Replica{replica("data", "/workspace/data", ReplicaRetrying)}, true},
	} {
		w := &Watch{Patience: time.Hour, Closed: []string{"/workspace"}, Began: time.Unix(100, 0)}
		if again, line := w.Look(Document{State: Degraded, Replicas: tt.replicas}, time.Unix(100, 0)); again != tt.again || w.Late() {
			t.Errorf("%s: again %v, late %v, %q", name, again, w.Late(), line)
		}
	}
}

// up --timeout 0 has no end, as that of start --wait, and who runs out of time is told
// apart from who fails.
func TestSettlingInTime(t *testing.T) {
	restoring := Document{State: Running, Replicas: []Replica{{Name: "w", State: ReplicaRestoring}}}
	dead := Document{State: Degraded, Replicas: []Replica{{Name: "w", State: ReplicaRetrying}}}
	began := time.Unix(100, 0)
	for _, tt := range []struct {
		patience, at time.Duration
		doc          Document
		again, late  bool
	}{
		{0, 100 * time.Hour, restoring, true, false},
		{time.Minute, 59 * time.Second, restoring, true, false},
		{time.Minute, 61 * time.Second, restoring, false, true},
		{time.Second, 2 * time.Second, dead, false, true},
	} {
		s := &Watch{Patience: tt.patience, Began: began}
		if again, _ := s.Look(tt.doc, began.Add(tt.at)); again != tt.again || s.Late() != tt.late {
			t.Errorf("%+v: again %v, late %v", tt, again, s.Late())
		}
	}
	s := &Watch{Patience: time.Hour, Began: began}
	s.Look(dead, began)
	if again, _ := s.Look(dead, began.Add(time.Minute)); again || s.Late() {
		t.Errorf("a fault that stays: again %v, late %v", again, s.Late())
	}
}

// up returned while `npm ci` still ran, and said that all is well.
func TestSettlingWaitsForHooks(t *testing.T) {
	since := time.Date(2030, 1, 2, 3, 4, 5, 0, time.Local)
	done := Replica{Name: "w", State: ReplicaSynced}
	hook := func(pid int) []Unit { return []Unit{{Name: "npm", Kind: "hook", PID: pid, Since: &since}} }
	for name, tt := range map[string]struct {
		doc         Document
		at          time.Duration
		again, late bool
		says        string
	}{
		"it is about to run":        {Document{State: Running, Beginning: true, Replicas: []Replica{done}, Units: hook(0)}, 0, true, false, ""},
		"it runs":                   {Document{State: Running, Beginning: true, Replicas: []Replica{done}, Units: hook(7)}, 0, true, false, "hook npm runs, since 03:04:05"},
		"it runs too long":          {Document{State: Running, Beginning: true, Replicas: []Replica{done}, Units: hook(7)}, time.Hour, false, true, "since 03:04:05; it continues in the background"},
		"all have run":              {Document{State: Running, Replicas: []Replica{done}, Units: hook(0)}, time.Hour, false, false, ""},
		"one of a later point runs": {Document{State: Running, Replicas: []Replica{done}, Units: hook(7)}, 0, false, false, ""},
		"a person is needed first":  {Document{State: Degraded, Beginning: true, Replicas: []Replica{{State: ReplicaBlocked}}, Units: hook(7)}, 0, false, false, ""},
	} {
		w := &Watch{Patience: time.Minute, Began: since}
		again, line := w.Look(tt.doc, since.Add(tt.at))
		if again != tt.again || w.Late() != tt.late || !strings.Contains(line, tt.says) || tt.says == "" && line != "" {
			t.Errorf("%s: again %v, late %v, %q", name, again, w.Late(), line)
		}
	}
}
