package daemon

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/status"
)

func TestTakeoverLines(t *testing.T) {
	t0 := time.Date(2030, 1, 1, 12, 0, 0, 0, time.Local)
	at := func(d time.Duration) *time.Time { t := t0.Add(d); return &t }
	waiting := func(r *status.Request) status.Lease {
		return status.Lease{State: status.LeaseWaiting, Holder: &status.Holder{Host: "a"}, Request: r}
	}
	request := &status.Request{Time: t0, Renewed: at(-14 * time.Second), Due: at(46 * time.Second), Free: at(166 * time.Second)}
	seen := &status.Request{Time: t0, Seen: true, Renewed: at(47 * time.Second)}
	w := waitReport{since: t0}
	var got []string
	for _, step := range []struct {
		after     time.Duration
		lease     status.Lease
		attention []string
	}{
		{0, waiting(nil), nil},
		{0, waiting(request), nil},
		{5 * time.Second, waiting(request), nil},
		{10 * time.Second, waiting(request), nil},
		{60 * time.Second, waiting(request), nil},
		{62 * time.Second, waiting(seen), nil},
		{63 * time.Second, status.Lease{State: status.LeaseNone}, []string{"the lease: the store cannot be reached"}},
		{64 * time.Second, status.Lease{State: status.LeaseNone}, nil},
		{65 * time.Second, waiting(&status.Request{Time: t0}), nil},
	} {
		if line := w.line(step.lease, step.attention, t0.Add(step.after)); line != "" {
			got = append(got, line)
		}
	}
	want := []string{
		"asked at 12:00:00; the last renewal of a was 14s ago, it sees the request at its next one, within about 46s",
		"still waiting, for 10s: asked at 12:00:00; the last renewal of a was 24s ago, it sees the request at its next one, within about 36s",
		"a has not renewed the lease for 1m14s: it is free in about 1m46s if that stays so, or take it now: coltecd takeover --force",
		"a has seen the request: it pushes what it has and hands over",
		"the lease: the store cannot be reached",
		"asked at 12:00:00",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
