package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/fleet"
)

const (
	// statusEvery is how often the status files of this host are looked at while somebody
	// watches: each coltecd writes its own at most once a second.
	statusEvery = 500 * time.Millisecond
	// dockerEvery is how often Docker is asked.
	dockerEvery = 5 * time.Second
	// listEvery is how often the bucket is asked in a terminal, which may be left open for days:
	// one listing.
	listEvery = 5 * time.Second
	// lookedAtEvery is the same for a page that somebody looks at: one behind others asks nothing.
	lookedAtEvery = 1500 * time.Millisecond
	// answerWatched is how long the bucket may take to answer somebody who watches.
	answerWatched = 5 * time.Second
)

// watch shows the rows again and again, until ctx ends. What is asked for takes as long as it
// likes: what is known is shown meanwhile, and part says that this is without what the bucket has.
func (p lister) watch(ctx context.Context, l look, show func(rows []fleet.Row, notes []string, part bool) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel(nil)
	news := make(chan func(*view))
	tell := func(change func(*view)) {
		select {
		case news <- change:
		case <-ctx.Done():
		}
	}
	asking.Go(func() { p.watchHost(ctx, tell) })
	if !l.local {
		asking.Go(func() { p.watchBucket(ctx, l, tell) })
	}
	v := view{look: l}
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for known := false; ; {
		select {
		case change := <-news:
			change(&v)
			known = true
		case <-tick.C:
			for i := range v.local {
				v.local[i] = withStatus(v.local[i])
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !known {
			continue
		}
		rows, notes, err := v.rows(time.Now())
		if err != nil && !errors.As(err, new(cmdline.Exit)) {
			return err
		}
		if err := show(rows, notes, !l.local && !v.answered); err != nil {
			return err
		}
	}
}

// watchHost looks which workspaces are here.
func (p lister) watchHost(ctx context.Context, tell func(func(*view))) {
	each(ctx, dockerEvery, func() {
		local, err := p.localFleet(ctx)
		tell(func(v *view) { v.local, v.localErr = local, err })
	})
}

// watchBucket asks the bucket. It is opened once there are secrets for it.
func (p lister) watchBucket(ctx context.Context, l look, tell func(func(*view))) {
	var bucket opened
	each(ctx, l.every, func() {
		var found bucketLook
		var err error
		if bucket.root == nil {
			local, _ := p.localFleet(ctx) // without it there are fewer folders to look for secrets in
			bucket, err = p.bucketFor(ctx, l, local)
		}
		if err == nil {
			found, err = bucket.ask(ctx, max(l.wait, answerWatched))
		}
		tell(func(v *view) {
			if v.bucketErr = err; err == nil || v.bucket.seen == nil {
				v.bucket = found // what it told last is shown, with what went wrong since
			}
			v.answered = v.answered || err == nil
		})
	})
}

// each does something now and then, until ctx ends.
func each(ctx context.Context, every time.Duration, do func()) {
	for {
		next := time.After(every)
		do()
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}

// lines shows rows as lines of JSON: one whenever they say something else.
func (p lister) lines() func([]fleet.Row, []string) error {
	var last []fleet.Row
	said := false
	return func(rows []fleet.Row, notes []string) error {
		if said && fleet.SameRows(last, rows) {
			return nil
		}
		said, last = true, rows
		for _, note := range notes {
			p.say("%s", note)
		}
		return cmdline.JSON(p.raw.out, "", append([]fleet.Row{}, rows...))
	}
}
