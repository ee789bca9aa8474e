package history

import (
	"strings"
	"testing"
)

// Where a directory cannot be made, or its disk is full, an export said: cannot open replica "".
func TestExportNamesItsDirectory(t *testing.T) {
	w := newWorld(t)
	w.Save("a")
	r := w.reader()
	g, err := r.At(t.Context(), "", w.Now)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Export(t.Context(), w.replica, "", g, "/proc/there-is-no-room-here", ExportOptions{})
	if err == nil || !strings.Contains(err.Error(), `cannot open the directory "/proc/there-is-no-room-here": `) {
		t.Errorf("it says %v", err)
	}
}
