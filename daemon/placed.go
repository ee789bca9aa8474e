package daemon

import (
	"strings"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/status"
)

// placed remembers which replicas were restored when it was asked last.
type placed struct {
	mu    sync.Mutex
	names string
}

// look calls forget where other ones are restored now, before anybody else looks: who came between
// the two would take what was seen before.
func (p *placed) look(doc status.Document, forget func()) {
	var names []string
	for _, r := range doc.Replicas {
		if doc.RestoreOf(r) == status.RestoreDone {
			names = append(names, r.Name)
		}
	}
	now := strings.Join(names, " ")
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.names != now {
		forget()
	}
	p.names = now
}

// forget has the next look at agents be one: what was seen a moment ago is of a home before its
// restore, and whoever waits for that asks for its conversations at once.
func (t *turns) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = time.Time{}
}
