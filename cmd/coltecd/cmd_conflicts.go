package main

import "github.com/urfave/cli/v2"

func cmdConflicts(p *program) *cli.Command { return p.page().Conflicts() }
