package pastpage

import (
	"fmt"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
)

// Checkpoints is the verb checkpoints.
func (p Page) Checkpoints() *cli.Command {
	return &cli.Command{
		Name:      "checkpoints",
		Usage:     "list the states that have a name",
		ArgsUsage: p.args(),
		Flags:     []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "answer in JSON"}},
		Action:    func(c *cli.Context) error { return p.checkpoints(c) },
	}
}

func (p Page) checkpoints(c *cli.Context) error {
	list, err := asked(p, c, control.History.Checkpoints, control.CheckpointsRequest{})
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return cmdline.PrintJSON(p.Raw, list)
	}
	t := cmdline.Table{{"NAME", "GENERATION", "TIME", "FILES", "SIZE", "TEXT"}}
	for _, x := range list {
		var files, bytes int64
		for _, tree := range x.Replicas {
			files, bytes = files+tree.Files, bytes+tree.Bytes
		}
		t = append(t, []string{
			x.Name, strconv.FormatInt(x.Number, 10), x.Made.Local().Format(time.DateTime), strconv.FormatInt(files, 10), cmdline.Size(bytes), cmdline.OneLine(x.Text),
		})
	}
	_, err = fmt.Fprint(p.Out, t)
	return err
}
