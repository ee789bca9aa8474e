// Package agents has real coding agents go on with their conversations on another machine:
// the programs from the npm registry in the versions of tools/agents, against a model of ours
// on loopback. A conversation went on when the model is told on the second machine what it
// said on the first. make e2e-agents runs it.
package agents

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
)

// patience is the deadline of every wait: far above what anything takes on a busy machine.
const patience = 4 * time.Minute

// The programs under test; set by TestMain.
var coltecd, rclonePath string

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == insideWord {
		fmt.Fprintln(os.Stderr, "not on a machine:", become(os.Args[2]))
		os.Exit(1)
	}
	if os.Getenv("COLTEC_E2E_AGENTS") == "" { // each test says why it is skipped
		os.Exit(m.Run())
	}
	if code, ran := apart(); ran {
		os.Exit(code)
	}
	if os.Getenv("COLTEC_E2E_AGENTS") == "more" {
		all = slices.Concat(usual, more)
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "coltec-agents-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = prepare(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot run agents:", err)
		return 1
	}
	return m.Run()
}

func prepare(dir string) (err error) {
	for _, a := range all {
		if _, err := a.find(); err != nil {
			return err
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil { // for other users, too
		return err
	}
	if out, err := exec.Command("go", "build", "-o", dir+"/", "../../cmd/coltecd", "../../cmd/coltec-mcp").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	coltecd = filepath.Join(dir, "coltecd")
	rclonePath, err = s3test.Rclone()
	return err
}

// talks are what was said in the conversations so far, by agents.
type talks map[string][]string

// goOn does a turn of each agent, the first one where nothing has been said, and holds that
// the model was told all of what was said before.
func (said talks) goOn(w *world, prompt string) {
	w.t.Helper()
	for _, a := range all {
		argv := a.next
		if len(said[a.name]) == 0 {
			argv = a.first
		}
		done := w.do(a, argv, prompt)
		done.holds(w.t, append(said[a.name], wish)...)
		said[a.name] = append(said[a.name], prompt, done.nonce)
	}
}

// thereAndBack does two turns on a machine, stops in order, does a turn on another, and one on
// the first one again: each knows what was said, and what is a secret of a machine is in no object.
func (w *world) thereAndBack() {
	w.t.Helper()
	said := talks{}
	w.start()
	said.goOn(w, "the first question")
	said.goOn(w, "the second question")
	w.stop()
	w.enter("b")
	w.start()
	said.goOn(w, "the third question, on b")
	w.stop()
	w.enter("a")
	w.start()
	said.goOn(w, "the fourth question, on a")
	w.stop()
	w.keepsSecrets()
}

func TestThereAndBack(t *testing.T) { newWorld(t).thereAndBack() }

// someone is a user whom no file of the system knows.
const someone = 54321

// The same by a user who is not root, in a home of its own.
func TestAnotherUser(t *testing.T) {
	users, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	if fields := strings.Fields(string(users)); len(fields) != 3 || fields[2] == "1" {
		t.Skipf("needs root, to run programs as other users: the users here are %q", users)
	}
	newWorldOf(t, someone).thereAndBack()
}

// A machine loses its power in the middle of a turn, after one that was synced: another one
// takes over, and goes on with all of what was.
func TestPowerLoss(t *testing.T) {
	w, said := newWorld(t), talks{}
	w.start()
	said.goOnAtOnce(w, all, "the first question")
	said.goOnAtOnce(w, all, "the second question")
	w.coltecd("sync")
	for _, a := range all {
		w.beginHeld(a, "a question of which nobody has an answer: "+a.name)
	}
	killed := w.crash()
	wanted := []string{"coltecd", "coltecd"} // the keeper is one too
	for _, a := range all {
		wanted = append(wanted, a.process)
	}
	for _, program := range wanted {
		i := slices.Index(killed, program)
		if i < 0 {
			t.Fatalf("%s did not run: %q", program, killed)
		}
		killed = slices.Delete(killed, i, i+1)
	}
	w.enter("b")
	w.start()
	said.goOnAtOnce(w, all, "the third question, on b")
	w.stop()
	w.keepsSecrets()
}

// coltecd stops while the model answers: the question is there on the other machine, and all
// of what was said before it.
func TestStopInATurn(t *testing.T) {
	w, said := newWorld(t), talks{}
	w.start()
	said.goOnAtOnce(w, all, "the first question")
	for _, a := range all {
		prompt := "the question in the middle of which it stops: " + a.name
		w.beginHeld(a, prompt)
		said[a.name] = append(said[a.name], prompt)
	}
	w.stop()
	w.crash() // the agents wait still
	w.enter("b")
	w.start()
	said.goOnAtOnce(w, all, "the third question, on b")
	w.stop()
	w.keepsSecrets()
}

// coltecd stops while the model answers, and the answer comes soon: the stop waits for it, and
// the other machine has it. A machine that is busy may need another attempt to be soon enough.
func TestAnswerWhileItStops(t *testing.T) {
	w, said := newWorld(t), talks{}
	w.start()
	said.goOnAtOnce(w, all, "the first question")
	for i, next := range []string{"b", "a", "b", "a", "b"} {
		var turns []*running
		for _, a := range all {
			prompt := fmt.Sprintf("the question in the middle of which it stops: %s, %d", a.name, i)
			turns = append(turns, w.beginHeld(a, prompt))
			said[a.name] = append(said[a.name], prompt)
		}
		stopped := w.stopInBackground()
		w.model.GoOn()
		ended := stopped()
		for _, r := range turns {
			if nonce := r.wait().nonce; ended {
				said[r.a.name] = append(said[r.a.name], nonce)
			}
		}
		w.enter(next)
		w.start()
		said.goOnAtOnce(w, all, "a question on "+next)
		if ended {
			return
		}
	}
	t.Error("no stop has waited for the answers")
}

// The answer to a turn that a stop has cut off comes late, when another machine has gone on with the
// conversation: the first one goes on with what was said there, and keeps the answer.
func TestLateAnswer(t *testing.T) {
	w, said, late := newWorld(t), talks{}, talks{}
	w.start()
	said.goOnAtOnce(w, all, "the first question")
	var turns []*running
	for _, a := range all {
		prompt := "the question whose answer comes late: " + a.name
		turns = append(turns, w.beginHeld(a, prompt))
		said[a.name] = append(said[a.name], prompt)
	}
	w.stop()
	w.model.HoldNoMore()
	w.enter("b")
	w.start()
	said.goOnAtOnce(w, all, "the third question, on b")
	w.stop()
	w.model.GoOn()
	for _, r := range turns {
		late[r.a.name] = append(late[r.a.name], r.wait().nonce)
	}
	w.enter("a")
	w.start()
	said.goOnAtOnce(w, all, "the fourth question, on a")
	w.haveBoth(said, late)
	w.stop()
	w.keepsSecrets()
}
