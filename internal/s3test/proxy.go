package s3test

import (
	"cmp"
	"context"
	"crypto/md5"
	"fmt"
	"html"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Kind says what an S3 request asks for.
type Kind string

// The kinds of request. Those whose name is a verb alone speak of one object.
const (
	Put          Kind = "put"
	Get          Kind = "get"
	Head         Kind = "head"
	Delete       Kind = "delete"
	Copy         Kind = "copy"
	List         Kind = "list"
	DeleteMany   Kind = "delete-many"
	Multipart    Kind = "multipart" // begin, part, complete, abort
	HeadBucket   Kind = "head-bucket"
	CreateBucket Kind = "create-bucket"
	Other        Kind = "other"
)

// Request is one request that came through a proxy.
type Request struct {
	Kind   Kind
	Method string
	Bucket string
	Key    string // unescaped
	Query  url.Values
	Header http.Header // as the client sent it
	Status int         // 0: no answer was sent
	Start  time.Time
	Took   time.Duration

	Sent     int64 // bytes of the body that the client sent
	Received int64 // bytes of the body that it was sent
}

// Fault is what a proxy does to the requests it matches. All that is set
// happens, in the order of the fields.
type Fault struct {
	Kind  Kind               // "" matches every kind
	Key   string             // "" matches every key, else a substring of it
	If    func(Request) bool // nil matches all
	Nth   int                // only the nth match, from 1; 0: each
	Times int                // with Nth 0: only so many; 0: for ever

	Before       func(Request)                                        // called before the store sees the request; may block
	Delay        time.Duration                                        // before the store sees it
	Hang         bool                                                 // wait until the client goes away; the store sees nothing
	Drop         bool                                                 // cut the connection; the store sees nothing
	Status       int                                                  // answer with this status; the store sees nothing
	Code         string                                               // the S3 error code that goes with Status
	Message      string                                               // its message; "": one of ours
	Extra        string                                               // more XML of the error
	Header       http.Header                                          // goes with Status
	Strip        []string                                             // headers of the request that the store does not see
	Portal       Portal                                               // something else answers; the store sees nothing
	Forget       bool                                                 // a PUT is confirmed, with the ETag of its body; the store sees nothing
	After        func(Request)                                        // called when the store has answered, before the client knows
	DropResponse bool                                                 // the store did it; the client's connection is cut
	Truncate     bool                                                 // the store did it; the client gets half the body
	Seal         func(tag string) (sealed string, header http.Header) // each ETag is another one, with these headers

	hits int
}

// Proxy is an HTTP proxy before a server: it counts, records and breaks.
type Proxy struct {
	Endpoint string // what clients are to use instead of the server's

	server *http.Server
	secret string // signs anew what was changed on the way; "": nothing is
	done   chan struct{}

	up, down pipe // the two directions of the link

	mu       sync.Mutex
	latency  time.Duration
	requests []*Request
	sealed   map[string]string // an ETag of Seal's → the store's
	faults   []*Fault
}

// Proxy starts a proxy that ends with the test.
func (s *Server) Proxy(t testing.TB) *Proxy {
	t.Helper()
	p, err := NewProxy(s.url())
	if err != nil {
		t.Fatal(err)
	}
	p.secret = s.SecretKey
	t.Cleanup(p.Close)
	return p
}

// NewProxy starts a proxy before the S3 server at target. The caller closes it.
func NewProxy(target *url.URL) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot start the proxy: %w", err)
	}
	p := &Proxy{Endpoint: "http://" + listener.Addr().String(), done: make(chan struct{})}
	p.server = &http.Server{Handler: p.handler(target), ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		defer close(p.done)
		_ = p.server.Serve(listener)
	}()
	return p, nil
}

// Close stops the proxy and cuts what is under way.
func (p *Proxy) Close() {
	_ = p.server.Close()
	<-p.done
}

// passTo passes requests on with the Host that the client signed.
func passTo(target *url.URL) http.Handler {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // an added Accept-Encoding may be part of the signature
	transport.MaxIdleConnsPerHost = 64
	transport.IdleConnTimeout = 20 * time.Second // rclone's server closes what is idle for 60 s: a PUT that meets that is lost
	transport.Proxy = nil
	return &httputil.ReverseProxy{
		Transport: transport,
		ErrorLog:  log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { // the client's words have why
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprintf(w, "<Error><Code>BadGateway</Code><Message>the proxy of the test: %s</Message></Error>", html.EscapeString(err.Error()))
		},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
	}
}

// handler records requests and applies the faults.
func (p *Proxy) handler(target *url.URL) http.Handler {
	reverse := passTo(target)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == LoginPage { // a portal led here
			_, _ = io.Copy(io.Discard, r.Body)
			page(w, r, http.StatusOK)
			return
		}
		req := p.record(r)
		defer func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			req.Took = time.Since(req.Start)
		}()
		p.travel(r.Context())
		r.Body = &upload{ReadCloser: r.Body, ctx: r.Context(), p: p, req: req}
		p.pass(&answer{ResponseWriter: w, ctx: r.Context(), p: p, req: req}, r, req, reverse)
	})
}

// pass applies the faults around the real exchange.
func (p *Proxy) pass(w *answer, r *http.Request, req *Request, next http.Handler) {
	faults := p.match(req)
	for _, f := range faults {
		if !f.before(w, r, *req) {
			return
		}
		for _, name := range f.Strip {
			r.Header.Del(name)
		}
		if f.Seal != nil {
			p.unseal(r)
		}
	}
	w.held = slices.ContainsFunc(faults, func(f *Fault) bool {
		return f.After != nil || f.DropResponse || f.Truncate || f.Seal != nil && slices.Contains(listsTags, req.Kind)
	})
	for _, f := range faults {
		if f.Seal != nil && !w.held { // content goes by as it comes
			w.seal = func() { p.seal(w, f) }
		}
	}
	next.ServeHTTP(w, r)
	for _, f := range faults {
		if f.Seal != nil && w.held {
			p.seal(w, f)
		}
		if f.After != nil {
			f.After(p.copyOf(req))
		}
	}
	for _, f := range faults {
		if f.DropResponse {
			w.forget()
			panic(http.ErrAbortHandler)
		}
		if f.Truncate {
			w.flush(len(w.body) / 2)
			panic(http.ErrAbortHandler)
		}
	}
	w.flush(len(w.body))
}

// before does what comes before the store; false means that all is said.
func (f *Fault) before(w http.ResponseWriter, r *http.Request, req Request) bool {
	if f.Before != nil {
		f.Before(req)
	}
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
		}
	}
	switch {
	case f.Hang:
		// A server sees that its client left only once the body is read.
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.Portal != "":
		f.Portal.ServeHTTP(w, r)
		return false
	case f.Forget:
		sum := md5.New()
		_, _ = io.Copy(sum, r.Body)
		w.Header().Set("ETag", fmt.Sprintf("\"%x\"", sum.Sum(nil)))
		return false
	case f.Status != 0:
		// Reading the body first keeps the client from a reset while it writes.
		_, _ = io.Copy(io.Discard, r.Body)
		maps.Copy(w.Header(), f.Header)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(f.Status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message>%s</Error>", f.Code, cmp.Or(f.Message, "injected"), f.Extra)
		}
		return false
	}
	return true
}

// answer notes the status, and holds the answer back when a fault wants it.
type answer struct {
	http.ResponseWriter
	ctx  context.Context
	p    *Proxy
	req  *Request
	held bool
	seal func() // called before the headers go out; may be nil
	code int
	body []byte
}

func (a *answer) WriteHeader(code int) {
	a.note(code)
	if a.held {
		a.code = code
		return
	}
	if a.seal != nil {
		a.seal()
	}
	a.ResponseWriter.WriteHeader(code)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.held {
		a.body = append(a.body, b...)
		return len(b), nil
	}
	return a.send(b)
}

// send gives bytes to the client, as fast as the link lets it.
func (a *answer) send(b []byte) (int, error) {
	a.p.down.carry(a.ctx, len(b))
	a.p.count(&a.req.Received, len(b))
	return a.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// note records the status that the client is sent.
func (a *answer) note(code int) {
	a.p.mu.Lock()
	defer a.p.mu.Unlock()
	a.req.Status = code
}

// forget records that no answer went out.
func (a *answer) forget() { a.note(0) }

// flush sends the first n bytes of a held answer.
func (a *answer) flush(n int) {
	if !a.held || a.code == 0 {
		return
	}
	a.ResponseWriter.WriteHeader(a.code)
	_, _ = a.send(a.body[:n])
	if n < len(a.body) {
		_ = http.NewResponseController(a.ResponseWriter).Flush()
	}
}

// record notes a request at its arrival.
func (p *Proxy) record(r *http.Request) *Request {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	req := &Request{
		Method: r.Method, Bucket: bucket, Key: key, Query: r.URL.Query(),
		Header: r.Header.Clone(), Start: time.Now(),
	}
	req.Kind = kindOf(req)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, req)
	return req
}

// kindOf sorts a request.
func kindOf(r *Request) Kind {
	switch {
	case r.Key == "":
		return bucketKind(r)
	case r.Query.Has("uploads"), r.Query.Has("uploadId"):
		return Multipart
	case r.Method == http.MethodPut && r.Header.Get("X-Amz-Copy-Source") != "":
		return Copy
	}
	kind, known := map[string]Kind{
		http.MethodPut: Put, http.MethodGet: Get, http.MethodHead: Head, http.MethodDelete: Delete,
	}[r.Method]
	if !known {
		return Other
	}
	return kind
}

// bucketKind sorts a request that names no object.
func bucketKind(r *Request) Kind {
	switch {
	case r.Method == http.MethodGet && !r.Query.Has("location"):
		return List
	case r.Method == http.MethodPost && r.Query.Has("delete"):
		return DeleteMany
	case r.Method == http.MethodHead:
		return HeadBucket
	case r.Method == http.MethodPut:
		return CreateBucket
	}
	return Other
}

// match returns the faults that a request meets.
func (p *Proxy) match(req *Request) []*Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	var met []*Fault
	for _, f := range p.faults {
		if f.meets(*req) {
			met = append(met, f)
		}
	}
	return met
}

// meets counts a match and reports whether it is one to act on. The proxy's lock
// is held.
func (f *Fault) meets(req Request) bool {
	if f.Kind != "" && f.Kind != req.Kind || !strings.Contains(req.Key, f.Key) || f.If != nil && !f.If(req) {
		return false
	}
	f.hits++
	if f.Nth > 0 {
		return f.hits == f.Nth
	}
	return f.Times == 0 || f.hits <= f.Times
}

// Inject adds a fault and returns a function that takes it back.
func (p *Proxy) Inject(f Fault) (remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &f)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.faults = slices.DeleteFunc(p.faults, func(g *Fault) bool { return g == &f })
	}
}

// Reset forgets the record and takes all faults back.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests, p.faults = nil, nil
}

// Requests returns what came so far, in the order of arrival.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Request, len(p.requests))
	for i, r := range p.requests {
		all[i] = *r
	}
	return all
}

// Counts returns how many requests of each kind came so far.
func (p *Proxy) Counts() map[Kind]int {
	counts := map[Kind]int{}
	for _, r := range p.Requests() {
		counts[r.Kind]++
	}
	return counts
}

// Methods returns how many requests of each HTTP method came so far.
func (p *Proxy) Methods() map[string]int {
	counts := map[string]int{}
	for _, r := range p.Requests() {
		counts[r.Method]++
	}
	return counts
}

// copyOf copies a record under the lock.
func (p *Proxy) copyOf(req *Request) Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *req
}

// Wait returns when the record holds n requests of a kind, or the context ends.
func (p *Proxy) Wait(ctx context.Context, kind Kind, n int) error {
	// Polling every 5 ms: the record is written by http handlers, and a
	// condition variable cannot be waited for together with a context.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for p.Counts()[kind] < n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("cannot see %d %s requests: %w", n, kind, context.Cause(ctx))
		}
	}
	return nil
}
