package history

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// One file comes out of a generation, as it was then, and no more of it than was asked for.
func TestFile(t *testing.T) {
	w := newWorld(t)
	w.Put("dir/answers", "first")
	w.Publish()
	w.Put("dir/answers", "second")
	w.Put("other", strings.Repeat("x", 100))
	w.Publish()
	r := w.reader()
	for at, want := range map[string]string{"": "second", "1": "first"} {
		g, err := r.At(t.Context(), at, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if b, err := r.File(t.Context(), w.replica, "dir/answers", g, 6); err != nil || string(b) != want {
			t.Errorf("at %q: %q, %v", at, b, err)
		}
	}
	g, err := r.At(t.Context(), "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, there := range map[string]bool{"dir": false, "dir/nothing": false, "other": true, "../answers": false, "": false} {
		b, err := r.File(t.Context(), w.replica, name, g, 99)
		if err == nil || there == errors.Is(err, ErrNotThere) {
			t.Errorf("%q: %q, %v", name, b, err)
		}
	}
	if n, err := r.Content(t.Context(), g); err != nil || n != (Content{Files: 2}) {
		t.Errorf("%+v, %v", n, err)
	}
}
