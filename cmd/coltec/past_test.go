package main

import (
	"io"
	"slices"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
)

// What coltecd is called with says what coltec was: the flags of the verb, none of the host's
// own, and arguments that are no flags.
func TestVerbOf(t *testing.T) {
	for _, tt := range []struct{ call, want []string }{
		{[]string{"history", "w"}, []string{"coltecd", "history"}},
		{[]string{"history", "w", "ls", "a b"}, []string{"coltecd", "history", "--", "ls", "a b"}},
		{[]string{"history", "w", "ls", "--json", "--wide"}, []string{"coltecd", "history", "--json=true", "--wide=true", "--", "ls"}},
		{[]string{"history", "--at", "2h", "--secrets-file", "/s", "w", "show"}, []string{"coltecd", "history", "--at=2h", "--", "show"}},
		{[]string{"checkpoint", "w", "x", "-m", "--it works"}, []string{"coltecd", "checkpoint", "--message=--it works", "--", "x"}},
		{[]string{"conflicts", "w", "show", "--", "--odd"}, []string{"coltecd", "conflicts", "--", "show", "--odd"}},
		{[]string{"sync", "w", "--allow-delete", "context"}, []string{"coltecd", "sync", "--allow-delete=true", "--", "context"}},
	} {
		p := newProgram(stdio{out: io.Discard, err: io.Discard}, nil)
		app := newApp(p)
		var got []string
		for _, c := range app.Commands {
			flags := slices.DeleteFunc(slices.Clone(c.Flags), func(f cli.Flag) bool {
				return slices.Contains([]string{"secrets-file", "age-key-file", "profile"}, f.Names()[0])
			})
			c.Action = func(c *cli.Context) error { got = verbOf(c, flags); return nil }
		}
		if err := app.Run(cmdline.Arrange(app, append([]string{"coltec"}, tt.call...))); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, %v; want %q", tt.call, got, err, tt.want)
		}
	}
}
