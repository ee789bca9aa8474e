package agents

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// goOnAtOnce is goOn with some agents that are at work at the same time.
func (said talks) goOnAtOnce(w *world, some []agent, prompt string) {
	w.t.Helper()
	var turns []*running
	for _, a := range some {
		argv := a.next
		if len(said[a.name]) == 0 {
			argv = a.first
		}
		turns = append(turns, w.begin(a, argv, prompt))
	}
	for _, r := range turns {
		done := r.wait()
		done.holds(w.t, append(said[r.a.name], wish)...)
		said[r.a.name] = append(said[r.a.name], prompt, done.nonce)
	}
}

// Agents work at once, and their machine changes after each turn: the last request of each has all of
// what was said on all machines.
func TestHops(t *testing.T) {
	w, said := newWorld(t), talks{}
	w.start()
	said.goOnAtOnce(w, all, "question 0")
	for i, next := range []string{"b", "a"} {
		w.stop()
		w.enter(next)
		w.start()
		said.goOnAtOnce(w, all, fmt.Sprintf("question %d", i+1))
	}
	w.stop()
	w.keepsSecrets()
}

// The same over as many hops as COLTEC_AGENT_HOPS says, in each of which the next agent of a
// loop goes on.
func TestManyHops(t *testing.T) {
	text := os.Getenv("COLTEC_AGENT_HOPS")
	if text == "" {
		t.Skip("soak: make soak-agents")
	}
	hops, err := strconv.Atoi(text)
	if err != nil || hops < 1 {
		t.Fatalf("COLTEC_AGENT_HOPS is %q, no number of hops", text)
	}
	w, said, turns := newWorld(t), talks{}, map[string]int{}
	w.start()
	said.goOnAtOnce(w, all, "question 0")
	for i := range hops {
		w.stop()
		w.enter([]string{"b", "a"}[i%2])
		w.start()
		a := all[i%len(all)]
		said.goOnAtOnce(w, []agent{a}, fmt.Sprintf("question %d", i+1))
		if t.Failed() {
			t.Fatalf("hop %d of %d", i+1, hops)
		}
		turns[a.name]++
		if i%10 == 9 {
			fmt.Printf("%d of %d hops, each went on: %v\n", i+1, hops, turns)
		}
	}
	w.stop()
	w.keepsSecrets()
	t.Logf("%d hops, each went on: %v", hops, turns)
}

// Agents are used on the other machine before coltecd runs there: the conversations of both
// machines are on both after that, but for those of an agent that has all in one file: that one has
// the first machine's, and the other one is kept beside it.
func TestUsedBeforeTheRestore(t *testing.T) {
	w, here, there := newWorld(t), talks{}, talks{}
	w.start()
	here.goOnAtOnce(w, all, "the first question")
	here.goOnAtOnce(w, all, "the second question")
	w.stop()
	w.enter("b")
	w.configure()
	for _, a := range all {
		there[a.name] = append(there[a.name], w.do(a, a.first, "a question before the restore").nonce)
	}
	w.start()
	w.haveBoth(here, there)
	w.stop()
	w.enter("a")
	w.start()
	for _, a := range all {
		if a.oneFile { // what there was of it on b is a conflict copy there
			delete(there, a.name)
		}
	}
	w.haveBoth(here, there)
	w.stop()
	w.keepsSecrets()
}

// haveBoth holds that the home has all of what was said, be it in files that were put aside.
func (w *world) haveBoth(all ...talks) {
	w.t.Helper()
	for _, said := range all {
		for name, words := range said {
			for _, word := range words {
				if !w.has(word) {
					w.t.Errorf("%s: %q of %s is in no file of the home", w.at, word, name)
				}
			}
		}
	}
}

// has reports whether a file of the home has a text.
func (w *world) has(text string) (found bool) {
	w.t.Helper()
	err := filepath.WalkDir(w.real(w.at, w.home()), func(path string, e fs.DirEntry, err error) error {
		if err != nil || found || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		found = strings.Contains(string(b), text)
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
	return found
}
