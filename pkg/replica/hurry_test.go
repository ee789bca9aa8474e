package replica

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/tree"
)

// A stop sent a log that a program wrote all the time again and again, a step for each,
// and the large file behind it never: until its time was over.
func TestHurryWithALogThatGrows(t *testing.T) {
	m := newWorld(t).machine("m")
	m.mustAcquire()
	log := strings.Repeat("line\n", 1000)
	m.write(map[string]string{"log": log, "large.log": strings.Repeat("noise", hurryBytes/4)})
	m.pushAll()
	m.ShortenSteps()
	m.put("large", strings.Repeat("large", hurryBytes/4))
	appendTo := func(name string) {
		t.Helper()
		f, err := os.OpenFile(m.at(name), os.O_WRONLY|os.O_APPEND, 0)
		m.w.must(err)
		_, err = f.WriteString("more\n")
		m.w.must(errorsJoin(err, f.Close()))
	}
	steps := 0
	for rest := 1; rest > 0; steps++ {
		if steps == 5 {
			t.Fatal("the end is never reached")
		}
		appendTo("log")
		appendTo("large.log")
		found, err := m.ScanIn(t.Context(), nil)
		m.w.must(err)
		batch := m.Layout.Begin(filepath.Join(t.TempDir(), "out"), m.w.epoch, nil)
		staged, err := m.StageEdits(t.Context(), batch, found.Edited)
		m.w.must(err)
		m.w.must(batch.Send(t.Context()))
		rest = len(staged.Deferred)
		step, err := m.Next(staged, nil, nil, m.w.epoch, m.w.generation+1)
		m.w.must(err)
		ref, err := m.Layout.Publish(t.Context(), step.Publication)
		m.w.must(err)
		step.Delta.Header.Ref = ref.Manifest
		m.w.must(m.w.commit(m, step))
	}
	m.w.must(m.base.Load())
	for _, name := range []string{"log", "large.log", "large"} {
		row, s := m.base.Row(name), m.at(name)
		info, err := os.Stat(s)
		m.w.must(err)
		if row == nil || row.Kind != tree.File || row.Size != info.Size() {
			t.Errorf("%s has %d bytes, and in the bucket it is %+v", name, info.Size(), row)
		}
	}
	t.Logf("%d steps", steps)
}
