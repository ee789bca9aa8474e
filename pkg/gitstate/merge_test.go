package gitstate

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// hop brings the state of one place to another: files as the replica would,
// then the repositories. The shadow there counts as agreed where it is what the
// last hop left.
func (p *placed) hop(from *placed, agreed bool, dirs ...string) {
	p.t.Helper()
	for _, dir := range dirs {
		from.capture(dir)
	}
	copyTree(p.t, from.root, p.root)
	for _, dir := range dirs {
		p.join(from, agreed, dir)
	}
}

// join brings what was captured of a repository at one place to another.
func (p *placed) join(from *placed, agreed bool, dir string) {
	p.t.Helper()
	a := p.arrival(from, dir)
	a.Agreed = agreed && p.k.Whole(dir)
	p.bring(from, a)
	if err := p.k.Restore(p.t.Context(), a); err != nil {
		p.t.Fatal(err)
	}
}

// origin is a bare repository that others clone.
func origin(t *testing.T, n int) string {
	t.Helper()
	o := newPlace(t)
	o.history("work", n)
	o.git("work", "tag", "-a", "base", "-m", "of the origin")
	o.git("", "clone", "-q", "--bare", "work", "origin.git")
	return filepath.Join(o.root, "origin.git")
}

func TestBesideAFreshClone(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	url := origin(t, 300)
	a, b := newPlace(t), newPlace(t)
	for _, p := range []*placed{a, b} {
		p.git("", "clone", "-q", url, "work")
	}
	a.everyKind("work")
	a.git("work", "switch", "-q", "side")
	a.git("work", "switch", "-q", "main")
	later := filepath.Join(b.root, "work/.git/logs")
	for _, log := range []string{"HEAD", "refs/heads/main", "refs/remotes/origin/HEAD"} { // cloned a while later
		body, err := os.ReadFile(filepath.Join(later, log))
		who, _, _ := strings.Cut(string(body), "> ")
		_, what, _ := strings.Cut(string(body), " +")
		if err := errors.Join(err, os.WriteFile(filepath.Join(later, log), []byte(who+"> 4000000000 +"+what), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	b.git("work", "remote", "add", "other", "https://example.org/other.git")
	a.capture("work/.git")
	copyTree(t, a.root, b.root)
	arrives := b.arrival(a, "work/.git")
	if n := b.bring(a, arrives); n != 1 {
		t.Errorf("%d packs were fetched, not the one with what is new", n)
	}
	if err := b.k.Restore(t.Context(), arrives); err != nil {
		t.Fatal(err)
	}
	if got := b.git("work", "remote"); got != "origin\nother\n" {
		t.Errorf("remotes: %s", got)
	}
	b.git("work", "remote", "remove", "other")
	sameAnswers(t, a.root, b.root, "work")
	if kept := b.git("work", "for-each-ref", KeptRefs); kept != "" {
		t.Errorf("nothing was to be kept:\n%s", kept)
	}
}

func TestThereAndBack(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, b := newPlace(t), newPlace(t)
	a.history("work", 50)
	a.everyKind("work")
	b.hop(a, true, "work/.git")
	sameAnswers(t, a.root, b.root, "work")

	b.git("work", "commit", "-q", "-m", "what was staged")
	b.git("work", "stash", "drop", "-q")
	b.git("work", "branch", "-D", "side")
	b.git("work", "commit", "-q", "--amend", "-m", "amended there")
	b.write("work/d3/f3", "there\n")
	b.git("work", "add", "d3/f3")
	a.hop(b, true, "work/.git")
	sameAnswers(t, b.root, a.root, "work")
	if kept := a.git("work", "for-each-ref", KeptRefs); kept != "" {
		t.Errorf("nothing was to be kept:\n%s", kept)
	}
}

// A branch that was moved here without a working tree, and checked out and committed to
// there: its commit of here is kept, as where both had it checked out.
func TestMovedHereAndCheckedOutThere(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, b := newPlace(t), newPlace(t)
	a.history("work", 20)
	a.git("work", "switch", "-q", "-c", "topic")
	b.hop(a, true, "work/.git")
	mine := strings.TrimSpace(a.git("work", "commit-tree", "-p", "main", "-m", "of here", "main^{tree}"))
	a.git("work", "branch", "-f", "main", mine)
	b.git("work", "switch", "-q", "main")
	b.git("work", "commit", "-q", "--allow-empty", "-m", "of there")
	a.hop(b, true, "work/.git")
	if here, there := a.git("work", "rev-parse", "main"), b.git("work", "rev-parse", "main"); here != there {
		t.Errorf("main is %s, not %s", here, there)
	}
	if kept := a.git("work", "for-each-ref", "--format=%(objectname)", KeptRefs); strings.TrimSpace(kept) != mine {
		t.Errorf("kept are %q, not %s", kept, mine)
	}
}

func TestBothCommitted(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	for _, agreed := range []bool{true, false} {
		a, b := newPlace(t), newPlace(t)
		a.history("work", 30)
		a.git("work", "branch", "other")
		b.hop(a, true, "work/.git")
		for i, p := range []*placed{a, b} {
			who := []string{"here", "there"}[i]
			p.write("work/"+who, who+"\n")
			p.git("work", "add", who)
			p.git("work", "commit", "-q", "-m", who)
			p.write("work/stash", who+"\n")
			p.git("work", "stash", "push", "-q", "-u", "-m", who)
			p.git("work", "branch", who)
			p.git("work", "branch", "-f", "other", p.commit("work", "other "+who))
		}
		a.write("work/staged here", "staged here\n")
		a.git("work", "add", "staged here")
		mine, other := strings.TrimSpace(a.git("work", "rev-parse", "main")), strings.TrimSpace(a.git("work", "rev-parse", "other"))
		a.hop(b, agreed, "work/.git")

		kept := a.git("work", "for-each-ref", "--format=%(objectname) %(refname)", KeptRefs)
		for _, want := range []string{other + " refs/coltec/dev/", "/heads/other", "/index"} {
			if !strings.Contains(kept, want) {
				t.Errorf("agreed %v: %q is not among what is kept:\n%s", agreed, want, kept)
			}
		}
		if got := a.git("work", "log", "--all", "--format=%H"); !strings.Contains(got, mine) {
			t.Errorf("agreed %v: the commit made here is gone", agreed)
		}
		if got := a.git("work", "show", strings.Fields(kept)[len(strings.Fields(kept))-1]+":staged here"); got != "staged here\n" {
			t.Errorf("agreed %v: what was staged here is %q", agreed, got)
		}
		for _, ref := range []string{"main", "other"} {
			if a.git("work", "rev-parse", ref) != b.git("work", "rev-parse", ref) {
				t.Errorf("agreed %v: %s is not the remote one", agreed, ref)
			}
		}
		if got := a.git("work", "stash", "list"); strings.Count(got, "\n") != 2 || !strings.Contains(got, ": here") || !strings.Contains(got, ": there") {
			t.Errorf("agreed %v: stashes:\n%s", agreed, got)
		}
		a.git("work", "rev-parse", "here", "there")
		fsck(t, filepath.Join(a.root, "work"))
	}
}

// commit makes a commit that no branch has.
func (p *placed) commit(dir, message string) string {
	p.t.Helper()
	return strings.TrimSpace(p.git(dir, "commit-tree", "-m", message, "-p", "HEAD", "HEAD^{tree}"))
}

// A repository that moves on on one side is brought up to date on the other,
// without a word.
func TestOneSideGoesOn(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, b := newPlace(t), newPlace(t)
	a.history("work", 10)
	b.hop(a, true, "work/.git")
	for i := range 4 {
		from, to := b, a
		if i%2 == 1 {
			from, to = a, b
		}
		from.write("work/new", strings.Repeat("x", i))
		from.git("work", "add", "-A")
		from.git("work", "commit", "-q", "-m", "new")
		to.hop(from, true, "work/.git")
		sameAnswers(t, from.root, to.root, "work")
	}
	if kept := a.git("work", "for-each-ref", KeptRefs); kept != "" {
		t.Error(kept)
	}
}

// Configuration and hooks that differ are kept where the keeper is told.
func TestFilesThatDiffer(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, b := newPlace(t), newPlace(t)
	a.history("work", 5)
	b.hop(a, true, "work/.git")
	a.git("work", "config", "user.nickname", "here")
	b.git("work", "config", "user.nickname", "there")
	aside := filepath.Join(a.root, ".coltec/conflicts")
	a.k.Kept = func() string { return aside }
	a.hop(b, true, "work/.git")
	if got := a.git("work", "config", "user.nickname"); got != "there\n" {
		t.Errorf("nickname: %s", got)
	}
	if body, err := os.ReadFile(filepath.Join(aside, "work/.git/config")); err != nil || !strings.Contains(string(body), "here") {
		t.Errorf("not kept: %v %s", err, body)
	}
}

// A coltecd that ended while it copied a pack into a repository on another disk left a part
// of it with the pack's name. The next one took that for the pack, and added the index.
func TestAPartOfAPackIsNone(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, b := newPlace(t), newPlace(t)
	a.history("work", 3)
	b.hop(a, false, "work/.git")
	a.write("work/d0/f0", "more\n")
	a.git("work", "commit", "-q", "-am", "more")
	a.capture("work/.git")
	arrives := b.arrival(a, "work/.git")
	b.bring(a, arrives)
	packs, err := filepath.Glob(filepath.Join(globEscape(arrives.From), "objects/pack/*.pack"))
	if err != nil || len(packs) == 0 {
		t.Fatal("no pack came", err)
	}
	for _, pack := range packs {
		b.write("work/.git/objects/pack/"+filepath.Base(pack), "PACK")
	}
	if err := b.k.Restore(t.Context(), arrives); err != nil {
		t.Fatal(err)
	}
	if x, y := a.git("work", "log", "-p"), b.git("work", "log", "-p"); x != y {
		t.Errorf("it is\n%s, not\n%s", y, x)
	}
	fsck(t, filepath.Join(b.root, "work"))
}

// A remote that somebody added while the configuration was joined was lost.
func TestConfigurationThatChangesMeanwhile(t *testing.T) {
	sample.Long(t)
	a, b := newPlace(t), newPlace(t)
	a.history("work", 3)
	b.hop(a, false, "work/.git")
	b.git("work", "remote", "add", "mine", "https://example.org/mine")
	a.git("work", "remote", "add", "theirs", "https://example.org/theirs")
	a.capture("work/.git")
	arrives := b.arrival(a, "work/.git")
	b.bring(a, arrives)
	real, err := Git()
	if err != nil {
		t.Fatal(err)
	}
	path, config := t.TempDir(), filepath.Join(b.root, "work/.git/config")
	script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *--add*) printf '[remote \"late\"]\\n\\turl = https://example.org/late\\n' >>'%s';; esac\nexec '%s' \"$@\"\n", config, real)
	if err := os.WriteFile(filepath.Join(path, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	was := os.Getenv("PATH")
	t.Setenv("PATH", path+":"+was)
	err = b.k.Restore(t.Context(), arrives)
	t.Setenv("PATH", was)
	if body, _ := os.ReadFile(config); !strings.Contains(string(body), "late") {
		t.Fatalf("it said %v, and the configuration is\n%s", err, body)
	}
	if !errors.Is(err, ErrBusy) {
		t.Errorf("it said %v", err)
	}
	if err := os.RemoveAll(arrives.From); err != nil {
		t.Fatal(err)
	}
	b.join(a, false, "work/.git")
	if got := b.git("work", "remote"); got != "late\nmine\ntheirs\n" {
		t.Errorf("the remotes are\n%s", got)
	}
}

// A log that is too large to be read whole was replaced by 32 bytes.
func TestLargeLogs(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, b := newPlace(t), newPlace(t)
	a.history("work", 3)
	b.hop(a, false, "work/.git")
	const log = "work/.git/logs/refs/heads/main"
	if err := os.Truncate(filepath.Join(a.root, log), textMost+1); err != nil {
		t.Fatal(err)
	}
	b.hop(a, true, "work/.git")
	if x, y := hashAt(t, a, log), hashAt(t, b, log); x != y {
		t.Errorf("the log that came is another")
	}
	a.git("work", "commit", "-q", "--allow-empty", "-m", "there")
	b.git("work", "commit", "-q", "--allow-empty", "-m", "here")
	before := hashAt(t, b, log)
	a.capture("work/.git")
	arrives := b.arrival(a, "work/.git")
	b.bring(a, arrives)
	if err := b.k.Restore(t.Context(), arrives); !errors.As(err, new(*RefusedError)) || !strings.Contains(err.Error(), "git reflog expire") {
		t.Errorf("it said %v", err)
	}
	if hashAt(t, b, log) != before {
		t.Error("the log here is another")
	}
}

func hashAt(t *testing.T, p *placed, path string) (sum [sha256.Size]byte) {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(p.root, path))
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(body)
}
