package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/pastpage"
	"github.com/coltec/coltec/pkg/control"
)

// past is what answers questions about the bucket and its past: the running coltecd;
// without one this program, with what this shell's environment has of credentials.
func (p *program) past(c *cli.Context) (control.History, error) {
	path, err := p.findSpec(c)
	if err != nil {
		return nil, err
	}
	i, running, err := p.find(path)
	if err != nil {
		return nil, err
	}
	if running {
		return control.Dial(i.Socket), nil
	}
	o, err := p.load(path)
	if err != nil {
		return nil, err
	}
	return daemon.NewHistory(o), nil
}

// page shows the past of the workspace of the current directory.
func (p *program) page() pastpage.Page {
	asker := cmdline.Asker{In: p.raw.in, Err: p.err}
	return pastpage.Page{Program: p.name, Out: p.out, Raw: p.raw.out, Say: p.say, Asker: asker, Past: func(c *cli.Context) (control.History, func(), error) {
		past, err := p.past(c)
		return past, func() {}, err
	}}
}

// asked has a question answered.
func asked[Q, A any](p *program, c *cli.Context, ask func(control.History, context.Context, Q, func(string)) (A, error), req Q) (a A, err error) {
	past, err := p.past(c)
	if err != nil {
		return a, err
	}
	return ask(past, c.Context, req, func(line string) { p.say("%s", line) })
}
