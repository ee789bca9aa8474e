// Package console serves a page about workspaces to the browser of who started it: cards that
// follow what is known, what coltec answers about one, and, where that was allowed, what it does.
// It knows no verb itself: what it shows of one workspace, and all that it does, is carried out by
// whoever is given the command line of an order.
package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/coltec/coltec/pkg/order"
)

// Settings say what a console shows, and what it may do.
type Settings struct {
	Version string
	Token   string // who has it may see; see NewToken
	Port    int    // that it is asked at
	Actions bool   // orders that change something are carried out
	Orders  []order.Order

	// Follow tells what is known of all workspaces, at once and whenever it is something else,
	// until ctx ends.
	Follow func(ctx context.Context, tell func(View))
	// Carry runs this program with a command line, hands over what it prints, never two lines at
	// a time, and gives its exit code. It ends the program when ctx ends.
	Carry func(ctx context.Context, argv []string, say func(Line)) (code int, err error)
	// Mark is another text whenever an order that changes nothing might be answered in another
	// way, without asking; "": that cannot be known. It is asked often. nil: it never is known.
	Mark func(order, workspace string) string
}

// Line is one that a program printed.
type Line struct {
	Text string
	Err  bool // to standard error
}

// Console is the page and what it asks.
type Console struct {
	Settings
	token   [sha256.Size]byte
	orders  map[string]order.Order
	files   map[string]file
	watch   *watch
	reads   *lanes
	actions *lanes
	streams chan struct{} // has room for each listener that there may be
	life    context.Context
}

// streamsMost is how many listeners there may be: tabs of a browser, and nobody has more.
const streamsMost = 100

// New makes a console, which lives as long as ctx.
func New(ctx context.Context, s Settings) (*Console, error) {
	files, err := load()
	if err != nil {
		return nil, err
	}
	c := &Console{
		Settings: s, token: sha256.Sum256([]byte(s.Token)), orders: map[string]order.Order{}, files: files,
		watch: newWatch(s.Follow), reads: newLanes(readsMost), actions: newLanes(actionsMost),
		streams: make(chan struct{}, streamsMost), life: ctx,
	}
	for _, o := range c.offered() {
		c.orders[o.Name] = o
	}
	go c.watch.run(ctx)
	return c, nil
}

// offered are the orders that are about one workspace, which is their first parameter: coltec
// carries them out.
func (c *Console) offered() (list []order.Order) {
	for _, o := range c.Orders {
		if o.Host && len(o.Params) > 0 && o.Params[0].Name == workspaceParam && o.Params[0].Required {
			list = append(list, o)
		}
	}
	return list
}

// workspaceParam is the parameter of an order that says which workspace it is about.
const workspaceParam = "workspace"

// NewToken makes one that nobody guesses: 256 bits.
func NewToken() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// Handler answers the browser.
func (c *Console) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", c.file)
	api := http.NewServeMux()
	api.HandleFunc("GET /api/about", c.about)
	api.HandleFunc("GET /api/events", c.events)
	api.HandleFunc("GET /api/ask", c.ask)
	api.HandleFunc("POST /api/run", c.run)
	mux.Handle("/api/", c.vouched(api))
	return c.guarded(mux)
}

// file is one of the page.
type file struct {
	kind string
	body []byte
}

//go:embed page
var page embed.FS

// load reads the files of the page: they are few, and there are no others.
func load() (map[string]file, error) {
	files := map[string]file{}
	root, err := fs.Sub(page, "page")
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(root, name)
		files[name] = file{kindOf(name), body}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the page: %w", err)
	}
	files[""] = files["index.html"]
	return files, nil
}

// kindOf is the media type of a file by its name: never by that of the system's tables alone,
// in which Windows may have anything for .js.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.FormatMediaType("text/plain", map[string]string{"charset": "utf-8"})
}

func (c *Console) file(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "a page is only read")
		return
	}
	f, ok := c.files[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		refuse(w, http.StatusNotFound, "there is no such page")
		return
	}
	w.Header().Set("Content-Type", f.kind)
	_, _ = w.Write(f.body) // who has gone is not told
}

// about is what the page is to know before it shows anything.
func (c *Console) about(w http.ResponseWriter, _ *http.Request) {
	type param struct {
		Name     string `json:"name"`
		Text     string `json:"text"`
		Required bool   `json:"required"`
		Kind     string `json:"kind"`
	}
	type known struct {
		Name     string  `json:"name"`
		Title    string  `json:"title"`
		Text     string  `json:"text"`
		Params   []param `json:"params"`
		Changes  bool    `json:"changes"`
		Destroys bool    `json:"destroys"`
	}
	list := []known{}
	for _, o := range c.offered() {
		k := known{Name: o.Name, Title: o.Title, Text: o.Text, Changes: o.Changes, Destroys: o.Destroys, Params: []param{}}
		for _, p := range o.Params {
			k.Params = append(k.Params, param{p.Name, p.Text, p.Required, string(p.Kind)})
		}
		list = append(list, k)
	}
	answer(w, http.StatusOK, map[string]any{"version": c.Version, "actions": c.Actions, "orders": list})
}

// answer writes JSON.
func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // who has gone is not told
}

// refuse says why not, as coltec says its errors.
func refuse(w http.ResponseWriter, code int, text string, hints ...string) {
	answer(w, code, map[string]any{"error": map[string]any{"message": text, "hints": append([]string{}, hints...)}})
}
