package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ledger is a database with all that its writers noted of it, outside of what coltecd
// keeps.
type ledger struct {
	path    string // below the tree
	journal string
	read    int64 // of the journal
	begun   []liveTx
	acked   []liveTx
	hashes  map[int]string // of transactions that were acknowledged
	words   []liveWord
}

// liveTx is a transaction that was begun, or acknowledged.
type liveTx struct {
	n    int
	at   int64         // nanoseconds of the clock that all processes share
	took time.Duration // of what was acknowledged
	kind string        // first, small or big
}

// liveWord is what a verb promised: from a generation on a ledger has that
// transaction.
type liveWord struct {
	generation int64
	n          int
	text       string
}

func newLedger(path, outside string) *ledger {
	return &ledger{path: path, journal: filepath.Join(outside, path), hashes: map[int]string{}}
}

// load reads what the journal has that is new.
func (l *ledger) load() error {
	f, err := os.Open(l.journal)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nobody has written it yet
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(l.read, io.SeekStart); err != nil {
		return err
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		if !strings.HasSuffix(line, "\n") {
			break // under way
		}
		l.read += int64(len(line))
		if err := l.add(strings.Fields(line)); err != nil {
			return fmt.Errorf("journal of %s: %q: %w", l.path, line, err)
		}
	}
	return nil
}

// add notes a line of the journal: see testdata/live.py.
func (l *ledger) add(words []string) error {
	var tx liveTx
	var hash string
	line := strings.Join(words, " ")
	if _, err := fmt.Sscanf(line, "b %d %d", &tx.n, &tx.at); err == nil {
		l.begun = append(l.begun, tx)
		return nil
	}
	if _, err := fmt.Sscanf(line, "a %d %d %s %d %s", &tx.n, &tx.at, &hash, &tx.took, &tx.kind); err != nil {
		return err
	}
	l.acked = append(l.acked, tx)
	l.hashes[tx.n] = hash
	return nil
}

// by is the last of the transactions by a time; -1 for none.
func by(all []liveTx, at int64) int {
	n := -1
	for _, tx := range slices.Backward(all) {
		if tx.at <= at {
			n = max(n, tx.n)
			if tx.n < n-10 { // two writers may note theirs in another order, but not by so much
				break
			}
		}
	}
	return n
}

// floor is the last transaction that a generation has by the words that were given.
func (l *ledger) floor(generation int64) (w liveWord) {
	w.n = -1
	for _, word := range l.words {
		if word.generation <= generation && word.n > w.n {
			w = word
		}
	}
	return w
}

// verdict is what the judge says of a database.
type verdict struct {
	N     int    `json:"n"` // the last transaction; -1: none
	Hash  string `json:"h"`
	Wrong string `json:"wrong"`
}

// liveJudge is a process that opens databases.
type liveJudge struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// livePrograms are the writers and the judge.
const livePrograms = "testdata/live.py"

func newLiveJudge(t testing.TB) *liveJudge {
	t.Helper()
	j := &liveJudge{cmd: exec.Command("python3", livePrograms, "judge")}
	in, inErr := j.cmd.StdinPipe()
	out, outErr := j.cmd.StdoutPipe()
	j.cmd.Stderr = os.Stderr
	if inErr != nil || outErr != nil {
		t.Fatal(inErr, outErr)
	}
	if err := j.cmd.Start(); err != nil {
		t.Fatalf("%v (apt-get install python3)", err)
	}
	j.in, j.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		in.Close()
		_ = j.cmd.Wait()
	})
	return j
}

// of opens a database with what lies beside it.
func (j *liveJudge) of(path string) (v verdict, err error) {
	if _, err := io.WriteString(j.in, path+"\n"); err != nil {
		return v, err
	}
	line, err := j.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &v)
	}
	return v, err
}

// all judges each database at the top of a directory that nobody else uses, by its name.
// twice has Debian's sqlite3 open it first.
func (j *liveJudge) all(dir string, twice bool) (map[string]verdict, error) {
	found := map[string]verdict{}
	files, err := filepath.Glob(filepath.Join(dir, "*.db"))
	for _, file := range files {
		if err != nil {
			break
		}
		wrong := ""
		if twice {
			wrong = bySQLite(file)
		}
		var v verdict
		v, err = j.of(file)
		if v.Wrong == "" {
			v.Wrong = wrong
		}
		found[filepath.Base(file)] = v
	}
	return found, err
}

// bySQLite asks Debian's sqlite3 too.
func bySQLite(path string) string {
	out, err := exec.Command("sqlite3", "-bail", path, "PRAGMA integrity_check(3)").CombinedOutput()
	if text := strings.TrimSpace(string(out)); err != nil || text != "ok" {
		return fmt.Sprintf("sqlite3: %v: %s", err, text)
	}
	return ""
}

// judged is a generation as it was given back.
type judged struct {
	number int64
	seen   int64 // when the bucket had it
	states map[string]verdict
	shared int    // -shm files that were carried
	from   string // what was done when it was made
}

// has reports whether a ledger is sound there and has a transaction.
func (g judged) has(path string, n int) bool {
	v, ok := g.states[path]
	return ok && v.Wrong == "" && v.N >= n
}

// wrong says what is wrong with a ledger in a generation, after what it was in the one
// before: the kind of it, and the story.
func (l *ledger) wrong(g judged, before verdict, had bool) (kind, story string) {
	v, there := g.states[l.path]
	floor, begun := l.floor(g.number), by(l.begun, g.seen)
	tell := func(kind, format string, args ...any) (string, string) {
		return kind, fmt.Sprintf("%s in generation %d (%s): ", l.path, g.number, g.from) + fmt.Sprintf(format, args...)
	}
	hash, known := l.hashes[v.N]
	switch {
	case len(l.begun) == 0 || l.begun[0].at > g.seen:
		return "", "" // it is of before these writers began
	case !there && (floor.n >= 0 || had):
		return tell("missing", "it is not there; the last word was about transaction %d (%s)", floor.n, floor.text)
	case !there:
		return "", ""
	case v.Wrong != "":
		return tell("damaged", "%s", v.Wrong)
	case v.N < floor.n:
		return tell("older than the word", "it has transaction %d; the last word was about %d (%s)", v.N, floor.n, floor.text)
	case v.N > begun:
		return tell("never begun", "it has transaction %d; the last that was begun is %d", v.N, begun)
	case had && v.N < before.N:
		return tell("went back", "it has transaction %d, and the generation before had %d", v.N, before.N)
	case known && hash != v.Hash:
		return tell("another's", "transaction %d has hash %s, and %s was acknowledged", v.N, v.Hash, hash)
	}
	return "", ""
}

// figures are times of one kind.
type figures []time.Duration

// at is the value that a share of them does not exceed, in milliseconds.
func (f figures) at(share float64) float64 {
	if len(f) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(f))
	return float64(sorted[min(len(sorted)-1, int(share*float64(len(sorted))))].Microseconds()) / 1000
}

func (f figures) String() string {
	if len(f) == 0 {
		return "none"
	}
	ms := func(share float64) string { return strconv.FormatFloat(f.at(share), 'f', 1, 64) }
	return fmt.Sprintf("%d: p50 %s, p95 %s, p99 %s, longest %s ms", len(f), ms(0.5), ms(0.95), ms(0.99), ms(1))
}
