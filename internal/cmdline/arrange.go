package cmdline

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Arrange puts a command line into the one order that urfave/cli reads right:
// global flags, verb, its flags, "--", its arguments. By itself the library
// takes a flag after the first argument for an argument (`status web --json`),
// and a global flag after the verb for an unknown one. A verb may be two words
// (`secrets export`). `help VERB` is VERB --help, as in other programs. A flag that lacks its value is
// the last word, where the library sees that: it would take a "--" for the value.
func Arrange(app *cli.App, args []string) []string {
	if len(args) > 1 && args[1] == "help" && command(app.Commands, "help") == nil {
		args = append(append([]string{args[0]}, args[2:]...), "--help")
	}
	var global, local, rest []string
	var verbs []string
	help := false
	var own []cli.Flag
	commands := app.Commands
	words := args[1:]
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch {
		case word == "--":
			rest = append(rest, words...)
			words = nil
		case len(word) < 2 || word[0] != '-':
			if c := command(commands, word); c != nil {
				own, commands = c.Flags, c.Subcommands
			} else if len(verbs) > 0 {
				commands = nil // from here on they are arguments
				rest = append(rest, word)
				continue
			} else {
				own, commands = nil, nil
			}
			verbs = append(verbs, word)
		default:
			var flag []string
			var whole bool
			help = help || (word == "--help" || word == "-h") && !known(own, word)
			isGlobal := known(app.Flags, word) && !known(own, word)
			if isGlobal {
				flag, words, whole = take(app.Flags, word, words)
				global = append(global, flag...)
			} else {
				flag, words, whole = take(own, word, words)
				local = append(local, flag...)
			}
			if !whole && isGlobal {
				return slices.Concat(args[:1], global)
			}
			if !whole {
				return slices.Concat(args[:1], global, verbs, local)
			}
		}
	}
	out := append([]string{args[0]}, global...)
	if len(verbs) == 0 {
		return append(out, local...)
	}
	out = append(append(out, verbs...), local...)
	if help {
		rest = nil // the library would look for help on the first argument
	}
	return append(append(out, "--"), rest...)
}

func command(commands []*cli.Command, word string) *cli.Command {
	for _, c := range commands {
		if c.HasName(word) {
			return c
		}
	}
	return nil
}

// take gives the words that the flag at word is made of, and those after it; whole is false where its
// value is not among them. Grouped short flags (-fn10) are taken apart.
func take(flags []cli.Flag, word string, after []string) (flag, rest []string, whole bool) {
	name, hasValue := flagName(word)
	f := find(flags, name)
	if f == nil && !strings.HasPrefix(word, "--") && len(name) > 1 {
		if first := find(flags, name[:1]); first != nil {
			if takesValue(first) { // -n10
				return []string{"-" + name[:1], word[2:]}, after, true
			}
			flag, rest, whole = take(flags, "-"+word[2:], after) // -fn10
			return append([]string{"-" + name[:1]}, flag...), rest, whole
		}
	}
	switch {
	case f == nil || hasValue || !takesValue(f):
		return []string{word}, after, true
	case len(after) == 0 || after[0] == "--":
		return []string{word}, after, false
	}
	return []string{word, after[0]}, after[1:], true
}

func flagName(word string) (name string, hasValue bool) {
	name, _, hasValue = strings.Cut(strings.TrimLeft(word, "-"), "=")
	return name, hasValue
}

func known(flags []cli.Flag, word string) bool {
	name, _ := flagName(word)
	return find(flags, name) != nil
}

func find(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}
