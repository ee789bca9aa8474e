// Command fleet measures what many workspaces cost: requests, money, what a store that
// throttles does to saves, and how long it takes to list them. The workspaces are engines on
// a bucket in memory, in the time of a bubble (engine.TestFleet); the heads that are listed lie
// on a real S3 server on loopback.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "the directory of the programs")
	figures := flag.String("figures", "", "take the figures of the simulation from this file, and do not simulate")
	write := flag.String("write", "", "write the page to this file too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE)
	defer stop()
	if err := run(ctx, *bin, *figures, *write); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, figures, write string) error {
	top, err := os.MkdirTemp("", "coltec-fleet-") // in TMPDIR, which is to be short: a socket's path goes in
	if err != nil {
		return err
	}
	defer os.RemoveAll(top)
	if figures == "" {
		figures = filepath.Join(top, "figures.json")
		if err := simulate(ctx, figures); err != nil {
			return err
		}
	}
	b, err := os.ReadFile(figures)
	if err != nil {
		return err
	}
	p := page{at: time.Now(), cpus: runtime.NumCPU()}
	if err := json.Unmarshal(b, &p.simulated); err != nil {
		return fmt.Errorf("cannot read the figures: %w", err)
	}
	l, err := newListing(ctx, bin, top)
	if err == nil {
		defer l.end()
		p.looks, err = l.measure()
	}
	if err != nil {
		return err
	}
	text := p.text()
	fmt.Print(text)
	if write == "" {
		return nil
	}
	return os.WriteFile(write, []byte(text), 0o644)
}

// simulate has the engine's test measure, which knows the engine's own clock.
func simulate(ctx context.Context, figures string) error {
	figures, err := filepath.Abs(figures)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "./engine", "-count=1", "-timeout=60m", "-v", "-run", "TestFleet$", "-fleet="+figures)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot simulate: %w", err)
	}
	return nil
}
