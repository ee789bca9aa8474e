package cmdline

import (
	"cmp"
	"embed"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/hint"
)

//go:embed shells/completion.*
var shells embed.FS

// shellNames are the shells that words are completed in.
var shellNames = []string{"bash", "fish", "zsh"}

// The first words of the call by which a shell asks for completions: of words as they are
// meant, or as they are typed, with their quotes.
const (
	completeWord = "__complete"
	typedWord    = "__complete-typed"
)

// Kind is what else a shell may complete a word with.
type Kind string

// The kinds.
const (
	Words   Kind = "words"   // nothing else
	Files   Kind = "files"   // names of files, too
	Folders Kind = "folders" // names of folders, too
)

// Candidate is a word, and what it means.
type Candidate struct{ Word, Text string }

// Place is what a word is for, by the program's own account of itself.
type Place struct {
	Verb  string   // "secrets export"
	Flag  string   // the word is its value; "" for an argument
	Name  string   // of the argument, as in the usage: DIR
	Given []string // the arguments before it
	Flags []string // those before it, by their first names
	Begun string   // what there is of the word, without --flag=
}

// Known gives the words that a program has for a place, and what else may stand there. It
// waits for nothing.
type Known func(Place) ([]Candidate, Kind)

// CompletionCommand is the verb of a program that prints the script for a shell.
func CompletionCommand(program string, out io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the script that lets a shell complete words: bash, zsh or fish",
		ArgsUsage: "SHELL",
		Description: strings.ReplaceAll(`bash: source <(PROGRAM completion bash)
zsh:  source <(PROGRAM completion zsh), after compinit
fish: PROGRAM completion fish | source`, "PROGRAM", program),
		Action: func(c *cli.Context) error {
			script, err := shells.ReadFile("shells/completion." + c.Args().First())
			if err != nil {
				return hint.Wrap(Usage("no completion for %q", c.Args().First()), "there is one for %s", strings.Join(shellNames, ", "))
			}
			text := strings.NewReplacer("PROGRAM", program, "_FUNCTION", "_"+strings.ReplaceAll(program, "-", "_")).Replace(string(script))
			_, err = io.WriteString(out, text)
			return err
		},
	}
}

// ShellWords are the shells that words are completed in.
func ShellWords() (list []Candidate) {
	for _, name := range shellNames {
		list = append(list, Candidate{Word: name})
	}
	return list
}

// generationsOffered is how many generations before the last one are offered: which of the
// older ones are kept, the bucket knows alone.
const generationsOffered = 5

// MomentWords are moments of the past, as --at takes them, of a workspace whose checkpoints,
// the newest last, and whose last generation are known; 0: it is not.
func MomentWords(checkpoints []string, last int64) []Candidate {
	return slices.Concat(CheckpointWords(checkpoints), GenerationWords(last), TimeWords())
}

// GenerationWords are the last generations, of which the last is known.
func GenerationWords(last int64) (list []Candidate) {
	for g := last; g > max(0, last-generationsOffered); g-- {
		list = append(list, Candidate{strconv.FormatInt(g, 10), "generation"})
	}
	return list
}

// TimeWords are examples of moments by the clock.
func TimeWords() []Candidate { return []Candidate{{"1h", "an hour ago"}, {"1d", "a day ago"}} }

// CheckpointWords are checkpoints, the newest first.
func CheckpointWords(checkpoints []string) (list []Candidate) {
	for _, name := range slices.Backward(checkpoints) {
		list = append(list, Candidate{name, "checkpoint"})
	}
	return list
}

// Completing gives the words of a command line that a shell asks completions for, the last
// of which is begun, and reports whether this is such a call.
func Completing(args []string) (words []string, ok bool) {
	if len(args) < 2 || args[1] != completeWord && args[1] != typedWord {
		return nil, false
	}
	words = slices.Clone(args[2:])
	if args[1] == typedWord {
		for i := range words {
			words[i] = unquoted(words[i])
		}
	}
	if len(words) == 0 {
		words = []string{""}
	}
	return words, true
}

// Complete prints what a shell may complete the last of the words with: on the first line
// the kind and what is begun, then a word and its meaning on each. What is begun by --flag=,
// as --at=4, is completed to words that begin so, too; the first line has what comes after it.
func Complete(w io.Writer, app *cli.App, words []string, known Known) {
	l := line{commands: app.Commands}
	for _, word := range words[:len(words)-1] {
		l.read(app, word)
	}
	word := words[len(words)-1]
	list, kind, begun := l.next(app, word, known)
	fmt.Fprintf(w, "%s\t%s\n", kind, OneLine(begun))
	said := map[string]bool{}
	for _, c := range list {
		if word == "" && strings.HasPrefix(c.Word, "-") {
			continue // flags are for who begins one
		}
		if strings.HasPrefix(c.Word, word) && !strings.ContainsAny(c.Word, "\t\n") && !said[c.Word] {
			said[c.Word] = true
			fmt.Fprintf(w, "%s\t%s\n", c.Word, OneLine(c.Text))
		}
	}
}

// line is how far a command line was read.
type line struct {
	commands []*cli.Command // that may follow
	command  *cli.Command   // nil: none yet
	verbs    []string
	args     []string
	given    []string // flags, by their first names
	flag     cli.Flag // whose value comes next
	plain    bool     // after --
}

// read takes a word in.
func (l *line) read(app *cli.App, word string) {
	switch {
	case l.flag != nil:
		l.flag = nil
	case l.plain:
		l.args = append(l.args, word)
	case word == "--":
		l.plain = true
	case len(word) > 1 && word[0] == '-':
		l.readFlags(app, word)
	default:
		if c := command(l.commands, word); c != nil && len(l.args) == 0 {
			l.command, l.commands = c, c.Subcommands
			l.verbs = append(l.verbs, c.Name)
		} else {
			l.args, l.commands = append(l.args, word), nil
		}
	}
}

// readFlags takes a word with a flag, or several short ones (-fn), in.
func (l *line) readFlags(app *cli.App, word string) {
	all := l.flags(app)
	parts, left, _ := take(all, word, []string{"a value"})
	for i, part := range parts {
		name, _ := flagName(part)
		f := find(all, name)
		if f == nil || !strings.HasPrefix(part, "-") {
			continue
		}
		l.given = append(l.given, f.Names()[0])
		if len(left) == 0 && i == len(parts)-2 {
			l.flag = f
		}
	}
}

func (l *line) flags(app *cli.App) []cli.Flag {
	if l.command == nil {
		return app.Flags
	}
	return slices.Concat(l.command.Flags, app.Flags)
}

// next is what may come after what was read, where a word is begun; begun is what there is of
// it without --flag=.
func (l *line) next(app *cli.App, word string, known Known) (list []Candidate, kind Kind, begun string) {
	place := Place{Verb: strings.Join(l.verbs, " "), Given: l.args, Flags: l.given, Begun: word}
	if l.flag != nil {
		place.Flag = l.flag.Names()[0]
		list, kind = known(place)
		return list, kind, word
	}
	if flag, value, joined := strings.Cut(word, "="); joined && !l.plain && strings.HasPrefix(word, "-") {
		f := find(l.flags(app), strings.TrimLeft(flag, "-"))
		if f == nil || !takesValue(f) {
			return nil, Words, value
		}
		place.Flag, place.Begun = f.Names()[0], value
		list, kind = known(place)
		for i := range list {
			list[i].Word = flag + "=" + list[i].Word
		}
		return list, kind, value
	}
	list, kind = l.argument(place, known)
	if !l.plain {
		list = append(list, flagCandidates(l.flags(app))...)
	}
	return list, kind, word
}

// argument is what may come as a verb or an argument.
func (l *line) argument(place Place, known Known) (list []Candidate, kind Kind) {
	for _, c := range l.commands {
		if !c.Hidden {
			list = append(list, Candidate{c.Name, c.Usage})
		}
	}
	if l.command == nil {
		return list, Words
	}
	names := strings.Fields(l.command.ArgsUsage)
	n := len(l.args)
	if n >= len(names) && len(names) > 0 && strings.Contains(names[len(names)-1], "…") {
		n = len(names) - 1
	}
	if n >= len(names) {
		return list, Words
	}
	for name := range strings.SplitSeq(strings.Trim(names[n], "[]…"), "|") {
		if name == strings.ToLower(name) { // the word itself
			if name != "" {
				list = append(list, Candidate{Word: name})
			}
			continue
		}
		place.Name, _, _ = strings.Cut(name, "[") // WORKSPACE[@WHEN]
		more, of := known(place)
		list = append(list, more...)
		if kind != Files && of != Words {
			kind = of
		}
	}
	return list, cmp.Or(kind, Words)
}

// flagCandidates are flags by their long names. They are offered when a word begins with -.
func flagCandidates(flags []cli.Flag) (list []Candidate) {
	for _, f := range flags {
		d, ok := f.(cli.DocGenerationFlag)
		if v, can := f.(cli.VisibleFlag); !ok || can && !v.IsVisible() {
			continue
		}
		list = append(list, Candidate{"--" + f.Names()[0], strings.ReplaceAll(d.GetUsage(), "`", "")})
	}
	return append(list, Candidate{"--help", "show help"})
}

// unquoted is a word as it is meant, of one as it is typed in a shell, whose quotes may not be
// closed yet.
func unquoted(typed string) string {
	var b strings.Builder
	quote := rune(0) // that is open
	escaped := false
	for _, r := range typed {
		switch {
		case escaped:
			if quote == '"' && !strings.ContainsRune("\\\"$`", r) {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped = true
		case r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
