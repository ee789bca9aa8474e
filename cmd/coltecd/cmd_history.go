package main

import "github.com/urfave/cli/v2"

func cmdHistory(p *program) *cli.Command { return p.page().History() }
