package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// markup is what would run in a page that took it for markup: the canary sings where it was.
func markup(where string) string {
	return fmt.Sprintf(`<img src=x onerror=canary('%s')><svg onload=canary('%[1]s')>`, where)
}

// moves are codes that a terminal takes for a colour, a title, a cleared screen and a link, and a
// mark that turns the direction of what follows it.
const moves = "\x1b[31m\x1b]0;title\x07\x1b[2J\x1b]8;;javascript:canary('link')\x07\u202e"

// texts has markup wherever a workspace has a text.
func texts() []*place {
	return []*place{
		{env: "calm", make: (*place).calm, want: told{state: "running", where: "here"}},
		{env: "loud", make: (*place).loud, want: told{state: "degraded", where: "here"}},
		{env: "odd", at: remote, make: (*place).odd, want: told{state: "unreadable"}},
		{env: "guest", at: remote, make: (*place).guest, want: told{state: "elsewhere"}},
	}
}

// loud has markup in the names of files that are in conflict and that are only here, of a program that
// cannot be run, in what a program says, and in the text of a checkpoint.
func (p *place) loud() {
	m := p.m
	conflict, odd := markup("conflict")+".txt", "z"+moves+".txt"
	m.write(conflict, "as it was")
	m.write(odd, "as it was")
	m.start()
	m.must("checkpoint", "good", "--message", markup("checkpoint"))
	m.stop()
	p.far.once()
	p.far.write(conflict, "by the laptop "+markup("there"))
	p.far.write(odd, "by the laptop")
	p.far.once()
	m.write(conflict, "by the desk "+markup("here")+moves)
	m.write(odd, "by the desk")
	noise := filepath.Join(filepath.Dir(m.dir), "noise")
	if err := os.WriteFile(noise, []byte(markup("log")+moves+"\n"), 0o644); err != nil {
		m.t.Fatal(err)
	}
	p.spec(m, func(o *specOptions) {
		o.Services = []map[string]any{
			{"name": "noise", "command": []string{"sh", "-c", `cat "$0"; exec sleep 3600`, noise}},
			{"name": "broken", "command": []string{"/nowhere/" + markup("unit")}},
		}
	})
	m.must("start")
	m.await("it has a conflict, and what cannot be run", func(doc status.Document) bool {
		return replicaIn(m.t, doc, "workspace").Conflicts == 2 && strings.Contains(strings.Join(doc.Attention, "\n"), "broken")
	})
	m.run("sync", "workspace")
	m.write(markup("only")+".jsonl", `{"half`)
	m.run("sync", "workspace") // what of the last line has no end stays here
}

// odd is a head that somebody with the bucket's keys wrote.
func (p *place) odd() {
	file := filepath.Join(p.far.t.TempDir(), "head.json")
	if err := os.WriteFile(file, []byte(inline(map[string]any{"format": 1, "workspace": markup("head")})), 0o600); err != nil {
		p.far.t.Fatal(err)
	}
	p.estate.rclone("copyto", file, "{bucket}/"+store.HeadKey(p.id()))
}

// guest is held by a machine that calls itself so.
func (p *place) guest() {
	p.far.env["COLTEC_HOST"] = markup("host")
	p.has(p.far)
	p.far.kill9()
}

// parts are what is waited for in each tab.
var parts = map[string][]string{"overview": {"units"}, "history": {"generation"}, "checkpoints": {"checkpoint"}, "conflicts": {"conflict", "side-by-side"}}

// visits opens all that there is of a workspace, and gives the text of each part of the page.
func (p *tab) visits(env string) map[string]string {
	p.t.Helper()
	seen := map[string]string{"card": p.text(card(env))}
	p.click(card(env) + " " + id("open"))
	p.sees(id("detail"))
	for _, name := range []string{"overview", "history", "checkpoints", "conflicts", "logs"} {
		p.click(id("tab-" + name))
		for _, at := range parts[name] {
			p.sees(id(at) + ", " + id("problem"))
			if said := p.text(id("problem")); said != "" {
				p.t.Fatalf("%s of %s: %s", name, env, said)
			}
			if at == "conflict" {
				p.click(id("conflict-show"))
			}
		}
		if name == "logs" {
			p.reads(id("log"), "canary")
		}
		seen[name] = p.text(id("detail"))
	}
	p.press("Escape")
	p.misses(id("detail"))
	return seen
}

// A workspace in which every text is markup or moves a cursor: it is shown as it is written, and
// nothing of it runs.
func TestPageOfText(t *testing.T) {
	b := newBrowser(t)
	sample.Long(t)
	t.Parallel()
	f := newEstate(t, 4, texts())
	c := f.ui(t, "--allow-actions")
	p := c.shown(b, t, desktop, 4)
	all := p.visits("loud")
	all["odd"], all["guest"] = p.text(card("odd")), p.text(card("guest"))
	for part, where := range map[string][]string{
		"overview": {"unit"}, "checkpoints": {"checkpoint"}, "conflicts": {"conflict", "here", "there"}, "logs": {"log"}, "guest": {"host"},
	} {
		for _, w := range where {
			if text := all[part]; !strings.Contains(text, markup(w)) {
				t.Errorf("the %s shows no %s as it is written: %s", part, w, text)
			}
		}
	}
	for part, text := range all {
		if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == '\u202e' }); i >= 0 {
			t.Errorf("the %s has %q in it", part, text[i:min(len(text), i+20)])
		}
	}
	p.press("/")
	p.fill(id("search"), markup("search"))
	p.sees(id("empty"))
	p.press("Escape")
	a := &actor{f, p}
	if code, said := a.does("calm", "checkpoint", map[string]string{"name": "x", "message": markup("message")}); code != "0" || strings.Contains(said, "\x1b") {
		t.Errorf("a checkpoint with markup: %s, %s", code, said)
	}
	if code, said := a.does("calm", "rewind", map[string]string{"at": "<img'src=x'onerror=canary('at')>"}); code == "0" {
		t.Errorf("a rewind to markup: %s, %s", code, said)
	}
	var made int
	p.ask(`document.querySelectorAll("[src=x], [onload], [onerror], a[href^=javascript]").length`, &made)
	if made != 0 {
		t.Errorf("%d elements were made of texts", made)
	}
	p.quiet()
	// The canary sings, so its silence says something.
	p.ask(`canary("alive")`, nil)
	if h := p.heard(); len(h.Ran) != 1 {
		t.Errorf("the canary is dead: %q", h.Ran)
	}
}
