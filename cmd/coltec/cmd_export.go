package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/trigger"
)

// exporter writes what a bucket has to a directory.
type exporter struct{ *program }

func cmdExport(p *program) *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write what the bucket has of a workspace to a directory, without a container",
		ArgsUsage: "WORKSPACE DIR",
		Description: `What is in the workspace's folder on this host is not looked at, besides its spec.
DIR must be empty, or not there yet. At its top is the workspace's own replica; others lie in it where they lie on their
machine, or beside it in a folder of their name (NAME.replica where the workspace has such a folder). What in it makes tools run programs by themselves is named. T is a generation's number, how long ago (2h, 3d), or a time.`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "at", Usage: "the state at the generation or moment `T`, instead of the newest one"},
			&cli.StringFlag{Name: "replica", Usage: "write the replica `NAME` alone, at the top of DIR"},
			keepModesFlag(),
			&cli.BoolFlag{Name: "json", Usage: "answer in JSON"},
		}, secretFlags()...),
		Action: func(c *cli.Context) error { return exporter{p}.export(c) },
	}
}

func keepModesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "keep-modes", Usage: "with the setuid, setgid and sticky bits that the files have in the workspace"}
}

// mostNamed is how many names a person reads through.
const mostNamed = 20

// sayTriggers names what runs by itself in files that came to dir.
func (p *program) sayTriggers(dir string, found []trigger.Found) {
	if len(found) == 0 {
		return
	}
	var names []string
	for _, f := range found[:min(len(found), mostNamed)] {
		names = append(names, printable(f.String()))
	}
	if more := len(found) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	p.say("note: tools that work in %s may run programs because of %s; look at them first", printable(dir), strings.Join(names, ", "))
}

// printable is a name in a line for people: quoted where it would not stay one line.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(name) {
		return strconv.Quote(name)
	}
	return name
}
