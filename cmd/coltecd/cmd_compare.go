package main

import "github.com/urfave/cli/v2"

func cmdCompare(p *program) *cli.Command { return p.page().Compare() }
