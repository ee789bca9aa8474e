package main

import (
	"maps"
	"slices"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/agentpage"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/pastpage"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
)

// completer knows the words that a shell may complete.
type completer struct{ *program }

// wordsFor are what a shell may complete a word with, by the spec and the status file: it
// asks neither coltecd nor a bucket.
func (p completer) wordsFor(at cmdline.Place) ([]cmdline.Candidate, cmdline.Kind) {
	if at.Flag != "" {
		return p.valuesFor(at)
	}
	switch at.Name {
	case "FILE":
		return nil, cmdline.Files
	case "DIR":
		return nil, cmdline.Folders
	case "SHELL":
		return cmdline.ShellWords(), cmdline.Words
	case "UNIT":
		return append(p.unitWords(), cmdline.Candidate{Word: "coltecd", Text: "of coltecd itself"}), cmdline.Words
	case "REPLICA":
		return p.replicaWords(), cmdline.Words
	case "A", "B":
		return p.moments(), cmdline.Words
	case "GENERATION":
		if at.Verb == "rewind" {
			return cmdline.GenerationWords(p.lastStatus().Lease.Generation), cmdline.Words
		}
		if slices.Contains(at.Given, "show") { // of history
			return p.moments(), cmdline.Words
		}
	case "TIME":
		return cmdline.TimeWords(), cmdline.Words
	case "PATH":
		if at.Verb == "conflicts" {
			return p.conflictWords(), cmdline.Words
		}
		if !slices.Contains(at.Given, "show") || at.Verb != "history" {
			return nil, cmdline.Files
		}
	case "STATE":
		return stateWords(), cmdline.Words
	case "NAME":
		return p.named(at), cmdline.Words
	}
	return nil, cmdline.Words
}

// valuesFor are what the value of a flag may be completed with.
func (p completer) valuesFor(at cmdline.Place) ([]cmdline.Candidate, cmdline.Kind) {
	switch at.Flag {
	case "config", "secrets-file", "path":
		return nil, cmdline.Files
	case "to", "place":
		return nil, cmdline.Folders
	case "at":
		return p.moments(), cmdline.Words
	case "replica":
		return p.replicaWords(), cmdline.Words
	case "only":
		return append(p.unitWords(), p.replicaWords()...), cmdline.Words
	case "agent":
		return p.agentWords(), cmdline.Words
	}
	return nil, cmdline.Words
}

// named are what the argument NAME of a verb may be.
func (p completer) named(at cmdline.Place) []cmdline.Candidate {
	switch at.Verb {
	case "sync", "adopt":
		return p.replicaWords()
	case "rewind":
		return cmdline.CheckpointWords(p.lastStatus().Lease.Checkpoints)
	case "checkpoint":
		if slices.Contains(at.Flags, "remove") { // a new one has a new name
			return cmdline.CheckpointWords(p.lastStatus().Lease.Checkpoints)
		}
		return nil
	case "agents":
		return agentpage.Words()
	case "agents resume":
		return p.agentWords()
	}
	return append(p.unitWords(), p.replicaWords()...)
}

// moments are moments of the past of the workspace here.
func (p completer) moments() []cmdline.Candidate {
	lease := p.lastStatus().Lease
	return cmdline.MomentWords(lease.Checkpoints, lease.Generation)
}

// conflictWords are the versions that are kept aside on this machine.
func (p completer) conflictWords() []cmdline.Candidate {
	var trees []string
	for _, y := range p.nearSpec().Replicas() {
		trees = append(trees, y.Path)
	}
	return pastpage.ConflictWords(trees...)
}

// agentWords are the agents of the spec.
func (p completer) agentWords() (list []cmdline.Candidate) {
	for _, a := range p.nearSpec().Agents {
		list = append(list, cmdline.Candidate{Word: a.Name, Text: "agent"})
	}
	return list
}

// stateWords are the states of an agent.
func stateWords() (list []cmdline.Candidate) {
	for _, name := range slices.Sorted(maps.Keys(status.AgentStates)) {
		list = append(list, cmdline.Candidate{Word: name, Text: "state"})
	}
	return list
}

// nearSpec is the spec here or above, with the paths that it has here, or an empty one.
func (p completer) nearSpec() *spec.Spec {
	if path, err := p.specNear(""); err == nil {
		if sp, err := daemon.ReadSpec(path, p.lookup); err == nil {
			return sp
		}
	}
	return &spec.Spec{}
}

// unitWords are the units that ran last, or else the services of the spec.
func (p completer) unitWords() (list []cmdline.Candidate) {
	for _, u := range p.lastStatus().Units {
		list = append(list, cmdline.Candidate{Word: u.Name, Text: u.Kind + ", " + u.State})
	}
	if len(list) > 0 {
		return list
	}
	for _, v := range p.nearSpec().Services {
		list = append(list, cmdline.Candidate{Word: v.Name, Text: "service"})
	}
	return list
}

func (p completer) replicaWords() (list []cmdline.Candidate) {
	for _, r := range p.nearSpec().Replicas() {
		list = append(list, cmdline.Candidate{Word: r.Name, Text: "replica of " + r.Path})
	}
	return list
}

// lastStatus is what coltecd wrote last; an empty document if there is none.
func (p completer) lastStatus() (doc status.Document) {
	path, err := p.specNear("")
	if err != nil {
		return doc
	}
	if dir, err := p.options(path, nil).LogDir(); err == nil {
		doc, _, _ = status.ReadFile(dir) // without one there is nothing to offer
	}
	return doc
}
