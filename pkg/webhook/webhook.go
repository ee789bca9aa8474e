// Package webhook posts JSON to an address that an operator named: once for each call, within
// a bounded time, signed where there is a key, and without following where an answer leads.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Hook is an address, and what signs what goes there. Its methods may be called from any
// goroutine.
type Hook struct {
	url, host string
	key       string
	agent     string
	client    *http.Client
}

// Signature is the header with "sha256=" and the HMAC-SHA256 of the body, in hexadecimal, as
// GitHub and others have theirs.
const Signature = "Coltec-Signature"

const (
	// Patience is how long a post may take, from the look for the address to the end of the answer.
	Patience = 10 * time.Second
	// answerMost is how much of an answer is read: nothing of it is used.
	answerMost = 4 << 10
	// waitMost is the longest time that an answer may ask to wait for.
	waitMost = 10 * time.Minute
)

// New makes a hook of an address, which pkg/spec has checked. No key: nothing is signed. agent
// is who posts: "coltecd/1.2.3".
func New(address, key, agent string) (*Hook, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the address cannot be read")
	}
	return &Hook{
		url: address, host: u.Host, key: key, agent: agent,
		client: &http.Client{
			Timeout:       Patience,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				DialContext:            (&net.Dialer{Timeout: Patience / 2}).DialContext,
				TLSHandshakeTimeout:    Patience / 2,
				MaxResponseHeaderBytes: 16 << 10,
				DisableKeepAlives:      true, // there may be hours between two posts
				DisableCompression:     true,
			},
		},
	}, nil
}

// Host is where it posts, for people: the rest of an address may be a secret.
func (h *Hook) Host() string { return h.host }

// Error is a post that was not taken.
type Error struct {
	Status int           // of the answer; 0: there was none
	Final  bool          // the same body would not be taken later either
	After  time.Duration // how long the answer asks to wait; 0: it does not
	cause  error
}

// Error never has the address: it may be a secret.
func (e *Error) Error() string {
	switch {
	case e.Status == 0:
		return fmt.Sprintf("there was no answer (%v)", e.cause)
	case e.Status >= 300 && e.Status < 400:
		return fmt.Sprintf("the answer was %d, and redirects are not followed", e.Status)
	}
	return fmt.Sprintf("the answer was %d %s", e.Status, http.StatusText(e.Status))
}

func (e *Error) Unwrap() error { return e.cause }

// Post posts a body, with a header that names what it is about, so that who gets it twice
// knows. Any error is an [*Error].
func (h *Hook) Post(ctx context.Context, id string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return &Error{Final: true, cause: bare(err)}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", h.agent)
	req.Header.Set("Coltec-Delivery", id)
	if h.key != "" {
		req.Header.Set(Signature, Sign(h.key, body))
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return &Error{cause: bare(err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil // taken; whatever is said of it
	}
	_, _ = io.CopyN(io.Discard, resp.Body, answerMost)
	e := &Error{Status: resp.StatusCode, cause: errors.New(resp.Status)}
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		e.Final = true
	}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		e.After = min(time.Duration(min(n, 86400))*time.Second, waitMost)
	}
	return e
}

// bare is an error of package net/http without the address, which it writes out.
func bare(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}

// Sign is the value of the header [Signature].
func Sign(key string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}
