package main

import (
	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/metrics"
)

func cmdMetrics(p *program) *cli.Command {
	return &cli.Command{
		Name:  "metrics",
		Usage: "print the state of the workspace in numbers, for Prometheus",
		Description: `The text is what node_exporter's textfile collector reads. A Prometheus that asks coltecd itself is told the same: see
metrics.listen in the spec, and docs/metrics.md. Where no coltecd runs, coltec_up is 0.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "openmetrics", Usage: "in the format of OpenMetrics"},
		},
		Action: func(c *cli.Context) error {
			doc, err := p.status(c, 0)
			if err != nil {
				return exit{Code: codeUnknown, Cause: err}
			}
			f := metrics.Prometheus
			if c.Bool("openmetrics") {
				f = metrics.OpenMetrics
			}
			_, err = p.out.Write(metrics.Document(f, doc))
			return err
		},
	}
}
