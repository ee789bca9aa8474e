package frozen

import (
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// What is captured of a directory that is written all the time is a state that was, restored
// elsewhere too; its writer goes on.
func TestCaptureUnderAWriter(t *testing.T) {
	w := newWorld(t)
	a := w.place([]Path{{Path: "data/db", By: Freeze}}, nil)
	a.acquire()
	a.write("file", "1")
	a.writer("data/db", "db")
	for range sample.Size(10, 100) {
		a.push()
		a.expectNotes()
		b := w.place([]Path{{Path: "data/db", By: Freeze}}, nil)
		b.acquire()
		if why := torn(b.at("data/db")); why != "" {
			t.Fatal(why)
		}
		if b.has("data/db/" + markName) {
			t.Error("the mark is in the tree")
		}
		a.moves("data/db")
	}
}
