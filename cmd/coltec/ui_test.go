package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/console"
)

// uiRun is a coltec ui that a test runs.
type uiRun struct {
	URL     string
	Port    int
	Token   string
	Actions bool

	t    *testing.T
	stop context.CancelFunc
	code chan int
	said *lockedText
}

// lockedText is what was printed so far.
type lockedText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startUI runs coltec ui until the test ends.
func startUI(t *testing.T, environ []string, args ...string) *uiRun {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	u := &uiRun{t: t, stop: cancel, code: make(chan int, 1), said: &lockedText{}}
	go func() {
		code := run(ctx, append([]string{"coltec", "ui", "--json"}, args...), stdio{strings.NewReader(""), w, u.said}, environ)
		w.Close()
		u.code <- code
	}()
	if err := json.NewDecoder(bufio.NewReader(r)).Decode(u); err != nil {
		t.Fatalf("%v: %s", err, u.said)
	}
	go io.Copy(io.Discard, r)
	t.Cleanup(func() { u.end() })
	return u
}

// end ends it as Ctrl-C does, once, and gives its exit code.
func (u *uiRun) end() int {
	u.t.Helper()
	u.stop()
	select {
	case code := <-u.code:
		u.code <- code
		return code
	case <-time.After(time.Minute):
		u.t.Fatal("it did not end")
	}
	return -1
}

// ask asks it with its token.
func (u *uiRun) ask(method, path, body string) *http.Response {
	u.t.Helper()
	base, _, _ := strings.Cut(u.URL, "/#")
	r, err := http.NewRequestWithContext(u.t.Context(), method, base+path, strings.NewReader(body))
	if err != nil {
		u.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+u.Token)
	r.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { a.Body.Close() })
	return a
}

// pictures follows it; the channel is closed when the stream ends.
func (u *uiRun) pictures() chan string {
	u.t.Helper()
	a := u.ask("GET", "/api/events", "")
	told := make(chan string, 100)
	go func() {
		defer close(told)
		lines := bufio.NewScanner(a.Body)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			if data, is := strings.CutPrefix(lines.Text(), "data: "); is {
				told <- data
			}
		}
	}()
	return told
}

// until waits for a picture that has all of the words.
func (u *uiRun) until(told chan string, words ...string) string {
	u.t.Helper()
	late := time.After(time.Minute)
	var last string
	for {
		select {
		case p, ok := <-told:
			if !ok {
				u.t.Fatalf("the stream ended; the last picture: %s", last)
			}
			last = p
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(p, w) }) {
				return p
			}
		case <-late:
			u.t.Fatalf("no picture with %q; the last one: %s", words, last)
		}
	}
}

// Without Docker the page says what ls says; a second one is elsewhere; a third one that was told
// where to be says that somebody is there; and it ends at once, with its pages.
func TestUIAlone(t *testing.T) {
	environ := []string{"HOME=" + t.TempDir(), "PATH=" + t.TempDir()}
	first := startUI(t, environ)
	if base, token, _ := strings.Cut(first.URL, "/#token="); first.Token == "" || token != first.Token || !strings.HasPrefix(base, "http://127.0.0.1:") || first.Actions {
		t.Errorf("%+v", first)
	}
	told := first.pictures()
	first.until(told, "cannot find docker", `"rows":[]`)
	if a := first.ask("GET", "/api/about", ""); a.StatusCode != http.StatusOK {
		t.Error(a.Status)
	}
	second := startUI(t, environ, "--allow-actions")
	if second.Port == first.Port || second.Token == first.Token || !second.Actions {
		t.Errorf("%+v", second)
	}
	if second.Port != uiPort && !strings.Contains(second.said.String(), "note: another program, perhaps another coltec ui, is at 127.0.0.1:7444") {
		t.Error(second.said)
	}
	var said lockedText
	code := run(t.Context(), []string{"coltec", "ui", "--port", itoa(first.Port)}, stdio{strings.NewReader(""), &said, &said}, environ)
	if code != cmdline.CodeFailed || !strings.Contains(said.String(), "another coltec ui may be there") || strings.Contains(said.String(), "token") {
		t.Error(code, said.String())
	}
	first.end()
	for range told { // it is closed
	}
	if _, err := http.Get("http://127.0.0.1:" + itoa(first.Port)); err == nil {
		t.Error("it answers still")
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// It is on this machine alone, whatever it is told.
func TestUIListens(t *testing.T) {
	environ := []string{"HOME=" + t.TempDir(), "PATH=" + t.TempDir()}
	for _, at := range []string{"0.0.0.0", "::", "", "192.0.2.1", "example.org", "127.0.0.2", "127.0.0.1:80", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "fe80::1%lo", "::1%lo", "127.1", "0"} {
		var said lockedText
		if code := run(t.Context(), []string{"coltec", "ui", "--port", "0", "--listen", at}, stdio{strings.NewReader(""), &said, &said}, environ); code != cmdline.CodeUsage || !strings.Contains(said.String(), "ssh -L") {
			t.Errorf("%q: %d %s", at, code, said.String())
		}
	}
	for _, port := range []string{"-1", "65536", "x"} {
		var said lockedText
		if code := run(t.Context(), []string{"coltec", "ui", "--port", port}, stdio{strings.NewReader(""), &said, &said}, environ); code != cmdline.CodeUsage {
			t.Errorf("%q: %d %s", port, code, said.String())
		}
	}
	u := startUI(t, environ, "--port", "0", "--listen", "localhost")
	if !strings.HasPrefix(u.URL, "http://127.0.0.1:") {
		t.Error(u.URL)
	}
}

// specOfUI is a workspace whose bucket is asked.
const specOfUI = `version: 1.0.0
name: dev-a
metadata: {org: acme, project: widget, environment: dev-a}
secrets: [{name: RCLONE_BUCKET, required: true}, {name: RCLONE_S3_ACCESS_KEY_ID, required: true}, {name: RCLONE_S3_SECRET_ACCESS_KEY, required: true}, {name: RCLONE_S3_ENDPOINT, required: true}]
persistence:
  enabled: true
  default_remote: primary
  remotes:
    primary:
      type: s3
      bucket: ${RCLONE_BUCKET}
      options: {provider: Other, access_key_id: "${RCLONE_S3_ACCESS_KEY_ID}", secret_access_key: "${RCLONE_S3_SECRET_ACCESS_KEY}", endpoint: "${RCLONE_S3_ENDPOINT}"}
  sync: [{name: workspace, path: /workspace, remote_path: "workspaces/{org}/{project}/{env}"}]
`

// A workspace of a real bucket is on the page, a change of it is told, and what is asked about it is
// what the program answers.
func TestUIOfABucket(t *testing.T) {
	sample.Long(t)
	dir := t.TempDir()
	s, err := s3test.Serve(t.Context(), s3test.Options{Dir: filepath.Join(dir, "s3")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rclone, err := s3test.Rclone()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "w")
	for _, d := range []string{"bin", "w/.devcontainer", "tools"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink(rclone, filepath.Join(dir, "bin", "rclone")), os.WriteFile(filepath.Join(folder, specName), []byte(specOfUI), 0o644)); err != nil {
		t.Fatal(err)
	}
	environ := []string{
		"HOME=" + dir, "PATH=" + filepath.Join(dir, "tools"), "COLTEC_BIN=" + filepath.Join(dir, "bin"),
		"RCLONE_BUCKET=" + s.Bucket, "RCLONE_S3_ENDPOINT=" + s.Endpoint, "RCLONE_S3_ACCESS_KEY_ID=" + s.AccessKey, "RCLONE_S3_SECRET_ACCESS_KEY=" + s.SecretKey,
	}
	var said lockedText
	if code := run(t.Context(), []string{"coltec", "trust", folder}, stdio{strings.NewReader(""), &said, &said}, environ); code != 0 {
		t.Fatal(said.String())
	}
	put := func(env, head string) {
		t.Helper()
		args := []string{"rcat", ":s3:" + s.Bucket + "/.coltec/fleet/acme/widget/" + env + "/head.json"}
		for name, value := range s.Options(s.Endpoint) {
			args = append(args, "--s3-"+strings.ReplaceAll(name, "_", "-")+"="+value)
		}
		cmd := exec.Command(rclone, args...)
		cmd.Stdin, cmd.Env = strings.NewReader(head), []string{"HOME=" + dir}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	put("later", `{"format": 99, "workspace": "acme/widget/later"}`)
	u := startUI(t, environ, folder, "--port", "0", "--allow-actions")
	told := u.pictures()
	u.until(told, `"workspace":"acme/widget/later"`, `"unreadable"`)
	put("last", `{"format": 98, "workspace": "acme/widget/last"}`)
	u.until(told, "acme/widget/later", "acme/widget/last")

	self := executable(t, filepath.Join(dir, "bin"))
	k := carrier{self: self, environ: environ, more: func(string) []string { return nil }}
	var out []console.Line
	code, err := k.carry(t.Context(), []string{"history", "--json", "--", folder}, func(l console.Line) { out = append(out, l) })
	if err != nil || code == 0 || len(out) == 0 || !out[len(out)-1].Err || !strings.HasPrefix(out[len(out)-1].Text, `{"error"`) {
		t.Errorf("%d %v %v", code, err, out)
	}
}

// What a program prints comes line by line, with its exit code, and it ends when it is not wanted.
func TestCarrier(t *testing.T) {
	dir := t.TempDir()
	k := carrier{self: executable(t, dir), environ: []string{"HOME=" + dir, "PATH=" + dir}, more: func(verb string) []string {
		if verb == "nothing" {
			return []string{"--more"}
		}
		return nil
	}}
	carry := func(argv ...string) (lines []console.Line, code int) {
		t.Helper()
		code, err := k.carry(t.Context(), argv, func(l console.Line) { lines = append(lines, l) })
		if err != nil {
			t.Fatal(err)
		}
		return lines, code
	}
	if lines, code := carry("version"); code != 0 || len(lines) != 1 || !strings.HasPrefix(lines[0].Text, "coltec version ") || lines[0].Err {
		t.Error(code, lines)
	}
	if lines, code := carry("nothing"); code != cmdline.CodeUsage || len(lines) == 0 || !lines[0].Err {
		t.Error(code, lines)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := k.carry(ctx, []string{"ui", "--port", "0"}, func(l console.Line) {
		if strings.HasPrefix(l.Text, "http://") {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := (carrier{self: filepath.Join(dir, "none"), more: k.more}).carry(t.Context(), []string{"version"}, nil); err == nil {
		t.Error("no program was run, and that is no error")
	}
}

// A folder below the current one that has the name of a workspace of the bucket, which an agent could have
// made there, was taken for it.
func TestCarrierOfAShadow(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.MkdirAll(filepath.Join("acme", "widget", "far"), 0o755); err != nil {
		t.Fatal(err)
	}
	k := carrier{self: executable(t, t.TempDir()), environ: []string{"HOME=" + dir, "PATH=" + dir}, more: func(string) []string { return nil }}
	for _, x := range []struct {
		argv   []string
		shadow bool
	}{
		{[]string{"hop", "--", "acme/widget/far"}, true},
		{[]string{"fork", "--json", "--", "acme/widget/far@2h", "new"}, true},
		{[]string{"exec", "--", "acme/widget/far", "coltecd", "pause", "--", "web"}, true},
		{[]string{"hop", "--", "acme/widget/other"}, false},
		{[]string{"status", "--json", "--", filepath.Join(dir, "acme/widget/far")}, false},
		{[]string{"version"}, false},
	} {
		_, err := k.carry(t.Context(), x.argv, func(console.Line) {})
		if is := err != nil && strings.Contains(err.Error(), "would be taken for it"); is != x.shadow {
			t.Errorf("%q: %v", x.argv, err)
		}
	}
}

func TestLiner(t *testing.T) {
	for _, x := range []struct {
		writes, want []string
	}{
		{nil, nil},
		{[]string{"a"}, []string{"a"}},
		{[]string{"a\n"}, []string{"a"}},
		{[]string{"\n\n"}, []string{"", ""}},
		{[]string{"a\nb", "c\nd"}, []string{"a", "bc", "d"}},
		{[]string{"a", "b", "\n", "c\n"}, []string{"ab", "c"}},
		{[]string{strings.Repeat("x", heldMost), "yz", "\nw"}, []string{strings.Repeat("x", heldMost) + "yz", "", "w"}},
	} {
		var got []string
		l := &liner{one: &sync.Mutex{}, say: func(s string) { got = append(got, s) }}
		for _, w := range x.writes {
			if n, err := l.Write([]byte(w)); n != len(w) || err != nil {
				t.Fatal(n, err)
			}
		}
		l.end()
		if !slices.Equal(got, x.want) {
			t.Errorf("%.40q: %.60q", x.writes, got)
		}
	}
}

// Flags about secrets go along to the verbs that take them, and to no other.
func TestSecretsGoAlong(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "secrets")
	p := newProgram(stdio{strings.NewReader(""), io.Discard, io.Discard}, nil)
	app := newApp(p)
	got := map[string][]string{}
	ui := app.Command("ui")
	ui.Action = func(c *cli.Context) error {
		for _, verb := range []string{"history", "hop", "sync", "exec", "logs", "nothing"} {
			got[verb] = webpage{p}.secretArgs(c, verb)
		}
		return nil
	}
	if err := app.RunContext(t.Context(), []string{"coltec", "ui", "--secrets-file", file}); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"sync": nil, "exec": nil, "logs": nil, "nothing": nil, "history": {"--secrets-file=" + file}, "hop": {"--secrets-file=" + file}}
	if runtime.GOOS != "linux" { // there they take no flags
		want["history"], want["hop"] = nil, nil
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A browser gets the address in a file of its user, and no word of a command has the token.
func TestJumpFile(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	const address = "http://127.0.0.1:7444/#token=abc_-1"
	name, err := jumpFile(address)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil || !strings.Contains(string(text), `url=`+address+`"`) || strings.Contains(name, "abc_-1") || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%s %v %v\n%s", name, info.Mode(), err, text)
	}
}

func TestBrowser(t *testing.T) {
	for _, x := range []struct {
		system string
		env    map[string]string
		want   []string
	}{
		{"linux", nil, nil},
		{"linux", map[string]string{"DISPLAY": ":0"}, []string{"xdg-open"}},
		{"linux", map[string]string{"WAYLAND_DISPLAY": "wayland-0"}, []string{"xdg-open"}},
		{"darwin", nil, []string{"open"}},
		{"windows", nil, []string{"rundll32", "url.dll,FileProtocolHandler"}},
	} {
		if got := browser(x.system, func(name string) string { return x.env[name] }); !slices.Equal(got, x.want) {
			t.Errorf("%s %v: %q", x.system, x.env, got)
		}
	}
}
