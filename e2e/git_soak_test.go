package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// Random git work on two machines, with coltecd killed in the middle of it, and
// hops in order and out of order. After each hop the repository is sound, and in
// the end no commit and no stash that was ever made is lost.
//
// COLTEC_GIT_ROUNDS is the number of rounds, COLTEC_SEED repeats a run as far as
// chance allows.
func TestRandomGitWork(t *testing.T) {
	t.Parallel()
	rounds, seed := fromEnv(t, "COLTEC_GIT_ROUNDS", 6), seedFromEnv(t)
	t.Logf("%d rounds; COLTEC_SEED=%d repeats them as far as chance allows", rounds, seed)
	w := newWorld(t)
	g := &gitHavoc{t: t, rng: rand.New(rand.NewPCG(uint64(seed), 2)), commits: map[string]bool{}, stashes: map[string]bool{}, did: map[string]int{}}
	g.players[0], g.players[1] = w.brief()
	g.players[0].history("repo", 60)
	g.players[0].once()
	g.players[1].once()
	for range rounds {
		g.round()
	}
	g.finish()
	t.Logf("done: %v; %d commits, %d stashes", g.did, len(g.commits), len(g.stashes))
}

// gitHavoc is a run of random work.
type gitHavoc struct {
	t       *testing.T
	rng     *rand.Rand
	players [2]*machine
	active  int
	edits   int
	commits map[string]bool // that were made
	stashes map[string]bool // that were made and not taken again
	did     map[string]int
}

func (g *gitHavoc) here() *machine { return g.players[g.active] }

// round works while coltecd is at it, kills it, and now and then goes on
// elsewhere.
func (g *gitHavoc) round() {
	m := g.here()
	m.must("start")
	ctx, cancel := context.WithCancel(context.Background())
	synced := make(chan struct{})
	go func() {
		defer close(synced)
		m.keepSyncing(ctx)
	}()
	moments := 2 + g.rng.IntN(8)
	strikes := g.rng.IntN(moments)
	for i := range moments {
		g.work(m)
		<-time.After(time.Duration(g.rng.IntN(60)) * time.Millisecond) // any moment will do
		if i == strikes {
			m.kill9()
		}
	}
	cancel()
	<-synced
	m.fsck("repo")
	switch g.rng.IntN(4) {
	case 0: // the other takes over what was pushed; the rest comes when this one is back
		g.did["hop without a flush"]++
		g.active = 1 - g.active
		g.opened(g.here())
	case 1, 2:
		g.did["hop"]++
		g.opened(m)
		g.active = 1 - g.active
		g.opened(g.here())
	default:
		g.did["go on"]++
	}
}

// opened opens the workspace at a machine, and ends it in order.
func (g *gitHavoc) opened(m *machine) {
	g.t.Helper()
	if m.answers() {
		m.stop()
	}
	eventually(g.t, m.name+" has the lease, which the other may have left behind", func() error {
		if out, talk, code := m.run("run", "--once"); code != 0 {
			return fmt.Errorf("exit %d: %s%s", code, out, talk)
		}
		return nil
	})
	m.fsck("repo")
}

// finish brings both together, and looks for all that was made.
func (g *gitHavoc) finish() {
	for _, i := range []int{0, 1, 0, 1} {
		g.opened(g.players[i])
	}
	a, b := g.players[0], g.players[1]
	for _, q := range [][]string{{"for-each-ref"}, {"stash", "list", "--format=%H"}} {
		if x, y := a.git("repo", q...), b.git("repo", q...); x != y {
			g.t.Errorf("git %q differs in the end:\n%s\n%s", q, x, y)
		}
	}
	for _, m := range g.players {
		g.holds(m)
	}
}

// holds looks for all that was made.
func (g *gitHavoc) holds(m *machine) {
	g.t.Helper()
	reached := strings.Fields(m.git("repo", "rev-list", "--all", "--reflog", "HEAD"))
	stashed := strings.Fields(m.git("repo", "stash", "list", "--format=%H"))
	for oid := range g.commits {
		if !slices.Contains(reached, oid) {
			g.t.Errorf("%s: commit %s is lost", m.name, oid)
		}
	}
	for oid := range g.stashes {
		if !slices.Contains(stashed, oid) {
			g.t.Errorf("%s: stash %s is lost", m.name, oid)
		}
	}
}

// work does one thing that people do. It may fail: what is checked out need not
// allow it.
func (g *gitHavoc) work(m *machine) {
	g.edits++
	file := fmt.Sprintf("repo/d%d/f%d", g.rng.IntN(10), g.rng.IntN(60))
	body := fmt.Sprintf("%d by %s\n", g.edits, m.name)
	git := func(args ...string) bool {
		_, err := m.tryGit("repo", args...)
		return err == nil
	}
	commit := func(did string, args ...string) {
		g.did[did]++
		if git(args...) {
			g.commits[strings.TrimSpace(m.git("repo", "rev-parse", "HEAD"))] = true
		}
	}
	switch g.rng.IntN(12) {
	case 0, 1, 2:
		m.write(file, body)
		git("add", "-A")
		commit("commit", "commit", "-q", "-m", body)
	case 3:
		commit("amend", "commit", "-q", "--amend", "--allow-empty", "-m", body)
	case 4:
		m.write(file, body)
		g.did["stash"]++
		if before, _ := m.tryGit("repo", "rev-parse", "-q", "--verify", "refs/stash"); git("stash", "push", "-q", "-u", "-m", body) {
			if now, _ := m.tryGit("repo", "rev-parse", "-q", "--verify", "refs/stash"); now != before {
				g.stashes[strings.TrimSpace(now)] = true
			}
		}
	case 5:
		g.did["pop"]++
		if top, err := m.tryGit("repo", "rev-parse", "-q", "--verify", "refs/stash"); err == nil && git("stash", "pop", "-q") {
			delete(g.stashes, strings.TrimSpace(top))
		}
	case 6:
		g.did["branch"]++
		git("switch", "-q", "-c", fmt.Sprintf("topic-%d", g.edits))
	case 7:
		g.did["switch"]++
		branches := strings.Fields(m.git("repo", "for-each-ref", "--format=%(refname:short)", "refs/heads"))
		git("switch", "-q", branches[g.rng.IntN(len(branches))])
	case 8:
		commit("merge", "merge", "-q", "--no-edit", "-X", "ours", "main")
	case 9:
		m.write(file, body)
		g.did["add"]++
		git("add", "-A")
	case 10:
		g.did["gc"]++
		git("gc", "-q", "--prune=now")
	case 11:
		m.write(file, body)
		git("add", "-A")
		commit("detached", "commit", "-q", "-m", body)
		git("checkout", "-q", "--detach", "HEAD~1")
	}
}
