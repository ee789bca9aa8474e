//go:build !linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scaffold"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
)

// onlyLinux is the answer to what writes the files of a workspace as Linux has them: exec bits,
// names that differ in case alone, links.
func onlyLinux(what string) error {
	return hint.Wrap(fmt.Errorf("cannot %s on %s: files of a workspace are written as Linux has them", what, runtime.GOOS),
		"run it in a Linux container, a virtual machine or WSL; coltec up, down, ls, status, logs and exec work here")
}

func (exporter) export(*cli.Context) error { return onlyLinux("export") }

// conflictWords are none: versions that are kept aside are read on Linux.
func (environment) conflictWords([]string) []cmdline.Candidate { return nil }

// forks are never made here.
type forks struct{ *program }

func (forks) ofTemplate(*cli.Context, string, *drawn) error { return onlyLinux("fork") }

// answersThere has none: what a bucket holds is not read here.
func (p maker) answersThere(_ *cli.Context, _ string, _ *interview, sp *spec.Spec) *scaffold.Record {
	if (&workspace{spec: sp}).hasBucket() {
		p.say("note: the bucket was not looked at for what %s answered on another machine: coltec reads it on Linux alone", sp.ID())
	}
	return nil
}

// purging is never done here.
type purging struct{}

func (remover) inBucket(*cli.Context, *removal) (*purging, error) {
	return nil, onlyLinux("rm --purge")
}
func (*purging) show()                       {}
func (*purging) purge(context.Context) error { return onlyLinux("rm --purge") }

// journey is never made here.
type journey struct{}

func (*journey) depart(context.Context, *ascent) (bool, error)     { return false, onlyLinux("hop") }
func (*journey) arrived(context.Context, *ascent, status.Document) {}

func (*journey) claim(context.Context, *ascent, devcontainer.Container, status.Document) (again bool, err error) {
	return false, onlyLinux("hop")
}

// showLogs shows none: how they are read without following a link is Linux's.
func (*program) showLogs(*cli.Context, *workspace) (shown bool, err error) { return false, nil }

// elsewhere is a verb that works on Linux alone.
func elsewhere(name, args, usage string) *cli.Command {
	return &cli.Command{
		Name: name, ArgsUsage: args, Usage: usage + " (on Linux)", SkipFlagParsing: true,
		Action: func(*cli.Context) error { return onlyLinux(name) },
	}
}

func cmdFork(*program) *cli.Command {
	return elsewhere("fork", "[…]", "make workspaces of another one")
}
func cmdJoin(*program) *cli.Command { return elsewhere("join", "[…]", "merge what a fork has done") }
func cmdHop(*program) *cli.Command  { return elsewhere("hop", "[…]", "bring a workspace here") }

// asks is a verb of coltecd, which the container of a workspace has.
func asks(name, usage string) *cli.Command {
	return &cli.Command{
		Name: name, ArgsUsage: "[…]", Usage: usage + " (on Linux)", SkipFlagParsing: true,
		Action: func(*cli.Context) error {
			return hint.Wrap(onlyLinux(name), "the container has it: coltec exec WORKSPACE -- coltecd %s", name)
		},
	}
}

func cmdHistory(*program) *cli.Command { return asks("history", "look into the past of a workspace") }
func cmdCheckpoints(*program) *cli.Command {
	return asks("checkpoints", "list the states that have a name")
}
func cmdCompare(*program) *cli.Command   { return asks("compare", "say how two states differ") }
func cmdConflicts(*program) *cli.Command { return asks("conflicts", "list what lost its name") }
func cmdGC(*program) *cli.Command        { return asks("gc", "look for garbage") }

func removeLogins(context.Context, *rclone.Remote, string, []string) ([]string, error) {
	return nil, onlyLinux("remove logins")
}

// lockDir is where the locks of folders are: with what this user keeps.
func lockDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "coltec", "locks")
	return dir, errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, 0o700))
}
