package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/order"
)

const (
	readsMost   = 4 // questions that are answered at a time, one for each workspace
	actionsMost = 4 // things that are done at a time, one for each workspace

	readPatience   = time.Minute      // for the answer to a question
	actionPatience = 20 * time.Minute // for a thing to be done: a restore takes its time

	answerMost = 8 << 20  // bytes of an answer
	outputMost = 1 << 20  // bytes of what a thing that is done prints
	bodyMost   = 64 << 10 // bytes of an order
)

// lanes let one through for each workspace at a time, and some of all workspaces.
type lanes struct {
	all chan struct{}
	mu  sync.Mutex
	of  map[string]*lane // those that somebody is in, or waits for
}

type lane struct {
	one  chan struct{}
	many int // in it, and before it
}

func newLanes(most int) *lanes {
	return &lanes{all: make(chan struct{}, most), of: map[string]*lane{}}
}

// waitingMost is how many may wait for a workspace.
const waitingMost = 16

// errBusy says that a workspace has enough to do.
var errBusy = errors.New("something else is being done to it")

// enter waits for the lane of a workspace to be free, or does not where there is no patience.
// queued is called where there is nothing to wait for but those of other workspaces.
func (l *lanes) enter(ctx context.Context, workspace string, patient bool, queued func()) (leave func(), err error) {
	l.mu.Lock()
	mine := l.of[workspace]
	if mine == nil {
		mine = &lane{one: make(chan struct{}, 1)}
		l.of[workspace] = mine
	}
	if mine.many > 0 && !patient || mine.many >= waitingMost {
		l.mu.Unlock()
		return nil, errBusy
	}
	mine.many++
	l.mu.Unlock()
	gone := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if mine.many--; mine.many == 0 {
			delete(l.of, workspace)
		}
	}
	select { // its own turn first: who waits for a workspace keeps no other one from its turn
	case mine.one <- struct{}{}:
	case <-ctx.Done():
		gone()
		return nil, ctx.Err()
	}
	leave = func() { <-l.all; <-mine.one; gone() }
	select {
	case l.all <- struct{}{}:
		return leave, nil
	default:
		queued()
	}
	select {
	case l.all <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		<-mine.one
		gone()
		return nil, ctx.Err()
	}
}

// errand is an order that can be carried out.
type errand struct {
	order.Order
	of   subject
	argv []string
}

// prepared finds an order and its command line, or says why not.
func (c *Console) prepared(w http.ResponseWriter, r *http.Request, name string, args map[string]string) (e errand, ok bool) {
	if e.Order, ok = c.orders[name]; !ok {
		refuse(w, http.StatusNotFound, "there is no such order")
		return e, false
	}
	var err error
	if e.of, err = c.known(r.Context(), args[workspaceParam]); err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error(), "try again; if it stays so, see whether coltec ls answers")
		return e, false
	}
	if e.of == (subject{}) {
		refuse(w, http.StatusNotFound, "there is no such workspace on the page")
		return e, false
	}
	args[workspaceParam] = e.of.arg
	if e.argv, err = e.Argv(args); err != nil {
		refuse(w, http.StatusBadRequest, err.Error(), hint.Of(err)...)
		return e, false
	}
	return e, true
}

// ask answers an order that changes nothing, with what the program answers.
func (c *Console) ask(w http.ResponseWriter, r *http.Request) {
	args := map[string]string{}
	for name, values := range r.URL.Query() {
		args[name] = values[len(values)-1]
	}
	name := args["order"]
	delete(args, "order")
	e, ok := c.prepared(w, r, name, args)
	if !ok {
		return
	}
	if e.Changes {
		refuse(w, http.StatusMethodNotAllowed, "this changes something: it is no question")
		return
	}
	if !c.changed(w, r, e) {
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), readPatience, fmt.Errorf("no answer within %s", readPatience))
	defer cancel()
	leave, err := c.reads.enter(ctx, e.of.name, true, func() {})
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, "too much else is asked at the moment", "try again")
		return
	}
	mark := c.tag(e) // before the answer: what changes meanwhile is asked for again
	f := c.answerOf(ctx, e.argv)
	leave() // how fast the page reads it is nobody else's business
	if mark != "" {
		w.Header().Set("ETag", mark)
	}
	f.write(w, e.Order)
}

// found is what a program answered.
type found struct {
	out, err bytes.Buffer
	large    bool
	code     int
	failed   error // it could not be run, or not to its end
}

// answerOf runs a program to its end.
func (c *Console) answerOf(ctx context.Context, argv []string) *found {
	f := &found{}
	f.code, f.failed = c.Carry(ctx, argv, func(l Line) {
		b := &f.out
		if l.Err {
			b = &f.err
		}
		if f.out.Len()+f.err.Len()+len(l.Text)+1 > answerMost {
			f.large = true
			return
		}
		b.WriteString(l.Text)
		b.WriteByte('\n')
	})
	if f.failed == nil && ctx.Err() != nil {
		f.failed = context.Cause(ctx)
	}
	return f
}

// write tells the page: an answer in JSON as it is, any other as a text.
func (f *found) write(w http.ResponseWriter, o order.Order) {
	switch {
	case f.failed != nil:
		refuse(w, http.StatusBadGateway, f.failed.Error(), hint.Of(f.failed)...)
	case f.large:
		refuse(w, http.StatusBadGateway, fmt.Sprintf("the answer has more than %d bytes", answerMost), "ask coltec for it in a terminal")
	case !o.Answered(f.code), o.JSON() && !json.Valid(f.out.Bytes()):
		f.writeError(w)
	case o.JSON():
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(f.out.Bytes()) // who has gone is not told
	default:
		answer(w, http.StatusOK, map[string]string{"text": f.out.String()})
	}
}

// writeError tells the page what a program said when it failed: the last line in JSON, or the lines
// for people.
func (f *found) writeError(w http.ResponseWriter) {
	said := strings.TrimSpace(f.err.String())
	lines := strings.Split(said, "\n")
	var last struct {
		Error struct {
			Message string   `json:"message"`
			Hints   []string `json:"hints"`
		} `json:"error"`
	}
	if json.Unmarshal([]byte(lines[len(lines)-1]), &last) == nil && last.Error.Message != "" {
		refuse(w, http.StatusBadGateway, last.Error.Message, last.Error.Hints...)
		return
	}
	var message, hints []string
	for _, line := range lines {
		if step, is := strings.CutPrefix(line, "hint: "); is {
			hints = append(hints, step)
		} else {
			message = append(message, strings.TrimPrefix(line, "error: "))
		}
	}
	refuse(w, http.StatusBadGateway, cmp.Or(strings.Join(message, "\n"), strings.TrimSpace(f.out.String()), fmt.Sprintf("it ended with exit code %d", f.code)), hints...)
}

// run carries out an order that changes something, and tells how it goes. It goes on when the page
// is closed: half of it done is worse than all.
func (c *Console) run(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, "an order is JSON")
		return
	}
	var asked struct {
		Order string            `json:"order"`
		Args  map[string]string `json:"args"`
	}
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyMost))
	in.DisallowUnknownFields()
	if err := in.Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, "this is no order: "+err.Error())
		return
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		refuse(w, http.StatusBadRequest, "this is no order: something is behind it")
		return
	}
	if !c.Actions {
		refuse(w, http.StatusForbidden, "this page only shows", "coltec ui --allow-actions starts one that does things, too")
		return
	}
	if asked.Args == nil {
		asked.Args = map[string]string{}
	}
	e, ok := c.prepared(w, r, asked.Order, asked.Args)
	if !ok {
		return
	}
	if !e.Changes {
		refuse(w, http.StatusBadRequest, "this changes nothing: it is a question")
		return
	}
	c.do(newTale(w), e)
}

// do carries out an order once it is its turn, whether or not the page stays.
func (c *Console) do(t *tale, e errand) {
	leave, err := c.actions.enter(c.life, e.of.name, false, func() { t.line(map[string]any{"waits": true}) })
	switch {
	case errors.Is(err, errBusy):
		refuse(t.w, http.StatusConflict, errBusy.Error(), "wait until that is done")
		return
	case err != nil:
		t.line(map[string]any{"err": "coltec ui was told to end before this had begun: nothing was done"})
		t.line(map[string]any{"end": map[string]any{"code": 1}})
		return
	}
	defer leave()
	ctx, cancel := context.WithTimeoutCause(c.life, actionPatience, fmt.Errorf("not done within %s", actionPatience))
	defer cancel()
	c.carry(ctx, t, e)
}

// carry runs a program and tells how it goes.
func (c *Console) carry(ctx context.Context, t *tale, e errand) {
	d := deed{Order: e.Name, Since: time.Now().UTC()}
	c.tell(event{e.of.name, d})
	t.line(map[string]any{"argv": append([]string{"coltec"}, e.argv...)})
	code, err := c.Carry(ctx, e.argv, t.printed)
	if err != nil {
		code = max(code, 1)
		text := err.Error()
		if c.life.Err() != nil {
			text = "coltec ui was told to end, and ended this: it may be half done"
		}
		t.line(map[string]any{"err": text})
		for _, step := range hint.Of(err) {
			t.line(map[string]any{"err": "hint: " + step})
		}
	}
	d.Code, d.Until = &code, time.Now().UTC()
	c.tell(event{e.of.name, d})
	t.line(map[string]any{"end": map[string]any{"code": code}})
}

// tale is told to a page, a line of JSON for each thing, as long as it listens.
type tale struct {
	w      http.ResponseWriter
	out    *http.ResponseController
	left   int // bytes that may still be told
	gone   bool
	silent bool // too much was printed
}

func newTale(w http.ResponseWriter) *tale {
	w.Header().Set("Content-Type", "application/x-ndjson")
	return &tale{w: w, out: http.NewResponseController(w), left: outputMost}
}

// printed tells a line of a program.
func (t *tale) printed(l Line) {
	if t.silent {
		return
	}
	t.left -= len(l.Text) + 1
	t.silent = t.left < 0
	switch {
	case t.silent:
		t.line(map[string]any{"err": "more was printed, and is left out"})
	case l.Err:
		t.line(map[string]any{"err": l.Text})
	default:
		t.line(map[string]any{"out": l.Text})
	}
}

func (t *tale) line(v any) {
	if t.gone {
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts and numbers
	}
	_ = t.out.SetWriteDeadline(time.Now().Add(writePatience)) // a recorder of a test has none
	_, err = t.w.Write(append(b, '\n'))
	t.gone = err != nil || t.out.Flush() != nil
}
