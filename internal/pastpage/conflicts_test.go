package pastpage

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"golang.org/x/sys/unix"
)

// A diff in a file had question marks in the place of carriage returns and colours, so that
// no patch took it. On a terminal nothing of it moves the cursor.
func TestShowConflict(t *testing.T) {
	const diff = "-one\r\n+\x1b[2Jtwo\x1b[0m\u202e\r\n"
	var out bytes.Buffer
	page(&out).showConflict(control.Conflict{Diff: diff, ID: "id\x1b", Note: "binary files differ"})
	if got, want := out.String(), diff+"id?: binary files differ\n"; got != want {
		t.Errorf("a file gets %q, want %q", got, want)
	}
	pty, tty := terminal(t)
	page(tty).showConflict(control.Conflict{Diff: diff})
	b := make([]byte, 1<<10)
	n, err := pty.Read(b)
	if got := string(b[:n]); err != nil || !strings.Contains(got, "+?[2Jtwo?[0m??") {
		t.Errorf("a terminal gets %q, %v", got, err)
	}
}

// page writes to w, as the programs do: what is for people as text alone.
func page(w io.Writer) Page { return Page{Out: cmdline.PlainWriter{Writer: w}, Raw: w} }

// terminal gives both ends of one.
func terminal(t *testing.T) (pty, tty *os.File) {
	t.Helper()
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pty.Close() })
	fd := int(pty.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return pty, tty
}
