package replica

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// hashMost is the largest file, in bytes, that is told from another by its content. One that
// is larger is told by its size, its times and its inode: an edit that keeps all of them is
// none that a program makes.
const hashMost = 256 << 20

// Side is one of the two versions that a conflict is about.
type Side struct {
	Kind string // nothing, file, link, directory
	Size int64  // bytes
	Text []byte // of a file of at most so many bytes as were asked for; of a link its target
	Left bool   // it is larger, and Text its begin
	Sum  string // other content, kind or rights have another one
}

// Sides are both versions.
type Sides struct {
	Now  Side // what has the name
	Kept Side // the version that is kept aside
}

// Seen stands for both, as they are.
func (s Sides) Seen() string {
	sum := sha256.Sum256([]byte(s.Now.Sum + "\n" + s.Kept.Sum))
	return hex.EncodeToString(sum[:8])
}

// SidesOf reads both versions, of each file at most so many bytes as text. Of a version that
// is not on this machine there is what the bucket says of it, and no text.
func SidesOf(root, within string, k ConflictCopy, most int64) (s Sides, err error) {
	files, err := localfs.OpenRoot(root, within, 0)
	if err != nil {
		return s, err
	}
	defer files.Close()
	if s.Now, err = sideOf(files, k.Path, most); err == nil && k.Here {
		s.Kept, err = sideOf(files, conflictsPath(k.ID), most)
	}
	if !k.Here {
		s.Kept = remoteSide(&k.Entry)
	}
	if err == nil && s.Kept.Kind == "nothing" {
		err = ErrNotKept
	}
	return s, err
}

// SideAt reads what is at a path of a tree.
func SideAt(root, path string, most int64) (Side, error) {
	files, err := localfs.OpenRoot(root, "", 0)
	if err != nil {
		return Side{}, err
	}
	defer files.Close()
	return sideOf(files, path, most)
}

func remoteSide(e *tree.Entry) Side {
	s := Side{Kind: "file", Size: e.Size, Sum: fmt.Sprintf("in the bucket: %d %o %x %q", e.Size, e.Mode, e.Sum, e.Link)}
	if e.Kind == tree.Link {
		s.Kind, s.Text = "link", []byte(e.Link)
	}
	return s
}

func sideOf(files *localfs.Root, path string, most int64) (Side, error) {
	now, err := files.Lstat(path)
	switch {
	case err != nil:
		return Side{}, err
	case now == nil:
		return Side{Kind: "nothing", Sum: "nothing"}, nil
	case now.Kind == tree.Dir:
		return Side{Kind: "directory", Sum: "directory"}, nil
	case now.Kind == tree.Link:
		return Side{Kind: "link", Text: []byte(now.Link), Size: int64(len(now.Link)), Sum: "link " + now.Link}, nil
	}
	s := Side{Kind: "file", Size: now.Size}
	sum := sha256.New()
	fmt.Fprintf(sum, "%o\n", now.Mode)
	if err := s.read(files, now, sum, most); err != nil {
		return s, err
	}
	if bytes.HasPrefix(s.Text, []byte("SQLite format 3\x00")) { // its log and its journal are of it
		for _, end := range []string{"-wal", "-journal"} {
			more := Side{}
			if beside, err := files.Lstat(path + end); err != nil || beside == nil || beside.Kind != tree.File {
				continue
			} else if err := more.read(files, beside, sum, 0); err != nil {
				return s, err
			}
		}
	}
	s.Sum = hex.EncodeToString(sum.Sum(nil))
	return s, nil
}

// beginMost is how much is read of a text that is left out: enough to tell what it is.
const beginMost = 16

// read reads a file: its begin, and what tells its content from another one.
func (s *Side) read(files *localfs.Root, now *localfs.Entry, sum hash.Hash, most int64) error {
	f, err := files.Open(now.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	var begin bytes.Buffer
	most = max(most, beginMost)
	in := io.TeeReader(f, sum)
	if now.Size > hashMost {
		fmt.Fprintf(sum, "%+v", now.Seen)
	}
	if _, err = io.CopyN(&begin, in, most); errors.Is(err, io.EOF) {
		err = nil
	}
	s.Text, s.Left = begin.Bytes(), now.Size > most
	if err == nil && now.Size <= hashMost {
		_, err = io.Copy(io.Discard, in)
	}
	return err
}

// IsText reports whether a side can be compared line by line.
func (s Side) IsText() bool { return !s.Left && bytes.IndexByte(s.Text, 0) < 0 }

// Words are a side for people.
func (s Side) Words() string {
	if s.Kind == "link" {
		return "a link to " + strings.ToValidUTF8(string(s.Text), "\uFFFD")
	}
	if s.Kind == "nothing" {
		return s.Kind
	}
	return "a " + s.Kind
}
