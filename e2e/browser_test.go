package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// browser is a headless Chromium. One question is asked of it at a time.
type browser struct {
	t     *testing.T
	in    io.WriteCloser
	lines chan string
	talk  *lockedText
	tabs  int
}

// lockedText is what a program says, which may be read meanwhile.
type lockedText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newBrowser starts the Chromium of make e2e-ui; it ends with the test.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	modules := os.Getenv("COLTEC_BROWSER")
	if modules == "" {
		t.Skip("make e2e-ui runs it, in a real browser")
	}
	b := &browser{t: t, lines: make(chan string), talk: &lockedText{}}
	cmd := exec.Command("node", "testdata/browser.cjs")
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.Stderr = b.talk
	var out io.ReadCloser
	in, err := cmd.StdinPipe()
	if err == nil {
		b.in = in
		out, err = cmd.StdoutPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(b.lines)
		for r := bufio.NewReader(out); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			b.lines <- line
		}
	}()
	t.Cleanup(func() {
		_ = in.Close() // it closes the browser, and ends
		timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		for range b.lines { // until it has ended
		}
		_ = cmd.Wait()
	})
	version, err := b.next()
	if err != nil {
		t.Fatalf("no browser: %v", err)
	}
	t.Logf("Chromium %s", version)
	return b
}

// next reads an answer.
func (b *browser) next() (value json.RawMessage, err error) {
	select {
	case line, ok := <-b.lines:
		var said struct {
			Value json.RawMessage
			Error string
		}
		switch {
		case !ok:
			err = fmt.Errorf("the browser has ended: %s", b.talk)
		default:
			if err = json.Unmarshal([]byte(line), &said); err == nil && said.Error != "" {
				err = fmt.Errorf("%s", firstLines(said.Error, 6))
			}
		}
		return said.Value, err
	case <-time.After(2 * patience):
		return nil, fmt.Errorf("the browser does not answer: %s", b.talk)
	}
}

// tab is a page of a person of its own, who has been nowhere yet.
type tab struct {
	t      *testing.T
	b      *browser
	number int
}

// screen is what a page is looked at on.
type screen struct {
	width, height int
	scheme        string // light or dark
}

var (
	desktop = screen{1280, 900, "light"}
	phone   = screen{390, 844, "light"}
)

// open opens a tab, with scripts that are there before those of a page.
func (b *browser) open(t *testing.T, s screen, scripts ...string) *tab {
	t.Helper()
	b.tabs++
	p := &tab{t, b, b.tabs}
	p.do("open", map[string]any{"width": s.width, "height": s.height, "scheme": s.scheme, "scripts": scripts, "patience": patience.Milliseconds()}, nil)
	t.Cleanup(func() { _, _ = b.asked("close", p.number, map[string]any{}) })
	return p
}

// beside opens another tab of the person who has this one.
func (p *tab) beside() *tab {
	p.t.Helper()
	p.b.tabs++
	other := &tab{p.t, p.b, p.b.tabs}
	other.do("open", map[string]any{"beside": p.number, "width": desktop.width, "patience": patience.Milliseconds()}, nil)
	p.t.Cleanup(func() { _, _ = p.b.asked("close", other.number, map[string]any{}) })
	return other
}

func (b *browser) asked(what string, tab int, more map[string]any) (json.RawMessage, error) {
	more["do"], more["tab"] = what, tab
	line, err := json.Marshal(more)
	if err == nil {
		_, err = b.in.Write(append(line, '\n'))
	}
	if err != nil {
		return nil, err
	}
	return b.next()
}

// do has the browser do something, and takes the answer.
func (p *tab) do(what string, more map[string]any, into any) {
	p.t.Helper()
	value, err := p.b.asked(what, p.number, more)
	if err == nil && into != nil {
		err = json.Unmarshal(value, into)
	}
	if err != nil {
		heard := p.heard()
		p.t.Fatalf("%s %v: %v\nthe page said %q, and ran %q", what, more, err, heard.Errors, heard.Ran)
	}
}

// goes goes to an address, and gives the status of the answer; 0: none was asked for.
func (p *tab) goes(url string) (status int) {
	p.t.Helper()
	p.do("goto", map[string]any{"url": url}, &status)
	return status
}

// id is what has that id for tests.
func id(name string) string { return fmt.Sprintf("[data-testid=%q]", name) }

// attr is a condition on an attribute of data.
func attr(name, value string) string { return fmt.Sprintf("[data-%s=%q]", name, value) }

func (p *tab) sees(at string) { p.t.Helper(); p.do("wait", map[string]any{"at": at}, nil) }

func (p *tab) reads(at, text string) {
	p.t.Helper()
	p.do("wait", map[string]any{"at": at, "text": text}, nil)
}

func (p *tab) misses(at string) {
	p.t.Helper()
	p.do("wait", map[string]any{"at": at, "state": "hidden"}, nil)
}

func (p *tab) click(at string) { p.t.Helper(); p.do("click", map[string]any{"at": at}, nil) }

func (p *tab) press(key string) { p.t.Helper(); p.do("press", map[string]any{"text": key}, nil) }

func (p *tab) fill(at, text string) {
	p.t.Helper()
	p.do("fill", map[string]any{"at": at, "text": text}, nil)
}

func (p *tab) count(at string) (n int) {
	p.t.Helper()
	p.do("count", map[string]any{"at": at}, &n)
	return n
}

func (p *tab) texts(at string) (list []string) {
	p.t.Helper()
	p.do("texts", map[string]any{"at": at}, &list)
	return list
}

// text is that of all that is there.
func (p *tab) text(at string) string { p.t.Helper(); return strings.Join(p.texts(at), "\n") }

func (p *tab) attributes(at, name string) (list []*string) {
	p.t.Helper()
	p.do("attributes", map[string]any{"at": at, "name": name}, &list)
	return list
}

// ask evaluates an expression in the page.
func (p *tab) ask(expression string, into any) {
	p.t.Helper()
	p.do("ask", map[string]any{"text": expression}, into)
}

// heard is what a page did since it was asked last that it should not have: what a canary sang,
// windows and requests to elsewhere; and what the browser had to say against it.
type heard struct{ Ran, Errors []string }

func (p *tab) heard() (h heard) {
	value, err := p.b.asked("heard", p.number, map[string]any{})
	if err == nil {
		err = json.Unmarshal(value, &h)
	}
	if err != nil {
		h.Errors = []string{err.Error()}
	}
	return h
}

// quiet holds that a page did nothing of that, but for errors with such words in them.
func (p *tab) quiet(meant ...string) {
	p.t.Helper()
	h := p.heard()
	h.Errors = slices.DeleteFunc(h.Errors, func(e string) bool {
		return slices.ContainsFunc(meant, func(words string) bool { return strings.Contains(e, words) })
	})
	if len(h.Ran) > 0 || len(h.Errors) > 0 {
		p.t.Errorf("the page ran %q; the browser says %q", h.Ran, h.Errors)
	}
}

// picture takes one of the page as it is seen, and holds that there is something on it.
func (p *tab) picture(path string) {
	p.t.Helper()
	p.do("picture", map[string]any{"path": path}, nil)
	f, err := os.Open(path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		p.t.Fatalf("%s: %v", path, err)
	}
	if n, most := colours(img); n < 20 || most > 0.97 {
		p.t.Errorf("%s is blank: %d colours, and one of them is %.0f %% of it", filepath.Base(path), n, 100*most)
	}
}

// colours counts those of an image, and says how much of it the most frequent one has.
func colours(img image.Image) (n int, most float64) {
	found := map[[3]uint32]int{}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			red, green, blue, _ := img.At(x, y).RGBA()
			found[[3]uint32{red, green, blue}]++
		}
	}
	for _, count := range found {
		most = max(most, float64(count)/float64(b.Dx()*b.Dy()))
	}
	return len(found), most
}
