package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/trust"
)

// environment is that of the caller: it says where this host has its things.
type environment struct{ environ []string }

// env gives a variable of the environment, "" when it is not set.
func (v environment) env(name string) string {
	value, _ := v.lookup(name)
	return value
}

func (v environment) lookup(name string) (string, bool) { return cmdline.Lookup(v.environ, name) }

// binDirs are where the programs for containers may be: COLTEC_BIN, or beside
// this program.
func (v environment) binDirs() []string {
	if dir := v.env("COLTEC_BIN"); dir != "" {
		return []string{dir}
	}
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return nil
	}
	return []string{filepath.Dir(self)}
}

// agreements are those of the user of this host: what workspaces may do here.
type agreements struct{ environment }

// records is where this user's agreements are kept.
func (v environment) records() (trust.Store, error) {
	state := v.env("XDG_STATE_HOME")
	if home := v.env("HOME"); !filepath.IsAbs(state) {
		if !filepath.IsAbs(home) {
			return "", hint.Wrap(fmt.Errorf("cannot know where what you agreed to is kept: HOME is %q", home), "set HOME, or XDG_STATE_HOME, to an absolute path")
		}
		state = filepath.Join(home, ".local/state")
	}
	dir, err := realPath(filepath.Join(state, "coltec/trust"))
	return trust.Store(dir), err
}
