package logins

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
)

const (
	workspace = "acme/widget/dev"
	path1     = ".claude/.credentials.json"
)

var claude = Agent{"claude", []string{path1}}

func newKey(t *testing.T) string {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id.String()
}

// machine is a home, with the keeper of a coltecd there.
type machine struct {
	t      *testing.T
	home   string
	bucket *storetest.Bucket
	*Keeper
}

func newMachine(t *testing.T, name string, b *storetest.Bucket, key string, agents ...Agent) *machine {
	t.Helper()
	if agents == nil {
		agents = []Agent{claude}
	}
	m := &machine{t: t, home: t.TempDir(), bucket: b}
	m.start(name, key, agents...)
	return m
}

// start is another coltecd at the same home.
func (m *machine) start(name, key string, agents ...Agent) {
	m.t.Helper()
	var err error
	m.Keeper, err = New(Options{
		Workspace: workspace, Host: name, Home: m.home, Agents: agents, Key: key,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// take has the lease in an epoch.
func (m *machine) take(epoch int64) {
	m.t.Helper()
	if err := m.Take(m.t.Context(), m.bucket, &store.Head{Lineage: "l", Epoch: epoch}, true); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) give() {
	m.t.Helper()
	if err := m.Give(m.t.Context(), m.bucket); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) write(text string) { m.writeAt(path1, text) }

func (m *machine) writeAt(name, text string) {
	m.t.Helper()
	file := filepath.Join(m.home, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		m.t.Fatal(err)
	}
}

// has holds what the login here is; "": none.
func (m *machine) has(want string) {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.home, path1))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil || string(b) != want {
		m.t.Fatalf("login %q, %v, want %q; notes: %q", b, err, want, m.Notes())
	}
}

// says holds that the notes have some words; "": there are none.
func (m *machine) says(words string) {
	m.t.Helper()
	notes := strings.Join(m.Notes(), "\n")
	if words == "" && notes != "" || !strings.Contains(notes, words) {
		m.t.Fatalf("notes %q, want %q", notes, words)
	}
}

// there holds the newest login in the bucket.
func (m *machine) there(want string) {
	m.t.Helper()
	p, err := m.key.open(m.bucket.Body(Key(workspace, "claude")), workspace, "claude")
	if err != nil || string(p.Files[0].Content) != want {
		m.t.Fatalf("in the bucket: %+v, %v, want %q", p, err, want)
	}
}

// What was pushed last comes to the next machine, with mode 0600, and back; each push is one
// request, a login that did not change none, and a take one.
func TestTravels(t *testing.T) {
	b, key := storetest.New(), newKey(t)
	a, c := newMachine(t, "a", b, key), newMachine(t, "c", b, key)
	a.write("one")
	a.take(1)
	a.give()
	a.write("two")
	before := b.Counts()[storetest.Put]
	a.give()
	a.give()
	if n := b.Counts()[storetest.Put] - before; n != 1 {
		t.Errorf("%d requests for a change", n)
	}
	if bytes.Contains(b.Body(Key(workspace, "claude")), []byte("two")) {
		t.Error("the object can be read without a key")
	}
	before = b.Counts()[storetest.Get]
	c.take(2)
	if n := b.Counts()[storetest.Get] - before; n != 1 {
		t.Errorf("%d requests for a take", n)
	}
	c.has("two")
	s, err := os.Stat(filepath.Join(c.home, path1))
	if err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", s.Mode(), err)
	}
	c.write("three")
	c.give()
	a.take(3)
	a.has("three")
	a.says("")
	if n := len(b.Keys()); n != 1 {
		t.Errorf("objects %q: the newest alone is kept", b.Keys())
	}
}

// A login that is used on a machine which has no lease loses against the newest, and is kept.
func TestUsedWithoutTheLease(t *testing.T) {
	b, key := storetest.New(), newKey(t)
	a, c := newMachine(t, "a", b, key), newMachine(t, "c", b, key)
	a.write("a's")
	a.take(1)
	a.give()
	c.write("c's own")
	c.take(2)
	c.has("a's")
	c.says("kept in ~/" + OwnDir)
	kept, _ := filepath.Glob(filepath.Join(c.home, OwnDir, "*/aside/*/*"))
	if len(kept) != 1 {
		t.Fatalf("aside: %q", kept)
	}
	text, err := os.ReadFile(kept[0])
	s, _ := os.Stat(kept[0])
	if err != nil || string(text) != "c's own" || s.Mode().Perm() != 0o600 {
		t.Errorf("aside %q, %v, %v", text, err, s.Mode())
	}
	// And A, which went on without the lease, too.
	a.write("a went on")
	c.write("c's next")
	c.give()
	a.take(3)
	a.has("c's next")
}

// What a crash kept from being pushed is pushed by the next coltecd there, where no other
// had the lease meanwhile.
func TestChangedBeforeACrash(t *testing.T) {
	b, key := storetest.New(), newKey(t)
	a := newMachine(t, "a", b, key)
	a.write("one")
	a.take(1)
	a.give()
	a.write("two")
	a.start("a", key, claude)
	a.take(2)
	a.give()
	a.there("two")
	a.says("")
}

// Killed between the write of the object and the note of it, or between the placement and its
// note: the next start sees that both are the same, and keeps nothing aside.
func TestKilledBetween(t *testing.T) {
	for _, point := range []string{"logins:pushed", "logins:placed"} {
		t.Run(point, func(t *testing.T) {
			b, key := storetest.New(), newKey(t)
			a, c := newMachine(t, "a", b, key), newMachine(t, "c", b, key)
			a.write("zero")
			a.take(1)
			a.give()
			c.take(2)
			c.write("one")
			c.give()
			killed := func(do func()) {
				defer killpoint.Arm(point, 0, nil)
				defer func() {
					if recover() == nil {
						t.Fatal("the point was not reached")
					}
				}()
				killpoint.Arm(point, 1, func() { panic("killed") })
				do()
			}
			if point == "logins:pushed" {
				c.write("two")
				killed(c.give)
				c.start("c", key, claude)
				c.take(3)
				c.has("two")
				c.says("")
				c.there("two")
				return
			}
			killed(func() { a.take(3) })
			a.start("a", key, claude)
			a.take(4)
			a.has("one")
			a.says("")
		})
	}
}

// A fenced writer whose write comes late does not write over a newer one.
func TestFencedWriter(t *testing.T) {
	b, key := storetest.New(), newKey(t)
	a, c := newMachine(t, "a", b, key), newMachine(t, "c", b, key)
	a.write("one")
	a.take(1)
	a.give()
	a.write("late")
	b.Inject(storetest.Fault{Op: storetest.Put, Kind: storetest.Late})
	if a.Give(t.Context(), b) == nil {
		t.Fatal("the write that was lost counted")
	}
	c.take(2)
	c.write("newer")
	c.give()
	b.Land()
	c.there("newer")
	if err := a.Give(t.Context(), b); !errors.Is(err, errFenced) {
		t.Fatalf("the fenced one wrote: %v", err)
	}
	c.there("newer")
	// It landed before the successor wrote: that one writes over it.
	a.take(3)
	a.write("late again")
	b.Inject(storetest.Fault{Op: storetest.Put, Kind: storetest.Late})
	_ = a.Give(t.Context(), b)
	c.take(4)
	b.Land()
	c.write("newest")
	c.give()
	c.there("newest")
}

// An answer that was lost is found out, and counts once.
func TestLostAnswer(t *testing.T) {
	b, key := storetest.New(), newKey(t)
	a := newMachine(t, "a", b, key)
	a.write("one")
	a.take(1)
	b.Inject(storetest.Fault{Op: storetest.Put, Kind: storetest.After})
	a.give()
	a.there("one")
	before := b.Counts()[storetest.Put]
	a.give()
	if n := b.Counts()[storetest.Put] - before; n != 0 {
		t.Errorf("%d more writes", n)
	}
}

// A stop cut a push off, and the login counted as one that cannot be pushed: the last push of the
// stop left it out, and the next machine went on with a used one.
func TestCutOff(t *testing.T) {
	for name, kind := range map[string]storetest.Kind{"before": storetest.Before, "when it was there": storetest.After, "late": storetest.Late} {
		t.Run("a push, "+name, func(t *testing.T) {
			b, key := storetest.New(), newKey(t)
			a := newMachine(t, "a", b, key)
			a.write("one")
			a.take(1)
			a.give()
			a.write("two")
			ctx, cut := context.WithCancel(t.Context())
			b.Inject(storetest.Fault{Op: storetest.Put, Kind: kind, Class: rclone.Canceled})
			b.Hook(func(storetest.Event) error { cut(); return nil })
			if a.Give(ctx, b) == nil {
				t.Fatal("it was pushed")
			}
			a.give()
			a.there("two")
			a.says("")
		})
	}
	t.Run("a take", func(t *testing.T) {
		b, key := storetest.New(), newKey(t)
		a, c := newMachine(t, "a", b, key), newMachine(t, "c", b, key)
		a.write("one")
		a.take(1)
		a.give()
		ctx, cut := context.WithCancel(t.Context())
		cut()
		if c.Take(ctx, b, &store.Head{Lineage: "l", Epoch: 2}, true) == nil {
			t.Fatal("it was taken")
		}
		c.take(2)
		c.has("one")
		c.says("")
	})
}

// With another key nothing is read, written or lost, and a sentence says so.
func TestWrongKey(t *testing.T) {
	b, key := storetest.New(), newKey(t)
	a, c := newMachine(t, "a", b, key), newMachine(t, "c", b, newKey(t))
	a.write("one")
	a.take(1)
	a.give()
	was := b.Body(Key(workspace, "claude"))
	c.write("mine")
	c.take(2)
	c.give()
	c.has("mine")
	c.says("encrypted to another key than the one in COLTEC_AGE_KEY")
	if !bytes.Equal(was, b.Body(Key(workspace, "claude"))) {
		t.Error("what could not be read was written over")
	}
	// A key that was changed: the old one beside the new one still opens.
	d := newMachine(t, "d", b, newKey(t)+"\n"+key)
	d.take(3)
	d.has("one")
}

func TestKeys(t *testing.T) {
	for _, text := range []string{"", " \n", "AGE-SECRET-KEY-1NOTONE", "secret words"} {
		_, err := New(Options{Key: text})
		if err == nil || text != "" && strings.TrimSpace(text) != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := New(Options{Key: "# made\n" + newKey(t) + "\n"}); err != nil {
		t.Error(err)
	}
}

// Whoever has the bucket puts an older object back, another agent's or workspace's, noise, or
// one that is encrypted to a recipient that it knows: none is placed, and a sentence says so.
func TestHostileBucket(t *testing.T) {
	text := newKey(t)
	id, err := age.ParseX25519Identity(text)
	if err != nil {
		t.Fatal(err)
	}
	sealed := func(text string) []byte {
		var out bytes.Buffer
		w, err := age.Encrypt(&out, id.Recipient())
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	other := storetest.New()
	o := newMachine(t, "o", other, text, Agent{"codex", claude.Files})
	o.write("codex's")
	o.take(9)
	o.give()
	forged := `{"format":1,"workspace":"acme/widget/dev","agent":"claude","lineage":"l","epoch":9,"count":1,"files":[{"path":".claude/.credentials.json","content":"Zm9yZ2Vk"}]}`
	for name, object := range map[string][]byte{
		"noise":           []byte("noise"),
		"empty":           {},
		"cut":             nil, // below
		"another agent's": other.Body(Key(workspace, "codex")),
		"no seal":         sealed(forged),
		"a seal of none":  sealed(strings.Repeat("00", 32) + "\n" + forged),
	} {
		t.Run(name, func(t *testing.T) {
			b := storetest.New()
			a := newMachine(t, "a", b, text)
			a.write("true")
			a.take(1)
			a.give()
			was := b.Body(Key(workspace, "claude"))
			if object == nil {
				object = was[:len(was)-5]
			}
			b.Set(Key(workspace, "claude"), object)
			a.take(2)
			a.has("true")
			a.says("what is in the bucket cannot be used: this bucket says something impossible")
		})
	}
}

func TestReplayed(t *testing.T) {
	b, key := storetest.New(), newKey(t)
	a, c := newMachine(t, "a", b, key), newMachine(t, "c", b, key)
	a.write("one")
	a.take(1)
	a.give()
	old := b.Body(Key(workspace, "claude"))
	a.write("two")
	a.give()
	b.Set(Key(workspace, "claude"), old)
	a.take(2)
	a.has("two")
	a.says("an older one than was there before")
	a.give()
	a.there("two")
	c.take(3)
	c.has("two")
	// And where the machine has no login any more.
	if err := os.Remove(filepath.Join(c.home, path1)); err != nil {
		t.Fatal(err)
	}
	b.Set(Key(workspace, "claude"), old)
	c.take(4)
	c.has("")
	c.says("an older one than was there before")
}

// What is in the place of a login, or on the way to it, and is no file: nothing is read or
// written through it.
func TestInItsPlace(t *testing.T) {
	for name, put := range map[string]func(home, outside string) error{
		"a link":           func(home, outside string) error { return os.Symlink(outside+"/f", home+"/"+path1) },
		"a link that ends": func(home, outside string) error { return os.Symlink(outside+"/none", home+"/"+path1) },
		"another name":     func(home, outside string) error { return os.Link(outside+"/f", home+"/"+path1) },
		"a directory":      func(home, _ string) error { return os.MkdirAll(home+"/"+path1+"/d", 0o755) },
		"a directory that is a link": func(home, outside string) error {
			return errors.Join(os.Remove(home+"/.claude"), os.Symlink(outside, home+"/.claude"))
		},
		"a file on the way": func(home, _ string) error {
			return errors.Join(os.Remove(home+"/.claude"), os.WriteFile(home+"/.claude", nil, 0o600))
		},
		"a pipe": func(home, _ string) error { return mkfifo(home + "/" + path1) },
	} {
		t.Run(name, func(t *testing.T) {
			b, key := storetest.New(), newKey(t)
			a, c := newMachine(t, "a", b, key), newMachine(t, "c", b, key)
			a.write("a's")
			a.take(1)
			a.give()
			outside := t.TempDir()
			for _, file := range []string{"/f", "/.credentials.json"} {
				if err := os.WriteFile(outside+file, []byte("outside"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(os.Mkdir(c.home+"/.claude", 0o755), put(c.home, outside)); err != nil {
				t.Fatal(err)
			}
			c.take(2)
			c.give()
			c.says(path1)
			a.there("a's")
			for _, file := range []string{"/f", "/.credentials.json"} {
				if text, err := os.ReadFile(outside + file); err != nil || string(text) != "outside" {
					t.Errorf("outside: %q, %v", text, err)
				}
			}
			if _, err := os.Lstat(outside + "/none"); err == nil {
				t.Error("something was made through a link")
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	b, key := storetest.New(), newKey(t)
	a, c := newMachine(t, "a", b, key), newMachine(t, "c", b, key)
	a.write(strings.Repeat("x", MaxLogin+1))
	a.take(1)
	a.give()
	a.says("a login has no more than")
	if len(b.Keys()) != 0 {
		t.Error("it was pushed")
	}
	a.write(strings.Repeat("x", MaxLogin))
	a.take(2)
	a.give()
	c.take(3)
	c.has(strings.Repeat("x", MaxLogin))
}

// A logout elsewhere is not undone by a machine that has the login still, until it was
// removed there and made anew.
func TestLogout(t *testing.T) {
	b, key := storetest.New(), newKey(t)
	a := newMachine(t, "a", b, key)
	a.write("one")
	a.take(1)
	a.give()
	b.Drop(Key(workspace, "claude"))
	a.write("refreshed") // while the holder goes on
	a.give()
	a.says("coltec agents logout")
	a.write("refreshed again")
	a.give()
	a.start("a", key, claude)
	a.take(2)
	a.give()
	a.says("coltec agents logout")
	if len(b.Keys()) != 0 {
		t.Fatalf("a login that was removed is there again: %q", b.Keys())
	}
	if err := os.Remove(filepath.Join(a.home, path1)); err != nil {
		t.Fatal(err)
	}
	a.give()
	a.write("a new login")
	a.give()
	a.there("a new login")
	a.says("")
	// Removed here alone it does not come back here, and nothing is removed there.
	if err := os.Remove(filepath.Join(a.home, path1)); err != nil {
		t.Fatal(err)
	}
	a.give()
	a.take(3)
	a.has("")
	a.says("it was removed here")
	a.there("a new login")
}

// A head that was lost, and made anew: what is here goes there.
func TestAnotherLineage(t *testing.T) {
	b, key := storetest.New(), newKey(t)
	a := newMachine(t, "a", b, key)
	a.write("one")
	a.take(7)
	a.give()
	a.write("two")
	head := &store.Head{Lineage: "another", Epoch: 1}
	if err := errors.Join(a.Take(t.Context(), b, head, true), a.Give(t.Context(), b)); err != nil {
		t.Fatal(err)
	}
	a.there("two")
	b.Drop(Key(workspace, "claude"))
	head.Lineage = "third"
	if err := errors.Join(a.Take(t.Context(), b, head, true), a.Give(t.Context(), b)); err != nil {
		t.Fatal(err)
	}
	a.there("two")
}

// A store without conditions: a later holder's is not written over where it is seen.
func TestBestEffort(t *testing.T) {
	b, key := storetest.New().Weak(), newKey(t)
	a, c := newMachine(t, "a", b, key), newMachine(t, "c", b, key)
	weak := func(m *machine, epoch int64) error {
		return m.Take(t.Context(), b, &store.Head{Lineage: "l", Epoch: epoch}, false)
	}
	a.write("one")
	if err := errors.Join(weak(a, 1), a.Give(t.Context(), b), weak(c, 2)); err != nil {
		t.Fatal(err)
	}
	c.write("two")
	c.give()
	a.write("fenced")
	if err := a.Give(t.Context(), b); !errors.Is(err, errFenced) {
		t.Errorf("%v", err)
	}
	c.there("two")
}

// A file that is replaced by its program, or written in pieces, is told when it is at rest.
func TestWatch(t *testing.T) {
	b, key := storetest.New(), newKey(t)
	a := newMachine(t, "a", b, key)
	a.write("one")
	told := make(chan bool, 8)
	go a.Watch(t.Context(), func() { told <- true })
	for i := range 2 {
		a.write(fmt.Sprint("piece", i))
		if err := os.Rename(filepath.Join(a.home, path1), filepath.Join(a.home, "x")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(a.home, "x"), filepath.Join(a.home, path1)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-told:
		case <-time.After(30 * time.Second):
			t.Fatal("not told")
		}
	}
}
