package toolbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

// messageMost is how long a message of an agent may be, in bytes: arguments are far shorter.
const messageMost = 1 << 20

// errDropped is of a notification that says nothing: who sent it waits for no answer.
var errDropped = &jsonrpc.Error{Message: "a notification of nothing"}

// wire is the stream of an agent as the SDK reads it: whole messages, a line each. The SDK ends
// where it cannot read one, and takes an id of 1.5 for 1; here such a message is answered with an
// error, and the next one is read. Nothing of it is carried out.
type wire struct {
	in      *bufio.Reader
	out     *answers
	batches bool   // the agent asked for a protocol that has them
	rest    []byte // of the message that is being read
}

// Read implements io.Reader.
func (w *wire) Read(p []byte) (int, error) {
	for len(w.rest) == 0 {
		line, id, err := w.line()
		if errors.Is(err, io.EOF) {
			w.out.settle()
		}
		if err != nil {
			return 0, err
		}
		rest, fault := w.take(line, id)
		switch {
		case fault == nil:
			w.rest = rest
		case fault != errDropped:
			if fault.Code == jsonrpc.CodeParseError {
				id = nil
			}
			if err := w.refuse(id, fault); err != nil {
				return 0, err
			}
		}
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

// line is the next one that is not empty, and the id in it. One that is too long is nil, and was
// read to its end.
func (w *wire) line() (line []byte, id json.RawMessage, err error) {
	for {
		var whole []byte
		var f finder
		length := 0
		for {
			part, err := w.in.ReadSlice('\n')
			length += len(part)
			f.see(part)
			if length <= messageMost {
				whole = append(whole, part...)
			} else {
				whole = nil
			}
			if err == nil || errors.Is(err, io.EOF) && length > 0 {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return nil, nil, err
			}
		}
		switch {
		case length > messageMost:
			return nil, f.id, nil
		case len(bytes.TrimSpace(whole)) > 0:
			return append(bytes.TrimSpace(whole), '\n'), f.id, nil
		}
	}
}

// take is what the SDK is to have of a line, or what is wrong with it: then nothing of it is done.
func (w *wire) take(line []byte, id json.RawMessage) (rest []byte, fault *jsonrpc.Error) {
	if line == nil {
		return nil, faulty(jsonrpc.CodeInvalidRequest, "the message is longer than %d bytes", messageMost)
	}
	if !json.Valid(line) {
		return nil, faulty(jsonrpc.CodeParseError, "the message is no JSON on one line")
	}
	if line[0] == '[' {
		return w.batch(line)
	}
	r, fault := w.message(line, id)
	if fault == nil {
		w.begins(r, id)
	}
	return line, fault
}

// batch is take of several messages. What needs no answer is handed on by itself: the SDK waits for
// one to each that is in a batch, and ends where an id is there twice.
func (w *wire) batch(line []byte) (rest []byte, fault *jsonrpc.Error) {
	var list []json.RawMessage
	if !w.batches || json.Unmarshal(line, &list) != nil || len(list) == 0 {
		return nil, faulty(jsonrpc.CodeInvalidRequest, "a message is a JSON object: this protocol has no batches")
	}
	var calls []json.RawMessage
	var requests []*jsonrpc.Request
	var ids []json.RawMessage
	seen := map[any]bool{}
	for _, one := range list {
		var f finder
		f.see(one)
		r, fault := w.message(one, f.id)
		if fault == errDropped {
			continue
		}
		if fault != nil {
			return nil, fault
		}
		if r != nil && r.IsCall() {
			id := known(f.id)
			if seen[id] || w.out.has(id) {
				return nil, faulty(jsonrpc.CodeInvalidRequest, "an id is there twice")
			}
			seen[id] = true
			calls = append(calls, one)
		} else {
			rest = append(append(rest, one...), '\n')
		}
		requests, ids = append(requests, r), append(ids, f.id)
	}
	for i, r := range requests {
		w.begins(r, ids[i])
	}
	if len(calls) > 0 {
		b, err := json.Marshal(calls)
		if err != nil {
			return nil, faulty(jsonrpc.CodeInternalError, "%s", err)
		}
		rest = append(append(rest, b...), '\n')
	}
	if len(rest) == 0 {
		return nil, errDropped
	}
	return rest, nil
}

// begins notes what a message says that the SDK is to have.
func (w *wire) begins(r *jsonrpc.Request, id json.RawMessage) {
	if r == nil {
		return
	}
	var params asked
	_ = json.Unmarshal(r.Params, &params) // whose shape is the method's
	switch r.Method {
	case "initialize":
		w.batches = params.ProtocolVersion != "" && params.ProtocolVersion < "2025-06-18"
	case "notifications/cancelled":
		w.out.cancel(known(params.RequestID))
	}
	if r.IsCall() {
		w.out.begin(known(id), r.Method != "tools/call")
	}
}

// asked is what is read here of the parameters of a message.
type asked struct {
	ProtocolVersion string          `json:"protocolVersion"`
	RequestID       json.RawMessage `json:"requestId"`
}

// message reads one message, or says what is wrong with it; r is nil for an answer.
func (w *wire) message(text []byte, id json.RawMessage) (r *jsonrpc.Request, fault *jsonrpc.Error) {
	if id != nil && !exact(id) {
		return nil, faulty(jsonrpc.CodeInvalidRequest, "an id is a text of %d bytes at most, or an integer below 2^53", idMost)
	}
	m, err := jsonrpc.DecodeMessage(text)
	if err != nil {
		return nil, faulty(jsonrpc.CodeInvalidRequest, "the message is none of JSON-RPC 2.0: %s", err)
	}
	r, isRequest := m.(*jsonrpc.Request)
	if !isRequest {
		return nil, nil
	}
	var params asked
	_ = json.Unmarshal(r.Params, &params) // whose shape is the method's
	if r.Method == "notifications/cancelled" && !exact(params.RequestID) {
		return nil, errDropped // it would cancel another call
	}
	return r, nil
}

// exact reports whether the SDK knows an id from each other one.
func exact(id json.RawMessage) bool {
	var n float64
	if json.Unmarshal(id, &n) == nil && (n != math.Trunc(n) || math.Abs(n) >= 1<<53) {
		return false
	}
	return known(id) != nil
}

func faulty(code int64, format string, args ...any) *jsonrpc.Error {
	return &jsonrpc.Error{Code: code, Message: text(fmt.Sprintf(format, args...))}
}

// refuse answers a message that is not taken, under its id where that is a text or a number.
func (w *wire) refuse(id json.RawMessage, fault *jsonrpc.Error) error {
	var value any
	_ = json.Unmarshal(id, &value) // one that was cut is none
	switch value.(type) {
	case string, float64:
	default:
		id = json.RawMessage("null")
	}
	b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "error": fault})
	if err != nil {
		return fmt.Errorf("cannot answer a message: %w", err)
	}
	return w.out.raw(append(b, '\n'))
}

// idMost is how long an id may be, in bytes, to be given back with an error.
const idMost = 256

// finder finds the id of a message, and whether it is a request, in one that is seen in parts, of which none is kept.
type finder struct {
	id     json.RawMessage // as it is written; nil where there is none
	method bool            // there is one

	depth           int
	within, escaped bool // a text; a character of it
	key             string
	word            []byte // the key or value on the first level that is under way
}

// see reads on.
func (f *finder) see(part []byte) {
	for _, c := range part {
		if f.within {
			f.add(c)
			f.within = f.escaped || c != '"'
			f.escaped = !f.escaped && c == '\\'
			continue
		}
		switch c {
		case '"':
			f.add(c)
			f.within = true
		case '{', '[':
			f.add(c)
			f.depth++
		case ':':
			if f.depth == 1 {
				f.key, f.word = string(bytes.TrimSpace(f.word)), nil
			}
		case ',', '}', ']':
			f.end(c)
		default:
			f.add(c)
		}
	}
}

// end ends a value, and what it is in.
func (f *finder) end(c byte) {
	if f.depth == 1 && f.key == `"id"` {
		f.id = bytes.TrimSpace(f.word)
	}
	f.method = f.method || f.depth == 1 && f.key == `"method"`
	if f.depth == 1 {
		f.key, f.word = "", nil
	}
	if c != ',' {
		f.depth--
	}
}

// add keeps a character of what is on the first level.
func (f *finder) add(c byte) {
	if f.depth == 1 && len(f.word) <= idMost {
		f.word = append(f.word, c)
	}
}

// answers is the stream to an agent, which the SDK and a [wire] write lines to. An answer to a call
// that was cancelled is left out: the protocol has none, and clients report one as a fault. It is not
// closed by who has it.
type answers struct {
	mu    sync.Mutex
	out   io.Writer
	under map[any]call  // those that are under way, by their ids
	quick int           // how many of them have no program run
	none  chan struct{} // closed when there are none of those; nil: nobody waits for it
}

// call is a call that is under way.
type call struct{ cancelled, quick bool }

func newAnswers(out io.Writer) *answers { return &answers{out: out, under: map[any]call{}} }

// lastAnswers is how long the end of an agent's stream waits for answers that take no program: with
// that end the SDK drops what it has not answered yet.
const lastAnswers = 5 * time.Second

// settle waits until what was asked has its answer, but for calls of tools: with the end of its
// stream an agent is gone, and those are interrupted.
func (a *answers) settle() {
	a.mu.Lock()
	if a.quick == 0 {
		a.mu.Unlock()
		return
	}
	none := make(chan struct{})
	a.none = none
	a.mu.Unlock()
	select {
	case <-none:
	case <-time.After(lastAnswers):
	}
}

// Write implements io.Writer. It takes whole lines.
func (a *answers) Write(line []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var said []json.RawMessage
	if line[0] != '[' {
		said = append(said, line)
	} else if err := json.Unmarshal(line, &said); err != nil {
		return 0, fmt.Errorf("internal error: an answer is no JSON: %w", err)
	}
	all := len(said)
	var answered []any
	defer func() { // once it is written
		for _, id := range answered {
			a.ends(id)
		}
	}()
	said = slices.DeleteFunc(said, func(one json.RawMessage) bool {
		var f finder
		f.see(one)
		id := known(f.id)
		if id == nil || f.method {
			return false
		}
		answered = append(answered, id)
		return a.under[id].cancelled
	})
	switch {
	case len(said) == 0:
		return len(line), nil
	case len(said) < all: // of a batch
		b, err := json.Marshal(said)
		if err == nil {
			_, err = a.out.Write(append(b, '\n'))
		}
		return len(line), err
	}
	return a.out.Write(line)
}

// raw writes a line that answers none of the calls that are under way.
func (a *answers) raw(line []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err := a.out.Write(line)
	return err
}

// Close implements io.Closer.
func (a *answers) Close() error { return nil }

// has reports whether a call is under way.
func (a *answers) has(id any) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, under := a.under[id]
	return under
}

// begin says that a call is under way; quick: it has no program run.
func (a *answers) begin(id any, quick bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ends(id)
	a.under[id] = call{quick: quick}
	if quick {
		a.quick++
	}
}

// cancel says that nobody waits for a call.
func (a *answers) cancel(id any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if was, under := a.under[id]; under {
		a.ends(id) // nobody waits for it
		was.cancelled, was.quick = true, false
		a.under[id] = was
	}
}

// ends notes that a call has its answer. It is called with the lock.
func (a *answers) ends(id any) {
	if a.under[id].quick {
		a.quick--
	}
	delete(a.under, id)
	if a.quick == 0 && a.none != nil {
		close(a.none)
		a.none = nil
	}
}

// known is an id as the SDK knows it; nil where it is none.
func known(raw json.RawMessage) any {
	var text *string
	if json.Unmarshal(raw, &text) == nil && text != nil {
		return *text
	}
	var n *float64
	if json.Unmarshal(raw, &n) == nil && n != nil {
		return int64(*n)
	}
	return nil
}
