package main

import (
	"strings"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
)

// completer knows the words that a shell may complete.
type completer struct{ *program }

// wordsFor are what a shell may complete a word with, by the spec and the status file: it
// asks neither coltecd nor a bucket.
func (p completer) wordsFor(at cmdline.Place) ([]cmdline.Candidate, cmdline.Kind) {
	switch {
	case at.Flag == "config", at.Flag == "secrets-file", at.Name == "FILE", at.Name == "PATH":
		return nil, cmdline.Files
	case at.Flag == "to":
		return nil, cmdline.Folders
	case at.Flag == "at", at.Verb == "history" && len(at.Given) == 1 && at.Given[0] == "show":
		return cmdline.GenerationWords(p.lastStatus().Lease.Generation), cmdline.Words
	case at.Flag == "replica", at.Name == "REPLICA":
		return p.replicaWords(), cmdline.Words
	case at.Flag != "":
		return nil, cmdline.Words
	case at.Name == "SHELL":
		return cmdline.ShellWords(), cmdline.Words
	case at.Name == "UNIT":
		return append(p.unitWords(), cmdline.Candidate{Word: "coltecd", Text: "of coltecd itself"}), cmdline.Words
	case at.Name == "NAME" && (at.Verb == "sync" || at.Verb == "adopt"):
		return p.replicaWords(), cmdline.Words
	case at.Name == "NAME":
		return append(p.unitWords(), p.replicaWords()...), cmdline.Words
	case strings.Contains(at.Name, "|") && len(at.Given) == 0: // [ls|show|restore]
		var list []cmdline.Candidate
		for word := range strings.SplitSeq(at.Name, "|") {
			list = append(list, cmdline.Candidate{Word: word})
		}
		return list, cmdline.Words
	case strings.HasPrefix(at.Name, "PATH"):
		return nil, cmdline.Files
	}
	return nil, cmdline.Words
}

// nearSpec is the spec here or above, or an empty one.
func (p completer) nearSpec() *spec.Spec {
	if path, err := p.specNear(""); err == nil {
		if sp, err := daemon.LoadSpec(path); err == nil {
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
