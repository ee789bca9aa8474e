package main

import (
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/extensions"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/scaffold"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/trust"
	"github.com/coltec/coltec/templates"
	"github.com/urfave/cli/v2"
)

// rendered is what a template made, before it is merged with what is in the workspace.
type rendered struct {
	ref  string // of the template
	spec *spec.Spec
	tree scaffold.Tree
	// others is true where what is in the workspace was rendered from more answers than the
	// user gave: what those make is not agreed to.
	others bool
}

// acts are what the container of what was made does on the host of a folder.
func (r rendered) acts(folder string) ([]trust.Act, error) {
	file, ok := r.tree[configName]
	if !ok {
		return nil, nil
	}
	f, err := newConfig(folder, configName, file.Data)
	if err != nil {
		return nil, err
	}
	return f.actsWith(func(name string) ([]byte, error) {
		if f, ok := r.tree[name]; ok {
			return f.Data, nil
		}
		return nil, fs.ErrNotExist
	})
}

// carried are the templates that this program has in it.
var carried = scaffold.Store{templates.FS(), extensions.FS()}

// fromFolder gives a template's path as the workspace sees it, so that both can
// move together; a name stays a name.
func fromFolder(folder, ref string) (string, error) {
	if scaffold.IsURL(ref) || !strings.ContainsAny(ref, `/\`) && ref != "." && ref != ".." || filepath.IsAbs(ref) {
		return ref, nil
	}
	abs, err := filepath.Abs(ref)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(folder, abs)
	if err != nil {
		return abs, nil
	}
	return rel, nil
}

func dataFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "data", Usage: "answer a question of the template: `NAME=VALUE`; again for each"}
}

// data reads the --data flags.
func data(c *cli.Context) (map[string]string, error) {
	given := map[string]string{}
	for _, d := range c.StringSlice("data") {
		k, v, ok := strings.Cut(d, "=")
		if !ok || k == "" {
			return nil, cmdline.Usage("--data takes NAME=VALUE, not %q", d)
		}
		given[k] = v
	}
	return given, nil
}
