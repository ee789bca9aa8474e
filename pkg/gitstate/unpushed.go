package gitstate

import (
	"context"
	"strconv"
	"strings"
)

// Unpushed is what a repository has that no remote of it has.
type Unpushed struct {
	Commits int // of branches and of what is checked out
	Stashes int
}

// String says it in words.
func (u Unpushed) String() string {
	of := func(n int, one, many string) string {
		if n == 1 {
			return "1 " + one
		}
		return strconv.Itoa(n) + " " + many
	}
	switch {
	case u.Stashes == 0:
		return of(u.Commits, "commit", "commits")
	case u.Commits == 0:
		return of(u.Stashes, "stash", "stashes")
	}
	return of(u.Commits, "commit", "commits") + " and " + of(u.Stashes, "stash", "stashes")
}

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
	git, err := Git()
	if err != nil {
		return Unpushed{}, err
	}
	tips := s.head("") + "\n"
	for ref, oid := range s.refs {
		if strings.HasPrefix(ref, "refs/heads/") && src.carries(src.head(), ref) {
			tips += oid + "\n"
		}
	}
	var u Unpushed
	if log, err := readFile(s.file(stashLog)); err == nil {
		u.Stashes = len(entries(log))
	}
	if strings.TrimSpace(tips) != "" {
		r := &runner{git: git, dir: src.dir, env: []string{"GIT_WORK_TREE=" + src.dir}}
		err = r.run(ctx, strings.NewReader(strings.TrimLeft(tips, "\n")), func(line string) (err error) {
			u.Commits, err = strconv.Atoi(line)
			return err
		}, "rev-list", "--count", "--stdin", "--not", "--remotes")
	}
	if err == nil {
		k.counted[dir], k.counts[dir] = now, u
	}
	return u, err
}
