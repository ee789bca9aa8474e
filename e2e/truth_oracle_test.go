package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/coltec/coltec/internal/gittest"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// state is one that a path had, or is given.
type state struct {
	made
	begun, done int64 // by the clock of all; done 0: it is not known to be complete
}

// tracked is a path with all states that it ever had.
type tracked struct {
	replica, path string
	states        []state  // the N-th at N-1
	floor         int      // the state that the bucket has, or a later one, by the last word; 0: no word was given
	owner         *machine // who made the last state
	told          bool     // that it was lied about: once is enough
}

// add notes a line of a journal.
func (f *tracked) add(m made) error {
	switch {
	case m.Done && m.N == len(f.states):
		f.states[m.N-1].done = m.At
	case !m.Done && m.N == len(f.states)+1:
		f.states = append(f.states, state{made: m, begun: m.At})
	default:
		return fmt.Errorf("internal error: state %d of %s after %d (%v)", m.N, f.path, len(f.states), m.Done)
	}
	return nil
}

func (f *tracked) last() *state { return &f.states[len(f.states)-1] }

// at is the newest state that was complete at a time; 0 for none.
func (f *tracked) at(t int64) int {
	for n := len(f.states); n > 0; n-- {
		if s := &f.states[n-1]; s.done != 0 && s.done <= t {
			return n
		}
	}
	return 0
}

// shape goes through the contents that a path had, in their order. Some may be left out.
type shape struct {
	before, now []byte // nil: nothing is there
	grown       []byte // of logs and sparse files: what they have so far
	upTo        int    // content
}

// next goes on to a state.
func (h *shape) next(s *state) {
	h.before = h.now
	switch {
	case s.What == 0:
		h.now = nil
	case s.Form == formLines, s.Form == formSparse:
		for h.upTo < s.What {
			h.upTo++
			h.grow(s)
		}
		h.now = bytes.Clone(h.grown)
	case s.Form == formInPlace:
		h.now = blocksOf(s.Key, s.What, blocksIn(s.Path))
	case s.Form == formMapped && s.What > 1:
		h.now = blocksOf(s.Key, s.What, mappedBlocks)
	case s.Form == formMapped:
		h.now = make([]byte, mappedBlocks*blockSize)
	default:
		h.now = wholeOf(s.Key, s.What)
	}
}

// grow adds what one more content has.
func (h *shape) grow(s *state) {
	switch {
	case s.Form == formLines && h.upTo == 1 && strings.Contains(s.Path, "append-slow"):
		h.grown = append(repeated(s.Key, slowBase), lineOf(s.Key, 1)...)
	case s.Form == formLines:
		h.grown = append(h.grown, lineOf(s.Key, h.upTo)...)
	case h.upTo == 1:
		h.grown = make([]byte, sparseBlocks*blockSize)
	default:
		copy(h.grown[sparseAt(h.upTo)*blockSize:], blockOf(s.Key, h.upTo, sparseAt(h.upTo)))
	}
}

// blocksIn is how large a file is that is written in place.
func blocksIn(file string) int {
	switch name := path.Base(file); {
	case strings.HasPrefix(name, "churn"):
		return churnBlocks
	case strings.HasPrefix(name, "bulk"):
		return bulkBlocks
	}
	return inPlaceBlocks
}

func blocksOf(key string, what, blocks int) (all []byte) {
	for i := range blocks {
		all = append(all, blockOf(key, what, i)...)
	}
	return all
}

// underWay reports whether content is what a path may have while it is given the
// state that the shape is at.
func (h *shape) underWay(s *state, content []byte) bool {
	switch s.Form {
	case formLines:
		return content != nil && (h.before == nil || len(content) > len(h.before)) && bytes.HasPrefix(h.now, content)
	case formTruncated:
		return content != nil && s.What > 0 && bytes.HasPrefix(h.now, content)
	case formInPlace, formMapped, formSparse:
		if content == nil || len(content) != len(h.now) || h.before == nil {
			return content != nil && h.before == nil && bytes.HasPrefix(h.now, content)
		}
		cut := 0
		for cut < len(content) && content[cut] == h.now[cut] {
			cut++
		}
		if s.Form == formSparse {
			at := (sparseAt(s.What) + 1) * blockSize
			return cut < at && bytes.Equal(content[cut:at], h.before[cut:at]) && bytes.Equal(content[at:], h.now[at:])
		}
		return bytes.Equal(content[cut:], h.before[cut:])
	}
	return false
}

// shows gives the newest state from one on that a content is of, complete or under
// way; 0 for none.
func (f *tracked) shows(content []byte, from int) (n int, complete bool) {
	h := &shape{}
	if from > 1 {
		h.next(&f.states[from-2])
	}
	for i := max(from, 1) - 1; i < len(f.states); i++ {
		s := &f.states[i]
		h.next(s)
		switch {
		case (content == nil) == (h.now == nil) && bytes.Equal(content, h.now):
			n, complete = s.N, true
		case h.underWay(s, content):
			n, complete = s.N, false
		}
	}
	return n, complete
}

// holds says what is wrong with what is found of a path: it is neither of the state
// that the last word was about nor of a later one.
func (f *tracked) holds(found finding) (wrong string) {
	if f.last().Form == formCommits {
		return f.holdsCommits(found)
	}
	if f.floor == 0 && found.content == nil || f.exactly(found.content, len(f.states)) {
		return ""
	}
	if n, complete := f.shows(found.content, f.floor); n > f.floor || n > 0 && complete {
		return ""
	}
	older, _ := f.shows(found.content, 1)
	switch {
	case found.content == nil:
		return fmt.Sprintf("is not there; the last word was about state %d of %d", f.floor, len(f.states))
	case older == 0:
		return fmt.Sprintf("has %d bytes that it never had at once (%s); the last word was about state %d of %d", len(found.content), f.looks(found.content), f.floor, len(f.states))
	}
	return fmt.Sprintf("is at state %d of %d; the last word was about state %d", older, len(f.states), f.floor)
}

// exactly reports whether content is that of the N-th state, complete.
func (f *tracked) exactly(content []byte, n int) bool {
	h := &shape{}
	h.next(&f.states[n-1])
	return (content == nil) == (h.now == nil) && bytes.Equal(content, h.now)
}

// looks says which contents the blocks of a file are of.
func (f *tracked) looks(content []byte) string {
	var runs []string
	last := ""
	for at := 0; at < len(content); at += blockSize {
		head := content[at:min(at+60, len(content))]
		is := "?"
		if i := bytes.IndexByte(head, '\n'); i > 0 {
			if fields := strings.Fields(string(head[:i])); len(fields) == 3 {
				is = strings.TrimLeft(fields[1], "0")
			}
		}
		if !bytes.Equal(content[at:min(at+blockSize, len(content))], blockOr(f.last().Key, is, at/blockSize, len(content)-at)) {
			is += "~" // not all of it
		}
		if is != last {
			runs = append(runs, fmt.Sprintf("%d:%s", at/blockSize, is))
		}
		last = is
	}
	return "contents by block: " + strings.Join(runs[:min(len(runs), 12)], " ")
}

func blockOr(key, what string, index, most int) []byte {
	n, err := strconv.Atoi(what)
	if err != nil {
		return nil
	}
	return blockOf(key, n, index)[:min(most, blockSize)]
}

// finding is what is at a path of a machine.
type finding struct {
	content []byte       // nil: nothing is there
	commits map[int]bool // of a repository, by the number in their subject
	unsound string       // what git fsck says
}

// find looks at a path.
func (f *tracked) find(root string) (found finding, err error) {
	file := filepath.Join(root, f.path)
	if f.last().Form != formCommits {
		found.content, err = os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDir) {
			return finding{}, nil
		}
		if found.content == nil {
			found.content = []byte{}
		}
		return found, err
	}
	found.commits = map[int]bool{}
	if _, err := os.Lstat(filepath.Join(file, ".git")); err != nil {
		return found, nil
	}
	out, err := gittest.Run(file, "log", "--all", "--reflog", "--format=%s")
	if err != nil {
		found.unsound = out
		return found, nil
	}
	for subject := range strings.Lines(out) {
		n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(subject, "state ")))
		found.commits[n] = true
	}
	if out, err := gittest.Run(file, "fsck", "--no-dangling", "--strict"); err != nil || strings.Contains(out, "missing") || strings.Contains(out, "error") {
		found.unsound = out
	}
	return found, nil
}

// holdsCommits is holds for a repository: no commit of the floor and before may be
// missing.
func (f *tracked) holdsCommits(found finding) string {
	if found.unsound != "" {
		return "is not sound: " + found.unsound
	}
	for n := range f.floor {
		if !found.commits[n+1] {
			return fmt.Sprintf("lacks commit %d and has %d; the last word was about commit %d", n+1, len(found.commits), f.floor)
		}
	}
	return ""
}

// same reports whether what is found is the last state, and that one complete.
func (f *tracked) same(found finding) bool {
	if f.last().done == 0 {
		return false
	}
	if f.last().Form == formCommits {
		return found.commits[len(f.states)] && found.unsound == ""
	}
	return f.exactly(found.content, len(f.states))
}

// story tells the last states of a path.
func (f *tracked) story() string {
	var b strings.Builder
	first := max(0, min(f.floor-2, len(f.states)-6))
	for i := first; i < len(f.states) && i < first+8; i++ {
		s := &f.states[i]
		fmt.Fprintf(&b, "    state %d: content %d, begun %s", s.N, s.What, shortTime(s.begun))
		if s.done != 0 {
			fmt.Fprintf(&b, ", complete %s", shortTime(s.done))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func shortTime(t int64) string { return fmt.Sprintf("%.4f s", time.Duration(t).Seconds()) }

// said is an account, by replica.
type said map[string][]account.Part

// excuses reports whether a path is named, or something that it is in.
func (s said) excuses(f *tracked) bool {
	for _, p := range s[f.replica] {
		if p.Reason == account.Held && f.last().What != 0 {
			continue
		}
		for _, name := range p.Names {
			if f.path == name || strings.HasPrefix(f.path, name+"/") || f.last().Form == formCommits && f.path+"/.git" == name {
				return true
			}
		}
	}
	return false
}

// unnamed is how many paths of a replica are only counted.
func (s said) unnamed(replica string) int {
	n := 0
	for _, p := range s[replica] {
		n += max(p.Count-len(p.Names), 0)
	}
	return n
}

func (s said) empty() bool {
	for _, parts := range s {
		if len(parts) > 0 {
			return false
		}
	}
	return true
}

func (s said) String() string {
	b, _ := json.Marshal(s)
	return string(b)
}

// onlyHere is the account as status has it.
func (m *machine) onlyHere() said {
	m.t.Helper()
	return accountIn(m.status())
}

// lastAccount is that of the status that a coltecd wrote last.
func (m *machine) lastAccount() said {
	m.t.Helper()
	doc, _, err := status.ReadFile(m.path(".devcontainer/logs"))
	if err != nil {
		m.t.Fatal(err)
	}
	return accountIn(doc)
}

func accountIn(doc status.Document) said {
	s := said{}
	for _, r := range doc.Replicas {
		if len(r.OnlyHere) > 0 {
			s[r.Name] = r.OnlyHere
		}
	}
	return s
}

// leftBy is what the head says that a machine left.
func (w *world) leftBy(m *machine) (said, store.HeadState) {
	w.t.Helper()
	var head store.Head
	w.json(store.HeadKey(workspaceName), &head)
	s := said{}
	for _, b := range head.LeftBehind {
		for _, l := range b.Left {
			if b.Host == m.name {
				s[l.Replica] = append(s[l.Replica], l.Parts...)
			}
		}
	}
	return s, head.State
}
