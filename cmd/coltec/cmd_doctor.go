package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/feature"
	"github.com/coltec/coltec/pkg/hint"
)

func cmdDoctor(p *program) *cli.Command {
	return &cli.Command{
		Name:      "doctor",
		Usage:     "check what this host and the bucket of a workspace need, each finding with its fix",
		ArgsUsage: "[DIR]",
		Flags:     secretFlags(),
		Action:    func(c *cli.Context) error { return p.doctor(c) },
	}
}

const (
	// skewLimit is what S3 stores take before they refuse a request: 15 minutes.
	skewLimit = 5 * time.Minute
	// watchesLimit is too few for a few workspaces with node_modules.
	watchesLimit = 65536
)

func (p *program) doctor(c *cli.Context) error {
	bad := 0
	check := func(name string, err error) {
		if err == nil {
			fmt.Fprintf(p.out, "ok    %s\n", name)
			return
		}
		bad++
		fmt.Fprintf(p.out, "FAIL  %s: %s\n", name, cmdline.Plain(err.Error()))
		for _, h := range hint.Of(err) {
			fmt.Fprintf(p.out, "      fix: %s\n", cmdline.Plain(h))
		}
	}
	tools, err := devcontainer.Docker(p.environ)
	if err == nil {
		_, err = tools.List(c.Context, devcontainer.LabelOrg)
	}
	check("docker", err)
	_, err = devcontainer.Find(p.environ)
	check("dev container CLI", err)
	var missing error
	if len(feature.Find(p.binDirs()...)) == 0 {
		missing = feature.Missing(p.binDirs()...)
	}
	check("coltecd and rclone for containers", missing)
	check("inotify watches", watches())
	w, err := open(c.Args().First())
	check("workspace", err)
	if err == nil {
		ctx, cancel := context.WithTimeoutCause(c.Context, readPatience, fmt.Errorf("no answer within %s", readPatience))
		defer cancel()
		check("secrets, rclone and bucket", p.checkBucket(ctx, c, w))
	}
	if bad > 0 {
		return cmdline.Exit{Code: cmdline.CodeFailed}
	}
	return nil
}

// checkBucket tries conditional writes on a key of its own.
func (p *program) checkBucket(ctx context.Context, c *cli.Context, w *workspace) error {
	root, err := p.headRemote(ctx, c, w)
	if errors.Is(err, errNoRemote) {
		return nil
	}
	if err != nil {
		return err
	}
	result, err := root.Probe(ctx, ".coltec/probe/doctor-"+rand.Text())
	switch {
	case err != nil:
		return err
	case !result.Strong():
		return hint.Wrap(errors.New("the bucket does not honour conditional writes: nothing but you keeps two machines apart"),
			"use a store that does, or set persistence.lease.best_effort: true")
	}
	if skew := time.Since(result.ServerTime).Abs(); skew > skewLimit {
		return hint.Wrap(fmt.Errorf("this clock and the store's differ by %s", skew.Round(time.Second)), "set the clock: timedatectl set-ntp true")
	}
	return nil
}

func watches() error {
	b, err := os.ReadFile("/proc/sys/fs/inotify/max_user_watches")
	if err != nil {
		return nil // not Linux: Docker's own machine has them
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && n < watchesLimit {
		return hint.Wrap(fmt.Errorf("%d inotify watches are few for several workspaces", n), "sysctl fs.inotify.max_user_watches=524288")
	}
	return nil
}
