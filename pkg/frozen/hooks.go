package frozen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/whole"
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

// killBefore is the step of hooks before at which a test kills the process.
var killBefore = killpoint.New("frozen:before")

// hooks are those around the captures of a tree.
type hooks struct {
	o     whole.Options
	means Means
	owed  string // the file that says that hooks before a capture were begun
}

// env is what hooks are told of a capture: the directory, and where they may put something.
func (h hooks) env(p Path, extra string) []string {
	return []string{
		EnvReplica + "=" + h.o.Replica,
		EnvPath + "=" + filepath.Join(h.o.Path, p.Path),
		EnvCapture + "=" + extra,
	}
}

// before runs the hooks before, once it is noted that those after are to run. The error is
// [ErrOver] where none runs any more.
func (h hooks) before(ctx context.Context, env []string) error {
	body, err := json.Marshal(env)
	if err == nil {
		err = writeDurable(h.owed, body)
	}
	if err != nil {
		return fmt.Errorf("cannot note that a hook runs: %w", err)
	}
	err = ErrOver
	if h.means.Before != nil {
		err = h.means.Before(ctx, env)
	}
	killBefore.Reach()
	if err != nil && !errors.Is(err, ErrOver) {
		return fmt.Errorf("a hook before the capture failed: %w", err)
	}
	return err
}

// afterMost bounds hooks after a capture that was ended; each has a time-out of its own.
const afterMost = 5 * time.Minute

// after runs the hooks after, also when the capture was ended.
func (h hooks) after(ctx context.Context, env []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterMost)
	defer cancel()
	return h.settle(ctx, env)
}

// settle runs the hooks after a capture, and notes that none are owed.
func (h hooks) settle(ctx context.Context, env []string) error {
	err := ErrOver
	if h.means.After != nil {
		err = h.means.After(ctx, env)
	}
	if errors.Is(err, ErrOver) {
		return nil // it stays noted, and the next run begins with it
	}
	if e := os.Remove(h.owed); e != nil && !absent(e) {
		return errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("a hook after the capture failed: %w", err)
	}
	return nil
}

// overdue runs the hooks after a capture that a killed run began.
func (h hooks) overdue(ctx context.Context) error {
	body, err := os.ReadFile(h.owed)
	if absent(err) || h.means.After == nil {
		return nil
	}
	var env []string
	if err == nil {
		err = json.Unmarshal(body, &env)
	}
	if err != nil {
		h.o.Log.Warn("the note of a capture cannot be read", "replica", h.o.Replica, "error", err)
	}
	return h.settle(ctx, env)
}
