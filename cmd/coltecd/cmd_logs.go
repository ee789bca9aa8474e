package main

import (
	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/logpage"
)

func cmdLogs(p *program) *cli.Command {
	return &cli.Command{
		Name:      "logs",
		Usage:     "show the log of a unit, or of all of them and coltecd",
		ArgsUsage: "[UNIT]",
		Flags:     cmdline.LogFlags(),
		Action: func(c *cli.Context) error {
			dir, err := p.logsOf(c)
			if err != nil {
				return err
			}
			return logpage.Show(c, dir, c.Args().First(), p.raw.out)
		},
	}
}

// logsOf is the log directory: that of the running coltecd, which may have been
// started with another COLTEC_LOG_DIR.
func (p *program) logsOf(c *cli.Context) (string, error) {
	path, err := p.findSpec(c)
	if err != nil {
		return "", err
	}
	if i, ok, err := p.find(path); err == nil && ok {
		return i.LogDir, nil
	}
	return p.options(path, nil).LogDir()
}
