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
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
)

// patience is the deadline of every wait: far above what anything takes on a busy machine.
const patience = 90 * time.Second

// The programs under test, and the directory with those of others; set by TestMain.
var coltecd, rclonePath, agentsDir string

func TestMain(m *testing.M) {
	if os.Getenv("COLTEC_E2E_AGENTS") == "" { // each test says why it is skipped
		os.Exit(m.Run())
	}
	if code, ran := apart(); ran {
		os.Exit(code)
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
	agentsDir = os.Getenv("COLTEC_AGENTS_DIR")
	for _, a := range all {
		if _, err := exec.LookPath(filepath.Join(agentsDir, "node_modules/.bin", a.first[0])); err != nil {
			return err
		}
	}
	if out, err := exec.Command("go", "build", "-o", dir+"/", "../../cmd/coltecd").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	coltecd = filepath.Join(dir, "coltecd")
	rclonePath, err = s3test.Rclone()
	return err
}

// Two turns on a machine, an orderly stop, and a turn on another: it knows what was said.
func TestIdleHop(t *testing.T) {
	w := newWorld(t)
	w.start()
	said := map[string][]string{}
	for _, a := range all {
		first := w.do(a, a.first, "the first question")
		second := w.do(a, a.next, "the second question")
		second.holds(t, a, first.nonce)
		said[a.name] = []string{first.nonce, second.nonce}
	}
	w.stop()
	w.enter("b")
	w.start()
	for _, a := range all {
		w.do(a, a.next, "the third question").holds(t, a, append(said[a.name], "the first question", "the second question")...)
	}
	w.stop()
}
