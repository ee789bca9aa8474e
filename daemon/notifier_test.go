package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/attention"
	"github.com/coltec/coltec/pkg/webhook"
)

// square is where a notifier tells: what needs attention, and what came of it.
type square struct {
	t      *testing.T
	file   string
	status tracker

	mu      sync.Mutex
	lines   []string
	unknown bool // it is not known yet what they are
	to      audience
	posts   []string // "new a" that were taken, in their order
	hooks   []string // that ran
	post    func(letter) error
	hook    func(ctx context.Context, env []string)
}

func newSquare(t *testing.T) *square {
	q := &square{t: t, file: filepath.Join(t.TempDir(), notifierFile)}
	q.to = audience{hooks: true, webhook: true, at: "example.com", redact: func(s string) string { return strings.ReplaceAll(s, "hunter2", "***") }}
	q.to.letter = letter{Workspace: "acme/widget/dev", Host: "laptop", Version: "v1"}
	q.to.post = func(_ context.Context, id string, body []byte) error {
		var l letter
		if err := json.Unmarshal(body, &l); err != nil || id != l.ID+"-"+string(l.State) || l.Workspace != "acme/widget/dev" {
			t.Errorf("%s: %s, %v", id, body, err)
		}
		q.mu.Lock()
		post := q.post
		q.mu.Unlock()
		if post != nil {
			if err := post(l); err != nil {
				return err
			}
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		q.posts = append(q.posts, fmt.Sprintf("%s %s", l.State, l.Text))
		return nil
	}
	return q
}

// notifier starts one, as a coltecd does; end ends it as a kill does: nothing of it is saved at
// its end.
func (q *square) notifier() (h *notifier, end func()) {
	h = &notifier{
		file: q.file, log: slog.New(slog.DiscardHandler), status: &q.status, rested: func() {},
		look: func() ([]string, bool) { q.mu.Lock(); defer q.mu.Unlock(); return slices.Clone(q.lines), !q.unknown },
		whom: func() audience { q.mu.Lock(); defer q.mu.Unlock(); return q.to },
		hook: func(ctx context.Context, env []string) error {
			q.mu.Lock()
			hook := q.hook
			q.mu.Unlock()
			if hook != nil {
				hook(ctx, env)
			}
			q.mu.Lock()
			defer q.mu.Unlock()
			if ctx.Err() == nil {
				q.hooks = append(q.hooks, env[1]+" "+env[0])
			}
			return ctx.Err()
		},
	}
	ctx, cancel := context.WithCancel(q.t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); h.run(ctx) }()
	return h, func() { cancel(); <-ended }
}

// says sets what needs attention.
func (q *square) says(lines ...string) {
	q.mu.Lock()
	q.lines = lines
	q.mu.Unlock()
	q.status.changed()
}

// told are the posts and the hooks so far.
func (q *square) told() (posts, hooks []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.posts), slices.Clone(q.hooks)
}

// A thing is told once, and once when it is over, to hooks and the webhook, in the order in
// which it happened, without what is secret; and not again by a coltecd that comes after.
func TestNotifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSquare(t)
		_, end := q.notifier()
		q.says("a disk is full: hunter2")
		time.Sleep(time.Minute)
		end()
		_, end = q.notifier()
		time.Sleep(time.Minute)
		q.says("a disk is full: hunter2", "web has failed")
		time.Sleep(time.Minute)
		q.says("web has failed")
		time.Sleep(time.Minute)
		end()
		posts, hooks := q.told()
		want := []string{"new a disk is full: ***", "new web has failed", "gone a disk is full: ***"}
		if !slices.Equal(posts, want) {
			t.Errorf("posted %q, want %q", posts, want)
		}
		for i, h := range hooks {
			state, text, _ := strings.Cut(want[i], " ")
			if h != "COLTEC_ATTENTION_STATE="+state+" COLTEC_ATTENTION="+text {
				t.Errorf("hook %q", h)
			}
		}
		if len(hooks) != len(want) {
			t.Errorf("hooks %q", hooks)
		}
	})
}

// A webhook that takes nothing, and hooks that hang, keep nobody from being told: the hooks
// from the webhook and the other way round. What was not taken is when it can be, by then
// ever more seldom tried; status says so, and not to the webhook.
func TestNotifierOfTheDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSquare(t)
		var tries atomic.Int64
		q.post = func(letter) error { tries.Add(1); return &webhook.Error{Status: 500} }
		h, end := q.notifier()
		q.says("a", "b")
		time.Sleep(time.Hour)
		posts, hooks := q.told()
		if len(posts) != 0 || len(hooks) != 2 || tries.Load() < 10 || tries.Load() > 25 {
			t.Errorf("%d tries, posts %q, hooks %q", tries.Load(), posts, hooks)
		}
		if text := h.attention(); len(text) != 1 || !strings.Contains(text[0], "example.com takes nothing") || !strings.Contains(text[0], "2 letters wait") {
			t.Errorf("status says %q", text)
		}
		q.says(append(h.attention(), "a", "b")...) // as the document has it
		time.Sleep(time.Hour)
		q.mu.Lock()
		q.post = nil
		q.mu.Unlock()
		q.says("b")
		time.Sleep(time.Hour)
		if posts, _ := q.told(); !slices.Equal(posts, []string{"new a", "new b", "gone a"}) {
			t.Errorf("posts %q", posts)
		}
		if text := h.attention(); text != nil {
			t.Errorf("status says %q", text)
		}
		end()

		q = newSquare(t)
		q.hook = func(ctx context.Context, _ []string) { <-ctx.Done() }
		_, end = q.notifier()
		q.says("a")
		time.Sleep(time.Minute)
		if posts, hooks := q.told(); len(posts) != 1 || len(hooks) != 0 {
			t.Errorf("hooks hang: posts %q, hooks %q", posts, hooks)
		}
		end()
		q.mu.Lock()
		q.hook = nil
		q.mu.Unlock()
		_, end = q.notifier() // the hook was cut off: it runs again
		time.Sleep(time.Minute)
		if posts, hooks := q.told(); len(posts) != 1 || len(hooks) != 1 {
			t.Errorf("posts %q, hooks %q", posts, hooks)
		}
		end()
	})
}

// A letter that is refused for what it is does not keep those behind it; what nobody takes for a
// day is dropped, and the next letter says how many were.
func TestNotifierDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSquare(t)
		var dropped atomic.Int64
		q.post = func(l letter) error {
			if l.Text == "bad" {
				return &webhook.Error{Status: 400, Final: true}
			}
			dropped.Store(int64(l.Dropped))
			return nil
		}
		_, end := q.notifier()
		q.says("bad", "good")
		time.Sleep(time.Minute)
		if posts, _ := q.told(); !slices.Equal(posts, []string{"new good"}) || dropped.Load() != 1 {
			t.Errorf("posts %q, dropped %d", posts, dropped.Load())
		}
		q.mu.Lock()
		q.post = func(letter) error { return errors.New("nobody") }
		q.mu.Unlock()
		many := []string{"good"}
		for i := range 80 {
			many = append(many, fmt.Sprintf("unit%d has failed", i))
		}
		q.says(many...)
		time.Sleep(time.Hour)
		q.mu.Lock()
		q.post = func(l letter) error { dropped.Add(int64(l.Dropped)); return nil }
		q.mu.Unlock()
		dropped.Store(0)
		time.Sleep(time.Hour)
		posts, hooks := q.told()
		if len(posts) != 1+lettersMost || dropped.Load() != 81-lettersMost || len(hooks) != 2+lettersMost { // that bad is gone, too
			t.Errorf("%d posts, %d dropped, %d hooks", len(posts), dropped.Load(), len(hooks))
		}
		end()
	})
}

// A service that takes no letter of ours, as it wants another form of JSON, is said in the status, though
// none is tried again: else nobody would know.
func TestNotifierOfAnotherForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSquare(t)
		q.post = func(letter) error { return &webhook.Error{Status: 400, Final: true} }
		h, end := q.notifier()
		q.says("a", "b")
		time.Sleep(time.Minute)
		if text := h.attention(); text != nil {
			t.Errorf("two of them: status says %q", text)
		}
		q.says("a", "b", "c")
		time.Sleep(time.Minute)
		if text := h.attention(); len(text) != 1 || !strings.Contains(text[0], "takes nothing") || !strings.Contains(text[0], "3 were dropped") {
			t.Errorf("status says %q", text)
		}
		q.mu.Lock()
		q.post = nil
		q.mu.Unlock()
		q.says("a", "b", "c", "d")
		time.Sleep(time.Minute)
		if text := h.attention(); text != nil {
			t.Errorf("one was taken: status says %q", text)
		}
		end()
	})
}

// Another address is tried at once, whatever the old one had said.
func TestNotifierOfAnotherAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSquare(t)
		q.post = func(letter) error { return &webhook.Error{Status: 404, After: 10 * time.Minute} }
		h, end := q.notifier()
		q.says("a")
		time.Sleep(time.Hour)
		if h.attention() == nil {
			t.Error("nothing is said of the old one")
		}
		q.mu.Lock()
		q.post = nil
		q.to.edition++
		q.mu.Unlock()
		q.says("a") // as a reload does
		time.Sleep(10 * time.Second)
		if posts, _ := q.told(); !slices.Equal(posts, []string{"new a"}) || h.attention() != nil {
			t.Errorf("posts %q, status says %q", posts, h.attention())
		}
		end()
	})
}

// A post that was under way to the old address says nothing of the new one, and drops no letter.
func TestNotifierOfAnotherAddressMeanwhile(t *testing.T) {
	for name, came := range map[string]error{
		"later": &webhook.Error{Status: 503, After: 10 * time.Minute}, "never": &webhook.Error{Status: 400, Final: true}, "nobody": errors.New("no answer"),
	} {
		synctest.Test(t, func(t *testing.T) {
			q := newSquare(t)
			q.post = func(letter) error { time.Sleep(10 * time.Second); return came }
			h, end := q.notifier()
			q.says("a")
			time.Sleep(12 * time.Second) // it lasts for five, and is on its way
			q.mu.Lock()
			q.post = nil
			q.to.edition++
			q.mu.Unlock()
			q.says("a") // as a reload does
			time.Sleep(10 * time.Second)
			if posts, _ := q.told(); !slices.Equal(posts, []string{"new a"}) || h.attention() != nil {
				t.Errorf("%s: posts %q, status says %q", name, posts, h.attention())
			}
			end()
		})
	}
}

// A letter that waits from before is tried no more often while coltecd begins, and does not know yet
// what needs attention.
func TestNotifierBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSquare(t)
		q.to.edition = 1
		tries := 0
		q.post = func(letter) error { tries++; return errors.New("no answer") }
		_, end := q.notifier()
		q.says("a")
		time.Sleep(time.Minute)
		end()
		q.unknown, tries = true, 0
		_, end = q.notifier()
		time.Sleep(time.Minute)
		end()
		if tries == 0 || tries > 10 {
			t.Errorf("within a minute it was tried %d times", tries)
		}
	})
}

// A secret at the end of what a letter may have is taken out whole: a part of it is not left over.
func TestNotifierCutsNoSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for before := attention.TextMost - 12; before < attention.TextMost; before++ {
			q := newSquare(t)
			_, end := q.notifier()
			q.says(strings.Repeat("x", before) + "hunter2" + strings.Repeat("y", 20))
			time.Sleep(time.Minute)
			end()
			posts, hooks := q.told()
			if len(posts) != 1 || len(hooks) != 1 || strings.Contains(posts[0], "h") || strings.Contains(hooks[0], "xh") {
				t.Errorf("%d: %.20q, %q, …%q", before, posts, hooks, posts[0][len(posts[0])-20:])
			}
		}
	})
}

// All that is kept is read again, though JSON makes six bytes of one.
func TestNotifierReadsWhatItKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSquare(t)
		q.to.post = func(context.Context, string, []byte) error { return errors.New("nobody") }
		q.hook = func(ctx context.Context, _ []string) { <-ctx.Done() }
		_, end := q.notifier()
		var lines []string
		for i := range attention.Most {
			lines = append(lines, fmt.Sprintf("unit%d ", i)+strings.Repeat("<", attention.TextMost-10))
		}
		q.says(lines...)
		time.Sleep(time.Minute)
		end()
		h := &notifier{file: q.file, log: slog.New(slog.DiscardHandler)}
		if r := h.recall(); len(r.Book.Things) != attention.Most || len(r.Hooks) != lettersMost || len(r.Posts) != lettersMost {
			t.Errorf("%d things, %d and %d letters are read again", len(r.Book.Things), len(r.Hooks), len(r.Posts))
		}
	})
}

// Who is not asked for is told nothing, and costs nothing but a look now and then; one that
// cannot be used says so, and gets what came meanwhile once it can.
func TestNotifierOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSquare(t)
		post := q.to.post
		q.to.hooks, q.to.webhook, q.to.post = false, false, nil
		h, end := q.notifier()
		q.says("a")
		time.Sleep(time.Hour)
		q.mu.Lock()
		q.to.webhook, q.to.fault = true, errors.New("HOOK_KEY is not set")
		q.mu.Unlock()
		q.says("a")
		time.Sleep(time.Hour)
		if text := h.attention(); len(text) != 1 || !strings.Contains(text[0], "HOOK_KEY is not set") {
			t.Errorf("status says %q", text)
		}
		q.mu.Lock()
		q.to.post, q.to.fault = post, nil
		q.mu.Unlock()
		q.says("a")
		time.Sleep(time.Minute)
		if posts, hooks := q.told(); !slices.Equal(posts, []string{"new a"}) || len(hooks) > 0 || h.attention() != nil {
			t.Errorf("posts %q, hooks %q, %q", posts, hooks, h.attention())
		}
		end()
	})
}

// Over real HTTP: a server that hangs, one that answers 500, one that redirects; then one that
// takes it, with a signature that fits.
func TestNotifierOverHTTP(t *testing.T) {
	sample.Long(t)
	q := newSquare(t)
	taken := make(chan []byte, 9)
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get(webhook.Signature) != webhook.Sign("key", body) {
			t.Errorf("%v, %v", err, r.Header)
		}
		switch asked.Add(1) {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			w.WriteHeader(http.StatusInternalServerError)
		case 3:
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		default:
			taken <- body
		}
	}))
	defer server.Close()
	hook, err := webhook.New(server.URL, "key", "coltecd/test")
	if err != nil {
		t.Fatal(err)
	}
	q.to.post, q.to.at = hook.Post, hook.Host()
	_, end := q.notifier()
	defer end()
	q.says("a disk is full")
	select {
	case body := <-taken:
		var l letter
		if err := json.Unmarshal(body, &l); err != nil || l.State != attention.New || l.Text != "a disk is full" || l.Host != "laptop" || l.Since.IsZero() {
			t.Errorf("%s, %v", body, err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("nothing came")
	}
}
