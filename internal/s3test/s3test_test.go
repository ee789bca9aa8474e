package s3test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/hint"
)

// rclone runs the tests' rclone against an endpoint, once per request.
func rclone(t *testing.T, s *Server, endpoint, stdin string, args ...string) (string, error) {
	t.Helper()
	bin, err := Rclone()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, append(args, "--retries", "1", "--low-level-retries", "1", "--timeout", "2s", "--s3-no-head", "--s3-no-check-bucket")...)
	cmd.Env = []string{"RCLONE_CONFIG=notfound", "HOME=/", "RCLONE_CONFIG_R_TYPE=s3"}
	for option, value := range s.Options(endpoint) {
		cmd.Env = append(cmd.Env, "RCLONE_CONFIG_R_"+strings.ToUpper(option)+"="+value)
	}
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestServer(t *testing.T) {
	s := Start(t)
	if out, err := rclone(t, s, s.Endpoint, "hello", "rcat", "R:"+s.Bucket+"/a/b"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	content, err := os.ReadFile(filepath.Join(s.Dir, s.Bucket, "a/b"))
	if err != nil || string(content) != "hello" {
		t.Errorf("%q %v", content, err)
	}
	s.SecretKey += "x"
	if out, err := rclone(t, s, s.Endpoint, "x", "rcat", "R:"+s.Bucket+"/c"); err == nil || !strings.Contains(out, "SignatureDoesNotMatch") {
		t.Errorf("a wrong secret: %v %s", err, out)
	}
}

func TestServerEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Serve(ctx, Options{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-s.done:
	case <-time.After(time.Minute):
		t.Error("the context ended, the server did not")
	}
	s.Close()
	if _, err := os.Stat(s.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory stays: %v", err)
	}
}

func TestServerThatDoesNotStart(t *testing.T) {
	if _, err := Serve(t.Context(), Options{Rclone: "/bin/false"}); err == nil || !strings.Contains(err.Error(), "it ended at once") {
		t.Errorf("got %v", err)
	}
	t.Setenv("COLTEC_RCLONE", "")
	t.Chdir(t.TempDir())
	if _, err := Rclone(); err == nil {
		t.Error("an rclone was found outside the module")
	}
	if err := os.WriteFile("go.mod", []byte("module github.com/coltec/coltec\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Rclone(); err == nil || !strings.Contains(strings.Join(hint.Of(err), ""), "make rclone") {
		t.Errorf("no word about what to do: %v", err)
	}
}

func TestProxyPassesAndCounts(t *testing.T) {
	s := Start(t)
	p := s.Proxy(t)
	for _, key := range []string{"plain", "with space", "per%cent+plus", "new\nline", "ü/x"} {
		if out, err := rclone(t, s, p.Endpoint, "x", "rcat", "R:"+s.Bucket+"/"+key); err != nil {
			t.Errorf("%q: %v %s", key, err, out)
		}
	}
	if out, err := rclone(t, s, p.Endpoint, "", "lsf", "R:"+s.Bucket+"/"); err != nil {
		t.Errorf("%v %s", err, out)
	}
	if err := p.Wait(t.Context(), List, 1); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[Kind]int{Put: 5, List: 1}, p.Counts()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"PUT": 5, "GET": 1}, p.Methods()); diff != "" {
		t.Error(diff)
	}
	first := p.Requests()[0]
	if first.Key != "plain" || first.Bucket != s.Bucket || first.Status != 200 || first.Took <= 0 {
		t.Errorf("%+v", first)
	}
	p.Reset()
	if n := len(p.Requests()); n != 0 {
		t.Errorf("%d requests after the reset", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Wait(ctx, Put, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A plain server behind the proxy shows what each fault lets through.
func TestFaults(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 1000)
	type seen struct {
		Reached bool // the store saw the request
		Status  int  // 0: the connection was cut
		Bytes   int
	}
	tests := map[string]struct {
		fault Fault
		want  seen
	}{
		"none":          {Fault{Key: "other"}, seen{true, 200, 1000}},
		"another kind":  {Fault{Kind: Put, Drop: true}, seen{true, 200, 1000}},
		"condition":     {Fault{If: func(Request) bool { return false }, Drop: true}, seen{true, 200, 1000}},
		"delay":         {Fault{Kind: Get, Delay: time.Millisecond}, seen{true, 200, 1000}},
		"status":        {Fault{Key: "k", Status: 503, Code: "SlowDown"}, seen{false, 503, 105}},
		"drop":          {Fault{Drop: true}, seen{false, 0, 0}},
		"drop response": {Fault{DropResponse: true}, seen{true, 0, 0}},
		"truncate":      {Fault{Truncate: true}, seen{true, 200, 500}},
		"second only":   {Fault{Nth: 2, Drop: true}, seen{true, 200, 1000}},
		"first only":    {Fault{Times: 1, Drop: true}, seen{false, 0, 0}},
		"hang":          {Fault{Hang: true}, seen{false, 0, 0}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			reached := false
			target := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
				reached = true
				_, _ = w.Write(body)
			})
			p, err := NewProxy(target)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			calls := 0
			tt.fault.Before = func(Request) { calls++ }
			remove := p.Inject(tt.fault)
			got := seen{}
			got.Status, got.Bytes = fetch(t, p.Endpoint+"/bucket/k")
			got.Reached = reached
			if tt.fault.Status != 0 {
				got.Bytes = tt.want.Bytes // the words do not matter
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			remove()
			if status, n := fetch(t, p.Endpoint+"/bucket/k"); status != 200 || n != 1000 {
				t.Errorf("after the fault: %d, %d bytes", status, n)
			}
			if calls > 1 {
				t.Errorf("the fault was met %d times", calls)
			}
		})
	}
}

func TestAfterSeesTheAnswer(t *testing.T) {
	p, err := NewProxy(serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	status := 0
	p.Inject(Fault{After: func(r Request) { status = r.Status }})
	if got, _ := fetch(t, p.Endpoint+"/bucket/k"); got != http.StatusTeapot || status != http.StatusTeapot {
		t.Errorf("the client got %d, After saw %d", got, status)
	}
}

func TestKinds(t *testing.T) {
	tests := map[string]Kind{
		"PUT /b/k":                         Put,
		"GET /b/k":                         Get,
		"HEAD /b/k":                        Head,
		"DELETE /b/k":                      Delete,
		"PATCH /b/k":                       Other,
		"POST /b/k?uploads=":               Multipart,
		"PUT /b/k?partNumber=1&uploadId=x": Multipart,
		"GET /b?list-type=2":               List,
		"GET /b/?list-type=2":              List,
		"GET /b?location":                  Other,
		"POST /b?delete":                   DeleteMany,
		"HEAD /b":                          HeadBucket,
		"PUT /b":                           CreateBucket,
		"DELETE /b":                        Other,
	}
	p := &Proxy{}
	for line, want := range tests {
		method, target, _ := strings.Cut(line, " ")
		r, err := http.NewRequest(method, "http://x"+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.record(r).Kind; got != want {
			t.Errorf("%s is %q, want %q", line, got, want)
		}
	}
	r, _ := http.NewRequest("PUT", "http://x/b/k", nil)
	r.Header.Set("X-Amz-Copy-Source", "/b/j")
	if got := p.record(r).Kind; got != Copy {
		t.Errorf("a copy is %q", got)
	}
}

// fetch gets a URL; a connection that is cut, or silent for a second, is 0.
func fetch(t *testing.T, url string) (status, n int) {
	t.Helper()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return 0, 0
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, len(b)
}

// A link counts what both directions carry, and is no faster than it says.
func TestLink(t *testing.T) {
	s := Start(t)
	p := s.Proxy(t)
	const size = 1 << 20
	p.Link(20*time.Millisecond, 4*size)
	began := time.Now()
	if out, err := rclone(t, s, p.Endpoint, strings.Repeat("x", size), "rcat", "R:"+s.Bucket+"/big", "--streaming-upload-cutoff", "2Mi"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if took := time.Since(began); took < 250*time.Millisecond {
		t.Errorf("a mebibyte took %v at four in a second", took)
	}
	if got := p.Total(); got.Requests != 1 || got.Sent < size || got.Sent > size+size/10 {
		t.Errorf("sent: got %+v, want one request with %d bytes and little more", got, size)
	}
	p.Reset()
	p.Link(0, 0)
	if _, err := rclone(t, s, p.Endpoint, "", "cat", "R:"+s.Bucket+"/big"); err != nil {
		t.Fatal(err)
	}
	if got := p.Total(); got.Received < size || got.Received > size+size/10 {
		t.Errorf("received: got %+v, want %d bytes and little more", got, size)
	}
}
