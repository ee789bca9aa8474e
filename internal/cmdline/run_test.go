package cmdline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/hint"
)

// Who asks for JSON gets errors in it, too: on standard error, in one line. Who does not gets
// words.
func TestErrorsInJSON(t *testing.T) {
	for _, c := range []struct {
		line    string
		message string // "": no JSON
		hints   []string
		exit    int
	}{
		{"x fails --json", "a\nb <c> \ufffd", []string{"do d"}, CodeFailed},
		{"x --json fails", "a\nb <c> \ufffd", []string{"do d"}, CodeFailed},
		{"x fails -json=true", "a\nb <c> \ufffd", []string{"do d"}, CodeFailed},
		{"x fails --jsno --json", "unknown flag --jsno", []string{"did you mean --json? See x fails --help"}, CodeUsage},
		{"x fails -jsno --json", "unknown flag -jsno", []string{"did you mean --json? See x fails --help"}, CodeUsage},
		{"x fails --jsno=1 --json", "unknown flag --jsno", []string{"did you mean --json? See x fails --help"}, CodeUsage},
		{"x fails --elsewhere --json", "unknown flag --elsewhere", []string{"see x fails --help"}, CodeUsage},
		{"x fails -z --json", "unknown flag -z", []string{"see x fails --help"}, CodeUsage},
		{"x fails --json --wait x", `--wait takes a duration such as 90s or 5m, not "x"`, []string{"see x fails --help"}, CodeUsage},
		{"x fails --json --wait 3", `--wait takes a duration such as 90s or 5m, not "3"`, []string{"see x fails --help"}, CodeUsage},
		{"x fails --json -n ten", `--lines takes a number, not "ten"`, []string{"see x fails --help"}, CodeUsage},
		{"x fails --json=1 --quick=maybe", `--quick takes true or false, if anything, not "maybe"`, []string{"see x fails --help"}, CodeUsage},
		{"x needs --json", "needs needs --to PLACE", []string{"see x needs --help"}, CodeUsage},
		{"x needs --json --to", "--to PLACE needs a value", []string{"see x needs --help"}, CodeUsage},
		{"x fails --json -n", "--lines needs a value", []string{"see x fails --help"}, CodeUsage},
		{"x takes a --to -- b --json", "", nil, CodeUsage},
		{"x takes a --json --to -- b", "--to PLACE needs a value", []string{"see x takes --help"}, CodeUsage},
		{"x needs --json --to=", "needs: --to PLACE is empty", []string{"write what is meant, or leave it out where it need not be there: see x needs --help"}, CodeUsage},
		{"x decides --json --quick=false", "decides needs --quick", []string{"see x decides --help"}, CodeUsage},
		{"x nothing --json", `unknown verb "nothing"`, []string{"see x --help"}, CodeUsage},
		{"x fails more --json", `fails does not take the argument "more"`, []string{"see x fails --help"}, CodeUsage},
		{"x panics --json", "internal error: broken", []string{}, CodeFailed},
		{"x fails", "", nil, CodeFailed},
		{"x fails --json=false", "", nil, CodeFailed},
		{"x takes -- --json", "", nil, CodeFailed},
		{"x quiet --json", "", nil, 3},
	} {
		var out, errs bytes.Buffer
		code := Run(t.Context(), failing(&out, &errs), strings.Fields(c.line), CodeOf)
		if code != c.exit || out.Len() > 0 {
			t.Errorf("%s: exit %d, %q", c.line, code, out.String())
		}
		var f Failure
		err := json.Unmarshal(errs.Bytes(), &f)
		switch {
		case c.message == "" && err == nil:
			t.Errorf("%s: %s", c.line, errs.String())
		case c.message != "" && (err != nil || f.Error.Message != c.message || !slices.Equal(f.Error.Hints, c.hints) || f.Error.Hints == nil || f.Error.Exit != c.exit || strings.Count(errs.String(), "\n") != 1):
			t.Errorf("%s: %v, %s", c.line, err, errs.String())
		}
	}
}

// An empty word read as one that is not there: verify of no replica was of all, and take --all --of of no
// machine was of all machines.
func TestEmptyWords(t *testing.T) {
	for _, c := range []struct {
		usage string
		args  []string
		want  string // "": it is taken
	}{
		{"[REPLICA]", []string{""}, "do: REPLICA is empty"},
		{"[REPLICA]", nil, ""},
		{"WORKSPACE [REPLICA…]", []string{"w", "a", ""}, "do: REPLICA is empty"},
		{"NAME|TIME", []string{""}, "do: NAME|TIME is empty"},
		{"DIR PROGRAM [ARG…]", []string{"", "sh"}, "do: DIR is empty"},
		{"DIR PROGRAM [ARG…]", []string{"w", "sh", "-c", "", ""}, ""},
		{"COMMAND…", []string{"sh", "-c", ""}, ""},
		{"[NAME]", []string{"--replica", ""}, "do: --replica NAME is empty"},
		{"[NAME]", []string{"--replica=", "a"}, "do: --replica NAME is empty"},
		{"[NAME]", []string{"--agent", "a", "--agent="}, "do: --agent NAME is empty"},
		{"[NAME]", []string{"--message=", "--agent", "a"}, ""},
		{"", []string{"--replica", ""}, "do: --replica NAME is empty"},
		{"", []string{""}, `do does not take the argument ""`},
	} {
		cmd := &cli.Command{Name: "do", ArgsUsage: c.usage, Action: func(*cli.Context) error { return nil }, Flags: []cli.Flag{
			&cli.StringFlag{Name: "replica", Usage: "look at the replica `NAME`"}, &cli.StringSliceFlag{Name: "agent", Usage: "of the agent `NAME`"}, &cli.StringFlag{Name: "message"},
		}}
		cmd.Before = CheckWords(cmd)
		app := &cli.App{Name: "x", Writer: io.Discard, ErrWriter: io.Discard, Commands: []*cli.Command{cmd}, ExitErrHandler: func(*cli.Context, error) {}}
		got := ""
		if err := app.Run(append([]string{"x", "do"}, c.args...)); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q of %q: %q, want %q", c.args, c.usage, got, c.want)
		}
	}
}

// failing is a program whose verbs do.
func failing(out, errs *bytes.Buffer) *cli.App {
	do := func(err error) cli.ActionFunc { return func(*cli.Context) error { return err } }
	app := &cli.App{Name: "x", Writer: out, ErrWriter: PlainWriter{errs}, HideHelpCommand: true, OnUsageError: OnUsageError, Action: NoVerb, ExitErrHandler: func(*cli.Context, error) {}}
	failure := hint.Wrap(fmt.Errorf("a\n%w", errors.New("b <c> \xff")), "do d")
	app.Commands = []*cli.Command{
		{Name: "fails", Action: do(failure)}, {Name: "takes", ArgsUsage: "[X…]", Action: do(failure)}, {Name: "quiet", Action: do(Exit{Code: 3})},
		{Name: "needs", Action: func(c *cli.Context) error { return NeedFlag(c, "to") }},
		{Name: "decides", Action: func(c *cli.Context) error { return NeedFlag(c, "quick") }},
		{Name: "panics", Action: func(*cli.Context) error { panic("broken") }},
	}
	pair := &cli.Command{Name: "pair", Action: NoVerb, HideHelpCommand: true, Subcommands: []*cli.Command{
		{Name: "one", Usage: "is one", Action: do(failure), Flags: []cli.Flag{&cli.StringFlag{Name: "to"}}, OnUsageError: OnUsageError, HideHelpCommand: true},
	}}
	defer func() { app.Commands = append(app.Commands, pair) }()
	for _, c := range app.Commands {
		c.Flags = []cli.Flag{&cli.BoolFlag{Name: "json"}, &cli.StringFlag{Name: "to", Usage: "go to `PLACE`"},
			&cli.DurationFlag{Name: "wait"}, &cli.IntFlag{Name: "lines", Aliases: []string{"n"}}, &cli.BoolFlag{Name: "quick"}}
		c.OnUsageError, c.Before, c.HideHelpCommand = OnUsageError, CheckWords(c), true
	}
	return app
}

// Ctrl-C was taken once: the next one did nothing either, where a verb did not look at its context.
func TestSecondSignal(t *testing.T) {
	if os.Getenv("CMDLINE_STUCK") != "" {
		Run(t.Context(), stuck(), []string{"x", "stuck"}, CodeOf, syscall.SIGINT)
		return
	}
	sample.Long(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestSecondSignal$")
	cmd.Env = append(os.Environ(), "CMDLINE_STUCK=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"began", "asked to end"} {
		line := make([]byte, len(want)+1)
		if _, err := io.ReadFull(out, line); err != nil || string(line) != want+"\n" {
			t.Fatalf("%q: %q, %v", want, line, err)
		}
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	err = cmd.Wait()
	if state, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !state.Signaled() || state.Signal() != syscall.SIGINT {
		t.Errorf("after the second one: %v", err)
	}
}

// stuck is a program whose verb does not end.
func stuck() *cli.App {
	return &cli.App{Name: "x", HideHelpCommand: true, ErrWriter: io.Discard, Commands: []*cli.Command{{Name: "stuck", Action: func(c *cli.Context) error {
		fmt.Println("began")
		<-c.Context.Done()
		fmt.Println("asked to end")
		select {} // as what does not look at it
	}}}}
}

// `help VERB` was an unknown verb, and a file whose name begins with a dash an unknown flag alone.
func TestWhatPeopleType(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"-w", "--wide", "-u"} {
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for line, want := range map[string]string{
		"x help":              "COMMANDS:",
		"x help fails":        "x fails [command options]",
		"x help pair":         "one  is one",
		"x help pair one":     "x pair one - is one",
		"x pair":              "one  is one",
		"x fails -w":          "hint: what is called so is named ./-w\n",
		"x fails --wide":      "hint: what is called so is named ./--wide\n",
		"x fails --u":         "error: unknown flag --u\nhint: see x fails --help\n", // what is there is -u
		"x fails -v":          "error: unknown flag -v\nhint: see x fails --help\n",
		"x pair one --too 3":  "did you mean --to?",
		"x fails -- -w":       "does not take the argument",
		"x takes help --json": `"message":"a\nb <c>`,
	} {
		var out, errs bytes.Buffer
		app := failing(&out, &errs)
		Run(t.Context(), app, strings.Fields(line), CodeOf)
		if !strings.Contains(out.String()+errs.String(), want) || strings.Contains(out.String(), "default: false") {
			t.Errorf("%s: no %q in\n%s%s", line, want, out.String(), errs.String())
		}
	}
}

// An answer that met a full disk was exit 0 for most verbs, --help among them.
func TestAnswerThatDoesNotArrive(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil && runtime.GOOS == "linux" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip("/dev/full is of Linux: ", err)
	}
	defer full.Close()
	for line, want := range map[string]int{"x prints": CodeFailed, "x --help": CodeFailed, "x prints --help": CodeFailed, "x copies": CodeFailed, "x says": CodeOK, "x fails": CodeFailed, "x quiet": 3} {
		var errs bytes.Buffer
		app := failing(nil, &errs)
		app.Writer = PlainWriter{&Answer{Writer: full}}
		app.Commands = append(app.Commands,
			&cli.Command{Name: "prints", HideHelpCommand: true, Action: func(c *cli.Context) error { fmt.Fprintln(c.App.Writer, "an answer"); return nil }},
			&cli.Command{Name: "copies", HideHelpCommand: true, Action: func(c *cli.Context) error { fmt.Fprintln(Verbatim(c.App.Writer, full), "bytes"); return nil }},
			&cli.Command{Name: "says", HideHelpCommand: true, Action: func(c *cli.Context) error { fmt.Fprintln(c.App.ErrWriter, "done"); return nil }})
		code := Run(t.Context(), app, strings.Fields(line), CodeOf)
		if told := strings.Contains(errs.String(), "error: cannot write the answer: write /dev/full: no space left on device"); code != want || told != (want == CodeFailed && line != "x fails") {
			t.Errorf("%s: exit %d, %q", line, code, errs.String())
		}
	}
}

// After coltec rm --files of the folder that one is in, each verb said "getwd: no such file or directory".
func TestInAFolderThatIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "w")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, told := range []bool{false, true} {
		var out, errs bytes.Buffer
		code := Run(t.Context(), failing(&out, &errs), []string{"x", "fails"}, CodeOf)
		if code != CodeFailed || strings.Contains(errs.String(), "hint: the folder that you are in was removed") != told {
			t.Errorf("%s", errs.String())
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}
