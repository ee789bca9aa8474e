// Package metrics puts how workspaces are into numbers, in the text forms that Prometheus
// reads. It is pure.
package metrics

import (
	"time"

	"github.com/coltec/coltec/pkg/status"
)

// States that there may be, each a sample: an alert on one that is not the state is 0 then,
// and not absent.
var (
	workspaceStates = words(status.Running, status.Degraded, status.Disabled, status.Stopped)
	leaseStates     = words(status.LeaseNone, status.LeaseHeld, status.LeaseWaiting, status.LeaseFenced, status.LeaseBestEffort)
	replicaStates   = words(status.ReplicaWaiting, status.ReplicaRestoring, status.ReplicaSynced, status.ReplicaSyncing,
		status.ReplicaRetrying, status.ReplicaBlocked, status.ReplicaPaused, status.ReplicaIncomplete)
	agentStates   = words(status.AgentWorking, status.AgentWaits, status.AgentDone, status.AgentFailed, status.AgentNone)
	networkStates = words(status.NetworkRunning, status.NetworkOffline, status.NetworkJoining, status.NetworkBlocked)
	// UnitStates are those of the supervisor.
	UnitStates = []string{"waiting", "starting", "running", "ready", "stopping", "killing", "backoff", "exited", "failed", "blocked", "paused"}
)

func words[S ~string](states ...S) (list []string) {
	for _, s := range states {
		list = append(list, string(s))
	}
	return list
}

// table makes families, and keeps them in their order.
type table []*Family

func (t *table) gauge(name, help string, labels ...string) *Family {
	return t.family(name, Gauge, help, labels)
}

func (t *table) counter(name, help string, labels ...string) *Family {
	return t.family(name, Counter, help, labels)
}

func (t *table) family(name string, kind Kind, help string, labels []string) *Family {
	f := &Family{Name: name, Kind: kind, Help: help, Labels: labels}
	*t = append(*t, f)
	return f
}

// document are the metrics of one workspace, by its status.
type document struct {
	table
	up, info, state, start, attention           *Family
	lease, epoch, generation, headAsks, headErr *Family
	network, agent, agentTurn                   *Family
	unit, restarts                              *Family
	replicas
}

type replicas struct {
	rState, saved, lag, pending, onlyPaths, onlyBytes, conflicts, unplaced *Family
	files, size, asks, sent, received, failed, idle                        *Family
}

func newDocument() *document {
	const w = "workspace"
	d := &document{}
	d.up = d.gauge("coltec_up", "1 while coltecd supervises the workspace, 0 otherwise.", w)
	d.info = d.gauge("coltec_build_info", "1, with the version of coltecd.", w, "version")
	d.state = d.gauge("coltec_state", "1 for the state that the workspace is in, 0 for the others.", w, "state")
	d.start = d.gauge("coltec_start_time_seconds", "When this coltecd began, in seconds since 1970.", w)
	d.attention = d.gauge("coltec_attention", "Sentences of the status that are for a person.", w)
	d.lease = d.gauge("coltec_lease_state", "1 for the state that the lease is in, 0 for the others.", w, "state")
	d.epoch = d.gauge("coltec_lease_epoch", "The number of the lease, which only grows.", w)
	d.generation = d.gauge("coltec_generation", "The last committed generation that is known here.", w)
	d.headAsks = d.counter("coltec_head_requests_total", "Requests to the store for the head, which all replicas share.", w)
	d.headErr = d.counter("coltec_head_errors_total", "Attempts to get or to renew the lease that failed, other than because another machine holds it.", w)
	d.network = d.gauge("coltec_network_state", "1 for the state that the tailnet is in, 0 for the others; absent without one.", w, "state")
	d.agent = d.gauge("coltec_agent_state", "1 for the state that the agent is in, 0 for the others.", w, "agent", "state")
	d.agentTurn = d.gauge("coltec_agent_last_turn_timestamp_seconds", "When the last turn of the agent was, in seconds since 1970.", w, "agent")
	d.unit = d.gauge("coltec_unit_state", "1 for the state that the service, job or hook is in, 0 for the others.", w, "unit", "kind", "state")
	d.restarts = d.counter("coltec_unit_restarts_total", "Restarts of the unit by its policy.", w, "unit", "kind")
	d.replicaFamilies(w, "replica")
	return d
}

func (d *document) replicaFamilies(labels ...string) {
	with := func(more string) []string { return append(labels[:len(labels):len(labels)], more) }
	d.rState = d.gauge("coltec_replica_state", "1 for the state that the replica is in, 0 for the others.", with("state")...)
	d.saved = d.gauge("coltec_replica_last_save_timestamp_seconds", "When the last cycle went through, in seconds since 1970.", labels...)
	d.lag = d.gauge("coltec_replica_lag_seconds", "Age of the oldest change that is not in the bucket; 0 for none.", labels...)
	d.pending = d.gauge("coltec_replica_pending_paths", "What is on this machine only, by count: the sum over all reasons.", labels...)
	d.onlyPaths = d.gauge("coltec_replica_only_here_paths", "What is on this machine only, by reason; absent for none.", with("reason")...)
	d.onlyBytes = d.gauge("coltec_replica_only_here_bytes", "Bytes of it, as far as they are known.", with("reason")...)
	d.conflicts = d.gauge("coltec_replica_conflicts", "Local versions that are kept aside.", labels...)
	d.unplaced = d.gauge("coltec_replica_unplaced_paths", "Paths of the bucket that could not be placed here yet, of the first ones.", labels...)
	d.files = d.gauge("coltec_replica_files", "Files of the replica.", labels...)
	d.size = d.gauge("coltec_replica_size_bytes", "Bytes of the replica's files.", labels...)
	d.asks = d.counter("coltec_replica_requests_total", "Requests to the store, as coltecd counts its own runs of rclone.", labels...)
	d.sent = d.counter("coltec_replica_sent_bytes_total", "Bytes of content that were sent to the store.", labels...)
	d.received = d.counter("coltec_replica_received_bytes_total", "Bytes of content that were received from the store.", labels...)
	d.failed = d.counter("coltec_replica_errors_total", "Cycles that failed.", labels...)
	d.idle = d.gauge("coltec_replica_idle_requests", "About how many requests thirty days take in which nothing changes.", labels...)
}

// Families are all metrics of one workspace, without samples.
func Families() []*Family { return newDocument().table }

// Document is the text of a status as of now.
func Document(f Format, doc status.Document) []byte {
	d := newDocument()
	w := doc.Workspace.String()
	d.up.flag(doc.State == status.Running || doc.State == status.Degraded, w)
	d.info.add(1, w, doc.Version)
	d.state.oneOf(string(doc.State), workspaceStates, w)
	d.start.at(doc.Since, w)
	d.attention.add(float64(len(doc.Attention)), w)
	if doc.PID != 0 { // else nobody knows
		d.leaseOf(w, doc.Lease)
	}
	if doc.Network != nil {
		d.network.oneOf(string(doc.Network.State), networkStates, w)
	}
	for _, a := range doc.Agents {
		d.agent.oneOf(string(a.State), agentStates, w, a.Name)
		d.agentTurn.at(a.LastTurn, w, a.Name)
	}
	for _, u := range doc.Units {
		d.unit.oneOf(u.State, UnitStates, w, u.Name, u.Kind)
		d.restarts.add(float64(u.Restarts), w, u.Name, u.Kind)
	}
	for _, r := range doc.Replicas {
		d.replica(w, r)
	}
	return encode(f, d.table)
}

func (d *document) leaseOf(w string, l status.Lease) {
	d.lease.oneOf(string(l.State), leaseStates, w)
	d.epoch.add(float64(l.Epoch), w)
	d.generation.add(float64(l.Generation), w)
	d.headAsks.add(float64(l.Cost.Requests), w)
	d.headErr.add(float64(l.Cost.Errors), w)
}

func (d *document) replica(w string, r status.Replica) {
	d.rState.oneOf(string(r.State), replicaStates, w, r.Name)
	d.saved.at(r.LastSync, w, r.Name)
	for _, p := range r.OnlyHere {
		d.onlyPaths.add(float64(p.Count), w, r.Name, string(p.Reason))
		d.onlyBytes.add(float64(p.Bytes), w, r.Name, string(p.Reason))
	}
	for _, x := range []struct {
		of    *Family
		value float64
	}{
		{d.lag, r.LagSeconds},
		{d.pending, float64(r.Pending)},
		{d.conflicts, float64(r.Conflicts)},
		{d.unplaced, float64(len(r.Unplaced))},
		{d.files, float64(r.Files)},
		{d.size, float64(r.Bytes)},
		{d.asks, float64(r.Cost.Requests)},
		{d.sent, float64(r.Cost.Sent)},
		{d.received, float64(r.Cost.Received)},
		{d.failed, float64(r.Cost.Errors)},
		{d.idle, r.Cost.IdlePerMonth},
	} {
		x.of.add(x.value, w, r.Name)
	}
}

// Row is what is known of a workspace without asking it.
type Row struct {
	Workspace, Folder, Where, State string
	Needs                           status.Need // what it needs most; "" for nobody
	Since, LastSeen                 *time.Time
	Lag                             float64 // seconds
	Attention                       int
	Agents                          []status.Agent
	CostMonth                       *float64 // dollars; nil where that is not known
}

// fleet are the metrics of many workspaces, by their rows.
type fleet struct {
	table
	info, state, needs, since, seen, lag, attention, agent, cost *Family
}

func newFleet() *fleet {
	const w, folder = "workspace", "folder"
	f := &fleet{}
	f.info = f.gauge("coltec_workspace_info", "1, with where the workspace is: here, or the host that holds it.", w, folder, "where")
	f.state = f.gauge("coltec_workspace_state", "1, with the state that coltec ls shows.", w, folder, "state")
	f.needs = f.gauge("coltec_workspace_needs", "1, with what the workspace needs most, as coltec ls says it; absent where it needs nobody.", w, folder, "need")
	f.since = f.gauge("coltec_workspace_since_timestamp_seconds", "Since when coltecd runs or the lease is held, in seconds since 1970.", w, folder)
	f.seen = f.gauge("coltec_workspace_last_seen_timestamp_seconds", "When it was last heard of, in seconds since 1970.", w, folder)
	f.lag = f.gauge("coltec_workspace_lag_seconds", "Age of the oldest change that is not in the bucket; 0 for none.", w, folder)
	f.attention = f.gauge("coltec_workspace_attention", "Sentences that are for a person.", w, folder)
	f.agent = f.gauge("coltec_workspace_agent_state", "1 for the state that the agent is in, 0 for the others.", w, folder, "agent", "state")
	f.cost = f.gauge("coltec_workspace_cost_month_dollars", "About how many dollars the store asks for thirty days in which nothing changes; absent where that is not known.", w, folder)
	return f
}

// FleetFamilies are all metrics of many workspaces, without samples.
func FleetFamilies() []*Family { return newFleet().table }

// Fleet is the text of rows, in the form that a textfile collector reads.
func Fleet(rows []Row) []byte {
	f := newFleet()
	for _, r := range rows {
		w, dir := r.Workspace, r.Folder
		f.info.add(1, w, dir, r.Where)
		f.state.add(1, w, dir, r.State)
		if r.Needs != "" {
			f.needs.add(1, w, dir, string(r.Needs))
		}
		f.since.at(r.Since, w, dir)
		f.seen.at(r.LastSeen, w, dir)
		f.lag.add(r.Lag, w, dir)
		f.attention.add(float64(r.Attention), w, dir)
		for _, a := range r.Agents {
			f.agent.oneOf(string(a.State), agentStates, w, dir, a.Name)
		}
		if r.CostMonth != nil {
			f.cost.add(*r.CostMonth, w, dir)
		}
	}
	return encode(Prometheus, f.table)
}
