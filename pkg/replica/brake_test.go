package replica

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// many are that many files in a directory.
func manyFiles(dir string, n int) map[string]string {
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("%s/%02d", dir, i)] = fmt.Sprint(dir, i)
	}
	return files
}

// What is gone from one directory of two goes where a generation gives it back, and waits
// where none does. A directory that has another name now is not gone at all.
func TestPlacedDeletions(t *testing.T) {
	tests := map[string]struct {
		do   func(one *machine)
		o    SettleOptions
		held int
	}{
		"one of two directories, given back":        {removes("d"), SettleOptions{GivesBack: true}, 0},
		"one of two directories, and nothing is":    {removes("d"), SettleOptions{}, 20},
		"nearly all":                                {removes("d", "k"), SettleOptions{GivesBack: true}, 22},
		"nearly all, with a word that came with it": {removes("d", "k"), SettleOptions{Allowed: 22}, 0},
		"with a word for less":                      {removes("d", "k"), SettleOptions{Allowed: 3}, 22},
		"renamed":                                   {func(m *machine) { m.w.must(os.Rename(m.at("d"), m.at("e"))) }, SettleOptions{}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			files := manyFiles("d", 20)
			files["k/1"], files["k/2"], files["z"] = "1", "2", "z"
			one, two := started(t, files)
			two.mustAcquire()
			tt.do(one)
			one.pushAll()
			out, err := two.acquire(tt.o)
			if err != nil || len(out.Held) != tt.held {
				t.Fatalf("%d wait: %+v, %v", len(out.Held), out, err)
			}
			if tt.held > 0 { // still, however often it is looked at
				if out, err = two.settle(tt.o); err != nil || len(out.Held) != tt.held {
					t.Errorf("then %d wait, %v", len(out.Held), err)
				}
				return
			}
			if _, err := os.Lstat(two.at("d")); err == nil {
				t.Error("the directory is still there")
			}
			if got := two.base.Header.Allowed; got != tt.o.Allowed {
				t.Errorf("the base knows of %d words", got)
			}
		})
	}
}

func removes(paths ...string) func(*machine) {
	return func(m *machine) {
		for _, path := range paths {
			m.w.must(os.RemoveAll(m.at(path)))
		}
	}
}

// An edit beats a delete, whatever was said.
func TestEditedAmongManyDeletions(t *testing.T) {
	one, two := started(t, manyFiles("d", 20))
	two.mustAcquire()
	removes("d")(one)
	one.write(map[string]string{"new": "n"})
	one.pushAll()
	two.write(map[string]string{"d/03": "an edit"})
	if out, err := two.acquire(SettleOptions{Allowed: 20}); err != nil || out.Deleted != 19 {
		t.Errorf("%+v, %v", out, err)
	}
	two.wantTree(map[string]string{"new": "n", "d": "/", "d/03": "an edit"})
}

// What a person takes back while its deletion waits is pushed again, with the
// directories that it is in; and a word for one generation is none for a later one.
func TestReturn(t *testing.T) {
	one, two := started(t, manyFiles("d", 20))
	two.mustAcquire()
	removes("d")(one)
	one.write(map[string]string{"new": "n"})
	one.pushAll()
	if out := two.mustAcquire(); len(out.Held) != 20 {
		t.Fatalf("%+v", out)
	}
	one.w.must(Return(two.Path, "", "d", two.base.Header.Generation-1))
	if out, err := two.settle(SettleOptions{}); err != nil || len(out.Held) != 20 {
		t.Errorf("an old word counts: %+v, %v", out, err)
	}
	one.w.must(Return(two.Path, "", "d", two.base.Header.Generation))
	if out, err := two.settle(SettleOptions{}); err != nil || len(out.Held) != 0 || out.Deleted != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := os.Lstat(filepath.Join(two.Dir(), returning)); err == nil {
		t.Error("the word stays")
	}
	two.pushAll()
	one.mustAcquire()
	want := manyFiles("d", 20)
	want["d"], want["new"] = "/", "n"
	one.wantTree(want)
}

// A tree that has another inode than the one that was synced last may be a part of a copy:
// many deletions wait in it until a whole walk found none, also after a restart.
func TestMovedTree(t *testing.T) {
	one, _ := started(t, manyFiles("d", 20))
	if !one.givesBack() {
		t.Fatal("nothing gives back")
	}
	one.base.Header.Inode++
	one.w.must(one.base.Save())
	for range 2 {
		one.restart()
		one.mustAcquire()
		if one.givesBack() {
			t.Fatal("a moved tree is trusted")
		}
	}
	one.w.must(one.Trust())
	one.restart()
	one.mustAcquire()
	if !one.givesBack() {
		t.Error("it is not trusted, though it was looked at")
	}
}

func TestOpenNames(t *testing.T) {
	for path, want := range map[string]bool{"a": true, "a/.b": true, ".a": false, ".a/b": false} {
		if open(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}
