package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/spec"
)

// verdict is the answer of validate --json.
type verdict struct {
	File     string   `json:"file"`
	Valid    bool     `json:"valid"`
	Problems []string `json:"problems"`
	Hints    []string `json:"hints"`
	Notices  []string `json:"notices"` // accepted, and not acted on
}

func cmdValidate(p *program) *cli.Command {
	return &cli.Command{
		Name:      "validate",
		Usage:     "check a spec (by default this workspace's) and say all that is wrong",
		ArgsUsage: "[FILE]",
		Flags:     []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			path, err := p.specArgument(c)
			if err != nil {
				return err
			}
			v, err := check(path)
			if err != nil && !errors.Is(err, control.ErrInvalidSpec) {
				return err
			}
			if c.Bool("json") {
				return errors.Join(p.printJSON(v), silence(err))
			}
			for _, n := range v.Notices {
				p.say("notice: %s", n)
			}
			if err == nil {
				fmt.Fprintf(p.out, "%s is valid\n", path)
			}
			return err
		},
	}
}

func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "answer in JSON"} }

func (p *program) specArgument(c *cli.Context) (string, error) {
	if c.Args().Present() {
		return c.Args().First(), nil
	}
	return p.findSpec(c)
}

// check reads the spec and judges it.
func check(path string) (verdict, error) {
	v := verdict{File: path, Problems: []string{}, Hints: []string{}, Notices: []string{}}
	sp, err := daemon.LoadSpec(path)
	if err != nil {
		v.Problems = problems(err)
		v.Hints = append(v.Hints, hint.Of(err)...)
		return v, err
	}
	v.Valid = true
	for _, n := range sp.NotActedOn() {
		v.Notices = append(v.Notices, n.String())
	}
	return v, nil
}

// problems are the single errors in err.
func problems(err error) []string {
	var texts []string
	for _, p := range spec.Problems(err) {
		texts = append(texts, p.Error())
	}
	if texts == nil {
		return []string{err.Error()}
	}
	return texts
}

// silence keeps the code of an error whose text was already part of the answer.
func silence(err error) error {
	if err == nil {
		return nil
	}
	return exit{Code: codeOf(err)}
}

// printJSON answers in JSON.
func (p *program) printJSON(v any) error { return cmdline.PrintJSON(p.raw.out, v) }
