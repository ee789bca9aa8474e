package gitstate

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Commits are what a ref of a repository reaches more, and less, than it did.
type Commits struct {
	Ref      string
	Ahead    int      // commits that it reaches now and did not; CommitsMost: so many, or more
	Behind   int      // that it reached and does not any more
	Subjects []string // the first lines of those that it reaches now, the newest first
}

// Bounds of what is said of one repository.
const (
	CommitsMost  = 10_000
	refsMost     = 50
	subjectsMost = 10
	subjectMost  = 200 // bytes
)

// Between says of two copies of a repository, at paths, which commits the refs that differ
// reach more and less in the second one, by name; a ref that came is compared with all that
// there were. more is how many refs were left out. scratch is an empty directory of ours, for
// git, which looks at nothing that the repository configured.
func Between(ctx context.Context, before, after, scratch string) (list []Commits, more int, err error) {
	was, err := readCopy(before)
	if err != nil {
		return nil, 0, err
	}
	is, err := readCopy(after)
	if err != nil {
		return nil, 0, err
	}
	old, err := layoutOf(ctx, was.src)
	if err != nil {
		return nil, 0, err
	}
	l, err := layoutOf(ctx, is.src)
	if err != nil {
		return nil, 0, err
	}
	if l.objects != old.objects {
		return nil, 0, refused("its objects have other names than they had")
	}
	k := New(Options{Root: scratch, Stage: func() string { return scratch }})
	r, err := k.scratchGit("between.git", l.objects, was.file("objects"), is.file("objects"))
	if err != nil {
		return nil, 0, err
	}
	if shallow := slices.Concat(was.read("shallow"), is.read("shallow")); shallow != nil { // where a history ends that was not fetched whole
		if err := k.area().Write(filepath.Join(r.dir, "shallow"), shallow, 0o644); err != nil {
			return nil, 0, err
		}
	}
	refs := differing(was.commits(), is.commits())
	if n := len(refs); n > refsMost {
		refs, more = refs[:refsMost], n-refsMost
	}
	for _, ref := range refs {
		c, err := r.between(ctx, ref, was.commits(), is.commits())
		if err != nil {
			return nil, 0, err
		}
		list = append(list, c)
	}
	return list, more, nil
}

// commits are the refs that lead to objects, the commit that is checked out by none among them.
func (s *side) commits() map[string]string {
	refs := map[string]string{}
	for ref, oid := range s.refs {
		if isOID(oid) {
			refs[ref] = oid
		}
	}
	if head := s.head(""); s.branch("") == "" && isOID(head) {
		refs["HEAD"] = head
	}
	return refs
}

// differing are the names of what is not the same on both sides.
func differing(was, is map[string]string) (refs []string) {
	all := maps.Clone(was)
	maps.Copy(all, is)
	for _, ref := range slices.Sorted(maps.Keys(all)) {
		if was[ref] != is[ref] {
			refs = append(refs, ref)
		}
	}
	return refs
}

// between compares one ref.
func (r *runner) between(ctx context.Context, ref string, was, is map[string]string) (c Commits, err error) {
	c = Commits{Ref: ref}
	without := func(oid string, others map[string]string) []string {
		if oid != "" {
			return []string{"^" + oid}
		}
		var all []string
		for _, other := range slices.Sorted(maps.Values(others)) {
			all = append(all, "^"+other)
		}
		return slices.Compact(all)
	}
	if to := is[ref]; to != "" {
		if c.Ahead, err = r.count(ctx, to, without(was[ref], was)); err == nil {
			c.Subjects, err = r.subjects(ctx, to, without(was[ref], was))
		}
	}
	if from := was[ref]; from != "" && err == nil {
		c.Behind, err = r.count(ctx, from, without(is[ref], is))
	}
	return c, err
}

// count counts the commits that an object reaches without others. What names no commit reaches
// none.
func (r *runner) count(ctx context.Context, oid string, without []string) (n int, err error) {
	err = r.run(ctx, revisions(oid, without), func(line string) (err error) {
		n, err = strconv.Atoi(strings.TrimSpace(line))
		return err
	}, "rev-list", "--count", fmt.Sprintf("--max-count=%d", CommitsMost), "--ignore-missing", "--stdin")
	return n, err
}

// subjects are the first lines of those commits, the newest first.
func (r *runner) subjects(ctx context.Context, oid string, without []string) (list []string, err error) {
	err = r.run(ctx, revisions(oid, without), func(line string) error {
		if line = oneLine(line); !utf8.ValidString(line) {
			line = strings.ToValidUTF8(line, "\uFFFD")
		}
		for len(line) > subjectMost || !utf8.ValidString(line) {
			line = line[:min(len(line)-1, subjectMost)]
		}
		list = append(list, line)
		return nil
	}, "log", "--no-show-signature", "--no-decorate", "--no-notes", "--no-color", "--format=%h %s", fmt.Sprintf("--max-count=%d", subjectsMost), "--ignore-missing", "--stdin")
	return list, err
}

// revisions is what git is to read: very many names are no arguments.
func revisions(oid string, without []string) *strings.Reader {
	return strings.NewReader(oid + "\n" + strings.Join(append(without, ""), "\n"))
}
