package gitstate

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Unpushed is what a repository has that no remote of it has.
type Unpushed struct {
	Commits int // of branches and of what is checked out
	Stashes int
}

// Unpushed counts what a repository has that no remote of it has, as far as its
// last fetch and push tell. It is quick when nothing moved since it was asked
// last.
func (k *Keeper) Unpushed(ctx context.Context, dir string) (Unpushed, error) {
	here := filepath.Join(k.Root, dir)
	now, err := list(here)
	if err != nil {
		return Unpushed{}, err
	}
	if was, ok := k.seen[dir]; ok && was.same(now) {
		return k.counts[dir], nil
	}
	s, err := readSide(here)
	if err != nil {
		return Unpushed{}, err
	}
	git, err := Git()
	if err != nil {
		return Unpushed{}, err
	}
	tips := s.head("") + "\n"
	for ref, oid := range s.refs {
		if strings.HasPrefix(ref, "refs/heads/") {
			tips += oid + "\n"
		}
	}
	var u Unpushed
	if log, err := os.ReadFile(s.file(stashLog)); err == nil {
		u.Stashes = len(entries(log))
	}
	if strings.TrimSpace(tips) != "" {
		r := &runner{git: git, dir: here, env: []string{"GIT_WORK_TREE=" + here}}
		err = r.run(ctx, strings.NewReader(strings.TrimLeft(tips, "\n")), func(line string) (err error) {
			u.Commits, err = strconv.Atoi(line)
			return err
		}, "rev-list", "--count", "--stdin", "--not", "--remotes")
	}
	if err == nil {
		k.seen[dir], k.counts[dir] = now, u
	}
	return u, err
}
