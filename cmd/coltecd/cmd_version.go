package main

import (
	"fmt"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// release is set by the build of a release (-ldflags -X main.release=1.2.3).
var release string

// version is the release, or what the Go toolchain knows of the source.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "dev"
	}
	return info.Main.Version
}

func cmdVersion(p *program) *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "say which coltecd this is",
		Action: func(*cli.Context) error {
			_, err := fmt.Fprintf(p.out, "%s version %s\n", p.name, version())
			return err
		},
	}
}
