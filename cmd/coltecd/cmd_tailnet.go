package main

import (
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/tailnet"
)

// cmdTailnetUp is what the job tailscale-up runs; people do not.
func cmdTailnetUp(p *program) *cli.Command {
	return &cli.Command{
		Name:      "tailnet-up",
		Hidden:    true,
		ArgsUsage: "[FLAG…]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "tailscale"},
			&cli.StringFlag{Name: "socket", Required: true},
			&cli.StringFlag{Name: "state"},
			&cli.StringFlag{Name: "report"},
			&cli.BoolFlag{Name: "ready", Usage: "only report whether tailscaled answers"},
		},
		Action: func(c *cli.Context) error {
			if c.Bool("ready") {
				return tailnet.Ready(c.String("socket"))
			}
			if c.String("tailscale") == "" || c.String("state") == "" || c.String("report") == "" {
				return cmdline.Usage("tailnet-up needs --tailscale, --state and --report")
			}
			if err := daemon.HideEnvironment(); err != nil { // the key is in the environment
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context, syscall.SIGTERM)
			defer stop()
			return tailnet.Join{
				Tailscale: c.String("tailscale"), Socket: c.String("socket"), State: c.String("state"), Report: c.String("report"),
				Up: c.Args().Slice(), Key: secret.New(p.env(spec.TailnetKeys[0])), Env: p.environ,
			}.Run(ctx)
		},
	}
}
