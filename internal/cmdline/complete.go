package cmdline

import (
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

// completeWord is the first word of the call by which a shell asks for completions.
const completeWord = "__complete"

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

// GenerationWords are moments of the past, as --at takes them, of a workspace whose last
// generation is known; 0: it is not.
func GenerationWords(last int64) (list []Candidate) {
	for g := last; g > max(0, last-generationsOffered); g-- {
		list = append(list, Candidate{strconv.FormatInt(g, 10), "generation"})
	}
	return append(list, Candidate{"1h", "an hour ago"}, Candidate{"1d", "a day ago"})
}

// Completing gives the words of a command line that a shell asks completions for, the last
// of which is begun, and reports whether this is such a call.
func Completing(args []string) (words []string, ok bool) {
	if len(args) < 2 || args[1] != completeWord {
		return nil, false
	}
	words = args[2:]
	if len(words) == 0 {
		words = []string{""}
	}
	return words, true
}

// Complete prints what a shell may complete the last of the words with: on the first line
// the kind, then a word and its meaning on each.
func Complete(w io.Writer, app *cli.App, words []string, known Known) {
	list, kind := candidates(app, words, known)
	begun := words[len(words)-1]
	if begun == "=" { // of --flag=, as bash parts it
		begun = ""
	}
	fmt.Fprintln(w, kind)
	for _, c := range list {
		if begun == "" && strings.HasPrefix(c.Word, "-") {
			continue // flags are for who begins one
		}
		if strings.HasPrefix(c.Word, begun) && !strings.ContainsAny(c.Word, "\t\n") {
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
	flag     cli.Flag // whose value comes next
	plain    bool     // after --
}

// candidates are what the last word may become.
func candidates(app *cli.App, words []string, known Known) ([]Candidate, Kind) {
	l := line{commands: app.Commands}
	for _, word := range words[:len(words)-1] {
		if word != "=" { // bash parts words there
			l.read(app, word)
		}
	}
	return l.next(app, known)
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
		name, hasValue := flagName(word)
		if f := find(l.flags(app), name); f != nil && !hasValue && takesValue(f) {
			l.flag = f
		}
	default:
		if c := command(l.commands, word); c != nil && len(l.args) == 0 {
			l.command, l.commands = c, c.Subcommands
			l.verbs = append(l.verbs, c.Name)
		} else {
			l.args, l.commands = append(l.args, word), nil
		}
	}
}

func (l *line) flags(app *cli.App) []cli.Flag {
	if l.command == nil {
		return app.Flags
	}
	return slices.Concat(l.command.Flags, app.Flags)
}

// next is what may come after what was read.
func (l *line) next(app *cli.App, known Known) ([]Candidate, Kind) {
	place := Place{Verb: strings.Join(l.verbs, " "), Given: l.args}
	if l.flag != nil {
		place.Flag = l.flag.Names()[0]
		return known(place)
	}
	var list []Candidate
	if !l.plain {
		list = flagCandidates(l.flags(app))
	}
	if len(l.commands) > 0 {
		for _, c := range l.commands {
			if !c.Hidden {
				list = append(list, Candidate{c.Name, c.Usage})
			}
		}
		return list, Words
	}
	if l.command == nil {
		return nil, Words
	}
	names := strings.Fields(l.command.ArgsUsage)
	n := len(l.args)
	if n >= len(names) && len(names) > 0 && strings.Contains(names[len(names)-1], "…") {
		n = len(names) - 1
	}
	if n >= len(names) {
		return list, Words
	}
	place.Name = strings.Trim(names[n], "[]…")
	more, kind := known(place)
	return append(more, list...), kind
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
