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
)

// ErrGone means that coltecd ended before it had answered.
var ErrGone = errors.New("coltecd went away before it had answered")

// dialPatience covers the moment between taking the lock and listening, and a
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
			if answer != nil && l.Answer != nil {
				_ = json.Unmarshal(l.Answer, answer) // as far as it came: the error is the news
			}
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
