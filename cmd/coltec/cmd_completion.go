package main

import (
	"strings"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/status"
)

// wordsFor are what a shell may complete a word with, by what this host knows: it asks
// neither Docker nor a bucket.
func (p *program) wordsFor(at cmdline.Place) ([]cmdline.Candidate, cmdline.Kind) {
	switch {
	case at.Flag == "template", at.Name == "TEMPLATE":
		return carriedNames(), cmdline.Folders
	case at.Flag == "at":
		doc, _ := p.lastStatus(at.Given)
		return cmdline.GenerationWords(doc.Lease.Generation), cmdline.Words
	case at.Flag == "replica":
		doc, _ := p.lastStatus(at.Given)
		return replicaWords(doc), cmdline.Words
	case at.Flag == "fork":
		return p.workspaceWords(true), cmdline.Words
	case at.Flag == "config", strings.HasSuffix(at.Flag, "file"), at.Flag == "output":
		return nil, cmdline.Files
	case at.Flag != "":
		return nil, cmdline.Words
	case at.Name == "SHELL":
		return cmdline.ShellWords(), cmdline.Words
	case at.Name == "UNIT":
		doc, _ := p.lastStatus(at.Given)
		return unitWords(doc), cmdline.Words
	case at.Name == "WORKSPACE", at.Name == "DIR" && at.Verb != "new" && len(at.Given) == 0, at.Verb == "check":
		return p.workspaceWords(false), cmdline.Folders
	case at.Name == "DIR":
		return nil, cmdline.Folders
	}
	return nil, cmdline.Words
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

// lastStatus is what coltecd wrote last of the workspace that the arguments before name, or
// of the one here.
func (v environment) lastStatus(given []string) (status.Document, bool) {
	name := ""
	if len(given) > 0 {
		name = given[0]
	}
	folder := ""
	if w, err := open(name); err == nil {
		folder = w.folder
	} else if found := matching(name, v.folders(), false); len(found) == 1 {
		folder = found[0].folder
	}
	doc, _, err := readStatus(folder)
	return doc, err == nil && folder != ""
}

func unitWords(doc status.Document) (list []cmdline.Candidate) {
	for _, u := range doc.Units {
		list = append(list, cmdline.Candidate{Word: u.Name, Text: u.Kind + ", " + u.State})
	}
	return append(list, cmdline.Candidate{Word: "coltecd", Text: "of coltecd itself"})
}

func replicaWords(doc status.Document) (list []cmdline.Candidate) {
	for _, r := range doc.Replicas {
		list = append(list, cmdline.Candidate{Word: r.Name, Text: string(r.State)})
	}
	return list
}
