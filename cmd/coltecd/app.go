package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/hint"
)

// variables are the environment variables that coltecd itself reads; docs/cli.md
// and --help print them.
var variables = []struct{ name, text string }{
	{"COLTEC_CONFIG", "the spec, if --config does not name it"},
	{"COLTEC_DISABLED", "1, true, yes or on: start and run say so and do nothing"},
	{"COLTEC_INTERVAL", "the interval of every replica, in seconds or as a duration (180, 3m)"},
	{"COLTEC_LOG_DIR", "the log directory, instead of .devcontainer/logs"},
	{"COLTEC_LOG_FORMAT", "text or json: the format of coltecd.log"},
	{"COLTEC_LOG_LEVEL", "debug, info, warn or error"},
	{"COLTEC_RCLONE", "the rclone to run, instead of the one beside coltecd or in PATH"},
	{"NO_COLOR", "set: no colour in status"},
	{"XDG_RUNTIME_DIR", "where the socket is made (in coltec/); else in /tmp/coltec-<uid>"},
}

// newApp is the command line.
func newApp(p *program) *cli.App {
	app := &cli.App{
		Name:                  p.name,
		Usage:                 "supervise a workspace and keep it in its bucket",
		UsageText:             p.name + " [--config FILE] VERB [flags] [arguments]",
		Version:               release(),
		HideHelpCommand:       true,
		Reader:                p.in,
		Writer:                p.out,
		ErrWriter:             p.err,
		CustomAppHelpTemplate: cli.AppHelpTemplate + helpTail(),
		ExitErrHandler:        func(*cli.Context, error) {}, // the default ends the process
		OnUsageError:          onUsageError,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "the spec `FILE` (default: " + specName + " here or above)"},
		},
		Commands: []*cli.Command{
			cmdStart(p), cmdRun(p), cmdStop(p), cmdStatus(p), cmdSync(p), cmdLogs(p), cmdValidate(p),
			cmdPause(p), cmdResume(p), cmdRestart(p), cmdReload(p), cmdTakeover(p), cmdAdopt(p),
			cmdHistory(p), cmdConflicts(p), cmdVerify(p), cmdVersion(p),
			cmdKeep(p), cmdSupervise(p),
		},
		Action: func(c *cli.Context) error { return noVerb(p, c) },
	}
	for _, c := range app.Commands {
		c.OnUsageError = onUsageError // the library does not hand it down
		c.HideHelpCommand = true
		c.Before = checkCount(c)
	}
	return app
}

func helpTail() string {
	var b strings.Builder
	b.WriteString("\nENVIRONMENT:\n")
	for _, v := range variables {
		fmt.Fprintf(&b, "   %-18s %s\n", v.name, v.text)
	}
	b.WriteString("\nEXIT CODES:\n" + codeTable("   "))
	return b.String()
}

// onUsageError makes any complaint of the library a usage error; it would print
// it to stdout with the whole help.
func onUsageError(c *cli.Context, err error, _ bool) error {
	text := strings.TrimPrefix(err.Error(), "flag provided but not defined: ")
	if text != err.Error() {
		text = "unknown flag " + text
	}
	return hint.Wrap(usage("%s", text), "see %s --help", c.Command.HelpName)
}

// noVerb is what happens without a verb, or with one that does not exist.
func noVerb(p *program, c *cli.Context) error {
	if c.Args().Present() {
		err := usage("unknown verb %q", c.Args().First())
		if near := cli.SuggestCommand(c.App.Commands, c.Args().First()); near != "" {
			return hint.Wrap(err, "%s", near)
		}
		return hint.Wrap(err, "see %s --help", p.name)
	}
	c.App.Writer = p.err // not what was asked for
	_ = cli.ShowAppHelp(c)
	return exit{code: codeUsage}
}

// checkCount refuses arguments that the verb does not take, by its ArgsUsage:
// NAME is needed, [NAME] may be there, "…" may be many.
func checkCount(cmd *cli.Command) cli.BeforeFunc {
	least, most := 0, 0
	for _, word := range strings.Fields(cmd.ArgsUsage) {
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
			return hint.Wrap(usage("%s needs %s", cmd.Name, cmd.ArgsUsage), "see %s --help", c.Command.HelpName)
		case n > most:
			return hint.Wrap(usage("%s does not take the argument %q", cmd.Name, c.Args().Get(most)), "see %s --help", c.Command.HelpName)
		}
		return nil
	}
}
