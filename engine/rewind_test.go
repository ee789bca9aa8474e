package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
)

// Deletions that wait for a person's word go with a rewind where it brings the files back. Where
// a replica stays as it is they go on waiting: nothing would bring them back.
func TestARewindLetsNoDeletionGoThatItDoesNotTakeBack(t *testing.T) {
	for name, tt := range map[string]struct {
		beside scope.Replica
		alone  string // the replica that is taken back; "": all
		goes   bool
	}{
		"plain objects": {beside: scope.Replica{Layout: "mirror", Direction: scope.Bidirectional}},
		"one way":       {beside: scope.Replica{Layout: "snapshot", Direction: scope.PushOnly}},
		"taken back":    {beside: scope.Replica{Layout: "snapshot", Direction: scope.Bidirectional}, goes: true},
		"not asked for": {beside: scope.Replica{Layout: "snapshot", Direction: scope.Bidirectional}, alone: "r"},
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, 1)
			tt.beside.Name = "m"
			y.beside = []scope.Replica{tt.beside}
			b := y.box("a")
			kept := b.tree("m")
			const files = 30
			err := errors.Join(os.MkdirAll(b.dir, 0o755), os.MkdirAll(kept, 0o755), os.WriteFile(filepath.Join(b.dir, "f"), []byte("1"), 0o644))
			for i := range files {
				err = errors.Join(err, os.WriteFile(filepath.Join(kept, fmt.Sprint(i)), fmt.Append(nil, i), 0o644))
			}
			if err = errors.Join(err, b.do(false)); err != nil {
				t.Fatal(err)
			}
			then := b.e.generation()
			err = os.WriteFile(filepath.Join(b.dir, "f"), []byte("2"), 0o644)
			for i := range files {
				err = errors.Join(err, os.Remove(filepath.Join(kept, fmt.Sprint(i))))
			}
			err = errors.Join(err, b.do(false))
			m := b.e.members[1]
			if err != nil || m.report.held != files {
				t.Fatalf("%d deletions wait, not %d: %v", m.report.held, files, err)
			}
			var done Rewound
			err = rewinding{naming{b.e.loop}, RewindOptions{Generation: then, Replica: tt.alone, Before: "before", Say: func(string) {}}}.run(t.Context(), &done)
			if body, _ := os.ReadFile(filepath.Join(b.dir, "f")); string(body) != "1" {
				t.Fatalf("it was not taken back: %q, %v", body, err)
			}
			if _, gone := os.Lstat(filepath.Join(kept, "0")); tt.goes != (gone == nil) {
				t.Errorf("what was deleted: %v", gone)
			}
			if !tt.goes && m.report.held != files {
				t.Errorf("%d deletions wait after the rewind, not %d: they went, and nothing brings them back: %v", m.report.held, files, err)
			}
			for _, m := range b.e.members {
				if m.rep.Removed != nil {
					t.Errorf("replica %s: repositories without a git directory go on counting as removed", m.Name)
				}
			}
			if body := y.bucket.Body("m/0"); tt.beside.Layout == "mirror" && string(body) != "0" {
				t.Errorf("the plain object is %q", body)
			}
		})
	}
}

// Each rewind made a checkpoint that stayed for ever, until no more fitted.
func TestUndosOfRewinds(t *testing.T) {
	y := newYard(t, 1)
	b := y.box("a")
	must(os.MkdirAll(b.dir, 0o755))
	file := filepath.Join(b.dir, "f")
	must(os.WriteFile(file, []byte("1"), 0o644))
	must(b.do(false))
	then := b.e.generation()
	said := ""
	back := func(i int) {
		var done Rewound
		said = ""
		y.advance(time.Second)
		must(rewinding{naming{b.e.loop}, RewindOptions{Generation: then, Before: fmt.Sprint("before", i), Say: func(line string) { said += line + "\n" }}}.run(t.Context(), &done))
	}
	for i := range store.UndosMax + 3 {
		must(os.WriteFile(file, fmt.Append(nil, "edit ", i), 0o644))
		must(b.do(false))
		if back(i); said == "" {
			t.Error("how to go back is not said")
		}
	}
	names := func() (list []string) {
		for _, c := range b.e.lease.Head().Checkpoints {
			list = append(list, c.Name)
		}
		return list
	}
	kept := names()
	if len(kept) != store.UndosMax || kept[len(kept)-1] != fmt.Sprint("before", store.UndosMax+2) {
		t.Fatalf("%q stay", kept)
	}
	for i := range 3 { // nothing differs: nothing is made, and none goes
		if back(100 + i); said != "" {
			t.Errorf("nothing goes back to a checkpoint that was removed: %q", said)
		}
	}
	if diff := cmp.Diff(kept, names()); diff != "" {
		t.Error(diff)
	}
}

// With a hundred checkpoints a rewind was refused, although rewinds before had made some of them. Those
// go then, the oldest first; what a person named stays, and where that is all of them it is refused
// and nothing is changed.
func TestARewindAmongAHundredCheckpoints(t *testing.T) {
	y := newYard(t, 1)
	b := y.box("a")
	must(os.MkdirAll(b.dir, 0o755))
	file := filepath.Join(b.dir, "f")
	edit := func(text string) {
		must(os.WriteFile(file, []byte(text), 0o644))
		must(b.do(false))
		y.advance(time.Second)
	}
	edit("first")
	then := b.e.generation()
	back := func(name string, to int64) (done Rewound, err error) {
		y.advance(time.Second)
		err = rewinding{naming{b.e.loop}, RewindOptions{Generation: to, Before: name, Say: func(string) {}}}.run(t.Context(), &done)
		return done, err
	}
	for i := range 2 {
		edit(fmt.Sprint("edit ", i))
		_, err := back(fmt.Sprint("before", i), then)
		must(err)
	}
	undo, _ := b.e.lease.Head().Checkpoint("before0")
	for i := range 98 {
		_, err := naming{b.e.loop}.checkpoint(t.Context(), fmt.Sprint("mine", i), "")
		must(err)
	}
	if n := len(b.e.lease.Head().Checkpoints); n != 100 {
		t.Fatalf("%d checkpoints", n)
	}
	if _, err := (naming{b.e.loop}).checkpoint(t.Context(), "mine98", ""); err == nil || !strings.Contains(err.Error(), "there are 100, 2 of them made by rewinds and joins, and no more fit") {
		t.Errorf("a person's, which takes nothing away: %v", err)
	}
	kinds := func() (mine int, undos []string) {
		for _, c := range b.e.lease.Head().Checkpoints {
			if c.Undo {
				undos = append(undos, c.Name)
			} else {
				mine++
			}
		}
		return mine, undos
	}
	check := func(what string, wantMine int, want ...string) {
		t.Helper()
		if mine, undos := kinds(); mine != wantMine || !slices.Equal(undos, want) {
			t.Errorf("%s: %d of a person and %q", what, mine, undos)
		}
	}
	if done, err := back("nothing", b.e.generation()); err != nil || done.Generation != 0 {
		t.Errorf("where nothing differs: %+v, %v", done, err)
	}
	check("where nothing differs", 98, "before0", "before1")
	done, err := back("undo", undo.Number) // to the very one that has to go
	if body, _ := os.ReadFile(file); err != nil || done.Generation == 0 || string(body) != "edit 0" {
		t.Fatalf("%+v, %v, %q", done, err, body)
	}
	check("to the oldest", 98, "before1", "undo")
	must(naming{b.e.loop}.removeCheckpoint(t.Context(), "before1"))
	_, err = naming{b.e.loop}.checkpoint(t.Context(), "mine98", "")
	must(err)
	edit("late")
	_, err = back("last", then)
	must(err)
	check("with room for one", 99, "last")
	must(naming{b.e.loop}.removeCheckpoint(t.Context(), "last"))
	_, err = naming{b.e.loop}.checkpoint(t.Context(), "mine99", "")
	must(err)
	edit("mine")
	if done, err := back("none", then); err == nil || !strings.Contains(err.Error(), "no more fit") || done.Generation != 0 {
		t.Errorf("with a hundred of a person: %+v, %v", done, err)
	}
	if body, _ := os.ReadFile(file); string(body) != "mine" {
		t.Errorf("what was refused changed the tree: %q", body)
	}
	check("with a hundred of a person", 100)
}
