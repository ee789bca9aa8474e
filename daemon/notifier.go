package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/attention"
	"github.com/coltec/coltec/pkg/backoff"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/webhook"
	"github.com/coltec/coltec/pkg/wholefile"
)

const (
	// notifyEvery is how often it is looked what needs attention while much changes.
	notifyEvery = time.Second
	// lettersMost is how many letters wait for hooks, and for the webhook: the oldest go first.
	lettersMost = 64
	// letterAge is for how long one is tried: news of the day before are none.
	letterAge = 24 * time.Hour
	// troubleAfter is how many posts one after the other are not taken before status says so.
	troubleAfter = 3
	// keptMost bounds what is read of the file: a hundred things and twice lettersMost letters, each
	// with attention.TextMost bytes, of which JSON may make six each, have less.
	keptMost = 4 << 20
)

// postAgain is how long after a post that was not taken the next one is made.
var postAgain = backoff.Policy{Base: time.Second, Max: 5 * time.Minute, Factor: 2}

// notifier tells what needs attention to the hooks at on_attention and to a webhook, each thing
// once when it comes and once when it is over. The goroutine of run owns what is kept; nobody
// waits for a hook or a post, and one that is under way when coltecd is killed is made again.
type notifier struct {
	file   string // what was told, and what waits; in a private directory
	log    *slog.Logger
	status *tracker
	look   func() (lines []string, known bool) // what needs attention
	whom   func() audience
	hook   func(ctx context.Context, env []string) error
	rested func() // after work that took memory

	mu      sync.Mutex
	trouble string // for the status; "": none
}

// audience is who is told.
type audience struct {
	letter  letter              // what all letters have in common
	hooks   bool                // there are some at on_attention
	webhook bool                // one is asked for
	post    poster              // nil: it cannot be used
	at      string              // its host
	edition int                 // another number: it is another address or key
	fault   error               // why it cannot
	redact  func(string) string // takes out what is secret
}

// poster posts a body; see webhook.Hook.
type poster func(ctx context.Context, id string, body []byte) error

// letter is what a webhook and a hook are told.
type letter struct {
	Workspace string `json:"workspace"`
	Host      string `json:"host"`
	attention.News
	Dropped int    `json:"dropped,omitempty"` // letters before it that nobody took in time
	Version string `json:"coltecd"`
}

// kept is what outlives a kill.
type kept struct {
	Book    attention.Book   `json:"book"`
	Hooks   []attention.News `json:"hooks,omitempty"` // whose hooks have not run
	Posts   []attention.News `json:"posts,omitempty"` // that were not taken
	Dropped int              `json:"dropped,omitempty"`
}

// delivery is what came of a hook or a post.
type delivery struct {
	hook    bool
	edition int // whom it was posted to
	err     error
}

// round is what run knows between two turns, beside what is kept.
type round struct {
	kept
	saved    string    // as it is in the file
	next     time.Time // when there may be more news without a change
	running  bool      // a hook
	posting  bool
	failures int       // posts that were not taken, and are tried again, one after the other
	finals   int       // those that are not, since the last that was taken
	refused  error     // why the last one was not
	retry    time.Time // when the next one is made
	told     int       // letters that were dropped, as the post under way says
	edition  int       // of whom it was posted to last
}

// run tells until ctx ends.
func (h *notifier) run(ctx context.Context) {
	r := h.recall()
	done := make(chan delivery, 2)
	for ctx.Err() == nil {
		seen, to := h.status.now(), h.whom()
		if to.hooks || to.webhook {
			h.gather(r, to)
			h.deliver(ctx, r, to, done)
		}
		h.tell(r, to)
		h.keep(r)
		h.await(ctx, r, seen, done)
	}
}

// gather notes what is news.
func (h *notifier) gather(r *round, to audience) {
	if to.post != nil && to.edition != r.edition { // what was wrong with the old one says nothing of this
		r.edition, r.failures, r.finals, r.retry = to.edition, 0, 0, time.Time{}
	}
	lines, known := h.look()
	if !known {
		return
	}
	lines = slices.Clone(lines)
	for i := range lines { // before they are cut: a part of a secret is not seen to be one
		lines[i] = to.redact(lines[i])
	}
	now := time.Now()
	var news []attention.News
	news, r.next = r.Book.Look(lines, now)
	for _, n := range news {
		if to.hooks {
			r.Hooks = append(r.Hooks, n)
		}
		if to.webhook && !strings.HasPrefix(n.Text, webhookWord) { // nobody takes a letter that says so
			r.Posts = append(r.Posts, n)
		}
	}
	if !to.hooks && !r.running {
		r.Hooks = nil
	}
	if !to.webhook && !r.posting {
		r.Posts, r.failures, r.finals = nil, 0, 0
	}
	r.Hooks = youngest(r.Hooks, r.running, now, nil)
	r.Posts = youngest(r.Posts, r.posting, now, &r.Dropped)
}

// youngest are the letters that are tried on; the first may be on its way.
func youngest(list []attention.News, away bool, now time.Time, dropped *int) []attention.News {
	first := 0
	if away {
		first = 1
	}
	for len(list) > first && (len(list) > lettersMost || now.Sub(list[first].Time) > letterAge) {
		list = slices.Delete(list, first, first+1)
		if dropped != nil {
			*dropped++
		}
	}
	return list
}

// deliver sets out with the first letters that wait.
func (h *notifier) deliver(ctx context.Context, r *round, to audience, done chan<- delivery) {
	if to.hooks && !r.running && len(r.Hooks) > 0 {
		r.running = true
		env := to.env(r.Hooks[0])
		h.keep(r) // before: who is killed with it tells it again
		go func() {
			done <- delivery{hook: true, err: guarded(h.log, func() error { return h.hook(ctx, env) })}
		}()
	}
	if to.post != nil && !r.posting && len(r.Posts) > 0 && !time.Now().Before(r.retry) {
		r.posting = true
		n := r.Posts[0]
		r.told = r.Dropped
		_, body := to.letterOf(n, r.told)
		h.keep(r)
		go func() {
			done <- delivery{edition: to.edition, err: guarded(h.log, func() error { return to.post(ctx, n.ID+"-"+string(n.State), body) })}
		}()
	}
}

// await returns when something may be to be done.
func (h *notifier) await(ctx context.Context, r *round, seen uint64, done <-chan delivery) {
	limit := publishEvery
	for _, at := range []time.Time{r.next, r.retry} {
		if left := time.Until(at); !at.IsZero() && left > 0 {
			limit = min(limit, left)
		}
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case d := <-done:
		h.note(ctx, r, d)
	case <-h.status.after(seen):
		_ = pause(ctx, notifyEvery)
	}
}

// note takes over what came of a delivery. What ended with coltecd is tried again.
func (h *notifier) note(ctx context.Context, r *round, d delivery) {
	defer h.rested()
	if d.hook {
		r.running = false
		if ctx.Err() == nil {
			r.Hooks = r.Hooks[1:]
			if d.err != nil {
				h.log.Warn("hook failed", "point", "on_attention", "error", d.err)
			}
		}
		return
	}
	r.posting = false
	var e *webhook.Error
	switch {
	case ctx.Err() != nil:
	case d.err == nil:
		r.Posts, r.failures, r.finals, r.retry = r.Posts[1:], 0, 0, time.Time{}
		r.Dropped -= r.told
	case d.edition != r.edition: // it is tried at another address or with another key by now
		h.log.Warn("the webhook of before does not take a letter: it is tried again", "error", d.err)
	case errors.As(d.err, &e) && e.Final:
		h.log.Warn("the webhook does not take a letter: it is dropped", "error", d.err)
		r.Posts = r.Posts[1:]
		r.Dropped++
		r.finals++
		r.refused = d.err
	default:
		wait := postAgain.Delay(r.failures, nil)
		if e != nil {
			wait = max(wait, e.After)
		}
		r.failures++
		r.refused, r.retry = d.err, time.Now().Add(wait)
		h.log.Warn("the webhook does not take a letter: it is tried again", "error", d.err, "next", r.retry, "failures", r.failures)
	}
}

// webhookWord begins what status says of the webhook itself.
const webhookWord = "the webhook "

// tell has the status say what is wrong with the webhook.
func (h *notifier) tell(r *round, to audience) {
	text := ""
	switch {
	case to.fault != nil:
		text = webhookWord + "is told of nothing: " + hint.Sentence(to.fault)
	case to.post != nil && max(r.failures, r.finals) >= troubleAfter:
		text = fmt.Sprintf("%sat %s takes nothing (%v): %s", webhookWord, to.at, r.refused, hint.Count(len(r.Posts), "letter waits", "letters wait"))
		if r.Dropped > 0 {
			text += ", " + hint.Count(r.Dropped, "was dropped", "were dropped")
		}
	}
	h.mu.Lock()
	changed := h.trouble != text
	h.trouble = text
	h.mu.Unlock()
	if changed {
		h.status.changed()
	}
}

// attention says what is wrong with the webhook.
func (h *notifier) attention() []string {
	if h == nil { // nobody is told
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.trouble == "" {
		return nil
	}
	return []string{h.trouble}
}

// recall reads what was kept. A file that makes no sense is none: everything is told again.
func (h *notifier) recall() *round {
	r := &round{}
	b, err := wholefile.Read(h.file, keptMost)
	if err == nil {
		err = json.Unmarshal(b, &r.kept)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		h.log.Warn("what was told of what needs attention is not known: it is told again", "error", err)
		r.kept = kept{}
	default:
		r.saved = string(b)
	}
	return r
}

// keep writes what is kept, where it has changed.
func (h *notifier) keep(r *round) {
	b, err := json.Marshal(r.kept)
	if err == nil && string(b) != r.saved {
		if err = wholefile.Write(h.file, b, 0o600, wholefile.Volatile); err == nil {
			r.saved = string(b)
		}
	}
	if err != nil {
		h.log.Warn("what was told is not kept: a coltecd after this one tells it again", "error", err)
	}
}

// letterOf is what is told of news.
func (to audience) letterOf(n attention.News, dropped int) (letter, []byte) {
	l := to.letter
	l.News, l.Dropped = n, dropped
	l.Text = to.redact(n.Text)
	b, err := json.Marshal(l)
	if err != nil { // it has texts and times of our own alone
		panic(err)
	}
	return l, b
}

// env is what a hook is told.
func (to audience) env(n attention.News) []string {
	l, b := to.letterOf(n, 0)
	return []string{
		"COLTEC_ATTENTION=" + l.Text, "COLTEC_ATTENTION_STATE=" + string(l.State), "COLTEC_ATTENTION_ID=" + l.ID,
		"COLTEC_SINCE=" + l.Since.UTC().Format(time.RFC3339), "COLTEC_ATTENTION_JSON=" + string(b),
	}
}
