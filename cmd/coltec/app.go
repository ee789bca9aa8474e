package main

import (
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/hint"
)

// version is set when a release is built.
var version = ""

// release names this coltec.
func release() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "dev"
}

// codes is the one table of exit codes, printed by --help and in the docs.
var codes = []struct {
	code int
	text string
}{
	{cmdline.CodeOK, "done, and nothing needs attention"},
	{cmdline.CodeFailed, "failed, or something needs attention"},
	{cmdline.CodeUsage, "wrong usage"},
	{cmdline.CodeOnlyHere, "down: the container is stopped, but something is in the folder only, or may be; what is known of it is named; rm: so nothing was removed"},
	{cmdline.CodeTimeout, "up: not restored within --timeout; it continues in the background"},
	{cmdline.CodeKept, "down: the container is stopped and everything is in the bucket, but the lease could not be given back; another machine waits until it runs out"},
	{cmdline.CodeUntrusted, "nothing was done: the workspace asks something of this host that you have not agreed to; coltec trust does"},
	{cmdline.CodeInterrupted, "interrupted (Ctrl-C)"},
}

// variables are the environment variables that coltec itself reads.
var variables = []struct{ name, text string }{
	{"COLTEC_BIN", "the directory with coltecd and rclone for containers, instead of the one that coltec is in"},
	{"COLTEC_DOCKER", "docker or podman, or the path of one (default: docker, else podman); DOCKER_HOST and contexts count as they do for it"},
	{"FNOX_AGE_KEY", "the age key that opens fnox.toml, as text"},
	{"FNOX_AGE_KEY_FILE", "the file with the age key"},
	{"FNOX_CONFIG_DIR", "where config.toml and age.txt are (default: ~/.config/fnox)"},
	{"FNOX_PROFILE", "the profile of fnox.toml"},
	{"XDG_STATE_HOME", "what you agreed to is kept in coltec/trust there, what is being removed in coltec/removals (default: ~/.local/state)"},
	{"COLTEC_RCLONE", "the rclone that speaks with buckets from this host, instead of the one in COLTEC_BIN, beside coltec or in PATH"},
	{"COLTEC_RCLONE_ALLOW", "the file with options of rclone that a spec may have on this host too (default: /etc/coltec/rclone.allow)"},
	{"NO_COLOR", "set: no colour"},
}

// newApp is the command line.
func newApp(p *program) *cli.App {
	app := &cli.App{
		Name:                      "coltec",
		Usage:                     "dev containers whose state follows you through your own bucket",
		UsageText:                 "coltec VERB [flags] [arguments]",
		Version:                   release(),
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true, // a value may hold a comma
		Reader:                    p.in,
		Writer:                    p.out,
		ErrWriter:                 p.err,
		CustomAppHelpTemplate:     cli.AppHelpTemplate + helpTail(),
		ExitErrHandler:            func(*cli.Context, error) {}, // the default ends the process
		OnUsageError:              cmdline.OnUsageError,
		Commands: []*cli.Command{
			cmdNew(p), cmdInit(p), cmdUpdate(p), cmdCheck(p), cmdTemplates(p), cmdSchema(p),
			cmdExport(p), cmdFork(p), cmdJoin(p), cmdAgents(p),
			cmdUp(p), cmdDown(p), cmdHop(p), cmdRm(p), cmdDoctor(p), cmdLs(p), cmdUI(p), cmdStatus(p), cmdLogs(p), cmdExec(p), cmdSecrets(p), cmdTrust(p),
			cmdHistory(p), cmdCheckpoint(p), cmdCheckpoints(p), cmdCompare(p), cmdRewind(p), cmdConflicts(p), cmdSync(p), cmdGC(p), cmdMCP(p),
			cmdVersion(p), cmdline.CompletionCommand("coltec", p.out), cmdline.ManCommand(p.out, manual()),
		},
		Action: cmdline.NoVerb,
	}
	manners(app.Commands)
	return app
}

// manners gives all verbs what the library does not hand down.
func manners(commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError, c.HideHelpCommand = usageError(c), true
		if len(c.Subcommands) > 0 {
			if c.Action == nil {
				c.Action = cmdline.NoVerb
			}
			manners(c.Subcommands)
			continue
		}
		c.Before = cmdline.CheckWords(c)
	}
}

// usageError is what a verb says of a wrong call. Flags of another program are the commonest, where a
// verb hands some on.
func usageError(of *cli.Command) cli.OnUsageErrorFunc {
	return func(c *cli.Context, err error, isSub bool) error {
		err = cmdline.OnUsageError(c, err, isSub)
		switch of.Name {
		case "exec":
			return hint.Wrap(err, "flags of the program go after --: coltec exec DIR -- ls -l")
		case "up":
			return hint.Wrap(err, "flags of the dev container CLI go after --: coltec up DIR -- --build-no-cache")
		}
		return err
	}
}

func helpTail() string {
	var b strings.Builder
	b.WriteString("\nWORKSPACES:\n   one is named by its folder, by org/project/env, or by a part of that which no other has\n")
	b.WriteString("\nENVIRONMENT:\n")
	for _, v := range variables {
		fmt.Fprintf(&b, "   %-20s %s\n", v.name, v.text)
	}
	b.WriteString("\nEXIT CODES:\n")
	for _, c := range codes {
		fmt.Fprintf(&b, "   %-3d  %s\n", c.code, c.text)
	}
	return b.String()
}

func cmdVersion(p *program) *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version of coltec",
		Action: func(*cli.Context) error {
			_, err := fmt.Fprintln(p.out, "coltec version "+release())
			return err
		},
	}
}

// manual is what the manual page has beside verbs and flags.
func manual() cmdline.Manual {
	m := cmdline.Manual{See: "coltecd(1), docker(1)"}
	for _, c := range codes {
		m.Codes = append(m.Codes, [2]string{strconv.Itoa(c.code), c.text})
	}
	for _, v := range variables {
		m.Variables = append(m.Variables, [2]string{v.name, v.text})
	}
	return m
}
