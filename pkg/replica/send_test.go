package replica

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store/storetest"
)

// found is a scan of a machine's whole tree.
func (m *machine) found() *Changes {
	m.w.t.Helper()
	found, err := m.Scan(m.w.t.Context(), nil)
	m.w.must(err)
	return found
}

// sent is what Send makes of a scan.
func (m *machine) sent(found *Changes) *Staged {
	m.w.t.Helper()
	staged, err := m.Send(m.w.t.Context(), found, m.w.epoch, nil)
	m.w.must(err)
	m.w.t.Cleanup(func() { staged.Spool.Close() })
	return staged
}

// calm pushes until a scan finds nothing: what was written a moment ago is looked at again.
func (m *machine) calm() {
	m.w.t.Helper()
	for deadline := time.Now().Add(time.Minute); m.found().Any; {
		_, err := m.push()
		m.w.must(err)
		if time.Now().After(deadline) {
			m.w.t.Fatal("scans do not come to find nothing")
		}
	}
}

// A scan gives the memory of the base back, and reports whether there is anything to push;
// where the base cannot be put away that is said, and the scan is one all the same.
func TestScanUnloads(t *testing.T) {
	one, _ := started(t, map[string]string{"a": "1"})
	one.calm()
	if found := one.found(); found.Any || found.Loaded != nil || !unloaded(one.base) {
		t.Errorf("%+v, unloaded: %v", found, unloaded(one.base))
	}
	one.write(map[string]string{"b": "2"})
	if found := one.found(); !found.Any || len(found.Edited) != 1 {
		t.Errorf("%+v", found)
	}

	one.w.must(one.base.Load())
	one.base.Distrust() // now it is to be written before it can be put away
	file := filepath.Join(one.Dir(), "base")
	one.w.must(errorsJoin(os.Remove(file), os.MkdirAll(filepath.Join(file, "in its place"), 0o700)))
	if found, err := one.Scan(t.Context(), nil); err != nil || found.Loaded == nil || !found.Any || unloaded(one.base) {
		t.Errorf("%+v, %v, unloaded: %v", found, err, unloaded(one.base))
	}
}

// What is sent is what was found, until the stage is full. While edits are left over no
// deletion is judged, and none goes before somebody has said so.
func TestSend(t *testing.T) {
	files := manyFiles("d", 20)
	files["k"] = "k"
	one, two := started(t, files)
	two.mustAcquire()
	removes("d")(one)
	one.write(map[string]string{"e": "1", "f": "2"})
	one.stageBytes = 1
	found := one.found()
	staged := one.sent(found)
	if len(staged.Deferred) == 0 || staged.Loss != nil || staged.Lost != nil || staged.Goes || staged.Found != found {
		t.Errorf("with edits left over: %+v", staged)
	}
	one.stageBytes = usualStage
	staged = one.sent(found)
	if staged.Loss == nil || len(staged.Lost) != 20 || staged.Loss.Gone != 20 || staged.Loss.Files != 21 || !staged.Loss.GivesBack || staged.Goes {
		t.Errorf("with all of them: %+v", staged)
	}
	step, err := one.MakeStep(staged, false, one.w.epoch, one.w.generation+1)
	if err != nil || step.Deleted != 0 {
		t.Errorf("deletions go that nobody judged: %+v, %v", step, err)
	}
	one.pushAll()
	if out, err := two.acquire(SettleOptions{AllowDelete: true}); err != nil || out.Deleted != 20 {
		t.Errorf("%+v, %v", out, err)
	}
	two.wantTree(map[string]string{"e": "1", "f": "2", "k": "k"})
}

// What takes the place of a directory waits for what was in it to go, so that it keeps no
// deletion from being judged.
func TestSendInThePlaceOfADirectory(t *testing.T) {
	one, _ := started(t, map[string]string{"d/x": "1", "d/y": "2", "k": "k"})
	one.calm()
	removes("d")(one)
	one.write(map[string]string{"d": "a file now", "e": "3"})
	one.stageBytes = 1
	staged := one.sent(one.found())
	if len(staged.Deferred) != 1 || staged.Deferred[0].Path != "d" || staged.Loss == nil || len(staged.Lost) != 2 {
		t.Errorf("%+v", staged)
	}
}

// An upload that fails leaves nothing in the stage.
func TestSendFails(t *testing.T) {
	one, _ := started(t, map[string]string{"a": "1"})
	one.write(map[string]string{"b": strings.Repeat("b", 1000)})
	found := one.found()
	one.w.bucket.Inject(storetest.Fault{Op: storetest.Upload, Class: rclone.Server})
	if staged, err := one.Send(t.Context(), found, one.w.epoch, nil); err == nil || staged != nil {
		t.Errorf("%+v, %v", staged, err)
	}
	one.w.bucket.Heal()
	if _, err := os.Lstat(filepath.Join(one.StageDir(), "out")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the stage keeps what was to be sent: %v", err)
	}
	if n := one.pushAll(); n != 1 {
		t.Errorf("then %d generations", n)
	}
}

// A step is made where there is something new, or where one is wanted anyway.
func TestMakeStep(t *testing.T) {
	one, _ := started(t, map[string]string{"d/x": "1", "k": "k"})
	w := one.w
	one.calm()
	staged := one.sent(one.found())
	if step, err := one.MakeStep(staged, false, w.epoch, w.generation+1); step != nil || err != nil {
		t.Errorf("of nothing: %+v, %v", step, err)
	}
	step, err := one.MakeStep(staged, true, w.epoch, w.generation+1)
	if err != nil || step == nil || step.Delta.Header.Generation != w.generation+1 || step.Publication.Epoch != w.epoch {
		t.Errorf("anyway: %+v, %v", step, err)
	}

	// What the file system alone notes of a file goes to the base, and makes no step.
	one.calm()
	w.must(os.Chmod(one.at("k"), 0o644))
	found := one.found()
	staged = one.sent(found)
	if step, err := one.MakeStep(staged, false, w.epoch, w.generation+1); step != nil || err != nil || len(staged.Refreshed) != 1 {
		t.Errorf("%+v, %+v, %v", step, staged, err)
	}

	// What is in a directory that a file takes the place of stays for now, and so does
	// the directory.
	removes("d")(one)
	one.write(map[string]string{"d": "a file now"})
	staged = one.sent(one.found())
	if _, err = one.MakeStep(staged, false, w.epoch, w.generation+1); err != nil || len(staged.Withheld) != 1 || staged.Withheld[0].Path != "d" {
		t.Errorf("%+v, %v", staged.Withheld, err)
	}
	staged = one.sent(one.found())
	staged.Goes = true
	step, err = one.MakeStep(staged, false, w.epoch, w.generation+1)
	if err != nil || len(staged.Withheld) != 0 || step.Deleted != 1 {
		t.Errorf("%+v, %+v, %v", step, staged.Withheld, err)
	}
}

// A tree with another inode is trusted from the moment that a walk of all of it found
// nothing to ask about: not by one of a part, nor while deletions are not judged or wait.
func TestMovedTreeIsLookedAt(t *testing.T) {
	tests := map[string]struct {
		do      func(*machine)
		dirs    map[string]bool
		stage   int64
		goes    bool // what is lost, by somebody's word
		trusted bool
	}{
		"nothing changed":                     {do: func(*machine) {}, trusted: true},
		"nothing changed in what was touched": {do: func(*machine) {}, dirs: map[string]bool{"d": true}},
		"edits":                               {do: writes("e", "f"), trusted: true},
		"edits in what was touched":           {do: writes("e", "f"), dirs: map[string]bool{"": false}},
		"edits that do not fit":               {do: writes("e", "f"), stage: 1},
		"deletions that wait":                 {do: removes("d")},
		"deletions that go":                   {do: removes("d"), goes: true, trusted: true},
		"deletions behind edits":              {do: func(m *machine) { removes("d")(m); writes("e", "f")(m) }, stage: 1, goes: true},
		"a new name for all":                  {do: func(m *machine) { m.w.must(os.Rename(m.at("d"), m.at("e"))) }, goes: true, trusted: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			files := manyFiles("d", 20)
			files["k"] = "k"
			one, _ := started(t, files)
			one.calm()
			one.moved = true
			tt.do(one)
			if tt.stage > 0 {
				one.stageBytes = tt.stage
			}
			found, err := one.Scan(t.Context(), tt.dirs)
			one.w.must(err)
			if found.Any {
				if one.givesBack() {
					t.Error("it is trusted before anything was judged")
				}
				staged := one.sent(found)
				staged.Goes = tt.goes
				_, err = one.MakeStep(staged, false, one.w.epoch, one.w.generation+1)
				one.w.must(err)
			}
			if one.givesBack() != tt.trusted {
				t.Errorf("trusted: %v", !tt.trusted)
			}
		})
	}
}

func writes(names ...string) func(*machine) {
	return func(m *machine) {
		for _, name := range names {
			m.put(name, name)
		}
	}
}
