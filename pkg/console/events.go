package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/hint"
)

const (
	// writePatience is how long a listener may leave what is sent to it unread.
	writePatience = 10 * time.Second
	// pulse is how often a listener hears something: the page takes a silence of more than two
	// for a lost way.
	pulse = 5 * time.Second
	// knownPatience is how long a question for a workspace waits until anything is known.
	knownPatience = 15 * time.Second
	// youth is for how long what was known before counts beside what a following tells: it tells
	// of this host first, and of the bucket once that has answered.
	youth = 15 * time.Second
)

// View is what is known of all workspaces.
type View struct {
	Rows  []fleet.Row
	Notes []string // what is not among them, for a person
	Err   error    // nothing could be looked at
	Part  bool     // the bucket has not answered yet: there may be more rows
}

// deed is an order that changes something: one that is under way, or the last one.
type deed struct {
	Order string    `json:"order"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"` // when it ended
	Code  *int      `json:"code,omitempty"` // nil: under way
}

// event says that a deed began or ended.
type event struct {
	workspace string // its name: a folder may come and go while something is done to it
	deed      deed
}

// picture is what listeners are shown.
type picture struct {
	Rows  []fleet.Row     `json:"rows"`
	Notes []string        `json:"notes"`
	Error string          `json:"error,omitempty"`
	Part  bool            `json:"part,omitempty"`
	Deeds map[string]deed `json:"deeds"` // by the name of the workspace
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

// question asks which workspace a name stands for.
type question struct {
	name  string
	reply chan subject // the zero value: none
}

// subject is a workspace on the page.
type subject struct {
	name string // org/project/env
	arg  string // what coltec calls it: its folder here, or its name where it has none
}

// sight is a view, and which following told it: one that was ended may have one more.
type sight struct {
	of   int
	view View
}

// watch has workspaces followed while somebody listens. run owns all that it knows.
type watch struct {
	follow    func(context.Context, func(View))
	joins     chan *listener
	leaves    chan *listener
	views     chan sight
	deeds     chan event
	questions chan question
}

func newWatch(follow func(context.Context, func(View))) *watch {
	return &watch{follow, make(chan *listener), make(chan *listener), make(chan sight), make(chan event), make(chan question)}
}

// scene is what run knows.
type scene struct {
	listeners map[*listener]bool
	deeds     map[string]deed
	view      *View       // what this following told last; nil: nothing yet
	before    []fleet.Row // what the one before it told last
	shown     []byte      // the last picture of view; nil: there is none
	stop      func()      // ends the following; nil: nobody listens
	number    int         // of the following
	since     time.Time   // when it began
}

// run goes on until ctx ends.
func (w *watch) run(ctx context.Context) {
	s := &scene{listeners: map[*listener]bool{}, deeds: map[string]deed{}}
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-w.joins:
			s.listeners[l] = true
			if s.shown != nil {
				l.offer(s.shown)
			}
			if s.stop == nil {
				s.number, s.since = s.number+1, time.Now()
				s.stop = w.begin(ctx, s.number)
			}
		case l := <-w.leaves:
			if delete(s.listeners, l); len(s.listeners) == 0 && s.stop != nil {
				s.forget()
			}
		case v := <-w.views:
			if s.stop != nil && v.of == s.number {
				s.view = &v.view
				s.publish()
			}
		case e := <-w.deeds:
			s.deeds[e.workspace] = e.deed
			s.publish()
		case q := <-w.questions:
			q.reply <- s.known(q.name)
		}
	}
}

// forget ends the following. Who comes later is not shown what was known at that time as if it
// were known now.
func (s *scene) forget() {
	s.stop()
	s.stop = nil
	if s.view != nil {
		s.before = s.view.Rows
	}
	s.view, s.shown = nil, nil
}

// begin has workspaces followed until its result is called.
func (w *watch) begin(ctx context.Context, number int) (stop func()) {
	ctx, stop = context.WithCancel(ctx)
	go w.follow(ctx, func(v View) {
		select {
		case w.views <- sight{number, v}:
		case <-ctx.Done():
		}
	})
	return stop
}

// picture is what is known now.
func (s *scene) picture() picture {
	p := picture{Rows: append([]fleet.Row{}, s.view.Rows...), Notes: append([]string{}, s.view.Notes...), Part: s.view.Part, Deeds: s.deeds} // [] and not null
	if s.view.Err != nil {
		p.Error = hint.Sentence(s.view.Err)
	}
	return p
}

// publish tells the listeners, if there is anything new.
func (s *scene) publish() {
	if s.view == nil {
		return
	}
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

// known is the workspace that a name stands for.
func (s *scene) known(name string) subject {
	var rows []fleet.Row
	if s.view != nil {
		rows = s.view.Rows
	}
	if s.stop != nil && time.Since(s.since) < youth {
		rows = slices.Concat(rows, s.before)
	}
	for _, r := range rows {
		if name != "" && (r.Folder == name || r.Workspace == name) {
			return subject{r.Workspace, cmp.Or(r.Folder, r.Workspace)}
		}
	}
	return subject{}
}

// listen follows until leave is called.
func (w *watch) listen(life context.Context) (l *listener, leave func()) {
	l = &listener{latest: make(chan []byte, 1)}
	select {
	case w.joins <- l:
	case <-life.Done():
	}
	return l, func() {
		select {
		case w.leaves <- l:
		case <-life.Done():
		}
	}
}

// errNotKnown says that nothing is known of any workspace yet.
var errNotKnown = errors.New("it is not known yet which workspaces there are")

// known is the workspace on the page that a name stands for, the zero value for none.
func (c *Console) known(ctx context.Context, name string) (subject, error) {
	ctx, cancel := context.WithTimeout(ctx, knownPatience)
	defer cancel()
	l, leave := c.watch.listen(c.life)
	defer leave()
	if found := c.question(name); found != (subject{}) {
		return found, nil
	}
	select {
	case <-l.latest: // something is known
		return c.question(name), nil
	case <-ctx.Done():
	case <-c.life.Done():
	}
	return subject{}, errNotKnown
}

func (c *Console) question(name string) subject {
	q := question{name, make(chan subject, 1)}
	select {
	case c.watch.questions <- q:
		return <-q.reply
	case <-c.life.Done():
		return subject{}
	}
}

// tell says that a deed began or ended.
func (c *Console) tell(e event) {
	select {
	case c.watch.deeds <- e:
	case <-c.life.Done():
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
	l, leave := c.watch.listen(c.life)
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	send := func(text string) bool {
		_ = out.SetWriteDeadline(time.Now().Add(writePatience)) // a recorder of a test has none
		_, err := w.Write([]byte(text))
		return err == nil && out.Flush() == nil
	}
	beat := time.NewTicker(pulse)
	defer beat.Stop()
	for seq, ok := 0, send(": hello\n\n"); ok; {
		select {
		case <-r.Context().Done():
			return
		case <-c.life.Done():
			return
		case b := <-l.latest: // JSON of one line
			seq++
			ok = send(fmt.Sprintf("id: %d\nevent: rows\ndata: %s\n\n", seq, b))
		case <-beat.C:
			ok = send(": still here\n\n")
		}
	}
}
