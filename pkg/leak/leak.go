// Package leak finds what looks like a secret in a stream: tokens by the words that their
// issuers begin them with, and private keys. It tells where and of what kind, and never
// hands on what it found. A password, or a token without such a beginning, is not found.
package leak

import (
	"bytes"
	"errors"
	"io"
	"slices"
)

// Find is one place that looks like a secret.
type Find struct {
	Line int    `json:"line"` // from 1; 0: what it is in has no lines, as a database
	Kind string `json:"kind"` // whose it looks like
}

const (
	block = 256 << 10 // bytes that are read at once
	// reach is how far a rule looks from where it begins, in bytes: more than any needs.
	reach = 1 << 10
	// most is how many places of one stream are told.
	most = 20
)

// In finds what looks like a secret in what r has, each kind once a line, and no more than 20
// of them. The error is r's; what was found before it is given too.
func In(r io.Reader) (found []Find, err error) {
	s := scanner{line: 1}
	buf := make([]byte, 0, block+2*reach)
	for err == nil && len(s.found) < most {
		n := 0
		n, err = io.ReadFull(r, buf[len(buf):len(buf)+block])
		buf = buf[:len(buf)+n]
		upTo := max(len(buf)-reach, 0)
		if err != nil {
			upTo = len(buf)
		}
		s.binary = s.binary || bytes.IndexByte(buf, 0) >= 0
		s.look(buf, upTo)
		// What is before the next beginning decides whether it is one: some is kept.
		done := max(upTo-before, 0)
		s.line += bytes.Count(buf[:done], newline)
		s.from = upTo - done
		buf = append(buf[:0], buf[done:]...)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return s.found, err
}

// before is how many bytes before a beginning are looked at.
const before = 2

var newline = []byte{'\n'}

// scanner holds what was found of a stream.
type scanner struct {
	line   int  // that the buffer begins in
	from   int  // where in the buffer a beginning has not been looked for
	binary bool // it has no lines
	found  []Find
}

// look tries each rule at its beginnings in b between s.from and upTo.
func (s *scanner) look(b []byte, upTo int) {
	var here []Find
	for _, r := range rules {
		for at := s.from; at < upTo; {
			i := bytes.Index(b[at:], []byte(r.begins))
			if i < 0 || at+i >= upTo {
				break
			}
			at += i
			if begins(b, at) && r.fits(b[at+len(r.begins):]) {
				f := Find{s.line + bytes.Count(b[:at], newline), r.kind}
				if s.binary {
					f.Line = 0
				}
				here = append(here, f)
			}
			at += len(r.begins)
		}
	}
	slices.SortStableFunc(here, func(a, b Find) int { return a.Line - b.Line })
	for _, f := range here {
		if len(s.found) < most && !slices.Contains(s.found, f) {
			s.found = append(s.found, f)
		}
	}
}

// begins reports whether a word begins at a place. In JSON a newline before it is \n, whose n
// is no letter of the word.
func begins(b []byte, at int) bool {
	if at == 0 || !isWord(b[at-1]) {
		return true
	}
	return at > 1 && b[at-2] == '\\' && bytes.IndexByte([]byte("nrtbf"), b[at-1]) >= 0
}

func isWord(c byte) bool { return isAlnum(c) || c == '_' || c == '-' }

func isAlnum(c byte) bool { return isUpper(c) || c >= 'a' && c <= 'z' }

// isUpper reports whether a byte is a capital letter or a digit.
func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' }
