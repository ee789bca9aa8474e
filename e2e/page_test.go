package e2e

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// console is a coltec ui that runs at the desk.
type console struct {
	t   *testing.T
	cmd *exec.Cmd

	URL, Token string
	Port       int
	Actions    bool
}

// ui starts one on a free port; it ends with the test, as by Ctrl-C.
func (f *estate) ui(t *testing.T, flags ...string) *console {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &console{t: t, cmd: f.desk.coltec(ctx, slices.Concat([]string{"ui", "--json", "--port", "0"}, flags, []string{f.first().dir})...)}
	var said lockedText
	c.cmd.Stderr = &said
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGINT) }
	c.cmd.WaitDelay = 20 * time.Second
	pipe, err := c.cmd.StdoutPipe()
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := c.cmd.Wait(); c.cmd.ProcessState.ExitCode() != 130 {
			t.Errorf("coltec ui ended with %v: %s", err, &said)
		}
	})
	if err := json.NewDecoder(pipe).Decode(c); err != nil || c.Port == 0 || c.Token == "" || !strings.HasSuffix(c.URL, "#token="+c.Token) {
		t.Fatalf("coltec ui: %v, %+v\n%s", err, c, &said)
	}
	return c
}

// origin is where the page is from.
func (c *console) origin() string { return fmt.Sprintf("http://127.0.0.1:%d", c.Port) }

// shown opens the page of a console, and waits until it has so many workspaces.
func (c *console) shown(b *browser, t *testing.T, s screen, cards int, scripts ...string) *tab {
	t.Helper()
	p := b.open(t, s, scripts...)
	if got := p.goes(c.URL); got != http.StatusOK {
		t.Fatalf("the page answers with %d", got)
	}
	p.sees(id("app") + attr("ready", "true"))
	p.sees(id("link") + attr("state", "live"))
	eventually(t, "all workspaces are shown", func() error {
		if n := p.count(id("card")); n != cards {
			return fmt.Errorf("%d cards, want %d: %q", n, cards, p.text(id("notes")))
		}
		return nil
	})
	return p
}

// card is that of a workspace.
func card(env string) string { return id("card") + attr("workspace", "acme/widget/"+env) }

// shows has a page show what was made of each workspace.
func (f *estate) shows(t *testing.T, p *tab) {
	t.Helper()
	eventually(t, "the page shows what was made", func() error { // a coltecd tells its host what it does within five seconds
		var wrong []error
		for _, x := range f.places {
			wrong = append(wrong, x.shown(p))
		}
		return errors.Join(wrong...)
	})
}

// shown compares what a page shows of a workspace with how it was made.
func (x *place) shown(p *tab) error {
	at := card(x.env)
	where := map[string]string{"here": "this machine", "": "no machine"}[x.want.where]
	if x.want.state == "unreadable" {
		where = "nobody can tell"
	}
	for what, want := range map[string]string{"state": x.want.state, "where": cmp.Or(where, x.want.where)} {
		if got := p.text(at + " " + id(what)); !strings.Contains(got, want) {
			return fmt.Errorf("%s: its %s is %q, want %q", x.env, what, got, want)
		}
	}
	if got := p.count(at+" "+id("needs")) > 0; got != (x.want.need != "") {
		return fmt.Errorf("%s: that it needs somebody is %v: %q", x.env, got, p.text(at+" "+id("needs")))
	}
	if n := p.count(at + " " + id("agent") + attr("state", x.want.agent)); x.want.agent != "" && n != 1 {
		return fmt.Errorf("%s: %d agents are %q: %q", x.env, n, x.want.agent, p.text(at+" "+id("agents")))
	}
	return nil
}

// needsFirst holds that those that need somebody are before all others.
func needsFirst(t *testing.T, p *tab) {
	t.Helper()
	var list []bool
	for _, needs := range p.attributes(id("card"), "data-needs") {
		list = append(list, needs != nil && *needs != "" && *needs != "false" && *needs != "0")
	}
	i := slices.Index(list, false)
	if i <= 0 || slices.Contains(list[i:], true) {
		t.Errorf("who needs somebody is not before all others: %v", list)
	}
}

// The page of fifty workspaces in every state: each says what was done to it, who needs somebody
// is first, and a change is there without a word from the person.
func TestPageOfFifty(t *testing.T) {
	b := newBrowser(t)
	sample.Long(t)
	t.Parallel()
	const many = 50
	f := newEstate(t, many, states())
	c := f.ui(t)
	p := c.shown(b, t, desktop, many)
	f.shows(t, p)
	needsFirst(t, p)
	if got := p.text(id("count")); !strings.Contains(got, "50") {
		t.Errorf("it counts %q", got)
	}
	t.Run("live", func(t *testing.T) { f.live(t, p) })
	t.Run("keys", func(t *testing.T) { keys(t, p, many) })
	t.Run("pictures", func(t *testing.T) { pictures(t, b, c, many) })
	p.quiet()
}

// liveWithin is how late the page may be, in the middle of several changes: one alone may meet a
// machine that is busy.
const liveWithin = 2 * time.Second

// live changes workspaces, and waits until the page says so.
func (f *estate) live(t *testing.T, p *tab) {
	works, far := f.find("works"), f.find("away")
	desk := func(report, shown string) func() time.Duration {
		return func() time.Duration {
			works.m.must("agents", "report", report, "--agent", "claude")
			since := time.Now()
			p.sees(card("works") + " " + id("agent") + attr("state", shown))
			return time.Since(since)
		}
	}
	waits, working := desk("waits", "waits for you"), desk("working", "working")
	var took []time.Duration
	for range 3 {
		took = append(took, waits())
		p.sees(card("works") + " " + id("needs"))
		needsFirst(t, p)
		took = append(took, working())
	}
	heldWithin(t, "an agent at the desk, shown after its word", took)
	took = nil
	for range 2 {
		far.far.stop()
		since := time.Now()
		p.sees(card("away") + attr("state", "free"))
		took = append(took, time.Since(since))
		far.far.start()
		since = time.Now()
		p.sees(card("away") + attr("state", "elsewhere"))
		t.Logf("another machine took a workspace: shown %.1f s after it began to", time.Since(since).Seconds())
	}
	heldWithin(t, "another machine gave a workspace back, shown after that", took)
}

// heldWithin holds the median of some times to liveWithin.
func heldWithin(t *testing.T, what string, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	t.Logf("%s: %v", what, took)
	if took[(len(took)-1)/2] > liveWithin {
		t.Errorf("%s: %v, where half may take more than %v", what, took, liveWithin)
	}
}

// focused is the id, for tests, of what has the focus, and the workspace that it is in.
func (p *tab) focused() (what string) {
	p.t.Helper()
	p.ask(`(() => {
		const e = document.activeElement, card = e && e.closest("[data-workspace]")
		return (e && e.dataset.testid || "") + " " + (card ? card.dataset.workspace : "")
	})()`, &what)
	return strings.TrimSpace(what)
}

// keys goes through the page without a mouse.
func keys(t *testing.T, p *tab, many int) {
	theme := func() (is string) {
		p.ask("document.documentElement.dataset.theme", &is)
		return is
	}
	p.press("/")
	if got := p.focused(); got != "search" {
		t.Errorf("after / the focus is on %q", got)
	}
	p.fill(id("search"), "conflicted")
	eventually(t, "one is found", func() error {
		if n := p.count(id("card")); n != 1 {
			return fmt.Errorf("%d cards", n)
		}
		return nil
	})
	p.press("Escape")
	eventually(t, "all are there again", func() error {
		if n := p.count(id("card")); n != many {
			return fmt.Errorf("%d cards", n)
		}
		return nil
	})
	p.ask("document.activeElement.blur()", nil)
	p.press("j")
	first := p.focused()
	p.press("j")
	second := p.focused()
	p.press("k")
	if again := p.focused(); !strings.HasPrefix(first, "open acme/widget/") || first == second || again != first {
		t.Errorf("j, j and k go to %q, %q and %q", first, second, again)
	}
	p.press("Enter")
	p.sees(id("detail") + attr("workspace", strings.TrimPrefix(first, "open ")))
	for i, name := range []string{"overview", "history", "checkpoints", "conflicts", "logs"} {
		p.press(fmt.Sprint(i + 1))
		p.sees(id("tab-"+name) + `[aria-selected="true"]`)
	}
	p.press("Escape")
	p.misses(id("detail"))
	was := theme()
	p.press("t")
	p.press("t")
	if is := theme(); was != "auto" || is != "dark" {
		t.Errorf("the theme was %q, and is %q after two t", was, is)
	}
	p.press("t")
	p.press("n")
	eventually(t, "only those that need somebody are there", func() error {
		if n, need := p.count(id("card")), p.count(id("card")+" "+id("needs")); n != need || n == 0 || n >= many {
			return fmt.Errorf("%d cards, %d of which need somebody", n, need)
		}
		return nil
	})
	p.press("n")
	p.press("?")
	p.sees(id("keys"))
	p.press("Escape")
	p.misses(id("keys"))
}

// pictures takes those of the page, in COLTEC_PICTURES where they are kept, and holds that it can
// be read by everybody and fits its screen.
func pictures(t *testing.T, b *browser, c *console, many int) {
	dir := os.Getenv("COLTEC_PICTURES")
	if dir == "" {
		dir = t.TempDir()
	}
	axe := filepath.Join(os.Getenv("COLTEC_BROWSER"), "axe-core/axe.min.js")
	grounds := map[string]string{}
	for _, s := range []screen{desktop, phone} {
		for _, scheme := range []string{"light", "dark"} {
			s.scheme = scheme
			name := fmt.Sprintf("ui-%d-%d-%s", many, s.width, scheme)
			p := c.shown(b, t, s, many, axe)
			p.picture(filepath.Join(dir, name+".png"))
			var wide int
			p.ask("document.documentElement.scrollWidth - window.innerWidth", &wide)
			if wide > 0 {
				t.Errorf("%s: the page is %d pixels wider than the screen", name, wide)
			}
			var ground string
			p.ask("getComputedStyle(document.documentElement).backgroundColor", &ground)
			grounds[scheme] = ground
			var faults []string
			p.ask(`axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21aa"]}).then(r => r.violations.map(v =>
				v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map(n => n.target.join(" ") + " " + (n.any[0] ? n.any[0].message : "")).join("; ")))`, &faults)
			for _, fault := range faults {
				t.Errorf("%s: %s", name, fault)
			}
			p.quiet()
		}
	}
	if grounds["light"] == grounds["dark"] {
		t.Errorf("light and dark look alike: %v", grounds)
	}
}

// five are enough to do everything to.
func five() []*place {
	return []*place{
		{env: "calm", make: (*place).calm, want: told{state: "running", where: "here"}},
		{env: "asks", make: (*place).asks, want: told{state: "running", where: "here", says: "claude waits for you", agent: "waits for you", need: "asks"}},
		{env: "trunk", make: (*place).trunk, want: told{state: "running", where: "here"}},
		{env: "conflicted", make: (*place).conflicted, want: told{state: "degraded", where: "here", says: "conflict", need: "conflicts"}},
		{env: "away", at: remote, make: (*place).away, want: told{state: "elsewhere", where: "laptop"}},
	}
}

// trunk is made by the template, so that forks can be made of it.
func (p *place) trunk() {
	p.m.remove(".devcontainer")
	p.m.env["COLTEC_PLACE"] = "/workspace"
	if out, err := p.estate.desk.host("new", p.m.dir, "--data", "org=acme", "--data", "project=widget", "--data", "env="+p.env, "--data", "provider=Rclone"); err != nil {
		p.m.t.Fatalf("%v\n%s", err, out)
	}
	p.has(p.m)
}

// The page of five workspaces: each button does what it says, by what coltecd and the bucket say
// after it, and nobody else has it do anything.
func TestPageOfFive(t *testing.T) {
	b := newBrowser(t)
	sample.Long(t)
	t.Parallel()
	f := newEstate(t, 5, five())
	t.Run("looks", func(t *testing.T) {
		c := f.ui(t)
		p := c.shown(b, t, desktop, 5)
		f.shows(t, p)
		needsFirst(t, p)
		pictures(t, b, c, 5)
		f.readOnly(t, c, p)
		p.quiet()
	})
	t.Run("refuses", func(t *testing.T) { f.refuses(t, b) })
	t.Run("acts", func(t *testing.T) {
		c := f.ui(t, "--allow-actions")
		p := c.shown(b, t, desktop, 5)
		a := &actor{f, p}
		a.saves(t)
		a.goesBack(t)
		a.pauses(t)
		a.forks(t)
		p.quiet()
		a.isRefused(t)
		p.quiet()
	})
}

// call asks a console as a program does, and gives the status of the answer.
func (c *console) call(t *testing.T, method, path, host string, header map[string]string, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.origin()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for s := bufio.NewScanner(resp.Body); resp.StatusCode == http.StatusOK && method == http.MethodPost && s.Scan(); {
		// until what was asked for has ended
	}
	return resp.StatusCode
}

// checkpointOf is the order to make a checkpoint.
func (f *estate) checkpointOf(name string) string {
	return inline(map[string]any{"order": "checkpoint", "args": map[string]string{"workspace": f.first().dir, "name": name}})
}

// checkpoints are those of the first workspace, by its coltecd.
func (f *estate) checkpoints() (names []string) {
	for _, c := range answer[[]control.Checkpoint](f.first(), "checkpoints") {
		names = append(names, c.Name)
	}
	return names
}

// readOnly holds that nothing can be done at a console that does nothing.
func (f *estate) readOnly(t *testing.T, c *console, p *tab) {
	if got := p.count(id("mode") + attr("actions", "false")); got != 1 {
		t.Errorf("the page does not say that it does nothing: %q", p.text(id("mode")))
	}
	if all, off := p.count(`[data-testid^="button-"]`), p.count(`[data-testid^="button-"]:disabled`); all != off {
		t.Errorf("%d of %d buttons can be pressed", all-off, all)
	}
	header := map[string]string{"Authorization": "Bearer " + c.Token, "Content-Type": "application/json"}
	if got := c.call(t, http.MethodPost, "/api/run", "", header, f.checkpointOf("read-only")); got != http.StatusForbidden {
		t.Errorf("an action where there are none: %d", got)
	}
	if list := f.checkpoints(); len(list) > 0 {
		t.Errorf("it made %q", list)
	}
}

// refuses tries what others may try.
func (f *estate) refuses(t *testing.T, b *browser) {
	c := f.ui(t, "--allow-actions")
	key := "Bearer " + c.Token
	host := fmt.Sprintf("127.0.0.1:%d", c.Port)
	for _, tt := range []struct {
		name, host string
		header     map[string]string
		want       int
	}{
		{"no-token", "", nil, http.StatusUnauthorized},
		{"wrong-token", "", map[string]string{"Authorization": key + "x"}, http.StatusUnauthorized},
		{"short-token", "", map[string]string{"Authorization": key[:len(key)-1]}, http.StatusUnauthorized},
		{"cookie", "", map[string]string{"Cookie": "token=" + c.Token}, http.StatusUnauthorized},
		{"other-host", fmt.Sprintf("rebound.test:%d", c.Port), map[string]string{"Authorization": key}, http.StatusMisdirectedRequest},
		{"other-port", "127.0.0.1:1", map[string]string{"Authorization": key}, http.StatusMisdirectedRequest},
		{"other-origin", "", map[string]string{"Authorization": key, "Origin": "http://rebound.test"}, http.StatusForbidden},
		{"other-port-origin", "", map[string]string{"Authorization": key, "Origin": "http://127.0.0.1:1"}, http.StatusForbidden},
		{"null-origin", "", map[string]string{"Authorization": key, "Origin": "null"}, http.StatusForbidden},
		{"cross-site", "", map[string]string{"Authorization": key, "Sec-Fetch-Site": "cross-site"}, http.StatusForbidden},
		{"same-site", "", map[string]string{"Authorization": key, "Sec-Fetch-Site": "same-site"}, http.StatusForbidden},
	} {
		header := map[string]string{"Content-Type": "application/json"}
		for name, value := range tt.header {
			header[name] = value
		}
		if got := c.call(t, http.MethodPost, "/api/run", tt.host, header, f.checkpointOf(tt.name)); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
		if got := c.call(t, http.MethodGet, "/api/ask?order=history&workspace="+f.first().name, tt.host, header, ""); got != tt.want {
			t.Errorf("%s: a question: %d, want %d", tt.name, got, tt.want)
		}
	}
	if got := c.call(t, http.MethodPut, "/api/run", "", map[string]string{"Authorization": key}, ""); got != http.StatusMethodNotAllowed {
		t.Errorf("another method: %d", got)
	}
	f.attacks(t, b, c)
	if list := f.checkpoints(); len(list) > 0 {
		t.Errorf("somebody else made %q", list)
	}
	// So it is not that nothing works.
	own := map[string]string{"Authorization": key, "Content-Type": "application/json", "Origin": "http://" + host, "Sec-Fetch-Site": "same-origin"}
	if got := c.call(t, http.MethodPost, "/api/run", "", own, f.checkpointOf("own")); got != http.StatusOK || !slices.Contains(f.checkpoints(), "own") {
		t.Errorf("the page's own: %d, %q", got, f.checkpoints())
	}
	f.first().must("checkpoint", "own", "--remove")
}

// attacks are pages of others in the same browser: one that knows the token, one in whose frame the
// page would be, one of a name that leads to this machine.
func (f *estate) attacks(t *testing.T, b *browser, c *console) {
	page := fmt.Sprintf(`<!doctype html><title>tries</title><iframe name="sink"></iframe><iframe id="framed" src=%[1]q></iframe>
<form method="post" target="sink" enctype="text/plain" action="%[1]s/api/run"><input name='%[3]s' value=""></form>
<script>
const to = %[1]q + "/api/run", body = %[3]q
const tries = [
	() => fetch(to, {method: "POST", headers: {Authorization: "Bearer " + %[2]q, "Content-Type": "application/json"}, body}),
	() => fetch(to, {method: "POST", mode: "no-cors", headers: {"Content-Type": "text/plain"}, body}),
	() => fetch(to + "?token=" + %[2]q, {method: "POST", mode: "no-cors", credentials: "include", body}),
	() => Promise.resolve(navigator.sendBeacon(to, body)),
	() => Promise.resolve(document.forms[0].submit()),
	() => fetch(%[1]q + "/api/events", {headers: {Authorization: "Bearer " + %[2]q}}).then(r => r.text()).then(x => canary("it reads " + x)),
]
Promise.allSettled(tries.map(f => f())).then(() => { document.body.dataset.tried = "yes" })
</script>`, c.origin(), c.Token, f.checkpointOf("other-page"))
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(page))
	}))
	defer other.Close()
	p := b.open(t, desktop)
	p.goes(other.URL)
	p.sees(`body[data-tried="yes"]`)
	if h := p.heard(); len(h.Ran) > 0 {
		t.Errorf("the page of another origin ran %q", h.Ran)
	}
	if n := p.count("iframe"); n != 2 {
		t.Errorf("%d frames", n)
	}
	if got := p.goes(fmt.Sprintf("http://rebound.test:%d/#token=%s", c.Port, c.Token)); got != http.StatusMisdirectedRequest {
		t.Errorf("by another name the page answers with %d", got)
	}
	stranger := b.open(t, desktop)
	stranger.goes(c.origin() + "/")
	stranger.sees(id("login"))
	if n := stranger.count(id("card")); n != 0 {
		t.Errorf("somebody without the token sees %d workspaces", n)
	}
}

// actor presses the buttons of the page.
type actor struct {
	f *estate
	p *tab
}

// does carries an order out on the page, and gives its exit code and what it said.
func (a *actor) does(env, order string, args map[string]string) (code, said string) {
	p := a.p
	p.t.Helper()
	p.click(card(env) + " " + id("open"))
	p.sees(id("detail"))
	p.click(id("detail") + " " + id("button-"+order))
	form := id("form") + attr("order", order)
	p.sees(form)
	for name, value := range args {
		p.fill(form+" "+id("arg-"+name), value)
	}
	p.click(form + " " + id("form-go"))
	p.sees(id("outcome") + "[data-code]")
	if list := p.attributes(id("outcome"), "data-code"); len(list) == 1 && list[0] != nil {
		code = *list[0]
	}
	said = p.text(id("output")) + "\n" + p.text(id("outcome"))
	p.click(id("form-close"))
	p.misses(id("form"))
	if p.count(id("detail")+"[open]") > 0 {
		p.press("Escape")
	}
	p.misses(id("detail"))
	return code, said
}

// well is does of what has to go well.
func (a *actor) well(env, order string, args map[string]string) {
	a.p.t.Helper()
	if code, said := a.does(env, order, args); code != "0" {
		a.p.t.Errorf("%s of %s ended with %q: %s", order, env, code, said)
	}
}

func (a *actor) saves(t *testing.T) {
	m := a.f.first()
	before := m.status().Lease.Generation
	m.write("notes.txt", "saved by the page")
	a.well("calm", "sync", nil)
	var head store.Head
	a.f.json(store.HeadKey("acme/widget/calm"), &head)
	if r := m.replicaStatus("workspace"); head.Generation != before+1 || r.Pending != 0 {
		t.Errorf("after sync the bucket has generation %d, before %d; %d are only here", head.Generation, before, r.Pending)
	}
}

func (a *actor) goesBack(t *testing.T) {
	m := a.f.first()
	a.well("calm", "checkpoint", map[string]string{"name": "good", "message": "before the refactoring"})
	list := answer[[]control.Checkpoint](m, "checkpoints")
	if len(list) != 1 || list[0].Name != "good" || list[0].Text != "before the refactoring" {
		t.Errorf("the checkpoints are %+v", list)
	}
	m.write("notes.txt", "spoiled")
	m.sync()
	a.well("calm", "rewind", map[string]string{"at": "good"})
	if got := m.read("notes.txt"); got != "saved by the page" {
		t.Errorf("after the rewind it reads %q", got)
	}
	p := a.p
	p.click(card("calm") + " " + id("open"))
	p.click(id("tab-checkpoints"))
	p.sees(id("checkpoint") + attr("name", "good"))
	p.reads(id("checkpoints"), "before the refactoring")
	p.click(id("tab-history"))
	p.sees(id("generation"))
	if got, want := p.count(id("generation")), int(m.status().Lease.Generation); got != want {
		t.Errorf("%d generations, want %d", got, want)
	}
	p.press("Escape")
	p.misses(id("detail"))
}

func (a *actor) pauses(t *testing.T) {
	m := a.f.first()
	state := func() status.ReplicaState { return m.replicaStatus("workspace").State }
	a.well("calm", "pause", map[string]string{"name": "workspace"})
	if is := state(); is != status.ReplicaPaused {
		t.Errorf("after pause it is %s", is)
	}
	a.well("calm", "resume", map[string]string{"name": "workspace"})
	m.await("it goes on", func(doc status.Document) bool {
		return replicaIn(t, doc, "workspace").State == status.ReplicaSynced
	})
}

// forks makes a fork of a workspace, works in it as on another machine, and joins that.
func (a *actor) forks(t *testing.T) {
	trunk := a.f.find("trunk").m
	a.well("trunk", "fork", map[string]string{"new": "twig"})
	var head store.Head
	a.f.json(store.HeadKey("acme/widget/twig"), &head)
	if head.Origin == nil || head.Origin.Workspace != "acme/widget/trunk" {
		t.Errorf("the head of the fork is %+v", head)
	}
	a.p.sees(card("twig"))
	twig := a.f.desk.at("twig")
	twig.t, twig.env["COLTEC_PLACE"] = t, "/workspace"
	defer func() { twig.t = a.f.t }()
	twig.dir = filepath.Join(filepath.Dir(trunk.dir), "twig")
	twig.once()
	twig.write("of-the-twig.txt", "new")
	twig.once()
	a.well("trunk", "join", map[string]string{"fork": "acme/widget/twig"})
	if got := trunk.read("of-the-twig.txt"); got != "new" {
		t.Errorf("after the join it reads %q", got)
	}
}

// isRefused: what cannot be done says why, and changes nothing.
func (a *actor) isRefused(t *testing.T) {
	var before, after store.Head
	a.f.json(store.HeadKey("acme/widget/away"), &before)
	code, said := a.does("away", "hop", nil)
	a.f.json(store.HeadKey("acme/widget/away"), &after)
	if code == "0" || code == "" || !strings.Contains(said, "devcontainer") {
		t.Errorf("a hop without the dev container CLI ended with %q: %s", code, said)
	}
	if after.Holder != before.Holder || after.State != store.Held {
		t.Errorf("the lease was held by %+v, and is by %+v", before.Holder, after.Holder)
	}
	code, said = a.does("calm", "rewind", map[string]string{"at": "no-such-checkpoint"})
	if code == "0" || code == "" || !strings.Contains(said, "no-such-checkpoint") {
		t.Errorf("a rewind to nothing ended with %q: %s", code, said)
	}
}
