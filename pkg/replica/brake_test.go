package replica

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The rule of the brake: docs/planner.md has it in words.
func TestBrake(t *testing.T) {
	tests := map[string]struct {
		loss Loss
		want bool
	}{
		// Nothing gives them back.
		"none": {Loss{Files: 100}, false}, "the only one": {Loss{Files: 1, Gone: 1}, false},
		"both": {Loss{Files: 2, Gone: 2}, true}, "all": {Loss{Files: 5, Gone: 5}, true},
		"ten of twelve": {Loss{Files: 12, Gone: 10}, false}, "eleven of twelve": {Loss{Files: 12, Gone: 11}, true},
		"half": {Loss{Files: 40, Gone: 20}, false}, "more than half": {Loss{Files: 40, Gone: 21}, true},
		"an empty base": {Loss{}, false},
		// A kept generation does.
		"more than half, and it comes back":       {Loss{Files: 40, Gone: 21, GivesBack: true}, false},
		"eleven of twelve, and it comes back":     {Loss{Files: 12, Gone: 11, GivesBack: true}, true},
		"all, and it comes back":                  {Loss{Files: 5, Gone: 5, GivesBack: true}, true},
		"nine of ten, and few":                    {Loss{Files: 10, Gone: 9, GivesBack: true}, false},
		"nine of ten":                             {Loss{Files: 1000, Gone: 900, GivesBack: true}, true},
		"a little less":                           {Loss{Files: 1000, Gone: 899, GivesBack: true}, false},
		"one of two directories":                  {Loss{Files: 1000, Gone: 700, Open: 990, OpenGone: 700, GivesBack: true}, false},
		"rm -rf *, with many dotfiles":            {Loss{Files: 1000, Gone: 600, Open: 600, OpenGone: 600, GivesBack: true}, true},
		"rm -rf *, with more dotfiles than files": {Loss{Files: 1000, Gone: 400, Open: 400, OpenGone: 400, GivesBack: true}, false},
		"a dot directory, and a README":           {Loss{Files: 1000, Gone: 601, Open: 1, OpenGone: 1, GivesBack: true}, false},
		// Somebody had a say in some of them.
		"a branch with 5,584 files less":                   {Loss{Files: 5600, Gone: 5584, Explained: 5584, Open: 5600, OpenGone: 5584, GivesBack: true}, false},
		"the same where nothing gives them back":           {Loss{Files: 5600, Gone: 5584, Explained: 5584}, false},
		"and rm -rf of the rest":                           {Loss{Files: 5600, Gone: 5600, Explained: 5584, Open: 5600, OpenGone: 5600, GivesBack: true}, true},
		"and a few more":                                   {Loss{Files: 5600, Gone: 5588, Explained: 5584, Open: 5600, OpenGone: 5588, GivesBack: true}, false},
		"an empty branch":                                  {Loss{Files: 50, Gone: 50, Explained: 50, GivesBack: true}, false},
		"a word for some, and many more than it was about": {Loss{Files: 100, Gone: 95, Explained: 20, GivesBack: true}, true},
		// A removal that takes long is seen in steps.
		"a switch of branches that a step fell into": {Loss{Files: 4511, Gone: 4481, Explained: 4481, Lately: 1103, GivesBack: true}, false},
		"the first step": {Loss{Files: 10_000, Gone: 4000, GivesBack: true}, false},
		"the second one": {Loss{Files: 6000, Gone: 4000, Lately: 4000, GivesBack: true}, false},
		"the last one":   {Loss{Files: 2000, Gone: 1500, Lately: 8000, GivesBack: true}, true},
		"a few files of what was left on purpose": {Loss{Files: 2000, Gone: 3, Lately: 8000, GivesBack: true}, false},
	}
	for name, tt := range tests {
		if tt.loss.Waits() != tt.want {
			t.Errorf("%s: waits %v", name, !tt.want)
		}
	}
}

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
	if !one.GivesBack() {
		t.Fatal("nothing gives back")
	}
	one.base.Header.Inode++
	one.w.must(one.base.Save())
	for range 2 {
		one.restart()
		one.mustAcquire()
		if one.GivesBack() {
			t.Fatal("a moved tree is trusted")
		}
	}
	one.w.must(one.Trust())
	one.restart()
	one.mustAcquire()
	if !one.GivesBack() {
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
