package s3test

import (
	"bytes"
	"io"
	"net/http"
	"path"
	"sync"
)

// spooled is the size of a body that is read before a lock is taken: a slow
// client must not keep all others out.
const spooled = 64 << 20

// front stands before `rclone serve s3` and keeps it from its own race: two
// PUTs that make one directory at the same time make two nodes of it, and what
// went into the first is lost. So a request that may make a directory, or remove
// one that it emptied, runs alone. Where directories are known nobody waits.
type front struct {
	next http.Handler

	tree  sync.RWMutex // held for reading by what leaves the directories as they are
	mu    sync.Mutex
	known map[string]bool // directories that an object was put into
}

// ServeHTTP passes a request on.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !f.alone(r) {
		f.tree.RLock()
		defer f.tree.RUnlock()
		f.next.ServeHTTP(w, r)
		return
	}
	if r.ContentLength >= 0 && r.ContentLength <= spooled {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the client went away
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	f.tree.Lock()
	defer f.tree.Unlock()
	f.next.ServeHTTP(w, r)
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == http.MethodPut {
		f.known[path.Dir(r.URL.Path)] = true
	} else {
		clear(f.known)
	}
}

// alone reports whether a request may change which directories there are.
func (f *front) alone(r *http.Request) bool {
	switch r.Method {
	case http.MethodPut:
		f.mu.Lock()
		defer f.mu.Unlock()
		return !f.known[path.Dir(r.URL.Path)]
	case http.MethodGet, http.MethodHead:
		return false
	}
	return true // a DELETE, or the end of an upload in parts
}
