// Package cmdline is what the command lines of coltecd and coltec have in
// common: the order of words, usage errors, exit codes, how an error, a table
// and JSON are printed.
package cmdline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/hint"
)

// Exit codes that both programs have.
const (
	CodeOK          = 0
	CodeFailed      = 1
	CodeUsage       = 2
	CodeOnlyHere    = 6 // done as far as it went: something is on this machine only, and what is known of it was named
	CodeTimeout     = 7 // what was waited for did not come within the time given
	CodeKept        = 8 // everything is in the bucket, but the lease could not be given back
	CodeUntrusted   = 9 // nothing was done: the workspace asks for what the host's user has not agreed to
	CodeInterrupted = 130
)

// Exit is an error with a code of its own. Without a cause nothing is printed:
// the answer said it all.
type Exit struct {
	Code  int
	Cause error
}

func (e Exit) Error() string {
	if e.Cause == nil {
		return ""
	}
	return e.Cause.Error()
}

// Unwrap gives the cause.
func (e Exit) Unwrap() error { return e.Cause }

// Usage is the error of a wrong call.
func Usage(format string, args ...any) error {
	return Exit{CodeUsage, fmt.Errorf(format, args...)}
}

// ErrInternal is what the error of a panic is.
var ErrInternal = errors.New("internal error")

// Internal is the error of a panic.
func Internal(v any) error { return fmt.Errorf("%w: %v", ErrInternal, v) }

// CodeOf gives the exit code of an error.
func CodeOf(err error) int {
	var e Exit
	switch {
	case err == nil:
		return CodeOK
	case errors.As(err, &e):
		return e.Code
	default:
		return CodeFailed
	}
}

// Fail prints an error and its hints to a [PlainWriter].
func Fail(w io.Writer, err error) {
	if err == nil || err.Error() == "" {
		return
	}
	fmt.Fprintf(w, "error: %s\n", err)
	for _, h := range hint.Of(err) {
		fmt.Fprintf(w, "hint: %s\n", h)
	}
}

// Failure is an error as programs get it.
type Failure struct {
	Error struct {
		Message string   `json:"message"`
		Hints   []string `json:"hints"` // next steps for a person
		Exit    int      `json:"exit"`  // the exit code
	} `json:"error"`
}

// failJSON prints an error and its hints for a program, on one line, to a [PlainWriter].
func failJSON(w io.Writer, err error, code int) {
	if err == nil || err.Error() == "" {
		return
	}
	var f Failure
	f.Error.Message, f.Error.Hints, f.Error.Exit = err.Error(), append([]string{}, hint.Of(err)...), code
	_ = JSON(w, "", f) // nobody is left to be told
}

// Yes reports whether the value of a variable is a yes.
func Yes(value string) bool {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "1", "true", "yes", "on":
		return true
	}
	return false
}

// Lookup gives a variable of an environment. An empty one counts as unset.
func Lookup(environ []string, name string) (string, bool) {
	value := ""
	for _, kv := range environ { // the last one wins, as in execve
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value, value != ""
}

// Plain takes out of text for a terminal what is no text: control characters, those
// that turn the direction of what follows or end a line, and bytes that are not UTF-8. Names and
// messages of others must neither move the cursor nor look like something else.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case isNoText(r):
			return '?'
		}
		return r // of a byte that is none, utf8.RuneError
	}, s)
}

// isNoText reports whether a terminal takes a character for an order instead of showing it.
func isNoText(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f || r == 0x61c
}

// escaped is JSON with \u for what is no text for a terminal. JSON has such characters in strings
// alone, and encoding/json escapes those below a space, so that a reader gets what was meant.
func escaped(text []byte) []byte {
	if !bytes.ContainsFunc(text, func(r rune) bool { return r != '\n' && isNoText(r) }) {
		return text
	}
	var out []byte
	for _, r := range string(text) {
		if r != '\n' && isNoText(r) {
			out = fmt.Appendf(out, "\\u%04x", r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

// JSON writes a value and a line break in one Write, in a form that a terminal shows as text.
func JSON(w io.Writer, indent string, v any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("", indent)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(escaped(text.Bytes()))
	return err
}

// PlainWriter makes all that is written to a writer Plain. Each Write is a whole text.
type PlainWriter struct{ io.Writer }

// Write implements io.Writer.
func (w PlainWriter) Write(b []byte) (int, error) {
	if _, err := io.WriteString(w.Writer, Plain(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Answer is where the answer of a program goes, and knows whether all of it arrived: verbs print
// without a look at that, and a full disk is no exit 0.
type Answer struct {
	io.Writer
	mu  sync.Mutex
	err error
}

// Write implements io.Writer.
func (a *Answer) Write(b []byte) (int, error) {
	n, err := a.Writer.Write(b)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		a.err = err
	}
	return n, err
}

// Verbatim is where the bytes of files go: as they are to a file or a program, as text to a terminal.
// out is what a program prints to, raw what that leads to.
func Verbatim(out, raw io.Writer) io.Writer {
	if plain, is := out.(PlainWriter); is && !IsTerminal(raw) {
		return plain.Writer
	}
	return out
}

// arrived is the error of an answer that did not arrive whole.
func arrived(w io.Writer) error {
	plain, _ := w.(PlainWriter)
	a, ok := plain.Writer.(*Answer)
	if !ok {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		return nil
	}
	return fmt.Errorf("cannot write the answer: %w", a.err)
}

// PrintJSON writes an answer for programs. A list of nothing is [], and never null.
func PrintJSON(w io.Writer, v any) error {
	if list := reflect.ValueOf(v); list.Kind() == reflect.Slice && list.IsNil() {
		v = []any{}
	}
	return JSON(w, "  ", v)
}

// givenWords is where an app has the words that it was called with.
const givenWords = "words"

// OnUsageError makes any complaint of the library a usage error; it would print
// it to stdout with the whole help.
func OnUsageError(c *cli.Context, err error, _ bool) error {
	flag, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return hint.Wrap(Usage("%s", valueText(c, err.Error())), "see %s --help", c.Command.HelpName)
	}
	words, _ := c.App.Metadata[givenWords].([]string)
	if slices.ContainsFunc(words, func(w string) bool { return w == "--"+flag || strings.HasPrefix(w, "--"+flag+"=") }) {
		flag = "-" + flag // the library tells one dash and two alike
	}
	wrong := hint.Wrap(Usage("unknown flag -%s", flag), "see %s --help", c.Command.HelpName)
	if near := nearFlag(c, strings.TrimPrefix(flag, "-")); near != "" {
		wrong = hint.Wrap(Usage("unknown flag -%s", flag), "did you mean --%s? See %s --help", near, c.Command.HelpName)
	}
	if _, err := os.Lstat("-" + flag); err == nil {
		wrong = hint.Wrap(wrong, "what is called so is named %s", hint.Word("./-"+flag))
	}
	return wrong
}

// invalid is what the library says of the value of a flag.
var invalid = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?s)^invalid (?:boolean )?value (".*") for (?:flag )?-([a-z-]+): `)
})

// valueText says of the value of a flag what it should be, and others as they are.
func valueText(c *cli.Context, text string) string {
	if name, lacks := strings.CutPrefix(text, "flag needs an argument: -"); lacks {
		return flagText(c, name) + " needs a value"
	}
	m := invalid().FindStringSubmatch(text)
	if m == nil {
		return text
	}
	for _, f := range slices.Concat(c.Command.Flags, c.App.Flags) {
		if !slices.Contains(f.Names(), m[2]) {
			continue
		}
		what := ""
		switch f.(type) {
		case *cli.DurationFlag:
			what = "a duration such as 90s or 5m"
		case *cli.IntFlag, *cli.Uint64Flag, *cli.Int64Flag, *cli.UintFlag:
			what = "a number"
		case *cli.BoolFlag:
			what = "true or false, if anything"
		default:
			return text
		}
		return fmt.Sprintf("--%s takes %s, not %s", f.Names()[0], what, m[1])
	}
	return text
}

// nearFlag is the flag of a verb whose name has nearly the letters of a word; "" for none.
func nearFlag(c *cli.Context, word string) string {
	names := map[string]string{}
	for _, f := range slices.Concat(c.Command.Flags, c.App.Flags) {
		for _, name := range f.Names() {
			if len(name) > 1 {
				names[name] = name
			}
		}
	}
	return Nearest(word, names)
}

// NeedFlag is the error of a verb that cannot do without a flag that was not given, or given as nothing
// (--flag=false, --flag ""); nil where it was.
func NeedFlag(c *cli.Context, name string) error {
	if value := c.Value(name); c.IsSet(name) && value != "" && value != false {
		return nil
	}
	return hint.Wrap(Usage("%s needs %s", c.Command.Name, flagText(c, name)), "see %s --help", c.Command.HelpName)
}

// flagText is a flag of a verb as its help has it, with what stands for its value.
func flagText(c *cli.Context, name string) string {
	for _, f := range slices.Concat(c.Command.Flags, c.App.Flags) {
		d, ok := f.(cli.DocGenerationFlag)
		if !ok || !slices.Contains(f.Names(), name) {
			continue
		}
		name = f.Names()[0]
		if _, rest, _ := strings.Cut(d.GetUsage(), "`"); d.TakesValue() {
			placeholder, _, _ := strings.Cut(rest, "`")
			name = strings.TrimSpace(name + " " + placeholder)
		}
		break
	}
	return "--" + name
}

// NoVerb is what happens without a verb, or with one that does not exist.
func NoVerb(c *cli.Context) error {
	if c.Args().Present() {
		err := Usage("unknown verb %q", c.Args().First())
		commands, of := c.App.Commands, c.App.Name
		if c.Command != nil && len(c.Command.Subcommands) > 0 && c.Command.HelpName != "" { // a verb of two words
			commands, of = c.Command.Subcommands, c.Command.HelpName
		}
		if near := Near(commands, c.Args().First()); near != "" {
			return hint.Wrap(err, "did you mean %s %s? See %s --help", of, near, of)
		}
		return hint.Wrap(err, "see %s --help", of)
	}
	c.App.Writer = c.App.ErrWriter // not what was asked for
	if c.Command != nil && len(c.Command.Subcommands) > 0 && c.Command.HelpName != "" {
		_ = cli.ShowSubcommandHelp(c)
	} else {
		_ = cli.ShowAppHelp(c)
	}
	return Exit{Code: CodeUsage}
}

// CheckWords refuses arguments that the verb does not take, by its ArgsUsage: NAME is needed, [NAME] may
// be there, "…" may be many. What is there and empty is not taken either: it would read as not given,
// which means all of them, or what is here, and is mostly a variable that a shell does not have.
func CheckWords(cmd *cli.Command) cli.BeforeFunc {
	least, most := 0, 0
	words := strings.Fields(cmd.ArgsUsage)
	for _, word := range words {
		if !strings.HasPrefix(word, "[") {
			least++
		}
		most++
		if strings.Contains(word, "…") {
			most = 1 << 30
		}
	}
	return func(c *cli.Context) error {
		switch n := c.NArg(); {
		case n < least:
			return hint.Wrap(Usage("%s needs %s", cmd.Name, cmd.ArgsUsage), "see %s --help", c.Command.HelpName)
		case n > most:
			return hint.Wrap(Usage("%s does not take the argument %q", cmd.Name, c.Args().Get(most)), "see %s --help", c.Command.HelpName)
		}
		if what := empty(c, words); what != "" {
			return hint.Wrap(Usage("%s: %s is empty", cmd.Name, what), "write what is meant, or leave it out where it need not be there: see %s --help", c.Command.HelpName)
		}
		return nil
	}
}

// choices are the flags that say which of several is meant, or where to.
var choices = []string{"agent", "at", "into", "of", "only", "path", "replica", "seen", "to"}

// empty is what a verb is given that has nothing in it, as its help calls it; "" for none. Words for
// another program may be empty.
func empty(c *cli.Context, words []string) string {
	for i, given := range c.Args().Slice() {
		word := words[min(i, len(words)-1)]
		theirs := slices.ContainsFunc([]string{"ARG…", "COMMAND…", "FLAG…", "VERB…"}, func(s string) bool { return strings.Contains(word, s) })
		if given == "" && !theirs {
			return strings.Trim(word, "[]…")
		}
	}
	for _, name := range choices {
		switch value := c.Value(name).(type) {
		case string:
			if c.IsSet(name) && value == "" {
				return flagText(c, name)
			}
		case cli.StringSlice:
			if slices.Contains(value.Value(), "") {
				return flagText(c, name)
			}
		}
	}
	return ""
}
