package rclone

import (
	"sync"
)

// tags is what is known of a store's ETags: that of an object is the MD5 of its content,
// but under SSE-KMS, SSE-C and behind some gateways, where it may look like one. Callers
// speak of MD5s; a condition goes out with the ETag that the store has named for it.
type tags struct {
	mu     sync.Mutex
	known  map[string]named // by root and key; those that are no MD5
	opaque bool             // one that the store named is not the MD5 of what it holds
}

// named is the ETag of an object for the MD5 of what it held.
type named struct{ md5, tag string }

// note keeps the ETag that a store named for content. sure: what it holds was read.
func (t *tags) note(key, md5, tag string, sure bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case tag == "":
	case tag == md5:
		delete(t.known, key)
	default:
		if t.known == nil {
			t.known = map[string]named{}
		}
		t.known[key] = named{md5, tag}
		t.opaque = t.opaque || sure
	}
}

// cond is a condition in the store's own words.
func (t *tags) cond(key string, c Cond) Cond {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, is := t.known[key]; is && n.md5 == c.Match {
		c.Match = n.tag
	}
	return c
}

// seal notes that no ETag of the store is an MD5.
func (t *tags) seal() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opaque = true
}

// Opaque reports whether the store was seen to have ETags that are not the MD5s of what
// objects hold: what a listing tells as such is the name of a version then.
func (r *Remote) Opaque() bool { return r.tags.isOpaque() }

// isOpaque reports whether the store's ETags are no MD5s.
func (t *tags) isOpaque() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.opaque
}
