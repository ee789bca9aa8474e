package gitstate

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/gittest"
	"github.com/coltec/coltec/internal/sample"
	"github.com/google/go-cmp/cmp"
)

// What each of two sides did to a repository that both had, and what has to come of it,
// worked out from what git says of both, and not from how they are joined.

// fate is what one side did with a ref.
type fate string

const (
	stays  fate = "stays" // or is on neither side
	moves  fate = "moves" // is made, where nobody had it
	goes   fate = "goes"
	same   fate = "same"   // moves to where the other side moves it
	behind fate = "behind" // moves to what the other side goes on from
	ahead  fate = "ahead"
)

// twoRefs is a ref of one kind, and what happens to it.
type twoRefs struct {
	kind, name string
	had        bool
	fates      [2]fate
}

// kindsOfRefs are those of which a repository has many; there is a ref of each, for each
// pair of fates.
var kindsOfRefs = map[string]string{
	"branch": "refs/heads/", "tag": "refs/tags/", "annotated": "refs/tags/annotated-", "remote": "refs/remotes/origin/",
	"notes": "refs/notes/", "custom": "refs/tool/x/", "symbolic": "refs/heads/symbolic-",
}

func allRefs() (out []twoRefs) {
	pairs := [][2]fate{{same, same}, {behind, ahead}, {ahead, behind}}
	for _, here := range []fate{stays, moves, goes} {
		for _, there := range []fate{stays, moves, goes} {
			pairs = append(pairs, [2]fate{here, there})
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kindsOfRefs)) {
		for _, fates := range pairs {
			name := fmt.Sprintf("%s%s-%s", kindsOfRefs[kind], fates[0], fates[1])
			out = append(out, twoRefs{kind, name, true, fates})
			if !slices.Contains(fates[:], goes) && fates != [2]fate{stays, stays} {
				out = append(out, twoRefs{kind, name + "-new", false, fates})
			}
		}
	}
	return out
}

// steps are what a side does with what a repository has one of. Some fail where another
// went before: that is as good.
var steps = map[string][][]string{
	"commit":      {{"work", "commit", "-q", "--allow-empty", "-m", "WHO"}},
	"amend":       {{"work", "commit", "-q", "--allow-empty", "--amend", "-m", "WHO"}},
	"switch":      {{"work", "switch", "-q", "other"}, {"work", "commit", "-q", "--allow-empty", "-m", "WHO"}},
	"detach":      {{"work", "switch", "-q", "--detach"}, {"work", "commit", "-q", "--allow-empty", "-m", "WHO"}},
	"new branch":  {{"work", "switch", "-q", "-c", "WHO"}, {"work", "branch", "-q", "-D", "main"}},
	"stage":       {{"work", "update-index", "--add", "--cacheinfo", "100644,BLOB,staged-WHO"}},
	"stash":       {{"work", "stash", "store", "-m", "WHO", "STASH"}},
	"drop":        {{"work", "stash", "drop", "-q"}},
	"clear":       {{"work", "stash", "clear"}},
	"pack":        {{"work", "pack-refs", "--all"}, {"work", "repack", "-adq"}},
	"bisect":      {{"work", "bisect", "start", "HEAD", "HEAD~2"}},
	"tree":        {{"linked", "commit", "-q", "--allow-empty", "-m", "WHO"}},
	"tree detach": {{"linked", "switch", "-q", "--detach"}, {"linked", "commit", "-q", "--allow-empty", "-m", "WHO"}},
	"tree switch": {{"linked", "switch", "-q", "-c", "tree-WHO"}, {"linked", "commit", "-q", "--allow-empty", "-m", "WHO"}},
	"tree goes":   {{"work", "worktree", "remove", "--force", "../linked"}},
	"tree comes":  {{"work", "worktree", "add", "-q", "--detach", "../linked-WHO"}},
	"log goes":    {{"work", "reflog", "expire", "--expire=now", "refs/heads/main"}},
}

// importing runs git fast-import.
func (p *placed) importing(script string) {
	p.t.Helper()
	cmd := exec.Command("git", "fast-import", "--quiet", "--done", "--force")
	cmd.Dir, cmd.Stdin = filepath.Join(p.root, "work"), strings.NewReader(script+"done\n")
	cmd.Env = append(os.Environ(), "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org")
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("git fast-import: %v\n%s", err, out)
	}
}

// value has a ref lead to something new.
func (p *placed) value(ref twoRefs, who, from string) string {
	p.t.Helper()
	text := ref.name + " " + who
	switch ref.kind {
	case "symbolic":
		p.write("work/.git/"+ref.name, "ref: refs/heads/target-"+who+"\n")
		return ""
	case "annotated":
		return fmt.Sprintf("tag %s\nfrom %s\ntagger A <a@example.org> 1700000000 +0000\ndata %d\n%s\n", strings.TrimPrefix(ref.name, "refs/tags/"), from, len(text), text)
	}
	return fmt.Sprintf("commit %s\nmark :1\ncommitter A <a@example.org> 1700000000 +0000\ndata %d\n%s\nfrom %s\n\n", ref.name, len(text), text, from)
}

// does has one side do to its refs what is their fate.
func (p *placed) does(refs []twoRefs, side int, root string) {
	p.t.Helper()
	var script strings.Builder
	for _, ref := range refs {
		who := []string{"here", "there"}[side]
		switch ref.fates[side] {
		case goes:
			if ref.kind == "symbolic" {
				p.rm("work/.git/" + ref.name)
			} else {
				fmt.Fprintf(&script, "reset %s\nfrom %040d\n\n", ref.name, 0)
			}
		case moves:
			script.WriteString(p.value(ref, who, root))
		case same, behind:
			script.WriteString(p.value(ref, "both", root))
		case ahead:
			script.WriteString(p.value(ref, "both", root))
			if ref.kind != "annotated" {
				script.WriteString(p.value(ref, who, ":1"))
			}
		}
	}
	p.importing(script.String())
}

// had is what git says that a repository has: refs, what is checked out, and its stashes.
type had struct {
	refs, heads map[string]string
	stashes     []string
}

func (p *placed) had() had {
	p.t.Helper()
	h := had{refs: map[string]string{}, heads: map[string]string{}}
	for line := range strings.Lines(p.git("work", "for-each-ref", "--format=%(refname) %(objectname) %(symref)")) {
		ref, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if oid, to, points := strings.Cut(value, " "); points {
			value = "ref: " + to
		} else {
			value = oid
		}
		if ref != stashRef {
			h.refs[ref] = value
		}
	}
	for line := range strings.Lines(p.git("work", "worktree", "list", "--porcelain")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "worktree":
			h.heads["last"] = filepath.Base(value)
		case "HEAD":
			h.heads[h.heads["last"]] = value
		case "branch":
			h.heads[h.heads["last"]+" branch"] = value
		}
	}
	delete(h.heads, "last")
	h.stashes = strings.Fields(p.git("work", "stash", "list", "--format=%H"))
	return h
}

// out says whether a branch is checked out: it goes with its working tree.
func (h had) out(ref string) bool {
	for name, branch := range h.heads {
		if strings.HasSuffix(name, " branch") && branch == ref {
			return true
		}
	}
	return false
}

// surviving are the objects that no joining may make unreachable: what either side has that
// the other has not taken away. Those of remotes may be in a log alone: a fetch tells anew.
func surviving(base *had, sides [2]had) (inRefs, inLogs map[string]string) {
	inRefs, inLogs = map[string]string{}, map[string]string{}
	add := func(name string, before, value, other string) {
		if !isOID(value) || value == before && other != value {
			return
		}
		if strings.HasPrefix(name, "refs/remotes/") {
			inLogs[value] = name
		} else {
			inRefs[value] = name
		}
	}
	for i, side := range sides {
		other := sides[1-i]
		for ref, value := range side.refs {
			before := ""
			if base != nil {
				before = base.refs[ref]
			}
			add(ref, before, value, other.refs[ref])
		}
		for tree, value := range side.heads {
			before := ""
			if base != nil {
				before = base.heads[tree]
			}
			add("HEAD of "+tree, before, value, other.heads[tree])
		}
		for _, oid := range side.stashes {
			if base == nil || !slices.Contains(base.stashes, oid) || slices.Contains(other.stashes, oid) {
				inLogs[oid] = "a stash"
			}
		}
	}
	return inRefs, inLogs
}

// joined holds what came of joining to what both sides had.
func (p *placed) joined(base *had, sides [2]had) {
	p.t.Helper()
	now := p.had()
	inRefs, inLogs := surviving(base, sides)
	reached := func(args ...string) map[string]bool {
		set := map[string]bool{}
		for line := range strings.Lines(p.git("work", append([]string{"rev-list", "--objects", "--all"}, args...)...)) {
			oid, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			set[oid] = true
		}
		return set
	}
	byRefs, byLogs := reached(), reached("--reflog")
	for oid, name := range inRefs {
		if !byRefs[oid] {
			p.t.Errorf("%s, which %s led to, is unreachable", oid, name)
		}
	}
	for oid, name := range inLogs {
		if !byLogs[oid] {
			p.t.Errorf("%s, which was %s, is in no log", oid, name)
		}
	}
	names := map[string]bool{}
	for _, h := range sides {
		for ref := range h.refs {
			names[ref] = true
		}
	}
	for ref := range names {
		here, there, before := sides[0].refs[ref], sides[1].refs[ref], ""
		if base != nil {
			before = base.refs[ref]
		}
		want := []string{here, there}
		switch {
		case ofTree("", ref), now.out(ref), sides[0].out(ref), sides[1].out(ref):
			continue
		case here == there, there == "" && (base == nil || before != here), base != nil && there == before:
			want = []string{here}
		case here == "" && (base == nil || before != there), base != nil && here == before:
			want = []string{there}
		}
		if !slices.Contains(want, now.refs[ref]) {
			p.t.Errorf("%s is %q, not of %q: it was %q", ref, now.refs[ref], want, before)
		}
	}
	fsck(p.t, filepath.Join(p.root, "work"))
}

// answersOf are what a repository has, in the words of git.
func (p *placed) answersOf() string {
	p.t.Helper()
	var all strings.Builder
	for _, q := range [][]string{
		{"for-each-ref", "--format=%(refname) %(objectname) %(symref)"}, {"stash", "list", "--format=%H %gs"}, {"worktree", "list"},
		{"log", "-g", "--format=%H %gs", "--all"}, {"ls-files", "--stage"}, {"rev-parse", "--symbolic-full-name", "HEAD"},
	} {
		fmt.Fprintf(&all, "git %q:\n%s", q, p.git("work", q...))
	}
	// The files of a working tree that was added are brought by others.
	return strings.ReplaceAll(strings.ReplaceAll(all.String(), " prunable\n", "\n"), p.root, "ROOT")
}

// twoSided is one history with two sides, and a way to join it.
type twoSided struct {
	number int
	known  string // of what both last agreed on: "agreed", where the copy here is that; "base", where it went on; ""
	back   bool   // there first
}

// Two sides of a repository, each with a ref of each kind for each pair of fates, and with a
// few steps of work, drawn: nothing that either side has is lost by joining, by no order of
// it and by no cut; and both come out equal.
func TestTwoSides(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	var all []twoSided
	for number := range 40 {
		for _, known := range []string{"agreed", "base", ""} {
			for _, back := range []bool{false, true} {
				all = append(all, twoSided{number, known, back})
			}
		}
	}
	for _, c := range sample.Some(t, 1, all) {
		t.Run(fmt.Sprintf("%d %q %v", c.number, c.known, c.back), c.run)
	}
}

func (c twoSided) run(t *testing.T) {
	drawn := rand.New(rand.NewPCG(uint64(c.number), 1))
	a, b := newPlace(t), newPlace(t)
	refs := allRefs()
	root := a.bothHad(refs)
	b.hop(a, true, "work/.git")
	before := b.had()
	if diff := cmp.Diff(a.answersOf(), b.answersOf()); diff != "" {
		t.Fatalf("they do not begin equal (-here +there):\n%s", diff)
	}
	for i, p := range []*placed{a, b} {
		p.does(refs, i, root)
		for range 1 + drawn.IntN(4) {
			names := slices.Sorted(maps.Keys(steps))
			p.step(names[drawn.IntN(len(names))], []string{"here", "there"}[i])
		}
	}
	here, there := a, b
	if c.back {
		here, there = b, a
	}
	sides := [2]had{here.had(), there.had()}
	there.capture("work/.git")
	base := &before
	if c.known == "" {
		base = nil
	}
	arrives := here.arrives(there, c.known)
	if m, err := readMark(arrives.From); err != nil {
		t.Fatal(err)
	} else if drawn.IntN(2) == 0 { // cut off after all was joined
		if err := here.k.merge(t.Context(), arrives, m); err != nil {
			t.Fatal(err)
		}
		here.joined(base, sides)
		arrives = here.arrives(there, "")
		arrives.Agreed = c.known == "agreed"
		if c.known == "base" {
			arrives.Base = here.keptBase()
		}
	}
	was := here.answersOf()
	if err := here.k.Restore(t.Context(), arrives); err != nil {
		t.Fatal(err)
	}
	here.joined(base, sides)
	if now := here.answersOf(); strings.Contains(was, KeptRefs) && now != was {
		t.Errorf("joined again it is another (-was +is):\n%s", cmp.Diff(was, now))
	}
	here.capture("work/.git")
	there.join(here, true, "work/.git")
	there.joined(base, sides)
	if diff := cmp.Diff(here.answersOf(), there.answersOf()); diff != "" {
		t.Errorf("they are not equal (-here +there):\n%s", diff)
	}
	if there.capture("work/.git") {
		t.Error("what came is captured as a change")
	}
}

// bothHad makes what both sides have, and gives its first commit.
func (p *placed) bothHad(refs []twoRefs) string {
	p.t.Helper()
	p.history("work", 4)
	root := strings.TrimSpace(p.git("work", "rev-parse", "HEAD~3"))
	var script strings.Builder
	for _, who := range []string{"base", "here", "there", "both"} {
		script.WriteString(p.value(twoRefs{kind: "branch", name: "refs/heads/target-" + who}, "", root))
	}
	for _, ref := range refs {
		if ref.had {
			script.WriteString(p.value(ref, "base", root))
		}
	}
	p.importing(script.String())
	p.git("work", "branch", "other", "HEAD~1")
	p.git("work", "worktree", "add", "-q", "-b", "tree", "../linked")
	for range 2 {
		p.step("stash", "base")
	}
	return root
}

// step does one of the steps, as far as it can be done.
func (p *placed) step(name, who string) {
	p.t.Helper()
	for _, args := range steps[name] {
		args = slices.Clone(args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "WHO", who)
			if strings.Contains(args[i], "BLOB") {
				args[i] = strings.ReplaceAll(args[i], "BLOB", p.objectID("work", "rev-parse", "HEAD:d0/f0"))
			}
			if args[i] == "STASH" {
				index := p.objectID("work", "commit-tree", "-m", "index "+who, "-p", "HEAD", "HEAD^{tree}")
				args[i] = p.objectID("work", "commit-tree", "-m", fmt.Sprint("stash ", who, rand.Int()), "-p", "HEAD", "-p", index, "HEAD^{tree}")
			}
		}
		out, err := gittest.Run(filepath.Join(p.root, args[0]), args[1:]...)
		p.t.Logf("%s: git %q: %v %s", who, args[1:], err, out)
	}
}

// objectID is the object that git names.
func (p *placed) objectID(dir string, args ...string) string {
	p.t.Helper()
	return strings.TrimSpace(p.git(dir, args...))
}

// arrives is what there has captured, with all packs. For "base" what both agreed on is set
// aside, and what is here captured.
func (p *placed) arrives(from *placed, known string) Arrival {
	p.t.Helper()
	base := ""
	if known == "base" {
		base = p.keptBase()
		own := p.arrival(p, "work/.git")
		if err := os.Rename(own.From, base); err != nil {
			p.t.Fatal(err)
		}
		p.capture("work/.git")
	}
	a := p.arrival(from, "work/.git")
	a.Agreed, a.Base = known == "agreed", base
	p.bring(from, a)
	return a
}

func (p *placed) keptBase() string { return filepath.Join(p.root, ".coltec/stage/base") }
