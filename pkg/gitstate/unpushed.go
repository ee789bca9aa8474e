package gitstate

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Unpushed counts what a repository has that no remote of it has, as far as its
// last fetch and push tell. It is quick when nothing moved since it was asked
// last.
func (k *Keeper) Unpushed(ctx context.Context, dir string) (Unpushed, error) {
	src, err := k.source(dir)
	if err == nil {
		err = src.check()
	}
	if err != nil {
		return Unpushed{}, err
	}
	now, err := src.list()
	if err == nil {
		err = now.usable()
	}
	if err != nil {
		return Unpushed{}, err
	}
	if was, ok := k.counted[dir]; ok && was.same(now) {
		return k.counts[dir], nil
	}
	s, err := readSide(src, now)
	if err != nil {
		return Unpushed{}, err
	}
	u := Unpushed{Stashes: len(entries(s.read(stashLog)))}
	if u.Commits, err = k.commits(ctx, s); err != nil {
		return u, err
	}
	k.counted[dir], k.counts[dir] = now, u
	return u, nil
}

// commits counts those of branches, and of what is checked out, that no remote has.
func (k *Keeper) commits(ctx context.Context, s *side) (n int, err error) {
	var tips, far []string
	if head := s.head(""); isOID(head) {
		tips = append(tips, head)
	}
	for ref, oid := range s.refs {
		switch {
		case !isOID(oid):
		case strings.HasPrefix(ref, "refs/remotes/"):
			far = append(far, oid)
		case strings.HasPrefix(ref, "refs/heads/") && s.src.carries(s.src.head(), ref):
			tips = append(tips, oid)
		}
	}
	if len(tips) == 0 {
		return 0, nil
	}
	if err := askable(s.file("objects")); err != nil {
		return 0, err
	}
	r, err := k.scratchGit("unpushed.git", s.format(), s.file("objects"))
	if err != nil {
		return 0, err
	}
	defer k.area().RemoveAll(r.dir)
	if err := k.area().Write(filepath.Join(r.dir, "shallow"), s.read("shallow"), 0o644); err != nil {
		return 0, err
	}
	there, err := r.existing(ctx, far)
	if err != nil {
		return 0, err
	}
	in := strings.Join(tips, "\n") + "\n"
	for _, oid := range slices.Sorted(maps.Keys(there)) {
		in += "^" + oid + "\n"
	}
	err = r.run(ctx, strings.NewReader(in), func(line string) (err error) {
		n, err = strconv.Atoi(line)
		return err
	}, "rev-list", "--count", "--stdin")
	return n, err
}
