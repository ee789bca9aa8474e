package control

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/status"
)

// fake is a Handler whose answers a test sets.
type fake struct {
	History
	doc    status.Document
	sync   func(ctx context.Context, req SyncRequest, say func(string)) error
	events func(ctx context.Context, emit func(Event) error) error

	mu    sync.Mutex
	calls []string
}

func (f *fake) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

func (f *fake) Status(context.Context) status.Document { return f.doc }
func (f *fake) Await(_ context.Context, req AwaitRequest, _ func(string)) (status.Document, error) {
	f.note("await %d", req.After)
	return f.doc, nil
}
func (f *fake) Sync(ctx context.Context, req SyncRequest, say func(string)) error {
	return f.sync(ctx, req, say)
}
func (f *fake) Checkpoint(_ context.Context, req CheckpointRequest, _ func(string)) (Checkpoint, error) {
	f.note("checkpoint %s", req.Name)
	return Checkpoint{Name: req.Name}, nil
}
func (f *fake) Collect(_ context.Context, _ CollectRequest, _ func(string)) (Collected, error) {
	f.note("collect")
	return Collected{Kept: 1}, nil
}
func (f *fake) RemoveCheckpoint(_ context.Context, name string) error {
	f.note("remove %s", name)
	return nil
}
func (f *fake) Rewind(_ context.Context, req RewindRequest, say func(string)) (Rewound, error) {
	f.note("rewind %s %s %v", req.At, req.Path, req.DryRun)
	say("back")
	return Rewound{To: 3}, nil
}
func (f *fake) Join(_ context.Context, req JoinRequest, say func(string)) (Joined, error) {
	f.note("join %s %v", req.Fork, req.DryRun)
	return Joined{Fork: req.Fork}, nil
}
func (f *fake) Takeover(_ context.Context, req TakeoverRequest, say func(string)) error {
	f.note("takeover %v", req.Force)
	say("asked")
	return nil
}
func (f *fake) Logout(_ context.Context, req LogoutRequest, _ func(string)) error {
	f.note("logout %v %v", req.Agents, req.Local)
	return nil
}

func (f *fake) ReportAgent(_ context.Context, req AgentReport, _ func(string)) error {
	f.note("report %s %s", req.Agent, req.State)
	return nil
}

func (f *fake) FinishAdoption(_ context.Context, req SyncRequest, _ func(string)) error {
	f.note("adopt %v", req.Names)
	return nil
}
func (f *fake) Pause(_ context.Context, name string) error {
	f.note("pause %s", name)
	return NotFound(name, []string{"web", "db"})
}
func (f *fake) Resume(_ context.Context, name string) error  { f.note("resume %s", name); return nil }
func (f *fake) Restart(_ context.Context, name string) error { panic("restart " + name) }
func (f *fake) Stop(_ context.Context, req StopRequest, say func(string)) error {
	f.note("stop %s", time.Duration(req.Timeout))
	say("stopping")
	return nil
}
func (f *fake) Reload(_ context.Context, say func(string)) error {
	return fmt.Errorf("cannot load: %w", ErrInvalidSpec)
}
func (f *fake) Provide(_ context.Context, req ProvideRequest, say func(string)) error {
	f.note("provide %v", req.Variables)
	return nil
}
func (f *fake) Events(ctx context.Context, emit func(Event) error) error { return f.events(ctx, emit) }

// serve runs a server over f on a real socket and gives a client of it.
func serve(t *testing.T, f *fake) (*Client, *Server, *bytes.Buffer) {
	t.Helper()
	lock := take(t, place(t, "srv"))
	logged := &bytes.Buffer{}
	s := NewServer(f, slog.New(slog.NewTextHandler(logged, nil)))
	done := make(chan error, 2)
	must(t, lock.Listen(func(l net.Listener) { done <- s.Serve(l) }, func(err error) { t.Error(err) }))
	t.Cleanup(func() {
		s.Close()
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	return Dial(lock.socket()), s, logged
}

func TestStatusGoesThrough(t *testing.T) {
	now := time.Now().UTC()
	f := &fake{doc: status.Document{
		Workspace: status.Workspace{Org: "acme", Project: "widget", Env: "dev"},
		State:     status.Degraded, PID: 7, Since: &now,
		Units:     []status.Unit{{Name: "web", Kind: "service", State: "running"}},
		Attention: []string{"do this"},
	}}
	c, _, _ := serve(t, f)
	got, err := c.Status(t.Context())
	must(t, err)
	if diff := gocmp.Diff(f.doc, got); diff != "" {
		t.Error(diff)
	}
}

func TestSyncStreamsProgress(t *testing.T) {
	var got SyncRequest
	f := &fake{sync: func(_ context.Context, req SyncRequest, say func(string)) error {
		got = req
		say("one")
		say("two")
		return hint.Wrap(hint.Wrap(errors.New("cannot push"), "inner"), "outer")
	}}
	c, _, _ := serve(t, f)
	want := SyncRequest{Names: []string{"workspace"}, AllowDelete: true}
	var said []string
	err := c.Sync(t.Context(), want, func(s string) { said = append(said, s) })
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := gocmp.Diff([]string{"one", "two"}, said); diff != "" {
		t.Error(diff)
	}
	if err == nil || err.Error() != "cannot push" {
		t.Errorf("error %v", err)
	}
	if diff := gocmp.Diff([]string{"outer", "inner"}, hint.Of(err)); diff != "" {
		t.Error(diff)
	}
}

func TestCancelReachesTheHandler(t *testing.T) {
	ended := make(chan struct{})
	f := &fake{sync: func(ctx context.Context, _ SyncRequest, say func(string)) error {
		say("begun")
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}}
	c, _, _ := serve(t, f)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupted")
	if err := c.Sync(ctx, SyncRequest{}, func(string) { cancel(cause) }); !errors.Is(err, cause) {
		t.Errorf("got %v, want the cause", err)
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the handler was not told that the client went away")
	}
}

func TestVerbs(t *testing.T) {
	f := &fake{doc: status.Document{Index: 3}}
	c, _, logged := serve(t, f)
	ctx := t.Context()
	tests := map[string]struct {
		call    func() error
		want    string
		is      error
		hasHint string
	}{
		"pause of no unit": {func() error { return c.Act(ctx, "pause", "nix") }, `no unit or replica "nix": not found`, ErrNotFound, "known names: web, db"},
		"resume":           {func() error { return c.Act(ctx, "resume", "web") }, "", nil, ""},
		"a panic":          {func() error { return c.Act(ctx, "restart", "web") }, "internal error: restart web", nil, ""},
		"stop":             {func() error { return c.Stop(ctx, StopRequest{Duration(5 * time.Second)}, nil) }, "", nil, ""},
		"provide": {func() error {
			return c.Provide(ctx, ProvideRequest{map[string]string{"A": "b"}}, nil)
		}, "", nil, ""},
		"await":           {func() error { return awaited(c.Await(ctx, AwaitRequest{7})) }, "index 3", nil, ""},
		"reload":          {func() error { return c.Reload(ctx, nil) }, "cannot load: invalid spec", ErrInvalidSpec, ""},
		"an unknown verb": {func() error { return c.Act(ctx, "fly", "web") }, "coltecd answered 404 Not Found", nil, "is it of another version? compare coltecd version and coltecd status"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.call()
			if got := text(err); got != tt.want {
				t.Errorf("error %q, want %q", got, tt.want)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
			if got := strings.Join(hint.Of(err), "|"); got != tt.hasHint {
				t.Errorf("hint %q, want %q", got, tt.hasHint)
			}
		})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := fmt.Sprint(len(f.calls), logged.Len() > 0, strings.Contains(logged.String(), "trace=")); got != "5 true true" || !slices.Contains(f.calls, "await 7") {
		t.Errorf("calls, logged, trace: %s (%q)", got, f.calls)
	}
}

// awaited makes a text of the answer, as of an error.
func awaited(doc status.Document, err error) error {
	return cmp.Or(err, fmt.Errorf("index %d", doc.Index))
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAnotherUserIsRefused(t *testing.T) {
	c, s, _ := serve(t, &fake{})
	s.allow = func(uint32) bool { return false }
	_, err := c.Status(t.Context())
	if !errors.Is(err, ErrForbidden) {
		t.Errorf("got %v", err)
	}
}

func TestEvents(t *testing.T) {
	want := Event{Subject: "unit", Name: "web", From: "starting", To: "running"}
	f := &fake{events: func(ctx context.Context, emit func(Event) error) error {
		must(t, emit(want))
		<-ctx.Done()
		return ctx.Err()
	}}
	c, _, _ := serve(t, f)
	enough := errors.New("enough")
	err := c.Events(t.Context(), func(e Event) error {
		if diff := gocmp.Diff(want, e); diff != "" {
			t.Error(diff)
		}
		return enough
	})
	if !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}

// A daemon that dies in the middle of an answer leaves an error, not a success.
func TestCutAnswer(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/s")
	must(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 4096)
			_, _ = c.Read(buf)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"say\":\"going\"}\n\r\n")
			c.Close()
		}
	}()
	c := Dial(l.Addr().String())
	if err := c.Sync(t.Context(), SyncRequest{}, nil); !errors.Is(err, ErrGone) {
		t.Errorf("sync: %v", err)
	}
	if err := c.Stop(t.Context(), StopRequest{}, nil); !errors.Is(err, ErrGone) { // what it had pushed is not known
		t.Errorf("a stop: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(t.TempDir() + "/none").Status(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// The socket has the status in numbers, in the format that is asked for.
func TestMetrics(t *testing.T) {
	f := &fake{doc: status.Document{Workspace: status.Workspace{Org: "acme", Project: "widget", Env: "dev"}, State: status.Running}}
	c, _, _ := serve(t, f)
	for accept, end := range map[string]string{"": "\n", "application/openmetrics-text;version=1.0.0,*/*;q=0.1": "\n# EOF\n"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://coltecd/metrics", nil)
		must(t, err)
		req.Header.Set("Accept", accept)
		resp, err := c.http.Do(req)
		must(t, err)
		b, err := io.ReadAll(resp.Body)
		must(t, errors.Join(err, resp.Body.Close()))
		if text := string(b); !strings.Contains(text, `coltec_up{workspace="acme/widget/dev"} 1`) || !strings.HasSuffix(text, end) || strings.HasSuffix(text, "EOF\n") != (accept != "") {
			t.Errorf("%q, as %s:\n%s", accept, resp.Header.Get("Content-Type"), text)
		}
	}
}
