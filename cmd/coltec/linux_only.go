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

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scaffold"
	"github.com/coltec/coltec/pkg/trigger"
)

// onlyLinux is the answer to what writes the files of a workspace as Linux has them: exec bits,
// names that differ in case alone, links.
func onlyLinux(what string) error {
	return hint.Wrap(fmt.Errorf("cannot %s on %s: files of a workspace are written as Linux has them", what, runtime.GOOS),
		"run it in a Linux container, a virtual machine or WSL; coltec up, down, ls, status, logs and exec work here")
}

func (p *program) export(*cli.Context) error { return onlyLinux("export") }

// fork is never made here.
type fork struct{ found []trigger.Found }

func newFork(string, string, *scaffold.Template, scaffold.Answers) (*fork, error) {
	return nil, onlyLinux("fork")
}

func (f *fork) make(func() error) error { return onlyLinux("fork") }

func (f *fork) workspace() string { return "" }

func (p *program) fill(*cli.Context, *fork) error { return onlyLinux("fork") }

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
