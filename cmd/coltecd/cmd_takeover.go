package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/status"
)

func cmdTakeover(p *program) *cli.Command {
	return &cli.Command{
		Name:  "takeover",
		Usage: "ask the machine that holds the lease to push and hand over, and wait for that",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Usage: "take the lease at once; what the other machine did not push it merges later"},
		},
		Action: func(c *cli.Context) error {
			client, _, err := p.connect(c)
			if err != nil {
				return err
			}
			err = client.Takeover(c.Context, control.TakeoverRequest{Force: c.Bool("force")}, func(line string) { p.say("%s", line) })
			if err != nil && c.Context.Err() != nil {
				p.say("%s", afterInterrupt(client))
			}
			return err
		},
	}
}

// afterInterrupt describes what became of a request for the lease that nobody waits for any
// more.
func afterInterrupt(client *control.Client) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // who pressed Ctrl-C waits no longer
	defer cancel()
	doc, err := client.Status(ctx)
	switch l := doc.Lease; {
	case err != nil:
		return "whether the lease was asked for is not known: see coltecd status"
	case l.State == status.LeaseHeld || l.State == status.LeaseBestEffort:
		return "this machine holds the lease already"
	case l.Request == nil:
		return "the lease was not asked for"
	case l.Holder == nil:
		return "the request stays in the bucket; see coltecd status"
	default:
		return fmt.Sprintf("the request stays in the bucket: %s hands over when it sees it, and this machine has the lease then; see coltecd status", l.Holder.Host)
	}
}
