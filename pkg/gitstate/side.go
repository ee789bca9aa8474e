package gitstate

import (
	"crypto/sha256"
	"io"
	"os"
	"strings"
)

// side is a repository as one of three sides of a merge.
type side struct {
	src     source
	files   listing
	refs    map[string]string // without the stash, whose log is what counts
	damaged []string          // refs that lead to nothing
}

func readSide(src source, l listing) (*side, error) {
	refs, damaged, err := readRefs(src, l)
	if err != nil {
		return nil, err
	}
	delete(refs, stashRef)
	return &side{src, l, refs, damaged}, nil
}

// readCopy reads a shadow as a side.
func readCopy(dir string) (*side, error) {
	l, err := list(dir)
	if err != nil {
		return nil, err
	}
	return readSide(source{dir: dir}, l)
}

// file gives the path of a file of the side.
func (s *side) file(path string) string { return s.src.file(path) }

// format is that of the side's objects, as the names in it tell.
func (s *side) format() string {
	if len(s.head("")) == 64 {
		return "sha256"
	}
	for _, oid := range s.refs {
		if len(oid) == 64 && isOID(oid) {
			return "sha256"
		}
	}
	return "sha1"
}

// read gives the content of a file of the side; nil when there is none. A link
// is its target, and of what is not text of git's there is the hash.
func (s *side) read(path string) []byte {
	if s == nil {
		return nil
	}
	if f := s.files.find(path); f != nil && f.link {
		target, _ := os.Readlink(s.file(path))
		return []byte("-> " + target)
	}
	f, err := s.src.open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, textMost+1))
	if err != nil {
		return nil
	}
	if len(body) <= textMost {
		return body
	}
	sum := sha256.New()
	sum.Write(body)
	if _, err := io.Copy(sum, f); err != nil {
		return nil
	}
	return sum.Sum(nil)
}

// head is the commit that is checked out, "" for none.
func (s *side) head(tree string) string {
	value := strings.TrimSpace(string(s.read(tree + "HEAD")))
	if ref, ok := strings.CutPrefix(value, "ref: "); ok {
		return s.refs[ref]
	}
	return value
}

// branch is the ref that is checked out, "" for none.
func (s *side) branch(tree string) string {
	ref, ok := strings.CutPrefix(strings.TrimSpace(string(s.read(tree+"HEAD"))), "ref: ")
	if !ok {
		return ""
	}
	return ref
}
