package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/trust"
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
	var required, list []secret.Wanted
	for _, v := range sp.Variables() {
		switch {
		case v.Required:
			required = append(required, secret.Wanted{Name: v.Name, Required: true})
		case v.Needed || v.Declared:
			list = append(list, secret.Wanted{Name: v.Name})
		}
	}
	return append(required, list...) // what must be had is asked for first
}

// secretsFile has what --secrets-file names. It is read once in a call: a shell's <(…) is a
// pipe, which has it once.
func (p *program) secretsFile(c *cli.Context) (secret.Given, error) {
	file := secret.File(c.String("secrets-file"))
	if file != "" && p.fileSecrets == nil {
		var err error
		if p.fileSecrets, err = file.Get(c.Context, nil); err != nil {
			return secret.Given{}, fmt.Errorf("cannot get secrets from %s: %w", file, err)
		}
	}
	return secret.Given{From: file.String(), Values: p.fileSecrets}, nil
}

// sources are asked in this order: what was said now counts over what is kept.
// Without being told for this call a name is looked for only if may says so.
func (p *program) sources(c *cli.Context, folder string, given secret.Values, may func(name string) bool) ([]secret.Source, error) {
	var list []secret.Source
	if len(given) > 0 {
		list = append(list, secret.Given{From: "--remote-env", Values: given})
	}
	file, err := p.secretsFile(c)
	if c.String("secrets-file") != "" {
		list = append(list, file)
	}
	return append(list, granted{secret.Environment(p.environ), may}, granted{p.fnox(c, folder), may}), err
}

// gather gets the secrets of a spec from all sources.
func (p *program) gather(c *cli.Context, folder string, sp *spec.Spec, given secret.Values, may func(name string) bool) (secret.Values, error) {
	sources, err := p.sources(c, folder, given, may)
	if err != nil {
		return nil, err
	}
	return secret.Collect(c.Context, wanted(sp), sources...)
}

// granted is a source that is asked for some names only.
type granted struct {
	secret.Source
	may func(name string) bool
}

// Get gives those of the names that may be had.
func (g granted) Get(ctx context.Context, names []string) (secret.Values, error) {
	var some []string
	for _, name := range names {
		if g.may(name) {
			some = append(some, name)
		}
	}
	if len(some) == 0 {
		return nil, nil
	}
	return g.Source.Get(ctx, some)
}

// collect gets the secrets of the workspace in folder, of what this host keeps those
// alone that its user agreed to hand over. What is not agreed to is an error where the
// workspace cannot do without.
func (p *program) collect(c *cli.Context, folder string, sp *spec.Spec, given secret.Values) (secret.Values, error) {
	record, err := p.agreed(folder)
	if err != nil {
		return nil, err
	}
	h, err := p.held(c, folder, sp, given)
	if err != nil {
		return nil, fmt.Errorf("workspace %s: %w", sp.ID(), err)
	}
	for _, ask := range h.asks {
		if !record.Granted(trust.Act{On: trust.Fnox, Text: ask}) {
			return nil, untrusted(folder, "", fmt.Errorf("workspace %s: you have not agreed to what its secrets take: %s", sp.ID(), ask))
		}
	}
	may := func(name string) bool { return record.Granted(secretAct(name)) }
	values, err := p.gather(c, folder, sp, given, may)
	var lost *secret.MissingError
	if errors.As(err, &lost) {
		kept := slices.DeleteFunc(slices.Clone(lost.Names), func(name string) bool { return !slices.Contains(h.names(), name) || may(name) })
		if len(kept) > 0 {
			err = untrusted(folder, "", fmt.Errorf("you have not agreed to give it %s", strings.Join(kept, ", ")))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("workspace %s: %w", sp.ID(), err)
	}
	return values, nil
}

// withheld is the error of secrets that this host has, and that the user did not agree
// to hand over.
func (p *program) withheld(c *cli.Context, w *workspace) error {
	record, err := p.agreed(w.folder)
	if err != nil {
		return err
	}
	h, err := p.held(c, w.folder, w.spec, nil)
	names := slices.DeleteFunc(h.names(), func(name string) bool { return record.Granted(secretAct(name)) })
	if err == nil && len(names) > 0 {
		err = untrusted(w.folder, "", fmt.Errorf("you have not agreed to give it %s", strings.Join(names, ", ")))
	}
	return err
}

// collectMade is collect for a spec that a template has just made from what the user
// said: all of it is agreed to.
func (p *program) collectMade(c *cli.Context, folder string, sp *spec.Spec) (secret.Values, error) {
	values, err := p.gather(c, folder, sp, nil, func(string) bool { return true })
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
