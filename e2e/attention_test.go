package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/webhook"
)

// receiver is the webhook of an operator, with faults.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	broken func(w http.ResponseWriter, r *http.Request) // nil: it takes what comes
	asked  int
	taken  []posted
	bad    []string // what is wrong with what came
}

// posted is what a webhook is told.
type posted struct {
	Workspace, Host, ID, State, Text string
	Since, Time                      time.Time
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
		for _, text := range r.bad {
			t.Error(text)
		}
	})
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 64<<10))
	r.mu.Lock()
	r.asked++
	broken := r.broken
	r.mu.Unlock()
	if broken != nil {
		broken(w, req)
		return
	}
	var p posted
	err = errors.Join(err, json.Unmarshal(body, &p))
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || req.Header.Get(webhook.Signature) != webhook.Sign("hook-key-of-ours", body) || strings.Contains(string(body), "hunter2") {
		r.bad = append(r.bad, fmt.Sprintf("%v, %v\n%s", err, req.Header, body))
	}
	r.taken = append(r.taken, p)
}

func (r *receiver) breaks(broken func(w http.ResponseWriter, r *http.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken, r.asked = broken, 0
}

// awaitAsked waits until the receiver was asked so often since it broke.
func (r *receiver) awaitAsked(t *testing.T, n int) {
	t.Helper()
	eventually(t, "the webhook is asked", func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.asked < n {
			return fmt.Errorf("%d times", r.asked)
		}
		return nil
	})
}

// of are the letters about a word, by state.
func (r *receiver) of(word string) (found []posted) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.taken {
		if strings.Contains(p.Text, word) {
			found = append(found, p)
		}
	}
	return found
}

// What needs attention is told to a webhook that hangs, answers 500 and redirects, to hooks
// beside it, and through a kill -9 of keeper and coltecd in the middle of a post: in the end
// once, and once more when it is over. Meanwhile saves go on.
func TestAttention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	r := newReceiver(t)
	told := filepath.Join(t.TempDir(), "told")
	m.env["HOOK_KEY"] = "hook-key-of-ours"
	spec := func(secrets ...map[string]any) {
		m.spec(func(o *specOptions) {
			o.More = map[string]any{
				"secrets": append([]map[string]any{}, secrets...),
				"webhook": map[string]any{"url": r.URL + "/T0K3N", "secret": "HOOK_KEY"},
				"hooks": map[string]any{"on_attention": []map[string]any{{"command": []string{
					"sh", "-c", `printf '%s %s\n' "$COLTEC_ATTENTION_STATE" "$COLTEC_ATTENTION" >>"$0"; printf %s "$COLTEC_ATTENTION_JSON" | grep -q '"id":"'"$COLTEC_ATTENTION_ID"`, told,
				}}}},
			}
		})
	}
	spec(map[string]any{"name": "MISSING_KEY", "required": true})
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	r.breaks(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-hang:
		case <-req.Context().Done():
		}
	})
	m.start()
	r.awaitAsked(t, 1)
	m.write("note", "saved while the webhook hangs")
	m.sync()
	m.kill9()
	r.breaks(func(rw http.ResponseWriter, req *http.Request) {
		http.Redirect(rw, req, r.URL+"/elsewhere", http.StatusFound)
	})
	m.start()
	r.awaitAsked(t, 1)
	r.breaks(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) })
	r.awaitAsked(t, 2)
	eventually(t, "status says that the webhook takes nothing", func() error {
		doc := m.status()
		for _, a := range doc.Attention {
			if strings.Contains(a, "takes nothing") && !strings.Contains(a, "T0K3N") {
				return nil
			}
		}
		return fmt.Errorf("%q", doc.Attention)
	})
	r.breaks(nil)
	lines := func(state string, n int) {
		t.Helper()
		eventually(t, "it is told as "+state, func() error {
			found := r.of("MISSING_KEY")
			if len(found) < n {
				return fmt.Errorf("%+v", found)
			}
			return nil
		})
	}
	lines("new", 1)
	spec() // nothing is missing any more
	m.must("reload")
	lines("gone", 2)
	found := r.of("MISSING_KEY")
	if len(found) != 2 || found[0].State != "new" || found[1].State != "gone" || found[0].ID != found[1].ID || found[0].Workspace != "acme/widget/dev" || found[0].Host != "a" {
		t.Errorf("%+v", found)
	}
	count := func(word string) (n int) {
		b, _ := os.ReadFile(told) // there is none before the first one
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, word) && strings.Contains(line, "MISSING_KEY") {
				n++
			}
		}
		return n
	}
	eventually(t, "hooks are told as gone", func() error { // they are beside posts, and a stop ends them
		if count("gone") == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	m.stop()
	b, err := os.ReadFile(told)
	if err != nil {
		t.Fatal(err)
	}
	// The hook may have been under way when it was killed.
	if n := count("new"); n < 1 || n > 2 || count("gone") != 1 || strings.Contains(string(b), "hook-key-of-ours") {
		t.Errorf("hooks were told:\n%s", b)
	}
	if text := m.log(); strings.Contains(text, "T0K3N") || strings.Contains(text, "hook-key-of-ours") {
		t.Errorf("the log has a secret:\n%s", text)
	}
	if slices.ContainsFunc(r.of(""), func(p posted) bool { return p.Time.Before(p.Since) }) {
		t.Error("a letter is older than what it is about")
	}
}
