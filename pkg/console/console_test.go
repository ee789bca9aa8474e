package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/order"
	"github.com/coltec/coltec/pkg/status"
)

// deadline is for what happens at once on a machine that is not busy.
const deadline = time.Minute

// stage is a console that a test serves, and what happens behind it.
type stage struct {
	t     *testing.T
	url   string
	host  string
	token string
	views chan View // what is known from now on
	carry func(ctx context.Context, argv []string, say func(Line)) (int, error)
	mark  atomic.Value // a text; see Settings.Mark
	stop  func()       // ends the console
}

// rows of two workspaces: one is here.
func rows() []fleet.Row {
	return []fleet.Row{
		{Workspace: "acme/widget/dev", Folder: "/home/u/widget", Where: "here", State: "running", Attention: []string{}},
		{Workspace: "acme/widget/far", State: fleet.Elsewhere, Where: "laptop", Attention: []string{}},
	}
}

// play serves a console at which the first view is known at once.
func play(t *testing.T, actions bool, first View) *stage {
	t.Helper()
	s := &stage{t: t, token: NewToken(), views: make(chan View), carry: func(context.Context, []string, func(Line)) (int, error) {
		return 0, errors.New("nothing was to be run")
	}}
	s.mark.Store("")
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	server := httptest.NewUnstartedServer(nil)
	c, err := New(ctx, Settings{
		Version: "v1", Token: s.token, Port: server.Listener.Addr().(*net.TCPAddr).Port, Actions: actions, Orders: order.All(),
		Follow: func(ctx context.Context, tell func(View)) {
			tell(first)
			for {
				select {
				case <-ctx.Done():
					return
				case v := <-s.views:
					tell(v)
				}
			}
		},
		Carry: func(ctx context.Context, argv []string, say func(Line)) (int, error) { return s.carry(ctx, argv, say) },
		Mark: func(order, _ string) string {
			if mark := s.mark.Load().(string); order == "logs" && mark != "" {
				return mark
			}
			return ""
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = c.Handler()
	server.Start()
	t.Cleanup(func() { cancel(); server.Close() })
	s.url, s.host = server.URL, server.Listener.Addr().String()
	return s
}

// request is one with the token, as our own page sends it.
func (s *stage) request(method, path, body string) *http.Request {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	s.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", "http://"+s.host)
	}
	return r
}

func (s *stage) send(r *http.Request) (code int, body string) {
	s.t.Helper()
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return a.StatusCode, string(b)
}

func (s *stage) get(path string) (int, string) { return s.send(s.request("GET", path, "")) }

func (s *stage) run(body string) (int, string) { return s.send(s.request("POST", "/api/run", body)) }

// calls are what the API is asked, with what it takes.
var calls = [][3]string{
	{"GET", "/api/about", ""}, {"GET", "/api/events", ""}, {"GET", "/api/ask?order=history&workspace=/home/u/widget", ""},
	{"POST", "/api/run", `{"order":"sync","args":{"workspace":"/home/u/widget"}}`}, {"GET", "/api/nothing", ""},
}

// Who has no token learns nothing and has nothing done, whatever else is right.
func TestToken(t *testing.T) {
	s := play(t, true, View{Rows: rows()})
	other := NewToken()
	for _, header := range []string{"", "Bearer", "Bearer ", "Bearer " + other, "bearer " + s.token, "Basic " + s.token, "Bearer " + s.token[1:], "Bearer " + s.token + "x", "Bearer  " + s.token, s.token} {
		for _, call := range calls {
			r := s.request(call[0], call[1], call[2])
			r.Header.Set("Authorization", header)
			r.Header.Set("Cookie", "token="+s.token)
			r.URL.RawQuery += "&token=" + s.token
			if code, body := s.send(r); code != http.StatusUnauthorized || strings.Contains(body, "acme") {
				t.Errorf("%q: %s %s: %d %s", header, call[0], call[1], code, body)
			}
		}
	}
	if code, body := s.get("/api/about"); code != http.StatusOK || !strings.Contains(body, `"actions":true`) {
		t.Error(code, body)
	}
	if s.token == other || len(s.token) != 43 {
		t.Errorf("%q and %q", s.token, other)
	}
}

// The page itself takes no token, and has nothing in it that one is for.
func TestPageWithoutToken(t *testing.T) {
	s := play(t, true, View{Rows: rows()})
	for path, kind := range map[string]string{"/": "text/html; charset=utf-8", "/app.js": "text/javascript; charset=utf-8", "/app.css": "text/css; charset=utf-8", "/icon.svg": "image/svg+xml"} {
		r := s.request("GET", path, "")
		r.Header.Del("Authorization")
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(a.Body)
		a.Body.Close()
		if err != nil || a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != kind || len(body) == 0 || bytes.Contains(body, []byte(s.token)) {
			t.Errorf("%s: %d %s %v", path, a.StatusCode, a.Header.Get("Content-Type"), err)
		}
	}
	for _, path := range []string{"/nothing", "/page/index.html", "/../console.go", "/lib/", "/%2e%2e/console.go"} {
		if code, _ := s.get(path); code == http.StatusOK {
			t.Errorf("%s: %d", path, code)
		}
	}
}

// A name that was made to lead to this machine is not ours: no page at it gets an answer.
func TestHost(t *testing.T) {
	s := play(t, true, View{Rows: rows()})
	_, port, _ := net.SplitHostPort(s.host)
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	others := []string{
		"evil.example:" + port, "evil.example", "localhost", "127.0.0.1", "[::1]", "127.0.0.1:" + strconv.Itoa(n+1), "localhost:0" + port, "localhost.:" + port, "127.0.0.1.evil.example:" + port,
		"127.0.0.2:" + port, "127.1:" + port, "2130706433:" + port, "0.0.0.0:" + port, "[::]:" + port, "[::ffff:127.0.0.1]:" + port, "[0:0:0:0:0:0:0:1]:" + port, "LOCALHOST:" + port, "x@127.0.0.1:" + port,
	}
	for _, host := range others {
		for _, call := range append(slices.Clone(calls), [3]string{"GET", "/", ""}, [3]string{"GET", "/app.js", ""}) {
			r := s.request(call[0], call[1], call[2])
			r.Host = host
			r.Header.Set("Origin", "http://"+host) // as a browser says it there
			if code, body := s.send(r); code == http.StatusOK || strings.Contains(body, "acme") || code != http.StatusMisdirectedRequest && code != http.StatusBadRequest {
				t.Errorf("%q: %s %s: %d %s", host, call[0], call[1], code, body)
			}
		}
	}
	for host, at := range map[string]int{ // a browser leaves the port of HTTP out, and no other one
		"127.0.0.1": 80, "localhost": 80, "[::1]": 80, "127.0.0.1:80": 80, "127.0.0.1:7444": 7444,
	} {
		for _, n := range []int{80, 7444, 443} {
			if got := (&Console{Settings: Settings{Port: n}}).isOurs(host); got != (n == at) {
				t.Errorf("%q at %d: %v", host, n, got)
			}
		}
	}
	for _, host := range []string{"127.0.0.1:" + port, "localhost:" + port, "[::1]:" + port} {
		r := s.request("GET", "/api/about", "")
		r.Host = host
		r.Header.Set("Origin", "http://"+host)
		if code, body := s.send(r); code != http.StatusOK {
			t.Errorf("%q: %d %s", host, code, body)
		}
	}
}

// Another page has nothing done and is told nothing, even with the token.
func TestOrigin(t *testing.T) {
	s := play(t, true, View{Rows: rows()})
	for _, x := range []struct {
		origin, site, mode, dest string
		api, page                bool // it is answered
	}{
		{"", "", "", "", true, true},
		{"http://" + s.host, "same-origin", "cors", "empty", true, true},
		{"", "same-origin", "cors", "empty", true, true},
		{"", "none", "navigate", "document", false, true},
		{"", "cross-site", "navigate", "document", false, true},
		{"", "same-site", "navigate", "document", false, true},
		{"", "cross-site", "navigate", "iframe", false, false},
		{"", "cross-site", "no-cors", "script", false, false},
		{"", "same-site", "no-cors", "image", false, false},
		{"http://127.0.0.1:1", "same-site", "cors", "empty", false, false},
		{"http://127.0.0.1:1", "", "", "", false, false},
		{"https://" + s.host, "same-origin", "cors", "empty", false, false},
		{"null", "", "", "", false, false},
		{"null", "cross-site", "cors", "empty", false, false},
		{"http://" + s.host + ".evil.example", "", "", "", false, false},
		{"http://" + s.host, "cross-site", "cors", "empty", false, false},
		{"http://" + s.host, "same-origin, cross-site", "cors", "empty", false, false},
	} {
		for path, want := range map[string]bool{"/api/about": x.api, "/": x.page} {
			r := s.request("GET", path, "")
			r.Header.Del("Sec-Fetch-Site")
			for name, value := range map[string]string{"Origin": x.origin, "Sec-Fetch-Site": x.site, "Sec-Fetch-Mode": x.mode, "Sec-Fetch-Dest": x.dest} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			if code, _ := s.send(r); (code == http.StatusOK) != want || !want && code != http.StatusForbidden {
				t.Errorf("%+v: %s: %d", x, path, code)
			}
		}
	}
	r := s.request("POST", "/api/run", calls[3][2])
	r.Header.Set("Origin", "http://evil.example")
	if code, _ := s.send(r); code != http.StatusForbidden {
		t.Error(code)
	}
}

func TestMethods(t *testing.T) {
	s := play(t, true, View{Rows: rows()})
	for path, right := range map[string]string{"/": "GET", "/api/about": "GET", "/api/events": "GET", "/api/ask": "GET", "/api/run": "POST"} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD", "BREW"} {
			if method == right || method == "HEAD" && path == "/" {
				continue
			}
			if code, body := s.send(s.request(method, path, "")); code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d %s", method, path, code, body)
			}
		}
	}
}

// Each answer says what a browser may do with it.
func TestHeaders(t *testing.T) {
	s := play(t, false, View{Rows: rows()})
	want := map[string]string{
		"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
		"Access-Control-Allow-Origin": "", "Set-Cookie": "",
	}
	for _, path := range []string{"/", "/app.js", "/nothing", "/api/about", "/api/nothing", "/api/ask", "/api/events"} {
		ctx, cancel := context.WithCancel(context.Background())
		a, err := http.DefaultClient.Do(s.request("GET", path, "").WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range want {
			if got := a.Header.Get(name); got != value {
				t.Errorf("%s: %s: %q", path, name, got)
			}
		}
		cancel()
		a.Body.Close()
	}
}

// A page that only shows has nothing done, and no question does anything.
func TestReadOnly(t *testing.T) {
	for _, actions := range []bool{false, true} {
		s := play(t, actions, View{Rows: rows()})
		for _, o := range order.All() {
			if !o.Host || !o.Changes {
				continue
			}
			args := fill(o)
			query := ""
			for name, value := range args {
				query += "&" + name + "=" + value
			}
			if code, body := s.get("/api/ask?order=" + o.Name + query); code != http.StatusMethodNotAllowed {
				t.Errorf("%s was asked: %d %s", o.Name, code, body)
			}
			body, err := json.Marshal(map[string]any{"order": o.Name, "args": args})
			if err != nil {
				t.Fatal(err)
			}
			if actions {
				continue
			}
			if code, said := s.run(string(body)); code != http.StatusForbidden || !strings.Contains(said, "--allow-actions") {
				t.Errorf("%s: %d %s", o.Name, code, said)
			}
		}
	}
}

// fill are arguments that an order takes.
func fill(o order.Order) map[string]string {
	args := map[string]string{}
	for _, p := range o.Params {
		switch {
		case p.Name == workspaceParam:
			args[p.Name] = "/home/u/widget"
		case p.Required:
			args[p.Name] = "acme/widget/x"
			if p.Kind == order.Time {
				args[p.Name] = "first"
			}
		}
	}
	return args
}

// Each order of the table is carried out as its own command line says, and is told line by line.
func TestActions(t *testing.T) {
	s := play(t, true, View{Rows: rows()})
	for _, o := range order.All() {
		if !o.Host || !o.Changes {
			continue
		}
		args := fill(o)
		argv, err := o.Argv(args)
		if err != nil {
			t.Fatal(err)
		}
		var carried []string
		s.carry = func(_ context.Context, argv []string, say func(Line)) (int, error) {
			carried = argv
			say(Line{Text: "<b>one</b>"})
			say(Line{Text: "two", Err: true})
			return 6, nil
		}
		body, err := json.Marshal(map[string]any{"order": o.Name, "args": args})
		if err != nil {
			t.Fatal(err)
		}
		code, said := s.run(string(body))
		if diff := cmp.Diff(argv, carried); diff != "" || code != http.StatusOK {
			t.Errorf("%s: %d %s%s", o.Name, code, said, diff)
		}
		first, err := json.Marshal(map[string]any{"argv": append([]string{"coltec"}, argv...)})
		if err != nil {
			t.Fatal(err)
		}
		want := string(first) + "\n" + `{"out":"\u003cb\u003eone\u003c/b\u003e"}` + "\n" + `{"err":"two"}` + "\n" + `{"end":{"code":6}}` + "\n"
		if said != want {
			t.Errorf("%s: %s", o.Name, said)
		}
	}
}

// What is no order is refused, and nothing is run.
func TestNoOrders(t *testing.T) {
	s := play(t, true, View{Rows: rows()})
	for body, want := range map[string]int{
		``: 400, `{`: 400, `[]`: 400, `"sync"`: 400, `{"order":"sync"}`: 404, `{"order":"sync","args":{"workspace":""}}`: 404,
		`{"order":"sync","args":{"workspace":"acme/widget/other"}}`:                                   404,
		`{"order":"sync","args":{"workspace":"/"}}`:                                                   404,
		`{"order":"sync","args":{"workspace":"widget"}}`:                                              404,
		`{"order":"rm","args":{"workspace":"/home/u/widget"}}`:                                        404,
		`{"order":"list","args":{"workspace":"/home/u/widget"}}`:                                      404,
		`{"order":"history","args":{"workspace":"/home/u/widget"}}`:                                   400,
		`{"order":"sync","args":{"workspace":"/home/u/widget","more":"x"}}`:                           400,
		`{"order":"sync","args":{"workspace":"/home/u/widget","replica":"--allow-delete"}}`:           400,
		`{"order":"checkpoint","args":{"workspace":"/home/u/widget","name":"a\nb"}}`:                  400,
		`{"order":"checkpoint","args":{"workspace":"/home/u/widget","name":"-rf"}}`:                   400,
		`{"order":"checkpoint","args":{"workspace":"/home/u/widget"}}`:                                400,
		`{"order":"sync","args":{"workspace":"/home/u/widget"},"shell":true}`:                         400,
		`{"order":"sync","args":{"workspace":"/home/u/widget"}} {}`:                                   400,
		`{"order":"sync","args":{"workspace":["/home/u/widget"]}}`:                                    400,
		`{"order":"sync",` + strings.Repeat(" ", bodyMost) + `"args":{"workspace":"/home/u/widget"}}`: 400,
	} {
		if code, said := s.run(body); code != want || !strings.Contains(said, "error") {
			t.Errorf("%.90s: %d %s", body, code, said)
		}
	}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"} { // what a form of another page may send
		r := s.request("POST", "/api/run", calls[3][2])
		r.Header.Set("Content-Type", kind)
		if code, said := s.send(r); code != http.StatusUnsupportedMediaType {
			t.Errorf("%q: %d %s", kind, code, said)
		}
	}
	for _, query := range []string{"", "order=history", "order=nothing&workspace=/home/u/widget", "order=history&workspace=/etc", "order=history&workspace=/home/u/widget&at=-1", "order=compare&workspace=/home/u/widget"} {
		if code, said := s.get("/api/ask?" + query); code != 404 && code != 400 {
			t.Errorf("%s: %d %s", query, code, said)
		}
	}
}

// A question is answered as the program does: JSON as it is, a text as one, a failure with its hints.
func TestAnswers(t *testing.T) {
	s := play(t, false, View{Rows: rows()})
	for _, x := range []struct {
		order, out, err string
		code            int
		failed          error
		want            int
		said            string
	}{
		{"history", "[\n  {\"generation\": 1}\n]", "", 0, nil, 200, "[\n  {\"generation\": 1}\n]\n"},
		{"status", `{"state":"degraded"}`, "", 1, nil, 200, `{"state":"degraded"}` + "\n"},
		{"status", ``, "error: no", 4, nil, 502, `{"error":{"hints":[],"message":"no"}}` + "\n"},
		{"history", "no JSON", "", 0, nil, 502, `{"error":{"hints":[],"message":"no JSON"}}` + "\n"},
		{"history", "", "note: x\n" + `{"error": {"message": "not <b>there</b>", "hints": ["up"], "exit": 1}}`, 1, nil, 502, `{"error":{"hints":["up"],"message":"not \u003cb\u003ethere\u003c/b\u003e"}}` + "\n"},
		{"logs", "a\x1b[31mb\n[1]", "", 0, nil, 200, `{"text":"a\u001b[31mb\n[1]\n"}` + "\n"},
		{"logs", "12", "", 0, nil, 200, `{"text":"12\n"}` + "\n"},
		{"logs", "", "note: x\nerror: no log of that\nhint: there are logs of a", 1, nil, 502, `{"error":{"hints":["there are logs of a"],"message":"note: x\nno log of that"}}` + "\n"},
		{"logs", "", "", 3, nil, 502, `{"error":{"hints":[],"message":"it ended with exit code 3"}}` + "\n"},
		{"history", "", "", 0, errors.New("it cannot be run"), 502, `{"error":{"hints":[],"message":"it cannot be run"}}` + "\n"},
		{"logs", strings.Repeat("x", answerMost), "", 0, nil, 502, fmt.Sprintf(`{"error":{"hints":["ask coltec for it in a terminal"],"message":"the answer has more than %d bytes"}}`+"\n", answerMost)},
	} {
		s.carry = func(_ context.Context, argv []string, say func(Line)) (int, error) {
			for _, part := range []Line{{Text: x.out}, {Text: x.err, Err: true}} {
				for line := range strings.Lines(part.Text) {
					say(Line{Text: strings.TrimSuffix(line, "\n"), Err: part.Err})
				}
			}
			return x.code, x.failed
		}
		if code, said := s.get("/api/ask?order=" + x.order + "&workspace=/home/u/widget"); code != x.want || said != x.said {
			t.Errorf("%s %.60q: %d %.200s", x.order, x.out, code, said)
		}
	}
}

// A thing that prints without end is told up to a bound, and goes on to its end.
func TestMuchIsPrinted(t *testing.T) {
	s := play(t, true, View{Rows: rows()})
	line := strings.Repeat("x", 1000)
	printed := 0
	s.carry = func(_ context.Context, _ []string, say func(Line)) (int, error) {
		for range 4 * outputMost / len(line) {
			say(Line{Text: line})
			printed++
		}
		return 0, nil
	}
	code, said := s.run(calls[3][2])
	if code != http.StatusOK || len(said) > 2*outputMost || !strings.Contains(said, "is left out") || !strings.HasSuffix(said, `{"end":{"code":0}}`+"\n") || printed != 4*outputMost/len(line) {
		t.Errorf("%d, %d bytes, %d lines, …%s", code, len(said), printed, said[max(0, len(said)-200):])
	}
}

// One thing is done to a workspace at a time, and several workspaces do not wait for each other.
func TestOneAtATime(t *testing.T) {
	s := play(t, true, View{Rows: rows()})
	began, goOn := make(chan string, 10), make(chan struct{})
	s.carry = func(ctx context.Context, argv []string, _ func(Line)) (int, error) {
		began <- argv[len(argv)-1]
		select {
		case <-goOn:
		case <-ctx.Done():
		}
		return 0, ctx.Err()
	}
	ended := make(chan string, 10)
	for _, name := range []string{"/home/u/widget", "acme/widget/far"} {
		go func() {
			r := s.request("POST", "/api/run", `{"order":"sync","args":{"workspace":"`+name+`"}}`)
			a, err := http.DefaultClient.Do(r)
			if err != nil {
				ended <- err.Error()
				return
			}
			b, _ := io.ReadAll(a.Body)
			a.Body.Close()
			ended <- string(b)
		}()
	}
	for range 2 {
		receive(t, began)
	}
	for _, name := range []string{"/home/u/widget", "acme/widget/dev"} { // by either of its names
		if code, said := s.run(`{"order":"checkpoint","args":{"workspace":"` + name + `","name":"x"}}`); code != http.StatusConflict {
			t.Errorf("%s: %d %s", name, code, said)
		}
	}
	close(goOn)
	for range 2 {
		if said := receive(t, ended); !strings.HasSuffix(said, `{"end":{"code":0}}`+"\n") {
			t.Error(said)
		}
	}
	if code, said := s.run(calls[3][2]); code != http.StatusOK {
		t.Error(code, said)
	}
}

func receive[T any](t *testing.T, c chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(deadline):
		t.Fatal("nothing happened")
	}
	return v
}

// A page that is closed ends the questions it had, and no thing that it had done.
func TestAPageThatIsClosed(t *testing.T) {
	s := play(t, true, View{Rows: rows()})
	began, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	s.carry = func(ctx context.Context, _ []string, say func(Line)) (int, error) {
		began <- struct{}{}
		select {
		case <-ctx.Done():
		case <-goOn:
			for range 1000 {
				say(Line{Text: "nobody listens"})
			}
		}
		ended <- ctx.Err()
		return 0, ctx.Err()
	}
	leave := func(r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		gone := make(chan struct{})
		go func() {
			if a, err := http.DefaultClient.Do(r.WithContext(ctx)); err == nil {
				_, _ = io.Copy(io.Discard, a.Body)
				a.Body.Close()
			}
			close(gone)
		}()
		receive(t, began)
		cancel()
		receive(t, gone)
	}
	leave(s.request("GET", calls[2][1], ""))
	if err := receive(t, ended); !errors.Is(err, context.Canceled) {
		t.Errorf("the question: %v", err)
	}
	leave(s.request("POST", "/api/run", calls[3][2]))
	goOn <- struct{}{}
	if err := receive(t, ended); err != nil {
		t.Errorf("what was done: %v", err)
	}
}

// stream follows until the test ends, or close is called.
func (s *stage) stream() (next func() picture, end func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a, err := http.DefaultClient.Do(s.request("GET", "/api/events", "").WithContext(ctx))
	if err != nil {
		s.t.Fatal(err)
	}
	end = func() { cancel(); a.Body.Close() }
	s.t.Cleanup(end)
	if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "text/event-stream" {
		s.t.Fatal(a.Status, a.Header)
	}
	pictures := make(chan picture)
	go func() {
		defer close(pictures)
		lines := bufio.NewScanner(a.Body)
		lines.Buffer(nil, 64<<20)
		for lines.Scan() {
			if data, is := strings.CutPrefix(lines.Text(), "data: "); is {
				var p picture
				if json.Unmarshal([]byte(data), &p) != nil {
					return
				}
				select {
				case pictures <- p:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return func() picture { s.t.Helper(); return receive(s.t, pictures) }, end
}

// inJSON is a value as it is told.
func inJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What is known is told at once, and then each change; nothing is told twice.
func TestEvents(t *testing.T) {
	s := play(t, true, View{Rows: rows(), Notes: []string{"note: x"}})
	next, _ := s.stream()
	if got, want := inJSON(t, next()), inJSON(t, picture{Rows: rows(), Notes: []string{"note: x"}, Deeds: map[string]deed{}}); got != want {
		t.Fatal(cmp.Diff(want, got))
	}
	s.views <- View{Rows: rows(), Notes: []string{"note: x"}} // the same: it is not told
	changed := rows()
	changed[0].State = "degraded"
	s.views <- View{Rows: changed}
	if got := next(); got.Rows[0].State != "degraded" || len(got.Notes) != 0 {
		t.Errorf("%+v", got)
	}
	s.views <- View{Err: errors.New("cannot find docker")}
	if got := next(); got.Error != "cannot find docker" || got.Rows == nil {
		t.Errorf("%+v", got)
	}
	s.views <- View{Rows: rows()}
	next()
	s.carry = func(context.Context, []string, func(Line)) (int, error) { return 6, nil }
	if code, said := s.run(calls[3][2]); code != http.StatusOK {
		t.Fatal(code, said)
	}
	for p := next(); ; p = next() { // that it runs may be left out
		if d := p.Deeds["acme/widget/dev"]; d.Order != "sync" {
			t.Errorf("%+v", p)
		} else if d.Code != nil {
			if *d.Code != 6 {
				t.Error(*d.Code)
			}
			break
		}
	}
}

// A listener that takes nothing holds nobody up, and gets the newest picture when it does.
func TestSlowListener(t *testing.T) {
	slow := &listener{latest: make(chan []byte, 1)}
	s := &scene{listeners: map[*listener]bool{slow: true}, view: &View{}}
	const last = 10000
	for i := range last + 1 {
		s.view.Notes = []string{strconv.Itoa(i)}
		s.publish()
	}
	if got := string(<-slow.latest); !strings.Contains(got, `"`+strconv.Itoa(last)+`"`) {
		t.Error(got)
	}
	select {
	case b := <-slow.latest:
		t.Errorf("more was held: %s", b)
	default:
	}
}

// stuck is a connection whose other end reads nothing: it takes little, and then waits for its
// deadline.
type stuck struct {
	httptest.ResponseRecorder
	due time.Time
}

func (w *stuck) SetWriteDeadline(t time.Time) error { w.due = t; return nil }

func (w *stuck) Write(b []byte) (int, error) {
	if w.due.IsZero() {
		return 0, errors.New("it would wait without end")
	}
	return 0, os.ErrDeadlineExceeded
}

// A connection that takes nothing is given up, with its place among the listeners.
func TestStuckListener(t *testing.T) {
	c, err := New(t.Context(), Settings{Token: "x", Port: 80, Follow: func(ctx context.Context, tell func(View)) { tell(View{}) }})
	if err != nil {
		t.Fatal(err)
	}
	w := &stuck{}
	c.events(w, httptest.NewRequest("GET", "/api/events", nil))
	if left := time.Until(w.due); left <= 0 || left > writePatience || len(c.streams) != 0 {
		t.Errorf("due in %v, %d listeners", left, len(c.streams))
	}
}

// A hundred pages follow, one more is told that there are too many, and has the place of one that
// went. Nobody is looked for when none is left.
func TestAHundredPages(t *testing.T) {
	s := play(t, false, View{Rows: rows()})
	var ends []func()
	for range streamsMost {
		next, end := s.stream()
		next()
		ends = append(ends, end)
	}
	if code, said := s.get("/api/events"); code != http.StatusServiceUnavailable || !strings.Contains(said, "100 pages") {
		t.Fatal(code, said)
	}
	if code, _ := s.get("/api/about"); code != http.StatusOK {
		t.Error(code)
	}
	ends[0]()
	for until := time.Now().Add(deadline); ; {
		a, err := http.DefaultClient.Do(s.request("GET", "/api/events", ""))
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		if a.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(until) {
			t.Fatal("the place was not given back")
		}
	}
}

// Workspaces are followed while somebody listens, and not else.
func TestNobodyListens(t *testing.T) {
	begun, ended := make(chan struct{}, 10), make(chan struct{}, 10)
	c, err := New(t.Context(), Settings{Token: "x", Port: 80, Follow: func(ctx context.Context, tell func(View)) {
		begun <- struct{}{}
		tell(View{Rows: rows()})
		<-ctx.Done()
		ended <- struct{}{}
	}})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-begun:
		t.Error("nobody listened yet")
	default:
	}
	_, leave := c.watch.listen(t.Context())
	receive(t, begun)
	_, second := c.watch.listen(t.Context())
	leave()
	select {
	case <-ended:
		t.Error("one listens still")
	default:
	}
	second()
	receive(t, ended)
	if len(begun) > 0 {
		t.Error("it was begun twice")
	}
	if got, err := c.known(t.Context(), "acme/widget/dev"); err != nil || got != (subject{"acme/widget/dev", "/home/u/widget"}) { // a question is a listener, too
		t.Errorf("%q %v", got, err)
	}
}

// nasty is what must not become anything but text.
var nasty = []string{
	"<script>hit()</script>", `"><img src=x onerror=hit()>`, "javascript:hit()", "</script><svg/onload=hit()>", "\n\nevent: rows\ndata: {\"rows\":[]}\n\n", "\r\ndata: x",
	"\x1b]0;title\a\x1b[2J\x1b[31mred", "\u202eevil\u2066", "{{7*7}} ${hit()}", "\u2028\u2029", "a\x00b", "\xff\xfe",
}

// A workspace whose each field is markup or what moves a cursor is one row of one event, and comes
// out as what it was.
func TestMarkup(t *testing.T) {
	var all []fleet.Row
	for _, x := range nasty {
		all = append(all, fleet.Row{
			Workspace: x, Folder: x, Where: x, State: x, Container: x, Attention: []string{x, x},
			Agents: []status.Agent{{Name: x, State: status.AgentState(x), Conversation: x, Resume: []string{x}}},
		})
	}
	s := play(t, true, View{Rows: all, Notes: nasty})
	next, _ := s.stream()
	got := next()
	for i := range all {
		if got, want := strings.ReplaceAll(inJSON(t, got.Rows[i]), "\ufffd", `\ufffd`), inJSON(t, all[i]); got != want { // of bytes that are no UTF-8
			t.Error(cmp.Diff(want, got))
		}
	}
	if len(got.Rows) != len(all) || len(got.Notes) != len(nasty) {
		t.Errorf("%d rows, %d notes", len(got.Rows), len(got.Notes))
	}
	s.carry = func(_ context.Context, _ []string, say func(Line)) (int, error) {
		for _, x := range nasty {
			say(Line{Text: x})
		}
		return 0, nil
	}
	code, said := s.run(`{"order":"sync","args":{"workspace":"javascript:hit()"}}`)
	if code != http.StatusOK || strings.Contains(said, "<script>") || strings.Contains(said, "\x1b") || strings.Count(said, "\n") != len(nasty)+2 {
		t.Errorf("%d %q", code, said)
	}
}

// scripted is a following whose each view a test tells; each beginning is told to begun.
type scripted struct {
	begun chan func(View)
	ended chan struct{}
}

func (f *scripted) follow(ctx context.Context, tell func(View)) {
	f.begun <- tell
	<-ctx.Done()
	f.ended <- struct{}{}
}

// told is a console that follows a script.
func told(t *testing.T) (*Console, *scripted) {
	t.Helper()
	f := &scripted{make(chan func(View)), make(chan struct{}, 10)}
	c, err := New(t.Context(), Settings{Token: "x", Port: 80, Follow: f.follow})
	if err != nil {
		t.Fatal(err)
	}
	return c, f
}

// Nobody looked for an hour, and what had been known until then was shown to the next page at once, as
// if it were so now: it was there for as long as Docker and the bucket took to answer.
func TestOldPicture(t *testing.T) {
	c, f := told(t)
	first, leave := c.watch.listen(t.Context())
	tell := receive(t, f.begun)
	tell(View{Notes: []string{"old"}})
	receive(t, first.latest)
	leave()
	receive(t, f.ended)
	second, leave := c.watch.listen(t.Context())
	defer leave()
	next := receive(t, f.begun)
	c.watch.views <- sight{1, View{Notes: []string{"late"}}}    // of the following that ended, which may tell one more
	c.tell(event{"acme/widget/dev", deed{Order: "checkpoint"}}) // and nothing is known of any workspace yet
	next(View{Notes: []string{"new"}})
	if got := string(receive(t, second.latest)); !strings.Contains(got, `"new"`) || !strings.Contains(got, "checkpoint") {
		t.Errorf("the first picture is %s", got)
	}
}

// A following tells of this host first: what the one before it knew of the bucket could not be
// brought here in that time, though the page showed it.
func TestKnownBefore(t *testing.T) {
	c, f := told(t)
	_, leave := c.watch.listen(t.Context())
	receive(t, f.begun)(View{Rows: rows()})
	if got, err := c.known(t.Context(), "acme/widget/far"); err != nil || got.arg != "acme/widget/far" {
		t.Errorf("%q %v", got, err)
	}
	leave()
	receive(t, f.ended)
	_, leave = c.watch.listen(t.Context())
	defer leave()
	tell := receive(t, f.begun)
	for _, view := range []View{{}, {Rows: rows()[:1]}} {
		tell(view)
		if got, err := c.known(t.Context(), "acme/widget/far"); err != nil || got.arg != "acme/widget/far" {
			t.Errorf("%q %v", got, err)
		}
		if got, err := c.known(t.Context(), "acme/widget/never"); err != nil || got != (subject{}) {
			t.Errorf("%q %v", got, err)
		}
	}
	old := &scene{view: &View{Rows: rows()[:1]}, before: rows(), stop: func() {}, since: time.Now().Add(-youth)}
	if got := old.known("acme/widget/far"); got != (subject{}) {
		t.Errorf("it is not there any more: %q", got)
	}
}

// Where nothing gets known, an order is not waited with for ever.
func TestNothingIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, err := New(ctx, Settings{Token: "x", Port: 80, Actions: true, Orders: order.All(), Follow: func(ctx context.Context, _ func(View)) { <-ctx.Done() }})
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range calls[2:4] {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(call[0], call[1], strings.NewReader(call[2]))
			r.Header.Set("Content-Type", "application/json")
			if call[0] == "POST" {
				c.run(w, r)
			} else {
				c.ask(w, r)
			}
			if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "not known yet") {
				t.Errorf("%s: %d %s", call[1], w.Code, w.Body)
			}
		}
		cancel()
		synctest.Wait()
	})
}

// A workspace that is being brought here gets a folder on the way, by which something else could
// be done to it meanwhile; and the page did not show any more what was being done.
func TestOneAtATimeWhoeverItIsCalled(t *testing.T) {
	s := play(t, true, View{Rows: rows()})
	began, goOn := make(chan struct{}), make(chan struct{})
	s.carry = func(context.Context, []string, func(Line)) (int, error) {
		close(began)
		<-goOn
		return 0, nil
	}
	next, _ := s.stream()
	next()
	ended := make(chan string, 1)
	go func() {
		_, said := s.run(`{"order":"hop","args":{"workspace":"acme/widget/far"}}`)
		ended <- said
	}()
	receive(t, began)
	all := rows()
	all[1].Folder, all[1].Where = "/home/u/far", "here"
	s.views <- View{Rows: all}
	for p := next(); p.Rows[1].Folder == ""; p = next() {
	}
	for _, name := range []string{"/home/u/far", "acme/widget/far"} {
		if code, said := s.run(`{"order":"sync","args":{"workspace":"` + name + `"}}`); code != http.StatusConflict {
			t.Errorf("%s: %d %s", name, code, said)
		}
	}
	close(goOn)
	receive(t, ended)
	for p := next(); ; p = next() {
		d := p.Deeds[p.Rows[1].Workspace]
		if d.Order != "hop" {
			t.Fatalf("%+v", p.Deeds)
		}
		if d.Code != nil {
			if d.Until.Before(d.Since) {
				t.Errorf("%+v", d)
			}
			break
		}
	}
}

// What waits for other workspaces says so, and is done though its page is closed; what waits when coltec
// ui ends, and what is under way then, says that.
func TestWhatWaits(t *testing.T) {
	var all []fleet.Row
	for i := range actionsMost + 2 {
		all = append(all, fleet.Row{Workspace: fmt.Sprintf("acme/widget/%d", i)})
	}
	s := play(t, true, View{Rows: all})
	began, goOn := make(chan string, 10), make(chan struct{})
	s.carry = func(ctx context.Context, argv []string, _ func(Line)) (int, error) {
		began <- argv[len(argv)-1]
		select {
		case <-goOn:
			return 0, nil
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	asked := func(i int) (*bufio.Scanner, func()) {
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		a, err := http.DefaultClient.Do(s.request("POST", "/api/run", fmt.Sprintf(`{"order":"sync","args":{"workspace":"acme/widget/%d"}}`, i)).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(a.Body)
		lines.Scan()
		return lines, func() { cancel(); a.Body.Close() }
	}
	var under []*bufio.Scanner
	for i := range actionsMost {
		lines, _ := asked(i)
		under = append(under, lines)
		receive(t, began)
	}
	closed, leave := asked(actionsMost)
	if closed.Text() != `{"waits":true}` {
		t.Errorf("%s", closed.Text())
	}
	leave()
	waits, _ := asked(actionsMost + 1)
	goOn <- struct{}{}
	if name := receive(t, began); name != fmt.Sprintf("acme/widget/%d", actionsMost) { // one says that it waits before it does: the other may be first
		goOn <- struct{}{}
		if next := receive(t, began); next != fmt.Sprintf("acme/widget/%d", actionsMost) {
			t.Errorf("next are %s and %s", name, next)
		}
	}
	s.stop()
	for _, lines := range append(under, waits) {
		var last string
		for lines.Scan() {
			last += lines.Text() + "\n"
		}
		if !strings.HasSuffix(last, `{"end":{"code":0}}`+"\n") && (!strings.Contains(last, "coltec ui was told to end") || !strings.HasSuffix(last, `{"end":{"code":1}}`+"\n")) {
			t.Errorf("%s", last)
		}
	}
}

// A log in which nothing is new is asked for again and again, and no program is run for that.
func TestNothingNew(t *testing.T) {
	s := play(t, false, View{Rows: rows()})
	var carried atomic.Int64
	s.carry = func(_ context.Context, _ []string, say func(Line)) (int, error) {
		say(Line{Text: fmt.Sprintf("line %d", carried.Add(1))})
		return 0, nil
	}
	ask := func(query, tag, prefer string) (code int, body, now string) {
		r := s.request("GET", "/api/ask?workspace=/home/u/widget&order="+query, "")
		if tag != "" {
			r.Header.Set("If-None-Match", tag)
		}
		r.Header.Set("Prefer", prefer)
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		b, _ := io.ReadAll(a.Body)
		return a.StatusCode, string(b), a.Header.Get("ETag")
	}
	if code, _, tag := ask("logs", "", ""); code != http.StatusOK || tag != "" {
		t.Errorf("%d %s, of what nothing is known", code, tag)
	}
	s.mark.Store("one")
	_, said, tag := ask("logs", "", "")
	if said != `{"text":"line 2\n"}`+"\n" || tag == "" {
		t.Fatal(said, tag)
	}
	for _, prefer := range []string{"", "wait=0", "wait=1", "wait=-9", "wait=x", "x"} {
		if code, said, now := ask("logs", tag, prefer); code != http.StatusNotModified || said != "" || now != tag {
			t.Errorf("%s: %d %s %s", prefer, code, said, now)
		}
	}
	if code, _, other := ask("logs&unit=web", tag, "wait=20"); code != http.StatusOK || other == tag {
		t.Errorf("another unit: %d %s", code, other)
	}
	if code, _, tag := ask("status", `"x"`, "wait=20"); code == http.StatusNotModified || tag != "" {
		t.Errorf("another order: %d %s", code, tag)
	}
	before := carried.Load()
	answered := make(chan string, 1)
	go func() {
		_, said, _ := ask("logs", tag, "wait=20")
		answered <- said
	}()
	s.mark.Store("two")
	if said := receive(t, answered); said != fmt.Sprintf(`{"text":"line %d\n"}`+"\n", before+1) {
		t.Error(said)
	}
	for text, want := range map[string]time.Duration{"": 0, "wait=25": 25 * time.Second, "wait=-1": 0, "wait=31": holdMost * time.Second, "wait=999999999999": holdMost * time.Second, "respond-async": 0} {
		if got := hold(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// A page that takes an answer slowly keeps no other one from its turn.
func TestSlowReader(t *testing.T) {
	s := play(t, false, View{Rows: rows()})
	s.carry = func(_ context.Context, argv []string, say func(Line)) (int, error) {
		if argv[0] == "logs" {
			say(Line{Text: strings.Repeat("x", answerMost-100)}) // more than a connection holds
		} else {
			say(Line{Text: "[]"})
		}
		return 0, nil
	}
	slow := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, at string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, at)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(256 << 10) // of this system it may be larger than an answer
		}
		return conn, err
	}}}
	a, err := slow.Do(s.request("GET", "/api/ask?order=logs&workspace=/home/u/widget", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if code, said := s.get("/api/ask?order=history&workspace=/home/u/widget"); code != http.StatusOK {
		t.Error(code, said)
	}
	if n, err := io.Copy(io.Discard, a.Body); err != nil || n < answerMost-100 { // else that was given up on first
		t.Errorf("of the slow one are %d bytes, %v", n, err)
	}
}
