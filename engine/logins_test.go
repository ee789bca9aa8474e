package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/logins"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

const credentials = ".claude/.credentials.json"

// provider is who an agent logs in at: each refresh token is good once, and the newest alone.
type provider struct {
	mu      sync.Mutex
	token   string
	count   int
	refused int
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, _ := io.ReadAll(r.Body)
	if string(b) != p.token {
		p.refused++
		http.Error(w, "used or unknown", http.StatusUnauthorized)
		return
	}
	p.count++
	p.token = fmt.Sprintf("canary-token-%d", p.count)
	fmt.Fprint(w, p.token)
}

// dwelling is a home where an agent runs, and coltecd.
type dwelling struct {
	t    *testing.T
	home string
	e    *Engine
	stop func()
	at   string // of the provider

	changed chan struct{} // the status may be another one
}

// refresh is what an agent does with its login: the old file is replaced by a new one.
func (p *dwelling) refresh() {
	p.t.Helper()
	file := filepath.Join(p.home, credentials)
	old, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatalf("%v; notes %q", err, p.notes())
	}
	resp, err := http.Post(p.at, "text/plain", bytes.NewReader(old))
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	token, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("the login was refused: %s, %v; notes %q", token, err, p.notes())
	}
	if err := errors.Join(os.WriteFile(file+".new", token, 0o600), os.Rename(file+".new", file)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *dwelling) notes() []string { _, _, notes := p.e.Status(); return notes }

// start runs coltecd, and waits for the restore, before which no agent runs.
func (p *dwelling) start(o Options) {
	p.t.Helper()
	p.run(o)
	p.await(status.LeaseHeld)
}

func (p *dwelling) run(o Options) {
	p.t.Helper()
	p.changed = make(chan struct{}, 1)
	o.Changed = func() {
		select {
		case p.changed <- struct{}{}:
		default:
		}
	}
	p.e = New(o)
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error, 1)
	go func() { done <- p.e.Run(ctx) }()
	p.stop = func() {
		p.t.Helper()
		cancel()
		if err := <-done; err != nil && !errors.As(err, new(*store.HeldByOther)) { // who has nothing to push
			p.t.Errorf("the stop: %v", err)
		}
	}
}

// await waits until the lease is in a state, and the replica synced.
func (p *dwelling) await(state status.LeaseState) {
	p.t.Helper()
	deadline := time.After(3 * time.Minute)
	for {
		l, r, notes := p.e.Status()
		if l.State == state && r[0].State == status.ReplicaSynced {
			return
		}
		select {
		case <-p.changed:
		case <-deadline:
			p.t.Fatalf("it did not come so far: %+v, %+v, %q", l, r, notes)
		}
	}
}

// loginWorld is a bucket, a key and a provider for places.
type loginWorld struct {
	s3      *s3test.Server
	connect func(context.Context, scope.Target) (scope.Remote, error)
	key     string
	login   *provider
	url     string
}

func newLoginWorld(t *testing.T) *loginWorld {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	w := &loginWorld{s3: s3test.Start(t), key: id.String(), login: &provider{token: "canary-token-0"}}
	w.connect = realRemotes(t, w.s3)
	server := httptest.NewServer(w.login)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// options are of a place: its home is a replica that leaves the login out.
func (w *loginWorld) options(t *testing.T, home string) Options {
	t.Helper()
	o := optionsAt(home, w.connect)
	if err := os.MkdirAll(home, 0o755); err != nil { // of a user
		t.Fatal(err)
	}
	f, err := filter.Compile(slices.Concat(filter.Under(credentials), filter.Under(credentials+".new"), filter.Under(logins.OwnDir)))
	if err != nil {
		t.Fatal(err)
	}
	o.Replicas[0].Filter, o.Replicas[0].Watch = f, true
	o.Self.Host = filepath.Base(home)
	k, err := logins.New(logins.Options{
		Workspace: o.Workspace.String(), Host: o.Self.Host, Home: home, Key: w.key, Log: slog.New(slog.DiscardHandler),
		Agents: []logins.Agent{{Name: "claude", Files: []string{credentials}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Logins = k
	return o
}

// Two machines hop, by stops and by takeovers, and an agent refreshes a token that is good
// once on each of them, at any moment until coltecd is asked to end: none is ever refused.
// Nothing of a token is in the bucket in a form that can be read.
func TestLoginsHop(t *testing.T) {
	sample.Long(t)
	w := newLoginWorld(t)
	places := []*dwelling{}
	for _, name := range []string{"a", "b"} {
		places = append(places, &dwelling{t: t, home: filepath.Join(t.TempDir(), name), at: w.url})
	}
	write(t, places[0].home, credentials, "canary-token-0")
	write(t, places[0].home, "talk.jsonl", "a talk that is carried\n")
	for hop := range sample.Size(20, 100) {
		p := places[hop%2]
		p.start(w.options(t, p.home))
		for range 1 + hop%3 {
			p.refresh()
		}
		p.stop()
	}
	if w.login.refused > 0 || w.login.count == 0 {
		t.Errorf("%d of %d logins refused", w.login.refused, w.login.count+w.login.refused)
	}
	if found := w.s3.Grep(t, "canary-token"); len(found) > 0 {
		t.Errorf("a login can be read in %q", found)
	}
	if found := w.s3.Grep(t, "a talk that is carried"); len(found) == 0 {
		t.Error("what is carried is not found either: nothing was looked into")
	}
}

// Who takes the lease over from a holder that goes on has the newest login, and the one that
// it was taken from has it once it has the lease again, before its agent runs.
func TestLoginsTakenOver(t *testing.T) {
	sample.Long(t)
	w := newLoginWorld(t)
	a := &dwelling{t: t, home: filepath.Join(t.TempDir(), "a"), at: w.url}
	b := &dwelling{t: t, home: filepath.Join(t.TempDir(), "b"), at: w.url}
	write(t, a.home, credentials, "canary-token-0")
	options := func(p *dwelling) Options {
		o := w.options(t, p.home)
		o.LeaseTTL, o.LeaseRenew = 3*time.Minute, time.Second // it is asked for, and never over
		return o
	}
	a.start(options(a))
	b.run(options(b))
	holds := a
	for i := range 4 {
		p := []*dwelling{a, b}[i%2]
		if p != holds {
			if err := p.e.Takeover(t.Context(), false); err != nil {
				t.Fatal(err)
			}
		}
		p.await(status.LeaseHeld)
		p.refresh()
		p.refresh()
		holds = p
	}
	a.stop()
	b.stop()
	if w.login.refused > 0 || w.login.count != 8 {
		t.Errorf("%d logins refused, %d were not", w.login.refused, w.login.count)
	}
}

// brokenLogins cannot be given, and cannot be taken so many times.
type brokenLogins struct {
	take, took, gave int
	give             error
}

func (b *brokenLogins) Take(context.Context, store.Bucket, *store.Head, bool) error {
	if b.take--; b.take >= 0 {
		return errors.New("cannot be taken")
	}
	b.took++
	return nil
}

func (b *brokenLogins) Give(context.Context, store.Bucket) error { b.gave++; return b.give }
func (b *brokenLogins) Watch(ctx context.Context, _ func())      { <-ctx.Done() }
func (b *brokenLogins) Notes() []string                          { return nil }

// A stop that could not push a login says so, and pushes the rest; one that could not be taken
// at first is taken before the replicas.
func TestLoginsFail(t *testing.T) {
	sample.Long(t)
	connect := realRemotes(t, s3test.Start(t))
	dir := filepath.Join(t.TempDir(), "a")
	write(t, dir, "file", "one")
	b := &brokenLogins{give: errors.New("no room")}
	o := optionsAt(dir, connect)
	o.Logins = b
	if err := New(o).Once(t.Context()); !errors.Is(err, ErrLogins) {
		t.Errorf("the end: %v", err)
	}
	b = &brokenLogins{take: takes - 1}
	o = optionsAt(filepath.Join(t.TempDir(), "b"), connect)
	o.Logins = b
	if err := New(o).Once(t.Context()); err != nil || b.took != 1 || b.gave == 0 {
		t.Errorf("%v: taken %d times, given %d times", err, b.took, b.gave)
	}
	if got := files(t, o.Replicas[0].Path); got["file"] == "" {
		t.Errorf("the rest is not there: %v", got)
	}
}

// After a failure the next attempt waits longer, and what went well forgets it.
func TestLoginTurn(t *testing.T) {
	e := New(Options{})
	at := e.instant()
	head := &store.Head{Lineage: "l", Epoch: 3}
	var turn loginTurn
	turn = turn.took(head, errors.New("no"), at)
	if turn.taken(head) || !turn.next.After(at.now) || turn.left() == nil {
		t.Errorf("after a failure: %+v", turn)
	}
	turn = turn.took(head, nil, at)
	if !turn.taken(head) || !turn.changed || turn.left() != nil || turn.next.After(at.now) {
		t.Errorf("taken: %+v", turn)
	}
	if failed := turn.gave(errors.New("no"), at); !failed.changed || failed.left() == nil {
		t.Errorf("not given: %+v", failed)
	}
	if turn = turn.gave(nil, at); turn.changed || !turn.taken(head) {
		t.Errorf("given: %+v", turn)
	}
	if turn.taken(&store.Head{Lineage: "l", Epoch: 4}) || turn.taken(&store.Head{Lineage: "k", Epoch: 3}) {
		t.Error("taken under another lease")
	}
}
