package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
)

func cmdVerify(p *program) *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "check that everything that the kept generations refer to is there",
		ArgsUsage: "[REPLICA]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "quick", Usage: "compare names and sizes alone; else everything is fetched and hashed"},
			&cli.BoolFlag{Name: "deep", Usage: "open each repository and each database of the newest generation, too, and check it"},
			&cli.StringFlag{Name: "at", Usage: "with --deep: of the generation with that number, or of that moment"},
			&cli.BoolFlag{Name: "repair", Usage: "bring back what is damaged on one side from the other"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error { return p.verify(c) },
	}
}

func (p *program) verify(c *cli.Context) error {
	req := control.VerifyRequest{Replica: c.Args().First(), Deep: !c.Bool("quick"), Wholes: c.Bool("deep"), At: c.String("at"), Repair: c.Bool("repair")}
	if req.At != "" && !req.Wholes {
		return cmdline.Usage("--at belongs to verify --deep")
	}
	verdicts, err := asked(p, c, control.History.Verify, req)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		if err := p.printJSON(verdicts); err != nil {
			return err
		}
	}
	wrong, left, broken, failed := false, false, false, false
	for _, v := range verdicts {
		if !c.Bool("json") {
			p.printVerdict(v)
		}
		wrong = wrong || !v.OK()
		left = left || len(v.Missing)+len(v.Damaged) > 0 && !req.Repair
		broken = broken || len(v.Broken) > 0
		failed = failed || v.Failed != ""
	}
	switch {
	case failed:
		err := hint.Wrap(errors.New("not everything could be verified"), "%s verify looks again, when what is said above is mended", p.name)
		if left {
			err = hint.Wrap(err, "%s verify --repair brings back what the other side has", p.name)
		}
		return err
	case left:
		return hint.Wrap(errors.New("not everything is as it should be"), "%s verify --repair brings back what the other side has", p.name)
	case broken:
		return hint.Wrap(errors.New("not everything is sound"), "%s history restore --at N --to DIR writes an earlier generation to a directory", p.name)
	case wrong:
		return hint.Wrap(errors.New("not everything was as it should be"), "%s verify shows what is left", p.name)
	}
	return nil
}

// printVerdict is what verify says of one replica.
func (p *program) printVerdict(v control.Verdict) {
	name := v.Replica
	if v.Failed != "" {
		fmt.Fprintf(p.out, "%s: %s\n", name, v.Failed)
		if v.Generations == 0 {
			return
		}
	}
	if v.Note != "" {
		fmt.Fprintf(p.out, "%s: %s\n", name, v.Note)
	} else {
		fmt.Fprintf(p.out, "%s: %s to %s, %s; %s, %s\n", name, hint.Count(v.Generations, "generation refers", "generations refer"), hint.Count(v.Objects, "object", "objects"), cmdline.Size(v.Bytes),
			hint.Count(v.Orphans, "orphan", "orphans"), cmdline.Size(v.OrphanBytes))
	}
	for _, key := range v.Missing {
		fmt.Fprintf(p.out, "%s: %s is missing or damaged in the bucket\n", name, key)
	}
	for _, l := range v.Lost {
		what := "all of it"
		if l.Path != "" {
			what = fmt.Sprintf("%q", l.Path)
		}
		now := ""
		if l.Now {
			now = ", the newest one among them"
		}
		fmt.Fprintf(p.out, "%s: %s cannot be had in %s%s\n", name, what, hint.Count(len(l.Generations), "generation", "generations"), now)
	}
	for _, path := range v.Damaged {
		fmt.Fprintf(p.out, "%s: %s changed on this machine's disk although nobody wrote it\n", name, fmt.Sprintf("%q", path))
	}
	if v.Opened > 0 {
		fmt.Fprintf(p.out, "%s: %s opened, %s not sound\n", name, hint.Count(v.Opened, "repository or database was", "repositories and databases were"), hint.Count(len(v.Broken), "of them is", "of them are"))
	}
	for _, b := range v.Broken {
		for _, wrong := range b.Wrong {
			fmt.Fprintf(p.out, "%s: %q of generation %d: %s\n", name, b.Path, b.Generation, wrong)
		}
		if b.Sound > 0 {
			fmt.Fprintf(p.out, "%s: %q was sound in generation %d\n", name, b.Path, b.Sound)
		}
	}
	for _, path := range v.Repaired {
		fmt.Fprintf(p.out, "%s: repaired %s\n", name, fmt.Sprintf("%q", path))
	}
}
