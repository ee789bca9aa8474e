package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
)

// open opens the local tree and clears what an interrupted run left. A tree
// that was there in this run and is missing now is not made anew: an unmounted
// volume is not an empty one.
func (p *pass) open(lineage string, generation int64) error {
	if p.rep.Base() != nil {
		if err := p.rep.Check(); errors.Is(err, replica.ErrRoot) {
			return err
		}
	} else if p.Ground != nil {
		if err := p.Ground(); err != nil {
			return &blockedError{err}
		}
	}
	if err := p.rep.Open(lineage, generation); err != nil {
		return err
	}
	if why := p.rep.Mismatch(); why != "" {
		p.o.Log.Warn("nothing is deleted, here or there: the local tree and the bucket are joined", "replica", p.Name, "why", why)
	}
	return p.rep.Tidy(p.now().Add(-p.o.KeepReplaced))
}

// receive makes known here what the head says; place places it.
func (p *pass) receive(ctx context.Context, head *store.Head) error {
	ref, published := head.Replicas[p.Name]
	source := p.layout
	p.origin.plain = nil
	switch {
	case !published || head.Adopted[p.Name] != "":
		var err error
		if source, err = p.receivePlain(ctx, head); err != nil {
			return err
		}
	case p.Layout == "snapshot" && p.rep.Received(ref.Manifest):
	case p.Layout == "mirror":
		if err := p.receiveListing(ctx, head); err != nil {
			return err
		}
	default:
		t, err := p.layout.Tree(ctx, ref.Manifest)
		if err != nil {
			return err
		}
		if err := p.rep.Receive(t, ref.Manifest, head.Epoch, head.Generation); err != nil {
			return err
		}
	}
	p.origin.source = source
	pointReceived.Reach()
	if p.Direction == scope.PushOnly {
		return p.rep.Base().Disown()
	}
	return nil
}

// refresh receives what others may have written into a mirror since, and places what waits.
func (p *pass) refresh(ctx context.Context, head *store.Head) error {
	if p.Layout == "mirror" && p.Direction == scope.Bidirectional && !p.now().Before(p.listAt) {
		if err := p.receiveListing(ctx, head); err != nil {
			return err
		}
	}
	return p.place(ctx)
}

// receiveListing receives the tree of a mirror. Others may write into it, so it
// is listed at each interval, but seldom enough that it costs one request per
// interval on average: a listing is one for each thousand objects.
func (p *pass) receiveListing(ctx context.Context, head *store.Head) error {
	t, err := p.layout.Tree(ctx, "")
	if err != nil {
		return err
	}
	p.listAt = p.now().Add(p.Interval * time.Duration(len(t.Entries)/1000))
	empty := len(t.Entries) == 0 // as it came: what a listing has no word for is added to it
	changed, err := p.rep.ReceiveChanged(t, "", head.Epoch, head.Generation)
	if err != nil || !changed || !empty {
		return err
	}
	// A store cannot tell an empty prefix from a missing one: nothing is
	// deleted here on that evidence, and what is here goes there again.
	return p.rep.Base().Disown()
}

// follow brings the tree here to what another workspace, or another program, has in the
// replica's prefix.
func (p *pass) follow(ctx context.Context, root func(context.Context) (scope.Remote, error)) error {
	ref, err := history.Follow(ctx, &p.Replica, p.remote, root, p.o.HeadRoot)
	if err != nil {
		return err
	}
	if p.rep.Check() != nil || p.rep.Base().Header.Lineage != ref.Lineage {
		if err := p.open(ref.Lineage, ref.Generation); err != nil {
			return err
		}
	}
	t, err := p.layout.Tree(ctx, ref.Manifest)
	if err != nil {
		return err
	}
	p.scanned = nil
	if len(t.Entries) == 0 && p.rep.Base().Totals().Files > 0 {
		// An object store cannot tell an empty prefix from a missing one.
		p.scanned = []string{fmt.Sprintf("replica %s: the remote prefix is empty; nothing is deleted here on that evidence", p.Name)}
		return nil
	}
	if _, err := p.rep.ReceiveChanged(t, ref.Manifest, 0, ref.Generation); err != nil {
		return err
	}
	p.origin.source, p.brake.allowed = p.layout, ref.Allowed
	if err := p.place(ctx); err != nil {
		return err
	}
	return p.rep.Trust()
}
