package frozen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/coltec/coltec/pkg/localfs"
)

// The variables of the hooks around a capture.
const (
	EnvReplica = "COLTEC_REPLICA" // its name
	EnvPath    = "COLTEC_PATH"    // of the directory that is captured
	EnvCapture = "COLTEC_CAPTURE" // of an empty directory: what hooks before put there is captured instead
)

// ErrOver is of hooks that cannot run because everything ends: then nothing is to be running
// either, and what is captured must not change meanwhile.
var ErrOver = errors.New("no hook runs any more")

// owed is the note that hooks before a capture were begun.
func (c *carrier) owed() string { return filepath.Join(c.own(), "frozen.open") }

// before runs the hooks before, once it is noted that those after are to run.
func (c *capture) before(ctx context.Context) (err error) {
	if c.extra, err = os.MkdirTemp("", "coltec-capture-"); err != nil {
		return err
	}
	env := c.env()
	body, err := json.Marshal(env)
	if err == nil {
		err = writeDurable(c.c.owed(), body)
	}
	if err != nil {
		return fmt.Errorf("cannot note that a hook runs: %w", err)
	}
	err = ErrOver
	if c.c.k.Means.Before != nil {
		err = c.c.k.Means.Before(ctx, env)
	}
	killBefore.Reach()
	if errors.Is(err, ErrOver) {
		c.still = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("a hook before the capture failed: %w", err)
	}
	return nil
}

func (c *capture) env() []string {
	return []string{
		EnvReplica + "=" + c.c.o.Replica,
		EnvPath + "=" + filepath.Join(c.c.o.Path, c.d.Path.Path),
		EnvCapture + "=" + c.extra,
	}
}

// afterMost bounds hooks after a capture that was ended; each has a time-out of its own.
const afterMost = 5 * time.Minute

// after runs the hooks after, also when the capture was ended.
func (c *capture) after(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterMost)
	defer cancel()
	return c.c.settle(ctx, c.env())
}

// settle runs the hooks after a capture, and notes that none are owed.
func (c *carrier) settle(ctx context.Context, env []string) error {
	err := ErrOver
	if c.k.Means.After != nil {
		err = c.k.Means.After(ctx, env)
	}
	if errors.Is(err, ErrOver) {
		return nil // it stays noted, and the next run begins with it
	}
	if e := os.Remove(c.owed()); e != nil && !absent(e) {
		return errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("a hook after the capture failed: %w", err)
	}
	return nil
}

// overdue runs the hooks after a capture that a killed run began.
func (c *carrier) overdue(ctx context.Context) error {
	body, err := os.ReadFile(c.owed())
	if absent(err) || c.k.Means.After == nil {
		return nil
	}
	var env []string
	if err == nil {
		err = json.Unmarshal(body, &env)
	}
	if err != nil {
		c.o.Log.Warn("the note of a capture cannot be read", "replica", c.o.Replica, "error", err)
	}
	return c.settle(ctx, env)
}

// given copies what hooks gave to be captured; false: they gave nothing.
func (c *capture) given(ctx context.Context) (bool, error) {
	entries, unknown, err := localfs.Walk(ctx, c.extra, localfs.Everything{})
	if err != nil || len(entries) == 0 {
		return false, err
	}
	for _, u := range unknown {
		if u.Unread || u.Beyond {
			return false, fmt.Errorf("%q, which a hook gave: %s", u.Path, u.Reason)
		}
	}
	root, err := os.OpenRoot(c.extra)
	if err != nil {
		return false, err
	}
	defer root.Close()
	given := seen{}
	for _, e := range entries {
		e.Mode &= 0o777
		given[e.Path] = e
	}
	if top, is := c.now[""]; is {
		given[""] = top
	}
	made := *c.copies
	made.from, made.have = root, seen{}
	clear(made.copied)
	if err := made.pass(given, nil, true); err != nil {
		return false, err
	}
	c.gave = seen{}
	for at, e := range c.now {
		c.gave[at] = settled(e, c.looked)
	}
	c.now = given
	return true, nil
}
