package webhook

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The signature is that of RFC 4231's second case, and of a program that is not Go's.
func TestSign(t *testing.T) {
	const want = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
	if got := Sign("Jefe", []byte("what do ya want for nothing?")); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	body := []byte(`{"text":"é"}`)
	cmd := exec.Command("python3", "-c", `import hmac,hashlib,sys; print("sha256="+hmac.new(b"k\xc3\xa9y", sys.stdin.buffer.read(), hashlib.sha256).hexdigest())`)
	cmd.Stdin = bytes.NewReader(body)
	out, err := cmd.Output()
	if got := Sign("kéy", body); err != nil || strings.TrimSpace(string(out)) != got {
		t.Errorf("%s, python3 has %s, %v", got, out, err)
	}
}

// server answers with a handler, and counts.
func server(t *testing.T, f http.HandlerFunc) (address string, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		f(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/T0K3N", asked
}

func hook(t *testing.T, address, key string) *Hook {
	t.Helper()
	h, err := New(address, key, "coltecd/test")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestPost(t *testing.T) {
	body := []byte(`{"id":"x"}`)
	var got *http.Request
	var read []byte
	address, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		read, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
	})
	if err := hook(t, address, "secret").Post(t.Context(), "x", body); err != nil {
		t.Fatal(err)
	}
	if got.Method != "POST" || !bytes.Equal(read, body) || got.Header.Get(Signature) != Sign("secret", body) ||
		got.Header.Get("Content-Type") != "application/json" || got.Header.Get("User-Agent") != "coltecd/test" || got.Header.Get("Coltec-Delivery") != "x" {
		t.Errorf("%s %q, %v", got.Method, read, got.Header)
	}
	if err := hook(t, address, "").Post(t.Context(), "x", body); err != nil || got.Header.Get(Signature) != "" {
		t.Errorf("without a key: %v, %v", err, got.Header)
	}
}

// Each answer that is no 2xx is an error that says what to do, and has no address in it; a
// redirect is not followed, whatever it leads to.
func TestPostRefused(t *testing.T) {
	elsewhere, followed := server(t, func(http.ResponseWriter, *http.Request) {})
	for status, want := range map[int]struct {
		final bool
		after time.Duration
	}{
		301: {}, 302: {}, 303: {}, 307: {}, 308: {}, 400: {final: true}, 401: {}, 403: {}, 404: {}, 410: {}, 413: {final: true}, 415: {final: true}, 422: {final: true},
		429: {after: 7 * time.Second}, 500: {after: 7 * time.Second}, 502: {after: 7 * time.Second}, 503: {after: 7 * time.Second},
	} {
		address, asked := server(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", elsewhere)
			if status == 308 { // it makes no sense, and has the address in it
				w.Header().Set("Location", "http://[T0K3N/")
			}
			if status >= 429 {
				w.Header().Set("Retry-After", "7")
			}
			w.WriteHeader(status)
		})
		var e *Error
		err := hook(t, address, "k").Post(t.Context(), "x", []byte("{}"))
		if !errors.As(err, &e) || e.Status != status || e.Final != want.final || e.After != want.after || asked.Load() != 1 {
			t.Errorf("%d: %+v, asked %d times", status, err, asked.Load())
		}
		if err == nil || strings.Contains(err.Error(), "T0K3N") {
			t.Errorf("%d: %v", status, err)
		}
	}
	if followed.Load() > 0 {
		t.Errorf("a redirect was followed %d times", followed.Load())
	}
}

// One that does not answer, answers without an end, cuts the line or is not there is an error
// within a bounded time.
func TestPostToTheDead(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	silent, _ := server(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	endless, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	cut, _ := server(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	large, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 1<<20))
	})
	const nobody = "http://127.0.0.1:9/T0K3N" // a port that was free a moment ago may be another test's now
	for what, address := range map[string]string{"silent": silent, "endless": endless, "cut": cut, "nobody": nobody, "large header": large} {
		h := hook(t, address, "k")
		h.patience = 300 * time.Millisecond
		done := make(chan error, 1)
		go func() { done <- h.Post(t.Context(), "x", []byte("{}")) }()
		select {
		case err := <-done:
			var e *Error
			if !errors.As(err, &e) || e.Final || strings.Contains(err.Error(), "T0K3N") {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(time.Minute):
			t.Errorf("%s: it waits for ever", what)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := hook(t, silent, "k").Post(ctx, "x", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// meet does something with each connection to a listener, until the test ends, and closes it.
func meet(t *testing.T, l net.Listener, with func(*net.TCPConn)) {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				with(conn.(*net.TCPConn))
			}()
		}
	}()
}

// Bytes that are no answer, and have the address in them, as a server that sends back what it gets
// has, are not written out; nor is a proxy's address that cannot be read.
func TestPostToAnEcho(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	meet(t, l, func(conn *net.TCPConn) {
		line, _ := bufio.NewReader(conn).ReadString('\n')
		_, _ = io.WriteString(conn, line)
	})
	for _, rest := range []string{"/T0K3N", "/services/T0K3N/", "/?key=T0K3N", "/x?a=b&key=T0K3N%21", "/%54T0K3N"} {
		var e *Error
		if err := hook(t, "http://"+l.Addr().String()+rest, "k").Post(t.Context(), "x", []byte("{}")); !errors.As(err, &e) || e.Final || e.Status != 0 || strings.Contains(err.Error(), "T0K3N") {
			t.Errorf("%s: %v", rest, err)
		}
	}
	address := fmt.Sprintf("http://user:%s@%%zz", "T0K3N") // no host
	bad, err := url.Parse(address)
	_, got := quiet(func(*http.Request) (*url.URL, error) { return bad, err })(nil)
	if err == nil || got == nil || strings.Contains(got.Error(), "T0K3N") {
		t.Errorf("%v, of %v", got, err)
	}
}

// The same trouble is the same sentence, whatever port it came from: each of another one would be
// news for hooks.
func TestSameTrouble(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil { // there is no IPv6 here
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	meet(t, l, func(conn *net.TCPConn) {
		_ = conn.SetLinger(0) // it is reset
		_, _ = conn.Read(make([]byte, 1))
	})
	said := map[string]bool{}
	for range 5 {
		said[hook(t, "http://"+l.Addr().String()+"/T0K3N", "k").Post(t.Context(), "x", []byte("{}")).Error()] = true
	}
	for text := range said {
		if host := l.Addr().(*net.TCPAddr).IP.String(); strings.Contains(text, host) { // and its port
			t.Errorf("%q", text)
		}
	}
}

// An answer asks to wait in seconds, or until a moment.
func TestAfter(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "-5": 0, "7": 7 * time.Second, "86400000000000": waitMost, "99999999999999999999": 0, "x": 0, "1.5": 0,
		"Tue, 01 Jan 2030 00:00:30 GMT": 30 * time.Second, "Tue, 01 Jan 2030 09:00:00 GMT": waitMost, "Mon, 31 Dec 2029 23:00:00 GMT": 0,
	} {
		if got := after(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
