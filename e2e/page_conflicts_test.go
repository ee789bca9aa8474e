package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/status"
)

// What is kept aside is decided about on the page.
func TestPageDecides(t *testing.T) {
	b := newBrowser(t)
	sample.Long(t)
	t.Parallel()
	f := newEstate(t, 2, []*place{
		{env: "calm", make: (*place).calm, want: told{state: "running", where: "here"}},
		{env: "conflicted", make: (*place).conflicted, want: told{state: "degraded", where: "here", says: "conflict", need: "conflicts"}},
	})
	c := f.ui(t, "--allow-actions")
	p := c.shown(b, t, desktop, 2)
	a := &actor{f, p}
	a.decides(t, b, c)
	p.quiet()
}

// decides takes a version on the page: by the mouse, once it says what is lost, and not where
// that changed since; by the keyboard on a phone's screen; and all at once.
func (a *actor) decides(t *testing.T, b *browser, c *console) {
	m := a.f.find("conflicted").m
	p := a.p
	open := func(p *tab) {
		p.click(card("conflicted") + " " + id("open"))
		p.click(id("tab-conflicts"))
		p.sees(id("conflict"))
	}
	open(p)
	p.click(id("conflict-take"))
	p.reads(id("question"), "becomes the version of desk again")
	p.reads(id("question"), "What is lost: the file that has its name now (13 B), with 1 line")
	if got := p.focused(); !strings.HasPrefix(got, "decide-close") {
		t.Errorf("the focus is on %q: Enter would decide", got)
	}
	m.write("notes.txt", "by an agent meanwhile")
	p.click(id("decide-go"))
	p.reads(id("outcome"), "it changed since it was shown")
	if got := m.read("notes.txt"); got != "by an agent meanwhile" {
		t.Errorf("what was not shown is %q", got)
	}
	p.click(id("decide-again"))
	p.reads(id("question"), "What is lost: the file that has its name now (21 B)")
	p.click(id("decide-go"))
	p.reads(id("outcome"), "taken: notes.txt")
	p.reads(id("undo"), ".coltec/replaced")
	if got := m.read("notes.txt"); got != "by the desk" {
		t.Errorf("taken on the page it is %q", got)
	}
	p.click(id("decide-close"))
	p.reads(id("conflicts"), "no conflicts")
	p.press("Escape")
	p.misses(id("detail"))

	m.stop()
	a.clashes(2)
	q := c.shown(b, t, phone, 2)
	open(q)
	var wide int
	q.ask("document.documentElement.scrollWidth - window.innerWidth", &wide)
	q.ask(`document.querySelector('[data-testid="conflict-drop"]').focus()`, nil)
	q.press("Enter")
	q.sees(id("decide-go") + ":enabled")
	q.press("2") // no key of the page behind
	q.sees(id("tab-conflicts") + `[aria-selected="true"]`)
	var over int
	q.ask(`(() => { const d = document.querySelector('[data-testid="decide"]'); return Math.max(d.scrollWidth - d.clientWidth, d.getBoundingClientRect().right - window.innerWidth) })()`, &over)
	if wide > 0 || over > 0 {
		t.Errorf("on a phone the page is %d pixels too wide, and the question %d", wide, over)
	}
	q.press("Tab")
	if got := q.focused(); !strings.HasPrefix(got, "decide-go") {
		t.Errorf("after Tab the focus is on %q", got)
	}
	q.press("Enter")
	q.reads(id("outcome"), "dropped: ")
	q.press("Escape")
	q.misses(id("decide"))
	eventually(t, "one conflict is left", func() error {
		if n := q.count(id("conflict")); n != 1 {
			return fmt.Errorf("%d are shown", n)
		}
		return nil
	})
	q.quiet()

	m.must("conflicts", "drop", "--all", "--yes")
	m.stop()
	a.clashes(3)
	open(p)
	p.click(id("conflicts-take-all"))
	p.reads(id("question"), "versions that are kept aside get their names back")
	p.click(id("decide-go"))
	p.sees(id("outcome"))
	p.press("Escape")
	p.misses(id("decide"))
	p.press("Escape")
	p.misses(id("detail"))
	for i := range 3 {
		if got := m.read(fmt.Sprintf("clash-%d", i)); got != fmt.Sprintf("by the desk %d", 3) {
			t.Errorf("clash-%d is %q", i, got)
		}
	}
}

// clashes has both machines write so many files, for the n-th time.
func (a *actor) clashes(n int) {
	x := a.f.find("conflicted")
	for _, m := range []*machine{x.m, x.far} {
		was := m.t
		m.t = a.p.t
		defer func() { m.t = was }()
	}
	x.far.start() // and stop, which waits longer than run --once for a slow store
	x.far.stop()
	for i := range n {
		x.far.write(fmt.Sprintf("clash-%d", i), fmt.Sprintf("by the laptop %d", n))
		x.m.write(fmt.Sprintf("clash-%d", i), fmt.Sprintf("by the desk %d", n))
	}
	x.far.start()
	x.far.sync()
	x.far.stop()
	x.m.start()
	x.m.await("there are conflicts", func(doc status.Document) bool { return replicaIn(x.m.t, doc, "workspace").Conflicts >= n })
	if list := answer[[]control.Conflict](x.m, "conflicts"); len(list) < n {
		a.p.t.Fatalf("%+v", list)
	}
}
