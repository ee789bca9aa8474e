package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/coltec/coltec/bench/internal/proc"
)

// set is one tree of n files, kept by all three. Parts build upon each other:
// what one needs is measured when it is first asked for.
type set struct {
	b   *bench
	ctx context.Context
	n   int
	dir string
	src string // the tree of rclone and restic; coltecd's is a copy

	near, far *copies // on loopback, and with latency
	pushed    func() (trio, error)
	restored  func() (trio, error)
	idled     func() (idle, error)
	bisynced  func() (sample, error) // a bisync that finds nothing to do
}

// trio is one operation done by each.
type trio struct{ ours, rclone, restic sample }

// copies are where one set of remotes is pushed from and restored to.
type copies struct {
	tag  string
	a, b *machine
}

func (b *bench) newSet(ctx context.Context, n int) (*set, error) {
	s := &set{b: b, ctx: ctx, n: n, dir: filepath.Join(b.top, strconv.Itoa(n))}
	s.src = filepath.Join(s.dir, "src")
	if err := plant(s.src, n); err != nil {
		return nil, err
	}
	var err error
	if s.near, err = s.newCopies("near"); err != nil {
		return nil, err
	}
	s.pushed = sync.OnceValues(func() (trio, error) { return s.push(s.near) })
	s.restored = sync.OnceValues(func() (trio, error) {
		if _, err := s.pushed(); err != nil {
			return trio{}, err
		}
		return s.restore(s.near)
	})
	s.idled = sync.OnceValues(s.watchIdle)
	s.bisynced = sync.OnceValues(func() (sample, error) {
		if _, err := s.pushed(); err != nil {
			return sample{}, err
		}
		return s.bisyncIdle(s.src, s.b.remote(s.prefix(s.near)))
	})
	return s, nil
}

// close ends and removes what the set has left.
func (s *set) close() {
	proc.EndAll(s.dir)
	_ = os.RemoveAll(s.dir)
}

// newCopies makes two machines of one workspace; the first has the tree.
func (s *set) newCopies(tag string) (c *copies, err error) {
	c = &copies{tag: tag}
	workspace := fmt.Sprintf("%s-%d", tag, s.n)
	if c.a, err = s.b.newMachine(filepath.Join(s.dir, tag+"-a"), workspace, s.b.interval); err != nil {
		return nil, err
	}
	if c.b, err = s.b.newMachine(filepath.Join(s.dir, tag+"-b"), workspace, s.b.interval); err != nil {
		return nil, err
	}
	return c, copyTree(s.ctx, s.src, c.a.tree)
}

// prefix is where rclone and restic keep a tree.
func (s *set) prefix(c *copies) string { return fmt.Sprintf("%s-%d", c.tag, s.n) }

// cheap are the flags with which rclone sends a new tree at the least cost.
var cheap = []string{
	"--transfers", "32", "--checkers", "32", "--no-traverse", "--no-check-dest", "--s3-no-head", "--s3-no-check-bucket",
}

// push pushes the tree for the first time.
func (s *set) push(c *copies) (t trio, err error) {
	if t.ours, err = s.b.run(s.ctx, c.a.verb("run", "--once")); err != nil {
		return t, err
	}
	copyAll := append([]string{"copy", s.src, s.b.remote(s.prefix(c))}, cheap...)
	if t.rclone, err = s.b.run(s.ctx, s.b.rcloneRun(s.dir, copyAll...)); err != nil {
		return t, err
	}
	if err := s.b.spend(s.ctx, s.restic(c, "init"), &sample{}); err != nil {
		return t, err
	}
	t.restic, err = s.b.run(s.ctx, s.restic(c, "backup", "."))
	return t, err
}

// restic is a restic in the source tree.
func (s *set) restic(c *copies, args ...string) program {
	return s.b.resticRun(s.src, s.prefix(c), args...)
}

// restore restores the tree into an empty one, and compares.
func (s *set) restore(c *copies) (t trio, err error) {
	if t.ours, err = s.b.run(s.ctx, c.b.verb("run", "--once")); err != nil {
		return t, err
	}
	if err := compare(c.a.tree, c.b.tree, true); err != nil {
		return t, fmt.Errorf("coltecd's restore is wrong: %w", err)
	}
	dir := filepath.Join(s.dir, c.tag+"-restored")
	if t.rclone, err = s.b.run(s.ctx, s.b.rcloneRun(s.dir, "copy", s.b.remote(s.prefix(c)), dir, "--transfers", "32", "--fast-list")); err != nil {
		return t, err
	}
	if err := compare(s.src, dir, false); err != nil {
		return t, fmt.Errorf("rclone's restore is wrong: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return t, err
	}
	if t.restic, err = s.b.run(s.ctx, s.resticRestore(c, dir)); err != nil {
		return t, err
	}
	if err := compare(s.src, dir, true); err != nil {
		return t, fmt.Errorf("restic's restore is wrong: %w", err)
	}
	return t, os.RemoveAll(dir)
}

// resticRestore restores as another machine would: without a cache.
func (s *set) resticRestore(c *copies, dir string) program {
	return s.restic(c, "restore", "latest", "--target", dir, "--no-cache")
}

// syncSource is rclone's way to bring the changes of the tree into the bucket.
func (s *set) syncSource() program {
	return s.b.rcloneRun(s.dir, "sync", s.src, s.b.remote(s.prefix(s.near)), "--fast-list", "--checksum")
}

// idle is what an idle workspace costs in one interval.
type idle struct {
	requests float64
	cpu      time.Duration
	pss      int // kB, coltecd and its keeper
}

// watchIdle watches the running coltecd from one renewal to a later one.
func (s *set) watchIdle() (idle, error) {
	if _, err := s.pushed(); err != nil {
		return idle{}, err
	}
	stop, err := s.near.a.start(s.ctx)
	if err != nil {
		return idle{}, err
	}
	i, err := s.b.watch(s.ctx, s.b.intervals, s.near.a)
	return i, errors.Join(err, stop())
}

// watch counts what running, idle machines cost in an interval, over so many. It
// begins and ends just after a renewal, so that parts of intervals do not blur the
// count.
func (b *bench) watch(ctx context.Context, intervals int, machines ...*machine) (idle, error) {
	var pids []int
	for _, m := range machines {
		own, err := m.pids()
		if err != nil {
			return idle{}, err
		}
		pids = append(pids, own...)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(intervals+3)*b.interval, errors.New("no renewal came"))
	defer cancel()
	if err := b.further(ctx, 1); err != nil {
		return idle{}, err
	}
	was, began := proc.CPU(pids), time.Now()
	b.proxy.Reset()
	if err := b.further(ctx, intervals*len(machines)); err != nil {
		return idle{}, err
	}
	spent := proc.CPU(pids) - was
	per := b.interval.Seconds() / time.Since(began).Seconds()
	return idle{
		requests: float64(b.proxy.Total().Requests) * per, cpu: time.Duration(float64(spent) * per), pss: proc.PSS(pids),
	}, nil
}

// further returns when so many requests more have come, and what they set in
// motion has ended.
func (b *bench) further(ctx context.Context, n int) error {
	was := b.proxy.Total().Requests
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for b.proxy.Total().Requests < was+n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return pause(ctx, time.Second)
}

// pause lets time pass.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// copyTree copies a tree with modes and times.
func copyTree(ctx context.Context, from, to string) error {
	return (&bench{}).spend(ctx, program{dir: from, argv: []string{"cp", "-a", from + "/.", to}}, &sample{})
}

// percentile is the value that a share of the values does not exceed.
func percentile[T cmp.Ordered](values []T, share float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}
