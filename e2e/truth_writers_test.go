package e2e

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/gittest"
)

// The writers of TestTruth are processes of their own: this test binary, told by
// its environment which one to be. Each makes states of files in a tree that
// coltecd keeps, and writes into a journal outside of it what it is about to make
// and what it has made, so that for each moment it is known which states were
// possible then.

// writerVariable holds the writerJob of a process that is to be a writer.
const writerVariable = "COLTEC_TEST_TRUTH_WRITER"

// writerJob says what a writer does.
type writerJob struct {
	Kind    string // a key of writers
	Tree    string // the root of the replica
	Dir     string // of the writer, below the tree
	Outside string // a directory on the same file system that nobody keeps
	Journal string
	Seed    uint64
}

// writers are the kinds of writers, and what one of them does for one step.
var writers = map[string]func(*writer){
	"append-fast": func(w *writer) { w.appendTo(0, 2, 20) },
	"append-slow": func(w *writer) { w.appendTo(slowBase, 200, 201) },
	"rewrite":     (*writer).rewrite,
	"save":        (*writer).save,
	"mmap":        (*writer).mapped,
	"git":         (*writer).git,
	"move":        (*writer).move,
	"delete":      (*writer).delete,
	"sparse":      (*writer).sparse,
	"pile":        (*writer).pile,
	"empty":       (*writer).empty,
	"churn":       (*writer).churn,
	"bulk":        (*writer).bulk,
}

// made is a line of a journal: a path is given a state, or has it now.
type made struct {
	Path string `json:"p"` // below the tree
	N    int    `json:"n"` // counts the states of the path from 1
	Form form   `json:"f"` // how content looks while it is made
	Key  string `json:"k"` // with Content it says which content that is
	What int    `json:"c"` // number of the content; 0: nothing is there
	At   int64  `json:"t"` // nanoseconds of the clock that all processes share
	Done bool   `json:"d"`
}

// clockNow is now, by the clock of all processes of this boot.
func clockNow() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

// writer is a process that makes states until it is told to end.
type writer struct {
	writerJob
	journal *os.File
	rng     *rand.Rand
	last    map[string]made // by path
	ended   chan os.Signal
	mapping []byte
}

// beWriter is the main function of a writer. It ends after TERM, with the state
// that is under way complete.
func beWriter(job string) int {
	w := &writer{last: map[string]made{}, ended: make(chan os.Signal, 1)}
	signal.Notify(w.ended, syscall.SIGTERM)
	if err := json.Unmarshal([]byte(job), &w.writerJob); err != nil {
		panic(err)
	}
	w.rng = rand.New(rand.NewPCG(w.Seed, 3))
	from := 0
	for _, m := range readJournal(w.Journal, &from) {
		w.last[m.Path] = m
	}
	var err error
	if w.journal, err = os.OpenFile(w.Journal, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
		panic(err)
	}
	insist(os.MkdirAll(w.abs(w.Dir), 0o755))
	fmt.Println("ready")
	for step := writers[w.Kind]; ; {
		step(w)
		select {
		case <-w.ended:
			return 0
		default:
		}
	}
}

// insist has the writer end with a trace: the test sees its exit code.
func insist(err error) {
	if err != nil {
		panic(err)
	}
}

// readJournal gives what a journal has from an offset on, and moves that on.
func readJournal(file string, from *int) []made {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	insist(err)
	var all []made
	for line := range strings.Lines(string(b[*from:])) {
		var m made
		if !strings.HasSuffix(line, "\n") {
			break // under way
		}
		*from += len(line)
		insist(json.Unmarshal([]byte(line), &m))
		all = append(all, m)
	}
	return all
}

func (w *writer) abs(rel string) string { return filepath.Join(w.Tree, rel) }

func (w *writer) in(name string) string { return path.Join(w.Dir, name) }

// usual are the kinds that write at once; the others are for one case each.
var usual = []string{"append-fast", "append-slow", "rewrite", "save", "mmap", "git", "move", "delete", "sparse"}

// between pauses for a random number of milliseconds, or until the end.
func (w *writer) between(least, most int) {
	select {
	case s := <-w.ended:
		w.ended <- s
	case <-time.After(time.Duration(least+w.rng.IntN(most-least)) * time.Millisecond):
	}
}

// note writes lines into the journal with one write.
func (w *writer) note(done bool, lines ...made) {
	var out []byte
	now := clockNow()
	for _, m := range lines {
		m.At, m.Done = now, done
		b, err := json.Marshal(m)
		insist(err)
		out = append(append(out, b...), '\n')
		w.last[m.Path] = m
	}
	_, err := w.journal.Write(out)
	insist(err)
}

// make makes one state of some paths, between two notes.
func (w *writer) make(do func() error, states ...made) {
	for i := range states {
		s := &states[i]
		s.N = w.last[s.Path].N + 1
		if s.Key == "" {
			s.Key = s.Path
		}
	}
	w.note(false, states...)
	insist(do())
	w.note(true, states...)
}

// opened does something with a file, which is made where it is not there.
func (w *writer) opened(rel string, flag int, do func(*os.File) error) error {
	f, err := os.OpenFile(w.abs(rel), flag|os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(do(f), f.Close())
}

// appendTo adds a line to a log that begins with some bytes.
func (w *writer) appendTo(base, least, most int) {
	name := w.in("log.jsonl")
	next := w.last[name].What + 1
	line := lineOf(name, next)
	if next == 1 {
		line = append(repeated(name, base), line...)
	}
	w.make(func() error {
		return w.opened(name, os.O_APPEND, func(f *os.File) error {
			_, err := f.Write(line)
			return err
		})
	}, made{Path: name, Form: formLines, What: next})
	w.between(least, most)
}

// rewrite writes a file over in place, block by block, or empties another one and
// writes it anew, as `>` and most programs do.
func (w *writer) rewrite() {
	if w.rng.IntN(2) == 0 {
		name := w.in("truncated.txt")
		next := w.last[name].What + 1
		w.make(func() error { return os.WriteFile(w.abs(name), wholeOf(name, next), 0o644) }, made{Path: name, Form: formTruncated, What: next})
		w.between(20, 120)
		return
	}
	name := w.in("in-place.bin")
	next := w.last[name].What + 1
	w.make(func() error {
		return w.opened(name, 0, func(f *os.File) error {
			for i := range inPlaceBlocks {
				if _, err := f.WriteAt(blockOf(name, next, i), int64(i)*blockSize); err != nil {
					return err
				}
				if w.rng.IntN(8) == 0 {
					<-time.After(time.Millisecond) // so that a reader comes in between
				}
			}
			return nil
		})
	}, made{Path: name, Form: formInPlace, What: next})
	w.between(5, 100)
}

// churn writes a file over in place without a pause: no reader ever has it in peace.
func (w *writer) churn() {
	name := w.in("churn.bin")
	next := w.last[name].What + 1
	w.make(func() error {
		return w.opened(name, 0, func(f *os.File) error {
			for i := range churnBlocks {
				if _, err := f.WriteAt(blockOf(name, next, i), int64(i)*blockSize); err != nil {
					return err
				}
			}
			return nil
		})
	}, made{Path: name, Form: formInPlace, What: next})
}

// bulk makes files of a megabyte.
func (w *writer) bulk() {
	name := w.in(fmt.Sprintf("bulk-%02d.bin", len(w.last)))
	w.make(func() error { return os.WriteFile(w.abs(name), blocksOf(name, 1, bulkBlocks), 0o644) }, made{Path: name, Form: formInPlace, What: 1})
}

// save writes beside the file and renames over it, as editors do.
func (w *writer) save() {
	name := w.in(fmt.Sprintf("doc-%d.txt", w.rng.IntN(3)))
	next := w.last[name].What + 1
	beside := name + "~"
	w.make(func() error { return os.WriteFile(w.abs(beside), wholeOf(name, next), 0o644) }, made{Path: beside, Form: formTruncated, Key: name, What: next})
	w.make(func() error { return os.Rename(w.abs(beside), w.abs(name)) },
		made{Path: beside, Form: formTruncated}, made{Path: name, Form: formWhole, What: next})
	w.between(20, 120)
}

// mapped writes by a mapping, and has each state written back before the next
// begins: a time of the file tells of the first store into a page alone.
func (w *writer) mapped() {
	name := w.in("mapped.bin")
	next := w.last[name].What + 1
	const size = mappedBlocks * blockSize
	if w.mapping == nil {
		if next == 1 {
			w.make(func() error {
				return w.opened(name, 0, func(f *os.File) error { return f.Truncate(size) })
			}, made{Path: name, Form: formMapped, What: next})
			next++
		}
		insist(w.opened(name, 0, func(f *os.File) (err error) {
			w.mapping, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			return err
		}))
	}
	w.make(func() error {
		for i := range mappedBlocks {
			into, from := w.mapping[i*blockSize:(i+1)*blockSize], blockOf(name, next, i)
			for at := 0; at < blockSize; at += 8 { // in order: a copy need not be
				*(*uint64)(unsafe.Pointer(&into[at])) = *(*uint64)(unsafe.Pointer(&from[at]))
			}
		}
		return unix.Msync(w.mapping, unix.MS_SYNC)
	}, made{Path: name, Form: formMapped, What: next})
	w.between(20, 120)
}

// git commits, and now and then does what moves refs and packs.
func (w *writer) git() {
	repo := w.in("repo")
	file := repo + "/state.txt"
	next := w.last[repo].What + 1
	run := func(args ...string) error {
		out, err := gittest.Run(w.abs(repo), args...)
		if err != nil {
			return fmt.Errorf("git %q: %w\n%s", args, err, out)
		}
		return nil
	}
	if next == 1 {
		insist(os.MkdirAll(w.abs(repo), 0o755))
		insist(run("init", "-q"))
		insist(run("config", "gc.auto", "0"))
	}
	w.make(func() error { return os.WriteFile(w.abs(file), wholeOf(file, next), 0o644) }, made{Path: file, Form: formTruncated, What: next})
	w.make(func() error {
		return errors.Join(run("add", "state.txt"), run("commit", "-q", "-m", fmt.Sprint("state ", next)))
	}, made{Path: repo, Form: formCommits, What: next})
	switch next % 9 {
	case 4:
		insist(run("branch", fmt.Sprint("at-", next)))
	case 8:
		insist(run("gc", "-q"))
	}
	w.between(30, 150)
}

// moveFiles is how many files the directory has that is moved.
const moveFiles = 6

// move moves a directory into the tree, along in it, and out of it.
func (w *writer) move() {
	first, second := w.in("come"), w.in("went")
	outside := filepath.Join(w.Outside, strings.ReplaceAll(w.Dir, "/", "-"))
	cycle := w.last[first+"/0"].What + w.last[second+"/0"].What // one of them is 0
	at := map[bool]string{w.last[first+"/0"].What > 0: first, w.last[second+"/0"].What > 0: second}[true]
	states := func(dir string, what int) (all []made) {
		for i := range moveFiles {
			all = append(all, made{Path: fmt.Sprintf("%s/%d", dir, i), Form: formWhole, Key: fmt.Sprintf("%s/%d", w.Dir, i), What: what})
		}
		return all
	}
	switch at {
	case first:
		w.make(func() error { return os.Rename(w.abs(first), w.abs(second)) }, append(states(first, 0), states(second, cycle)...)...)
	case second:
		insist(os.RemoveAll(outside)) // a writer that was killed had moved it, and it came back from the bucket
		w.make(func() error { return os.Rename(w.abs(second), outside) }, states(second, 0)...)
	default:
		cycle = w.last[first+"/0"].N + 1 // grows, whatever is there
		insist(os.RemoveAll(outside))
		insist(os.MkdirAll(outside, 0o755))
		for _, s := range states(first, cycle) {
			insist(os.WriteFile(filepath.Join(outside, path.Base(s.Path)), wholeOf(s.Key, cycle), 0o644))
		}
		w.make(func() error { return os.Rename(outside, w.abs(first)) }, states(first, cycle)...)
	}
	w.between(30, 150)
}

// delete makes small files and deletes them again, of which some are there at a
// time.
func (w *writer) delete() {
	name := w.in(fmt.Sprintf("f%02d", w.rng.IntN(24)))
	if w.last[name].What > 0 {
		w.make(func() error { return os.Remove(w.abs(name)) }, made{Path: name, Form: formTruncated})
	} else {
		what := w.last[name].N + 1
		w.make(func() error { return os.WriteFile(w.abs(name), wholeOf(name, what), 0o644) }, made{Path: name, Form: formTruncated, What: what})
	}
	w.between(10, 60)
}

// pileFiles is how many files a small tree has at most: of more than ten, all
// together, a deletion waits for a decision.
const pileFiles = 14

// pile adds files to a small tree, and goes on with them.
func (w *writer) pile() {
	name := w.in(fmt.Sprintf("f%02d", w.rng.IntN(pileFiles)))
	what := w.last[name].N + 1
	w.make(func() error { return os.WriteFile(w.abs(name), wholeOf(name, what), 0o644) }, made{Path: name, Form: formTruncated, What: what})
	w.between(10, 80)
}

// empty deletes all that is in a small tree.
func (w *writer) empty() {
	for name, m := range w.last {
		if m.What > 0 {
			w.make(func() error { return os.Remove(w.abs(name)) }, made{Path: name, Form: formTruncated})
		}
	}
	w.between(1000, 1001)
}

// sparse writes a block somewhere into a file that is mostly holes.
func (w *writer) sparse() {
	name := w.in("sparse.img")
	next := w.last[name].What + 1
	w.make(func() error {
		return w.opened(name, 0, func(f *os.File) error {
			if next == 1 {
				return f.Truncate(sparseBlocks * blockSize)
			}
			_, err := f.WriteAt(blockOf(name, next, sparseAt(next)), int64(sparseAt(next))*blockSize)
			return err
		})
	}, made{Path: name, Form: formSparse, What: next})
	w.between(50, 200)
}

// form is how a file looks in a state, and while it is given one.
type form string

// The forms.
const (
	formLines     form = "lines"     // a prefix that grows
	formTruncated form = "truncated" // emptied first, then a prefix
	formWhole     form = "whole"     // all at once
	formInPlace   form = "in place"  // the new one up to some byte, and the one before from there on
	formMapped    form = "mapped"    // the same; the first one is empty
	formSparse    form = "sparse"    // one block in place; the first one is empty
	formCommits   form = "commits"   // a repository
)

// The sizes of contents.
const (
	blockSize     = 4096
	inPlaceBlocks = 24
	mappedBlocks  = 4
	sparseBlocks  = 512
	churnBlocks   = 1024
	bulkBlocks    = 256
)

// blockOf is a block that says whose it is, of which content, and where.
func blockOf(key string, what, index int) []byte {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d/%d", key, what, index)
	rng := rand.New(rand.NewPCG(h.Sum64(), 4))
	b := make([]byte, 0, blockSize+8)
	b = fmt.Appendf(b, "%-40.40s %09d %05d\n", key[max(0, len(key)-40):], what, index)
	for len(b) < blockSize {
		b = binary.LittleEndian.AppendUint64(b, rng.Uint64())
	}
	return b[:blockSize]
}

// wholeOf is a content of a size of its own.
func wholeOf(key string, what int) []byte {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s:%d", key, what)
	size := 200 + int(h.Sum64()%(5*blockSize))
	var b []byte
	for i := 0; len(b) < size; i++ {
		b = append(b, blockOf(key, what, i)...)
	}
	return b[:size]
}

// lineOf is a line of a log.
func lineOf(key string, n int) []byte {
	b := blockOf(key, n, 0)
	return fmt.Appendf(nil, `{"n":%d,"text":"%x"}`+"\n", n, b[100:100+n%97])
}

// repeated are bytes that a log begins with.
func repeated(key string, size int) []byte {
	var b []byte
	for i := 0; len(b) < size; i++ {
		b = append(b, blockOf(key, 0, i)...)
	}
	return b[:size]
}

// sparseAt is where a content of a sparse file has its newest block.
func sparseAt(what int) int {
	return int(rand.New(rand.NewPCG(uint64(what), 5)).Uint64() % sparseBlocks)
}
