package clidoc

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

const page = "Call `tool up DIR --now` or `other up`; `tool` alone, `tools up`, not tool down.\n\n" +
	"    FOO=1 tool up DIR -- tool x   # says tool nothing\n    a/tool down\n    (tool list; tool x) | cat\n\n" +
	"```bash\nsudo tool up --at 3 >file\necho \"tool gone\"\n```\n"

func TestCommands(t *testing.T) {
	got := Commands("tool", page)
	want := []string{"tool up --at 3", `tool gone"`, "tool up DIR -- tool x", "tool list", "tool up DIR --now"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func little() *cli.App {
	return &cli.App{Name: "tool", Flags: []cli.Flag{&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "say less"}}, Commands: []*cli.Command{
		{Name: "up", Usage: "bring it up", Flags: []cli.Flag{&cli.StringFlag{Name: "at", Usage: "when"}, &cli.BoolFlag{Name: "secret", Hidden: true}}},
		{Name: "list", Usage: "list", Aliases: []string{"ls"}, Subcommands: []*cli.Command{{Name: "all", Usage: "all", Flags: []cli.Flag{&cli.IntFlag{Name: "most", Aliases: []string{"n"}}}}}},
		{Name: "dark"},
		{Name: "hidden", Hidden: true},
	}}
}

func TestUnknown(t *testing.T) {
	for command, want := range map[string]string{
		"tool up DIR --at=3 -q": "", "tool --quiet up": "", "tool ls all -n10 --help": "", "tool ls DIR": "", "tool VERB --what": "",
		"tool up -- --what": "", "tool up [--at]": "", "tool up,": "", "tool ls every": "",
		"tool down": "no verb down", "tool up --att 3": "no flag --att", "tool ls -n": "no flag -n", "tool up -x": "no flag -x", "tool list all --at": "no flag --at",
	} {
		err := Unknown(little(), command)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", command, err, want)
		}
	}
}

func TestUndocumented(t *testing.T) {
	if got := Undocumented(little()); !slices.Equal(got, []string{"tool list all --most", "tool dark"}) {
		t.Errorf("got %q", got)
	}
}
