package watch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// without leaves out what lies in directories of that name.
type without string

func (w without) File(path string) bool { return !w.in(path) }
func (w without) Dir(path string) bool  { return !w.in(path) }
func (w without) in(path string) bool {
	return strings.HasPrefix(path+"/", string(w)+"/") || strings.Contains(path+"/", "/"+string(w)+"/")
}

// lab is a watched tree.
type lab struct {
	t       *testing.T
	root    string
	telling chan struct{} // when a change is about to be told; what has no room is dropped
	changed chan telling
	trouble chan error
}

// telling is one call of Changed.
type telling struct {
	at   time.Time
	dirs Touched
}

func watched(t *testing.T, quiet, most time.Duration) *lab {
	t.Helper()
	l := &lab{t: t, root: t.TempDir(), changed: make(chan telling, 1000), trouble: make(chan error, 1000)}
	l.mkdir("src/deep")
	l.mkdir("node_modules/x")
	l.mkdir("mark")
	l.write("mark/f")
	l.run(quiet, most)
	return l
}

func (l *lab) run(quiet, most time.Duration) {
	l.begin(quiet, most)
	if err := <-l.trouble; err != nil {
		l.t.Fatal(err)
	}
	l.told("the beginning")
}

func (l *lab) begin(quiet, most time.Duration) {
	l.telling = make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Run(ctx, Options{
			Root: l.root, Match: without("node_modules"), Quiet: quiet, Most: most, Again: 100 * time.Millisecond,
			Changed: func(dirs Touched) {
				select {
				case l.telling <- struct{}{}:
				default:
				}
				l.changed <- telling{time.Now(), dirs}
			}, Trouble: func(err error) { l.trouble <- err },
		})
	}()
	l.t.Cleanup(func() { cancel(); <-done })
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}
func (l *lab) mkdir(path string) {
	l.t.Helper()
	l.must(os.MkdirAll(filepath.Join(l.root, path), 0o755))
}
func (l *lab) write(path string) {
	l.t.Helper()
	l.must(os.WriteFile(filepath.Join(l.root, path), []byte(time.Now().String()), 0o644))
}

// touch changes a file in one step: what writes one takes several, and where they are apart,
// on a busy machine, each of them is told.
func (l *lab) touch(path string) {
	l.t.Helper()
	l.must(os.Chtimes(filepath.Join(l.root, path), time.Now(), time.Now()))
}

// told waits until a change is told.
func (l *lab) told(what string) telling {
	l.t.Helper()
	select {
	case told := <-l.changed:
		return told
	case <-time.After(time.Minute):
		l.t.Fatalf("%s is not told", what)
		return telling{}
	}
}

func TestEveryKindOfChangeIsTold(t *testing.T) {
	l := watched(t, 20*time.Millisecond, time.Second)
	file := filepath.Join(l.root, "src/deep/f")
	steps := []struct {
		what string
		do   func()
	}{
		{"a new file", func() { l.write("src/deep/f") }},
		{"an edit", func() { l.write("src/deep/f") }},
		{"a chmod", func() { l.must(os.Chmod(file, 0o755)) }},
		{"a touch", func() { l.must(os.Chtimes(file, time.Now(), time.Now())) }},
		{"a rename", func() { l.must(os.Rename(file, file+"2")) }},
		{"a link", func() { l.must(os.Symlink("f2", file)) }},
		{"a removed file", func() { l.must(os.Remove(file)) }},
		{"a new directory", func() { l.mkdir("new/below") }},
		{"a file in it", func() { l.write("new/below/g") }},
		{"a directory that moves", func() { l.must(os.Rename(filepath.Join(l.root, "new"), filepath.Join(l.root, "src/moved"))) }},
		{"a file in the one that moved", func() { l.write("src/moved/below/g") }},
		{"a directory that moves out", func() { l.must(os.Rename(filepath.Join(l.root, "src/moved"), filepath.Join(t.TempDir(), "x"))) }},
		{"a tree that is removed", func() { l.must(os.RemoveAll(filepath.Join(l.root, "src"))) }},
	}
	for _, s := range steps {
		for len(l.changed) > 0 { // the last of the step before
			<-l.changed
		}
		s.do()
		l.told(s.what)
	}
}

// all gives together what is told up to a change of a mark.
func (l *lab) all() Touched {
	l.t.Helper()
	l.touch("mark/f")
	all := Touched{}
	for all != nil {
		all = all.Join(l.told("a mark").dirs)
		if _, ok := all["mark"]; ok {
			break
		}
	}
	delete(all, "mark")
	return all
}

// Each change is told with the directories to look into, and no others.
func TestTheDirectoriesAreTold(t *testing.T) {
	l := &lab{t: t, root: t.TempDir(), changed: make(chan telling, 1000), trouble: make(chan error, 1000)}
	at := func(path string) string { return filepath.Join(l.root, path) }
	outside := t.TempDir()
	for _, dir := range []string{"mark", "last", "a/b", "c", "far/away", "node_modules/x"} {
		l.mkdir(dir)
	}
	l.write("a/b/f")
	l.write("mark/f")
	l.write("last/f")
	l.begin(20*time.Millisecond, time.Second)
	if dirs := l.told("the beginning").dirs; dirs != nil {
		t.Errorf("at the beginning it tells of %v", dirs)
	}
	steps := []struct {
		what string
		do   func()
		want Touched
	}{
		{"a new file", func() { l.write("a/b/g") }, Touched{"a/b": false}},
		{"an edit", func() { l.write("a/b/g") }, Touched{"a/b": false}},
		{"a file at the top", func() { l.write("top") }, Touched{"": false}},
		{"a chmod", func() { l.must(os.Chmod(at("a/b/g"), 0o755)) }, Touched{"a/b": false}},
		{"a chmod of a directory", func() { l.must(os.Chmod(at("a/b"), 0o700)) }, Touched{"a": false, "a/b": false}},
		{"a rename within", func() { l.must(os.Rename(at("a/b/g"), at("a/b/h"))) }, Touched{"a/b": false}},
		{"a rename elsewhere", func() { l.must(os.Rename(at("a/b/h"), at("c/h"))) }, Touched{"a/b": false, "c": false}},
		{"a removed file", func() { l.must(os.Remove(at("c/h"))) }, Touched{"c": false}},
		{"new directories", func() { l.mkdir("c/d") }, Touched{"c": false, "c/d": true}},
		{"a directory that moves", func() { l.must(os.Rename(at("a/b"), at("c/b"))) }, Touched{"a": false, "c": false, "c/b": true}},
		{"an edit in it", func() { l.write("c/b/f") }, Touched{"c/b": false}},
		{"a directory that moves out", func() { l.must(os.Rename(at("c/b"), filepath.Join(outside, "b"))) }, Touched{"c": false}},
		{"an edit of what moved out", func() { l.must(os.WriteFile(filepath.Join(outside, "b/f"), nil, 0o600)) }, Touched{}},
		{"a directory that moves in", func() { l.must(os.Rename(filepath.Join(outside, "b"), at("in"))) }, Touched{"": false, "in": true}},
		{"a directory that is removed", func() { l.must(os.Remove(at("c/d"))) }, Touched{"c": false}},
		{"one in the place of another", func() {
			l.must(os.RemoveAll(at("in")))
			l.mkdir("in")
		}, Touched{"": false, "in": true}},
		{"what is excluded", func() { l.write("node_modules/x/f") }, Touched{}},
	}
	for _, s := range steps {
		s.do()
		got := l.all()
		if diff := cmp.Diff(s.want, got); diff != "" {
			t.Errorf("%s: %s", s.what, diff)
		}
	}
	for i := range mostTouched + 1 {
		l.mkdir(fmt.Sprint("c/", i))
	}
	if got := l.all(); got != nil {
		t.Errorf("%d directories are told of by name", len(got))
	}
	l.write("far/away/f")
	l.touch("last/f")
	after := Touched{} // a part of the many may come in it, and their mark, where they came slowly
	for after != nil {
		after = after.Join(l.told("a change after that").dirs)
		if _, ok := after["last"]; ok {
			break
		}
	}
	if whole, ok := after["far/away"]; !ok || whole {
		t.Errorf("after that it tells of %v", after)
	}
}

// What is excluded is neither watched nor told: the only change that is told is
// the one that counts.
func TestExcludedTreesAreNotTold(t *testing.T) {
	l := watched(t, 20*time.Millisecond, time.Second)
	for i := range 50 {
		l.mkdir(fmt.Sprintf("node_modules/x/%d", i))
		l.write(fmt.Sprintf("node_modules/x/%d/f", i))
	}
	l.touch("mark/f")
	l.told("what counts")
	// All events of the excluded tree, had there been any, came before.
	l.touch("mark/f")
	l.told("what counts, again")
	if n := len(l.changed); n > 0 {
		t.Errorf("%d more changes are told", n)
	}
}

// A tree that is never quiet is told all the same, and many changes are told
// as few.
func TestConstantWriting(t *testing.T) {
	l := watched(t, 100*time.Millisecond, 300*time.Millisecond)
	stop, wrote := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				wrote <- n
				return
			case <-time.After(5 * time.Millisecond): // the noise itself
				_ = os.WriteFile(filepath.Join(l.root, "src/log"), []byte(fmt.Sprint(n)), 0o644)
			}
		}
	}()
	first := l.told("constant writing")
	second := l.told("constant writing, again")
	close(stop)
	n := <-wrote
	if second.at.Sub(first.at) < 90*time.Millisecond {
		t.Errorf("told again after %v", second.at.Sub(first.at))
	}
	if told := len(l.changed) + 2; told > n {
		t.Errorf("%d writes are told as %d changes", n, told)
	}
}

// A root that goes away is said, and is no end.
func TestTheRootGoes(t *testing.T) {
	l := watched(t, 20*time.Millisecond, time.Second)
	l.must(os.Rename(l.root, l.root+" away"))
	for {
		select {
		case err := <-l.trouble:
			if err != nil {
				if !strings.Contains(err.Error(), "moved or removed") && !strings.Contains(err.Error(), "no such file") {
					t.Errorf("it says %v", err)
				}
				l.must(os.Rename(l.root+" away", l.root))
				return
			}
		case <-time.After(time.Minute):
			t.Fatal("nothing is said")
		}
	}
}
