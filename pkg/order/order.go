// Package order is what may be asked of our programs by a machine: by a page in a browser, or
// by an agent's tools. It is a table; each row makes of arguments, all of them checked, the
// command line of coltec or coltecd that does it. Pure: who carries an order out runs its own
// program with that, and nothing else.
package order

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is what a value of a parameter may be.
type Kind string

// The kinds. All are valid UTF-8 without control characters, of one line.
const (
	Word   Kind = "word"   // a name: at most 200 bytes, no white space, no "-" at its beginning
	Path   Kind = "path"   // a path, or a name of a workspace: at most 4096 bytes, no "-" at its beginning
	Time   Kind = "time"   // a checkpoint, a generation, or a moment: at most 100 bytes, no "-" at its beginning, no "/" and no "@"
	Text   Kind = "text"   // for people: at most 1000 bytes
	Flag   Kind = "flag"   // true or false
	Number Kind = "number" // 1 to 1000, in decimal
)

// Param is an argument of an order.
type Param struct {
	Name     string
	Text     string // for who fills it in
	Required bool
	Kind     Kind
}

// Order is something that may be asked of a program.
type Order struct {
	Name, Title string
	Text        string // for who gives it, an agent among them
	Params      []Param
	Changes     bool // it is more than a question
	Destroys    bool // it changes what somebody works on, or stops or starts that: it is agreed to first
	Host        bool // coltec does it, to the workspace that is named
	Container   bool // coltecd does it, to the one that it is in

	again  bool  // once more with the same arguments it changes nothing more
	pushes bool  // a question that has what is here pushed before it is answered
	open   bool  // it fetches from the world: images, packages
	json   bool  // it answers in JSON
	passes []int // exit codes beside 0 that come with the answer
	argv   func(v values) []string
}

// values are arguments that were checked; "" is for none.
type values map[string]string

// All is the table: what coltec does, then what coltecd does. A name is there once for each.
func All() []Order {
	list := make([]Order, 0, len(host)+len(container))
	for _, o := range host {
		o.Host = true
		list = append(list, o)
	}
	for _, o := range container {
		o.Container = true
		list = append(list, o)
	}
	return list
}

// Argv is the command line that does an order, without the program's name. An argument that is
// "" counts as not given. The error says in one line what is wrong with an argument, which it
// names.
func (o Order) Argv(args map[string]string) ([]string, error) {
	known := map[string]bool{}
	v := values{}
	for _, p := range o.Params {
		known[p.Name] = true
		value := args[p.Name]
		if value == "" {
			if p.Required {
				return nil, fmt.Errorf("%s needs %s: %s", o.Name, p.Name, p.Text)
			}
			continue
		}
		if err := p.Kind.check(value); err != nil {
			return nil, fmt.Errorf("%s: %s %w", o.Name, p.Name, err)
		}
		v[p.Name] = value
	}
	for name := range args {
		if !known[name] {
			return nil, fmt.Errorf("%s takes no %.40q: it takes %s", o.Name, name, o.takes())
		}
	}
	return o.argv(v), nil
}

// takes are the names of the arguments, for people.
func (o Order) takes() string {
	if len(o.Params) == 0 {
		return "nothing"
	}
	names := make([]string, len(o.Params))
	for i, p := range o.Params {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}

// ReadOnly reports whether nothing is another after an order: not here, and not in the bucket.
func (o Order) ReadOnly() bool { return !o.Changes && !o.pushes }

// Open reports whether an order asks more of the world than a workspace and its bucket.
func (o Order) Open() bool { return o.open }

// Again reports whether an order that is given once more with the same arguments changes
// nothing more.
func (o Order) Again() bool { return o.again || !o.Changes }

// JSON reports whether the answer of an order is JSON.
func (o Order) JSON() bool { return o.json }

// Answered reports whether a program that ended with an exit code, and did answer, has done what
// was asked: status ends with 1 where something needs attention.
func (o Order) Answered(code int) bool { return code == 0 || slices.Contains(o.passes, code) }
