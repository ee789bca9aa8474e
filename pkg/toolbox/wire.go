package toolbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
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
	quick   bool   // the last message is a request that has no program run
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
		switch fault := w.faultOf(line, id); {
		case fault == nil:
			w.rest = line
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

// faultOf is what is wrong with a line; nil where it is a message, or a batch of them.
func (w *wire) faultOf(line []byte, id json.RawMessage) *jsonrpc.Error {
	if line == nil {
		return faulty(jsonrpc.CodeInvalidRequest, "the message is longer than %d bytes", messageMost)
	}
	if !json.Valid(line) {
		return faulty(jsonrpc.CodeParseError, "the message is no JSON on one line")
	}
	if line[0] != '[' {
		fault := w.message(line, id)
		if call := known(id); fault == nil && call != nil {
			w.out.begin(call, w.quick)
		}
		return fault
	}
	var list []json.RawMessage
	if !w.batches || json.Unmarshal(line, &list) != nil || len(list) == 0 {
		return faulty(jsonrpc.CodeInvalidRequest, "a message is a JSON object: this protocol has no batches")
	}
	ids := map[string]bool{}
	for _, one := range list {
		var f finder
		f.see(one)
		if fault := w.message(one, f.id); fault != nil {
			return fault
		}
		if f.id != nil && ids[string(f.id)] {
			return faulty(jsonrpc.CodeInvalidRequest, "an id is there twice")
		}
		ids[string(f.id)] = true
	}
	return nil
}

// message is what is wrong with one message.
func (w *wire) message(text []byte, id json.RawMessage) *jsonrpc.Error {
	if id != nil && !exact(id) {
		return faulty(jsonrpc.CodeInvalidRequest, "an id is a text of %d bytes at most, or an integer below 2^53", idMost)
	}
	w.quick = false
	m, err := jsonrpc.DecodeMessage(text)
	if err != nil {
		return faulty(jsonrpc.CodeInvalidRequest, "the message is none of JSON-RPC 2.0: %s", err)
	}
	r, isRequest := m.(*jsonrpc.Request)
	if !isRequest {
		return nil
	}
	var params struct {
		ProtocolVersion string          `json:"protocolVersion"`
		RequestID       json.RawMessage `json:"requestId"`
	}
	w.quick = r.IsCall() && r.Method != "tools/call"
	_ = json.Unmarshal(r.Params, &params) // whose shape is the method's
	switch r.Method {
	case "initialize":
		w.batches = params.ProtocolVersion != "" && params.ProtocolVersion < "2025-06-18"
	case "notifications/cancelled":
		if !exact(params.RequestID) {
			return errDropped // it would cancel another call
		}
		w.out.cancel(known(params.RequestID))
	}
	return nil
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
	_, err = w.out.Write(append(b, '\n'))
	return err
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
	under map[any]bool  // calls that are under way, by their ids: whether they were cancelled
	quick map[any]bool  // those of them that have no program run
	none  chan struct{} // closed when there are none of those; nil: nobody waits for it
}

func newAnswers(out io.Writer) *answers {
	return &answers{out: out, under: map[any]bool{}, quick: map[any]bool{}}
}

// lastAnswers is how long the end of an agent's stream waits for answers that take no program: with
// that end the SDK drops what it has not answered yet.
const lastAnswers = 5 * time.Second

// settle waits until what was asked has its answer, but for calls of tools: with the end of its
// stream an agent is gone, and those are interrupted.
func (a *answers) settle() {
	a.mu.Lock()
	if len(a.quick) == 0 {
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

// answered notes that a call has its answer, or needs none. It is called with the lock.
func (a *answers) answered(id any) {
	delete(a.quick, id)
	if len(a.quick) == 0 && a.none != nil {
		close(a.none)
		a.none = nil
	}
}

// Write implements io.Writer. It takes whole lines.
func (a *answers) Write(line []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var f finder
	f.see(line)
	if id := known(f.id); id != nil && !f.method {
		cancelled := a.under[id]
		delete(a.under, id)
		defer a.answered(id)
		if cancelled {
			return len(line), nil
		}
	}
	return a.out.Write(line)
}

// Close implements io.Closer.
func (a *answers) Close() error { return nil }

// begin says that a call is under way; quick: it has no program run.
func (a *answers) begin(id any, quick bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.under[id] = false
	if quick {
		a.quick[id] = true
	}
}

// cancel says that nobody waits for a call.
func (a *answers) cancel(id any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, under := a.under[id]; under {
		a.under[id] = true
		a.answered(id) // nobody waits for it
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
