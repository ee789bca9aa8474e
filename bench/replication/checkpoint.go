package main

import (
	"errors"
	"fmt"
)

// checkpointGoal is what a checkpoint may take, in seconds: who asks for one before each step
// of an agent does not wait for it.
const checkpointGoal = 0.3

// partCheckpoint makes checkpoints beside a running coltecd, each after a save.
func (s *set) partCheckpoint() error {
	if _, err := s.pushed(); err != nil {
		return err
	}
	stop, err := s.near.a.start(s.ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(s.checkpoints(), stop()); err != nil {
		return err
	}
	return s.savePeers("one file written")
}

// checkpoints makes some, and removes them where no more would fit.
func (s *set) checkpoints() error {
	a := s.near.a
	var all sample
	first := 1000
	made, err := s.save(s.b.saves, first, func(round int) error {
		if err := edit(a.tree, s.n, 1, round); err != nil {
			return err
		}
		return s.b.spend(s.ctx, a.verb("checkpoint", fmt.Sprintf("c%d", round)), &all)
	})
	if err != nil {
		return err
	}
	for i := range made.waits {
		if err := a.do(s.ctx, "checkpoint", "--remove", fmt.Sprintf("c%d", first+i)); err != nil {
			return err
		}
	}
	s.add(figure{
		Name: "one file written → a checkpoint that has it (p95)", Unit: "s", Ours: percentile(made.waits, 0.95).Seconds(), Goals: []goal{most(checkpointGoal)},
		Note: fmt.Sprintf("of %d, the program that asks included; half of them within %.2f s", len(made.waits), percentile(made.waits, 0.5).Seconds()),
	})
	s.addRequests(made, "one file written → a checkpoint that has it: requests (p95)")
	return nil
}
