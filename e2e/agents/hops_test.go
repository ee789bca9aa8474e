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

// Two agents work at once, and their machine changes after each turn, by a loop over all: the
// last request of each has all of what was said on all machines. COLTEC_AGENT_HOPS says how often.
func TestHops(t *testing.T) {
	w, said, hops, turns := newWorld(t), talks{}, 2, 0
	if text := os.Getenv("COLTEC_AGENT_HOPS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("COLTEC_AGENT_HOPS is %q, no number of hops", text)
		}
		hops = n
	}
	w.start()
	said.goOnAtOnce(w, all, "question 0")
	for i := range hops {
		w.stop()
		w.enter([]string{"b", "a"}[i%2])
		w.start()
		two := []agent{all[i%len(all)], all[(i+1)%len(all)]}
		said.goOnAtOnce(w, two, fmt.Sprintf("question %d", i+1))
		if t.Failed() {
			t.Fatalf("hop %d of %d", i+1, hops)
		}
		turns += len(two)
	}
	w.stop()
	w.keepsSecrets()
	t.Logf("%d hops, %d turns went on, of %s", hops, turns, names(""))
}

// Agents are used on the other machine before coltecd runs there: the conversations of both
// machines are on both after that.
func TestUsedBeforeTheRestore(t *testing.T) {
	w, here, there := newWorld(t), talks{}, talks{}
	w.start()
	here.goOn(w, "the first question")
	here.goOn(w, "the second question")
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
