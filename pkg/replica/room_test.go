package replica

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/tree/treetest"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/sample"
)

// disk gives a place a disk of its own for its tree, of a size and more as mount has it.
func (w *world) disk(name, options string) *machine {
	w.t.Helper()
	path := filepath.Join(treetest.Dir(w.t), name)
	w.must(os.MkdirAll(path, 0o755))
	m := w.machineAt(path)
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, options); err != nil {
		if os.Getenv("CI") != "" {
			w.t.Fatalf("cannot mount: %v", err)
		}
		w.t.Skipf("cannot mount, which takes root: %v", err)
	}
	w.t.Cleanup(func() { m.Close(); _ = unix.Unmount(path, unix.MNT_DETACH) })
	return m
}

// resize gives a disk another size.
func (m *machine) resize(options string) {
	m.w.t.Helper()
	m.w.must(unix.Mount("tmpfs", m.Path, "tmpfs", unix.MS_REMOUNT, options))
}

// refusedOf are the paths that an outcome names, and says that the disk is full of.
func refusedOf(t *testing.T, out *Outcome) (paths []string) {
	t.Helper()
	for _, p := range out.Problems {
		if !strings.Contains(p.Reason, "the disk of this machine is full") || !strings.Contains(p.Reason, "free up space on the disk") {
			t.Errorf("%s: %s", p.Path, p.Reason)
		}
		paths = append(paths, p.Path)
	}
	slices.Sort(paths)
	return paths
}

// One file that had no room on the disk kept every other one away, and what had come of
// it kept the disk full.
func TestWhatHasNoRoomKeepsNothingElseAway(t *testing.T) {
	sample.Long(t)
	const mib = 1 << 20
	small := map[string]string{"d/e/f": "1", "l": "> d", "z": "26", "zero": "", "empty/": "", "m": noise(3, mib)}
	big := noise(1, 26*mib)
	tests := map[string]struct {
		big  map[string]string
		want []string // what has no room
	}{
		"the first":     {map[string]string{"a-big": big}, []string{"a-big"}},
		"the last":      {map[string]string{"zz-big": big}, []string{"zz-big"}},
		"several":       {map[string]string{"a": big, "b": noise(2, 28*mib), "d/big": noise(4, 27*mib)}, []string{"a", "b", "d/big"}},
		"one of two":    {map[string]string{"a": big, "b": noise(2, 3*mib)}, []string{"a"}},
		"in a new dir":  {map[string]string{"new/big": big}, []string{"new/big"}},
		"more together": {map[string]string{"a": noise(1, 6*mib), "b": noise(2, 7*mib), "c": noise(4, 8*mib), "d/g": noise(5, 9*mib)}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			one, _ := started(t, small)
			for _, name := range slices.Sorted(maps.Keys(tt.big)) { // each in objects of its own
				one.write(map[string]string{name: tt.big[name]})
				one.pushAll()
			}
			two := one.w.disk("two", "size=24m")
			out, err := two.acquire(SettleOptions{})
			one.w.must(err)
			got := refusedOf(t, out)
			if tt.want == nil {
				tt.want = got
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || len(got) == 0 || len(got) == len(tt.big) && len(got) == 4 {
				t.Errorf("no room for %q: %s", got, diff)
			}
			want := one.show()
			for _, path := range got {
				delete(want, path)
			}
			if diff := cmp.Diff(want, two.show()); diff != "" {
				t.Errorf("the trees differ, in %d bytes of words", len(diff))
			}
			if left := two.staged(); len(left) > 0 {
				t.Errorf("in the stage: %q", left)
			}

			fetched := one.w.fetches()
			if out, err = two.settle(SettleOptions{}); err != nil || len(fetched) > 0 || !slices.Equal(refusedOf(t, out), got) {
				t.Errorf("with no more room: fetched %v, %+v, %v", fetched, out, err)
			}
			if n := two.pushAll(); n != 0 {
				t.Errorf("%d generations come of what is not here", n)
			}
			two.resize("size=200m")
			if out, err = two.settle(SettleOptions{}); err != nil || len(out.Problems) > 0 {
				t.Errorf("with room: %+v, %v", out, err)
			}
			if diff := cmp.Diff(one.show(), two.show()); diff != "" {
				t.Errorf("the trees differ, in %d bytes of words", len(diff))
			}
		})
	}
}

// What is full may be a volume within the tree, or what is left of a disk's inodes.
func TestNoRoomElsewhere(t *testing.T) {
	files := map[string]string{"a": "1", "v/small": "2", "v/big": noise(1, 5<<20), "w": noise(2, 6<<20)}
	one, two := started(t, files)
	one.w.must(os.MkdirAll(two.at("v"), 0o755))
	two.mountAt("v", "tmpfs")
	one.w.must(unix.Mount("tmpfs", two.at("v"), "tmpfs", unix.MS_REMOUNT, "size=4m"))
	out, err := two.acquire(SettleOptions{})
	one.w.must(err)
	if got := refusedOf(t, out); !slices.Equal(got, []string{"v/big"}) {
		t.Errorf("no room for %q", got)
	}
	want := map[string]string{"a": "1", "v": "/", "v/small": "2", "w": files["w"]}
	if diff := cmp.Diff(want, two.show().plain()); diff != "" {
		t.Errorf("the trees differ, in %d bytes of words", len(diff))
	}

	many := map[string]string{}
	for i := range 60 {
		many[fmt.Sprintf("f%02d", i)] = noise(i, 2000)
	}
	one, _ = started(t, many)
	two = one.w.disk("two", "size=32m,nr_inodes=50")
	out, err = two.acquire(SettleOptions{})
	one.w.must(err)
	if n := len(two.show()); n < 15 || n+len(out.Problems) != 60 {
		t.Errorf("%d files are there, %d have no room", n, len(out.Problems))
	}
	two.resize("size=32m,nr_inodes=500")
	two.refused = nil // as after a while
	if out, err := two.settle(SettleOptions{}); err != nil || len(out.Problems) > 0 {
		t.Errorf("with room: %+v, %v", out, err)
	}
	if diff := cmp.Diff(one.show(), two.show()); diff != "" {
		t.Error(diff)
	}
}

// A file that had no room is tried again when there is more, when it is another one,
// and after a while.
func TestCrowded(t *testing.T) {
	one, _ := started(t, map[string]string{"f": noise(1, 3<<20)})
	d := &plan.Decision{Path: "f", Op: plan.Take, Entry: one.base.Row("f").Entry}
	other := *d
	other.Entry.Sum[0]++
	const room = 10 << 20
	tests := map[string]struct {
		was  refusal
		room int64
		d    *plan.Decision
		want bool
	}{
		"just as much":     {refusal{d.Entry.Sum, room, time.Now()}, room, d, true},
		"a little more":    {refusal{d.Entry.Sum, room, time.Now()}, room + 1000, d, true},
		"more":             {refusal{d.Entry.Sum, room, time.Now()}, room + 1<<20, d, false},
		"after a while":    {refusal{d.Entry.Sum, room, time.Now().Add(-refusedFor)}, room, d, false},
		"another":          {refusal{d.Entry.Sum, room, time.Now()}, room, &other, false},
		"never tried":      {refusal{}, room, d, false},
		"less than it has": {refusal{}, 2 << 20, d, true},
	}
	for name, tt := range tests {
		one.refused = map[string]refusal{"f": tt.was}
		p := &placement{r: one.Replica}
		if why := p.crowded(tt.d, tt.room); (why != "") != tt.want {
			t.Errorf("%s: %q", name, why)
		}
	}
}

func TestCrowdedWords(t *testing.T) {
	for want, got := range map[string]string{
		"the disk of this machine is full: it takes 3.0 GiB, and 1.5 MiB are free; free up space on the disk": crowdedWords(3<<30, 3<<19, unix.ENOSPC),
		"the disk of this machine is full, or its quota: it takes 900 bytes; free up space on the disk":       crowdedWords(900, 1<<30, unix.EDQUOT),
		"the file system here takes no file of its size (4.0 GiB)":                                            crowdedWords(4<<30, 1<<40, unix.EFBIG),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
