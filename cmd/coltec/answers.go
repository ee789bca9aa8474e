package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/scaffold"
)

const (
	// bucketPatience is how long a bucket may take to say what it has of a workspace that is
	// being made: without an answer it is made all the same.
	bucketPatience = 10 * time.Second
	// answersMost bounds answers.yaml, in bytes.
	answersMost = 64 << 10
)

// naming are the questions whose answers say which workspace it is: the bucket is asked by
// them, and so never for them.
var naming = []string{"org", "project", "env"}

// interview gets the answers of a new workspace. What was typed, what another machine
// answered and what a person confirmed are kept apart: only what was typed is agreed to.
type interview struct {
	template *scaffold.Template
	ask      scaffold.Ask      // nil: nobody is asked
	typed    map[string]string // on the command line, and by a person
	theirs   map[string]string // of the same workspace, on another machine
}

// names asks for what names the workspace, and what has no default; the rest has its default.
func (i *interview) names() (scaffold.Answers, error) {
	var ask scaffold.Ask
	if i.ask != nil {
		ask = func(q scaffold.Question, def *string) (string, error) {
			if def != nil && !slices.Contains(naming, q.Name) {
				return *def, nil
			}
			answer, err := i.ask(q, def)
			if err == nil {
				i.typed[q.Name] = answer
			}
			return answer, err
		}
	}
	return i.template.Answer(i.typed, ask)
}

// rest asks for all others, where what another machine answered is the default. What a person
// only confirms of that was not typed.
func (i *interview) rest() (scaffold.Answers, error) {
	if i.ask == nil {
		all := maps.Clone(i.theirs)
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, i.typed)
		return i.template.Answer(all, nil)
	}
	typed := maps.Clone(i.typed)
	return i.template.Answer(typed, func(q scaffold.Question, def *string) (string, error) {
		if their, there := i.theirs[q.Name]; there {
			def = &their
		}
		answer, err := i.ask(q, def)
		if err == nil && (def == nil || answer != *def) { // a default may follow from theirs
			i.typed[q.Name] = answer
		}
		return answer, err
	})
}

// take takes what another machine answered: of the questions that the template asks, where
// nothing was typed, and the answer will do. It returns lines for a person about the others.
func (i *interview) take(record *scaffold.Record) (notes []string) {
	i.theirs = map[string]string{}
	theirs := record.For(i.template)
	for _, q := range i.template.Questions() {
		their, ok := theirs[q.Name]
		if !ok || slices.Contains(naming, q.Name) {
			continue
		}
		mine, typed := i.typed[q.Name]
		value, err := q.Check(their)
		own, _ := q.Check(mine) // one that will not do is refused later
		switch {
		case typed && !reflect.DeepEqual(value, own):
			notes = append(notes, fmt.Sprintf("%s is %s, as you say; it was %s on the machine that had it before", q.Name, oneLine(mine), oneLine(their)))
		case typed:
		case err != nil:
			notes = append(notes, fmt.Sprintf("%s is not taken over from there: %v", q.Name, err))
		default:
			i.theirs[q.Name] = their
		}
	}
	return notes
}
