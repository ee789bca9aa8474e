package main

import (
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/fnox"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/urfave/cli/v2"
)

// holdings are the wanted secrets that a host would have to hand over by itself: nobody
// gave them for this call.
type holdings struct {
	environment []string
	files       []string // of fnox
	asks        []string // what the folder's fnox files make the host do for that
}

func (h holdings) names() []string { return slices.Concat(h.environment, h.files) }

// String lists what comes from where, "" where there is nothing.
func (h holdings) String() string {
	var parts []string
	if len(h.environment) > 0 {
		parts = append(parts, strings.Join(h.environment, ", ")+" from the environment")
	}
	if len(h.files) > 0 {
		parts = append(parts, strings.Join(h.files, ", ")+" from fnox.toml")
	}
	return strings.Join(parts, "; ")
}

// held finds out what this host has of a spec's secrets, without opening anything.
func (p *program) held(c *cli.Context, folder string, sp *spec.Spec, given secret.Values) (holdings, error) {
	var h holdings
	fromFile, err := p.secretsFile(c)
	if err != nil {
		return h, err
	}
	var rest []string
	for _, w := range wanted(sp) {
		_, env := p.lookup(w.Name)
		switch {
		case !given[w.Name].Empty(), !fromFile.Values[w.Name].Empty():
		case env:
			h.environment = append(h.environment, w.Name)
		default:
			rest = append(rest, w.Name)
		}
	}
	look, err := p.fnox(c, folder).Look(rest, places(sp))
	h.files, h.asks = look.Has, look.Asks
	return h, err
}

// fnox is the fnox.toml that counts in a folder.
func (v environment) fnox(c *cli.Context, folder string) fnox.Source {
	return fnox.Source{Folder: folder, Environ: v.environ, AgeKeyFile: c.String("age-key-file"), Profile: c.String("profile")}
}
