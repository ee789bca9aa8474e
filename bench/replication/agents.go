package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/coltec/coltec/bench/internal/proc"
)

const (
	agentsTime  = 3 * time.Minute
	agentsSaves = 10
	agentsMB    = 4   // opencode's database
	agentsRate  = "3" // its transactions in a second, while it answers all the time
	saidBegin   = 1_000_000
	leastPause  = 2 * time.Second // between two steps of an agent
	mostPause   = 8 * time.Second
)

// talk is the file of a conversation to which an agent appends.
type talk struct {
	path        string // below the home
	lines       int    // at each step: what it does, and what came of it
	least, most int    // bytes of a line
}

// talks are those of agents that use a tool every few seconds, and wait for nobody.
var talks = []talk{
	{".claude/projects/-w/0f0e0d0c-0b0a-4908-8706-050403020100.jsonl", 2, 600, 8000},
	{".codex/sessions/2026/11/30/rollout-2026-11-30T08-00-00-0f0e0d0c.jsonl", 4, 300, 6000},
	{".gemini/tmp/w/chats/session-2026-11-30T08-00-0f0e0d0c.jsonl", 2, 600, 8000},
}

// office is where agents work.
type office struct {
	*set
	m   *machine
	d   *database // of opencode
	rnd *rand.Rand
}

// partAgents keeps the conversations of four agents at work, one of which has its own in a
// database.
func (s *set) partAgents() (err error) {
	o := office{set: s, rnd: rand.New(rand.NewPCG(seed, 0))}
	if o.m, err = s.agentsMachine(); err != nil {
		return err
	}
	if o.d, err = s.newDatabase(filepath.Join(o.m.home, ".local/share/opencode"), "opencode.db", agentsMB); err != nil {
		return err
	}
	for i := range talks {
		if err := o.say(i, saidBegin/talks[i].most*2); err != nil {
			return err
		}
	}
	stop, err := o.m.start(s.ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := o.m.do(s.ctx, "sync"); err != nil {
		return err
	}
	if err := o.save(false); err != nil {
		return err
	}
	if err := o.save(true); err != nil {
		return err
	}
	return o.work()
}

// agentsMachine is a machine whose spec lists agents.
func (s *set) agentsMachine() (*machine, error) {
	m, err := s.b.newMachine(filepath.Join(s.dir, "agents"), "agents", s.b.interval)
	if err != nil {
		return nil, err
	}
	m.home = filepath.Join(m.dir, "home")
	spec, err := os.OpenFile(filepath.Join(m.dir, ".devcontainer/workspace-spec.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	_, err = spec.WriteString("agents: [claude, codex, gemini, opencode]\n")
	return m, errors.Join(err, spec.Close(), writeNoise(filepath.Join(m.tree, "file"), 10_000))
}

// say appends lines to a conversation.
func (o office) say(i, lines int) error {
	t := talks[i]
	file := filepath.Join(o.m.home, t.path)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	var text bytes.Buffer
	for range lines {
		line, err := json.Marshal(map[string]any{
			"type": "assistant", "timestamp": time.Now(), "cwd": o.m.tree, "message": o.words(t.least + o.rnd.IntN(t.most-t.least)),
		})
		if err != nil {
			return err
		}
		text.Write(append(line, '\n'))
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text.Bytes())
	return errors.Join(err, f.Close())
}

// words are a text of so many bytes that compresses as text does.
func (o office) words(size int) string {
	var b strings.Builder
	for b.Len() < size {
		b.WriteString(strconv.FormatUint(o.rnd.Uint64N(50_000), 36) + " ")
	}
	return b.String()[:size]
}

// save saves a conversation, alone or with a file of the workspace.
func (o office) save(with bool) error {
	saves, err := o.set.save(agentsSaves, 1, func(int) error {
		err := o.say(0, 2)
		if with {
			err = errors.Join(err, os.WriteFile(filepath.Join(o.m.tree, "file"), []byte(o.words(1000)), 0o644))
		}
		if err != nil {
			return err
		}
		return o.b.spend(o.ctx, o.m.verb("sync"), &sample{})
	})
	if err != nil {
		return err
	}
	f := figure{Name: "agents: a conversation saved → in the bucket by coltecd sync: requests (p95)", Goals: []goal{most(3)}}
	if with {
		f = figure{Name: "agents: a conversation and a file of the workspace saved at once: requests (p95)"}
	}
	f.Unit, f.Ours = "requests", float64(percentile(saves.requests, 0.95))
	f.Note = fmt.Sprintf("%d for %d saves, %d of them for the log of generations", saves.total.total.Requests, len(saves.requests), saves.total.heads.logs)
	o.add(f)
	return nil
}

// work has the agents at work, and says what that costs.
func (o office) work() error {
	pids, err := o.m.pids()
	if err != nil {
		return err
	}
	if err := o.d.writeAt(agentsRate); err != nil {
		return err
	}
	due, steps, failed := make([]time.Time, len(talks)), 0, error(nil)
	was, own := proc.CPU(pids), proc.Used(pids)
	cost, err := o.b.timed(func(*sample) error {
		return o.during(agentsTime, func() {
			for i, t := range talks {
				if now := time.Now(); now.After(due[i]) {
					due[i] = now.Add(leastPause + time.Duration(o.rnd.Int64N(int64(mostPause-leastPause))))
					failed = errors.Join(failed, o.say(i, t.lines))
					steps++
				}
			}
		})
	})
	cpu, own := proc.CPU(pids)-was, proc.Used(pids).Since(own)
	if err := errors.Join(err, failed, o.d.end()); err != nil {
		return err
	}
	percent := func(d time.Duration) float64 { return 100 * d.Seconds() / cost.wall.Seconds() }
	const name = "four agents at work"
	note := fmt.Sprintf("%d steps of three with lines of JSON, %.1f MB into the log of the fourth's database, in %.0f s", steps, float64(o.d.written)/1e6, cost.wall.Seconds())
	o.add(figure{Name: name + ": requests in a minute", Unit: "requests", Ours: requests(cost) / cost.wall.Minutes(), Goals: []goal{most(20)}, Note: note})
	o.add(figure{Name: name + ": CPU of a core", Unit: "%", Ours: percent(cpu), Goals: []goal{most(3)}, Note: fmt.Sprintf("%.1f %% coltecd and its keeper, the rest rclone", percent(own.CPU))})
	o.add(figure{Name: name + ": sent in a minute", Unit: "MB", Ours: sent(cost) / cost.wall.Minutes()})
	return nil
}
