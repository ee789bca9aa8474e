package store_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/gentest"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
)

const purgeHead = "mem:/.coltec/fleet/o/p/e/head.json"

// purgeWorld is a workspace with a fork, and with what others have in its bucket.
type purgeWorld struct {
	*forkWorld
	others map[string]string
}

func newPurgeWorld(t *testing.T) *purgeWorld {
	w := &purgeWorld{newForkWorld(t), map[string]string{}}
	w.others["r/plain.txt"] = "a plain object"
	w.others["r/.coltec/of another program"] = "x"
	w.others["r/.coltec/another/x"] = "a directory of another program"
	w.others["r/deep/.coltec/o/1-0"] = "another's prefix, below ours"
	w.others[".coltec/fleet/o/p/e2/head.json"] = "another's head"
	w.others[".coltec/o/1-0"] = "of a replica at the root"
	for key, body := range w.others {
		w.Bucket.Set(key, []byte(body))
	}
	w.claim(store.Claim{Workspace: gentest.Name, Head: purgeHead})
	w.Bucket.Set(".coltec/fleet/o/p/e/logins/claude.age", []byte("sealed"))
	w.Bucket.Set(".coltec/fleet/o/p/e/log-1", []byte("log"))
	w.Bucket.Set("r/.coltec/history/20300101T000000Z/d/old.txt", []byte("old"))
	_, made, err := w.fork().Make(t.Context())
	if w.must(err); !made {
		t.Fatal("no fork was made")
	}
	return w
}

// claim has the prefix claimed.
func (w *purgeWorld) claim(c store.Claim) {
	c.Format, c.Replica, c.Lineage = 1, gentest.Replica, "l"
	body, err := json.Marshal(c)
	w.must(err)
	w.Bucket.Set("r/.coltec/claim.json", body)
}

// held makes somebody the holder.
func (w *purgeWorld) held(by store.Holder) {
	h := w.Head
	h.State, h.Holder, h.TTL = store.Held, by, 60
	body, err := json.Marshal(h)
	w.must(err)
	w.Bucket.Set(store.HeadKey(gentest.Name), body)
}

func (w *purgeWorld) purge() *store.Purge {
	return &store.Purge{
		Root: w.Bucket, Workspace: gentest.Name, Head: purgeHead, Prefixes: []store.PurgePrefix{{gentest.Replica, w.Prefix}},
		Self: store.Holder{Host: "h", Place: "rm", Instance: store.NewID()},
	}
}

// left are the objects that are neither another's nor the fork's.
func (w *purgeWorld) left() (keys []string) {
	for _, key := range w.Bucket.Keys() {
		if _, theirs := w.others[key]; !theirs && !strings.HasPrefix(key, "forks/") && !strings.Contains(key, forkName) {
			keys = append(keys, key)
		}
	}
	return keys
}

// gone holds that nothing of the workspace is left, and that all others' is as it was.
func (w *purgeWorld) gone() {
	w.t.Helper()
	if left := w.left(); len(left) > 0 {
		w.t.Errorf("it left %q", left)
	}
	for key, body := range w.others {
		if got := string(w.Bucket.Body(key)); got != body {
			w.t.Errorf("%s of others is %q", key, got)
		}
	}
	h, err := store.ReadHead(w.t.Context(), w.Bucket, forkName)
	w.must(err)
	want := map[string]string{"a": "a of 2", "c": "c of 2", "d/b": "d/b of 1"}
	if diff := cmp.Diff(want, w.contents(w.to, h.Replicas[gentest.Replica].Manifest)); diff != "" {
		w.t.Errorf("the fork is not whole any more: %s", diff)
	}
}

func TestPurge(t *testing.T) {
	w := newPurgeWorld(t)
	before := w.left()
	seen, err := w.purge().Survey(t.Context())
	w.must(err)
	if seen.Ours.Objects != len(before) || seen.Plain.Objects != 4 {
		t.Errorf("%+v and %+v were seen of %q", seen.Ours, seen.Plain, before)
	}
	if diff := cmp.Diff(before, w.left()); diff != "" {
		t.Errorf("a look changed: %s", diff)
	}
	done, err := w.purge().Do(t.Context())
	w.must(err)
	if done.Objects != len(before) {
		t.Errorf("%d of %d were deleted", done.Objects, len(before))
	}
	w.gone()
	if _, err := w.purge().Do(t.Context()); !errors.Is(err, store.ErrNoTrace) {
		t.Errorf("a second one: %v", err)
	}
}

// Cut off at any step, a purge has left either the workspace as it was, or no head; the next one
// goes on.
func TestPurgeCutOff(t *testing.T) {
	for _, point := range []string{"purge:held", "purge:headless", "purge:treeless", "purge:deleted", "purge:emptied"} {
		t.Run(point, func(t *testing.T) {
			w := newPurgeWorld(t)
			before := w.left()
			type killed struct{}
			killpoint.Arm(point, 1, func() { panic(killed{}) })
			func() {
				defer func() {
					killpoint.Arm(point, 0, func() {})
					if _, is := recover().(killed); !is {
						t.Error("it was not killed")
					}
				}()
				_, _ = w.purge().Do(t.Context())
			}()
			_, err := store.ReadHead(t.Context(), w.Bucket, gentest.Name)
			switch {
			case point == "purge:held":
				if diff := cmp.Diff(before, w.left()); err != nil || diff != "" {
					t.Errorf("%v: %s", err, diff)
				}
			case !errors.Is(err, rclone.ErrNotFound):
				t.Errorf("the head is there: %v", err)
			}
			_, err = w.purge().Do(t.Context())
			w.must(err)
			w.gone()
		})
	}
}

// What another has is not deleted: a lease, a prefix, a workspace that was begun again.
func TestPurgeRefused(t *testing.T) {
	other := store.Holder{Host: "elsewhere", Container: "c0ffee", Instance: "i"}
	for _, row := range []struct {
		name string
		lay  func(w *purgeWorld, p *store.Purge)
		want string // "" where it goes
	}{
		{"held by another", func(w *purgeWorld, _ *store.Purge) { w.held(other) }, "another machine has the lease: elsewhere (container c0ffee), last seen"},
		{"held by another, long ago", func(w *purgeWorld, _ *store.Purge) { w.held(other); w.Bucket.Advance(time.Hour) }, "another machine has the lease"},
		{"held by another, by force", func(w *purgeWorld, p *store.Purge) { w.held(other); p.Force = true }, "the lease is held by elsewhere"},
		{"held by another, long ago, by force", func(w *purgeWorld, p *store.Purge) {
			w.held(other)
			w.Bucket.Advance(time.Hour)
			p.Force = true
		}, ""},
		{"held by who has ended", func(w *purgeWorld, p *store.Purge) {
			w.held(other)
			p.Ended = func(h store.Holder) bool { return h.Container == "c0ffee" }
		}, ""},
		{"held by a purge from here", func(w *purgeWorld, p *store.Purge) { h := p.Self; h.Instance = "i"; w.held(h) }, ""},
		{"promised to another", func(w *purgeWorld, _ *store.Purge) {
			h := w.Head
			h.Request = &store.Request{By: other}
			body, err := json.Marshal(h)
			w.must(err)
			w.Bucket.Set(store.HeadKey(gentest.Name), body)
		}, "another machine has the lease"},
		{"claimed by another workspace", func(w *purgeWorld, _ *store.Purge) { w.claim(store.Claim{Workspace: "o/p/other", Head: purgeHead}) }, "is claimed by replica"},
		{"claimed under another head", func(w *purgeWorld, _ *store.Purge) { w.claim(store.Claim{Workspace: gentest.Name, Head: "mem:/else"}) }, "claimed under the head"},
		{"claimed by another replica", func(_ *purgeWorld, p *store.Purge) { p.Prefixes[0].Replica = "s" }, "is claimed by replica"},
		{"a store without conditions", func(w *purgeWorld, _ *store.Purge) { w.Bucket.Weak() }, store.ErrNoStrongLease.Error()},
		{"a store without conditions, which will do", func(w *purgeWorld, p *store.Purge) { w.Bucket.Weak(); p.BestEffort = true }, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newPurgeWorld(t)
			p := w.purge()
			row.lay(w, p)
			before := w.left()
			_, err := p.Do(t.Context())
			if row.want == "" {
				w.must(err)
				w.gone()
				return
			}
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, want %q", err, row.want)
			}
			after := slices.DeleteFunc(w.left(), func(key string) bool { return strings.Contains(key, "/probe-") || strings.Contains(key, "/clock-") })
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("it changed: %s", diff)
			}
		})
	}
}

// A purge whose lease runs out while it looks at what there is leaves the workspace to who has it
// since.
func TestPurgeIsOvertaken(t *testing.T) {
	w := newPurgeWorld(t)
	l := store.NewLease(w.Bucket, store.LeaseOptions{Workspace: gentest.Name, TTL: time.Minute, Self: store.Holder{Host: "b", Instance: "b"}})
	var before []string
	killpoint.Arm("purge:held", 1, func() {
		w.Bucket.Advance(6 * time.Minute)
		w.must(l.Acquire(t.Context()))
		before = w.left()
	})
	_, err := w.purge().Do(t.Context())
	killpoint.Arm("purge:held", 0, func() {})
	if !errors.Is(err, store.ErrFenced) {
		t.Errorf("it said %v", err)
	}
	if diff := cmp.Diff(before, w.left()); diff != "" {
		t.Errorf("it changed: %s", diff)
	}
	w.must(l.Renew(t.Context()))
}

// A machine that begins the workspace again while a purge is under way loses nothing that it
// refers to: it has a head before it looks for manifests, and no object goes after that.
func TestPurgeMeetsABeginning(t *testing.T) {
	for _, point := range []string{"purge:headless", "purge:treeless"} {
		t.Run(point, func(t *testing.T) {
			w := newPurgeWorld(t)
			killpoint.Arm(point, 1, func() {
				l := store.NewLease(w.Bucket, store.LeaseOptions{Workspace: gentest.Name, TTL: time.Minute, Self: store.Holder{Host: "b", Instance: "b"}})
				w.must(l.Acquire(t.Context()))
			})
			_, err := w.purge().Do(t.Context())
			killpoint.Arm(point, 0, func() {})
			if !errors.Is(err, store.ErrBegunAgain) {
				t.Errorf("it said %v", err)
			}
			refs, err := store.Manifests(t.Context(), w.Prefix)
			w.must(err)
			if seen := len(refs) > 0; seen != (point == "purge:headless") {
				t.Errorf("it finds %q", refs)
			}
			for _, ref := range refs {
				w.contents(w.Prefix, ref) // whole
			}
		})
	}
}

// A fault ends a purge before anything counts as done, and the next one goes on.
func TestPurgeWithFaults(t *testing.T) {
	for _, op := range []storetest.Op{storetest.Delete, storetest.Get, storetest.Put} {
		w := newPurgeWorld(t)
		w.Bucket.Inject(storetest.Fault{Op: op})
		if _, err := w.purge().Do(t.Context()); err == nil {
			t.Errorf("%v: nothing was said", op)
		}
		w.Bucket.Heal()
		_, err := w.purge().Do(t.Context())
		w.must(err)
		w.gone()
	}
}
