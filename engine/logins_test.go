package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

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
	deadline := time.After(time.Minute)
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
	if found := grepBucket(t, w.s3, "canary-token"); len(found) > 0 {
		t.Errorf("a login can be read in %q", found)
	}
	if found := grepBucket(t, w.s3, "a talk that is carried"); len(found) == 0 {
		t.Error("what is carried is not found either: nothing was looked into")
	}
}

// grepBucket lists the objects that have a text, as they are or in one of their zstd frames.
func grepBucket(t *testing.T, s *s3test.Server, text string) (found []string) {
	t.Helper()
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	err = filepath.WalkDir(filepath.Join(s.Dir, s.Bucket), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		all := []string{string(b)}
		for i := range b {
			if bytes.HasPrefix(b[i:], []byte{0x28, 0xb5, 0x2f, 0xfd}) && d.Reset(bytes.NewReader(b[i:])) == nil {
				part, _ := io.ReadAll(d) // up to what follows the frame
				all = append(all, string(part))
			}
		}
		if slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, text) }) {
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
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
		o.LeaseTTL, o.LeaseRenew = 6*time.Second, time.Second
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
