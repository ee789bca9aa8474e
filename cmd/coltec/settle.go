package main

import (
	"context"
	"time"

	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/status"
)

const (
	// restorePatience is how long up waits for a restore before it leaves it to
	// coltecd. Far above what a workspace takes that one can work with.
	restorePatience = 10 * time.Minute
	// askEvery is how often coltecd is asked at most, as an exec costs 0.1 s. It answers when
	// something has changed; an older one answers at once.
	askEvery = 500 * time.Millisecond
)

// awaitSettled asks until the restore and the hooks after it are over, or it does not get
// further by itself. late is true when it would have, and the time for it is over.
func (p *program) awaitSettled(ctx context.Context, a *ascent, ct devcontainer.Container, patience time.Duration) (doc status.Document, late bool, err error) {
	w := &status.Watch{Patience: patience, Began: time.Now(), Closed: a.closed}
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	last := ""
	for {
		doc, err = ask(ctx, a.tools, ct, a.plain, doc.Index) // of an older coltecd there is none
		if err != nil {
			return doc, false, err
		}
		again, line := w.Look(doc, time.Now())
		if line != last && line != "" {
			last = line
			a.say(line)
		}
		if !again {
			return doc, w.Late(), nil
		}
		select {
		case <-ctx.Done():
			return doc, false, context.Cause(ctx)
		case <-tick.C:
		}
	}
}
