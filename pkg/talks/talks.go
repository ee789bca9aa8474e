// Package talks tells of the conversations that coding agents keep in a home: how many are
// of a workspace, when the last turn was, and whether one is under way. What is in the files
// is anybody's text: none of it is handed on, only counts, times and yes or no.
package talks

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/agents"
)

const (
	// entriesMost bounds the names that one look reads: a home of years has some thousands of
	// conversations.
	entriesMost = 20000
	// underWay is for how long a turn counts as under way after its last line: a tool that an
	// agent runs may take minutes without one, and an agent that was killed never ends its turn.
	underWay = 2 * time.Minute
	// Rest is for how long a conversation does not grow before it counts as at rest.
	Rest = 300 * time.Millisecond
	// busy is for how long the conversation of an agent whose lines say nothing of turns counts
	// as under way after it was seen to grow.
	busy = 3 * time.Second
)

// Found is what is known of an agent's conversations.
type Found struct {
	Talks   int       // of the workspace; 0 where several lie in one file, or there is none
	Last    time.Time // the last turn, by its line, else by the file; zero: there is none
	Working bool      // a turn is under way
	Recent            // of the one that grew last
}

// Recent is the conversation that grew last.
type Recent struct {
	Grew time.Time // by its file; zero: there is none
	Open bool      // its turn has not ended, however long ago it grew
	Name string    // of its file, without what follows the first dot; "" where several lie in one, or it is odd
}

// Reader looks at the conversations of one home. It remembers what it read of files that are
// there and did not change; its methods may be called from several goroutines.
type Reader struct {
	mu   sync.Mutex
	seen map[string]map[string]talk // by agent, then by file: those that its last look found
}

// talk is what was read of one file.
type talk struct {
	size   int64
	change time.Time
	end    ending
	places []string // the folders that it takes place in; none: it does not say
	grew   bool     // while it was looked at: it was not only placed there
}

// Look looks at an agent's conversations of a folder, those without a folder too. now is
// compared with when they grew.
func (r *Reader) Look(home *os.Root, a agents.Agent, folder string, now time.Time) (f Found) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string]map[string]talk{}
	}
	was, is := r.seen[a.Name], map[string]talk{}
	r.seen[a.Name] = is
	left := entriesMost
	for _, pattern := range a.Talks {
		for _, name := range glob(home, pattern, &left) {
			info, err := home.Lstat(name)
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			t, known := was[name]
			if !known || t.size != info.Size() || !t.change.Equal(info.ModTime()) {
				t = read(home, name, info, a.Turns, t)
				t.grew = known
			}
			is[name] = t
			if !t.of(folder) {
				continue
			}
			f.add(name, t, len(a.Turns) > 0, now)
		}
	}
	return f
}

// Any reports whether an agent has a conversation that takes place in exactly that folder, or of
// which nobody knows where it does.
func Any(home *os.Root, a agents.Agent, folder string) bool {
	left := entriesMost
	for _, pattern := range a.Talks {
		for _, name := range glob(home, pattern, &left) {
			info, err := home.Lstat(name)
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			places := placesOf(home, name)
			if len(places) == 0 || slices.Contains(places, folder) {
				return true
			}
		}
	}
	return false
}

// add counts one file.
func (f *Found) add(name string, t talk, told bool, now time.Time) {
	last := t.change
	if !t.end.at.IsZero() {
		last = t.end.at
	}
	if strings.HasSuffix(name, ".jsonl") {
		f.Talks++
	}
	if last.After(f.Last) {
		f.Last = last
	}
	if t.change.After(f.Grew) {
		f.Recent = Recent{t.change, t.end.open, nameOf(name)}
	}
	age := now.Sub(t.change)
	switch {
	case age < 0: // of another clock, or set by hand: it does not say when it grew
	case !told:
		f.Working = f.Working || t.grew && age < busy
	default:
		f.Working = f.Working || age < Rest || t.end.open && age < underWay
	}
}

// read reads a file: of one that only grew since it was read, what came.
func read(home *os.Root, name string, info fs.FileInfo, turns []agents.Turn, was talk) talk {
	t := talk{size: info.Size(), change: info.ModTime()}
	f, ok := open(home, name)
	if !ok {
		return t
	}
	defer f.Close()
	if t.follow(f, turns, was) {
		return t
	}
	t.end = readEnd(f, t.size, turns)
	head := f.part(0, windowMost)
	t.places = foldersIn(head, nil)
	t.end.lines.begins(head)
	return t
}

// placesOf are the folders that a conversation names as where it takes place; none where it says none.
func placesOf(home *os.Root, name string) []string {
	f, ok := open(home, name)
	if !ok {
		return nil
	}
	defer f.Close()
	return foldersIn(f.part(0, windowMost), nil)
}

// nameMost is what the name of a conversation may have of bytes: some are a date and a UUID.
const nameMost = 128

// nameOf is what a conversation is called by its file: the file's own name, or that of its
// directory where all files have the same one. It goes into environments and onto terminals, so
// one that has more than plain letters is none.
func nameOf(file string) string {
	if path.Ext(file) != ".jsonl" {
		return ""
	}
	name, _, _ := strings.Cut(path.Base(file), ".")
	if name == "events" {
		name = path.Base(path.Dir(file))
	}
	odd := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.'
	}
	if len(name) > nameMost || strings.HasPrefix(name, "-") || strings.ContainsFunc(name, odd) {
		return ""
	}
	return name
}

// of reports whether a conversation is of a folder, or of one in it, or may be.
func (t talk) of(folder string) bool {
	return len(t.places) == 0 || slices.ContainsFunc(t.places, func(at string) bool {
		at = path.Clean(at)
		return at == folder || strings.HasPrefix(at, strings.TrimSuffix(folder, "/")+"/")
	})
}

// glob lists the files below a home whose names a pattern matches, * being one element or a
// part of it. It reads at most left names more.
func glob(home *os.Root, pattern string, left *int) []string {
	names := []string{"."}
	for element := range strings.SplitSeq(pattern, "/") {
		var next []string
		for _, dir := range names {
			if !strings.ContainsAny(element, "*?[") {
				next = append(next, path.Join(dir, element))
				continue
			}
			for _, e := range entries(home, dir, left) {
				if ok, err := path.Match(element, e); ok && err == nil {
					next = append(next, path.Join(dir, e))
				}
			}
		}
		names = next
	}
	return names
}

// entries are the names in a directory, [] for one that cannot be read.
func entries(home *os.Root, dir string, left *int) []string {
	if info, err := home.Lstat(dir); err != nil || !info.IsDir() || *left <= 0 {
		return nil
	}
	d, err := home.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(*left)
	*left -= len(names)
	return names
}
