package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
)

// before is the summary of the tree before the rooms had their walls, as -json printed it.
//
//go:embed before.json
var before []byte

// figure is one line of the summary.
type figure struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	bound string // "" where there is none
}

// measured is all that is known of a tree.
type measured struct {
	rooms   []room
	summary []figure
}

// roots are where a save and a restore begin in the engine.
var roots = []struct{ name, typ, method string }{{"save", "loop", "push"}, {"restore", "loop", "acquireOne"}}

func measure(root string) (*measured, error) {
	h, err := open(root)
	if err != nil {
		return nil, err
	}
	m := &measured{}
	var sum room
	for _, p := range h.rooms {
		r, err := h.measure(p)
		if err != nil {
			return nil, err
		}
		m.rooms = append(m.rooms, r)
		sum.long += r.long
		sum.exports += r.exports
		sum.doc += r.doc
		if r.methods > sum.methods {
			sum.methods, sum.biggest = r.methods, r.name+"."+r.biggest
		}
		if big(r) && float64(r.up)*float64(max(sum.arrows, 1)) > float64(sum.up)*float64(r.arrows) || sum.name == "" && big(r) {
			sum.name, sum.up, sum.arrows = r.name, r.up, r.arrows
		}
		if r.name == "engine" {
			m.add("fields of the engine's member", "≤ 15", "%d", h.fieldsOf(p, "member"))
		}
		if r.name == "pkg/gitstate" {
			m.add("lines of test for each of code, pkg/gitstate", "≥ 0.6", "%.2f", float64(r.tests)/float64(r.code))
		}
	}
	m.add("methods of the biggest type", "≤ 60", "%d (%s)", sum.methods, sum.biggest)
	m.add("arrows that run upward, worst big room", "≤ 10 %", "%d of %d (%s)", sum.up, sum.arrows, sum.name)
	m.add("functions over 60 lines", "0", "%d", sum.long)
	m.add("exports with a comment", "≥ 99 %", "%.1f %%", 100*float64(sum.doc)/float64(sum.exports))
	for _, r := range roots {
		fn, err := h.find("engine", r.typ, r.method)
		if err != nil {
			return nil, err
		}
		w := h.reach(fn)
		m.add("rooms that a "+r.name+" enters", "", "%d", len(w.rooms))
		if r.name == "save" {
			m.add("functions of the replica that the engine calls for a save", "≤ 8", "%d", len(w.calls))
		}
	}
	return m, nil
}

// big reports whether a room has enough files to have floors.
func big(r room) bool { return r.arrows >= 30 }

func (m *measured) add(name, bound, format string, values ...any) {
	m.summary = append(m.summary, figure{name, fmt.Sprintf(format, values...), bound})
}

// json is the summary, to be kept as what was before.
func (m *measured) json() (string, error) {
	text, err := json.MarshalIndent(m.summary, "", "\t")
	return string(text) + "\n", err
}

// markdown is the summary beside what was before, and a line for each room.
func (m *measured) markdown() (string, error) {
	var old []figure
	if err := json.Unmarshal(before, &old); err != nil {
		return "", err
	}
	was := map[string]string{}
	for _, f := range old {
		was[f.Name] = f.Value
	}
	var b strings.Builder
	b.WriteString("| figure | bound | before the walls | now |\n|---|---|---|---|\n")
	for _, f := range m.summary {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.Name, f.bound, was[f.Name], f.Value)
	}
	b.WriteString("\n| room | code | test/code | biggest type | widest struct | arrows inside, upward | > 60 lines | exports with a comment |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range m.rooms {
		fmt.Fprintf(&b, "| %s | %d | %.2f | %s | %s | %d, %d | %d | %d of %d |\n", r.name, r.code, float64(r.tests)/float64(max(r.code, 1)),
			named(r.biggest, r.methods, "method"), named(r.widest, r.fields, "field"), r.arrows, r.up, r.long, r.doc, r.exports)
	}
	return b.String(), nil
}

func named(name string, n int, what string) string {
	if name == "" {
		return ""
	}
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%s, %d %s", name, n, what)
}
