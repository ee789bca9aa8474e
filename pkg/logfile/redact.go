package logfile

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
)

// mask stands for a secret. Its length says nothing about the value's.
const mask = "********"

// MinSecret is the length from which values are redacted. Shorter ones ("1", "on",
// "dev") are in half of all lines and protect nothing.
const MinSecret = 4

// Redactor replaces known secret values. The zero value knows none. Many sinks
// share one; Set may be called at any time.
type Redactor struct {
	values atomic.Pointer[[][]byte]
}

// Set replaces the values to hide. A value of several lines counts line by line,
// and as it reads in JSON and in a URL too. Lines shorter than MinSecret are left
// out.
func (r *Redactor) Set(values []string) {
	var all [][]byte
	for _, v := range values {
		for _, line := range strings.Split(v, "\n") {
			line = strings.TrimSuffix(line, "\r")
			if len(line) < MinSecret {
				continue
			}
			for _, form := range []string{line, inJSON(line), url.QueryEscape(line), url.PathEscape(line)} {
				all = append(all, []byte(form))
			}
		}
	}
	slices.SortFunc(all, bytes.Compare)
	all = slices.CompactFunc(all, bytes.Equal)
	r.values.Store(&all)
}

func inJSON(s string) string {
	quoted, err := json.Marshal(s)
	if err != nil {
		return s
	}
	return string(quoted[1 : len(quoted)-1])
}

// known returns the values; nil for a nil or zero Redactor.
func (r *Redactor) known() [][]byte {
	if r == nil {
		return nil
	}
	if p := r.values.Load(); p != nil {
		return *p
	}
	return nil
}

// longest is the length of the longest value.
func (r *Redactor) longest() (n int) {
	for _, v := range r.known() {
		n = max(n, len(v))
	}
	return n
}

// within says whether any known value is in text.
func (r *Redactor) within(text []byte) bool {
	return slices.ContainsFunc(r.known(), func(v []byte) bool { return bytes.Contains(text, v) })
}

// Redact returns line with each known value masked; line itself if there is
// none. Values that overlap are masked as one, so that no rest of one is left.
func (r *Redactor) Redact(line []byte) []byte {
	spans := r.spans(line)
	if len(spans) == 0 {
		return line
	}
	out := make([]byte, 0, len(line)+len(mask))
	end := 0
	for _, s := range spans {
		out = append(out, line[end:s[0]]...)
		out = append(out, mask...)
		end = s[1]
	}
	return append(out, line[end:]...)
}

// spans are the places of all values in line, merged where they overlap.
func (r *Redactor) spans(line []byte) (merged [][2]int) {
	var found [][2]int
	for _, v := range r.known() {
		for from := 0; ; from++ {
			i := bytes.Index(line[from:], v)
			if i < 0 {
				break
			}
			from += i
			found = append(found, [2]int{from, from + len(v)})
		}
	}
	slices.SortFunc(found, func(a, b [2]int) int { return a[0] - b[0] })
	for _, s := range found {
		if n := len(merged); n > 0 && s[0] < merged[n-1][1] {
			merged[n-1][1] = max(merged[n-1][1], s[1])
			continue
		}
		merged = append(merged, s)
	}
	return merged
}
