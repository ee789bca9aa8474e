package daemon

import (
	"crypto/sha256"
	"sync"

	"github.com/coltec/coltec/pkg/wholefile"
)

// configuration is the setting in force, and how the spec on the disk differs from it.
type configuration struct {
	path string // of the spec

	mu    sync.Mutex // guards what follows
	now   setting    // in force
	fault error      // why the spec on the disk is not, or what else of it was not done
	seen  string     // fingerprint of the spec that was last looked at
}

// get is the setting in force.
func (c *configuration) get() setting {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// state is the setting in force, and what is wrong with it.
func (c *configuration) state() (setting, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now, c.fault
}

// set has s be in force.
func (c *configuration) set(s setting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.fault = s, nil
}

// fail keeps an error until the next setting is in force.
func (c *configuration) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = err
}

// look is the setting in force, for whoever reads the spec on the disk next.
func (c *configuration) look() setting {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = fingerprint(c.path)
	return c.now
}

// changed reports whether the spec on the disk is another one than was last
// looked at. One that was removed is probably about to come back.
func (c *configuration) changed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := fingerprint(c.path)
	return now != "" && now != c.seen
}

// specMost is far above what a spec may have.
const specMost = 1 << 20

// fingerprint stands for the content of the spec, "" without one: a touch is
// no change.
func fingerprint(path string) string {
	b, err := wholefile.Read(path, specMost)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return string(sum[:])
}
