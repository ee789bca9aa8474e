package history

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/gentest"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
)

func TestFollow(t *testing.T) {
	ours := store.Claim{Workspace: gentest.Name, Replica: gentest.Replica, Lineage: "l", Head: HeadAt("mem:", gentest.Name)}
	another := ours
	another.Head = HeadAt("elsewhere:", gentest.Name)
	unpublished := ours
	unpublished.Replica = "q"
	for name, tt := range map[string]struct {
		claim  *store.Claim
		fault  *storetest.Fault
		person string // a word of what a person has to know; "": nobody has to do anything
		hint   string
		class  rclone.Class // of the error; "": any, or none
	}{
		"published":         {claim: &ours},
		"no claim":          {person: "no workspace has published", hint: "layout: mirror"},
		"another remote":    {claim: &another, person: "another remote"},
		"another replica":   {claim: &unpublished, person: `has not published replica "q"`},
		"no network":        {claim: &ours, fault: &storetest.Fault{Op: storetest.Get, Key: "claim.json"}, class: rclone.Unreachable},
		"no network, later": {claim: &ours, fault: &storetest.Fault{Op: storetest.Get, Key: "head.json"}, class: rclone.Unreachable},
	} {
		w := newWorld(t)
		w.Head.Deletions = map[string]store.Deletions{gentest.Replica: {Allowed: 5}}
		w.Save("a")
		if tt.claim != nil {
			w.claim(*tt.claim)
		}
		if tt.fault != nil {
			w.Bucket.Inject(*tt.fault)
		}
		root := func(context.Context) (scope.Remote, error) { return w.Bucket, nil }
		got, err := Follow(t.Context(), &w.replica, w.Prefix, root, func() string { return "mem:" })
		var person *FollowError
		switch {
		case tt.person == "" && tt.class == "":
			if want := (Followed{w.Manifest(), "l", 1, 5}); err != nil || got != want {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		case tt.person == "":
			if errors.As(err, &person) || rclone.ClassOf(err) != tt.class {
				t.Errorf("%s: %v", name, err)
			}
		case !errors.As(err, &person) || !strings.Contains(err.Error(), tt.person) || !strings.Contains(strings.Join(hint.Of(err), " "), tt.hint):
			t.Errorf("%s: %v, %q", name, err, hint.Of(err))
		}
	}
}

// A mirror is what its listing says: it is followed without asking anything.
func TestFollowMirror(t *testing.T) {
	got, err := Follow(t.Context(), &scope.Replica{Layout: "mirror"}, nil, nil, nil)
	if err != nil || got != (Followed{Lineage: "mirror"}) {
		t.Errorf("%+v, %v", got, err)
	}
}
