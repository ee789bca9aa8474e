package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// hundred is how many files a part changes at once.
const hundred = 100

// part measures some figures of a set.
type part struct {
	name    string
	alone   bool // it has trees of its own: once, not for each number of files
	measure func(*set) error
}

var parts = []part{
	{"push", false, (*set).partPush},
	{"restore", false, (*set).partRestore},
	{"latency", false, (*set).partLatency},
	{"memory", false, (*set).partMemory},
	{"save", false, (*set).partSave},
	{"checkpoint", false, (*set).partCheckpoint},
	{"hundred", false, (*set).partHundred},
	{"scan", false, (*set).partScan},
	{"hop", false, (*set).partHop},
	{"idle", false, (*set).partIdle},
	{"big", true, (*set).partBig},
	{"five", true, (*set).partFive},
	{"git", true, (*set).partGit},
	{"age", true, (*set).partAge},
	{"sqlite", true, (*set).partSQLite},
	{"agents", true, (*set).partAgents},
	{"fleet", true, (*set).partFleet},
}

func partNames() (names []string) {
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

// add notes a figure of the set.
func (s *set) add(f figure) {
	f.Files = s.n
	s.b.figures = append(s.b.figures, f)
	s.b.say("%s", f)
}

// wall, requests, peak, sent and received turn samples into what a figure compares.
func wall(s sample) float64     { return s.wall.Seconds() }
func requests(s sample) float64 { return float64(s.total.Requests) }
func peak(s sample) float64     { return float64(s.peak) / 1024 }
func sent(s sample) float64     { return float64(s.total.Sent) / 1e6 }
func received(s sample) float64 { return float64(s.total.Received) / 1e6 }

// beside are rclone's and restic's values of one kind.
func (t trio) beside(of func(sample) float64) []peer {
	return []peer{{"rclone", of(t.rclone)}, {"restic", of(t.restic)}}
}

func (s *set) partPush() error {
	t, err := s.pushed()
	if err != nil {
		return err
	}
	s.add(figure{Name: "first push", Unit: "s", Ours: wall(t.ours), Beside: t.beside(wall), Goals: s.many(share("rclone", 1./8), share("restic", 1))})
	s.add(figure{Name: "first push: requests", Unit: "requests", Ours: requests(t.ours), Beside: t.beside(requests), Goals: s.many(share("rclone", 1./500))})
	return nil
}

func (s *set) partRestore() error {
	t, err := s.restored()
	if err != nil {
		return err
	}
	s.add(figure{Name: "restore", Unit: "s", Ours: wall(t.ours), Beside: t.beside(wall), Goals: s.many(share("rclone", 1./4), share("restic", 1))})
	s.add(figure{Name: "restore: requests", Unit: "requests", Ours: requests(t.ours), Beside: t.beside(requests)})
	return nil
}

// many are goals for 10,000 files and more; fewer are shown beside them.
func (s *set) many(goals ...goal) []goal {
	if s.n < 10_000 {
		return nil
	}
	return goals
}

const slow = 30 * time.Millisecond

func (s *set) partLatency() (err error) {
	if s.far, err = s.newCopies("far"); err != nil {
		return err
	}
	s.b.proxy.Link(slow, 0)
	defer s.b.proxy.Link(0, 0)
	t, err := s.push(s.far)
	if err != nil {
		return err
	}
	s.add(figure{Name: "first push, 30 ms away", Unit: "s", Ours: wall(t.ours), Beside: t.beside(wall), Goals: s.many(share("rclone", 1./8), share("restic", 1))})
	if t, err = s.restore(s.far); err != nil {
		return err
	}
	s.add(figure{Name: "restore, 30 ms away", Unit: "s", Ours: wall(t.ours), Beside: t.beside(wall), Goals: s.many(share("rclone", 1./4), share("restic", 1))})
	return nil
}

func (s *set) partMemory() error {
	t, err := s.pushed()
	if err != nil {
		return err
	}
	i, err := s.idled()
	if err != nil {
		return err
	}
	bisync, err := s.bisynced()
	if err != nil {
		return err
	}
	peers := []peer{{"bisync's peak", peak(bisync)}, {"restic's peak", peak(t.restic)}}
	s.add(figure{Name: "memory, idle: coltecd and its keeper", Unit: "MB", Ours: float64(i.pss) / 1024, Beside: peers, Goals: []goal{most(20)}})
	s.add(figure{Name: "memory, peak of a first push: with rclone's", Unit: "MB", Ours: peak(t.ours), Beside: peers, Goals: []goal{most(80)}})
	return nil
}

// saveBudget bounds a series of saves.
const saveBudget = 3 * time.Minute

func (s *set) partSave() error {
	if _, err := s.pushed(); err != nil {
		return err
	}
	stop, err := s.near.a.start(s.ctx)
	if err != nil {
		return err
	}
	err = errors.Join(s.saveWatched(), s.saveAsked(), stop())
	if err != nil {
		return err
	}
	return s.savePeers("one file saved")
}

// series are saves of one file, one after the other.
type series struct {
	waits    []time.Duration
	requests []int
	total    sample
}

// save saves so many times, from a round on.
func (s *set) save(times, from int, save func(round int) error) (r series, err error) {
	var phases []phases
	r.total, err = s.b.timed(func(*sample) error {
		for began := time.Now(); len(r.waits) < times && time.Since(began) < saveBudget; {
			saved, was := time.Now(), s.b.proxy.Total().Requests
			if err := save(from + len(r.waits)); err != nil {
				return err
			}
			wait := time.Since(saved)
			if s.b.phases {
				phases = append(phases, phasesOf(from+len(r.waits), saved, wait, s.b.proxy.Requests()))
			}
			r.waits = append(r.waits, wait)
			r.requests = append(r.requests, s.b.proxy.Total().Requests-was)
		}
		return nil
	})
	if s.b.phases {
		s.b.sayPhases(phases)
	}
	return r, err
}

// saveWatched waits until a save that nobody speaks of is in the bucket.
func (s *set) saveWatched() error {
	a := s.near.a
	saves, err := s.save(s.b.saves, 1, func(round int) error {
		ctx, cancel := context.WithTimeoutCause(s.ctx, 3*s.b.interval, errors.New("three intervals passed"))
		defer cancel()
		was := a.generation()
		if err := edit(a.tree, s.n, 1, round); err != nil {
			return err
		}
		return a.committed(ctx, was)
	})
	if err != nil {
		return err
	}
	s.add(figure{
		Name: "one file saved → in the bucket by itself (p95)", Unit: "s", Ours: percentile(saves.waits, 0.95).Seconds(), Goals: []goal{most(3)},
		Note: fmt.Sprintf("of %d; 2 s of it wait for the tree to be quiet", len(saves.waits)),
	})
	s.addRequests(saves, "one file saved → in the bucket by itself: requests (p95)")
	return nil
}

// saveAsked does the same by a word to coltecd.
func (s *set) saveAsked() error {
	a := s.near.a
	var sync sample
	saves, err := s.save(s.b.saves, s.b.saves+1, func(round int) error {
		if err := edit(a.tree, s.n, 1, round); err != nil {
			return err
		}
		return s.b.spend(s.ctx, a.verb("sync"), &sync)
	})
	if err != nil {
		return err
	}
	s.add(figure{
		Name: "one file saved → in the bucket by coltecd sync (p95)", Unit: "s", Ours: percentile(saves.waits, 0.95).Seconds(), Goals: []goal{most(1)},
		Note: fmt.Sprintf("of %d; half of them within %.2f s", len(saves.waits), percentile(saves.waits, 0.5).Seconds()),
	})
	s.addRequests(saves, "one file saved → in the bucket by coltecd sync: requests (p95)")
	return nil
}

// addRequests adds what each save took, all that came in its time.
func (s *set) addRequests(r series, name string) {
	all := r.total.total.Requests
	s.add(figure{
		Name: name, Unit: "requests", Ours: float64(percentile(r.requests, 0.95)), Goals: []goal{most(3)},
		Note: fmt.Sprintf("%d for %d saves, %d of them for the log of generations and %d to renew the lease, in %.0f s",
			all, len(r.requests), r.total.heads.logs, r.total.heads.renewals, r.total.wall.Seconds()),
	})
}

// savePeers brings the same saves into the bucket as the others do, three times, and sets that
// beside the figures whose names begin so.
func (s *set) savePeers(name string) error {
	const times = 3
	of := func(p program) (peer, peer, error) {
		saves, err := s.save(times, 2*s.b.saves+1, func(round int) error {
			if err := edit(s.src, s.n, 1, round); err != nil {
				return err
			}
			return s.b.spend(s.ctx, p, &sample{})
		})
		if err != nil {
			return peer{}, peer{}, err
		}
		return peer{"", percentile(saves.waits, 0.95).Seconds()}, peer{"", float64(percentile(saves.requests, 0.95))}, nil
	}
	rcloneWall, rcloneRequests, err := of(s.syncSource())
	if err != nil {
		return err
	}
	resticWall, resticRequests, err := of(s.restic(s.near, "backup", "."))
	if err != nil {
		return err
	}
	rcloneWall.Name, rcloneRequests.Name, resticWall.Name, resticRequests.Name = "rclone", "rclone", "restic", "restic"
	s.b.besides(s.n, name, "s", rcloneWall, resticWall)
	s.b.besides(s.n, name, "requests", rcloneRequests, resticRequests)
	return nil
}

func (s *set) partHundred() error {
	if _, err := s.pushed(); err != nil {
		return err
	}
	stop, err := s.near.a.start(s.ctx)
	if err != nil {
		return err
	}
	round := 3 * s.b.saves
	var t trio
	err = s.near.a.do(s.ctx, "sync") // its first cycle would else fall between the edits
	if err == nil {
		err = edit(s.near.a.tree, s.n, hundred, round)
	}
	if err == nil {
		t.ours, err = s.b.run(s.ctx, s.near.a.verb("sync"))
	}
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	if err := edit(s.src, s.n, hundred, round); err != nil {
		return err
	}
	if t.rclone, err = s.b.run(s.ctx, s.syncSource()); err != nil {
		return err
	}
	if t.restic, err = s.b.run(s.ctx, s.restic(s.near, "backup", ".")); err != nil {
		return err
	}
	s.add(figure{Name: "100 small files changed: requests", Unit: "requests", Ours: requests(t.ours), Beside: t.beside(requests), Goals: []goal{most(4)}})
	s.add(figure{Name: "100 small files changed", Unit: "s", Ours: wall(t.ours), Beside: t.beside(wall)})
	return nil
}

func (s *set) partScan() error {
	if _, err := s.pushed(); err != nil {
		return err
	}
	a := s.near.a
	stop, err := a.start(s.ctx)
	if err != nil {
		return err
	}
	find := program{dir: s.dir, argv: []string{"find", a.tree, "-printf", "%p %s %T@ %m\n"}}
	var ours, its []time.Duration
	for i := 0; i < 7 && err == nil; i++ { // in turn: what else the machine does meets both
		var o, f sample
		if o, err = s.b.run(s.ctx, a.verb("sync")); err == nil {
			f, err = s.b.run(s.ctx, find)
		}
		ours, its = append(ours, o.wall), append(its, f.wall)
	}
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	f := figure{
		Name: "full scan, nothing changed", Unit: "s", Ours: percentile(ours, 0.5).Seconds(), Note: "coltecd sync as a whole",
		Beside: []peer{{"find", percentile(its, 0.5).Seconds()}},
	}
	if s.n >= 100_000 {
		f.Goals = []goal{share("find", 2)}
	}
	s.add(f)
	return nil
}

// partHop changes files at one machine and goes on at another that had all of
// those before. The others do the same.
func (s *set) partHop() error {
	if _, err := s.restored(); err != nil {
		return err
	}
	here, there := s.near.a, s.near.b
	if err := errors.Join(here.do(s.ctx, "run", "--once"), there.do(s.ctx, "run", "--once")); err != nil {
		return err
	}
	dir := filepath.Join(s.dir, "hop")
	defer os.RemoveAll(dir)
	if err := s.alike(dir); err != nil {
		return err
	}
	stop, err := here.start(s.ctx)
	if err != nil {
		return err
	}
	round := 4 * s.b.saves
	if err := errors.Join(edit(here.tree, s.n, hundred, round), edit(s.src, s.n, hundred, round)); err != nil {
		return errors.Join(err, stop())
	}
	var t trio
	var left time.Duration
	t.ours, err = s.b.timed(func(total *sample) error {
		began := time.Now()
		if err := s.b.spend(s.ctx, here.verb("stop", "--timeout", "60s"), total); err != nil {
			return err
		}
		left = time.Since(began)
		return s.b.spend(s.ctx, there.verb("start", "--wait"), total)
	})
	if err := errors.Join(err, there.do(context.WithoutCancel(s.ctx), "stop", "--timeout", "60s")); err != nil {
		return err
	}
	if err := compare(here.tree, there.tree, true); err != nil {
		return fmt.Errorf("after the hop: %w", err)
	}
	if err := s.hopPeers(dir, &t); err != nil {
		return err
	}
	var quick, few []goal
	if s.n == 10_000 {
		quick, few = []goal{most(3)}, []goal{most(10)}
	}
	s.add(figure{Name: "hop where 100 differ", Unit: "s", Ours: wall(t.ours), Beside: t.beside(wall), Goals: quick,
		Note: fmt.Sprintf("stop, which pushes the 100: %.2f s; start --wait there: %.2f s", left.Seconds(), (t.ours.wall - left).Seconds())})
	s.add(figure{Name: "hop where 100 differ: requests", Unit: "requests", Ours: requests(t.ours), Beside: t.beside(requests), Goals: few})
	return nil
}

// alike makes dir the peers' other machine, and brings them and it to the state of
// the source.
func (s *set) alike(dir string) error {
	return errors.Join(os.Mkdir(dir, 0o755), copyTree(s.ctx, s.src, dir),
		s.b.spend(s.ctx, s.syncSource(), &sample{}), s.b.spend(s.ctx, s.restic(s.near, "backup", "."), &sample{}))
}

// hopPeers bring the changes into the bucket and from there to the other machine.
func (s *set) hopPeers(dir string, t *trio) (err error) {
	t.rclone, err = s.b.timed(func(total *sample) error {
		if err := s.b.spend(s.ctx, s.syncSource(), total); err != nil {
			return err
		}
		return s.b.spend(s.ctx, s.b.rcloneRun(s.dir, "sync", s.b.remote(s.prefix(s.near)), dir, "--fast-list", "--checksum"), total)
	})
	if err != nil {
		return err
	}
	if err := compare(s.src, dir, false); err != nil {
		return fmt.Errorf("after rclone's hop: %w", err)
	}
	t.restic, err = s.b.timed(func(total *sample) error {
		if err := s.b.spend(s.ctx, s.restic(s.near, "backup", "."), total); err != nil {
			return err
		}
		return s.b.spend(s.ctx, s.resticRestore(s.near, dir), total)
	})
	return err
}

func (s *set) partIdle() error {
	i, err := s.idled()
	if err != nil {
		return err
	}
	checksum, err := s.b.run(s.ctx, s.syncSource())
	if err != nil {
		return err
	}
	bisync, err := s.bisynced()
	if err != nil {
		return err
	}
	note := fmt.Sprintf("per interval of %v", s.b.interval)
	s.add(figure{Name: "idle: requests", Unit: "requests", Ours: i.requests, Goals: []goal{most(1)}, Note: note,
		Beside: []peer{{"bisync", requests(bisync)}, {"sync", requests(checksum)}}})
	f := figure{Name: "idle: CPU", Unit: "CPU s", Ours: i.cpu.Seconds(), Note: note,
		Beside: []peer{{"bisync", bisync.cpu.Seconds()}, {"sync", checksum.cpu.Seconds()}}}
	f.Goals = s.many(share("bisync", 1./20))
	s.add(f)
	return nil
}

// bisyncRun is rclone's own way to keep both sides alike.
func (s *set) bisyncRun(src, remote, workdir string, more ...string) program {
	return s.b.rcloneRun(s.dir, append([]string{
		"bisync", src, remote, "--workdir", workdir, "--resilient", "--recover", "--max-lock", "2m", "--fast-list",
	}, more...)...)
}

// bisyncIdle is the second of two runs, where there is nothing to do.
func (s *set) bisyncIdle(src, remote string) (sample, error) {
	workdir := filepath.Join(s.dir, "bisync")
	if err := s.b.spend(s.ctx, s.bisyncRun(src, remote, workdir, "--resync"), &sample{}); err != nil {
		return sample{}, err
	}
	return s.b.run(s.ctx, s.bisyncRun(src, remote, workdir))
}
