package pastpage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
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

// lists is a History with conflicts, and an error of what could not be looked at.
type lists struct {
	control.History
	list []control.Conflict
	err  error
}

func (l lists) Conflicts(context.Context, control.ConflictsRequest, func(string)) ([]control.Conflict, error) {
	return l.list, l.err
}

// What could be looked at is shown, and what could not is the error: no list is taken for all.
func TestListsInPart(t *testing.T) {
	broken := errors.New("replica home: cannot read")
	one := []control.Conflict{{Replica: "code", ID: "the-id", Path: "f", Here: true}}
	for _, tt := range []struct {
		lists
		args []string
		want string // in what is printed; "": nothing is
	}{
		{lists{list: one}, nil, "the-id"},
		{lists{list: one, err: broken}, nil, "the-id"},
		{lists{list: one, err: broken}, []string{"--json"}, `"id": "the-id"`},
		{lists{err: broken}, nil, ""},
		{lists{err: broken}, []string{"--json"}, ""},
		{lists{list: []control.Conflict{}}, []string{"--json"}, "[]"},
	} {
		var out bytes.Buffer
		p := page(&out)
		p.Say = func(string, ...any) {}
		p.Past = func(*cli.Context) (control.History, func(), error) { return tt.lists, func() {}, nil }
		app := &cli.App{Commands: []*cli.Command{p.Conflicts()}, Writer: io.Discard, ErrWriter: io.Discard, ExitErrHandler: func(*cli.Context, error) {}}
		err := app.Run(append([]string{"x", "conflicts"}, tt.args...))
		if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || !strings.Contains(out.String(), tt.want) || tt.want == "" && out.Len() > 0 {
			t.Errorf("%+v %q: %q, %v", tt.lists, tt.args, out.String(), err)
		}
	}
}

// The next step of a wrong call on the host named no workspace, and was a wrong call itself.
func TestNextStepsNameTheWorkspace(t *testing.T) {
	for _, tt := range []struct {
		program, of, want string
		args              []string
	}{
		{"coltec", "WORKSPACE ", "coltec conflicts 'a b' lists them", []string{"conflicts", "a b", "take"}},
		{"coltec", "WORKSPACE ", "coltec conflicts w lists them", []string{"conflicts", "w", "diff"}},
		{"coltec", "WORKSPACE ", "coltec history w lists the generations", []string{"history", "w", "ls"}},
		{"coltec", "WORKSPACE ", "coltec history w lists the generations", []string{"history", "w", "restore", "f"}},
		{"coltecd", "", "coltecd conflicts lists them", []string{"conflicts", "drop"}},
		{"coltecd", "", "coltecd history lists the generations", []string{"history", "ls"}},
	} {
		p := page(io.Discard)
		p.Program, p.Of = tt.program, tt.of
		app := &cli.App{Commands: []*cli.Command{p.Conflicts(), p.History()}, Writer: io.Discard, ErrWriter: io.Discard, ExitErrHandler: func(*cli.Context, error) {}}
		if got := strings.Join(hint.Of(app.Run(append([]string{"x"}, tt.args...))), "\n"); !strings.Contains(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.args, got, tt.want)
		}
	}
}

// decides is a History that fails in the middle of a decision.
type decides struct {
	control.History
	done control.Decided
	err  error
}

func (d decides) Decide(_ context.Context, req control.DecideRequest, _ func(string)) (control.Decided, error) {
	if req.DryRun {
		return control.Decided{Done: make([]control.Conflict, 2)}, nil
	}
	return d.done, d.err
}

// What was taken before a failure is said, with how it is got back.
func TestDecidedInPart(t *testing.T) {
	broken := errors.New("1 of 2 were decided: cannot go on")
	half := control.Decided{Done: []control.Conflict{{ID: "the-id", Path: "f", Host: "desk", Undo: "cp a b"}}, Left: []control.Conflict{{ID: "other", Note: "it is open"}}}
	for _, tt := range []struct {
		decides
		args []string
		want []string
	}{
		{decides{done: half, err: broken}, nil, []string{"f is the version of desk again", "back again: cp a b", "left: other: it is open"}},
		{decides{done: half, err: broken}, []string{"--json"}, []string{`"id": "the-id"`, `"undo": "cp a b"`}},
		{decides{done: control.Decided{Done: []control.Conflict{}}, err: broken}, nil, nil},
		{decides{err: broken}, []string{"--json"}, nil},
	} {
		var out bytes.Buffer
		p := page(&out)
		p.Say = func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
		p.Past = func(*cli.Context) (control.History, func(), error) { return tt.decides, func() {}, nil }
		app := &cli.App{Commands: []*cli.Command{p.Conflicts()}, Writer: io.Discard, ErrWriter: io.Discard, ExitErrHandler: func(*cli.Context, error) {}}
		err := app.Run(slices.Concat([]string{"x", "conflicts", "--all", "--yes"}, tt.args, []string{"take"}))
		if !errors.Is(err, broken) || len(tt.want) == 0 && out.Len() > 0 {
			t.Errorf("%q: %q, %v", tt.args, out.String(), err)
		}
		for _, want := range tt.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q: %q lacks %q", tt.args, out.String(), want)
			}
		}
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
