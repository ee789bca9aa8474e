// Package logfile is where the output of units goes: a sink per unit that stamps
// each line, splits over-long ones, hides secrets, rotates by size and age, and
// never refuses output; and the reader behind `logs` and `logs -f`. The daemon and
// the command line may import it; it knows names of logs, not units.
package logfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/secret"
)

// Format of the lines.
type Format string

// The formats: `2025-01-01T00:00:00.000Z text`, or one JSON object a line with
// time, unit, line and, for what continues a split line, cont. coltecd's own log has
// level, msg and its fields in place of line.
const (
	Text Format = "text"
	JSON Format = "json"
)

// Defaults of Options.
const (
	DefaultMaxLine    = 16 << 10 // a page of a terminal many times over; what is longer is data
	DefaultMaxSizeMB  = 10
	DefaultMaxBackups = 5
	DefaultMaxAgeDays = 14
)

// continued marks the rest of a line that was split.
const continued = "[+] "

// stampLayout is RFC 3339 with milliseconds, always as long, so that it sorts.
const stampLayout = "2006-01-02T15:04:05.000Z07:00"

// Options of a directory of logs. Zero values mean the defaults.
type Options struct {
	Dir        string
	Within     string // a folder that others may write: no link below it leads to Dir
	MaxSizeMB  int    // of one file, before it is rotated
	MaxBackups int    // rotated files kept; negative: all
	MaxAgeDays int    // rotated files older than this are removed; negative: none
	Compress   bool   // rotated files are gzipped
	Format     Format
	MaxLine    int              // longer lines are split
	Redactor   *secret.Redactor // nil hides nothing
}

// Logs is a directory of logs.
type Logs struct {
	opts  Options
	mu    sync.Mutex
	files map[string]*file // by name
	lost  int
	err   error
}

// New returns the directory that o describes. Nothing is made before the first
// line.
func New(o Options) *Logs {
	for p, def := range map[*int]int{&o.MaxSizeMB: DefaultMaxSizeMB, &o.MaxBackups: DefaultMaxBackups, &o.MaxAgeDays: DefaultMaxAgeDays, &o.MaxLine: DefaultMaxLine} {
		if *p == 0 {
			*p = def
		}
	}
	// Half of a file at most: lumberjack refuses a write that is larger than a file.
	o.MaxLine = min(o.MaxLine, o.MaxSizeMB<<20/2)
	return &Logs{opts: o, files: map[string]*file{}}
}

// Path of the log called name.
func (l *Logs) Path(name string) string { return l.opts.path(name) }

func (o *Options) path(name string) string { return filepath.Join(o.Dir, name+extension) }

// Sink opens the log called name.
func (l *Logs) Sink(name string) *Sink {
	return &Sink{name: name, opts: l.opts, file: l.file(name), lose: l.lose, clear: secret.Stream{Redactor: l.opts.Redactor}}
}

// Bare opens the log called name for a writer whose lines have stamps of their own:
// they are kept as they come. None is split but one that the file has no room for.
func (l *Logs) Bare(name string) *Sink {
	s := l.Sink(name)
	s.bare, s.opts.MaxLine = true, s.opts.MaxSizeMB<<20/2
	return s
}

// Stamp writes a time as lines have it.
func Stamp(t time.Time) string { return t.UTC().Format(stampLayout) }

// lose counts lines that a sink could not write.
func (l *Logs) lose(lines int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost += lines
	l.err = err
}

// Lost is how many lines all sinks could not write so far, and why the last of
// them: a person should hear of it.
func (l *Logs) Lost() (lines int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost, l.err
}

// file is the rotating file of name: one, whoever writes it.
func (l *Logs) file(name string) *file {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.files[name] == nil {
		l.files[name] = &file{opts: &l.opts, name: name}
	}
	return l.files[name]
}

// Sink turns the output of one unit into lines of its log. It is an
// io.WriteCloser that never fails: what cannot be written is counted.
type Sink struct {
	name string
	opts Options
	bare bool // lines have stamps of their own
	file io.WriteCloser
	lose func(lines int, err error) // reports to the Logs

	mu      sync.Mutex    // guards what follows: a restarted child may overlap the drain of the last one
	clear   secret.Stream // takes what comes, and gives it without secrets
	partial []byte        // the line that is not finished
	stamp   []byte        // of the lines that are put together
	cut     bool          // the line was split: partial continues it
	dropped int
	err     error
}

// scratch is where lines are put together. Shared, so that an idle sink holds no
// buffer: most are idle.
var scratch = sync.Pool{New: func() any { b := make([]byte, 0, storeAt+storeAt/2); return &b }}

// storeAt is when lines go to the file: far below its size, and enough for a write
// to cost little beside what it writes.
const storeAt = 64 << 10

// Write takes output as it comes, cut anywhere. It always succeeds. Its lines get
// one stamp: they came at once.
func (s *Sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take(s.clear.Next(p))
	return len(p), nil
}

// take writes the lines of a text.
func (s *Sink) take(text []byte) {
	s.stamp = stamped(s.stamp)
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	out := (*buf)[:0]
	for rest := text; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte{'\n'})
		rest = after
		if whole && len(s.partial) == 0 && len(line) <= s.opts.MaxLine && !s.cut {
			out = s.line(out, bytes.TrimSuffix(line, []byte{'\r'})) // the usual case copies nothing
			continue
		}
		s.partial = append(s.partial, line...)
		out = s.split(out)
		if whole {
			out = s.finish(out, s.partial)
			s.partial = s.partial[:0]
		}
	}
	if len(s.partial) == 0 {
		s.partial = nil // an idle sink holds no buffer
	}
	s.store(out)
	*buf = out
}

// stamped is the time of now, in the place of the last stamp.
func stamped(old []byte) []byte { return time.Now().UTC().AppendFormat(old[:0], stampLayout) }

// split moves what is too long from partial to out.
func (s *Sink) split(out []byte) []byte {
	rest := s.partial
	for len(rest) > s.opts.MaxLine {
		out = s.line(out, rest[:s.opts.MaxLine])
		rest, s.cut = rest[s.opts.MaxLine:], true
	}
	s.partial = append(s.partial[:0], rest...)
	return out
}

// finish ends a line.
func (s *Sink) finish(out, line []byte) []byte {
	out = s.line(out, bytes.TrimSuffix(line, []byte{'\r'}))
	s.cut = false
	return out
}

// line appends one line in its format.
func (s *Sink) line(out, line []byte) []byte {
	switch {
	case s.bare:
		out = append(out, line...)
	case s.opts.Format == JSON:
		out = s.jsonLine(out, line)
	default:
		out = append(out, s.stamp...)
		out = append(out, ' ')
		if s.cut {
			out = append(out, continued...)
		}
		out = append(out, line...)
	}
	return s.storeFull(append(out, '\n'))
}

func (s *Sink) jsonLine(out, line []byte) []byte {
	entry, err := json.Marshal(struct {
		Time string `json:"time"`
		Unit string `json:"unit"`
		Line string `json:"line"`
		Cont bool   `json:"cont,omitempty"`
	}{string(s.stamp), s.name, string(line), s.cut})
	if err != nil { // strings and a bool cannot fail
		return append(out, `{"line":"internal error"}`...)
	}
	return append(out, entry...)
}

// storeFull writes out as soon as it is large, whole lines at a time.
func (s *Sink) storeFull(out []byte) []byte {
	if len(out) < storeAt {
		return out
	}
	s.store(out)
	return out[:0]
}

// store writes lines to the file.
func (s *Sink) store(lines []byte) {
	if len(lines) == 0 {
		return
	}
	n, err := s.file.Write(lines)
	if err != nil {
		lost := bytes.Count(lines[n:], []byte{'\n'})
		s.dropped += lost
		s.err = err
		s.lose(lost, err)
	}
}

// Keeps reports whether some of what was written is in memory alone: a line that has not
// ended, or what may be the beginning of a secret.
func (s *Sink) Keeps() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.partial) > 0 || s.clear.Keeps()
}

// Dropped is how many lines could not be written.
func (s *Sink) Dropped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// LastError is why the last of them could not.
func (s *Sink) LastError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Flush ends an unfinished line: the child that began it has gone.
func (s *Sink) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rest := s.clear.Flush(); len(rest) > 0 {
		s.take(rest)
	}
	if len(s.partial) > 0 {
		s.stamp = stamped(s.stamp)
		s.store(s.finish(nil, s.partial))
		s.partial = nil
	}
}

// Close flushes and closes the file. A sink that is written to afterwards opens it
// again: the last words of a child that would not die.
func (s *Sink) Close() error {
	s.Flush()
	return s.file.Close()
}

// Read writes the last lines of the log at path to w; lines < 0 means all of the
// current file, but no more than its last 16 MiB. A log that does not exist yet is empty.
func Read(path string, lines int, w io.Writer) error {
	f, err := open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := seekLines(f, lines); err != nil {
		return err
	}
	_, err = io.Copy(w, io.LimitReader(f, readMost))
	return err
}

// readMost is what a reader may hold in memory: more than a file has at most by default.
const readMost = 16 << 20

// open opens a log to read. What is none is an error, and not waited for.
func open(path string) (*os.File, error) {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return anchor.OpenFile(dir, filepath.Base(path), os.O_RDONLY, 0)
}
