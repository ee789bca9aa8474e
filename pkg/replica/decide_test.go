package replica

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// keptIn makes a tree with a file, and a version of it that is kept aside.
func keptIn(t *testing.T, path string) (root string, k ConflictCopy) {
	t.Helper()
	root = t.TempDir()
	id := "20300102T030405.000Z-b/" + path
	for file, content := range map[string]string{path: "has the name", conflictsPath(id): "kept aside"} {
		file = filepath.Join(root, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	list, err := ListConflicts(root, "", nil)
	if err != nil || len(list) != 1 || list[0].ID != id {
		t.Fatalf("%+v, %v", list, err)
	}
	return root, list[0]
}

// filesIn are what files of a tree have, its own directory included.
func filesIn(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(file string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel := strings.TrimPrefix(file, root+"/")
		if d.Type()&os.ModeSymlink != 0 {
			found[rel], err = os.Readlink(file)
			return err
		}
		b, err := os.ReadFile(file)
		found[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// What was decided about is what was shown. Of anything else nothing happens, and both are
// where they were.
func TestDecisionAboutAnotherThing(t *testing.T) {
	changes := map[string]func(root, file, kept string) error{
		"edited": func(_, file, _ string) error { return os.WriteFile(file, []byte("edited since"), 0o644) },
		"edited to the same size and time": func(_, file, _ string) error {
			info, err := os.Stat(file)
			return errors.Join(err, os.WriteFile(file, []byte("HAS THE NAME"), 0o644), os.Chtimes(file, time.Time{}, info.ModTime()))
		},
		"another file of its name": func(root, file, _ string) error {
			return errors.Join(os.WriteFile(root+"/new", []byte("another"), 0o644), os.Rename(root+"/new", file))
		},
		"removed": func(_, file, _ string) error { return os.Remove(file) },
		"renamed": func(root, file, _ string) error { return os.Rename(file, root+"/elsewhere") },
		"a link": func(_, file, _ string) error {
			return errors.Join(os.Remove(file), os.Symlink("has the name", file))
		},
		"a directory":    func(_, file, _ string) error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o755)) },
		"executable":     func(_, file, _ string) error { return os.Chmod(file, 0o755) },
		"the other side": func(_, _, kept string) error { return os.WriteFile(kept, []byte("KEPT ASIDE"), 0o644) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			root, k := keptIn(t, "d/f")
			sides, err := SidesOf(root, "", k, 0)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := SidesOf(root, "", k, 1<<20); err != nil || again.Seen() != sides.Seen() {
				t.Fatalf("the same sides are %q and %q, %v", sides.Seen(), again.Seen(), err)
			}
			if err := change(root, filepath.Join(root, "d/f"), filepath.Join(root, conflictsPath(k.ID))); err != nil {
				t.Fatal(err)
			}
			before := filesIn(t, root)
			_, take := TakeConflict(root, "", k, Decision{Seen: sides.Seen()})
			_, drop := DropConflict(root, "", k, Decision{Seen: sides.Seen()})
			for _, err := range []error{take, drop} {
				if !errors.Is(err, ErrOther) || !strings.Contains(strings.Join(hint.Of(err), "\n"), "look again") {
					t.Errorf("%v, %v", err, hint.Of(err))
				}
			}
			if after := filesIn(t, root); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("there is %q, and was %q", after, before)
			}
		})
	}
}

// What is written to a database goes to its log first.
func TestDecisionAboutADatabase(t *testing.T) {
	root, k := keptIn(t, "l.db")
	file := filepath.Join(root, "l.db")
	if err := os.WriteFile(file, []byte("SQLite format 3\x00 and pages"), 0o644); err != nil {
		t.Fatal(err)
	}
	sides, err := SidesOf(root, "", k, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+"-wal", []byte("a transaction"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := TakeConflict(root, "", k, Decision{Seen: sides.Seen()}); !errors.Is(err, ErrOther) {
		t.Errorf("a database that was written to is replaced: %v", err)
	}
}

// A version gets its name back whatever the name is made of, and whatever has it now. Where
// that cannot be, both stay where they are.
func TestTakenWhereItCanBe(t *testing.T) {
	for _, tt := range []struct {
		name, path string
		change     func(root, file string) error
		fails      string
	}{
		{"plain", "d/f", nil, ""},
		{"a dash", "-rf", nil, ""},
		{"lines", "a\nb/c\nd", nil, ""},
		{"no text", "\xff/\xfe", nil, ""},
		{"a percent sign", "100%0A", nil, ""},
		{"read-only", "d/f", func(root, _ string) error { return os.Chmod(root+"/d", 0o555) }, ""},
		{"gone", "d/f", func(_, file string) error { return os.Remove(file) }, ""},
		{"gone with its directory", "d/e/f", func(root, _ string) error { return os.RemoveAll(root + "/d") }, ""},
		{"a link has its name", "d/f", func(_, file string) error { return errors.Join(os.Remove(file), os.Symlink("/etc/passwd", file)) }, ""},
		{"a directory has its name", "d/f", func(_, file string) error {
			return errors.Join(os.Remove(file), os.Mkdir(file, 0o755), os.WriteFile(file+"/x", []byte("x"), 0o644))
		}, "a directory has its name"},
		{"a file has the name of its directory", "d/f", func(root, _ string) error {
			return errors.Join(os.RemoveAll(root+"/d"), os.WriteFile(root+"/d", []byte("x"), 0o644))
		}, `"d" is no directory any more`},
		{"a link has the name of its directory", "d/f", func(root, _ string) error {
			return errors.Join(os.Rename(root+"/d", root+"/e"), os.Symlink("e", root+"/d"))
		}, `"d" is no directory any more`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, k := keptIn(t, tt.path)
			if tt.change != nil {
				if err := tt.change(root, filepath.Join(root, tt.path)); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.Chmod(root+"/d", 0o755) })
			}
			before := filesIn(t, root)
			replaced, err := TakeConflict(root, "", k, Decision{})
			after := filesIn(t, root)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) || len(hint.Of(err)) == 0 || fmt.Sprint(after) != fmt.Sprint(before) {
					t.Errorf("%v, %v; there is %q, and was %q", err, hint.Of(err), after, before)
				}
				return
			}
			was, there := before[tt.path]
			if err != nil || after[tt.path] != "kept aside" || there != (replaced != "") || there && after[replaced] != was {
				t.Errorf("%v: there is %q, and was %q", err, after, before)
			}
			if list, err := ListConflicts(root, "", nil); err != nil || len(list) > 0 {
				t.Errorf("kept aside are %+v, %v", list, err)
			}
			if _, err := TakeConflict(root, "", k, Decision{}); !errors.Is(err, ErrNotKept) {
				t.Errorf("taken twice: %v", err)
			}
			if _, err := DropConflict(root, "", k, Decision{}); !errors.Is(err, ErrNotKept) {
				t.Errorf("and dropped: %v", err)
			}
		})
	}
}

// A version has a word that a command line and JSON can have, and is found by it.
func TestWordOfAVersion(t *testing.T) {
	for _, path := range []string{"f", "-f", "a\nb", "\xff", "100%", "%0A"} {
		_, k := keptIn(t, path)
		if word := k.Word(); strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r == '\uFFFD' }) {
			t.Errorf("%q is called %q", k.ID, word)
		}
		if itself, _ := k.Called(k.Word()); !itself {
			t.Errorf("%q does not mean %q", k.Word(), k.ID)
		}
		if _, is := k.Called(path); !is {
			t.Errorf("%q does not mean %q", path, k.ID)
		}
	}
}

// While a program writes a file, again and again, in the two ways that programs have, a version
// of it is taken: what the program wrote last is in its place, or with what was replaced.
func TestTakenWhileItIsWritten(t *testing.T) {
	for _, way := range []string{"in place", "by renaming"} {
		for try := range 40 {
			root, k := keptIn(t, "f")
			file := filepath.Join(root, "f")
			write := func(text string) error { return os.WriteFile(file, []byte(text), 0o644) }
			if way == "by renaming" {
				write = func(text string) error {
					return errors.Join(os.WriteFile(root+"/new", []byte(text), 0o644), os.Rename(root+"/new", file))
				}
			}
			end, last := make(chan struct{}), make(chan string)
			begun := make(chan struct{})
			go func() {
				defer close(last)
				text := ""
				for i := 0; ; i++ {
					select {
					case <-end:
						last <- text
						return
					default:
					}
					text = fmt.Sprintf("%s %d", way, i)
					if err := write(text); err != nil {
						t.Error(err)
						if i <= try {
							close(begun)
						}
						<-end
						last <- text
						return
					}
					if i == try {
						close(begun)
					}
				}
			}()
			<-begun
			_, err := TakeConflict(root, "", k, Decision{})
			close(end)
			text := <-last
			there := map[string]bool{}
			for _, content := range filesIn(t, root) {
				there[content] = true
			}
			if err != nil && !errors.Is(err, ErrOther) || !there[text] {
				t.Fatalf("%s: %v; the last one was %q, and there is %q", way, err, text, filesIn(t, root))
			}
		}
	}
}

// mounted mounts a file system of its own at a path until the test ends: its inodes are counted
// from the beginning, as those of each other one are.
func mounted(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(path, 0o755), unix.Mount("tmpfs", path, "tmpfs", 0, "")); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("cannot mount: %v", err)
		}
		t.Skipf("cannot mount, which takes root: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
}

// A file of a volume in the tree had the inode that the version kept aside had on another file
// system: it counted as that version, which was taken away.
func TestTakenBesideAFileOfItsInode(t *testing.T) {
	root := t.TempDir()
	mounted(t, root)
	mounted(t, root+"/v")
	id := "20300102T030405.000Z-b/v/f"
	kept := filepath.Join(root, conflictsPath(id))
	inode := func(file string) uint64 {
		info, err := os.Lstat(file)
		if err != nil {
			t.Fatal(err)
		}
		return localfs.Inode(info)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(kept), 0o755), os.WriteFile(kept, []byte("kept aside"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for file := root + "/v/f"; ; {
		if err := os.WriteFile(file, []byte("has the name"), 0o644); err != nil {
			t.Fatal(err)
		}
		is, want := inode(file), inode(kept)
		if is == want {
			break
		}
		if is > want {
			t.Fatalf("there is no file with inode %d: the next one has %d", want, is)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	list, err := ListConflicts(root, "", nil)
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	replaced, err := TakeConflict(root, "", list[0], Decision{})
	after := filesIn(t, root)
	if err != nil || after["v/f"] != "kept aside" || after[replaced] != "has the name" {
		t.Errorf("%q, %v: there is %q", replaced, err, after)
	}
}

// A version that is fetched may take its time, or not come. A database had been moved away before
// that, and its name was left without any; and what was edited meanwhile counted as what was shown.
func TestFetchedBeforeAnythingIsMoved(t *testing.T) {
	const id = "20300102T030405.000Z-b/d/f"
	away := errors.New("the store is away")
	for name, tt := range map[string]struct {
		fetch   func(file, dir string) error
		giveWay func(file, root string) (string, error)
		seen    bool
		is      error
		says    string
		now     string // what has the name in the end
	}{
		"it comes":               {now: "kept aside"},
		"it does not come":       {fetch: func(string, string) error { return away }, is: away, now: "has the name"},
		"edited meanwhile":       {fetch: func(file, _ string) error { return os.WriteFile(file, []byte("edited"), 0o644) }, seen: true, is: ErrOther, now: "edited"},
		"edited, whatever it is": {fetch: func(file, _ string) error { return os.WriteFile(file, []byte("edited"), 0o644) }, now: "kept aside"},
		"it does not give way":   {giveWay: func(string, string) (string, error) { return "", away }, is: away, now: "has the name"},
		"something takes the name that was given up": {giveWay: func(file, root string) (string, error) {
			return "moved", errors.Join(os.Rename(file, root+"/moved"), os.Mkdir(file, 0o755))
		}, says: "what had the name is at moved now"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			file := root + "/d/f"
			if err := errors.Join(os.MkdirAll(root+"/"+localfs.Dir, 0o700), os.Mkdir(root+"/d", 0o755), os.WriteFile(file, []byte("has the name"), 0o644)); err != nil {
				t.Fatal(err)
			}
			list, err := ListConflicts(root, "", []tree.Entry{{Path: conflictsPath(id), Kind: tree.File, Size: 10}})
			if err != nil || len(list) != 1 || list[0].Here {
				t.Fatalf("%+v, %v", list, err)
			}
			moved := 0
			d := Decision{
				Fetch: func(dir string) (string, error) {
					err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(dir+"/0", []byte("kept aside"), 0o644))
					if tt.fetch != nil {
						err = errors.Join(err, tt.fetch(file, dir))
					}
					return dir + "/0", err
				},
				GiveWay: func() (string, error) {
					moved++
					if tt.giveWay == nil {
						return "", nil
					}
					return tt.giveWay(file, root)
				},
			}
			if tt.seen {
				sides, err := SidesOf(root, "", list[0], 0)
				if err != nil {
					t.Fatal(err)
				}
				d.Seen = sides.Seen()
			}
			_, err = TakeConflict(root, "", list[0], d)
			if fails := tt.is != nil || tt.says != ""; fails != (err != nil) || tt.is != nil && !errors.Is(err, tt.is) ||
				!strings.Contains(strings.Join(hint.Of(err), "\n"), tt.says) {
				t.Errorf("%v, %q", err, hint.Of(err))
			}
			if tt.fetch != nil && tt.is != nil && moved > 0 {
				t.Error("what has the name had to give way")
			}
			if after := filesIn(t, root); tt.now != "" && after["d/f"] != tt.now {
				t.Errorf("there is %q", after)
			}
		})
	}
}

// What somebody else decides about while the versions are listed hid all that came after it.
func TestListedWhileOthersDecide(t *testing.T) {
	root, k := keptIn(t, "f")
	for i := range 200 {
		dir := filepath.Join(root, conflictsPath(fmt.Sprintf("20300101T030405.%03dZ-b", i)))
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(dir+"/f", nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	end := make(chan struct{})
	go func() {
		defer close(end)
		for i := range 200 {
			_ = os.RemoveAll(filepath.Join(root, conflictsPath(fmt.Sprintf("20300101T030405.%03dZ-b", i))))
		}
	}()
	for going := true; going; {
		select {
		case <-end:
			going = false
		default:
		}
		list, err := ListConflicts(root, "", nil)
		if err != nil || len(list) == 0 || list[len(list)-1].ID != k.ID {
			t.Fatalf("%d are listed, %v", len(list), err)
		}
	}
}

// changedAt takes a version while another program does something at a step of that.
func changedAt(t *testing.T, root string, k ConflictCopy, point string, exact bool, change func(file string) error) (replaced string, err error) {
	t.Helper()
	d := Decision{}
	if exact {
		sides, err := SidesOf(root, "", k, 0)
		if err != nil {
			t.Fatal(err)
		}
		d.Seen = sides.Seen()
	}
	killpoint.Arm(point, 1, func() {
		if err := change(filepath.Join(root, k.Path)); err != nil {
			t.Error(err)
		}
	})
	defer killpoint.Arm(point, 0, func() {})
	return TakeConflict(root, "", k, d)
}

// Between the look at what has the name and the moment at which it is replaced another program
// writes there. What was not shown is not replaced; where nothing was shown it is kept.
func TestTakenWhatChangedAtTheLastMoment(t *testing.T) {
	edit := func(file string) error { return os.WriteFile(file, []byte("edited"), 0o644) }
	another := func(file string) error {
		return errors.Join(os.WriteFile(file+".new", []byte("edited"), 0o644), os.Rename(file+".new", file))
	}
	directory := func(file string) error {
		return errors.Join(os.Remove(file), os.Mkdir(file, 0o755), os.WriteFile(file+"/x", []byte("edited"), 0o644))
	}
	for name, tt := range map[string]struct {
		change func(file string) error
		exact  bool
		taken  bool
		stays  map[string]string
	}{
		"edited, and shown before":   {edit, true, false, map[string]string{"d/f": "edited"}},
		"replaced, and shown before": {another, true, false, map[string]string{"d/f": "edited"}},
		"removed, and shown before":  {os.Remove, true, false, map[string]string{}},
		"edited":                     {edit, false, true, nil},
		"replaced":                   {another, false, true, nil},
		"removed":                    {os.Remove, false, false, map[string]string{}},
		"a directory":                {directory, false, false, map[string]string{"d/f/x": "edited"}},
	} {
		t.Run(name, func(t *testing.T) {
			root, k := keptIn(t, "d/f")
			replaced, err := changedAt(t, root, k, "conflict:linked", tt.exact, tt.change)
			after := filesIn(t, root)
			if tt.taken {
				if err != nil || after["d/f"] != "kept aside" || after[replaced] != "edited" {
					t.Errorf("%v: there is %q", err, after)
				}
				return
			}
			tt.stays[conflictsPath(k.ID)] = "kept aside"
			if !errors.Is(err, ErrOther) || fmt.Sprint(after) != fmt.Sprint(tt.stays) {
				t.Errorf("%v: there is %q, and was to be %q", err, after, tt.stays)
			}
		})
	}
}

// Where it cannot be written down that a version is aside no more, it is, and what another program
// wrote meanwhile is somewhere.
func TestNotTakenWhereThatCannotBeNoted(t *testing.T) {
	for name, tt := range map[string]struct {
		before, meanwhile func(file string) error
		wrote             string
	}{
		"replaced": {},
		"alone":    {before: os.Remove},
		"replaced, and written meanwhile": {meanwhile: func(file string) error {
			return errors.Join(os.WriteFile(file+".new", []byte("written"), 0o644), os.Rename(file+".new", file))
		}, wrote: "written"},
		"alone, and written meanwhile": {before: os.Remove, meanwhile: func(file string) error {
			return errors.Join(os.WriteFile(file+".new", []byte("written"), 0o644), os.Rename(file+".new", file))
		}, wrote: "written"},
		"alone, and removed meanwhile": {before: os.Remove, meanwhile: os.Remove},
	} {
		t.Run(name, func(t *testing.T) {
			root, k := keptIn(t, "d/f")
			if err := os.Mkdir(filepath.Join(root, localfs.Dir, droppedFile), 0o700); err != nil {
				t.Fatal(err)
			}
			if tt.before != nil {
				if err := tt.before(root + "/d/f"); err != nil {
					t.Fatal(err)
				}
			}
			before := filesIn(t, root)
			_, err := changedAt(t, root, k, "conflict:exchanged", false, func(file string) error {
				if tt.meanwhile == nil {
					return nil
				}
				return tt.meanwhile(file)
			})
			after := filesIn(t, root)
			if err == nil {
				t.Fatalf("it was taken: there is %q", after)
			}
			for file, text := range before {
				if after[file] != text {
					t.Errorf("%v: %s is %q, and was %q", err, file, after[file], text)
				}
			}
			found := tt.wrote == ""
			for _, text := range after {
				found = found || text == tt.wrote
			}
			if !found || tt.wrote == "" && len(after) != len(before) {
				t.Errorf("%v: there is %q, and was %q", err, after, before)
			}
		})
	}
}
