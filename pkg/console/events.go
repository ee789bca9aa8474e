package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/hint"
)

const (
	// writePatience is how long a listener may leave what is sent to it unread.
	writePatience = 10 * time.Second
	// pulse is how often a listener hears something: the page takes a silence for a lost way.
	pulse = 10 * time.Second
)

// seen is what a look gave.
type seen struct {
	local bool
	rows  []fleet.Row
	notes []string
	err   error
}

// deed is an order that changes something: one that is under way, or the last one.
type deed struct {
	Order string    `json:"order"`
	Since time.Time `json:"since"`
	Code  *int      `json:"code,omitempty"` // nil: under way
}

// event says that a deed began or ended.
type event struct {
	workspace string // as it was asked for
	deed      deed
}

// picture is what listeners are shown.
type picture struct {
	Rows  []fleet.Row     `json:"rows"`
	Notes []string        `json:"notes"`
	Error string          `json:"error,omitempty"`
	Deeds map[string]deed `json:"deeds"`
}

// watch looks at workspaces while somebody listens, and tells the listeners what is another way.
// run owns all that it knows.
type watch struct {
	look        func(context.Context, bool) ([]fleet.Row, []string, error)
	here, there time.Duration
	joins       chan *listener
	leaves      chan *listener
	found       chan seen
	deeds       chan event
	questions   chan question
}

// question is whether a workspace is one of those that are shown.
type question struct {
	name  string
	reply chan bool
}

// listener gets the newest picture alone: one that reads slowly misses those between.
type listener struct{ latest chan []byte }

func (l *listener) offer(b []byte) {
	select {
	case <-l.latest: // it was not taken, and is old now
	default:
	}
	l.latest <- b
}

func newWatch(look func(context.Context, bool) ([]fleet.Row, []string, error), here, there time.Duration) *watch {
	return &watch{
		look: look, here: here, there: there,
		joins: make(chan *listener), leaves: make(chan *listener), found: make(chan seen), deeds: make(chan event), questions: make(chan question),
	}
}

// scene is what run knows.
type scene struct {
	listeners   map[*listener]bool
	deeds       map[string]deed
	here, there seen              // the last looks
	base        map[string]string // the rows of the look at this host that was the last one when there began
	begun       map[string]string // the same of the look into the bucket that is under way
	shown       []byte            // the last picture
	next        [2]time.Time      // when this host, and the bucket, are looked at again
	busy        [2]bool
	ready       bool // the first look into the bucket is over
}

// run looks until ctx ends.
func (w *watch) run(ctx context.Context) {
	s := &scene{listeners: map[*listener]bool{}, deeds: map[string]deed{}}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-w.joins:
			s.listeners[l] = true
			if s.shown != nil {
				l.offer(s.shown)
			}
		case l := <-w.leaves:
			delete(s.listeners, l)
		case e := <-w.deeds:
			s.deeds[e.workspace] = e.deed
			s.next = [2]time.Time{}
			s.publish()
		case q := <-w.questions:
			q.reply <- s.shows(q.name)
		case f := <-w.found:
			w.learn(s, f)
		case <-timer.C:
		}
		w.begin(ctx, s, time.Now())
		timer.Reset(w.here)
	}
}

// begin starts the looks that are due, while somebody listens.
func (w *watch) begin(ctx context.Context, s *scene, now time.Time) {
	if len(s.listeners) == 0 {
		return
	}
	for i, local := range []bool{true, false} {
		if s.busy[i] || now.Before(s.next[i]) {
			continue
		}
		s.busy[i] = true
		if !local {
			s.begun = texts(s.here.rows)
		}
		go func() {
			f := seen{local: local}
			f.rows, f.notes, f.err = w.look(ctx, local)
			select {
			case w.found <- f:
			case <-ctx.Done():
			}
		}()
	}
}

// learn takes a look in. What this host says anew is asked of the bucket too, at once.
func (w *watch) learn(s *scene, f seen) {
	now := time.Now()
	if f.local {
		s.busy[0], s.next[0] = false, now.Add(w.here)
		if f.err != nil { // it is said by the other look, with what can be shown nevertheless
			s.here, s.next[0] = seen{}, now.Add(w.there)
			return
		}
		if before := texts(s.here.rows); s.ready && !maps.Equal(before, texts(f.rows)) {
			s.next[1] = now
		}
		s.here = f
	} else {
		s.busy[1], s.next[1], s.ready = false, now.Add(w.there), true
		if f.err != nil {
			f.rows = s.there.rows // what was known is shown, with the error
		} else {
			s.base = s.begun
		}
		s.there = f
	}
	if s.ready {
		s.publish()
	}
}

// keyOf tells rows apart: a workspace may be here in two folders.
func keyOf(r fleet.Row) string { return r.Workspace + "\x00" + r.Folder }

// texts are rows as they are told, by their keys.
func texts(rows []fleet.Row) map[string]string {
	m := make(map[string]string, len(rows))
	for _, r := range rows {
		b, err := json.Marshal(r)
		if err != nil {
			panic(err) // texts, numbers and times
		}
		m[keyOf(r)] = string(b)
	}
	return m
}

// joined are the rows of a look into the bucket, with what this host said otherwise since that
// look began; base are the rows of this host then.
func joined(there []fleet.Row, base map[string]string, here []fleet.Row) []fleet.Row {
	if len(here) == 0 && len(base) == 0 {
		return there
	}
	now := texts(here)
	rows := []fleet.Row{}
	had := map[string]bool{}
	for _, r := range there {
		key := keyOf(r)
		had[key] = true
		switch text, is := now[key]; {
		case is && text != base[key] && base[key] != "":
			rows = append(rows, here[slices.IndexFunc(here, func(h fleet.Row) bool { return keyOf(h) == key })])
		case !is && base[key] != "": // it is not here any more
		default:
			rows = append(rows, r)
		}
	}
	for _, r := range here {
		if key := keyOf(r); !had[key] && base[key] != now[key] {
			rows = append(rows, r)
		}
	}
	return rows
}

// picture is what is known now.
func (s *scene) picture() picture {
	p := picture{Rows: joined(s.there.rows, s.base, s.here.rows), Notes: s.there.notes, Deeds: s.deeds}
	if p.Rows == nil {
		p.Rows = []fleet.Row{}
	}
	if p.Notes == nil {
		p.Notes = []string{}
	}
	if s.there.err != nil {
		p.Error = hint.Sentence(s.there.err)
	}
	return p
}

// publish tells the listeners, if there is anything new.
func (s *scene) publish() {
	b, err := json.Marshal(s.picture())
	if err != nil {
		panic(err) // texts, numbers and times
	}
	if bytes.Equal(b, s.shown) {
		return
	}
	s.shown = b
	for l := range s.listeners {
		l.offer(b)
	}
}

// shows reports whether a workspace is known by a folder of this host, or by its name.
func (s *scene) shows(name string) bool {
	is := func(r fleet.Row) bool { return r.Folder == name && name != "" || r.Workspace == name }
	return slices.ContainsFunc(s.there.rows, is) || slices.ContainsFunc(s.here.rows, is)
}

// shows asks run whether a workspace is one that the page shows.
func (w *watch) shows(ctx context.Context, name string) bool {
	q := question{name, make(chan bool, 1)}
	select {
	case w.questions <- q:
		return <-q.reply
	case <-ctx.Done():
		return false
	}
}

// tell says that a deed began or ended.
func (w *watch) tell(ctx context.Context, e event) {
	select {
	case w.deeds <- e:
	case <-ctx.Done():
	}
}

// events is the stream of pictures.
func (c *Console) events(w http.ResponseWriter, r *http.Request) {
	select {
	case c.streams <- struct{}{}:
		defer func() { <-c.streams }()
	default:
		refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("%d pages follow already", streamsMost), "close some")
		return
	}
	l := &listener{latest: make(chan []byte, 1)}
	select {
	case c.watch.joins <- l:
	case <-c.life.Done():
		return
	}
	defer func() {
		select {
		case c.watch.leaves <- l:
		case <-c.life.Done():
		}
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	send := func(text string) bool {
		_ = out.SetWriteDeadline(time.Now().Add(writePatience)) // a recorder of a test has none
		_, err := w.Write([]byte(text))
		return err == nil && out.Flush() == nil
	}
	beat := time.NewTicker(pulse)
	defer beat.Stop()
	for seq, ok := 1, send(": hello\n\n"); ok; seq++ {
		select {
		case <-r.Context().Done():
			return
		case <-c.life.Done():
			return
		case b := <-l.latest: // JSON of one line
			ok = send(fmt.Sprintf("id: %d\nevent: rows\ndata: %s\n\n", seq, b))
		case <-beat.C:
			ok = send(": still here\n\n")
		}
	}
}
