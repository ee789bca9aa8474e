package gitstate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/coltec/coltec/pkg/hint"
)

// wrongMost is how much is said of one repository.
const wrongMost = 5

// Fsck says in words what is wrong with the copy of a repository at a path, as git fsck finds
// it: objects that are damaged, or missing and needed, and what was missing already when the
// copy was made. scratch is an empty directory of ours, for git. An error means that nothing
// is known.
func Fsck(ctx context.Context, copy, scratch string) (wrong []string, err error) {
	if _, err := readMark(copy); err != nil {
		return []string{oneLine(err.Error())}, nil
	}
	s, err := readCopy(copy)
	if err != nil {
		return []string{oneLine(err.Error())}, nil
	}
	l, err := layoutOf(ctx, s.src)
	if err != nil {
		return []string{oneLine(err.Error())}, nil
	}
	if missing := readMissing(copy); len(missing) > 0 {
		wrong = append(wrong, hint.Count(len(missing), "object was missing or damaged when it was saved", "objects were missing or damaged when it was saved"))
	}
	for _, ref := range s.damaged {
		wrong = append(wrong, fmt.Sprintf("the ref %s leads to nothing", ref))
	}
	found, err := s.fsck(ctx, l.objects, scratch)
	wrong = append(wrong, found...)
	if n := len(wrong) - wrongMost; n > 0 {
		wrong = append(wrong[:wrongMost], fmt.Sprintf("and %d more", n))
	}
	return wrong, err
}

// fsck has git look at the objects of a copy, and at what its refs and its index reach.
func (s *side) fsck(ctx context.Context, format, scratch string) (found []string, err error) {
	k := New(Options{Root: scratch, Stage: func() string { return scratch }})
	r, err := k.scratchGit("fsck.git", format, s.file("objects"))
	if err != nil {
		return nil, err
	}
	refs := map[string]string{}
	for ref, oid := range s.refs {
		if isOID(oid) {
			refs[ref] = oid
		}
	}
	packed, _ := s.src.packedRefs() // what cannot be read names nothing
	for name, oid := range map[string]string{"HEAD": s.head(""), "stash": s.src.ref(stashRef, packedIn(packed))} {
		if isOID(oid) {
			refs["refs/coltec/"+name] = oid
		}
	}
	err = k.area().Write(filepath.Join(r.dir, "packed-refs"), packedRefs(refs), 0o644)
	if shallow := s.read("shallow"); shallow != nil {
		err = errors.Join(err, k.area().Write(filepath.Join(r.dir, "shallow"), shallow, 0o644))
	}
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(s.file("index")); err == nil {
		r.index = s.file("index")
	}
	var said, errs findings
	r.heard = errs.add
	err = r.run(ctx, nil, func(line string) error { said.add(line); return nil }, "fsck", "--full", "--no-dangling", "--no-reflogs", "--no-progress")
	for _, line := range slices.Concat(errs.wrong, said.wrong) {
		found = append(found, strings.ReplaceAll(line, oneLine(s.file("."))+"/", ""))
	}
	var exit *exec.ExitError
	switch {
	case !errors.As(err, &exit):
		return found, err
	case exit.ExitCode() < 0: // something else ended it
		return nil, err
	case len(found) == 0 && errs.odd+said.odd == 0:
		found = []string{oneLine(err.Error())}
	}
	return found, nil
}

// findings are the lines of git fsck, sorted.
type findings struct {
	wrong []string
	odd   int
}

func (f *findings) add(line string) {
	line = oneLine(line)
	switch {
	case line == "", aside().MatchString(line):
	case oddly().MatchString(line):
		f.odd++
	case !slices.Contains(f.wrong, line):
		f.wrong = append(f.wrong, line)
	}
}

// oddly is what git fsck says of objects that were written otherwise than git does, and that
// are as they were written; aside is what it says beside that, and what goes on from the line
// before.
var (
	oddly = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(error|warning) in (tree|commit|tag|blob) [0-9a-f]+: `)
	})
	aside = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(notice|warning): |^to (tree|commit|tag|blob) `) })
)
