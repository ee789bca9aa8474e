package main

import (
	"context"
	"time"

	"github.com/coltec/coltec/pkg/console"
	"github.com/coltec/coltec/pkg/fleet"
)

const (
	hereEvery  = time.Second     // between two looks at this host
	thereEvery = 5 * time.Second // between two looks into the bucket
)

// following looks at all workspaces again and again. A bucket that is slow to answer keeps nobody
// from what this host knows.
type following struct {
	lister
	look look
}

// bucketAnswer is what a bucket told, or why it did not.
type bucketAnswer struct {
	bucketLook
	err error
}

// run tells what is known until ctx ends.
func (f following) run(ctx context.Context, tell func(console.View)) {
	answers := make(chan bucketAnswer, 1)
	var last *bucketAnswer // nil: none yet
	asking, next := f.look.local, time.Time{}
	tick := time.NewTicker(hereEvery)
	defer tick.Stop()
	for {
		local, err := f.localFleet(ctx)
		if ctx.Err() != nil {
			return
		}
		if !asking && !time.Now().Before(next) && (err == nil || f.look.folder != "") {
			asking = true
			go func() {
				found, err := f.bucketFleet(ctx, f.look, local)
				answers <- bucketAnswer{found, err}
			}()
		}
		if last != nil || err != nil && f.look.folder == "" || len(local) > 0 || f.look.local {
			tell(f.view(local, err, last))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case a := <-answers:
			asking, next = false, time.Now().Add(thereEvery)
			if a.err != nil && last != nil {
				a.seen = last.seen // what was known is shown, with a note
			}
			last = &a
		}
	}
}

// view is what is known now.
func (f following) view(local []fleet.Local, localErr error, last *bucketAnswer) console.View {
	if localErr != nil && (f.look.folder == "" || f.look.local) {
		return console.View{Err: localErr}
	}
	var v console.View
	v.Notes = notShown(v.Notes, "the containers of this host are", localErr)
	var seen []fleet.Seen
	if last != nil {
		seen = last.seen
		v.Notes = notShown(append(v.Notes, last.notes...), "the bucket is", last.err)
	}
	v.Rows = fleet.Rows(local, seen, time.Now())
	return v
}
