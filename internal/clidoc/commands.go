package clidoc

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

var (
	fence  = regexp.MustCompile("(?ms)^```[^\n]*\n(.*?)^```$")
	indent = regexp.MustCompile(`(?m)^ {4,}.*$`)
	inline = regexp.MustCompile("`([^`\n]+)`")
	word   = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	flag   = regexp.MustCompile(`^--?[a-z][a-z0-9-]*`)
	// ends is where a command ends in a shell, or in a text.
	ends = regexp.MustCompile(`\s(?:#|\||&&|;|[0-9]?>|<|…)|;|\)|…`)
)

// Commands are the command lines of a program in a page of Markdown: in blocks of code, and in code
// within lines.
func Commands(program, page string) (list []string) {
	begin := regexp.MustCompile(`(?:^|[\s("'=$])(` + regexp.QuoteMeta(program) + ` [^\s].*)$`)
	var code []string
	for _, m := range fence.FindAllStringSubmatch(page, -1) {
		code = append(code, strings.Split(m[1], "\n")...)
	}
	rest := fence.ReplaceAllString(page, "")
	code = append(code, indent.FindAllString(rest, -1)...)
	for _, m := range inline.FindAllStringSubmatch(indent.ReplaceAllString(rest, ""), -1) {
		code = append(code, m[1])
	}
	for _, line := range code {
		if at := strings.Index(line, "#"); at == 0 || at > 0 && line[at-1] == ' ' {
			line = line[:at]
		}
		if m := begin.FindStringSubmatch(line); m != nil {
			command := m[1]
			if at := ends.FindStringIndex(command); at != nil {
				command = command[:at[0]]
			}
			list = append(list, strings.TrimSpace(command))
		}
	}
	return list
}

// Unknown is an error for a command line with a verb or a flag that the program does not have. What
// comes after "--", and after the arguments of a verb that runs another program, is not looked at.
func Unknown(app *cli.App, command string) error {
	words := strings.Fields(command)[1:]
	commands, flags := app.Commands, slices.Clone(app.Flags)
	verb := ""
	for i, w := range words {
		w = strings.Trim(w, `[]"',.:|`)
		switch {
		case words[i] == "--":
			return nil
		case flag.MatchString(w):
			name := strings.TrimLeft(flag.FindString(w), "-")
			if !strings.HasPrefix(w, "--") && len(name) > 1 {
				name = name[:1] // short ones may be together, or have their value with them
			}
			if name != "help" && name != "h" && !slices.ContainsFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) }) {
				return fmt.Errorf("%s: there is no flag %s", command, w)
			}
		case commands != nil && word.MatchString(w):
			c := named(commands, w)
			if c == nil && verb == "" {
				return fmt.Errorf("%s: there is no verb %s", command, w)
			}
			commands = nil
			if c != nil {
				verb, commands, flags = w, c.Subcommands, append(flags, c.Flags...)
			}
		default:
			commands = nil // a placeholder, or an argument
			if verb == "" {
				return nil
			}
		}
	}
	return nil
}

func named(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// Undocumented names the verbs and flags that say nothing of themselves, hidden ones left out.
func Undocumented(app *cli.App) (names []string) {
	var look func(path string, commands []*cli.Command)
	saysNothing := func(path string, flags []cli.Flag) {
		for _, f := range flags {
			d, ok := f.(cli.DocGenerationFlag)
			if v, is := f.(cli.VisibleFlag); is && !v.IsVisible() || !ok {
				continue
			}
			if strings.TrimSpace(d.GetUsage()) == "" {
				names = append(names, path+" --"+f.Names()[0])
			}
		}
	}
	look = func(path string, commands []*cli.Command) {
		for _, c := range commands {
			if c.Hidden {
				continue
			}
			if strings.TrimSpace(c.Usage) == "" {
				names = append(names, path+" "+c.Name)
			}
			saysNothing(path+" "+c.Name, c.Flags)
			look(path+" "+c.Name, c.Subcommands)
		}
	}
	saysNothing(app.Name, app.Flags)
	look(app.Name, app.Commands)
	return names
}
