package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/spec"
)

// variables are the environment variables that coltecd itself reads; docs/cli.md
// and --help print them.
var variables = []struct{ name, text string }{
	{"COLTEC_AGE_KEY", "the age key to which logins of agents that travel are encrypted"},
	{"COLTEC_CONFIG", "the spec, if --config does not name it"},
	{"COLTEC_DISABLED", "1, true, yes or on: start and run say so and do nothing"},
	{"COLTEC_HOST", "what other machines are told that this one is called, instead of its host name; coltec up sets it"},
	{"COLTEC_INTERVAL", "the interval of every replica, in seconds or as a duration (180, 3m)"},
	{"COLTEC_LOG_DIR", "the log directory, instead of .devcontainer/logs"},
	{"COLTEC_LOG_FORMAT", "text or json, one object a line: the format of all logs"},
	{"COLTEC_LOG_LEVEL", "debug, info, warn or error"},
	{"COLTEC_RCLONE", "the rclone to run, instead of the one beside coltecd or in PATH"},
	{spec.PlaceVar, "the path at which the spec has the workspace's folder (/workspace), on a machine where the folder is elsewhere; coltecd install sets it"},
	{"COLTEC_NET_*", "the tailnet, see docs/tailnet.md"},
	{"COLTEC_TAILSCALE_AUTH_KEY", "the key that joins the tailnet; else TAILSCALE_AUTH_KEY, TS_AUTHKEY"},
	{"NO_COLOR", "set: no colour in status"},
	{"XDG_RUNTIME_DIR", "where the socket is made (in coltec/); else in /tmp/coltec-UID"},
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
		OnUsageError:          cmdline.OnUsageError,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "the spec `FILE` (default: " + daemon.SpecName + " here or above)"},
		},
		Commands: []*cli.Command{
			cmdStart(p), cmdRun(p), cmdStop(p), cmdStatus(p), cmdMetrics(p), cmdWait(p), cmdSync(p), cmdLogs(p), cmdValidate(p),
			cmdPause(p), cmdResume(p), cmdRestart(p), cmdReload(p), cmdTakeover(p), cmdAdopt(p), cmdAgents(p),
			cmdHistory(p), cmdCheckpoint(p), cmdCheckpoints(p), cmdRewind(p), cmdCompare(p), cmdJoin(p), cmdConflicts(p), cmdVerify(p), cmdGC(p), cmdMCP(p), cmdInstall(p), cmdUninstall(p), cmdVersion(p),
			cmdline.CompletionCommand(p.name, p.out), cmdline.ManCommand(p.out, manual()),
			cmdKeep(p), cmdSupervise(p), cmdGuard(p), cmdBecome(p), cmdFirst(p), cmdTailnetUp(p),
		},
		Action: func(c *cli.Context) error { return cmdline.NoVerb(c) },
	}
	for _, c := range app.Commands {
		c.OnUsageError = cmdline.OnUsageError // the library does not hand it down
		c.HideHelpCommand = true
		for _, sub := range c.Subcommands {
			sub.OnUsageError, sub.HideHelpCommand, sub.Before = cmdline.OnUsageError, true, cmdline.CheckWords(sub)
		}
		if len(c.Subcommands) == 0 {
			c.Before = cmdline.CheckWords(c)
		}
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

// manual is what the manual page has beside verbs and flags.
func manual() cmdline.Manual {
	m := cmdline.Manual{See: "coltec(1), rclone(1)"}
	for _, c := range codes {
		m.Codes = append(m.Codes, [2]string{strconv.Itoa(c.code), c.text})
	}
	for _, v := range variables {
		m.Variables = append(m.Variables, [2]string{v.name, v.text})
	}
	return m
}
