// Package status is the one document that says how a workspace is: what
// `coltecd status --json` prints, what the socket answers and what the host
// reads. It never holds an environment or the value of a secret.
package status

import (
	"fmt"
	"time"

	"github.com/coltec/coltec/pkg/account"
)

// State of the whole workspace.
type State string

// The states of a workspace.
const (
	Running  State = "running"  // supervising, nothing needs a person
	Degraded State = "degraded" // supervising, something needs attention
	Disabled State = "disabled" // COLTEC_DISABLED is set
	Stopped  State = "stopped"  // no coltecd answers
)

// Document is the whole answer.
type Document struct {
	Workspace Workspace  `json:"workspace"`
	State     State      `json:"state"`
	PID       int        `json:"pid,omitempty"`
	Since     *time.Time `json:"since,omitempty"`
	Version   string     `json:"version"`
	Lease     Lease      `json:"lease"`
	Units     []Unit     `json:"units"`
	Replicas  []Replica  `json:"replicas"`
	Agents    []Agent    `json:"agents,omitempty"`  // that the spec lists and that are known, in its order
	Network   *Network   `json:"network,omitempty"` // nil: networking is not asked for
	Attention []string   `json:"attention"`         // sentences for a person, each with the next step
	// Beginning is true until the hooks after the restore have run, and what waits for them may start.
	Beginning bool `json:"beginning,omitempty"`
	// Accounts is true of a coltecd that says what is only here: in OnlyHere, and by how
	// stop ends. Older ones do not.
	Accounts bool `json:"accounts"`
	// Index grows with each change, and no two runs of coltecd have the same one. It is absent
	// where an older coltecd or none answers, and in the file.
	Index uint64 `json:"index,omitempty"`
}

// Workspace names one workspace: org/project/env is unique, name is for people.
type Workspace struct {
	Org     string `json:"org"`
	Project string `json:"project"`
	Env     string `json:"env"`
	Name    string `json:"name"`
}

// String gives org/project/env.
func (w Workspace) String() string { return w.Org + "/" + w.Project + "/" + w.Env }

// LeaseState is whether this coltecd may write the workspace's prefixes.
type LeaseState string

// The states of a lease.
const (
	LeaseNone       LeaseState = "none"        // not asked for (nothing to write) or not reached yet
	LeaseHeld       LeaseState = "held"        // ours
	LeaseWaiting    LeaseState = "waiting"     // another holds it
	LeaseFenced     LeaseState = "fenced"      // it was ours, another took it
	LeaseBestEffort LeaseState = "best_effort" // the remote cannot compare and swap; the user said that will do
)

// Lease is the right to write, as far as this coltecd knows.
type Lease struct {
	State      LeaseState `json:"state"`
	Epoch      int64      `json:"epoch"`
	Generation int64      `json:"generation"` // last committed one known here
	Holder     *Holder    `json:"holder,omitempty"`
	Request    *Request   `json:"request,omitempty"` // that the holder hand over; by this coltecd
	Doubt      string     `json:"doubt,omitempty"`   // the holder may be this machine before a restart: what is waited for
	Cost       Cost       `json:"cost"`              // of the head: all replicas share it
	// Checkpoints are the names of checkpoints, the newest last: the last 20.
	Checkpoints []string `json:"checkpoints,omitempty"`
}

// Holder says who has the lease.
type Holder struct {
	Host      string     `json:"host"`
	Container string     `json:"container,omitempty"`
	Since     time.Time  `json:"since,omitzero"` // zero: not known
	LastSeen  *time.Time `json:"last_seen,omitempty"`
}

// String says who has the lease, and since when where that is known.
func (h Holder) String() string {
	if h.Since.IsZero() {
		return h.Host + " has the lease"
	}
	return fmt.Sprintf("%s has held the lease since %s", h.Host, h.Since.Local().Format(time.DateTime))
}

// Request is what became of a coltecd takeover, by this machine's clock.
type Request struct {
	Time    time.Time  `json:"time"`
	Seen    bool       `json:"seen"`              // by the holder, which pushes and hands over
	Renewed *time.Time `json:"renewed,omitempty"` // when the holder wrote last
	Due     *time.Time `json:"due,omitempty"`     // when the holder should have seen it
	Free    *time.Time `json:"free,omitempty"`    // when the lease runs out, if the holder stays silent
}

// Unit is a supervised service, job or hook.
type Unit struct {
	Name      string     `json:"name"`
	Kind      string     `json:"kind"`
	State     string     `json:"state"`
	Since     *time.Time `json:"since,omitempty"`
	PID       int        `json:"pid,omitempty"`
	Restarts  int        `json:"restarts"`
	LastExit  string     `json:"last_exit,omitempty"` // "exit status 1", "signal: killed"
	LastError string     `json:"last_error,omitempty"`
	NextRun   *time.Time `json:"next_run,omitempty"`
	NextRetry *time.Time `json:"next_retry,omitempty"`
	Log       string     `json:"log,omitempty"` // path of its log file
}

// ReplicaState says what a replica is doing.
type ReplicaState string

// The states of a replica.
const (
	ReplicaWaiting   ReplicaState = "waiting"   // for the lease, or for its turn
	ReplicaRestoring ReplicaState = "restoring" // bringing the local tree to the remote's state
	ReplicaSynced    ReplicaState = "synced"    // nothing pending at the last look
	ReplicaSyncing   ReplicaState = "syncing"   // pushing or pulling now
	ReplicaRetrying  ReplicaState = "retrying"  // a passing fault; next try at next_run
	ReplicaBlocked   ReplicaState = "blocked"   // needs something from a person, named in last_error
	ReplicaPaused    ReplicaState = "paused"
	// ReplicaIncomplete is past its last push, and something is on this machine only:
	// see OnlyHere.
	ReplicaIncomplete ReplicaState = "incomplete"
)

// Replica is one local tree with its remote prefix.
type Replica struct {
	Name      string       `json:"name"`
	Path      string       `json:"path"`
	Remote    string       `json:"remote"` // remote:bucket/prefix, no secret in it
	Direction string       `json:"direction"`
	Layout    string       `json:"layout"`
	State     ReplicaState `json:"state"`
	Pending   int          `json:"pending"`   // what is only here, by count: the sum of OnlyHere
	Conflicts int          `json:"conflicts"` // local versions kept aside
	// OnlyHere is what this machine has and the last committed generation has not, by
	// reason; empty: all of it is in the bucket.
	OnlyHere []account.Part `json:"only_here,omitempty"`
	// Unplaced is what of the bucket could not be placed here yet, and why: the first
	// paths. It is tried again.
	Unplaced []string `json:"unplaced,omitempty"`
	Files    int64    `json:"files"`
	Bytes    int64    `json:"bytes"`
	// FoundAtStart counts the changes that this coltecd found when it began:
	// made while none ran, or not pushed by the last one. nil: not looked yet.
	FoundAtStart *int       `json:"found_at_start,omitempty"`
	LastSync     *time.Time `json:"last_sync,omitempty"`
	LagSeconds   float64    `json:"lag_seconds"` // age of the oldest change that is not in the bucket
	NextRun      *time.Time `json:"next_run,omitempty"`
	LastError    string     `json:"last_error,omitempty"`
	Progress     *Progress  `json:"progress,omitempty"`
	Doing        string     `json:"doing,omitempty"` // what takes long at the moment and is not a transfer
	// SharedFileSystem is the file system of the tree, as /proc/filesystems names
	// it, where changes made outside this machine or container send no events and
	// are seen at each interval only; "" where all do, or nothing is watched.
	SharedFileSystem string `json:"shared_filesystem,omitempty"`
	// Notices are worth a word, and no reason to call the replica unwell.
	Notices []string `json:"notices,omitempty"`
	Cost    Cost     `json:"cost"`
}

// OnlyHere is the error of replicas of which something is on this machine only, nil for
// none: see account.ErrOnlyHere.
func OnlyHere(replicas []Replica) error {
	var left []account.Left
	for _, r := range replicas {
		left = append(left, account.Left{Replica: r.Name, Parts: r.OnlyHere})
	}
	return account.ErrorOf(left)
}

// Progress of a long transfer.
type Progress struct {
	Files      int64   `json:"files"`
	TotalFiles int64   `json:"total_files"`
	Bytes      int64   `json:"bytes"`
	TotalBytes int64   `json:"total_bytes"`
	ETASeconds float64 `json:"eta_seconds"`
}

// Cost is what is asked of the store, as coltecd counts its own runs of rclone.
type Cost struct {
	RequestsPerHour float64 `json:"requests_per_hour"` // within the last hour
	BytesPerHour    float64 `json:"bytes_per_hour"`    // of content either way
	// IdlePerMonth is about how many requests thirty days take in which nothing
	// changes.
	IdlePerMonth float64 `json:"idle_requests_per_month"`
	Requests     int64   `json:"requests"`       // since this coltecd began
	Sent         int64   `json:"sent_bytes"`     // of content, since this coltecd began
	Received     int64   `json:"received_bytes"` // of content, since this coltecd began
	Errors       int64   `json:"errors"`         // since this coltecd began: cycles that failed; of the head, attempts at the lease
}

// Add sums two costs.
func (c Cost) Add(d Cost) Cost {
	return Cost{
		c.RequestsPerHour + d.RequestsPerHour, c.BytesPerHour + d.BytesPerHour, c.IdlePerMonth + d.IdlePerMonth,
		c.Requests + d.Requests, c.Sent + d.Sent, c.Received + d.Received, c.Errors + d.Errors,
	}
}

// Cost is that of the whole workspace.
func (d Document) Cost() Cost {
	all := d.Lease.Cost
	for _, r := range d.Replicas {
		all = all.Add(r.Cost)
	}
	return all
}

// NetworkState is whether the workspace is in its tailnet.
type NetworkState string

// The states of a network.
const (
	NetworkRunning NetworkState = "running" // in the tailnet, with an address
	NetworkOffline NetworkState = "offline" // in the tailnet, and the control server cannot be reached; tried again by itself
	NetworkJoining NetworkState = "joining" // trying; last_error says what went wrong last
	NetworkBlocked NetworkState = "blocked" // needs something from a person, named in last_error
)

// Network is the node in the tailnet, as it was at the last look.
type Network struct {
	State     NetworkState `json:"state"`
	Name      string       `json:"name,omitempty"`
	Addresses []string     `json:"addresses,omitempty"`
	Proxy     string       `json:"proxy,omitempty"`  // SOCKS5 and HTTP, on loopback
	Socket    string       `json:"socket,omitempty"` // of tailscaled, for tailscale --socket
	Health    []string     `json:"health,omitempty"`
	KeyExpiry *time.Time   `json:"key_expiry,omitempty"` // nil: the node's key does not expire
	LastError string       `json:"last_error,omitempty"`
}

// ExitCode maps the document to the exit code of `coltecd status`: 0 healthy,
// 1 running but something needs attention, 3 not running or disabled.
func (d Document) ExitCode() int {
	switch d.State {
	case Running:
		return 0
	case Degraded:
		return 1
	default:
		return 3
	}
}
