package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"reflect"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/metrics"
	"github.com/coltec/coltec/pkg/status"
)

// maxRequest is far above any request: a list of names.
const maxRequest = 1 << 20

// Server answers on the socket.
type Server struct {
	handler Handler
	log     *slog.Logger
	allow   func(uid uint32) bool
	http    *http.Server
}

// NewServer makes a server over h. Only this process's user and root are
// answered.
func NewServer(h Handler, log *slog.Logger) *Server {
	me := uint32(os.Getuid())
	s := &Server{handler: h, log: log, allow: func(uid uint32) bool { return uid == me || uid == 0 }}
	s.http = &http.Server{
		Handler:           s.routes(),
		ConnContext:       withPeer,
		ReadHeaderTimeout: 5 * time.Second, // a local client sends its header at once
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers until Close. It returns nil after a Close.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("cannot serve the socket: %w", err)
}

// Close lets answers that are under way go out for a moment, then cuts.
func (s *Server) Close() {
	// An event stream never ends by itself, and a client that waits for a
	// stop watches the lock: nobody needs longer than a local write takes.
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_ = s.http.Shutdown(ctx)
	_ = s.http.Close()
}

// route is one call of the protocol.
type route struct {
	pattern string // such as "POST /v1/sync"
	ask     Ask    // of those that share a path; "" of the others
	method  string // of the [Handler]
	request any    // a value of the type; nil: there is nothing to say
	answer  any    // the same; nil: that it is done
	serve   http.HandlerFunc
}

// does is the route of a call that may take long, and has nothing to tell in the end.
func does[Q any](s *Server, verb, method string, call func(context.Context, Q, func(string)) error) route {
	r := route{pattern: "POST /v1/" + verb, method: method, request: *new(Q)}
	r.serve = answering(s, func(ctx context.Context, req Q, say func(string)) (any, error) { return nil, call(ctx, req, say) })
	return r
}

// answers is the route of a call that may take long, and has an answer in the end.
func answers[Q, A any](s *Server, verb, method string, call func(context.Context, Q, func(string)) (A, error)) route {
	r := route{pattern: "POST /v1/" + verb, method: method, request: *new(Q), answer: *new(A)}
	r.serve = answering(s, func(ctx context.Context, req Q, say func(string)) (any, error) { return call(ctx, req, say) })
	return r
}

// acts is a call about one unit or replica.
func acts(act func(context.Context, string) error) func(context.Context, NameRequest, func(string)) error {
	return func(ctx context.Context, req NameRequest, _ func(string)) error { return act(ctx, req.Name) }
}

// asks is the route of a question of the history.
func asks[Q, A any](s *Server, ask Ask, method string, call func(context.Context, Q, func(string)) (A, error)) route {
	r := answers(s, "read", method, call)
	r.ask = ask
	return r
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	questions := map[Ask]http.HandlerFunc{}
	for _, r := range s.table() {
		if r.ask != "" {
			questions[r.ask] = r.serve
			continue
		}
		mux.HandleFunc(r.pattern, r.serve)
	}
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.HandleFunc("POST /v1/read", func(w http.ResponseWriter, r *http.Request) { s.read(w, r, questions) })
	return s.guard(mux)
}

// read finds out what is asked, and has that answered.
func (s *Server) read(w http.ResponseWriter, r *http.Request, questions map[Ask]http.HandlerFunc) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	var q question
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("cannot read the request: %w", err))
		return
	}
	answer, known := questions[q.Ask]
	if !known {
		refuse(w, http.StatusBadRequest, fmt.Errorf("cannot answer %q: no such question", q.Ask))
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer(w, r)
}

// guard refuses other users, and turns a panic into an internal error whose
// trace is in the log alone.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				s.log.Error("panic in a request", "path", r.URL.Path, "panic", v, "trace", string(debug.Stack()))
				refuse(w, http.StatusInternalServerError, fmt.Errorf("internal error: %v", v))
			}
		}()
		if uid, ok := peer(r.Context()); !ok || !s.allow(uid) {
			refuse(w, http.StatusForbidden, fmt.Errorf("coltecd does not answer uid %d: %w", uid, ErrForbidden))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter, code int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(line{Error: toWire(err)})
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.handler.Status(r.Context()))
}

// metrics is the status in numbers.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	ServeMetrics(w, r, s.handler.Status(r.Context()))
}

// ServeMetrics answers a question for metrics with those of a document, in the format that
// is asked for.
func ServeMetrics(w http.ResponseWriter, r *http.Request, doc status.Document) {
	f := metrics.Accepted(r.Header.Get("Accept"))
	w.Header().Set("Content-Type", f.ContentType())
	_, _ = w.Write(metrics.Document(f, doc)) // a client that went away needs no answer
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	out := newLines(w)
	if err := s.handler.Events(r.Context(), func(e Event) error { return out.send(e) }); err != nil {
		s.log.Debug("event stream ended", "error", err)
	}
}

// answering makes a handler of a call that may take long: the answer is lines of JSON,
// the last of them done, with what there is to tell in the end, or error.
func answering[T any](s *Server, call func(context.Context, T, func(string)) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req T
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
		if err := dec.Decode(&req); err != nil && !errors.Is(err, io.EOF) {
			refuse(w, http.StatusBadRequest, fmt.Errorf("cannot read the request: %w", err))
			return
		}
		out := newLines(w)
		last := line{Done: true}
		if err := s.safely(r, func() error {
			answer, err := call(r.Context(), req, func(text string) { _ = out.send(line{Say: text}) })
			if answer != nil && (err == nil || inPart(answer)) {
				var failed error
				last.Answer, failed = json.Marshal(answer)
				err = errors.Join(err, failed)
			}
			return err
		}); err != nil {
			last.Done, last.Error = false, toWire(err)
		}
		_ = out.send(last) // a client that went away needs no answer
	}
}

// inPart reports whether an answer has something to tell beside an error: it is a list that has
// something, or of what was done before that.
func inPart(answer any) bool {
	if d, ok := answer.(Decided); ok {
		return len(d.Done) > 0
	}
	v := reflect.ValueOf(answer)
	return v.Kind() == reflect.Slice && v.Len() > 0
}

// safely makes an error of a panic while the stream can still carry it.
func (s *Server) safely(r *http.Request, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("panic in a request", "path", r.URL.Path, "panic", v, "trace", string(debug.Stack()))
			err = fmt.Errorf("internal error: %v", v)
		}
	}()
	return f()
}

// lines writes one JSON value a line and pushes each out at once.
type lines struct {
	mu  sync.Mutex // progress may come from several goroutines
	enc *json.Encoder
	rc  *http.ResponseController
}

func newLines(w http.ResponseWriter) *lines {
	w.Header().Set("Content-Type", "application/x-ndjson")
	l := &lines{enc: json.NewEncoder(w), rc: http.NewResponseController(w)}
	_ = l.rc.Flush() // the header: the client knows that it was heard
	return l
}

func (l *lines) send(v any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.enc.Encode(v); err != nil {
		return err
	}
	return l.rc.Flush()
}

// peerKey is the context key of the caller's uid.
type peerKey struct{}

// withPeer asks the kernel who is at the other end.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return ctx
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || credErr != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, cred.Uid)
}

func peer(ctx context.Context) (uint32, bool) {
	uid, ok := ctx.Value(peerKey{}).(uint32)
	return uid, ok
}
