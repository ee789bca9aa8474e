package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
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
	"github.com/coltec/coltec/pkg/tree"
)

const forkName = "o/p/f"

// forkWorld is a workspace with some generations, and what a fork of it takes.
type forkWorld struct {
	*gentest.Workspace
	t  *testing.T
	to *storetest.Bucket
}

func newForkWorld(t *testing.T) *forkWorld {
	w := &forkWorld{gentest.New(t), t, nil}
	w.Head.Epoch, w.Head.Collection = 7, 3
	w.Save("a", "d/b", ".devcontainer/x")
	w.Save("a", "c")
	w.to = w.Bucket.At("forks/f")
	return w
}

// fork is one of the newest generation.
func (w *forkWorld) fork() *store.Fork {
	w.t.Helper()
	read, err := store.NewSnapshot(w.Prefix, w.t.TempDir()).Tree(w.t.Context(), w.Manifest())
	w.must(err)
	read.Entries = slices.DeleteFunc(read.Entries, func(e tree.Entry) bool { return store.OfWorkspace(e.Path) })
	head := w.Head
	return &store.Fork{
		Root: w.Bucket, Workspace: forkName, Head: "mem:/" + store.HeadKey(forkName), Source: &head,
		Generation: w.Head.Recent[len(w.Head.Recent)-1], Host: "h", Now: w.Now, Local: w.t.TempDir(),
		Replicas: []store.ForkReplica{{
			Name: gentest.Replica, Ref: w.Head.Replicas[gentest.Replica], Tree: read, To: w.to, Prefix: "forks/f",
			Copy: func(ctx context.Context, keys []string) (rclone.Transfer, error) {
				return w.Prefix.CopyTo(ctx, keys, w.to)
			},
		}},
	}
}

func (w *forkWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// contents reads a tree of a prefix with all of its content.
func (w *forkWorld) contents(b store.Bucket, ref string) map[string]string {
	w.t.Helper()
	s := store.NewSnapshot(b, w.t.TempDir())
	read, err := s.Tree(w.t.Context(), ref)
	w.must(err)
	var entries []*tree.Entry
	for i := range read.Entries {
		entries = append(entries, &read.Entries[i])
	}
	dir := w.t.TempDir()
	w.must(s.Fetch(w.t.Context(), entries, dir, nil, nil))
	out := map[string]string{}
	for i, e := range entries {
		body, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
		w.must(err)
		out[e.Path] = string(body)
	}
	return out
}

// all is every object of the bucket outside of the fork.
func (w *forkWorld) all() map[string]string {
	out := map[string]string{}
	for _, key := range w.Bucket.Keys() {
		if !strings.HasPrefix(key, "forks/") && !strings.Contains(key, forkName) {
			out[key] = string(w.Bucket.Body(key))
		}
	}
	return out
}

// sound holds that the fork is one.
func (w *forkWorld) sound() *store.Head {
	w.t.Helper()
	h, err := store.ReadHead(w.t.Context(), w.Bucket, forkName)
	w.must(err)
	want := w.contents(w.Prefix, w.Manifest())
	delete(want, ".devcontainer/x")
	if diff := cmp.Diff(want, w.contents(w.to, h.Replicas[gentest.Replica].Manifest)); diff != "" {
		w.t.Errorf("the fork is not what was forked: %s", diff)
	}
	c, is := h.Checkpoint(store.Forked)
	if !is || c.Number != 1 || h.Generation != 1 || !maps.Equal(c.Replicas, h.Replicas) || h.State != store.Released {
		w.t.Errorf("the head is %+v", h)
	}
	if h.Lineage == w.Head.Lineage || h.Epoch != 7 || h.Collection != 3 || h.Origin.Workspace != gentest.Name || h.Origin.Generation != w.Head.Generation || h.Origin.Prefixes[gentest.Replica] != "forks/f" {
		w.t.Errorf("the head is %+v of %+v", h, h.Origin)
	}
	claim, err := store.ReadClaim(w.t.Context(), w.to)
	if err != nil || claim.Workspace != forkName || claim.Lineage != h.Lineage || claim.Replica != gentest.Replica {
		w.t.Errorf("the claim is %+v, %v", claim, err)
	}
	return h
}

// A fork has what was forked, of its own; the source is only read, and no content comes here.
func TestFork(t *testing.T) {
	w := newForkWorld(t)
	f := w.fork()
	before := w.all()
	var sent []string
	w.Bucket.Hook(func(e storetest.Event) error {
		if (e.Op == storetest.Upload || e.Op == storetest.Download || e.Op == storetest.Get || e.Op == storetest.Put) && !e.Done {
			sent = append(sent, e.Keys...)
		}
		return nil
	})
	done, made, err := f.Make(t.Context())
	if err != nil || !made || done.Files != 3 {
		t.Fatalf("%+v, %v, %v", done, made, err)
	}
	w.Bucket.Hook(nil)
	if slices.ContainsFunc(sent, func(key string) bool { return strings.Contains(key, ".coltec/o/") }) {
		t.Errorf("content came by here: %q", sent)
	}
	w.sound()
	if diff := cmp.Diff(before, w.all()); diff != "" {
		t.Errorf("the source changed: %s", diff)
	}
	// It is left as it is when it is asked for again, and not touched once somebody had it.
	head := w.Bucket.Body(store.HeadKey(forkName))
	for _, vacant := range []bool{false, true} { // true: as of a look before
		again := w.fork()
		again.Vacant = vacant
		if _, made, err := again.Make(t.Context()); err != nil || made || string(w.Bucket.Body(store.HeadKey(forkName))) != string(head) {
			t.Errorf("asked for again: %v, %v", made, err)
		}
	}
	l := store.NewLease(w.Bucket, store.LeaseOptions{Workspace: forkName, Self: store.Holder{Host: "x", Instance: "x"}, TTL: time.Minute, Renew: time.Second})
	w.must(l.Acquire(t.Context()))
	if l.Head().Epoch != 8 {
		t.Errorf("its first holder has epoch %d", l.Head().Epoch)
	}
	w.must(l.Release(t.Context(), nil))
	l.Close()
	for _, vacant := range []bool{false, true} {
		again := w.fork()
		again.Vacant = vacant
		if _, _, err := again.Make(t.Context()); !errors.Is(err, store.ErrForkTaken) || !strings.Contains(err.Error(), "its head is there") {
			t.Errorf("over one that is used: %v", err)
		}
	}
}

// A fork of which it is known that it is not there is not looked for, and whoever asked writes the
// digest.
func TestVacantFork(t *testing.T) {
	w := newForkWorld(t)
	f := w.fork()
	f.Vacant = true
	var announced, asked []string
	f.Announce = func(key string) { announced = append(announced, key) }
	w.Bucket.Hook(func(e storetest.Event) error {
		if !e.Done && strings.Contains(strings.Join(e.Keys, " "), ".coltec/fleet/") {
			asked = append(asked, fmt.Sprint(e.Op, e.Keys))
		}
		return nil
	})
	if _, made, err := f.Make(t.Context()); err != nil || !made {
		t.Fatal(made, err)
	}
	if want := []string{fmt.Sprint(storetest.Put, []string{store.HeadKey(forkName)})}; !slices.Equal(asked, want) {
		t.Errorf("%q", asked)
	}
	h := w.sound()
	if len(h.Digests) != 1 || !slices.Equal(announced, []string{store.DigestKey(forkName, h.Digests[0])}) {
		t.Errorf("%q is announced of %q", announced, h.Digests)
	}
}

// A fork that is cut off at any step leaves nothing that counts, or all of it; the next one
// goes on.
func TestForkCutOff(t *testing.T) {
	for i, point := range []string{"fork:claimed", "fork:copied", "fork:published", "fork:made", "fork:claimed", "fork:copied", "fork:published", "fork:made"} {
		t.Run(point, func(t *testing.T) {
			w := newForkWorld(t)
			f := w.fork()
			f.Vacant = i >= 4
			type killed struct{}
			killpoint.Arm(point, 1, func() { panic(killed{}) })
			func() {
				defer func() {
					killpoint.Arm(point, 0, func() {})
					if _, is := recover().(killed); !is {
						t.Error("it was not killed")
					}
				}()
				_, _, _ = f.Make(t.Context())
			}()
			_, err := store.ReadHead(t.Context(), w.Bucket, forkName)
			if counts := err == nil; counts != (point == "fork:made") {
				t.Errorf("the head: %v", err)
			}
			w.Save("later") // the source goes on
			if point == "fork:made" {
				w.Head.Generation--
				w.Head.Replicas = w.Head.Recent[len(w.Head.Recent)-2].Replicas
			} else {
				again := w.fork()
				again.Vacant = i >= 4
				_, _, err := again.Make(t.Context())
				w.must(err)
			}
			w.sound()
		})
	}
}

// besideTheHead stands for what a workspace has there once it was begun.
const besideTheHead = "digest"

// What a workspace left in the fork's prefix is nobody's to take: not that of another one, and
// not that of one of the same name whose head was lost.
func TestForkIntoWhatIsThere(t *testing.T) {
	for name, tt := range map[string]struct {
		claim store.Claim
		left  string // an object there
		want  error
	}{
		"another workspace":   {store.Claim{Workspace: "o/p/x", Head: "mem:/" + store.HeadKey("o/p/x")}, "", store.ErrClaimed},
		"another replica":     {store.Claim{Workspace: forkName, Replica: "q", Head: "mem:/" + store.HeadKey(forkName)}, "", store.ErrClaimed},
		"a lost head":         {store.Claim{Workspace: forkName}, "", store.ErrForkTaken},
		"a lost head, forked": {store.Claim{Workspace: forkName, Origin: gentest.Name}, "m/8-2-aa", store.ErrForkTaken},
		"of another source":   {store.Claim{Workspace: forkName, Origin: "o/p/x"}, "", store.ErrForkTaken},
		"a fork, cut off":     {store.Claim{Workspace: forkName, Origin: gentest.Name}, "m/7-1-aa", nil},
		"one that is removed": {store.Claim{Workspace: forkName, Origin: gentest.Name}, besideTheHead, store.ErrForkTaken},
	} {
		w := newForkWorld(t)
		c := tt.claim
		c.Format, c.Lineage = 1, "before"
		if c.Replica == "" {
			c.Replica = gentest.Replica
		}
		if c.Head == "" {
			c.Head = "mem:/" + store.HeadKey(forkName)
		}
		body, err := json.Marshal(c)
		w.must(err)
		w.to.Set(store.Dir+"/claim.json", body)
		switch tt.left {
		case "":
		case besideTheHead:
			w.Bucket.Set(path.Join(".coltec/fleet", forkName, "digest/x"), []byte("x"))
		default:
			w.to.Set(store.Dir+"/"+tt.left, []byte("x"))
		}
		f := w.fork()
		f.Vacant = len(name)%2 == 0 // which says nothing of claims
		_, _, err = f.Make(t.Context())
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := store.ReadHead(t.Context(), w.Bucket, forkName); (err == nil) != (tt.want == nil) {
			t.Errorf("%s: the head: %v", name, err)
		}
	}
}

// A purge of what was there under the fork's name took what was copied, and the fork was said to
// be made: with a head, and without its content.
func TestForkMeetsAPurge(t *testing.T) {
	purge := func(w *forkWorld) *store.Purge {
		return &store.Purge{
			Root: w.Bucket, Workspace: forkName, Head: "mem:/" + store.HeadKey(forkName), Prefixes: []store.PurgePrefix{{Replica: gentest.Replica, Bucket: w.to}},
			Self: store.Holder{Host: "other", Place: "rm", Instance: store.NewID()},
		}
	}
	meet := func(w *forkWorld, point string, first, then func() error) (one, two error) {
		killpoint.Arm(point, 1, func() { two = then() })
		defer killpoint.Arm(point, 0, func() {})
		return first(), two
	}
	for _, point := range []string{"fork:claimed", "fork:copied", "fork:published"} {
		t.Run("a purge at "+point, func(t *testing.T) {
			w := newForkWorld(t)
			f := w.fork()
			made, purged := meet(w, point, func() error { _, _, err := f.Make(t.Context()); return err }, func() error { _, err := purge(w).Do(t.Context()); return err })
			w.must(purged)
			if !errors.Is(made, store.ErrForkRemoved) {
				t.Errorf("it says %v", made)
			}
			if _, err := store.ReadHead(t.Context(), w.Bucket, forkName); !errors.Is(err, rclone.ErrNotFound) {
				t.Errorf("the head: %v", err)
			}
			_, _, err := w.fork().Make(t.Context())
			w.must(err)
			w.sound()
		})
	}
	for what, goes := range map[string]func(key string) bool{
		"the claim":   func(key string) bool { return key == store.Dir+"/claim.json" },
		"a manifest":  func(key string) bool { return strings.HasPrefix(key, store.Dir+"/m/") },
		"its objects": func(key string) bool { return strings.HasPrefix(key, store.Dir+"/o/") },
	} {
		t.Run("a purge took "+what, func(t *testing.T) {
			w := newForkWorld(t)
			f := w.fork()
			made, _ := meet(w, "fork:published", func() error { _, _, err := f.Make(t.Context()); return err }, func() error {
				var keys []string
				for _, key := range w.to.Keys() {
					if goes(key) {
						keys = append(keys, key)
					}
				}
				if len(keys) == 0 {
					t.Errorf("there is none in %q", w.to.Keys())
				}
				return w.to.Delete(t.Context(), keys)
			})
			if !errors.Is(made, store.ErrForkRemoved) {
				t.Errorf("it says %v", made)
			}
		})
	}
	for _, point := range []string{"purge:held", "purge:headless", "purge:treeless", "purge:deleted", "purge:emptied"} {
		t.Run("a fork at "+point, func(t *testing.T) {
			w := newForkWorld(t)
			_, _, err := w.fork().Make(t.Context()) // of before, with all that a workspace has
			w.must(err)
			w.Bucket.Set(path.Join(".coltec/fleet", forkName, "log-1"), []byte("log"))
			f := w.fork()
			purged, made := meet(w, point, func() error { _, err := purge(w).Do(t.Context()); return err }, func() error { _, _, err := f.Make(t.Context()); return err })
			if made == nil {
				w.sound()
			} else if _, err := store.ReadHead(t.Context(), w.Bucket, forkName); !errors.Is(err, rclone.ErrNotFound) {
				t.Errorf("%v, and %v: the head: %v", purged, made, err)
			}
			if _, err := purge(w).Do(t.Context()); err != nil && !errors.Is(err, store.ErrNoTrace) {
				t.Errorf("the next purge: %v", err)
			}
			_, _, err = w.fork().Make(t.Context())
			w.must(err)
			w.sound()
		})
	}
}

// Of a generation of which something was collected there is no fork, and of one whose content
// is in plain objects neither.
func TestForkOfWhatIsNotThere(t *testing.T) {
	w := newForkWorld(t)
	f := w.fork()
	w.Prefix.Drop(store.Dir + "/" + w.Object("c"))
	if _, _, err := f.Make(t.Context()); !errors.Is(err, store.ErrForkGone) {
		t.Errorf("without an object: %v", err)
	}
	w = newForkWorld(t)
	f = w.fork()
	tree.Find(f.Replicas[0].Tree.Entries, "c").Where = nil
	if _, _, err := f.Make(t.Context()); err == nil || !strings.Contains(err.Error(), "plain object") {
		t.Errorf("of plain objects: %v", err)
	}
	if _, err := store.ReadHead(t.Context(), w.Bucket, forkName); !errors.Is(err, rclone.ErrNotFound) {
		t.Errorf("its head: %v", err)
	}
}

// A write of the head whose answer is lost counts, or does not; nothing is made twice.
func TestForkWithALostAnswer(t *testing.T) {
	for _, kind := range []storetest.Kind{storetest.Before, storetest.After} {
		w := newForkWorld(t)
		f := w.fork()
		w.Bucket.Inject(storetest.Fault{Op: storetest.Put, Key: forkName + "/head.json", Kind: kind, Class: rclone.Unreachable})
		_, made, err := f.Make(t.Context())
		if kind == storetest.After && (err != nil || !made) || kind == storetest.Before && err == nil {
			t.Errorf("%s: %v, %v", kind, made, err)
		}
		if err != nil {
			if _, made, err := w.fork().Make(t.Context()); err != nil || !made {
				t.Errorf("%s, again: %v, %v", kind, made, err)
			}
		}
		w.sound()
	}
}

// What names a workspace is in no fork of it, however a disk writes it.
func TestOfWorkspace(t *testing.T) {
	for path, want := range map[string]bool{
		".devcontainer": true, ".devcontainer/x/y": true, ".DevContainer/x": true, ".dev\u200dcontainer/x": true,
		".coltec/git/.devcontainer/.git/HEAD": true, ".coltec/databases/.devcontainer/db/db": true, ".coltec/frozen/.DEVCONTAINER/x": true,
		"devcontainer": false, "a/.devcontainer/x": false, ".devcontainers/x": false, ".coltec/git/a/.devcontainer/.git/HEAD": false,
		".coltec/git/.git/HEAD": false, ".coltec": false,
	} {
		if got := store.OfWorkspace(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}

// A head says of forks and joins what it can bear, and refuses what nobody writes.
func TestJoinsOfAHead(t *testing.T) {
	h := store.Head{Format: 1, Workspace: gentest.Name, Epoch: 1}
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 100 {
		h.Join(fmt.Sprintf("o/p/f%d", i), store.Join{Lineage: "l", Joined: at.Add(time.Duration(i) * time.Second), Generation: store.Generation{
			Number: int64(i), Replicas: map[string]store.Ref{"r": {Manifest: "m/1"}},
		}})
	}
	if _, first := h.Joined["o/p/f0"]; first || len(h.Joined) != 32 || h.Joined["o/p/f99"].Number != 99 {
		t.Errorf("%d joins", len(h.Joined))
	}
	h.Join("o/p/f99", store.Join{Lineage: "l", Joined: at.Add(time.Hour), Generation: store.Generation{Number: 200}})
	if len(h.Joined) != 32 || h.Joined["o/p/f99"].Number != 200 {
		t.Errorf("%d joins, the last %+v", len(h.Joined), h.Joined["o/p/f99"])
	}
	body, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := store.ParseHead(body, gentest.Name); err != nil || again.Joined["o/p/f99"].Number != 200 {
		t.Errorf("read again: %v", err)
	}
	for _, prefix := range []string{"", "../x", "/x", "a//b", "x/${SECRET}", "{env}", strings.Repeat("x", 1<<13)} {
		h := store.Head{Format: 1, Workspace: gentest.Name, Origin: &store.Origin{Prefixes: map[string]string{"r": prefix}}}
		body, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.ParseHead(body, gentest.Name); !errors.Is(err, store.ErrImpossible) {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}
