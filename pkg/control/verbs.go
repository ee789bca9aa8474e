package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/coltec/coltec/pkg/status"
)

// Handler is what the server asks; coltecd is the only real one. Every method
// may be called from several goroutines at once. A context ends when the
// client went away or the server closes.
type Handler interface {
	// Status returns how the workspace is. It must answer at once.
	Status(ctx context.Context) status.Document
	// Await returns the status once it differs from the one at an index: at once, if it does
	// so already. After 2 s it returns in any case, as some changes come without notice.
	Await(ctx context.Context, req AwaitRequest, say func(string)) (status.Document, error)
	// Sync runs the named replicas (all when none is named) now, and returns
	// with their outcome. say takes lines of progress for the person who waits.
	Sync(ctx context.Context, req SyncRequest, say func(string)) error
	// Checkpoint brings what changed to the bucket and gives that generation a name. A
	// checkpoint that comes with account.ErrOnlyHere is made, without what that names.
	Checkpoint(ctx context.Context, req CheckpointRequest, say func(string)) (Checkpoint, error)
	// RemoveCheckpoint takes a name away.
	RemoveCheckpoint(ctx context.Context, name string) error
	// Collect looks for garbage in the bucket now, and deletes what was condemned long enough
	// ago.
	Collect(ctx context.Context, req CollectRequest, say func(string)) (Collected, error)
	// Rewind takes the workspace back to a kept generation, by a new one that equals it. What
	// is there becomes a checkpoint first, and services stand still meanwhile. Once that has
	// begun it goes on, whether the client is there or not.
	Rewind(ctx context.Context, req RewindRequest, say func(string)) (Rewound, error)
	// Join merges what was done in a fork with what is here, or says what that would do. Before
	// it what is here gets a checkpoint.
	Join(ctx context.Context, req JoinRequest, say func(string)) (Joined, error)
	// Takeover asks the holder of the lease to hand over, or takes it by force,
	// and returns when it is ours.
	Takeover(ctx context.Context, req TakeoverRequest, say func(string)) error
	// FinishAdoption ends the watch over plain objects of an earlier tool.
	FinishAdoption(ctx context.Context, req SyncRequest, say func(string)) error
	// Logout removes logins of agents from the bucket.
	Logout(ctx context.Context, req LogoutRequest, say func(string)) error
	// ReportAgent takes what an agent says it does.
	ReportAgent(ctx context.Context, req AgentReport, say func(string)) error
	// Pause holds one unit or replica.
	Pause(ctx context.Context, name string) error
	// Resume lets it go on.
	Resume(ctx context.Context, name string) error
	// Restart starts one unit anew; a replica runs a cycle.
	Restart(ctx context.Context, name string) error
	// Stop asks for the orderly end and reports its progress. It returns when the
	// replicas have ended, with account.ErrOnlyHere when something of them is on
	// this machine only; the client watches the lock for the end of the process.
	Stop(ctx context.Context, req StopRequest, say func(string)) error
	// Reload reads the spec again and reports what changed.
	Reload(ctx context.Context, say func(string)) error
	// Provide takes variables over that the spec asks for, and says what they
	// let go on.
	Provide(ctx context.Context, req ProvideRequest, say func(string)) error
	// Events reports each change, by emit, until the client goes away or emit fails.
	Events(ctx context.Context, emit func(Event) error) error
	History
}

// CollectRequest asks for a collection of garbage.
type CollectRequest struct{}

// Collected is what a collection did.
type Collected struct {
	Kept      int `json:"kept"`      // generations
	Dropped   int `json:"dropped"`   // generations
	Condemned int `json:"condemned"` // objects that go in two days, if nothing needs them then
	Deleted   int `json:"deleted"`   // objects

	// Failed are replicas in which not all was done, with the reason: what they have stays. Where it cannot be known what one needs, no generation is dropped.
	Failed map[string]string `json:"failed,omitempty"`
}

// AwaitRequest asks for the next change.
type AwaitRequest struct {
	After uint64 `json:"after"` // the index of a status
}

// SyncRequest asks for a cycle now.
type SyncRequest struct {
	Names       []string `json:"names,omitempty"`        // of replicas; none: all
	AllowDelete bool     `json:"allow_delete,omitempty"` // let the deletions that a brake holds back go through
}

// CheckpointRequest asks for a checkpoint.
type CheckpointRequest struct {
	Name string `json:"name"`           // a letter, then letters, digits, dot, dash, underscore; at most 63
	Text string `json:"text,omitempty"` // for people; at most 200 bytes
}

// RewindRequest asks for an earlier state of the workspace.
type RewindRequest struct {
	At     string `json:"at"`                // name of a checkpoint, number of a generation, or a moment
	Path   string `json:"path,omitempty"`    // absolute; what is at it and below; "": all
	DryRun bool   `json:"dry_run,omitempty"` // only say what would be done, to what is in the bucket
}

// Rewound is what a rewind did.
type Rewound struct {
	To         int64            `json:"to"`                   // the generation that was asked for
	Generation int64            `json:"generation,omitempty"` // the new one, which equals it; none: there was nothing to do
	Before     string           `json:"before,omitempty"`     // the checkpoint that has what was there
	Stopped    []string         `json:"stopped,omitempty"`    // services that were stopped, and started again
	Replicas   []RewoundReplica `json:"replicas"`
}

// RewoundReplica is what a rewind did to a replica. Of a whole each file of its copy counts.
type RewoundReplica struct {
	Replica  string   `json:"replica"`
	Stays    string   `json:"stays,omitempty"` // why it stays as it is; absent: it was taken back
	Added    int      `json:"added"`           // files and links
	Changed  int      `json:"changed"`
	Removed  int      `json:"removed"`
	Unplaced []string `json:"unplaced,omitempty"` // what could not be placed yet, and why
}

// JoinRequest asks for a join.
type JoinRequest struct {
	Fork        string `json:"fork"`                   // org/project/env
	DryRun      bool   `json:"dry_run,omitempty"`      // say what would be done, and do nothing
	All         bool   `json:"all,omitempty"`          // from the fork point on, also what was joined before
	Unrelated   bool   `json:"unrelated,omitempty"`    // also a fork of another workspace
	AllowDelete bool   `json:"allow_delete,omitempty"` // let the deletions that a brake holds back go through
}

// Joined is what a join did, or would do.
type Joined struct {
	Fork       string    `json:"fork"`
	From       int64     `json:"from"`                 // the fork's generation that both had; that of to: nothing was new
	To         int64     `json:"to"`                   // the fork's generation that was joined
	Checkpoint string    `json:"checkpoint,omitempty"` // of what was here before
	Paths      []Joining `json:"paths,omitempty"`
	Conflicts  []string  `json:"conflicts,omitempty"` // paths whose local version lies aside now
	Left       []string  `json:"left,omitempty"`      // what could not be joined, and why
	Notes      []string  `json:"notes,omitempty"`     // what is left out
}

// Joining is what a join does at one path.
type Joining struct {
	Replica string `json:"replica"`
	Path    string `json:"path"`
	What    string `json:"what"` // new | changed | deleted | mode | conflict | whole | merged
}

// LogoutRequest asks that logins be removed.
type LogoutRequest struct {
	Agents []string `json:"agents,omitempty"` // whose; none: of all
	Local  bool     `json:"local,omitempty"`  // from this machine too
}

// AgentReport is what the hook of an agent says of it.
type AgentReport struct {
	Agent string `json:"agent"` // its name in the spec
	State string `json:"state"` // working, waits, done or failed
}

// TakeoverRequest asks for the lease.
type TakeoverRequest struct {
	Force bool `json:"force,omitempty"` // without the holder's flush
}

// StopRequest asks for the orderly end.
type StopRequest struct {
	Timeout Duration `json:"timeout,omitempty"` // for the final flush; 0: the daemon's own
}

// NameRequest names the unit or replica that a verb is about.
type NameRequest struct {
	Name string `json:"name"` // of the unit or replica
}

// ProvideRequest hands over variables that the running coltecd lacks: a `start`
// with credentials after one without. The socket is ours alone, and they are
// never shown again.
type ProvideRequest struct {
	Variables map[string]string `json:"variables"` // by name; those that the spec does not ask for are passed over
}

// Event is one change of state.
type Event struct {
	Time    time.Time `json:"time"`
	Subject string    `json:"subject"` // workspace | lease | unit | replica | agent | attention
	Name    string    `json:"name,omitempty"`
	From    string    `json:"from,omitempty"`
	To      string    `json:"to,omitempty"`
	Text    string    `json:"text,omitempty"`
}

// table are all calls, in the order in which people read of them.
func (s *Server) table() []route {
	h := s.handler
	get := func(name, method string, answer any, serve http.HandlerFunc) route {
		return route{pattern: "GET /v1/" + name, method: method, answer: answer, serve: serve}
	}
	return []route{
		get("status", "Status", status.Document{}, s.status),
		answers(s, "await", "Await", h.Await),
		get("events", "Events", Event{}, s.events),
		does(s, "sync", "Sync", h.Sync),
		answers(s, "checkpoint", "Checkpoint", h.Checkpoint),
		does(s, "checkpoint/remove", "RemoveCheckpoint", acts(h.RemoveCheckpoint)),
		answers(s, "collect", "Collect", h.Collect),
		answers(s, "rewind", "Rewind", h.Rewind),
		answers(s, "join", "Join", h.Join),
		does(s, "takeover", "Takeover", h.Takeover),
		does(s, "adopt", "FinishAdoption", h.FinishAdoption),
		does(s, "logout", "Logout", h.Logout),
		does(s, "agents/report", "ReportAgent", h.ReportAgent),
		does(s, "pause", "Pause", acts(h.Pause)),
		does(s, "resume", "Resume", acts(h.Resume)),
		does(s, "restart", "Restart", acts(h.Restart)),
		does(s, "stop", "Stop", h.Stop),
		does(s, "reload", "Reload", func(ctx context.Context, _ struct{}, say func(string)) error { return h.Reload(ctx, say) }),
		does(s, "provide", "Provide", h.Provide),
		asks(s, AskGenerations, "Generations", h.Generations),
		asks(s, AskCheckpoints, "Checkpoints", h.Checkpoints),
		asks(s, AskVersions, "Versions", h.Versions),
		asks(s, AskChanges, "Changes", h.Changes),
		asks(s, AskCompare, "Compare", h.Compare),
		asks(s, AskRestore, "Restore", h.Restore),
		asks(s, AskConflicts, "Conflicts", h.Conflicts),
		asks(s, AskConflict, "Conflict", h.Conflict),
		asks(s, AskTake, "Take", h.Take),
		asks(s, AskDrop, "Drop", h.Drop),
		asks(s, AskDecide, "Decide", h.Decide),
		asks(s, AskVerify, "Verify", h.Verify),
		asks(s, AskGarbage, "Garbage", h.Garbage),
	}
}

// Status asks how the workspace is.
func (c *Client) Status(ctx context.Context) (status.Document, error) {
	var doc status.Document
	body, err := c.open(ctx, http.MethodGet, "status", nil)
	if err != nil {
		return doc, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&doc); err != nil {
		return doc, fmt.Errorf("cannot read the status: %w", err)
	}
	return doc, nil
}

// Await asks for the status after a change, or a moment later.
func (c *Client) Await(ctx context.Context, req AwaitRequest) (doc status.Document, err error) {
	err = c.ask(ctx, "await", req, &doc, nil)
	return doc, err
}

// Sync runs a cycle now and waits for its outcome.
func (c *Client) Sync(ctx context.Context, req SyncRequest, say func(string)) error {
	return c.call(ctx, "sync", req, say)
}

// Checkpoint asks for a checkpoint and waits until it is made.
func (c *Client) Checkpoint(ctx context.Context, req CheckpointRequest, say func(string)) (made Checkpoint, err error) {
	err = c.ask(ctx, "checkpoint", req, &made, say)
	return made, err
}

// RemoveCheckpoint takes a name away.
func (c *Client) RemoveCheckpoint(ctx context.Context, name string) error {
	return c.call(ctx, "checkpoint/remove", NameRequest{name}, nil)
}

// Collect asks for a collection and waits for it.
func (c *Client) Collect(ctx context.Context, req CollectRequest, say func(string)) (done Collected, err error) {
	err = c.ask(ctx, "collect", req, &done, say)
	return done, err
}

// Rewind asks for an earlier state and waits until it is here.
func (c *Client) Rewind(ctx context.Context, req RewindRequest, say func(string)) (done Rewound, err error) {
	err = c.ask(ctx, "rewind", req, &done, say)
	return done, err
}

// Join asks for a join and waits until it is made.
func (c *Client) Join(ctx context.Context, req JoinRequest, say func(string)) (done Joined, err error) {
	err = c.ask(ctx, "join", req, &done, say)
	return done, err
}

// Takeover asks for the lease and waits until it is there.
func (c *Client) Takeover(ctx context.Context, req TakeoverRequest, say func(string)) error {
	return c.call(ctx, "takeover", req, say)
}

// FinishAdoption ends the watch over what an earlier tool left.
func (c *Client) FinishAdoption(ctx context.Context, req SyncRequest, say func(string)) error {
	return c.call(ctx, "adopt", req, say)
}

// Logout removes logins of agents.
func (c *Client) Logout(ctx context.Context, req LogoutRequest, say func(string)) error {
	return c.call(ctx, "logout", req, say)
}

// ReportAgent says what an agent does.
func (c *Client) ReportAgent(ctx context.Context, req AgentReport) error {
	return c.call(ctx, "agents/report", req, nil)
}

// Stop asks for the orderly end, and returns when everything is in the bucket. An
// error that is account.ErrOnlyHere names what is not; ErrGone means that coltecd
// ended without a word about it. Either way wait for [Instance.Alive] to turn false.
func (c *Client) Stop(ctx context.Context, req StopRequest, say func(string)) error {
	return c.call(ctx, "stop", req, say)
}

// Reload makes coltecd read its spec again.
func (c *Client) Reload(ctx context.Context, say func(string)) error {
	return c.call(ctx, "reload", nil, say)
}

// Provide hands variables over to a running coltecd.
func (c *Client) Provide(ctx context.Context, req ProvideRequest, say func(string)) error {
	return c.call(ctx, "provide", req, say)
}

// Act is pause, resume or restart of one unit or replica.
func (c *Client) Act(ctx context.Context, verb, name string) error {
	return c.call(ctx, verb, NameRequest{name}, nil)
}

// Events calls emit for each change until ctx ends, emit fails or coltecd is gone.
func (c *Client) Events(ctx context.Context, emit func(Event) error) error {
	body, err := c.open(ctx, http.MethodGet, "events", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	for dec := json.NewDecoder(body); ; {
		var e Event
		if err := dec.Decode(&e); err != nil {
			return c.cut(ctx)
		}
		if err := emit(e); err != nil {
			return err
		}
	}
}
