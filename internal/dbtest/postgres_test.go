package dbtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// open lets whom servers run as reach a directory that the test made.
func open(t *testing.T, dir string) string {
	t.Helper()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The judge finds a state that was sound, after a stop and after a kill, and one that is torn
// it refuses: a judge that is content with everything shows nothing.
func TestJudge(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	dir := open(t, t.TempDir())
	p := NewPostgres(t, filepath.Join(dir, "pg"))
	p.Start()
	p.Fill(1)
	load := p.Load(2)
	p.Transactions(100)
	load.Stop()
	want, err := p.Sums()
	if err != nil {
		t.Fatal(err)
	}
	copyOf := func(name string) *Postgres {
		t.Helper()
		to := filepath.Join(dir, name)
		if out, err := exec.Command("cp", "-a", p.Dir, to).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return OpenPostgres(t, to)
	}
	p.Stop()
	if got, err := copyOf("stopped").Judge(); err != nil || got != want {
		t.Errorf("after a stop: %+v, %v, want %+v", got, err, want)
	}
	torn := copyOf("torn") // its accounts are cut off by half
	file, err := exec.Command("find", torn.Dir+"/base", "-size", "+8M", "-type", "f").Output()
	if err != nil || len(file) == 0 {
		t.Fatal("no large table", err)
	}
	for _, path := range []string{string(file[:len(file)-1])} {
		info, err := os.Stat(path)
		if err == nil {
			err = os.Truncate(path, info.Size()/2/8192*8192)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got, err := torn.Judge(); err == nil {
		t.Errorf("half of a table is missing, and the judge is content: %+v", got)
	}
	p.Start()
	load = p.Load(2)
	p.Transactions(200)
	p.Kill()
	load.Stop()
	if got, err := copyOf("killed").Judge(); err != nil || got.Transactions < 200 {
		t.Errorf("after a kill: %+v, %v", got, err)
	}
}
