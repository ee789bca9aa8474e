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
	"slices"
	"strconv"
	"strings"
	"time"
)

// Hook is an address, and what signs what goes there. Its methods may be called from any
// goroutine.
type Hook struct {
	url, host string
	parts     []string // of the address behind its host, which no error is to have
	key       string
	agent     string
	patience  time.Duration
	way       http.RoundTripper // and no client, which follows, and tells addresses in its errors
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
		url: address, host: u.Host, parts: partsOf(u), key: key, agent: agent,
		patience: Patience,
		way: &http.Transport{
			Proxy:                  quiet(http.ProxyFromEnvironment),
			DialContext:            (&net.Dialer{Timeout: Patience / 2}).DialContext,
			TLSHandshakeTimeout:    Patience / 2,
			MaxResponseHeaderBytes: 16 << 10,
			DisableKeepAlives:      true, // there may be hours between two posts
			DisableCompression:     true,
		},
	}, nil
}

// quiet is a choice of a proxy whose error does not have the proxy's address, and password.
func quiet(choose func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		u, err := choose(r)
		if err != nil {
			return nil, errProxy
		}
		return u, nil
	}
}

// errProxy is that of a proxy whose address makes no sense.
var errProxy = errors.New("the environment names a proxy whose address cannot be read")

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
	return strings.TrimSpace(fmt.Sprintf("the answer was %d %s", e.Status, http.StatusText(e.Status)))
}

func (e *Error) Unwrap() error { return e.cause }

// Post posts a body, with a header that names what it is about, so that who gets it twice
// knows. Any error is an [*Error].
func (h *Hook) Post(ctx context.Context, id string, body []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, h.patience, fmt.Errorf("none within %s", h.patience))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return &Error{Final: true, cause: errors.New("the address cannot be read")}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", h.agent)
	req.Header.Set("Coltec-Delivery", id)
	if h.key != "" {
		req.Header.Set(Signature, Sign(h.key, body))
	}
	resp, err := h.way.RoundTrip(req)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &Error{cause: h.bare(err)}
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
	e.After = after(resp.Header.Get("Retry-After"), time.Now())
	return e
}

// after is how long an answer asks to wait, by its header Retry-After (RFC 9110): seconds, or a
// moment; 0: it does not.
func after(text string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(text); err == nil {
		return min(time.Duration(min(max(n, 0), 86400))*time.Second, waitMost)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), waitMost)
	}
	return 0
}

// bare is an error of package net/http without the address: what comes back over the way may hold
// it, as an answer that is none is written out. Of a connection it says what failed, and not from
// which port: the same trouble is the same sentence.
func (h *Hook) bare(err error) error {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Errorf("there is no host %s", dns.Name)
	case errors.As(err, &dns):
		return fmt.Errorf("cannot look up %s", dns.Name)
	case errors.As(err, &op):
		return &net.OpError{Op: op.Op, Net: op.Net, Err: op.Err}
	}
	for _, part := range h.parts {
		if strings.Contains(err.Error(), part) {
			return errHasAddress
		}
	}
	return err
}

// errHasAddress is the reason that has a part of the address in it.
var errHasAddress = errors.New("the reason is left out: it has the address in it")

// partLeast is how many bytes a part of an address has that is looked for: a shorter one is no
// secret.
const partLeast = 4

// partsOf are the parts of an address behind its host, as they are written and as they are meant.
func partsOf(u *url.URL) (parts []string) {
	all := u.EscapedPath() + "/" + u.Path + "/" + u.RawQuery
	if meant, err := url.QueryUnescape(u.RawQuery); err == nil {
		all += "/" + meant
	}
	for _, part := range strings.FieldsFunc(all, func(r rune) bool { return strings.ContainsRune("/?&=;", r) }) {
		if len(part) >= partLeast && !strings.Contains(u.Host, part) && !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return parts
}

// Sign is the value of the header [Signature].
func Sign(key string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}
