package status

// Restore says how far a replica, or a workspace, is on its way to be as it was left.
//
// Two questions are asked of it, and both are answered here:
//
//   - [Document.Restore] is what `coltecd start --wait` and `coltec up` wait for, and
//     what they call restored;
//   - [Document.ServicesMayStart] is what coltecd waits for before the services with
//     `after: [restore]`.
//
// They differ in one thing: a person who waits at a terminal wants the newest state; a
// service starts even when that cannot be had at the moment.
//
//	replica                                   Restore    services
//	synced, paused                            done       start
//	syncing, incomplete, after a first step   done       start
//	any of them, and some paths have no room  stuck      start
//	syncing, incomplete, before it            under way  wait
//	restoring                                 under way  wait
//	waiting, another holds the lease          elsewhere  start
//	waiting, else                             under way  wait
//	retrying, restored by this coltecd        done       start
//	retrying, another holds the lease         elsewhere  as below
//	retrying, with a tree of an earlier time  under way  start
//	retrying, without one                     under way  wait
//	blocked                                   stuck      start
//	a state of a later version                stuck      start
type Restore string

// How far a restore is.
const (
	RestoreDone      Restore = "done"      // the tree is what the bucket has, and what was edited here since
	RestoreUnderway  Restore = "under way" // it gets further by itself
	RestoreElsewhere Restore = "elsewhere" // it gets further once another machine has given the lease back
	RestoreStuck     Restore = "stuck"     // it needs a person
)

// RestoreOf says how far one replica of the document is.
func (d Document) RestoreOf(r Replica) Restore {
	switch r.State {
	case ReplicaPaused:
		return RestoreDone
	case ReplicaSynced, ReplicaSyncing, ReplicaIncomplete:
		switch {
		case r.State != ReplicaSynced && r.LastSync == nil:
			return RestoreUnderway
		case len(r.Unplaced) > 0 && r.Progress != nil: // it is being tried again
			return RestoreUnderway
		case len(r.Unplaced) > 0:
			return RestoreStuck
		}
		return RestoreDone
	case ReplicaWaiting, ReplicaRetrying:
		if r.State == ReplicaRetrying && d.restoredNow(r) {
			return RestoreDone // what fails is a later step
		}
		if d.Lease.State == LeaseWaiting && r.writes() {
			return RestoreElsewhere
		}
		return RestoreUnderway
	case ReplicaRestoring:
		return RestoreUnderway
	default:
		return RestoreStuck
	}
}

// Restore says how far the workspace is: under way as long as any replica gets
// further by itself, then what keeps the first one.
func (d Document) Restore() Restore {
	all := map[Restore]bool{}
	for _, r := range d.Replicas {
		all[d.RestoreOf(r)] = true
	}
	for _, s := range []Restore{RestoreUnderway, RestoreElsewhere, RestoreStuck} {
		if all[s] {
			return s
		}
	}
	return RestoreDone
}

// ServicesMayStart reports whether every replica is past its restore, or waits for
// something that services do not wait for: a person, another holder, or a store that
// does not answer while there is a tree of an earlier time.
func (d Document) ServicesMayStart() bool {
	for _, r := range d.Replicas {
		restore := d.RestoreOf(r)
		switch {
		case restore == RestoreDone, restore == RestoreStuck:
		case restore == RestoreElsewhere && r.State == ReplicaWaiting:
		case r.State == ReplicaRetrying && r.LastSync != nil:
		default:
			return false
		}
	}
	return true
}

// restoredNow reports whether a step went through since coltecd began, and nobody can
// have written since.
func (d Document) restoredNow(r Replica) bool {
	ours := !r.writes() || d.Lease.State == LeaseHeld || d.Lease.State == LeaseBestEffort
	return ours && d.Since != nil && r.LastSync != nil && !r.LastSync.Before(*d.Since)
}

// writes reports whether the replica needs the lease.
func (r Replica) writes() bool { return r.Direction != "pull-only" }
