package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/hint"
)

func cmdSecrets(p *program) *cli.Command {
	return &cli.Command{
		Name:  "secrets",
		Usage: "the secrets that a workspace's spec declares",
		Subcommands: []*cli.Command{{
			Name:      "export",
			Usage:     "write the declared secrets as flat JSON, for devcontainer up --secrets-file",
			ArgsUsage: "[DIR]",
			Flags: append([]cli.Flag{
				&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "the `FILE` to write, readable by you alone; -: standard output"},
			}, secretFlags()...),
			Action: func(c *cli.Context) error { return p.exportSecrets(c) },
		}},
	}
}

func (p *program) exportSecrets(c *cli.Context) error {
	if err := cmdline.NeedFlag(c, "output"); err != nil {
		return err
	}
	w, err := p.open(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	values, err := p.collect(c, w.folder, w.spec, nil)
	if err != nil {
		return err
	}
	b := devcontainer.Flat(values)
	if c.String("output") == "-" {
		_, err := p.raw.out.Write(b)
		return err
	}
	if err := writePrivate(c.String("output"), b); err != nil {
		return fmt.Errorf("cannot write the secrets: %w", err)
	}
	p.say("%s in %s: remove it when the container is up", hint.Count(len(values), "secret", "secrets"), c.String("output"))
	return nil
}

// writePrivate writes a file that nobody else could open, not even for a moment:
// a new one takes the place of what was there.
func writePrivate(path string, b []byte) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
