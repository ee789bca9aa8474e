package status

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/wholefile"
)

// The file lies where an agent writes: a pipe in its place is not waited for, and a
// large one fills no memory.
func TestReadFileOfAnother(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	if err := syscall.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadFile(dir); !errors.Is(err, wholefile.ErrIrregular) {
		t.Errorf("a pipe: %v", err)
	}
	if err := errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o644), os.Truncate(path, 1<<40)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadFile(dir); !errors.Is(err, wholefile.ErrTooLarge) {
		t.Errorf("1 TiB: %v", err)
	}
	// A replica that takes two bytes here takes five hundred in memory.
	if err := os.WriteFile(path, []byte(`{"replicas":[`+strings.Repeat("0,", 4<<20)+"0]}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadFile(dir); !errors.Is(err, wholefile.ErrTooLarge) {
		t.Errorf("four million replicas: %v", err)
	}
}

// FuzzDocument: a document that is read is written, and read again as the same; nobody
// who asks it about anything falls over it.
func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"workspace":{"org":"a","project":"b","env":"c"},"state":"running","lease":{"state":"held","epoch":3},"units":[{"name":"web","kind":"service","state":"running"}],"replicas":[{"name":"r","state":"synced","only_here":[{"reason":"moving","count":1}]}],"attention":["\u001b[2J"]}`))
	f.Add([]byte(`{"replicas":[{"state":"restoring","progress":{"bytes":9223372036854775807,"total_bytes":1,"eta_seconds":1e300},"pending":-1}],"lease":{"holder":{"since":"0000-01-01T00:00:00Z"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		doc, err := parse(b)
		if err != nil {
			return
		}
		_, _, _, _ = doc.Restore(), doc.ServicesMayStart(), doc.Cost(), doc.ExitCode()
		body, err := json.Marshal(doc)
		if err != nil {
			return // a time that has no text
		}
		again, err := parse(body)
		if err != nil {
			t.Fatalf("cannot read what was written: %v", err)
		}
		second, err := json.Marshal(again)
		if err != nil || string(body) != string(second) {
			t.Errorf("%v\n%s", err, cmp.Diff(string(body), string(second)))
		}
	})
}
