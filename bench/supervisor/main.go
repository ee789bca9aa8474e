// Command supervisor measures coltecd beside the supervisors that are installed:
// what five idle services cost, how fast they start, what a status takes, and how
// fast 500,000 lines of a log are drained. With -storm it lets fifty services
// crash. It ends with 1 when coltecd misses a goal. It needs root: coltecd hides
// its memory from other users' and its own.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/coltec/coltec/bench/internal/proc"
)

// services are how many idle services are supervised: what a workspace has.
const services = 5

// floodLines is what one service prints to measure the drain of a log.
const floodLines = 500_000

func main() {
	if os.Getenv(floodVar) != "" {
		flood()
		return
	}
	binary := flag.String("coltecd", "bin/coltecd", "the coltecd to measure")
	window := flag.Duration("window", 20*time.Second, "how long idle services are watched")
	storm := flag.Duration("storm", 0, "let fifty services crash for this long instead")
	flag.Parse()
	if err := run(*binary, *window, *storm); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(binary string, window, storm time.Duration) error {
	if os.Getuid() != 0 {
		return errors.New("cannot measure: run it as root (coltecd hides its memory from others)")
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	top, err := os.MkdirTemp("", "coltec-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(top)
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-interrupted
		proc.EndAll(top)
		os.RemoveAll(top)
		os.Exit(130)
	}()
	defer proc.EndAll(top)
	if storm > 0 {
		return measureStorm(binary, filepath.Join(top, "storm"), storm)
	}
	var results []result
	for _, p := range peers(binary) {
		if _, err := exec.LookPath(p.needs); err != nil {
			fmt.Printf("%s: not installed, not measured\n", p.name)
			continue
		}
		r, err := measure(p, filepath.Join(top, p.name), window)
		if err != nil {
			return fmt.Errorf("cannot measure %s: %w", p.name, err)
		}
		results = append(results, r)
	}
	show(results)
	return judge(results)
}
