// Package control is how a person's command reaches the coltecd of a
// workspace: JSON over HTTP on a unix socket in a private directory, and the
// lock that keeps one coltecd per workspace. coltecd serves it; coltecd's
// client verbs and the host's coltec speak it. It knows the status document
// and nothing of what is behind the [Handler].
package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/hint"
)

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
// An error has the answer beside it where that is a list, as far as it came.
type line struct {
	Say    string          `json:"say,omitempty"`
	Done   bool            `json:"done,omitempty"`
	Answer json.RawMessage `json:"answer,omitempty"` // with done or error, where there is something to tell
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
	if name == "" {
		err = fmt.Errorf("the name of a unit or replica is empty: %w", ErrNotFound)
	}
	if len(known) == 0 {
		return hint.Wrap(err, "this workspace has no units and no replicas")
	}
	return hint.Wrap(err, "known names: %s", join(known))
}
