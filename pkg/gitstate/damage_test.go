package gitstate

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
)

// loose takes a repository's packs apart, and gives the file of an object.
func (p *placed) loose(dir, object string) string {
	p.t.Helper()
	oid := strings.TrimSpace(p.git(dir, "rev-parse", object))
	return filepath.Join(p.root, dir, ".git/objects", oid[:2], oid[2:])
}

func (p *placed) unpack(dir string) {
	p.t.Helper()
	packs, _ := filepath.Glob(filepath.Join(globEscape(p.root), dir, ".git/objects/pack/*.pack"))
	for _, pack := range packs {
		aside := filepath.Join(p.t.TempDir(), "pack")
		_ = os.Remove(strings.TrimSuffix(pack, ".pack") + ".idx")
		if err := os.Rename(pack, aside); err != nil {
			p.t.Fatal(err)
		}
		p.write(dir+"/unpack.sh", "git unpack-objects -q < \""+aside+"\"")
		p.git(dir, "-c", "alias.x=!sh unpack.sh", "x")
		_ = os.Remove(filepath.Join(p.root, dir, "unpack.sh"))
	}
}

// objects lists what a repository has and can read.
func (p *placed) objects(dir string) map[string]bool {
	p.t.Helper()
	out, _ := p.try(dir, "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)")
	found := map[string]bool{}
	for line := range strings.Lines(out) {
		if oid, kind, _ := strings.Cut(strings.TrimSpace(line), " "); isOID(oid) && kind != "missing" {
			found[oid] = true
		}
	}
	return found
}

// One object that is missing, or damaged, kept all of a repository from being carried.
// All else is, the object is named, and is carried once it is there again.
func TestDamagedObjects(t *testing.T) {
	sample.Long(t)
	remove := func(file string) error { return os.Remove(file) }
	empty := func(file string) error { return errors.Join(os.Chmod(file, 0o644), os.Truncate(file, 0)) }
	spoil := func(file string) error {
		body, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for i := len(body) / 2; i < len(body); i++ {
			body[i] ^= 0x5a
		}
		return errors.Join(os.Chmod(file, 0o644), os.WriteFile(file, body, 0o644))
	}
	type damaged struct {
		name, object string
		damage       func(string) error
	}
	how := func(c damaged) string { return c.name[strings.LastIndex(c.name, " "):] }
	for _, c := range sample.OfEach(t, 1, []damaged{
		{"an old blob is missing", "HEAD~5:d3/f3", remove},
		{"an old blob has no bytes", "HEAD~5:d3/f3", empty},
		{"an old blob is damaged", "HEAD~5:d3/f3", spoil},
		{"an old tree is missing", "HEAD~5^{tree}", remove},
		{"an old tree is damaged", "HEAD~5^{tree}", spoil},
		{"an old commit is missing", "HEAD~5", remove},
		{"an old commit has no bytes", "HEAD~5", empty},
		{"a blob that is checked out is missing", "HEAD:d1/f1", remove},
		{"the top of a branch has no bytes", "side", empty},
	}, how) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, b, d := newPlace(t), newPlace(t), newPlace(t)
			a.history("work", 12)
			a.git("work", "checkout", "-q", "-b", "side")
			a.git("work", "commit", "-q", "--allow-empty", "-m", "side")
			a.git("work", "checkout", "-q", "main")
			a.unpack("work")
			file := a.loose("work", c.object)
			oid := strings.TrimSpace(a.git("work", "rev-parse", c.object))
			good, err := os.ReadFile(file)
			if err := errors.Join(err, c.damage(file)); err != nil {
				t.Fatal(err)
			}
			says := func() {
				t.Helper()
				if err := a.tried("work/.git"); !errors.As(err, new(*PartialError)) || !strings.Contains(err.Error(), oid) {
					t.Fatalf("it said %v", err)
				}
			}
			says()
			says()
			a.git("work", "commit", "-q", "--allow-empty", "-m", "goes on")
			says()
			copyTree(t, a.root, b.root)
			b.restore(a, "work/.git")
			want, got := a.objects("work"), b.objects("work")
			delete(want, oid) // what has a good head and a damaged body counts as there for git
			for x := range want {
				if !got[x] && c.object != "HEAD~5" && c.object != "HEAD~5^{tree}" { // from which more is reached
					t.Errorf("%s is not carried", x)
				}
			}
			if x, y := a.git("work", "log", "-3", "--format=%H"), b.git("work", "log", "-3", "--format=%H"); x != y {
				t.Errorf("its log is\n%s, not\n%s", y, x)
			}
			b.git("work", "commit", "-q", "--allow-empty", "-m", "there")
			if _, err := b.k.Capture(t.Context(), "work/.git"); !errors.As(err, new(*PartialError)) {
				t.Errorf("there it said %v", err)
			}
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.RemoveAll(file), os.WriteFile(file, good, 0o444)); err != nil {
				t.Fatal(err)
			}
			if err := a.tried("work/.git"); err != nil {
				t.Errorf("it is whole again, and said %v", err)
			}
			if _, err := os.Lstat(filepath.Join(a.k.Shadow, "work/.git", missingMark)); err == nil {
				t.Error("its copy is not")
			}
			copyTree(t, a.root, d.root)
			d.restore(a, "work/.git")
			fsck(t, filepath.Join(d.root, "work"))
			sameAnswers(t, a.root, d.root, "work")
		})
	}
}

// A ref without bytes, as a power cut leaves it, keeps its last value elsewhere; an index
// that is damaged is carried as it is; a pack whose index is damaged has nothing for git.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, b := newPlace(t), newPlace(t)
	a.history("work", 5)
	a.git("work", "branch", "topic")
	a.capture("work/.git")
	a.write("work/.git/refs/heads/topic", "")
	a.write("work/.git/refs/heads/other", "no object\n")
	a.write("work/.git/index", "")
	a.git("work", "update-ref", "refs/heads/new", "HEAD~1")
	err := a.tried("work/.git")
	for _, want := range []string{"the ref refs/heads/topic is damaged", "the ref refs/heads/other is damaged", "an index is damaged"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	b.restore(a, "work/.git")
	if x, y := b.git("work", "rev-parse", "topic", "new"), a.git("work", "rev-parse", "HEAD", "HEAD~1"); x != y {
		t.Errorf("topic and new are %s, not %s", x, y)
	}

	c := newPlace(t)
	c.history("work", 5)
	c.git("work", "gc", "-q")
	idx, _ := filepath.Glob(filepath.Join(globEscape(c.root), "work/.git/objects/pack/*.idx"))
	good, _ := os.ReadFile(idx[0])
	if err := errors.Join(os.Chmod(idx[0], 0o644), os.WriteFile(idx[0], good[:100], 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := c.tried("work/.git"); !errors.As(err, new(*PartialError)) {
		t.Errorf("it said %v", err)
	}
	if err := os.WriteFile(idx[0], good, 0o644); err != nil {
		t.Fatal(err)
	}
	c.git("work", "commit", "-q", "--allow-empty", "-m", "goes on")
	c.capture("work/.git")
	d := newPlace(t)
	copyTree(t, c.root, d.root)
	d.restore(c, "work/.git")
	sameAnswers(t, c.root, d.root, "work")
}

// An object that took longer than git may stand still was noted as missing, with all that
// it reaches, though it was being read. So was one at which git stood still: that is an
// error, and says nothing of the object.
func TestSlowObjects(t *testing.T) {
	sample.Long(t)
	defer func(d time.Duration) { stallAfter = d }(stallAfter)
	a := newPlace(t)
	a.history("work", 5)
	a.unpack("work")
	missing := a.loose("work", "HEAD~3:d1/f1")
	if err := os.Remove(missing); err != nil {
		t.Fatal(err)
	}
	real, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	path := bin + ":" + os.Getenv("PATH")
	git := func(reads string) {
		t.Helper()
		script := "#!/bin/sh\ncase \"$*\" in 'cat-file --batch') " + reads + ";; esac\nexec " + real + " \"$@\"\n"
		if err := os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", path)
	}

	stallAfter = time.Second
	git("exec sleep 1000")
	if err := a.tried("work/.git"); !errors.Is(err, errStalled) {
		t.Errorf("it said %v", err)
	}
	if lacks := readMissing(filepath.Join(a.k.Shadow, "work/.git")); len(lacks) > 0 {
		t.Errorf("missing are %q", lacks)
	}

	stallAfter = 2 * time.Second
	git(`read oid; (echo "$oid blob 6"; for i in 1 2 3 4 5 6; do sleep 0.5; printf x; done; echo) & exec sleep 1000 >&-`) // bytes come, and it does no work
	fake, err := Git()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	objects := &objectReader{ctx: ctx, r: &runner{git: fake, dir: a.root}}
	defer objects.end()
	defer cancel()
	kind, err := "", error(nil)
	soon(t, func() error { kind, _, err = objects.read(strings.Repeat("a", 40)); return nil })
	if kind != "blob" || err != nil {
		t.Errorf("it is %q: %v", kind, err)
	}

	git("")
	if err := a.tried("work/.git"); !errors.As(err, new(*PartialError)) || strings.Contains(err.Error(), "more") {
		t.Errorf("it said %v", err)
	}
}
