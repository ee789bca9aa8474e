package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/control"
)

// The bucket held all that its generations refer to, and verify said so, of a repository that
// was damaged before it was saved.
func TestVerifyOpensRepositories(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.spec(nil)
	m.history("sound", 10)
	m.history("r", 20)
	m.everyKind("r")
	m.start()
	m.sync()
	if text := m.must("verify", "--deep"); !strings.Contains(text, "repositories and databases were opened, 0 of them") {
		t.Error(text)
	}
	well := w.generations()
	sound := well[len(well)-1].Number

	m.write("r/new", "a file whose content is lost")
	m.git("r", "add", "new")
	m.git("r", "commit", "-q", "-m", "new")
	oid := strings.TrimSpace(m.git("r", "rev-parse", "HEAD:new"))
	if err := os.Remove(m.path("r/.git/objects/" + oid[:2] + "/" + oid[2:])); err != nil {
		t.Fatal(err)
	}
	m.run("sync") // which says that it is not carried as it is
	m.must("verify")
	m.refused(1, "not everything is sound", "verify", "--deep", "--quick")
	out, _, _ := m.run("verify", "--deep", "--json")
	var verdicts []control.Verdict
	if err := json.Unmarshal([]byte(out), &verdicts); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if len(verdicts) != 1 || verdicts[0].Opened < 2 || len(verdicts[0].Broken) != 1 {
		t.Fatalf("the verdict is %s", inline(verdicts))
	}
	b := verdicts[0].Broken[0]
	if b.Path != "r/.git" || b.Sound != sound || b.Generation <= sound || !strings.Contains(strings.Join(b.Wrong, "\n"), oid) {
		t.Errorf("of the object %s, in generation %d, it says %s", oid, sound, inline(b))
	}
	m.must("verify", "--deep", "--at", "1")
	m.refused(2, "--at belongs to verify --deep", "verify", "--at", "1")
	m.stop()
	m.refused(1, "not everything is sound", "verify", "--deep") // it needs nobody who runs
}
