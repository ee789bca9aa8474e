package rclone

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
)

// counters is the part of rclone's statistics that we use.
type counters struct {
	Bytes      int64    `json:"bytes"`
	TotalBytes int64    `json:"totalBytes"`
	Transfers  int      `json:"transfers"`
	Deletes    int      `json:"deletes"`
	Renames    int      `json:"renames"`
	Copies     int      `json:"serverSideCopies"`
	Copied     int64    `json:"serverSideCopyBytes"`
	Moves      int      `json:"serverSideMoves"`
	ETA        *float64 `json:"eta"`
	Elapsed    float64  `json:"elapsedTime"`

	arrived string // the object that a line tells of; "" in statistics
}

// line is a line of rclone's JSON log.
type line struct {
	Level  string    `json:"level"`
	Msg    string    `json:"msg"`
	Object string    `json:"object"`
	Stats  *counters `json:"stats"`
}

// The bounds of what is kept of a log: a broken rclone must not fill our memory.
const (
	maxLine     = 256 << 10
	maxFailures = 10_000
)

// failure is an error line about one object.
type failure struct {
	object string
	class  Class
	msg    string
}

// journal reads rclone's log as it is written. Only exec's copying goroutine
// writes it, and it is read after Wait.
type journal struct {
	onStats func(counters)
	answers answers

	part     []byte    // the beginning of a line
	stats    counters  // the last seen
	failures []failure // by object
	errors   []string  // error lines about no object
	plain    string    // the last line that was no JSON
}

// Write never fails: an error would end rclone by a broken pipe.
func (l *journal) Write(b []byte) (int, error) {
	n := len(b)
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			break
		}
		l.line(append(l.part, b[:i]...))
		l.part, b = l.part[:0], b[i+1:]
	}
	if len(l.part)+len(b) <= maxLine {
		l.part = append(l.part, b...)
	}
	return n, nil
}

// end takes a last line without its newline.
func (l *journal) end() {
	if len(l.part) > 0 {
		l.line(l.part)
		l.part = nil
	}
}

// line takes one line.
func (l *journal) line(b []byte) {
	var entry line
	if json.Unmarshal(b, &entry) != nil || entry.Level == "" {
		// What is logged before rclone knows that its log is JSON: where options come from.
		if text := strings.TrimSpace(string(b)); text != "" && !strings.Contains(text, " DEBUG : ") {
			l.plain = text
		}
		return
	}
	switch {
	case entry.Stats != nil:
		l.stats = *entry.Stats
		if l.onStats != nil {
			l.onStats(l.stats)
		}
	case entry.Level == "debug":
		if entry.Object == sdkObject {
			l.answers.take(entry.Msg)
		}
	case entry.Level == "info" && strings.Contains(entry.Msg, "Copied ("):
		if l.onStats != nil {
			now := l.stats
			now.arrived = decodeKey(entry.Object)
			l.onStats(now)
		}
	case entry.Level == "error" && entry.Object != "":
		if len(l.failures) < maxFailures {
			l.failures = append(l.failures, failure{decodeKey(entry.Object), classify(entry.Msg, 0), entry.Msg})
		}
	case entry.Level == "error", entry.Level == "critical", strings.HasPrefix(entry.Msg, "Failed to "):
		if len(l.errors) < maxFailures {
			l.errors = append(l.errors, entry.Msg)
		}
	}
}

// cause is the line that says best what went wrong: that of an object whose
// class is the gravest, else the last error, else the last words at all.
func (l *journal) cause() string {
	for _, f := range l.failures {
		// A missing object among unreachable ones is the lesser news.
		if f.class != NotFound && f.class != Unclassified {
			return f.msg
		}
	}
	if len(l.failures) > 0 {
		return l.failures[0].msg
	}
	if len(l.errors) > 0 {
		return l.errors[len(l.errors)-1]
	}
	return l.plain
}

// keysOf returns the objects that failed in one way, each once.
func (l *journal) keysOf(class Class) []string {
	var keys []string
	seen := map[string]bool{}
	for _, f := range l.failures {
		if f.class == class && !seen[f.object] {
			seen[f.object] = true
			keys = append(keys, f.object)
		}
	}
	return keys
}

// maxText bounds an error's text: it goes into one line of a status.
const maxText = 600

// tidy makes one short, printable line of rclone's words.
func tidy(msg string) string {
	msg = strings.ReplaceAll(noise().ReplaceAllString(msg, ""), ", , ", ", ")
	msg = strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) || unicode.IsSpace(c) {
			return c
		}
		return -1
	}, msg)), " ")
	if len(msg) > maxText {
		msg = strings.ToValidUTF8(msg[:maxText], "") + "…"
	}
	return msg
}
