// Package rclone runs rclone as a child process for the one thing it is best
// at: moving bytes between a directory and any remote. Argument lists are made
// by pure functions, credentials go by the environment alone, each operation
// costs a known number of requests, and every failure is an [Error] sorted by
// what can be done about it.
//
// What counts as true, which files are moved and when something is tried again
// is decided by the callers: pkg/store and the replica engine. Nothing here
// retries, but for one object that the store wants to be written later.
package rclone

import (

	//nolint:gosec // ETags are MD5

	"fmt"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/secret"
)

// Remote is a place in a store: a binary, the environment it runs in, and a
// root. Its methods may be called from any goroutine.
type Remote struct {
	bin      Binary
	root     string
	opts     Options
	environ  []string
	redactor *secret.Redactor // of every text
	tags     *tags            // what is known of its ETags, shared with all that are made of it
	behind   string           // what may be wrong with the endpoint, as a step; "": nothing
	store    string           // see Identity
	service  string           // see Service
}

// NewRemote returns the place `root` (see [Root]) on one of the back ends. It
// runs nothing: only what is wrong in itself is refused.
func NewRemote(bin Binary, backends []Backend, root string, opts Options) (*Remote, error) {
	opts.fill()
	environ, secrets, err := environment(backends, opts.Env)
	if err != nil {
		return nil, err
	}
	name, _, _ := strings.Cut(root, ":")
	at := slices.IndexFunc(backends, func(b Backend) bool { return b.Name == name })
	if at < 0 {
		return nil, configError(fmt.Errorf("no remote is named %q", name), "name one of the remotes")
	}
	behind, err := endpointFault(backends, root)
	if err != nil {
		return nil, err
	}
	opts.noHash, opts.overS3 = backends[at].Type == "crypt", overS3(backends, name)
	return &Remote{
		bin: bin, root: root, opts: opts, environ: append(environ, opts.Extra...), redactor: secret.NewRedactor(secrets...),
		behind: behind, tags: &tags{},
		store: identity(bin, backends[at], root), service: identity(bin, backends[at], ""),
	}, nil
}

// Root returns where the remote is, for messages.
func (r *Remote) Root() string { return r.root }

// Identity changes with everything that decides what becomes of a conditional
// write: rclone's version, type and options of the back end, and the bucket. Keys and
// passwords are not part of it: who may write is another matter.
func (r *Remote) Identity() string { return r.store }

// Service is the same wherever in a store the root is: one answers alike everywhere.
func (r *Remote) Service() string { return r.service }

// At returns the same remote with a prefix below its root, sharing the limiters.
func (r *Remote) At(prefix string) *Remote {
	sub := *r
	sub.root = strings.TrimSuffix(join(r.root, encodeKey(strings.Trim(prefix, "/"))), "/")
	return &sub
}

// With returns the same remote with other transfers, checkers and bandwidth,
// where they are set.
func (r *Remote) With(transfers, checkers int, bwLimit string) *Remote {
	with := *r
	with.opts.Transfers = orDefault(transfers, r.opts.Transfers)
	with.opts.Checkers = orDefault(checkers, r.opts.Checkers)
	if bwLimit != "" {
		with.opts.BwLimit = bwLimit
	}
	return &with
}

// Metadata returns the same remote with [Options.Metadata] on.
func (r *Remote) Metadata() *Remote {
	with := *r
	with.opts.Metadata = true
	return &with
}

// spend tells of a run, also of one that failed.
func (r *Remote) spend(requests int, sent, received int64) {
	if r.opts.Spent != nil {
		r.opts.Spent(Spent{requests, sent, received})
	}
}
