package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

const (
	bigChange  = 1_000_000
	bigPerSec  = 50_000_000 // of the slow link
	workspaces = 5
	fiveFiles  = 10_000
	fiveIdle   = 5 // intervals that they are watched
	fiveRounds = 2 // of bisync: one is like the other
)

// bigFile is what a part with one big file works on.
type bigFile struct {
	*set
	size int64
	src  string // of rclone
	file string // its name
}

func (s *set) partBig() error {
	big := bigFile{set: s, size: s.b.big * 1e6, src: filepath.Join(s.dir, "src"), file: "big file.bin"}
	if err := os.MkdirAll(big.src, 0o755); err != nil {
		return err
	}
	if err := writeNoise(filepath.Join(big.src, big.file), big.size); err != nil {
		return err
	}
	name := fmt.Sprintf("one file of %s MB", thousands(int(s.b.big)))
	if err := big.measureAt("big", name, 1.5, true); err != nil {
		return err
	}
	s.b.proxy.Link(slow, bigPerSec)
	defer s.b.proxy.Link(0, 0)
	return big.measureAt("far", name+", 30 ms and 50 MB/s away", 1.1, false)
}

// writeNoise writes a file that nothing compresses.
func writeNoise(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{seed % 251}), size)
	return errors.Join(err, f.Close())
}

// measureAt measures push and restore, and what changes send.
func (g bigFile) measureAt(tag, name string, factor float64, changes bool) error {
	c := &copies{tag: tag}
	var err error
	if c.a, err = g.b.newMachine(filepath.Join(g.dir, tag+"-a"), tag+"-file", g.b.interval); err != nil {
		return err
	}
	if c.b, err = g.b.newMachine(filepath.Join(g.dir, tag+"-b"), tag+"-file", g.b.interval); err != nil {
		return err
	}
	if err := copyTree(g.ctx, g.src, c.a.tree); err != nil {
		return err
	}
	send := g.b.rcloneRun(g.dir, "copy", g.src, g.b.remote(tag+"-file"))
	if err := g.both(name+": push", factor, c.a.verb("run", "--once"), send); err != nil {
		return err
	}
	fetched := filepath.Join(g.dir, tag+"-fetched")
	fetch := g.b.rcloneRun(g.dir, "copy", g.b.remote(tag+"-file"), fetched)
	if err := g.both(name+": restore", factor, c.b.verb("run", "--once"), fetch); err != nil {
		return err
	}
	if err := errors.Join(compare(g.src, c.b.tree, false), compare(g.src, fetched, false)); err != nil {
		return err
	}
	if !changes {
		return nil
	}
	return g.changes(c, name, send, fetch, fetched)
}

// both measures one operation of both.
func (g bigFile) both(name string, factor float64, ours, its program) error {
	o, err := g.b.run(g.ctx, ours)
	if err != nil {
		return err
	}
	r, err := g.b.run(g.ctx, its)
	if err != nil {
		return err
	}
	g.add(figure{Name: name, Unit: "s", Ours: wall(o), Beside: []peer{{"rclone", wall(r)}}, Goals: []goal{share("rclone", factor)},
		Note: fmt.Sprintf("CPU %.1f s; rclone %.1f s", o.cpu.Seconds(), r.cpu.Seconds())})
	return nil
}

// changes appends to the file and changes its middle, and fetches that elsewhere.
func (g bigFile) changes(c *copies, name string, send, fetch program, fetched string) error {
	for _, change := range []struct {
		what   string
		offset int64
	}{{"1 MB appended", g.size}, {"1 MB changed in the middle", g.size / 2}} {
		for _, path := range []string{filepath.Join(c.a.tree, g.file), filepath.Join(g.src, g.file)} {
			if err := overwrite(path, change.offset); err != nil {
				return err
			}
		}
		o, err := g.b.run(g.ctx, c.a.verb("run", "--once"))
		if err != nil {
			return err
		}
		r, err := g.b.run(g.ctx, send)
		if err != nil {
			return err
		}
		g.add(figure{Name: name + ": " + change.what + ", sent", Unit: "MB", Ours: sent(o), Beside: []peer{{"rclone", sent(r)}}, Goals: []goal{most(8)}})
		g.add(figure{Name: name + ": " + change.what, Unit: "s", Ours: wall(o), Beside: []peer{{"rclone", wall(r)}}})
		if o, err = g.b.run(g.ctx, c.b.verb("run", "--once")); err != nil {
			return err
		}
		if r, err = g.b.run(g.ctx, fetch); err != nil {
			return err
		}
		if err := errors.Join(compare(c.a.tree, c.b.tree, true), compare(g.src, fetched, false)); err != nil {
			return err
		}
		g.add(figure{Name: name + ": " + change.what + ", received there", Unit: "MB", Ours: received(o), Beside: []peer{{"rclone", received(r)}}, Goals: []goal{most(8)}})
		g.add(figure{Name: name + ": " + change.what + ", fetched there", Unit: "s", Ours: wall(o), Beside: []peer{{"rclone", wall(r)}}})
	}
	return nil
}

// overwrite writes new bytes into a file from an offset on.
func overwrite(path string, offset int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	change := make([]byte, bigChange)
	_, _ = rand.NewChaCha8([32]byte{byte(offset >> 20)}).Read(change) // it never fails
	_, err = f.WriteAt(change, offset)
	return errors.Join(err, f.Close())
}

// partFive is about five workspaces on one machine, as a fleet has them.
func (s *set) partFive() (err error) {
	s.n = fiveFiles
	s.src = filepath.Join(s.dir, "src")
	if err := plant(s.src, s.n); err != nil {
		return err
	}
	var machines []*machine
	for i := range workspaces {
		m, err := s.b.newMachine(filepath.Join(s.dir, strconv.Itoa(i)), "five-"+strconv.Itoa(i), s.b.interval)
		if err != nil {
			return err
		}
		if err := copyTree(s.ctx, s.src, m.tree); err != nil {
			return err
		}
		stop, startErr := m.start(s.ctx)
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, stop()) }()
		if err := m.do(s.ctx, "sync"); err != nil {
			return err
		}
		machines = append(machines, m)
	}
	ours, err := s.b.watch(s.ctx, fiveIdle, machines...)
	if err != nil {
		return err
	}
	bisyncs, err := s.fiveBisyncs()
	if err != nil {
		return err
	}
	percent := func(cpu time.Duration) float64 { return 100 * cpu.Seconds() / time.Minute.Seconds() }
	s.add(figure{
		Name: "five idle workspaces: CPU of a core", Unit: "%", Ours: percent(ours.cpu), Goals: []goal{most(2)},
		Beside: []peer{{"bisync", percent(bisyncs)}},
		Note:   fmt.Sprintf("by a minute: CPU of an interval of %v, of %d, and of a round of five bisyncs", s.b.interval, fiveIdle),
	})
	s.add(figure{Name: "five idle workspaces: requests", Unit: "requests", Ours: ours.requests, Goals: []goal{most(workspaces)},
		Note: fmt.Sprintf("per interval of %v, of all five", s.b.interval)})
	s.add(figure{Name: "five idle workspaces: memory", Unit: "MB", Ours: float64(ours.pss) / 1024})
	return nil
}

// fiveBisyncs is the CPU of a round of five runs at once that find nothing to do.
// They share a tree and a prefix: what they read is what five of their own would
// be.
func (s *set) fiveBisyncs() (time.Duration, error) {
	remote := s.b.remote("five")
	if _, err := s.b.run(s.ctx, s.b.rcloneRun(s.dir, append([]string{"copy", s.src, remote}, cheap...)...)); err != nil {
		return 0, err
	}
	if _, err := s.bisyncIdle(s.src, remote); err != nil {
		return 0, err
	}
	workdirs := make([]string, workspaces)
	for i := range workdirs {
		workdirs[i] = filepath.Join(s.dir, "bisync"+strconv.Itoa(i))
		if err := os.CopyFS(workdirs[i], os.DirFS(filepath.Join(s.dir, "bisync"))); err != nil {
			return 0, err
		}
	}
	costs := make([]sample, workspaces)
	failed := make([]error, workspaces)
	for range fiveRounds {
		var wg sync.WaitGroup
		for i, workdir := range workdirs {
			wg.Go(func() {
				failed[i] = errors.Join(failed[i], s.b.spend(s.ctx, s.bisyncRun(s.src, remote, workdir), &costs[i]))
			})
		}
		wg.Wait()
	}
	var cpu time.Duration
	for _, c := range costs {
		cpu += c.cpu / fiveRounds
	}
	return cpu, errors.Join(failed...)
}
