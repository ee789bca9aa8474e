package agents

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// goOnAtOnce is goOn with all agents at work at the same time.
func (said talks) goOnAtOnce(w *world, prompt string) {
	w.t.Helper()
	var turns []*running
	for _, a := range all {
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

// Two agents work at once, and their machine changes after each turn: the last request has
// all of what was said on all machines. COLTEC_AGENT_HOPS says how often.
func TestHops(t *testing.T) {
	w, said, hops := newWorld(t), talks{}, 2
	if text := os.Getenv("COLTEC_AGENT_HOPS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("COLTEC_AGENT_HOPS is %q, no number of hops", text)
		}
		hops = n
	}
	w.start()
	said.goOnAtOnce(w, "question 0")
	for i := range hops {
		w.stop()
		w.enter([]string{"b", "a"}[i%2])
		w.start()
		said.goOnAtOnce(w, fmt.Sprintf("question %d", i+1))
		if t.Failed() {
			t.Fatalf("hop %d of %d", i+1, hops)
		}
	}
	w.stop()
	w.keepsSecrets()
	t.Logf("%d hops, %d conversations went on in each", hops, len(all))
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

// haveBoth holds that the files of each agent have all of what was said.
func (w *world) haveBoth(all ...talks) {
	w.t.Helper()
	for _, said := range all {
		for name, words := range said {
			for _, word := range words {
				(&running{w: w, a: agent{name: name}}).hasWritten(word)
			}
		}
	}
}
