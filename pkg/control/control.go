// Package control is how a person's command reaches the coltecd of a
// workspace: JSON over HTTP on a unix socket in a private directory, and the
// lock that keeps one coltecd per workspace. coltecd serves it; coltecd's
// client verbs and the host's coltec speak it. It knows the status document
// and nothing of what is behind the [Handler].
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/status"
)

// Handler is what the server asks; coltecd is the only real one. Every method
// may be called from several goroutines at once. A context ends when the
// client went away or the server closes.
type Handler interface {
	// Status tells how the workspace is. It must answer at once.
	Status(ctx context.Context) status.Document
	// Sync runs the named replicas (all when none is named) now, and returns
	// with their outcome. say carries progress lines to the person who waits.
	Sync(ctx context.Context, req SyncRequest, say func(string)) error
	// Takeover asks the holder of the lease to hand over, or takes it by force,
	// and returns when it is ours.
	Takeover(ctx context.Context, req TakeoverRequest, say func(string)) error
	// FinishAdoption ends the watch over plain objects of an earlier tool.
	FinishAdoption(ctx context.Context, req SyncRequest, say func(string)) error
	// Pause holds one unit or replica.
	Pause(ctx context.Context, name string) error
	// Resume lets it go on.
	Resume(ctx context.Context, name string) error
	// Restart starts one unit anew; a replica runs a cycle.
	Restart(ctx context.Context, name string) error
	// Stop asks for the orderly end and says how it goes. It returns when the
	// replicas have ended, with account.ErrOnlyHere when something of them is on
	// this machine only; the client watches the lock for the end of the process.
	Stop(ctx context.Context, req StopRequest, say func(string)) error
	// Reload reads the spec again and says what changed.
	Reload(ctx context.Context, say func(string)) error
	// Provide takes variables over that the spec asks for, and says what they
	// let go on.
	Provide(ctx context.Context, req ProvideRequest, say func(string)) error
	// Events tells each change, by emit, until the client goes away or emit fails.
	Events(ctx context.Context, emit func(Event) error) error
	History
}

// SyncRequest asks for a cycle now.
type SyncRequest struct {
	Names       []string `json:"names,omitempty"`        // of replicas; none: all
	AllowDelete bool     `json:"allow_delete,omitempty"` // let the deletions that a brake holds back go through
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
	Subject string    `json:"subject"` // workspace | lease | unit | replica | attention
	Name    string    `json:"name,omitempty"`
	From    string    `json:"from,omitempty"`
	To      string    `json:"to,omitempty"`
	Text    string    `json:"text,omitempty"`
}

// Duration travels as text ("1m30s").
type Duration time.Duration

// MarshalText writes the duration as Go does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what [time.ParseDuration] does.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// Kinds of errors that a client acts on; they survive the way over the socket.
var (
	ErrNotFound    = errors.New("not found")    // no unit or replica of that name
	ErrInvalidSpec = errors.New("invalid spec") // the spec on the disk is not valid
	ErrForbidden   = errors.New("forbidden")    // the socket is another user's
	ErrStopping    = errors.New("stopping")     // coltecd is on its way out
)

// kinds names the sentinels on the wire.
var kinds = map[string]error{
	"not_found":    ErrNotFound,
	"invalid_spec": ErrInvalidSpec,
	"forbidden":    ErrForbidden,
	"stopping":     ErrStopping,
	"only_here":    account.ErrOnlyHere,
	"kept":         account.ErrKept,
}

// Error is an error on the wire, hints and kind included.
type Error struct {
	Text  string   `json:"text"`
	Hints []string `json:"hints,omitempty"`
	Kind  string   `json:"kind,omitempty"`
}

// line is one line of an answer that takes its time: any number of say, then
// one done or error. A stream that ends without either was cut off.
type line struct {
	Say    string          `json:"say,omitempty"`
	Done   bool            `json:"done,omitempty"`
	Answer json.RawMessage `json:"answer,omitempty"` // with done, where there is something to tell
	Error  *Error          `json:"error,omitempty"`
}

// toWire makes err fit for the socket.
func toWire(err error) *Error {
	e := &Error{Text: err.Error(), Hints: hint.Of(err)}
	for name, kind := range kinds {
		if errors.Is(err, kind) {
			e.Kind = name
		}
	}
	return e
}

// remote is an error that came over the socket.
type remote struct {
	text string
	kind error
}

func (r *remote) Error() string { return r.text }
func (r *remote) Unwrap() error { return r.kind }

// err is the error again on the client's side: same text, hints and kind.
func (e *Error) err() error {
	var err error = &remote{e.Text, kinds[e.Kind]}
	for i := len(e.Hints) - 1; i >= 0; i-- {
		err = hint.Wrap(err, "%s", e.Hints[i])
	}
	return err
}

// NotFound is the error for a name that is neither unit nor replica; known
// names go into the hint.
func NotFound(name string, known []string) error {
	err := fmt.Errorf("no unit or replica %q: %w", name, ErrNotFound)
	if len(known) == 0 {
		return hint.Wrap(err, "this workspace has no units and no replicas")
	}
	return hint.Wrap(err, "known names: %s", join(known))
}
