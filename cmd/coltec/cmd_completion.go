package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/coltec/coltec/internal/agentpage"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/status"
)

// completion is what words are completed with.
type completion struct{ *program }

// words are what a shell may complete a word with, by what this host knows: it asks
// neither Docker nor a bucket.
func (p completion) words(at cmdline.Place) ([]cmdline.Candidate, cmdline.Kind) {
	if at.Flag != "" {
		return p.values(at)
	}
	switch at.Name {
	case "TEMPLATE":
		return carriedNames(), cmdline.Folders
	case "SHELL":
		return cmdline.ShellWords(), cmdline.Words
	case "WORKSPACE", "FORK":
		return p.workspaces(at), cmdline.Folders
	case "DIR":
		if at.Verb == "new" || len(at.Given) > 0 && at.Verb != "check" {
			return nil, cmdline.Folders
		}
		return p.workspaceWords(false), cmdline.Folders
	case "UNIT":
		return p.unitWords(at.Given), cmdline.Words
	case "REPLICA":
		return p.replicaWords(at.Given), cmdline.Words
	case "A", "B":
		return p.momentsOf(at.Given), cmdline.Words
	case "GENERATION":
		if at.Verb == "rewind" {
			return cmdline.GenerationWords(p.lastStatus(at.Given).Lease.Generation), cmdline.Words
		}
		if slices.Contains(at.Given, "show") { // of history
			return p.momentsOf(at.Given), cmdline.Words
		}
	case "TIME":
		return cmdline.TimeWords(), cmdline.Words
	case "PATH":
		if at.Verb == "conflicts" {
			return p.conflictWords(at.Given), cmdline.Words
		}
		if !slices.Contains(at.Given, "show") || at.Verb != "history" {
			return nil, cmdline.Files
		}
	case "NAME":
		switch {
		case at.Verb == "agents":
			return agentpage.Words(), cmdline.Words
		case at.Verb == "rewind", slices.Contains(at.Flags, "remove"): // a new checkpoint has a new name
			return cmdline.CheckpointWords(p.lastStatus(at.Given).Lease.Checkpoints), cmdline.Words
		}
	}
	return nil, cmdline.Words
}

// values are what the value of a flag may be completed with.
func (p completion) values(at cmdline.Place) ([]cmdline.Candidate, cmdline.Kind) {
	switch {
	case at.Flag == "template":
		return carriedNames(), cmdline.Folders
	case at.Flag == "at":
		return p.momentsOf(at.Given), cmdline.Words
	case at.Flag == "replica":
		return p.replicaWords(at.Given), cmdline.Words
	case at.Flag == "agent":
		return agentpage.Words(), cmdline.Words
	case at.Flag == "fork":
		return p.workspaceWords(true), cmdline.Words
	case at.Flag == "into":
		return p.workspaceWords(false), cmdline.Folders
	case at.Flag == "to" && at.Verb != "hop":
		return nil, cmdline.Folders
	case at.Flag == "config", at.Flag == "path", at.Flag == "output", strings.HasSuffix(at.Flag, "file"):
		return nil, cmdline.Files
	}
	return nil, cmdline.Words
}

// workspaces are the workspaces of this host; after WORKSPACE@ the moments of that one.
func (p completion) workspaces(at cmdline.Place) []cmdline.Candidate {
	name, _, cut := strings.Cut(at.Begun, "@")
	if !cut || at.Verb != "fork" {
		return p.workspaceWords(false)
	}
	list := p.momentsOf([]string{name})
	for i := range list {
		list[i].Word = name + "@" + list[i].Word
	}
	return list
}

// momentsOf are moments of the past of the workspace that the arguments before name.
func (v environment) momentsOf(given []string) []cmdline.Candidate {
	lease := v.lastStatus(given).Lease
	return cmdline.MomentWords(lease.Checkpoints, lease.Generation)
}

func carriedNames() (list []cmdline.Candidate) {
	for _, name := range carried.Names() {
		text := ""
		if t, err := carried.Open(name, "."); err == nil {
			text = t.Description()
		}
		list = append(list, cmdline.Candidate{Word: name, Text: text})
	}
	return list
}

// workspaceWords are the names of the workspaces of this host: the whole ones, and the
// shortest that mean no other.
func (v environment) workspaceWords(wholeOnly bool) (list []cmdline.Candidate) {
	all := v.folders()
	ids := make([]string, len(all))
	for i, k := range all {
		ids[i] = k.id
	}
	for _, k := range all {
		if parts := strings.Split(k.id, "/"); !wholeOnly {
			for n := len(parts) - 1; n > 0; n-- {
				if part := strings.Join(parts[n:], "/"); len(fleet.Match(part, ids, true)) == 1 {
					list = append(list, cmdline.Candidate{Word: part, Text: k.folder})
					break
				}
			}
		}
		list = append(list, cmdline.Candidate{Word: k.id, Text: k.folder})
	}
	return list
}

// named is the workspace that the arguments before name, or the one here, with what its
// coltecd wrote last; nil and an empty document where there is none.
func (v environment) named(given []string) (w *workspace, doc status.Document) {
	name := ""
	if len(given) > 0 {
		name = given[0]
	}
	if rest, below := strings.CutPrefix(name, "~/"); below { // which the shell replaces later
		name = filepath.Join(v.env("HOME"), rest)
	}
	w, err := open(name)
	if err != nil {
		found := matching(name, v.folders(), false)
		if len(found) != 1 {
			return nil, doc
		}
		if w, err = open(found[0].folder); err != nil {
			return nil, doc
		}
	}
	doc, _, _ = readStatus(w.folder) // without one there is nothing to offer
	return w, doc
}

func (v environment) lastStatus(given []string) status.Document {
	_, doc := v.named(given)
	return doc
}

// unitWords are the units that ran last, or else the services of the spec.
func (v environment) unitWords(given []string) (list []cmdline.Candidate) {
	w, doc := v.named(given)
	for _, u := range doc.Units {
		list = append(list, cmdline.Candidate{Word: u.Name, Text: u.Kind + ", " + u.State})
	}
	if w != nil && len(list) == 0 {
		for _, s := range w.spec.Services {
			list = append(list, cmdline.Candidate{Word: s.Name, Text: "service"})
		}
	}
	return append(list, cmdline.Candidate{Word: "coltecd", Text: "of coltecd itself"})
}

// replicaWords are the replicas of the spec.
func (v environment) replicaWords(given []string) (list []cmdline.Candidate) {
	w, doc := v.named(given)
	if w == nil {
		return nil
	}
	for _, y := range w.spec.Replicas() {
		text := "replica of " + y.Path
		for _, r := range doc.Replicas {
			if r.Name == y.Name {
				text = string(r.State)
			}
		}
		list = append(list, cmdline.Candidate{Word: y.Name, Text: text})
	}
	return list
}
