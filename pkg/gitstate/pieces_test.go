package gitstate

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/google/go-cmp/cmp"
)

// Whose version counts, for all that three sides can have: what one side alone did counts,
// what both did differently is never decided in silence, and an edit outlives a removal.
func TestDecided(t *testing.T) {
	t.Parallel()
	values := [][]byte{nil, {}, []byte("a"), []byte("b"), []byte("c")}
	same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	for _, local := range values {
		for _, remote := range values {
			without := (&joining{}).decided(nil, local, remote)
			want := both
			switch {
			case same(local, remote), remote == nil:
				want = ours
			case local == nil:
				want = theirs
			}
			if without != want {
				t.Errorf("nothing agreed, %q here, %q there: %v, not %v", local, remote, without, want)
			}
			for _, base := range values {
				got, want := (&joining{base: &side{}}).decided(base, local, remote), both
				switch {
				case same(local, remote), same(base, remote):
					want = ours
				case same(base, local):
					want = theirs
				case local == nil:
					want = theirs
				case remote == nil:
					want = ours
				}
				if got != want {
					t.Errorf("%q agreed, %q here, %q there: %v, not %v", base, local, remote, got, want)
				}
			}
		}
	}
}

// Of two logs that both grew, and of which both dropped something: what is new is in what
// comes of it once, what one side dropped is not, and it is in the order of time.
func TestJoinedLogs(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	if again, err := strconv.ParseUint(os.Getenv("COLTEC_SEED"), 10, 64); err == nil {
		seed = again
	}
	t.Logf("COLTEC_SEED=%d", seed)
	drawn := rand.New(rand.NewPCG(seed, 0))
	made := func(who string, n int) (out []entry) {
		for i := range n {
			now := fmt.Sprintf("%s-%d", who, i)
			out = append(out, entry{"old", now, fmt.Sprintf("A <a> %d +0000\t%s", drawn.IntN(50), now)})
		}
		slices.SortStableFunc(out, func(a, b entry) int { return int(a.when() - b.when()) })
		return out
	}
	dropped := func(list []entry) []entry {
		return slices.DeleteFunc(slices.Clone(list), func(entry) bool { return drawn.IntN(4) == 0 })
	}
	names := func(list []entry) (out []string) {
		for _, e := range list {
			out = append(out, e.now)
		}
		slices.Sort(out)
		return out
	}
	for range 200 {
		base := made("base", drawn.IntN(6))
		local := append(dropped(base), made("here", drawn.IntN(4))...)
		remote := append(dropped(base), made("there", drawn.IntN(4))...)
		var want []entry
		for _, e := range slices.Concat(base, local, remote) {
			inBase, inLocal, inRemote := slices.Contains(base, e), slices.Contains(local, e), slices.Contains(remote, e)
			if (!inBase || inLocal && inRemote) && !slices.Contains(want, e) {
				want = append(want, e)
			}
		}
		got := joinLogs(base, local, remote)
		if diff := cmp.Diff(names(want), names(got)); diff != "" {
			t.Fatalf("of %v, %v and %v (-want +got):\n%s", base, local, remote, diff)
		}
		if !slices.IsSortedFunc(got, func(a, b entry) int { return int(a.when() - b.when()) }) {
			t.Fatalf("not in the order of time: %v", got)
		}
		if again := joinLogs(base, got, got); !slices.Equal(got, again) {
			t.Fatalf("joined again it is %v, not %v", again, got)
		}
		if other := joinLogs(base, remote, local); !slices.Equal(names(other), names(got)) {
			t.Fatalf("the other way round it is %v, not %v", other, got)
		}
		if back := entries(written(got)); !slices.Equal(back, got) {
			t.Fatalf("written and read it is %v, not %v", back, got)
		}
		for _, e := range got {
			if ends := endingWith(got, e.now); ends[len(ends)-1] != e || len(ends) != len(got) {
				t.Fatalf("ending with %s it is %v", e.now, ends)
			}
		}
	}
}

// An index is read as git reads it; one that is damaged, in whatever place, ends nobody.
func TestIndexesAsGitReadsThem(t *testing.T) {
	t.Parallel()
	for format, width := range map[string]int{"sha1": 20, "sha256": 32} {
		a := newPlace(t)
		a.git("", "init", "-q", "--object-format="+format, "work")
		for _, name := range []string{"a", "a b", "deep/er/file", "deep/er/file2", "ümlaut", "x" + strings.Repeat("y", 200)} {
			a.write("work/"+name, name)
		}
		a.git("work", "add", "-A")
		a.write("work/later", "")
		a.git("work", "add", "--intent-to-add", "later")
		want := strings.FieldsFunc(a.git("work", "ls-files", "-z"), func(r rune) bool { return r == 0 })
		for _, version := range []string{"3", "4"} {
			a.git("work", "update-index", "--force-write-index", "--index-version", version)
			body, err := os.ReadFile(filepath.Join(a.root, "work/.git/index"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			if ok := eachIn(body, width, func(e indexEntry) { got = append(got, string(e.name)) }); !ok {
				t.Errorf("%s, version %s: it is not known", format, version)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, version %s (-git +read):\n%s", format, version, diff)
			}
			for i := range body {
				for _, bits := range []byte{0x01, 0x80, 0xff} {
					spoilt := bytes.Clone(body)
					spoilt[i] ^= bits
					eachIn(spoilt, width, func(indexEntry) {})
				}
				eachIn(body[:i], width, func(indexEntry) {})
			}
		}
	}
}

// The index of a pack, damaged or cut off in whatever place: it is refused, or asked without
// harm.
func TestDamagedIndexesOfPacks(t *testing.T) {
	t.Parallel()
	a := newPlace(t)
	a.history("work", 3)
	a.capture("work/.git")
	files, _ := filepath.Glob(filepath.Join(globEscape(a.k.Shadow), "work/.git/objects/pack/*.idx"))
	body, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pack-x.idx")
	ask := func(body []byte) (n int) {
		t.Helper()
		if err := os.WriteFile(file, body, 0o644); err != nil {
			t.Fatal(err)
		}
		x, err := openIndex(file, 20)
		if err != nil {
			return -1
		}
		defer x.close()
		_ = x.each(func(string) error { n++; return nil })
		for first := range 256 {
			x.has(append([]byte{byte(first)}, make([]byte, 19)...))
		}
		return n
	}
	if n, want := ask(body), strings.Count(a.git("work", "rev-list", "--objects", "--all"), "\n"); n != want {
		t.Errorf("it has %d objects, not %d", n, want)
	}
	for i := 0; i < len(body); i += 7 {
		spoilt := bytes.Clone(body)
		spoilt[i] ^= 0xff
		ask(spoilt)
	}
	for cut := range 8 {
		if n := ask(body[:len(body)*cut/8]); n >= 0 {
			t.Errorf("cut off at %d eighths it has %d objects", cut, n)
		}
	}
}

// A ref that git holds a lock of, or that has moved since it was looked at, is neither written
// nor removed; no lock stays.
func TestRefsThatGitIsAtWorkOn(t *testing.T) {
	t.Parallel()
	a := newPlace(t)
	a.history("work", 3)
	a.git("work", "tag", "-a", "v1", "-m", "annotated")
	a.git("work", "tag", "-a", "v2", "-m", "annotated")
	a.git("work", "branch", "side")
	a.git("work", "pack-refs", "--all")
	src, err := a.k.source("work/.git")
	if err != nil {
		t.Fatal(err)
	}
	head, older := a.objectID("work", "rev-parse", "HEAD"), a.objectID("work", "rev-parse", "HEAD~1")
	list, err := src.packedRefs()
	if err != nil {
		t.Fatal(err)
	}
	packed := packedIn(list)
	before := a.git("work", "show-ref", "-d")
	refuse := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrBusy) {
			t.Errorf("%s: it said %v", what, err)
		}
		if now := a.git("work", "show-ref", "-d"); now != before {
			t.Errorf("%s: refs are\n%s, not\n%s", what, now, before)
		}
	}
	refuse("moved since", src.write("refs/heads/side", older, older, packed))
	refuse("moved since", src.delete(map[string]string{"refs/heads/side": older}))
	for _, lock := range []string{"refs/heads/side.lock", "packed-refs.lock"} {
		a.write("work/.git/"+lock, "")
		if lock == "refs/heads/side.lock" {
			refuse(lock, src.write("refs/heads/side", head, older, packed))
		} else {
			refuse(lock, src.delete(map[string]string{"refs/heads/side": head}))
		}
		a.rm("work/.git/" + lock)
	}
	if err := src.write("refs/heads/side", head, older, packed); err != nil {
		t.Error(err)
	}
	if err := src.delete(map[string]string{"refs/heads/side": older, "refs/tags/v1": anything}); err != nil {
		t.Error(err)
	}
	var want strings.Builder // with what v2 leads to, and without what v1 leads to
	for line := range strings.Lines(before) {
		if !strings.Contains(line, "refs/heads/side") && !strings.Contains(line, "refs/tags/v1") {
			want.WriteString(line)
		}
	}
	if diff := cmp.Diff(want.String(), a.git("work", "show-ref", "-d")); diff != "" {
		t.Errorf("refs (-want +got):\n%s", diff)
	}
	locks, _ := filepath.Glob(filepath.Join(globEscape(a.root), "work/.git/*.lock"))
	below, _ := filepath.Glob(filepath.Join(globEscape(a.root), "work/.git/refs/*/*.lock"))
	if len(locks)+len(below) > 0 {
		t.Errorf("locks stay: %q %q", locks, below)
	}
	for _, name := range []string{"refs/heads/../../config", "HEAD", "refs/heads/x.lock"} {
		if err := src.write(name, anything, head, nil); !errors.As(err, new(*RefusedError)) {
			t.Errorf("%q: it said %v", name, err)
		}
	}
	fsck(t, filepath.Join(a.root, "work"))
}

// What is kept is listed with where and when it lost its name, and goes when it is dropped,
// from the files and from the list of refs.
func TestKeptIsListedAndDropped(t *testing.T) {
	t.Parallel()
	a := newPlace(t)
	a.history("work", 3)
	one, two := KeptRefs+"dev/20260102T030405.678Z/heads/a/b", KeptRefs+"host/20260102T030405.000Z/HEAD"
	a.git("work", "update-ref", "--create-reflog", one, "HEAD~1")
	a.git("work", "update-ref", two, "HEAD~2")
	a.git("work", "update-ref", KeptRefs+"not/a-time/x", "HEAD")
	a.git("work", "update-ref", KeptRefs+"short", "HEAD")
	a.capture("work/.git")
	kept, err := Kept(a.k.Shadow)
	when := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	want := []KeptRef{
		{"work/.git", one, "heads/a/b", a.objectID("work", "rev-parse", "HEAD~1"), "dev", when},
		{"work/.git", two, "HEAD", a.objectID("work", "rev-parse", "HEAD~2"), "host", when.Truncate(time.Second)},
	}
	if diff := cmp.Diff(want, kept); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	a.git("work", "pack-refs", "--all")
	for _, k := range kept {
		if err := Drop(a.root, k.Repository, k.Ref); err != nil {
			t.Error(err)
		}
	}
	if refs := a.git("work", "for-each-ref", "--format=%(refname)", KeptRefs); strings.Contains(refs, "Z/") {
		t.Errorf("refs are %s", refs)
	}
	if _, err := os.Lstat(filepath.Join(a.root, "work/.git/logs", one)); !absent(err) {
		t.Errorf("its log is there: %v", err)
	}
	if err := Drop(a.root, "none/.git", one); err == nil {
		t.Error("dropped where there is nothing")
	}
}

// A repository that was removed with its directory is told from one of which the git
// directory alone is gone; a copy that is removed leaves those in it.
func TestCopiesOfWhatIsGone(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a := newPlace(t)
	for _, dir := range []string{"removed", "orphan", "super", "super/.git/modules/lib"} {
		a.history(dir, 2)
	}
	if err := os.Rename(filepath.Join(a.root, "super/.git/modules/lib"), filepath.Join(a.root, "aside")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(a.root, "aside/.git"), filepath.Join(a.root, "super/.git/modules/lib")); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"removed/.git", "orphan/.git", "super/.git"} {
		a.capture(dir)
	}
	copies, err := a.k.Copies()
	if want := []string{"orphan/.git", "removed/.git", "super/.git", "super/.git/modules/lib"}; !slices.Equal(slices.Sorted(slices.Values(copies)), want) || err != nil {
		t.Fatalf("copies are %q: %v", copies, err)
	}
	a.rm("removed", "orphan/.git", "super/.git/modules/lib")
	removed, orphans, err := a.k.Gone()
	slices.Sort(removed)
	if !slices.Equal(removed, []string{"removed/.git", "super/.git/modules/lib"}) || !slices.Equal(orphans, []string{"orphan/.git"}) || err != nil {
		t.Errorf("removed are %q, orphans %q: %v", removed, orphans, err)
	}
	if err := a.k.Forget("removed/.git"); err != nil || a.k.Whole("removed/.git") {
		t.Errorf("it is whole: %v", err)
	}
	if err := a.k.Remove("super/.git"); err != nil || a.k.Whole("super/.git") || !a.k.Whole("super/.git/modules/lib") {
		t.Errorf("what is in it went, too: %v", err)
	}
	if err := a.k.Remove("never/.git"); err != nil {
		t.Error(err)
	}
}
