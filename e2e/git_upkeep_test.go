package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// untold holds that a machine that was just started was told of nothing that stayed
// elsewhere, and has no conflict.
func (m *machine) untold(after string) {
	m.t.Helper()
	doc := m.status()
	if len(doc.Attention) > 0 || doc.Replicas[0].Conflicts > 0 {
		m.t.Errorf("%s: %s: %d conflicts, attention: %q", m.name, after, doc.Replicas[0].Conflicts, doc.Attention)
	}
	if kept := m.git("repo", "for-each-ref", "refs/coltec"); kept != "" {
		m.t.Errorf("%s: %s: nothing was to be kept:\n%s", m.name, after, kept)
	}
}

// Upkeep of a repository right before a stop: the stop left all changes behind
// that its packs share a step with, because a pack that the repository here shares
// with its copy had one name less, and was too large for a small step. The next
// machine was told of changes that did not arrive, and the one after that of
// conflicts.
func TestUpkeepRightBeforeAStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.patient()
	a.history("repo", 60)
	a.write("repo/large", string(noise(1, 10<<20)))
	a.git("repo", "add", "large")
	a.git("repo", "commit", "-q", "-m", "a pack of more than a step before a stop")
	a.everyKind("repo")
	a.once()
	b.once()
	upkeep := [][]string{
		{"gc", "-q", "--prune=now"}, {"repack", "-adq"}, {"pack-refs", "--all"}, {"update-server-info"},
		{"maintenance", "run", "--quiet", "--task=gc"}, {"fsck"}, {"commit-graph", "write", "--reachable"}, {"multi-pack-index", "write"},
		{"-c", "gc.reflogExpire=now", "reflog", "expire", "--expire-unreachable=now", "refs/heads/side"},
	}
	here, there := b, a
	for i, args := range upkeep {
		here.start()
		here.untold(fmt.Sprintf("before git %s", args[0]))
		if i%2 == 1 {
			here.write("repo/d3/f3", here.name+args[0]+"\n")
			here.git("repo", "commit", "-q", "-m", args[0], "d3/f3")
		}
		here.git("repo", args...)
		here.stop()
		_, _ = there.tryGit("repo", "status") // a prompt, an editor: they write the index anew
		here, there = there, here
	}
	here.start()
	here.untold("in the end")
	sameAnswers(t, there, here, "repo")
	here.stop()
}

// A commit of more than a step before a stop has: the stop sent what names its
// pack first, found the pack too large beside that, and left both.
func TestALargeCommitRightBeforeAStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.patient()
	a.history("repo", 20)
	a.once()
	b.once()
	a.start()
	for i := range 2 {
		a.write(fmt.Sprint("repo/large", i), string(noise(uint64(i), 11<<20)))
		a.git("repo", "add", "-A")
		a.git("repo", "commit", "-q", "-m", "large")
	}
	a.write("notes", strings.Repeat("beside it\n", 1000))
	a.stop()
	b.start()
	b.untold("after a large commit")
	sameAnswers(t, a, b, "repo")
	b.stop()
}
