// Package agents knows what coding agents keep in a home: what of it a conversation goes on
// with on another machine, what is a login, and how to go on. What is known of each is a
// file in known/, as it was seen with the version that it names.
package agents

import (
	"bytes"
	"embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
)

//go:embed known/*.yaml
var known embed.FS

//go:embed credentials.yaml
var credentials []byte

// Agent is what is known of one. Paths are those below a home; * stands for one element of
// them, or a part of it, ** for several.
type Agent struct {
	Format   int      `yaml:"format" json:"-"`                // 1
	Name     string   `yaml:"name" json:"name"`               // in a spec
	Title    string   `yaml:"title" json:"title"`             // for people
	Seen     string   `yaml:"seen" json:"seen,omitempty"`     // the version that this was seen with
	Package  string   `yaml:"package" json:"package"`         // of npm
	Program  string   `yaml:"program" json:"program"`         // its command
	Aside    []string `yaml:"aside" json:"aside,omitempty"`   // words in the command lines of its processes that stay when nobody works with it
	Root     string   `yaml:"root" json:"root"`               // the directory in which it keeps most
	Carry    []string `yaml:"carry" json:"carry"`             // what travels, each with all below it
	Leave    []Left   `yaml:"leave" json:"leave,omitempty"`   // what does not
	Logins   []string `yaml:"logins" json:"logins,omitempty"` // what is, or may hold, a login
	Variable Variable `yaml:"variable" json:"variable,omitzero"`
	Talks    []string `yaml:"talks" json:"talks,omitempty"`   // the files that conversations are in
	Resume   []string `yaml:"resume" json:"resume,omitempty"` // the command that goes on with the last one
	Turns    []Turn   `yaml:"turns" json:"turns,omitempty"`   // what a line of a conversation says of its turn
	Hooks    Hooks    `yaml:"hooks" json:"hooks,omitzero"`    // how it tells what it does; none: it cannot, or nobody knows how
}

// Hooks are how an agent is asked, in its own settings, to tell what it does.
type Hooks struct {
	File   string  `yaml:"file" json:"file"` // a path below the home
	Form   string  `yaml:"form" json:"form"` // how it is written there: see FormJSON
	Events []Event `yaml:"events" json:"events"`
}

// The forms of hooks.
const (
	FormJSON   = "json"   // hooks.EVENT is a list of {hooks: [{type: command, command: TEXT}]}, as of Claude Code
	FormNotify = "notify" // notify is the words of a command, which runs at the end of a turn, as of Codex
)

// Event is something that happens to an agent, and what it does from then on.
type Event struct {
	On    string `yaml:"on" json:"on"`       // as the agent calls it
	State string `yaml:"state" json:"state"` // working, waits, done or failed
}

// Turn is what a line of JSON of a conversation says: the last line to which one applies
// tells whether a turn is under way.
type Turn struct {
	At   string   `yaml:"at" json:"at"`     // a field, those that it is in before it: payload.type
	Is   []string `yaml:"is" json:"is"`     // its value is one of these
	Ends bool     `yaml:"ends" json:"ends"` // the turn has ended; else it is under way
}

// Left is what does not travel, and why.
type Left struct {
	Path string `yaml:"path" json:"path"`
	Why  string `yaml:"why" json:"why"`
}

// Variable is one that has an agent keep its files elsewhere: in its value instead of in a
// path.
type Variable struct {
	Name    string `yaml:"name" json:"name"`
	Instead string `yaml:"instead" json:"instead"` // a path below the home
}

// Credential is where a program keeps credentials.
type Credential struct {
	Of   string `yaml:"of" json:"of"`
	Path string `yaml:"path" json:"path"`
}

// all are the known agents in order of their names. They are read when somebody first asks:
// most programs that have this package in them never do, and to read them costs 600 kB.
var all = sync.OnceValue(mustRead)

// mustRead reads what is embedded, which a test has read before.
func mustRead() []Agent {
	entries, err := known.ReadDir("known")
	if err != nil {
		panic("internal error: " + err.Error())
	}
	var list []Agent
	for _, e := range entries {
		body, err := known.ReadFile(path.Join("known", e.Name()))
		if err == nil {
			var a Agent
			if a, err = parse(body); err == nil {
				list = append(list, a)
			}
		}
		if err != nil {
			panic(fmt.Sprintf("internal error: %s: %v", e.Name(), err))
		}
	}
	return list
}

func parse(body []byte) (a Agent, err error) {
	if err := yaml.NewDecoder(bytes.NewReader(body), yaml.Strict()).Decode(&a); err != nil {
		return a, err
	}
	if a.Format != 1 || a.Name == "" || a.Title == "" || a.Program == "" || len(a.Carry) == 0 || len(a.Resume) == 0 {
		return a, fmt.Errorf("it lacks something: %+v", a)
	}
	return a, nil
}

// All are the known agents, in order of their names.
func All() []Agent { return slices.Clone(all()) }

// Names are their names.
func Names() (names []string) {
	for _, a := range all() {
		names = append(names, a.Name)
	}
	return names
}

// Find finds a known agent by its name.
func Find(name string) (Agent, bool) {
	i := slices.IndexFunc(all(), func(a Agent) bool { return a.Name == name })
	if i < 0 {
		return Agent{}, false
	}
	return all()[i], true
}

// Of is whose file a path below the home is, of those agents: the name of the agent and, where
// the file has one conversation, what that is called; "" where it is of none, or has several.
func Of(list []Agent, name string) (agent, talk string) {
	for _, a := range list {
		for _, pattern := range a.Talks {
			if called, is := calledBy(pattern, name); is {
				return a.Name, called
			}
		}
		for _, p := range a.Carry {
			if matches(strings.Trim(p, "/"), name) {
				agent = a.Name
			}
		}
	}
	return agent, ""
}

// identity is how agents number conversations.
var identity = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$`) })

// calledBy is what the conversation in a file is called that a pattern matches: what stands for
// its last element with a star, or the number in that. A database has several.
func calledBy(pattern, name string) (called string, is bool) {
	elements := strings.Split(name, "/")
	if strings.Count(pattern, "/")+1 != len(elements) || !matches(pattern, name) {
		return "", false
	}
	for i, element := range strings.Split(pattern, "/") {
		if strings.Contains(element, "*") {
			called = elements[i]
		}
	}
	called = strings.TrimSuffix(called, path.Ext(name))
	if number := identity().FindString(called); number != "" {
		called = number
	}
	return called, true
}

// matches reports whether a pattern matches a path, or a directory that it is in.
func matches(pattern, name string) bool {
	wanted, elements := strings.Split(pattern, "/"), strings.Split(name, "/")
	if len(elements) < len(wanted) {
		return false
	}
	for i, element := range wanted {
		if is, err := path.Match(element, elements[i]); !is || err != nil {
			return false
		}
	}
	return true
}

// Credentials are where programs keep credentials in a home.
func Credentials() (list []Credential) {
	if err := yaml.UnmarshalWithOptions(credentials, &list, yaml.Strict()); err != nil {
		panic("internal error: " + err.Error()) // it is embedded, and a test reads it
	}
	return list
}

// Include are the paths of a home that travel for some agents.
func Include(list []Agent) (paths []string) {
	for _, a := range list {
		paths = append(paths, a.Carry...)
	}
	return unique(paths)
}

// Exclude are filter patterns for what does not travel of a home, whatever is included: what
// agents leave, their logins and what else is known to be a credential; but for what named
// names by itself.
func Exclude(list []Agent, named []string) (patterns []string) {
	var paths []string
	for _, a := range list {
		for _, l := range a.Leave {
			paths = append(paths, l.Path)
		}
	}
	for _, a := range all() { // also of those that are not listed
		paths = append(paths, a.Logins...)
	}
	for _, a := range list {
		paths = append(paths, a.Logins...)
	}
	for _, p := range unique(paths) {
		if !slices.Contains(named, p) {
			patterns = append(patterns, under(p)...)
		}
	}
	return append(patterns, ExcludeCredentials("", named)...)
}

// ExcludeCredentials are filter patterns for what is known to be a credential, of a tree that
// begins at dir, below the home or "" for it; but for what named, paths in the tree, names by
// itself. A file that is named in a directory of credentials is so where nothing asks for all
// that is around it.
func ExcludeCredentials(dir string, named []string) (patterns []string) {
	for _, c := range Credentials() {
		p, below := strings.CutPrefix(c.Path, strings.TrimPrefix(dir+"/", "/"))
		isNamed, isAround := slices.Contains(named, p), false
		for _, n := range named {
			isNamed = isNamed || strings.HasPrefix(n, p+"/")
			isAround = isAround || strings.HasPrefix(p, n+"/") || n != p && strings.ContainsAny(n, "*?[{")
		}
		if below && (!isNamed || isAround && !slices.Contains(named, p)) {
			patterns = append(patterns, under(p)...)
		}
	}
	return patterns
}

func under(p string) []string { return []string{"/" + p, "/" + p + "/**"} }

func unique(list []string) (out []string) {
	for _, s := range list {
		if s = strings.Trim(s, "/"); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
