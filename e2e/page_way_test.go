package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/account"
	pages "github.com/coltec/coltec/pkg/console"
	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/order"
	"github.com/coltec/coltec/pkg/status"
)

// play is the page of coltec ui before workspaces that a test makes up: what real ones seldom do is
// seen at once. Those are in TestPageOfFive and TestPageOfFifty.
type play struct {
	t     *testing.T
	at    string // where the page is asked
	token string
	way   *way

	mu      sync.Mutex
	view    pages.View
	told    chan struct{} // closed when there is another view
	mute    bool          // nothing is known
	mark    string
	carried []string // the orders that were carried out
	follows int      // how often it was begun to follow
	carry   func(ctx context.Context, order string, argv []string, say func(string)) int
	end     func() // ends coltec ui
}

func newPlay(t *testing.T, rows ...fleet.Row) *play {
	t.Helper()
	p := &play{t: t, token: pages.NewToken(), view: pages.View{Rows: rows}, told: make(chan struct{})}
	p.carry = func(context.Context, string, []string, func(string)) int { return 0 }
	p.way = newWay(t)
	p.at = p.way.l.Addr().String()
	p.begin()
	t.Cleanup(func() { p.end() })
	return p
}

// begin starts a coltec ui behind the way that is there all the time.
func (p *play) begin() {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c, err := pages.New(ctx, pages.Settings{
		Version: "v1", Token: p.token, Port: p.way.l.Addr().(*net.TCPAddr).Port, Actions: true, Orders: order.All(),
		Follow: p.follow,
		Mark:   func(string, string) string { p.mu.Lock(); defer p.mu.Unlock(); return p.mark },
		Carry: func(ctx context.Context, argv []string, say func(pages.Line)) (int, error) {
			p.mu.Lock()
			p.carried = append(p.carried, argv[0])
			carry := p.carry
			p.mu.Unlock()
			code := carry(ctx, argv[0], argv, func(text string) { say(pages.Line{Text: text}) })
			return code, ctx.Err()
		},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	server := &http.Server{Handler: c.Handler(), BaseContext: func(net.Listener) context.Context { return ctx }}
	go func() { _ = server.Serve(l) }()
	p.way.leads(l.Addr().String())
	p.end = func() { p.way.endsAt(l.Addr().String()); cancel(); _ = server.Close() }
}

// follow tells each view.
func (p *play) follow(ctx context.Context, tell func(pages.View)) {
	p.mu.Lock()
	p.follows++
	p.mu.Unlock()
	for {
		p.mu.Lock()
		view, told, mute := p.view, p.told, p.mute
		p.mu.Unlock()
		if !mute {
			tell(view)
		}
		select {
		case <-told:
		case <-ctx.Done():
			return
		}
	}
}

// change changes what is known, or what answers.
func (p *play) change(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.told)
	p.told = make(chan struct{})
}

// times is how often an order was carried out.
func (p *play) times(name string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.carried {
		if x == name {
			n++
		}
	}
	return n
}

func (p *play) shown(b *browser, t *testing.T, s screen, scripts ...string) *tab {
	t.Helper()
	tab := b.open(t, s, scripts...)
	if got := tab.goes("http://" + p.at + "/#token=" + p.token); got != http.StatusOK {
		t.Fatalf("the page answers with %d", got)
	}
	tab.sees(id("app") + attr("ready", "true"))
	tab.sees(id("link") + attr("state", "live"))
	return tab
}

// way is a tunnel to coltec ui, as ssh has it: it may lead nowhere, to another one, or be dead while
// its connections are there.
type way struct {
	l net.Listener

	mu   sync.Mutex
	to   string
	dead chan struct{} // closed: what was connected before moves nothing any more
}

func newWay(t *testing.T) *way {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &way{l: l, dead: make(chan struct{})}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.mu.Lock()
			to, dead := w.to, w.dead
			w.mu.Unlock()
			go carryBytes(conn, to, dead)
		}
	}()
	return w
}

func (w *way) leads(to string) { w.mu.Lock(); defer w.mu.Unlock(); w.to = to }

// endsAt has it lead nowhere from now on, where it leads there: the port may be another's soon.
func (w *way) endsAt(to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.to == to {
		w.to = ""
	}
}

// dies has what is connected move nothing any more, as a network that is gone.
func (w *way) dies() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.dead)
	w.dead = make(chan struct{})
}

func carryBytes(conn net.Conn, to string, dead chan struct{}) {
	if to == "" {
		conn.Close()
		return
	}
	other, err := net.Dial("tcp", to)
	if err != nil {
		conn.Close()
		return
	}
	copied := func(to, from net.Conn) {
		b := make([]byte, 32<<10)
		for {
			n, err := from.Read(b)
			select {
			case <-dead:
				return // open, and silent
			default:
			}
			if _, wrong := to.Write(b[:n]); err != nil || wrong != nil {
				to.Close()
				from.Close()
				return
			}
		}
	}
	go copied(other, conn)
	copied(conn, other)
}

// The page before workspaces that are made up, in one browser.
func TestPageOfPlays(t *testing.T) {
	b := newBrowser(t)
	sample.Long(t)
	t.Parallel()
	for name, scene := range map[string]func(*testing.T, *browser){
		"loses its way": losesItsWay, "wakes": wakes, "says where": saysWhere, "orders many": ordersMany, "loses an end": losesAnEnd,
		"follows a log": followsALog, "asks anew": asksAnew, "fits a phone": fitsAPhone,
		"keeps what is far": keepsWhatIsFar, "turns keys off": turnsKeysOff, "has seven tabs": hasSevenTabs,
	} {
		t.Run(name, func(t *testing.T) { scene(t, b) })
	}
}

// rowOf is a workspace that runs here.
func rowOf(env string) fleet.Row {
	saved := time.Now().Add(-time.Minute)
	return fleet.Row{Workspace: "acme/widget/" + env, Folder: "/w/" + env, Container: "c" + env, Where: "here", State: "running", LastSave: &saved, Attention: []string{}}
}

// far is a row that the bucket alone has.
func far(env string) fleet.Row {
	return fleet.Row{Workspace: "acme/widget/" + env, Where: "laptop", State: fleet.Elsewhere, Attention: []string{}}
}

// The page went on to look as if all were well when coltec ui had ended, and showed what had been known
// before as if it were so now when it was there again.
func losesItsWay(t *testing.T, b *browser) {
	p := newPlay(t, rowOf("calm"))
	tab := p.shown(b, t, desktop)
	if n := tab.count(id("stale")); n != 0 {
		t.Errorf("it says that it is old: %q", tab.text(id("stale")))
	}
	tab.click(card("calm") + " " + id("button-sync"))
	tab.sees(id("form"))
	p.end()
	tab.sees(id("link") + attr("state", "lost"))
	tab.reads(id("stale"), "as of")
	for _, at := range []string{id("button-sync"), id("form-go")} {
		if on, all := tab.count(at+":enabled"), tab.count(at); on != 0 || all == 0 {
			t.Errorf("%s: %d of %d can be pressed", at, on, all)
		}
	}
	tab.click(id("form-cancel"))
	p.change(func() { p.mute = true; p.view.Rows = []fleet.Row{rowOf("calm"), rowOf("new")} })
	p.begin() // the same one, as a tunnel that is there again
	eventually(t, "it is asked again", func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.follows < 2 {
			return errors.New("nobody asked")
		}
		return nil
	})
	tab.sees(id("stale"))
	if n := tab.count(id("link") + attr("state", "live")); n != 0 {
		t.Error("what is old is shown as if it were new")
	}
	p.change(func() { p.mute = false })
	tab.sees(card("new"))
	tab.sees(id("link") + attr("state", "live"))
	tab.misses(id("stale"))
	p.end()
	tab.sees(id("link") + attr("state", "lost"))
	p.token = pages.NewToken()
	p.begin() // somebody started it anew
	tab.reads(id("login"), "Open the address")
	if n := tab.count(id("card")); n != 0 {
		t.Errorf("%d cards are there still", n)
	}
}

// After sleep the clock is hours ahead and the way is dead: that is seen at once, and not when a timer
// that slept along has run.
func wakes(t *testing.T, b *browser) {
	p := newPlay(t, rowOf("calm"))
	asleep := filepath.Join(t.TempDir(), "asleep.js") // no long timer runs: it slept along
	if err := os.WriteFile(asleep, []byte("{ const real = setTimeout; window.setTimeout = (f, ms, ...more) => ms > 10000 ? 0 : real(f, ms, ...more) }"), 0o600); err != nil {
		t.Fatal(err)
	}
	tab := p.shown(b, t, desktop, asleep)
	p.way.dies()
	p.change(func() { p.view.Rows = []fleet.Row{rowOf("calm"), rowOf("new")} })
	tab.ask("{ const now = Date.now; Date.now = () => now() + 3600e3; 1 }", nil)
	tab.sees(card("new"))
}

// What the bucket alone has went away when the way was lost and found again, until the bucket had
// answered anew.
func keepsWhatIsFar(t *testing.T, b *browser) {
	p := newPlay(t, rowOf("calm"), far("away"), far("left"))
	tab := p.shown(b, t, desktop)
	tab.sees(card("away"))
	tab.click(card("away") + " " + id("open"))
	tab.sees(id("detail") + attr("workspace", "acme/widget/away"))
	p.change(func() { p.view = pages.View{Rows: []fleet.Row{rowOf("calm"), rowOf("new")}, Part: true} })
	p.end()
	tab.sees(id("link") + attr("state", "lost"))
	p.begin()
	tab.sees(id("link") + attr("state", "live"))
	tab.sees(card("new"))
	for _, env := range []string{"away", "left"} {
		tab.reads(card(env)+" "+id("as-of"), "as of")
		if n := tab.count(card(env) + " button:not([data-testid=open]):enabled"); n != 0 {
			t.Errorf("%s: %d buttons about what is old can be pressed", env, n)
		}
	}
	tab.sees(id("gone"))
	if n := tab.count(id("as-of")); n != 2 {
		t.Errorf("%d cards are of before", n)
	}
	p.change(func() { p.view.Rows = append(p.view.Rows, rowOf("newer")) }) // and it has not answered yet
	tab.sees(card("newer"))
	tab.sees(card("away") + " " + id("as-of"))
	p.change(func() { p.view = pages.View{Rows: []fleet.Row{rowOf("calm"), far("away")}} })
	tab.misses(card("left"))
	tab.misses(id("as-of"))
	tab.misses(id("gone"))
	tab.sees(card("away") + " " + id("button-hop") + ":enabled")
	tab.quiet("ERR_", "net::")
}

// Who speaks to a browser says letters that are no keys: they can be turned off, for all tabs and for good.
func turnsKeysOff(t *testing.T, b *browser) {
	p := newPlay(t, rowOf("calm"), rowOf("other"))
	first := p.shown(b, t, desktop)
	second := first.beside()
	second.goes("http://" + p.at + "/#token=" + p.token)
	second.sees(id("app") + attr("ready", "true"))
	first.click(id("help"))
	first.click(id("single-keys"))
	first.press("Escape")
	first.misses(id("keys"))
	theme := func(tab *tab) (is string) {
		tab.ask("document.documentElement.dataset.theme", &is)
		return is
	}
	third := first.beside() // later
	third.goes("http://" + p.at + "/#token=" + p.token)
	third.sees(id("app") + attr("ready", "true"))
	second.sees(id("help") + `[title="keys"]`) // it has heard of it
	for i, tab := range []*tab{first, second, third} {
		tab.ask("document.activeElement.blur()", nil)
		for _, key := range []string{"t", "j", "n", "/", "?"} {
			tab.press(key)
		}
		if got := tab.focused(); theme(tab) != "auto" || got != "" || tab.count(id("keys")) != 0 || tab.count(id("needs-only")+":checked") != 0 {
			t.Errorf("tab %d: a key does something: theme %s, focus on %q", i, theme(tab), got)
		}
		tab.click(card("calm") + " " + id("open"))
		tab.sees(id("detail"))
		tab.press("2")
		tab.press("ArrowRight") // not a character: it goes on as before
		tab.sees(id("tab-history") + `[aria-selected="true"]`)
		tab.press("Escape")
		tab.misses(id("detail"))
	}
	third.click(id("help"))
	third.click(id("single-keys"))
	third.press("Escape")
	third.misses(id("keys"))
	third.press("t")
	if theme(third) != "light" {
		t.Errorf("they are on again, and t makes it %s", theme(third))
	}
}

// A browser has six ways to one address: with a seventh tab that is seen all stood still.
func hasSevenTabs(t *testing.T, b *browser) {
	p := newPlay(t, rowOf("calm"))
	tabs := []*tab{p.shown(b, t, desktop)}
	for range 6 {
		other := tabs[0].beside()
		other.goes("http://" + p.at + "/#token=" + p.token)
		other.sees(id("app") + attr("ready", "true"))
		tabs = append(tabs, other)
	}
	p.change(func() { p.view.Rows = append(p.view.Rows, rowOf("new")) })
	for i, tab := range tabs {
		tab.sees(card("new"))
		tab.sees(id("link") + attr("state", "live"))
		if n := tab.count(id("stale")); n != 0 {
			t.Errorf("tab %d says that it is old", i)
		}
	}
	last := tabs[len(tabs)-1]
	last.asked("calm", "sync") // and what is asked is answered
	last.sees(id("outcome") + attr("code", "0"))
}

// What is only here was said to be there, where another machine had the lease.
func saysWhere(t *testing.T, b *browser) {
	want := map[string]string{}
	var rows []fleet.Row
	add := func(env, word string, change func(*fleet.Row)) {
		r := rowOf(env)
		r.OnlyHere = []account.Part{{Reason: account.Waiting, Count: 1}}
		change(&r)
		rows, want[env] = append(rows, r), word
	}
	add("here", "here", func(*fleet.Row) {})
	add("fenced", "here", func(r *fleet.Row) { r.Where = "laptop" })
	add("down", "here", func(r *fleet.Row) { r.Where, r.Container, r.State = "laptop", "", "down" })
	add("alone", "here", func(r *fleet.Row) { r.Container, r.State = "", "down" })
	add("away", "there", func(r *fleet.Row) { r.Folder, r.Container, r.Where, r.State = "", "", "laptop", "elsewhere" })
	add("left", "there", func(r *fleet.Row) { r.Folder, r.Container, r.Where, r.State = "", "", "", "free" })
	another, odd := far("another"), far("odd")
	another.Where = "here" // as a machine may be called
	odd.Where, odd.State = "", fleet.Unreadable
	p := newPlay(t, append(rows, another, odd)...)
	tab := p.shown(b, t, desktop)
	for env, where := range map[string]string{"here": "on this machine", "down": "on laptop", "left": "on no machine", "another": "on here", "odd": "nobody can tell where"} {
		if got := tab.text(card(env) + " " + id("where")); got != where {
			t.Errorf("%s: %q, want %q", env, got, where)
		}
	}
	for env, word := range want {
		if got := tab.text(card(env) + " " + id("only-here")); got != "1 only "+word {
			t.Errorf("%s: %q, want %s", env, got, word)
		}
	}
}

// asked opens the form of an order and presses its button.
func (tab *tab) asked(env, order string) {
	tab.t.Helper()
	tab.click(card(env) + " " + id("button-"+order))
	tab.sees(id("form") + attr("order", order))
	tab.click(id("form-go"))
}

// Seven things are begun from one page: some wait, and say so; and as a browser has six ways to one
// address, the forms that are closed must give theirs back, or nothing is answered any more.
func ordersMany(t *testing.T, b *browser) {
	var rows []fleet.Row
	for i := range 8 {
		rows = append(rows, rowOf(fmt.Sprint(i)))
	}
	p := newPlay(t, rows...)
	goOn := make(chan struct{})
	p.carry = func(ctx context.Context, order string, _ []string, say func(string)) int {
		switch order {
		case "sync":
			say("begun")
			select {
			case <-goOn:
			case <-ctx.Done():
			}
			return 6
		case "logs":
			say("a line of the log")
		default:
			say("[]")
		}
		return 0
	}
	tab := p.shown(b, t, desktop)
	for i := range 7 {
		tab.asked(fmt.Sprint(i), "sync")
		if i < 4 {
			tab.reads(id("progress"), "under way")
		} else {
			tab.reads(id("progress"), "waits")
		}
		tab.reads(id("form-cancel"), "it goes on")
		tab.click(id("form-cancel"))
		tab.misses(id("form"))
	}
	tab.click(card("7") + " " + id("open"))
	tab.click(id("tab-logs"))
	tab.reads(id("log"), "a line of the log")
	tab.press("Escape")
	close(goOn)
	for i := range 7 {
		tab.reads(card(fmt.Sprint(i))+" "+id("last-deed"), "exit code 6")
	}
	if n := p.times("sync"); n != 7 {
		t.Errorf("%d were done", n)
	}
	tab.quiet()
}

// Where the way is lost while something is done, the page does not say that it failed, or that it was
// done.
func losesAnEnd(t *testing.T, b *browser) {
	p := newPlay(t, rowOf("calm"))
	goOn := make(chan struct{})
	p.carry = func(_ context.Context, _ string, _ []string, say func(string)) int {
		say("begun")
		<-goOn
		return 0
	}
	tab := p.shown(b, t, desktop)
	tab.asked("calm", "sync")
	tab.reads(id("output"), "begun")
	end := p.end
	p.begin() // beside it: the way leads to another one
	end()
	tab.reads(id("outcome")+attr("code", "error"), "goes on")
	close(goOn)
}

// A log is followed, and no program is run while nothing is logged.
func followsALog(t *testing.T, b *browser) {
	p := newPlay(t, rowOf("calm"))
	p.mark = "one"
	p.carry = func(_ context.Context, _ string, argv []string, say func(string)) int {
		p.mu.Lock()
		defer p.mu.Unlock()
		say("line " + p.mark + " of " + argv[len(argv)-1])
		say(strings.Repeat("y", 1<<20))
		return 0
	}
	tab := p.shown(b, t, desktop)
	tab.click(card("calm") + " " + id("open"))
	tab.click(id("tab-logs"))
	tab.reads(id("log"), "line one")
	if n := len(tab.text(id("log"))); n > 10000 {
		t.Errorf("a line of a mebibyte is shown with %d bytes", n)
	}
	p.change(func() { p.mark = "two" })
	tab.reads(id("log"), "line two")
	was := p.times("logs")
	for range 3 { // three questions of somebody else take as long as they take
		tab.click(id("tab-history"))
		tab.sees(id("history") + ", " + id("problem"))
		tab.click(id("tab-logs"))
		tab.reads(id("log"), "line two")
	}
	if n := p.times("logs"); n != was+3 {
		t.Errorf("it was asked for %d times, want 3", n-was)
	}
	tab.fill(id("log-unit"), "web")
	tab.press("Enter")
	tab.reads(id("log"), "of web")
}

// What coltecd said last is shown as that once it says nothing any more; a comparison is made again when
// it is asked for again; and generations that are not listed are counted.
func asksAnew(t *testing.T, b *browser) {
	p := newPlay(t, rowOf("calm"))
	var many []map[string]any
	for i := range 507 {
		many = append(many, map[string]any{"generation": i + 1, "time": time.Now().Add(-time.Hour)})
	}
	answers := map[string]any{
		"status": status.Document{State: status.Running, Replicas: []status.Replica{{Name: "workspace", State: status.ReplicaSynced}}}, "history": many,
		"compare": map[string]any{"replicas": map[string]any{}},
	}
	fails := false
	p.carry = func(_ context.Context, order string, _ []string, say func(string)) int {
		p.mu.Lock()
		defer p.mu.Unlock()
		if order == "status" && fails {
			return 4
		}
		b, err := json.Marshal(answers[order])
		if err != nil {
			panic(err)
		}
		say(string(b))
		return 0
	}
	tab := p.shown(b, t, desktop)
	tab.press("j")
	tab.press("Enter")
	tab.sees(id("replicas"))
	p.change(func() { fails = true })
	tab.sees(id("detail") + " " + id("problem"))
	tab.reads(id("panel"), "said last")
	tab.click(id("tab-history"))
	tab.reads(id("panel"), "and 7 older ones")
	tab.click(id("pick-a"))
	for i := range 2 {
		tab.click(id("compare-go"))
		eventually(t, "it is compared", func() error {
			if n := p.times("compare"); n != i+1 {
				return fmt.Errorf("%d times", n)
			}
			return nil
		})
		tab.reads(id("compare"), "nothing differs")
	}
	p.change(func() { p.view.Rows = nil })
	tab.sees(id("gone"))
	tab.sees(id("history")) // what is read is not taken away
	p.change(func() { p.view.Rows = []fleet.Row{rowOf("calm")} })
	tab.misses(id("gone"))
	tab.click(id("close"))
	tab.misses(id("detail"))
}

// long is a text of one word that is wider than any screen, with what cannot be seen in it.
var long = "a\nb\tc\u200bd\u202ee\ufefff" + strings.Repeat("W", 400)

// Names of more than one line, or with what cannot be seen, are shown so that one sees it; no page of a
// phone is wider than that, whatever texts are; and each part of it can be read by everybody.
func fitsAPhone(t *testing.T, b *browser) {
	r := rowOf("x")
	now := time.Now()
	r.Workspace, r.State, r.Where, r.Container, r.Needs = long, long, long, long, status.NeedAttention
	r.Attention = []string{long, long, long, long}
	r.Agents = []status.Agent{{Name: long, State: status.AgentState(long), Since: &now}}
	r.Checkpoint = &fleet.Checkpoint{Name: long, Made: now}
	r.OnlyHere = []account.Part{{Reason: account.Reason(long), Count: 1}}
	p := newPlay(t, r, far("away"))
	p.view.Notes = []string{long}
	diff := "@@ -1,2 +1,2 @@\n-" + long + "\n+" + long + "2\n same\n"
	diff = strings.ReplaceAll(diff, "a\nb", "a b")
	answers := map[string]any{
		"status":      status.Document{State: status.Running, Replicas: []status.Replica{{Name: long, State: "synced"}}, Units: []status.Unit{{Name: long, State: long, LastError: long}}},
		"history":     []map[string]any{{"generation": 1, "time": now}},
		"checkpoints": []map[string]any{{"name": long, "generation": 1, "made": now, "text": long}},
		"conflicts":   []map[string]any{{"id": "1", "replica": "workspace", "path": long, "host": long, "time": now, "size": 1}},
		"compare":     map[string]any{"replicas": map[string]any{long: []map[string]any{{"what": "changed", "path": long, "kind": "file", "diff": diff}}}},
	}
	p.carry = func(_ context.Context, order string, argv []string, say func(string)) int {
		switch {
		case order == "logs":
			say(long)
		case order == "conflicts" && argv[len(argv)-2] == "show":
			say(inline(map[string]any{"id": long, "diff": diff, "host": long}))
		case answers[order] != nil:
			say(inline(answers[order]))
		default:
			say(long)
			return 1
		}
		return 0
	}
	axe := filepath.Join(os.Getenv("COLTEC_BROWSER"), "axe-core/axe.min.js")
	for _, scheme := range []string{"light", "dark"} {
		s := phone
		s.scheme = scheme
		tab := p.shown(b, t, s, axe)
		fits := func(what string) {
			t.Helper()
			var wide int
			tab.ask(`Math.max(...[document.documentElement, ...document.querySelectorAll("dialog[open]")].map(e => e.scrollWidth - e.clientWidth))`, &wide)
			if wide > 0 {
				t.Errorf("%s, %s: %d pixels wider than the screen", scheme, what, wide)
			}
			var faults []string
			tab.ask(`axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21aa"]}).then(r => r.violations.map(v =>
				v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map(n => n.target.join(" ") + " " + (n.any[0] ? n.any[0].message : "")).join("; ")))`, &faults)
			for _, fault := range faults {
				t.Errorf("%s, %s: %s", scheme, what, fault)
			}
			if text := tab.text("body"); strings.ContainsAny(text, "\u200b\u202e\ufeff") {
				t.Errorf("%s: something in it cannot be seen", what)
			}
		}
		fits("cards")
		if name := tab.text(id("open")); !strings.Contains(name, "a␊b␉c\ufffdd\ufffde\ufffdf") {
			t.Errorf("the name is %.60q", name)
		}
		tab.click(id("open"))
		tab.sees(id("replicas"))
		fits("overview")
		tab.click(id("tab-history"))
		tab.click(id("pick-a"))
		tab.click(id("compare-go"))
		tab.click(id("difference") + " summary")
		tab.sees(id("side-by-side"))
		fits("history")
		tab.click(id("tab-checkpoints"))
		tab.sees(id("checkpoint"))
		fits("checkpoints")
		tab.click(id("tab-conflicts"))
		tab.sees(id("conflict"))
		fits("conflicts")
		tab.click(id("tab-logs"))
		tab.reads(id("log"), "WWW")
		fits("logs")
		tab.click(id("tab-overview"))
		tab.click(id("button-rewind"))
		tab.fill(id("arg-at"), "1")
		fits("a form")
		tab.click(id("form-go"))
		tab.reads(id("outcome"), "exit code 1")
		fits("an order that failed")
		tab.click(id("form-close"))
		tab.misses(id("form"))
		if got := tab.focused(); !strings.HasPrefix(got, "button-rewind") {
			t.Errorf("the focus is at %.60q", got)
		}
		tab.click(id("close"))
		tab.misses(id("detail"))
		if got := tab.focused(); !strings.HasPrefix(got, "open") {
			t.Errorf("the focus is at %.60q", got)
		}
		tab.press("?")
		tab.sees(id("keys"))
		fits("keys")
		tab.press("Escape")
		tab.click(card("away") + " " + id("open"))
		tab.sees(id("elsewhere"))
		fits("one that is elsewhere")
		tab.quiet()
	}
}
