package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/coltec/coltec/bench/internal/proc"
)

// crashing is how many services crash at once.
const crashing = 50

// measureStorm lets services crash as soon as they run, with the defaults of a
// spec, and watches what that costs.
func measureStorm(binary, dir string, d time.Duration) error {
	p := coltecdPeer(binary)
	var names []string
	for i := range crashing {
		names = append(names, "bad"+strconv.Itoa(i))
	}
	if err := prepareColtecd(dir, names, "echo I crash; exit 1", ""); err != nil {
		return err
	}
	if err := p.launch(dir); err != nil {
		return err
	}
	defer p.end(dir)
	began := time.Now()
	own := processes(dir)
	was := proc.Used(own)
	var first, last int
	for next := began.Add(d / 12); time.Since(began) < d; next = next.Add(d / 12) {
		time.Sleep(time.Until(next))
		last = proc.PSS(own)
		if time.Since(began) <= d/3 {
			first = last // the burst of the beginning is over
		}
		fmt.Printf("%4.0fs  PSS %5d kB  logs %4d kB  CPU %.2f %%\n", time.Since(began).Seconds(), last,
			logBytes(dir)>>10, 100*proc.Used(own).Since(was).CPU.Seconds()/time.Since(began).Seconds())
	}
	cpu := 100 * proc.Used(own).Since(was).CPU.Seconds() / time.Since(began).Seconds()
	var missed []error
	if last > first+first/10 {
		missed = append(missed, fmt.Errorf("memory is not flat: %d kB, then %d", first, last))
	}
	if cpu > 5 {
		missed = append(missed, fmt.Errorf("%.2f %% CPU, the goal is 5", cpu))
	}
	if n := logBytes(dir); n > 10<<20 {
		missed = append(missed, fmt.Errorf("logs grew to %d bytes", n))
	}
	return errors.Join(missed...)
}

func logBytes(dir string) (n int64) {
	files, _ := filepath.Glob(dir + "/.devcontainer/logs/*")
	for _, path := range files {
		if info, err := os.Stat(path); err == nil {
			n += info.Size()
		}
	}
	return n
}
