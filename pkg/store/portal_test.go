package store

import (
	"errors"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/rclone"
)

// Behind a captive portal a renewal and a release counted as written, and a head
// that the portal answered with 404 counted as lost.
func TestLeaseBehindAPortalOnServer(t *testing.T) {
	server := s3test.Start(t)
	proxy := server.Proxy(t)
	r := remoteOn(t, rclone.Root("primary", server.Bucket, ""),
		rclone.Backend{Name: "primary", Type: "s3", Options: server.Options(proxy.Endpoint)})
	a := NewLease(r, LeaseOptions{Workspace: workspace, TTL: 10 * time.Minute, Self: Holder{Host: "a", Instance: NewID()}})
	ctx, seq := t.Context(), int64(0)
	behind := func(portal s3test.Portal, what string, do func() error) {
		t.Helper()
		open := proxy.Inject(s3test.Fault{Portal: portal})
		defer open()
		err := do()
		if rclone.ClassOf(err) != rclone.Foreign || errors.Is(err, rclone.ErrNotFound) || errors.Is(err, ErrFenced) {
			t.Errorf("%s, %s: %v", portal, what, err)
		}
	}
	written := func(state HeadState) {
		t.Helper()
		h, err := ReadHead(ctx, r, workspace)
		if err != nil || h.State != state || h.Seq != seq {
			t.Fatalf("the head is %+v, %v; want %s with seq %d", h, err, state, seq)
		}
	}
	portals := []s3test.Portal{s3test.PortalPage, s3test.PortalEmpty, s3test.PortalNotFound}
	for _, portal := range portals {
		behind(portal, "acquire", func() error { return a.Acquire(ctx) })
		if a.Holds() {
			t.Fatalf("%s gave us a lease", portal)
		}
	}
	wantErr(t, a.Acquire(ctx), nil)
	seq = a.Head().Seq
	for _, portal := range portals {
		behind(portal, "renew", func() error { return a.Renew(ctx) })
		written(Held)
		behind(portal, "settle", func() error { return a.ResolveDoubt(ctx) })
		behind(portal, "read", func() error { _, err := ReadHead(ctx, r, workspace); return err })
		behind(portal, "claim", func() error { _, err := ReadClaim(ctx, r.At("p")); return err })
		behind(portal, "stake", func() error { _, err := Stake(ctx, r.At("p"), Claim{Workspace: workspace}, Look{}); return err })
		behind(portal, "stake what is free", func() error {
			_, err := Stake(ctx, r.At("p"), Claim{Workspace: workspace}, Look{None: true})
			return err
		})
		written(Held)
		wantErr(t, a.ResolveDoubt(ctx), nil)
		seq++
		written(Held)
		if !a.Holds() {
			t.Fatalf("%s took the lease", portal)
		}
	}
	behind(s3test.PortalPage, "release", func() error { return a.Release(ctx, nil) })
	written(Held)
	wantErr(t, a.ResolveDoubt(ctx), nil)
	seq++
	written(Released)
}
