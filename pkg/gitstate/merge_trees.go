package gitstate

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// treeState says what a working tree of a side is, so that equal states are
// equal; nil when the side has none.
func (j *joining) treeState(ctx context.Context, s *side, tree string) ([]byte, error) {
	if s == nil {
		return nil, nil
	}
	var state []byte
	for i := range s.files.items {
		path := s.files.items[i].path
		if !ofTree(tree, path) || fleeting(path) {
			continue
		}
		body := s.read(path)
		if path == tree+"index" {
			listed, err := j.staged(ctx, s, path)
			if err != nil {
				return nil, err
			}
			body = listed
		}
		state = fmt.Appendf(state, "%s %d\n%s\n", path, len(body), body)
	}
	if state == nil {
		return nil, nil
	}
	return fmt.Appendf(state, "%s\n", s.head(tree)), nil
}

// staged lists what an index has, without what it knows of the files' times.
func (j *joining) staged(ctx context.Context, s *side, path string) ([]byte, error) {
	var out []byte
	r, err := j.reading(s, path)
	if err != nil {
		return nil, err
	}
	err = r.run(ctx, nil, func(line string) error {
		out = append(append(out, line...), 0)
		return nil
	}, "ls-files", "--stage", "-v", "--full-name", "-z")
	return out, err
}

// takesTree says whether a working tree becomes the remote side's.
func (j *joining) takesTree(ctx context.Context, tree string) (word, error) {
	var states [3][]byte
	for i, s := range []*side{j.base, j.local, j.remote} {
		var err error
		if states[i], err = j.treeState(ctx, s, tree); err != nil {
			return ours, err
		}
	}
	word := j.decided(states[0], states[1], states[2])
	if word != both || j.base == nil || j.local.branch(tree) != j.remote.branch(tree) {
		return word, nil
	}
	// What was joined before, in a run that was cut off, may have gone on.
	mine, theirs := j.local.head(tree), j.remote.head(tree)
	if isOID(mine) && isOID(theirs) && mine != theirs {
		ahead, err := j.ancestor(ctx, theirs, mine)
		if err != nil || ahead {
			return ours, err
		}
	}
	return word, nil
}

// keepTree keeps what the local side of a working tree has that the remote one
// would hide: the commit that was checked out, and what was staged.
func (j *joining) keepTree(ctx context.Context, tree string) error {
	if j.local.read(tree+"HEAD") == nil {
		return nil
	}
	name := "HEAD"
	if tree != "" {
		name = "worktrees/" + filepath.Base(tree) + "/HEAD"
	}
	head := j.local.head(tree)
	if isOID(head) {
		if err := j.keep(ctx, name, head); err != nil {
			return err
		}
	}
	if j.local.read(tree+"index") == nil {
		return nil
	}
	mine, err := j.staged(ctx, j.local, tree+"index")
	if err != nil {
		return err
	}
	if j.remote.read(tree+"index") != nil {
		theirs, err := j.staged(ctx, j.remote, tree+"index")
		if err != nil || bytes.Equal(mine, theirs) {
			return err
		}
	}
	if j.base != nil && j.base.read(tree+"index") != nil {
		before, err := j.staged(ctx, j.base, tree+"index")
		if err != nil || bytes.Equal(mine, before) {
			return err
		}
	}
	return j.keepIndex(ctx, tree, name, head)
}

// keepIndex keeps what is staged as a commit of its own.
func (j *joining) keepIndex(ctx context.Context, tree, name, head string) error {
	r, err := j.reading(j.local, tree+"index")
	if err != nil {
		return err
	}
	copied := filepath.Join(r.dir, "index")
	if err := j.local.src.copy(j.k.area(), tree+"index", copied); err != nil {
		return err
	}
	r.index, r.env = copied, []string{
		"GIT_AUTHOR_NAME=coltecd", "GIT_AUTHOR_EMAIL=coltecd@localhost", "GIT_COMMITTER_NAME=coltecd", "GIT_COMMITTER_EMAIL=coltecd@localhost",
	}
	var written, before string
	first := func(into *string) func(string) error { return func(line string) error { *into = line; return nil } }
	if err := r.run(ctx, nil, first(&written), "write-tree"); err != nil {
		return nil // with unmerged paths an index is not a tree; its files are in the working tree
	}
	args := []string{"commit-tree", "-m", "what was staged", written}
	if isOID(head) {
		if err := r.run(ctx, nil, first(&before), "rev-parse", head+"^{tree}"); err != nil {
			return err
		}
		args = append(args, "-p", head)
	}
	if written == before {
		return nil
	}
	var commit string
	if err := r.run(ctx, nil, first(&commit), args...); err != nil {
		return err
	}
	if err := lodge(r.dir, j.local.src); err != nil {
		return err
	}
	return j.keep(ctx, strings.TrimSuffix(name, "HEAD")+"index", commit)
}

// writeTree makes a working tree's state the remote side's: the index before
// HEAD, so that a cut shows changes and hides none.
func (j *joining) writeTree(tree string) error {
	paths := map[string]bool{}
	for _, s := range []*side{j.local, j.remote} {
		for i := range s.files.items {
			if path := s.files.items[i].path; ofTree(tree, path) {
				paths[path] = true
			}
		}
	}
	head := tree + "HEAD"
	for _, path := range append(slices.DeleteFunc(slices.Sorted(maps.Keys(paths)), func(p string) bool { return p == head }), head) {
		if path != head && bytes.Equal(j.local.read(path), j.remote.read(path)) && j.local.files.find(path) != nil && j.remote.files.find(path) != nil {
			continue
		}
		if err := j.bring(path); err != nil {
			return err
		}
	}
	return nil
}
