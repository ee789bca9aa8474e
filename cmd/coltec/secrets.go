package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/fnox"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/tailnet"
)

// secretFlags say where secrets are looked for.
func secretFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "secrets-file", Usage: "take secrets from `FILE`: flat JSON, or lines NAME=value"},
		&cli.StringFlag{Name: "age-key-file", Usage: "open fnox.toml with the age or SSH key in `FILE`"},
		&cli.StringFlag{Name: "profile", Usage: "use this `PROFILE` of fnox.toml"},
	}
}

// wanted are the secrets that a spec declares, and the variables that its
// remotes, services, hooks and tailnet cannot do without.
func wanted(sp *spec.Spec) []secret.Wanted {
	var list []secret.Wanted
	seen := map[string]bool{}
	add := func(name string, required bool) {
		if name != "" && !seen[name] {
			seen[name] = true
			list = append(list, secret.Wanted{Name: name, Required: required})
		}
	}
	for _, name := range sp.RequiredSecrets() {
		add(name, true)
	}
	for _, s := range sp.Secrets {
		add(s.Name, false)
	}
	for _, name := range sp.Variables() {
		add(name, false)
	}
	if sp.Networking.Enabled {
		for _, name := range tailnet.KeyVars {
			add(name, false)
		}
	}
	return list
}

// sources are asked in this order: what was said now counts over what is kept.
func (p *program) sources(c *cli.Context, folder string, given secret.Values) []secret.Source {
	var list []secret.Source
	if len(given) > 0 {
		list = append(list, secret.Given{From: "--remote-env", Values: given})
	}
	if file := c.String("secrets-file"); file != "" {
		list = append(list, secret.File(file))
	}
	return append(list, secret.Environment(p.environ), fnox.Source{
		Folder: folder, Environ: p.environ, AgeKeyFile: c.String("age-key-file"), Profile: c.String("profile"),
	})
}

// collect gets the secrets of the workspace in folder.
func (p *program) collect(ctx context.Context, c *cli.Context, folder string, sp *spec.Spec, given secret.Values) (secret.Values, error) {
	values, err := secret.Collect(ctx, wanted(sp), p.sources(c, folder, given)...)
	if err != nil {
		return nil, fmt.Errorf("workspace %s: %w", sp.ID(), err)
	}
	return values, nil
}

// remoteEnv reads --remote-env NAME=value: those that the spec declares as
// secrets, and the others.
func remoteEnv(list []string, sp *spec.Spec) (given secret.Values, plain map[string]string, err error) {
	given, plain = secret.Values{}, map[string]string{}
	declared := map[string]bool{}
	for _, w := range wanted(sp) {
		declared[w.Name] = true
	}
	for _, kv := range list {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || !secret.ValidName(name) {
			return nil, nil, cmdline.Usage("--remote-env needs NAME=value, not %q", name)
		}
		if declared[name] {
			given[name] = secret.New(value)
		} else {
			plain[name] = value
		}
	}
	return given, plain, nil
}
