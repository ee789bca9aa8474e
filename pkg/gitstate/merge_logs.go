package gitstate

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
)

// current is what the ref of a log shall lead to.
func (j *joining) current(log string) string {
	tree, ref := "", strings.TrimPrefix(log, "logs/")
	if name, rest, ok := cutTree(log); ok {
		tree, ref = "worktrees/"+name+"/", strings.TrimPrefix(rest, "logs/")
	}
	if ref == "HEAD" {
		return j.after(tree).head(tree)
	}
	return j.refs[ref]
}

// mergeLogs makes each log what it shall be, and the stash, which is a log.
func (j *joining) mergeLogs(ctx context.Context) error {
	paths := map[string]bool{}
	for path := range j.logs {
		paths[path] = true
	}
	for i := range j.remote.files.items {
		if path := j.remote.files.items[i].path; isLog(path) {
			paths[path] = true
		}
	}
	if err := j.mergeStash(); err != nil {
		return err
	}
	var stay []string
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		switch {
		case path == stashLog:
		case !j.logGoes(path):
			stay = append(stay, path)
		case j.local.files.find(path) != nil: // first: it may be in the way of what comes
			if err := j.local.src.remove(path); err != nil {
				return err
			}
		}
	}
	for _, path := range stay {
		if err := j.mergeLog(path); err != nil {
			return err
		}
	}
	return nil
}

// mergeLog makes the log of a ref that stays what it shall be.
func (j *joining) mergeLog(path string) error {
	if j.large(path) {
		return j.largeLog(path)
	}
	local, remote := j.logs[path], j.remote.read(path)
	shall := local
	switch j.decidedOf(strings.TrimPrefix(path, "logs/"), j.base.read(path), local, remote) {
	case theirs:
		shall = remote
	case both:
		list := joinLogs(entries(j.base.read(path)), entries(local), entries(remote))
		shall = written(endingWith(list, j.current(path)))
	}
	return j.log(path, shall)
}

// large says that a log is too large to be read whole, on one of both sides.
func (j *joining) large(path string) bool {
	for _, s := range []*side{j.local, j.remote} {
		if f := s.files.find(path); f != nil && f.size > textMost {
			return true
		}
	}
	return false
}

// joinable refuses logs that are to be joined, and are too large to be read.
func (j *joining) joinable() error {
	for _, s := range []*side{j.local, j.remote} {
		for i := range s.files.items {
			path := s.files.items[i].path
			if !isLog(path) || !j.large(path) {
				continue
			}
			word := j.largeWord(path)
			if word == both || word == theirs && path == stashLog {
				return refused("%s grew on both sides and has more than %d MiB: shorten it with git reflog expire", path, textMost>>20)
			}
		}
	}
	return nil
}

// largeWord says whose version of a large log counts, by their hashes.
func (j *joining) largeWord(path string) word {
	return j.decidedOf(strings.TrimPrefix(path, "logs/"), j.base.read(path), j.local.read(path), j.remote.read(path))
}

// largeLog makes a large log what it shall be: one of both.
func (j *joining) largeLog(path string) error {
	switch word := j.largeWord(path); {
	case word == theirs:
		return j.bring(path)
	case word == both: // since it was looked at
		return ErrBusy
	}
	return nil
}

// logGoes says that a log is of a ref or a working tree that is none any more.
func (j *joining) logGoes(path string) bool {
	if ref, ok := strings.CutPrefix(path, "logs/"); ok && strings.HasPrefix(ref, "refs/") && j.refs[ref] == "" && !ofTree("", ref) {
		return true
	}
	name, _, ok := cutTree(path)
	return ok && j.after("worktrees/"+name+"/").read("worktrees/"+name+"/HEAD") == nil
}

// log writes a log.
func (j *joining) log(path string, body []byte) error {
	if body == nil {
		return j.local.src.remove(path)
	}
	if now := j.local.read(path); now != nil && bytes.Equal(now, body) {
		return nil
	}
	return j.replace(path, body, 0o644)
}

// mergeStash joins the stashes: each has all that either has.
func (j *joining) mergeStash() error {
	base, local, remote := j.base.read(stashLog), j.logs[stashLog], j.remote.read(stashLog)
	shall := local
	switch j.decided(base, local, remote) {
	case ours:
		return nil
	case theirs:
		shall = remote
	case both:
		list := joinLogs(entries(base), entries(local), entries(remote))
		for i := range list {
			list[i].old = strings.Repeat("0", len(list[i].now))
			if i > 0 {
				list[i].old = list[i-1].now
			}
		}
		shall = written(list)
	}
	list := entries(shall)
	if len(list) == 0 {
		if err := j.local.src.delete(map[string]string{stashRef: anything}); err != nil {
			return err
		}
		return j.local.src.remove(stashLog)
	}
	if now := list[len(list)-1].now; !isOID(now) {
		return refused("%s names no object", stashLog)
	} else if err := j.local.src.write(stashRef, anything, now, nil); err != nil {
		return err
	}
	return j.replace(stashLog, shall, 0o644)
}

// shallow says where history shall end: where it does here, but where what
// arrives goes on; and where that ends, but where it goes on here. It is asked
// before anything was brought here.
func (j *joining) shallow(ctx context.Context) ([]byte, error) {
	lines := func(s *side) (out []string) { return strings.Fields(string(s.read("shallow"))) }
	local, remote := lines(j.local), lines(j.remote)
	if slices.Equal(local, remote) {
		return j.local.read("shallow"), nil
	}
	had, err := j.git.existing(ctx, remote)
	if err != nil {
		return nil, err
	}
	format := "sha1"
	if len(slices.Concat(local, remote)[0]) == 64 {
		format = "sha256"
	}
	arrived, err := openIndexes(j.remote.src.dir, widthOf(format))
	if err != nil {
		return nil, err
	}
	defer arrived.close()
	var out []string
	for _, x := range local {
		if slices.Contains(remote, x) || !arrived.has(x) {
			out = append(out, x)
		}
	}
	for _, x := range remote {
		if !had[x] && !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	slices.Sort(out)
	if len(out) == 0 {
		return nil, nil
	}
	return []byte(strings.Join(out, "\n") + "\n"), nil
}
