package console

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// markEvery is how often it is looked whether an answer would be another one.
	markEvery = 300 * time.Millisecond
	// holdMost is for how many seconds a question waits for that: a page asks again then.
	holdMost = 30
)

// tag stands for what an answer is made of, as the entity tag of RFC 9110; "": it is not known.
func (c *Console) tag(e errand) string {
	if c.Mark == nil {
		return ""
	}
	mark := c.Mark(e.Name, e.of.arg)
	if mark == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join(append([]string{mark}, e.argv...), "\x00")))
	return fmt.Sprintf("%q", fmt.Sprintf("%x", sum[:12]))
}

// changed reports whether a question is to be answered. One that names an answer which the page
// has waits for another one, as long as it says (RFC 7240, wait), and is told that there is none.
func (c *Console) changed(w http.ResponseWriter, r *http.Request, e errand) bool {
	had := r.Header.Get("If-None-Match")
	if had == "" {
		return true
	}
	over := time.NewTimer(hold(r.Header.Get("Prefer")))
	defer over.Stop()
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	for c.tag(e) == had {
		select {
		case <-tick.C:
			continue
		case <-over.C:
		case <-r.Context().Done():
		case <-c.life.Done():
		}
		w.Header().Set("ETag", had)
		w.WriteHeader(http.StatusNotModified)
		return false
	}
	return true
}

// hold is how long a page wants to wait, by its header Prefer.
func hold(prefer string) time.Duration {
	text, _ := strings.CutPrefix(prefer, "wait=")
	n, _ := strconv.Atoi(text) // what makes no sense is no wait
	return time.Duration(min(max(n, 0), holdMost)) * time.Second
}
