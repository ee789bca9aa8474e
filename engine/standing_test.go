package engine

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/store"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestStanding(t *testing.T) {
	broken := errors.New("broken")
	other := &store.HeldByOther{Free: 40 * time.Second}
	later := noon.Add(time.Minute)
	for name, tt := range map[string]struct {
		from standing
		ev   event
		want standing
		did  []action
	}{
		"renewed":            {ev: evRenewed{time.Minute}, want: standing{renewAt: noon.Add(63 * time.Second)}},
		"held":               {from: standing{leaseFail: 3, leaseErr: broken, wanted: noon}, ev: evHeld{time.Minute}, want: standing{leaseTry: noon, renewAt: noon.Add(63 * time.Second)}, did: []action{actPublish}},
		"failed":             {from: standing{leaseFail: 1}, ev: evNoLease{broken}, want: standing{leaseTry: noon, leaseErr: broken, leaseFail: 2, leaseAt: noon.Add(at(noon).delay(2))}, did: []action{actPublish}},
		"another's":          {from: standing{leaseFail: 4}, ev: evNoLease{other}, want: standing{leaseTry: noon, leaseErr: other, looked: noon, leaseAt: noon.Add(lookIdle)}, did: []action{actPublish}},
		"another's, asked":   {from: standing{wanted: noon}, ev: evNoLease{other}, want: standing{wanted: noon, leaseTry: noon, leaseErr: other, looked: noon, leaseAt: noon.Add(lookAsked)}, did: []action{actPublish}},
		"taken away":         {ev: evNoLease{store.ErrFenced}, want: standing{leaseTry: noon, leaseErr: store.ErrFenced, leaseFail: 1, leaseAt: noon}, did: []action{actDemote, actPublish}},
		"acquired":           {ev: evAcquired{}, want: standing{collectAt: noon.Add(collectAfter * 21 / 20)}, did: []action{actDemote, actSoon}},
		"not kept":           {from: standing{renewAt: later}, ev: evUnkept{}, want: standing{renewAt: noon.Add(at(noon).delay(1))}},
		"the holder is told": {from: standing{leaseAt: later}, ev: evWanted{store.Holder{Host: "a"}}, want: standing{wanted: noon, wantedOf: store.Holder{Host: "a"}}},
		"another got it":     {from: standing{wanted: noon, wantedOf: store.Holder{Host: "a"}, leaseAt: later}, ev: evOutrun{}, want: standing{leaseAt: later}},
		"asked for at once":  {from: standing{leaseAt: later, leaseErr: broken}, ev: evAskNow{}, want: standing{leaseErr: broken}},
		"asked for anew":     {from: standing{leaseAt: later, leaseErr: broken, leaseFail: 2}, ev: evAskAnew{}, want: standing{}},
		"garbage":            {ev: evCollect{time.Minute}, want: standing{collectAt: noon.Add(63 * time.Second)}},
	} {
		t.Run(name, func(t *testing.T) {
			got, did := tt.from.step(tt.ev, at(noon))
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(standing{}), cmpopts.EquateErrors()); diff != "" {
				t.Error(diff)
			}
			if !slices.Equal(did, tt.did) {
				t.Errorf("it asks for %v, want %v", did, tt.did)
			}
		})
	}
}
