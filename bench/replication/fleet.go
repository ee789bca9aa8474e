package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/coltec/coltec/pkg/digest"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// partFleet has coltec list a bucket of many workspaces that say how they are.
func (s *set) partFleet() (err error) {
	m, err := s.b.newMachine(filepath.Join(s.dir, "fleet"), "fleet", s.b.interval)
	if err != nil {
		return err
	}
	coltec := func(args ...string) program {
		p := m.verb()
		p.argv = append([]string{filepath.Join(filepath.Dir(s.b.coltecd), "coltec")}, args...)
		return p
	}
	if err := s.b.spend(s.ctx, coltec("trust", m.dir), &sample{}); err != nil {
		return err
	}
	const runs = 5
	made := 0
	for _, of := range []struct {
		workspaces int
		most, asks float64
	}{{50, 0.5, 2}, {1000, 2, 3}} {
		there := filepath.Join(m.dir, "heads")
		for ; made < of.workspaces; made++ {
			if err := headAndDigest(there, made); err != nil {
				return err
			}
		}
		if err := s.b.spend(s.ctx, s.b.rcloneRun(m.dir, "copy", there, "R:"+s.b.s3.Bucket), &sample{}); err != nil {
			return err
		}
		var seconds, asked []float64
		for range runs {
			cost, err := s.b.run(s.ctx, coltec("ls", "--json", "--wait", "1m", m.dir))
			if err != nil {
				return err
			}
			seconds, asked = append(seconds, wall(cost)), append(asked, requests(cost))
		}
		name := fmt.Sprintf("coltec ls of %d workspaces", of.workspaces)
		s.add(figure{Name: name, Unit: "s", Ours: percentile(seconds, 0.5), Goals: []goal{most(of.most)}, Note: fmt.Sprintf("p50 of %d", runs)})
		s.add(figure{Name: name + ": requests", Unit: "requests", Ours: percentile(asked, 1), Goals: []goal{most(of.asks)}})
	}
	return nil
}

// headAndDigest writes to a directory what a bucket has of a workspace in which an agent waits, as
// its holder does.
func headAndDigest(dir string, i int) error {
	now := time.Now()
	h := store.Head{
		Format: 1, Workspace: fmt.Sprintf("many/bench/dev-%d", i), Lineage: "bench", Epoch: 7, State: store.Held, TTL: 3600, Renew: 60,
		Holder: store.Holder{Host: "build-7.acme.example", Since: now},
	}
	d := h.Digest()
	d.Agents = []digest.Agent{{Name: "claude", State: status.AgentWaits, Since: now}, {Name: "codex", State: status.AgentWorking, Since: now}}
	d.Needs, d.Checkpoint, d.CheckpointAt = []status.Need{status.NeedAnswer}, "before-the-move", now
	name, err := store.DigestName(h.Workspace, d)
	if err != nil {
		return err
	}
	body, err := json.Marshal(h)
	if err != nil {
		return err
	}
	for key, text := range map[string][]byte{store.HeadKey(h.Workspace): body, store.DigestKey(h.Workspace, name): []byte(store.DigestBody)} {
		file := filepath.Join(dir, filepath.FromSlash(key))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, text, 0o644)); err != nil {
			return err
		}
	}
	return nil
}
