package inquiry

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/gentest"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
)

// What the engine says and what goes over the socket are two types: no field of the one
// may be missing in the other, and none may change its name.
func TestAnswersSayAll(t *testing.T) {
	now := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	older := &store.Older{Count: 2, Paths: []store.OlderPath{{Path: "a", Why: "b"}}}
	g := store.Generation{Number: 1, Epoch: 2, Nonce: "c", Time: now, Replicas: map[string]store.Ref{"w": {Manifest: "d", Files: 3, Bytes: 4, Filters: "e", Older: 5}}}
	placed := &history.Placed{Replica: "w", Generation: 1, Placed: 2, Removed: 3, Problems: []string{"a"}, Older: older}
	verdict := &history.Verdict{Replica: "w", Generations: 1, Objects: 2, Bytes: 3, Orphans: 4, OrphanBytes: 5, Missing: []string{"a"},
		Lost: []history.Lost{{Path: "b", Generations: []int64{6}, Now: true}}, Damaged: []string{"c"}, Repaired: []string{"d"}, Note: "e",
		Failed: "h", Opened: 7, Broken: []history.Broken{{Path: "f", Generation: 8, Wrong: []string{"g"}, Sound: 9}}}
	version := history.Version{Generation: 1, Time: now, Gone: true, Kind: "a", Mode: "b", Size: 2, SHA256: "c", Link: "d"}
	change := history.Change{Path: "a", What: "b", Size: 1}
	for name, both := range map[string][2]any{
		"generation": {g, toGeneration(g)}, "generation, empty": {store.Generation{}, toGeneration(store.Generation{})},
		"older": {older, toOlder(older)}, "older, none": {(*store.Older)(nil), toOlder(nil)},
		"placed": {placed, toPlaced(placed)}, "placed, empty": {&history.Placed{}, toPlaced(&history.Placed{})},
		"verdict": {verdict, toVerdict(verdict)}, "verdict, empty": {&history.Verdict{}, toVerdict(&history.Verdict{})},
		"version": {version, toVersion(version)}, "change": {change, toChange(change)},
		"no list": {[]history.Change(nil), each([]history.Change(nil), toChange)}, "empty list": {[]history.Change{}, each([]history.Change{}, toChange)},
	} {
		was, err1 := json.Marshal(both[0])
		is, err2 := json.Marshal(both[1])
		if diff := cmp.Diff(string(was), string(is)); diff != "" || err1 != nil || err2 != nil {
			t.Errorf("%s: %s %v %v", name, diff, err1, err2)
		}
	}
	if engineOK, ok := verdict.OK(), toVerdict(verdict).OK(); engineOK != ok {
		t.Errorf("a verdict is %v to the engine, and %v to a client", engineOK, ok)
	}
}

// A replica whose folder is a link to itself hid the conflicts of all others. What is kept aside
// there is shown and decided about, the broken one is named, and so is one that is no folder.
func TestConflictsBesideABrokenReplica(t *testing.T) {
	const stamp = "20300101T000000.000Z-laptop"
	for why, breaks := range map[string]func(path string) error{
		"a link to itself": func(path string) error { return os.Symlink(path, path) },
		"a file":           func(path string) error { return os.WriteFile(path, nil, 0o644) },
		"links that lead to each other": func(path string) error {
			return errors.Join(os.Symlink(path+".b", path), os.Symlink(path, path+".b"))
		},
		"its own directory is a link to itself": func(path string) error {
			own := filepath.Join(path, localfs.Dir)
			return errors.Join(os.Mkdir(path, 0o755), os.Symlink(own, own))
		},
	} {
		t.Run(why, func(t *testing.T) {
			dir := t.TempDir()
			var all []scope.Replica
			for _, name := range []string{"a", "broken", "z"} {
				x := scope.Replica{Name: name, Path: filepath.Join(dir, name), Layout: "snapshot", Filter: &filter.Filter{}}
				kept := filepath.Join(x.Path, localfs.Dir, "conflicts", stamp, "f-"+name)
				err := breaks(x.Path)
				if name != "broken" {
					err = errors.Join(os.RemoveAll(x.Path), os.RemoveAll(x.Path+".b"), os.MkdirAll(filepath.Dir(kept), 0o755), os.WriteFile(kept, []byte("mine"), 0o644))
				}
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, x)
			}
			bucket := storetest.New()
			r, err := history.NewReader(history.Options{
				Workspace: status.Workspace{Org: "o", Project: "p", Env: "e"}, Replicas: all,
				Connect: func(_ context.Context, at scope.Target) (scope.Remote, error) { return bucket.At(at.Replica), nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			q := Query{Reader: r, Replicas: all, Alone: AtOnce, Say: func(text string) { t.Errorf("it said %q", text) }}
			list, err := q.conflicts(t.Context())
			var ids []string
			for _, k := range list {
				ids = append(ids, k.Replica+" "+k.ID)
			}
			if diff := cmp.Diff([]string{"a " + stamp + "/f-a", "z " + stamp + "/f-z"}, ids); diff != "" {
				t.Error(diff)
			}
			if err == nil || !strings.Contains(err.Error(), "replica broken: ") || strings.Contains(err.Error(), "replica z") || strings.Count(err.Error(), "replica broken") > 1 {
				t.Errorf("it is said: %v", err)
			}
			if _, err := q.conflict(t.Context(), control.AskDrop, control.ConflictRequest{Path: stamp + "/f-z"}); err != nil {
				t.Errorf("another replica's cannot be dropped: %v", err)
			}
			if _, err := q.conflict(t.Context(), control.AskDrop, control.ConflictRequest{Path: stamp + "/f-none"}); err == nil {
				t.Error("what is not there was dropped")
			}
		})
	}
}

// A path of which one replica keeps a version was that one, though another one keeps two; and what none
// keeps was said of the last replica, as if that alone had been looked at.
func TestConflictsOfOnePath(t *testing.T) {
	const first, second = "20300101T000000.000Z-laptop", "20300102T000000.000Z-laptop"
	dir := t.TempDir()
	var all []scope.Replica
	for name, kept := range map[string][]string{"a": {first + "/f", second + "/f", first + "/only"}, "b": {first + "/f"}, "c": nil} {
		x := scope.Replica{Name: name, Path: filepath.Join(dir, name), Layout: "snapshot", Filter: &filter.Filter{}}
		for _, k := range kept {
			at := filepath.Join(x.Path, localfs.Dir, "conflicts", k)
			if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte("mine"), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, x)
	}
	slices.SortFunc(all, func(x, y scope.Replica) int { return strings.Compare(x.Name, y.Name) })
	bucket := storetest.New()
	r, err := history.NewReader(history.Options{
		Workspace: status.Workspace{Org: "o", Project: "p", Env: "e"}, Replicas: all,
		Connect: func(_ context.Context, at scope.Target) (scope.Remote, error) { return bucket.At(at.Replica), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, tt := range []struct{ replica, name, want string }{
		{"", "only", "a " + first + "/only"},
		{"", "./only", "a " + first + "/only"},
		{"b", "f", "b " + first + "/f"},
		{"", all[1].Path + "/f", "b " + first + "/f"},
		{"", second + "/f", "a " + second + "/f"},
		{"", "f", `cannot tell which version of "f" is meant: 3 are kept; name it: ` + first + "/f --replica b; name it: " + second + "/f --replica a; name it: " + first + "/f --replica a"},
		{"a", "f", `cannot tell which version of "f" is meant: 2 are kept; name it: ` + second + "/f; name it: " + first + "/f"},
		{"", "none", `cannot find a version of "none" that is kept aside in any of the replicas "a", "b", "c": there is none; coltecd conflicts lists them`},
		{"a", "none", `cannot find a version of "none" that is kept aside in replica "a": there is none; coltecd conflicts lists them`},
		{"", all[1].Path + "/only", `cannot find a version of "` + all[1].Path + `/only" that is kept aside in replica "b": there is none; coltecd conflicts lists them`},
	} {
		q := Query{Reader: r, Replicas: all, Alone: AtOnce, Say: func(text string) { t.Errorf("it said %q", text) }}
		if err := q.only(tt.replica); err != nil {
			t.Fatal(err)
		}
		k, err := q.conflict(t.Context(), control.AskConflict, control.ConflictRequest{Path: tt.name})
		got := k.Replica + " " + k.ID
		if err != nil {
			got = hint.Sentence(err)
		}
		if got != tt.want {
			t.Errorf("%q of %q:\n%s, want\n%s", tt.name, tt.replica, got, tt.want)
		}
	}
}

// The name of one version is how another one is listed: what is said as it is listed is that.
func TestConflictAsItIsListed(t *testing.T) {
	const stamp = "20300101T000000.000Z-laptop"
	x := scope.Replica{Name: "a", Path: t.TempDir(), Layout: "snapshot", Filter: &filter.Filter{}}
	dir := filepath.Join(x.Path, localfs.Dir, "conflicts", stamp)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"%FF", "\xff", "%0A", "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bucket := storetest.New()
	r, err := history.NewReader(history.Options{
		Workspace: status.Workspace{Org: "o", Project: "p", Env: "e"}, Replicas: []scope.Replica{x},
		Connect: func(_ context.Context, at scope.Target) (scope.Remote, error) { return bucket.At(at.Replica), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	q := Query{Reader: r, Replicas: []scope.Replica{x}, Alone: AtOnce, Say: func(text string) { t.Errorf("it said %q", text) }}
	list, err := q.conflicts(t.Context())
	if err != nil || len(list) != 4 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, k := range list {
		got, err := q.conflict(t.Context(), control.AskConflict, control.ConflictRequest{Path: k.ID})
		if err != nil || got.Path != k.Path || got.ID != k.ID {
			t.Errorf("%s, of %q, is taken for %q, %v", k.ID, k.Path, got.Path, err)
		}
	}
}

// A path in another replica than the one that was named was looked up there all the same.
func TestFind(t *testing.T) {
	all := []scope.Replica{{Name: "code", Path: "/w"}, {Name: "home", Path: "/home/u", Home: true}, {Name: "deep", Path: "/w/a"}}
	for _, row := range []struct{ replica, path, want string }{
		{"", "/w/x", "code:x"}, {"", "x", "code:x"}, {"", "/home/u/y", "home:y"}, {"", "a/z", "deep:z"},
		{"code", "/w/x", "code:x"}, {"code", "x", "code:x"}, {"home", "y", "home:y"}, {"home", "/home/u/y", "home:y"}, {"deep", "z", "deep:z"},
		{"code", "/home/u/y", ""}, {"home", "/w/x", ""}, {"code", "a/z", ""}, {"deep", "/w/x", ""}, {"home", "../../w/x", ""},
	} {
		r, err := history.NewReader(history.Options{Replicas: all})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		q := Query{Reader: r, Replicas: all}
		if err := q.only(row.replica); err != nil {
			t.Fatal(err)
		}
		x, rel, err := q.find(row.path)
		if got := x.Name + ":" + rel; (err == nil) != (row.want != "") || err == nil && got != row.want {
			t.Errorf("--replica %q %s: %s, %v", row.replica, row.path, got, err)
		}
	}
}

// One replica that could not be read ended verify and gc --dry-run for all: each is told of by
// itself, and only where none can be read there is nothing to tell.
func TestABrokenReplicaBesideOthers(t *testing.T) {
	for why, tt := range map[string]struct {
		breaks func(t *testing.T, w *gentest.Workspace, path string)
		verify bool // garbage is of the bucket alone
	}{
		"its prefix does not answer": {func(_ *testing.T, w *gentest.Workspace, _ string) {
			w.Bucket.Hook(func(e storetest.Event) error {
				if slices.ContainsFunc(e.Keys, func(key string) bool { return strings.HasPrefix(key, "broken/") }) {
					return errors.New("a fault")
				}
				return nil
			})
		}, false},
		"its folder is a link to itself": {func(t *testing.T, _ *gentest.Workspace, path string) {
			if err := errors.Join(os.Remove(path), os.Symlink(path, path)); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		t.Run(why, func(t *testing.T) {
			w := gentest.New(t)
			w.Save("a", "b")
			broken := scope.Replica{Name: "broken", Path: t.TempDir(), Layout: "snapshot", Filter: &filter.Filter{}}
			all := []scope.Replica{broken, {Name: gentest.Replica, Path: t.TempDir(), Layout: "snapshot", Filter: &filter.Filter{}}}
			r, err := history.NewReader(history.Options{
				Workspace: status.Workspace{Org: "o", Project: "p", Env: "e"}, Replicas: all,
				Connect: func(_ context.Context, at scope.Target) (scope.Remote, error) {
					if at.Replica == "" {
						return w.Bucket, nil
					}
					return w.Bucket.At(at.Replica), nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			tt.breaks(t, w, broken.Path)
			q := Query{Reader: r, Replicas: all, Alone: AtOnce, Now: time.Now(), Keep: time.Hour, Say: func(string) {}}
			list, err := q.verify(t.Context(), control.VerifyRequest{Deep: true})
			if err != nil || len(list) != 2 || list[0].Failed == "" || list[0].OK() || !list[1].OK() || list[1].Generations != 1 {
				t.Errorf("%+v, %v", list, err)
			}
			garbage, err := r.Garbage(t.Context(), all, time.Now(), time.Hour)
			if err != nil || len(garbage) != 2 || garbage[1].Failed != "" || garbage[1].Needed.Objects == 0 || tt.verify != (garbage[0].Failed == "") {
				t.Errorf("%+v, %v", garbage, err)
			}
			q.Replicas = all[:1]
			if list, err := q.verify(t.Context(), control.VerifyRequest{}); err == nil || !strings.Contains(err.Error(), `cannot verify replica "broken": `) {
				t.Errorf("alone: %+v, %v", list, err)
			}
		})
	}
}
