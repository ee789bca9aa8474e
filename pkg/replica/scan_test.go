package replica

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// What is called as the replica's own directory in other letters is the same where names
// fold: it is carried nowhere. A path that no reader takes is named.
func TestWalkOfOddNames(t *testing.T) {
	m := newWorld(t).machine("m")
	m.write(map[string]string{"a": "", ".COLTEC": "", ".Coltec/base": "", "d/.COLTEC": "", "d/.Coltec/x": ""})
	deep := strings.Repeat(strings.Repeat("n", 250)+"/", 70)
	t.Chdir(m.Path)
	for name := range strings.SplitSeq(strings.TrimSuffix(deep, "/"), "/") {
		m.w.must(os.Mkdir(name, 0o755))
		t.Chdir(name)
	}
	seen, un, err := localfs.Walk(t.Context(), m.Path, m.matcher())
	m.w.must(err)
	var paths []string
	for _, s := range seen {
		paths = append(paths, s.Path)
	}
	unknown := map[string]string{}
	for _, u := range un {
		unknown[u.Path] = u.Reason
	}
	for _, path := range []string{".COLTEC", ".Coltec"} {
		if !strings.Contains(unknown[path], "give it another") {
			t.Errorf("of %s it says %q", path, unknown[path])
		}
	}
	if !slices.Contains(paths, "d/.Coltec/x") || slices.Contains(paths, ".COLTEC") || slices.Contains(paths, ".Coltec") {
		t.Errorf("%q", paths[:min(len(paths), 8)])
	}
	long := 0
	for path, why := range unknown {
		if len(path) > 16<<10 && strings.Contains(why, "too long") {
			long++
		}
	}
	if long != 1 {
		t.Errorf("%d paths are too long", long)
	}
}

func TestWalkRootMissing(t *testing.T) {
	m := newWorld(t).machine("m")
	m.mustAcquire()
	m.write(map[string]string{"a": "1", "b": "2"})
	m.pushAll()
	m.w.must(os.RemoveAll(m.Path))
	if _, err := m.ScanIn(t.Context(), nil); err == nil {
		t.Error("a missing root was scanned")
	}
	if !m.lost() {
		t.Error("nothing is lost")
	}
}

// asNobody runs a test once more, as a user without root's rights.
func asNobody(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	if os.Getuid() != 0 {
		test(t)
		return
	}
	dir, err := os.MkdirTemp("", "coltec-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// go test keeps the binary where only its owner may look.
	bin := filepath.Join(dir, "test")
	body, err := os.ReadFile(self)
	if err := errorsJoin(err, os.Chmod(dir, 0o755), os.WriteFile(bin, body, 0o755)); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(dir, "own")
	if err := errorsJoin(os.Mkdir(own, 0o700), os.Chown(own, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Dir = own
	cmd.Env = []string{"TMPDIR=" + own, "HOME=" + own, "COLTEC_TEST_DIR=" + own}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.WaitDelay = 10 * time.Second // what holds its output ends by then
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}

func errorsJoin(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestUnreadableIsNotGone(t *testing.T) {
	asNobody(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.machine("m")
		m.mustAcquire()
		m.write(map[string]string{"d/a": "1", "d/e/b": "2", "f": "3", "g": "4"})
		m.pushAll()
		d, f := filepath.Join(m.Path, "d"), filepath.Join(m.Path, "f")
		w.must(errorsJoin(os.Chmod(d, 0), os.WriteFile(f, []byte("changed"), 0o644), os.Chmod(f, 0)))
		found, err := m.ScanIn(t.Context(), nil)
		w.must(err)
		if len(found.Gone) > 0 || !slices.ContainsFunc(found.Unknown, func(u localfs.Unknown) bool { return u.Path == "d" }) {
			t.Errorf("%+v", found)
		}
		batch := m.Layout.Begin(filepath.Join(m.StageDir(), "out"), 1, nil)
		staged, err := m.StageEdits(t.Context(), batch, found.Edited)
		w.must(err)
		if len(staged.Changes) > 0 || len(staged.Unsettled) != 1 || staged.Unsettled[0].Path != "f" {
			t.Errorf("%+v", staged)
		}
		// The other side changes and deletes below what cannot be read here.
		other := w.machine("other")
		other.mustAcquire()
		w.must(os.Remove(filepath.Join(other.Path, "d/a")))
		other.write(map[string]string{"d/e/b": "theirs", "f": "theirs", "g": "theirs"})
		other.pushAll()
		out, err := m.acquire(SettleOptions{})
		w.must(err)
		if out.Placed != 1 || out.Deleted != 0 || len(out.Conflicts) != 0 {
			t.Errorf("%+v", out)
		}
		w.must(errorsJoin(os.Chmod(d, 0o755), os.Chmod(f, 0o644)))
		if _, err = m.acquire(SettleOptions{}); err != nil {
			t.Fatal(err)
		}
		m.wantTree(map[string]string{"d": "/", "d/e": "/", "d/e/b": "theirs", "f": "theirs", "g": "theirs"})
		if diff := cmp.Diff(map[string]string{"f": "changed"}, m.conflicts()); diff != "" {
			t.Error(diff)
		}
	})
}

// Directories that must not be written, as the module cache of Go has them.
func TestReadOnlyDirectories(t *testing.T) {
	asNobody(t, func(t *testing.T) {
		w := newWorld(t)
		one, two := w.machine("one"), w.machine("two")
		one.mustAcquire()
		one.write(map[string]string{"d/a": "1", "d/b": "2", "d/e/c": "3", "d/e/gone": "4"})
		lock := func(m *machine, mode os.FileMode) {
			w.must(errorsJoin(os.Chmod(filepath.Join(m.Path, "d/e"), mode), os.Chmod(filepath.Join(m.Path, "d"), mode)))
		}
		lock(one, 0o555)
		one.pushAll()
		two.mustAcquire()
		if diff := cmp.Diff(one.show(), two.show()); diff != "" {
			t.Error(diff)
		}
		lock(one, 0o755)
		one.write(map[string]string{"d/a": "changed", "d/e/new": "n", "d/x/y": "z"})
		w.must(os.Remove(filepath.Join(one.Path, "d/e/gone")))
		lock(one, 0o555)
		one.pushAll()
		two.mustAcquire()
		if diff := cmp.Diff(one.show(), two.show()); diff != "" {
			t.Error(diff)
		}
		lock(one, 0o755)
		lock(two, 0o755)
	})
}

// readerAt runs f when a file has been read halfway.
type hookedBatch struct {
	store.Batch
	during func(path string)
}

func (b hookedBatch) Add(ctx context.Context, e *tree.Entry, r io.Reader) (func() error, error) {
	first := make([]byte, 1)
	n, _ := io.ReadFull(r, first)
	b.during(e.Path)
	return b.Batch.Add(ctx, e, io.MultiReader(bytes.NewReader(first[:n]), r))
}

// A file that moves while it is read is staged as it is behind that, whole, or not at
// all, and is found again.
func TestStageOfAFileThatChanges(t *testing.T) {
	tests := map[string]func(file string) error{
		"rewritten, same size": func(f string) error { return os.WriteFile(f, []byte("zyx"), 0o644) },
		"appended":             func(f string) error { return os.WriteFile(f, []byte("abcd"), 0o644) },
		"truncated":            func(f string) error { return os.Truncate(f, 0) },
		"chmod":                func(f string) error { return os.Chmod(f, 0o755) },
		"touched":              func(f string) error { return os.Chtimes(f, time.Now(), time.Unix(1, 0)) },
		"replaced": func(f string) error {
			return errorsJoin(os.WriteFile(f+"~", []byte("new"), 0o644), os.Rename(f+"~", f))
		},
		"removed":    os.Remove,
		"a link now": func(f string) error { return errorsJoin(os.Remove(f), os.Symlink("x", f)) },
		"a fifo now": func(f string) error { return errorsJoin(os.Remove(f), unix.Mkfifo(f, 0o600)) },
		"its directory a link": func(f string) error {
			d := filepath.Dir(f)
			return errorsJoin(os.Rename(d, d+"2"), os.Symlink(filepath.Base(d)+"2", d))
		},
	}
	for name, change := range tests {
		for _, when := range []string{"before", "during"} {
			t.Run(name+" "+when, func(t *testing.T) {
				m := newWorld(t).machine("m")
				m.mustAcquire()
				m.write(map[string]string{"d/f": "abc", "g": "stays", "d/h": "here too"})
				found, err := m.ScanIn(t.Context(), nil)
				m.w.must(err)
				file := filepath.Join(m.Path, "d/f")
				changed := false
				batch := hookedBatch{m.Layout.Begin(filepath.Join(m.StageDir(), "out"), 1, nil), func(path string) {
					if when == "during" && path == "d/f" && !changed {
						changed = true
						m.w.must(change(file))
					}
				}}
				if when == "before" {
					m.w.must(change(file))
				}
				staged, err := m.StageEdits(t.Context(), batch, found.Edited)
				m.w.must(err)
				for _, c := range staged.Changes {
					if c.Path != "d/f" || when == "during" && (name == "removed" || name == "replaced" || strings.HasSuffix(name, "now") || name == "its directory a link") {
						continue // what was open is what was there
					}
					body, err := os.ReadFile(file)
					info, statErr := os.Lstat(file)
					m.w.must(errorsJoin(err, statErr))
					if c.Sum != tree.Sum(sha256.Sum256(body)) || c.Size != int64(len(body)) || os.FileMode(c.Mode) != info.Mode() {
						t.Errorf("staged as %+v where there is %q, %v", c, body, info)
					}
				}
				if !slices.ContainsFunc(staged.Changes, func(c *base.Change) bool { return c.Path == "g" }) {
					t.Errorf("another file was not staged: %+v", staged)
				}
				m.pushAll()
				remote, _ := m.w.remote(m.w.ref)
				if diff := cmp.Diff(m.show(), remote); diff != "" {
					t.Errorf("after the next rounds: %s", diff)
				}
			})
		}
	}
}

// What costs an upload, and what does not.
func TestPushCosts(t *testing.T) {
	large := strings.Repeat("large ", 20000)
	tests := map[string]struct {
		edit    func(m *machine) error
		objects int // beside the manifest
	}{
		"nothing":             {func(*machine) error { return nil }, 0},
		"a new file":          {func(m *machine) error { m.put("new", "new"); return nil }, 1},
		"many small files":    {func(m *machine) error { m.put("n/1", "1"); m.put("n/2", "2"); m.put("n/3", "3"); return nil }, 1},
		"a large file":        {func(m *machine) error { m.put("new", large+"new"); return nil }, 1},
		"same size":           {func(m *machine) error { m.put("a", "aaaab"); return nil }, 1},
		"chmod":               {func(m *machine) error { return os.Chmod(m.at("a"), 0o755) }, 0},
		"touch":               {func(m *machine) error { return os.Chtimes(m.at("a"), time.Now(), time.Unix(5, 5)) }, 0},
		"rename":              {func(m *machine) error { return os.Rename(m.at("large"), m.at("moved")) }, 0},
		"rename of a dir":     {func(m *machine) error { return os.Rename(m.at("d"), m.at("moved")) }, 0},
		"a copy":              {func(m *machine) error { m.put("copy", large); return nil }, 0},
		"a hard link":         {func(m *machine) error { return os.Link(m.at("large"), m.at("hard")) }, 0},
		"rewritten as it was": {func(m *machine) error { m.put("a", "aaaaa"); return nil }, 0},
		"removed":             {func(m *machine) error { return os.Remove(m.at("a")) }, 0},
		"a link":              {func(m *machine) error { m.put("l", "> a"); return nil }, 0},
		"an empty file":       {func(m *machine) error { m.put("empty", ""); return nil }, 0},
		"a directory":         {func(m *machine) error { m.put("dir/", ""); return nil }, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := newWorld(t).machine("m")
			m.mustAcquire()
			// What is moved is more than a little content, which is sent again.
			m.write(map[string]string{"a": "aaaaa", "large": large, "d/e": strings.Repeat("ddd", littleContent)})
			m.pushAll()
			before := len(m.objects())
			m.w.must(tt.edit(m))
			m.pushAll()
			if n := len(m.objects()) - before; n != tt.objects {
				t.Errorf("%d objects", n)
			}
			remote, _ := m.w.remote(m.w.ref)
			if diff := cmp.Diff(m.show(), remote); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func (m *machine) at(name string) string { return filepath.Join(m.Path, name) }

// objects are the keys of stored content.
func (m *machine) objects() []string {
	return slices.DeleteFunc(m.w.bucket.Keys(), func(k string) bool { return !strings.HasPrefix(k, "p/.coltec/o/") })
}

// Edits of the same size within one tick of the file system's clock show
// nothing in their times.
func TestScanSeesFastEdits(t *testing.T) {
	sample.Long(t)
	m := newWorld(t).machine("m")
	m.mustAcquire()
	for i := range 40 {
		m.put("a", fmt.Sprintf("%03d", i))
		m.pushAll()
		m.put("a", fmt.Sprintf("%03d", i+500))
		m.pushAll()
		remote, _ := m.w.remote(m.w.ref)
		if got := contentIn(remote["a"]); got != fmt.Sprintf("%03d", i+500) {
			t.Fatalf("round %d: the head has %q", i, got)
		}
	}
}

// The descriptor of a directory was kept over rounds: after a checkout had
// removed the directory and made it anew, nothing in it was ever pushed again.
func TestScanOfADirectoryMadeAnew(t *testing.T) {
	m := newWorld(t).machine("m")
	m.mustAcquire()
	m.write(map[string]string{"src/a": "1"})
	m.pushAll()
	for i := range 3 {
		m.w.must(os.Rename(m.at("src"), m.at("old")))
		m.w.must(os.RemoveAll(m.at("old")))
		m.write(map[string]string{"src/a": fmt.Sprint("new", i)})
		m.pushAll()
		remote, _ := m.w.remote(m.w.ref)
		if got := contentIn(remote["src/a"]); got != fmt.Sprint("new", i) {
			t.Errorf("the head has %q", got)
		}
	}
}

// A renamed file is not lost, a removed one is.
func TestLosing(t *testing.T) {
	m := newWorld(t).machine("m")
	m.mustAcquire()
	m.write(map[string]string{"a": "1", "b": "2", "d/c": "3", "l": "> a"})
	m.pushAll()
	m.w.must(errorsJoin(os.Rename(m.at("a"), m.at("x")), os.RemoveAll(m.at("d")), os.Remove(m.at("l"))))
	found, err := m.ScanIn(t.Context(), nil)
	m.w.must(err)
	staged, err := m.StageEdits(t.Context(), m.Layout.Begin(filepath.Join(m.StageDir(), "out"), 1, nil), found.Edited)
	m.w.must(err)
	if lost, err := staged.losing(found.Gone); err != nil || len(lost) != 2 || len(found.Gone) != 4 {
		t.Errorf("losing %v of %v, %v", lost, found.Gone, err)
	}
}

// mounted tells the base that it saw a mount point at a path.
func (m *machine) mounted(path string) {
	m.w.t.Helper()
	row := *m.base.Row(path)
	row.Seen.Mount = true
	m.w.must(m.base.Apply(base.Delta{Changes: []base.Change{{Row: row}}}))
}

// Mounts come and go; what they hide is not gone. The base is told that there
// was one, since a test may have no right to mount.
func TestMountsThatComeAndGo(t *testing.T) {
	prepared := func(t *testing.T) *machine {
		m := newWorld(t).machine("m")
		m.mustAcquire()
		m.write(map[string]string{"v/a": "1", "v/b/c": "2", "w/d": "3", "x": "4"})
		m.pushAll()
		return m
	}
	t.Run("went", func(t *testing.T) {
		m := prepared(t)
		m.mounted("v")
		m.w.must(os.RemoveAll(m.at("v")))
		m.put("v/", "")
		for range 3 { // it was forgotten after the first
			m.pushAll()
			found, err := m.ScanIn(t.Context(), nil)
			m.w.must(err)
			if len(found.Gone) > 0 || !slices.ContainsFunc(found.Unknown, func(u localfs.Unknown) bool { return u.Path == "v" && !u.Quiet }) {
				t.Errorf("%+v", found)
			}
		}
		remote, _ := m.w.remote(m.w.ref)
		if contentIn(remote["v/b/c"]) != "2" {
			t.Errorf("the head lost it: %v", remote)
		}
	})
	t.Run("came", func(t *testing.T) {
		m := prepared(t)
		seen, _, err := m.walk(t.Context())
		m.w.must(err)
		i, _ := localfs.Search(seen, "v")
		seen[i].Mount = true
		scan := func() *Changes {
			c := comparison{r: m.Replica, found: &Changes{}, hides: map[string]bool{}}
			m.w.must(c.run(localfs.InOrder(seen, nil)))
			return c.found
		}
		edited := func(c *Changes) bool {
			return slices.ContainsFunc(c.Edited, func(s Edit) bool { return s.Path == "v" })
		}
		if c := scan(); len(c.Unknown) != 0 || !edited(c) {
			t.Errorf("the same files under a mount: %+v", c)
		}
		seen = slices.DeleteFunc(seen, func(s localfs.Entry) bool { return strings.HasPrefix(s.Path, "v/") })
		if c := scan(); len(c.Unknown) != 1 || c.Unknown[0].Path != "v" || len(c.Gone) > 0 || edited(c) {
			t.Errorf("%+v", c)
		}
		seen = slices.DeleteFunc(seen, func(s localfs.Entry) bool { return s.Path == "w/d" })
		if c := scan(); len(c.Gone) != 1 || c.Gone[0].Path != "w/d" {
			t.Errorf("what is gone beside a mount: %+v", c)
		}
	})
}

// An older version carried a folder that is called as the own directory with capitals. What
// it agreed on is forgotten, and the folder stays where it is, and is told of.
func TestCapitalsOfAnOlderVersion(t *testing.T) {
	m := newWorld(t).machine("m")
	m.write(map[string]string{"a": "", "b": "", ".COLTEC/x": "theirs"})
	m.mustAcquire()
	m.pushAll()
	row := *m.base.Row("a")
	row.Path = ".COLTEC/x"
	dir := base.Row{Entry: tree.Entry{Path: ".COLTEC", Kind: tree.Dir, Mode: 0o755}}
	if err := m.base.Apply(base.Delta{Changes: []base.Change{{Row: dir}, {Row: row}}}); err != nil {
		t.Fatal(err)
	}
	m.write(map[string]string{"b": "edited"})
	m.pushAll()
	if tree.Find(m.base.Entries(), ".COLTEC/x") != nil || tree.Find(m.base.Entries(), "a") == nil {
		t.Errorf("the base has %+v", m.base.Entries())
	}
	found, err := m.ScanIn(t.Context(), nil)
	if err != nil || !slices.ContainsFunc(found.Unknown, func(u localfs.Unknown) bool { return u.Path == ".COLTEC" && u.Unread }) {
		t.Errorf("%+v, %v", found, err)
	}
	if body, err := os.ReadFile(filepath.Join(m.Path, ".COLTEC/x")); err != nil || string(body) != "theirs" {
		t.Errorf("%q, %v", body, err)
	}
}
