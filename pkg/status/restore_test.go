package status

import (
	"fmt"
	"testing"
	"time"
)

// The daemon, `start --wait` and `up` each had a table of their own, and did not agree
// about what is settled: `start --wait` ended well with a store that nobody reaches,
// where `up` said that all is not well.
func TestRestore(t *testing.T) {
	const (
		done, underway, elsewhere, stuck = RestoreDone, RestoreUnderway, RestoreElsewhere, RestoreStuck
		start, wait                      = true, false
	)
	type answer struct {
		restore  Restore
		services bool
	}
	// By state: with the lease here or nowhere, and held by another machine; without a
	// first step that went through, and after one.
	type row struct{ fresh, known, freshElsewhere, knownElsewhere answer }
	all := func(a answer) row { return row{a, a, a, a} }
	want := map[ReplicaState]row{
		ReplicaSynced:     all(answer{done, start}),
		ReplicaPaused:     all(answer{done, start}),
		ReplicaSyncing:    {answer{underway, wait}, answer{done, start}, answer{underway, wait}, answer{done, start}},
		ReplicaIncomplete: {answer{underway, wait}, answer{done, start}, answer{underway, wait}, answer{done, start}},
		ReplicaRestoring:  all(answer{underway, wait}),
		ReplicaWaiting:    {answer{underway, wait}, answer{underway, wait}, answer{elsewhere, start}, answer{elsewhere, start}},
		ReplicaRetrying:   {answer{underway, wait}, answer{underway, start}, answer{elsewhere, wait}, answer{elsewhere, start}},
		ReplicaBlocked:    all(answer{stuck, start}),
		"of a later one":  all(answer{stuck, start}),
	}
	synced := time.Unix(1, 0)
	for state, row := range want {
		for _, lease := range []LeaseState{LeaseNone, LeaseHeld, LeaseFenced, LeaseBestEffort, LeaseWaiting} {
			for _, last := range []*time.Time{nil, &synced} {
				want := map[bool]answer{false: row.fresh, true: row.known}[last != nil]
				if lease == LeaseWaiting {
					want = map[bool]answer{false: row.freshElsewhere, true: row.knownElsewhere}[last != nil]
				}
				r := Replica{State: state, LastSync: last, Direction: "bidirectional"}
				d := Document{Lease: Lease{State: lease}, Replicas: []Replica{r}}
				t.Run(fmt.Sprintf("%s, lease %s, synced once %v", state, lease, last != nil), func(t *testing.T) {
					got := answer{d.RestoreOf(r), d.ServicesMayStart()}
					if got != want || d.Restore() != want.restore {
						t.Errorf("%+v and %s, want %+v", got, d.Restore(), want)
					}
				})
			}
		}
	}
}

// A file that has no room keeps a restore from being done, and no service from starting.
func TestRestoreWithoutRoom(t *testing.T) {
	synced := time.Unix(1, 0)
	for _, state := range []ReplicaState{ReplicaSynced, ReplicaSyncing, ReplicaIncomplete} {
		d := Document{Replicas: []Replica{{State: state, LastSync: &synced, Unplaced: []string{"f"}}}}
		if d.Restore() != RestoreStuck || !d.ServicesMayStart() {
			t.Errorf("%s: %s, services start: %v", state, d.Restore(), d.ServicesMayStart())
		}
	}
	again := Replica{State: ReplicaSynced, LastSync: &synced, Unplaced: []string{"f"}, Progress: &Progress{}}
	if d := (Document{Replicas: []Replica{again}}); d.Restore() != RestoreUnderway {
		t.Errorf("while it is tried again: %s", d.Restore())
	}
	restoring := Document{Replicas: []Replica{{State: ReplicaRestoring, LastSync: &synced, Unplaced: []string{"f"}}}}
	if restoring.ServicesMayStart() {
		t.Error("services start in the middle of a restore")
	}
}

// What fails after the restore, a push on a full disk say, is no reason to call it
// unfinished: a second `start --wait` would wait for it.
func TestRestoreBeforeAFault(t *testing.T) {
	began := time.Unix(100, 0)
	for _, tt := range []struct {
		lease     LeaseState
		direction string
		last      int64
		want      Restore
	}{
		{LeaseHeld, "bidirectional", 100, RestoreDone},
		{LeaseHeld, "push-only", 101, RestoreDone},
		{LeaseBestEffort, "bidirectional", 101, RestoreDone},
		{LeaseHeld, "bidirectional", 99, RestoreUnderway},  // of an earlier coltecd
		{LeaseNone, "bidirectional", 101, RestoreUnderway}, // another may have written since
		{LeaseFenced, "bidirectional", 101, RestoreUnderway},
		{LeaseWaiting, "bidirectional", 101, RestoreElsewhere},
		{LeaseNone, "pull-only", 101, RestoreDone},
		{LeaseNone, "pull-only", 99, RestoreUnderway},
	} {
		last := time.Unix(tt.last, 0)
		r := Replica{State: ReplicaRetrying, Direction: tt.direction, LastSync: &last}
		d := Document{Since: &began, Lease: Lease{State: tt.lease}, Replicas: []Replica{r}}
		if got := d.Restore(); got != tt.want || !d.ServicesMayStart() {
			t.Errorf("%+v: %s, services %v", tt, got, d.ServicesMayStart())
		}
	}
}

// A replica that only pulls needs no lease, whoever has it.
func TestRestoreOfReaders(t *testing.T) {
	for state, want := range map[ReplicaState]Restore{ReplicaRetrying: RestoreUnderway, ReplicaRestoring: RestoreUnderway, ReplicaSynced: RestoreDone} {
		r := Replica{State: state, Direction: "pull-only"}
		if got := (Document{Lease: Lease{State: LeaseWaiting}, Replicas: []Replica{r}}).Restore(); got != want {
			t.Errorf("%s: %s, want %s", state, got, want)
		}
	}
}

// What gets further by itself is waited for first, then what another machine keeps,
// then it is a person's.
func TestRestoreOfSeveral(t *testing.T) {
	replica := map[Restore]Replica{
		RestoreDone: {State: ReplicaSynced}, RestoreUnderway: {State: ReplicaRestoring},
		RestoreElsewhere: {State: ReplicaWaiting}, RestoreStuck: {State: ReplicaBlocked},
	}
	order := []Restore{RestoreUnderway, RestoreElsewhere, RestoreStuck, RestoreDone}
	for i, first := range order {
		for _, second := range order[i:] {
			d := Document{Lease: Lease{State: LeaseWaiting}, Replicas: []Replica{replica[second], replica[first], replica[second]}}
			if got := d.Restore(); got != first {
				t.Errorf("%s and %s: %s", first, second, got)
			}
		}
	}
	if got := (Document{}).Restore(); got != RestoreDone {
		t.Errorf("no replicas: %s", got)
	}
}
