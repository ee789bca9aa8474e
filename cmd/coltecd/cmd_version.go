package main

import (
	"fmt"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// version is set by the build (-ldflags -X main.version=1.2.3).
var version string

// release is the version, or what the Go toolchain knows of the source.
func release() string {
	if version != "" {
		return version
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
		Usage: "print the version of coltecd",
		Action: func(*cli.Context) error {
			_, err := fmt.Fprintf(p.out, "%s version %s\n", p.name, release())
			return err
		},
	}
}
