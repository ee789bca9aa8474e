package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/installation"
)

func cmdUninstall(p *program) *cli.Command {
	return &cli.Command{
		Name:      "uninstall",
		Usage:     "push what is pending, stop, and undo install; the folder and the file with its variables stay",
		ArgsUsage: "[DIR]",
		Flags:     systemFlags(),
		Action:    func(c *cli.Context) error { return installer{p}.uninstall(c) },
	}
}

func (p installer) uninstall(c *cli.Context) error {
	s, _, err := p.setUp(c)
	if err != nil {
		return err
	}
	file := filepath.Join(s.dir, s.Service())
	installed := there(file)
	if err := ours(file); err != nil {
		return err
	}
	if i, ok, err := p.find(s.Spec); err != nil || ok {
		if err = errors.Join(err, p.stop(c.Context, i, installation.StopTimeout)); err != nil {
			return err
		}
	}
	if installed {
		if s.systemd {
			if err := p.systemctl(c.Context, s, "disable", "--now", s.Service()); err != nil {
				return err
			}
		}
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("cannot remove the unit: %w", err)
		}
		if s.systemd {
			if err := p.systemctl(c.Context, s, "daemon-reload"); err != nil {
				return err
			}
		}
		p.say("removed %s", file)
	} else {
		p.say("there is no unit; a line of your crontab goes with: crontab -e")
	}
	if there(s.env) {
		p.say("its variables, secrets among them, are still in %s", s.env)
	}
	return nil
}
