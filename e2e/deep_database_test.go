package e2e

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/coltec/coltec/pkg/control"
)

// A database whose pages were torn before it was saved is as torn in the bucket, and only a
// look at its pages tells.
func TestVerifyOpensDatabases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.spec(nil)
	m.ledger("torn.db", "wal", 2000)
	m.ledger("sound.db", "delete", 2000)
	m.start()
	m.sync()
	m.must("verify", "--deep")
	gens := w.generations()
	sound := gens[len(gens)-1].Number

	f, err := os.OpenFile(m.path("torn.db"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	half := make([]byte, 2048) // of the pages in the second half of the file
	for at := info.Size() / 8192 * 4096; at < info.Size(); at += 4096 {
		if _, err := f.WriteAt(half, at+2048); err != nil {
			t.Fatal(err)
		}
	}
	m.sync()
	m.must("verify")
	m.refused(1, "not everything is sound", "verify", "--deep", "--quick")
	out, _, _ := m.run("verify", "--deep", "--json")
	var verdicts []control.Verdict
	if err := json.Unmarshal([]byte(out), &verdicts); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if len(verdicts) != 1 || verdicts[0].Opened != 2 || len(verdicts[0].Broken) != 1 {
		t.Fatalf("the verdict is %s", inline(verdicts))
	}
	if b := verdicts[0].Broken[0]; b.Path != "torn.db" || b.Sound != sound || len(b.Wrong) == 0 {
		t.Errorf("sound in generation %d: %s", sound, inline(b))
	}
}
