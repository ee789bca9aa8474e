package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/status"
)

// ErrGone says that coltecd ended before it had answered.
var ErrGone = errors.New("coltecd went away before it had answered")

// dialPatience covers the moment between taking the seat and listening, and a
// restart by the keeper with its first back-off.
const dialPatience = 3 * time.Second

// Client speaks to one coltecd.
type Client struct {
	http http.Client
}

// Dial makes a client of the coltecd that listens at socket. No connection is
// made yet.
func Dial(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialPatiently(ctx, socket)
	}
	return &Client{http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

func dialPatiently(ctx context.Context, socket string) (net.Conn, error) {
	var d net.Dialer
	for deadline := time.Now().Add(dialPatience); ; {
		c, err := d.DialContext(ctx, "unix", socket)
		if err == nil || time.Now().After(deadline) {
			return c, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
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

// Sync runs a cycle now and waits for its outcome.
func (c *Client) Sync(ctx context.Context, req SyncRequest, say func(string)) error {
	return c.call(ctx, "sync", req, say)
}

// Takeover asks for the lease and waits until it is there.
func (c *Client) Takeover(ctx context.Context, req TakeoverRequest, say func(string)) error {
	return c.call(ctx, "takeover", req, say)
}

// FinishAdoption ends the watch over what an earlier tool left.
func (c *Client) FinishAdoption(ctx context.Context, req SyncRequest, say func(string)) error {
	return c.call(ctx, "adopt", req, say)
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

// A client is the history of its coltecd's workspace.
var _ History = (*Client)(nil)

// Generations implements [History].
func (c *Client) Generations(ctx context.Context, req GenerationsRequest, say func(string)) ([]Generation, error) {
	req.Ask = AskGenerations
	return read[[]Generation](ctx, c, req, say)
}

// Versions implements [History].
func (c *Client) Versions(ctx context.Context, req VersionsRequest, say func(string)) (Versions, error) {
	req.Ask = AskVersions
	return read[Versions](ctx, c, req, say)
}

// Changes implements [History].
func (c *Client) Changes(ctx context.Context, req ChangesRequest, say func(string)) (Changes, error) {
	req.Ask = AskChanges
	return read[Changes](ctx, c, req, say)
}

// Restore implements [History].
func (c *Client) Restore(ctx context.Context, req RestoreRequest, say func(string)) ([]Placed, error) {
	req.Ask = AskRestore
	return read[[]Placed](ctx, c, req, say)
}

// Conflicts implements [History].
func (c *Client) Conflicts(ctx context.Context, req ConflictsRequest, say func(string)) ([]Conflict, error) {
	req.Ask = AskConflicts
	return read[[]Conflict](ctx, c, req, say)
}

// Conflict implements [History].
func (c *Client) Conflict(ctx context.Context, req ConflictRequest, say func(string)) (Conflict, error) {
	req.Ask = AskConflict
	return read[Conflict](ctx, c, req, say)
}

// Take implements [History].
func (c *Client) Take(ctx context.Context, req ConflictRequest, say func(string)) (Conflict, error) {
	req.Ask = AskTake
	return read[Conflict](ctx, c, req, say)
}

// Drop implements [History].
func (c *Client) Drop(ctx context.Context, req ConflictRequest, say func(string)) (Conflict, error) {
	req.Ask = AskDrop
	return read[Conflict](ctx, c, req, say)
}

// Verify implements [History].
func (c *Client) Verify(ctx context.Context, req VerifyRequest, say func(string)) ([]Verdict, error) {
	req.Ask = AskVerify
	return read[[]Verdict](ctx, c, req, say)
}

// read asks a question of the history.
func read[A any](ctx context.Context, c *Client, req any, say func(string)) (answer A, err error) {
	err = c.ask(ctx, "read", req, &answer, say)
	return answer, err
}

// call posts a request and follows the lines of its answer.
func (c *Client) call(ctx context.Context, verb string, req any, say func(string)) error {
	return c.ask(ctx, verb, req, nil, say)
}

// ask is call with an answer at the end; nil for none.
func (c *Client) ask(ctx context.Context, verb string, req, answer any, say func(string)) error {
	body, err := c.open(ctx, http.MethodPost, verb, req)
	if err != nil {
		return err
	}
	defer body.Close()
	for dec := json.NewDecoder(body); ; {
		var l line
		switch err := dec.Decode(&l); {
		case err != nil:
			return c.cut(ctx)
		case l.Error != nil:
			return l.Error.err()
		case l.Done && answer != nil:
			if err := json.Unmarshal(l.Answer, answer); err != nil {
				return fmt.Errorf("cannot read coltecd's answer: %w", err)
			}
			return nil
		case l.Done:
			return nil
		case say != nil:
			say(l.Say)
		}
	}
}

// cut is the error of an answer that ended too early.
func (c *Client) cut(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return ErrGone
}

// open sends one request and gives the body of a good answer.
func (c *Client) open(ctx context.Context, method, verb string, req any) (io.ReadCloser, error) {
	var send io.Reader
	if req != nil {
		b, err := json.Marshal(req)
		if err != nil {
			return nil, err
		}
		send = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://coltecd/v1/"+verb, send)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, hint.Wrap(fmt.Errorf("cannot reach coltecd: %w", errors.Unwrap(err)), "see its log: coltecd logs coltecd")
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, answered(resp)
}

// answered is the error in an answer that is not 200.
func answered(resp *http.Response) error {
	var l line
	if err := json.NewDecoder(resp.Body).Decode(&l); err != nil || l.Error == nil {
		return hint.Wrap(fmt.Errorf("coltecd answered %s", resp.Status), "is it of another version? compare coltecd version and coltecd status")
	}
	return l.Error.err()
}
