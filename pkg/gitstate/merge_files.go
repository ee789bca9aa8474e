package gitstate

import (
	"bytes"
	"context"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// mergeFiles merges what is neither a ref, a log nor a working tree's state:
// configuration, hooks, notes of tools.
func (j *joining) mergeFiles(ctx context.Context) error {
	if j.local.src.outside {
		return nil // what it is set up as is not the tree's
	}
	config := j.local.read("config")
	mine, others, err := j.config(ctx, j.local)
	if err != nil {
		return err
	}
	_, theirs, err := j.config(ctx, j.remote)
	if err != nil {
		return err
	}
	paths := map[string]bool{}
	for _, s := range []*side{j.local, j.remote} {
		for i := range s.files.items {
			path := s.files.items[i].path
			if path != "packed-refs" && path != "shallow" && !strings.HasPrefix(path, "refs/") && !isLog(path) &&
				!strings.HasPrefix(path, "worktrees/") && !ofTree("", path) {
				paths[path] = true
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		base, local, remote := j.base.read(path), j.local.read(path), j.remote.read(path)
		d := j.decided(base, local, remote)
		if d == ours || path == "FETCH_HEAD" || d == both && derived(path) {
			continue
		}
		if d == both && path != "description" && !within(lines(local), lines(remote)) && !(path == "config" && within(others, theirs)) {
			if err := j.keepFile(path); err != nil {
				return err
			}
		}
		if path == "config" && remote != nil {
			err = j.bringConfig(ctx, config, mine)
		} else {
			err = j.bring(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// config reads a side's configuration: the remotes that it names, with their
// keys, and all other settings, one a line.
func (j *joining) config(ctx context.Context, s *side) (remotes map[string][][2]string, others []string, err error) {
	remotes = map[string][][2]string{}
	err = settings(ctx, s.file("config"), func(line string) error {
		key, value, _ := strings.Cut(line, "=")
		if i := strings.LastIndexByte(key, '.'); strings.HasPrefix(key, "remote.") && i > len("remote.") {
			remotes[key[:i]] = append(remotes[key[:i]], [2]string{key, value})
		} else {
			others = append(others, line)
		}
		return nil
	})
	return remotes, others, err
}

func lines(text []byte) []string { return strings.Split(string(text), "\n") }

// within says that each line of some is in all.
func within(some, all []string) bool {
	known := map[string]bool{}
	for _, line := range all {
		known[strings.TrimSpace(line)] = true
	}
	return !slices.ContainsFunc(some, func(line string) bool { return !known[strings.TrimSpace(line)] })
}

// bringConfig makes the configuration the remote side's, with the remotes that only the
// local side had, unless it is not the one any more that these were read from.
func (j *joining) bringConfig(ctx context.Context, read []byte, mine map[string][][2]string) error {
	body, err := readFile(j.remote.file("config"), textMost)
	if err != nil {
		return err
	}
	theirs, _, err := j.config(ctx, j.remote)
	if err != nil {
		return err
	}
	var before map[string][][2]string
	if j.base != nil {
		if before, _, err = j.config(ctx, j.base); err != nil {
			return err
		}
	}
	var add [][2]string
	for _, name := range slices.Sorted(maps.Keys(mine)) {
		if theirs[name] == nil && before[name] == nil { // else it is there, or the other side removed it
			add = append(add, mine[name]...)
		}
	}
	if body, err = j.configured(ctx, body, add); err != nil {
		return err
	}
	if err := j.clear("config"); err != nil {
		return err
	}
	return j.local.src.replace("config", j.remote.files.find("config").mode, func(w io.Writer) (bool, error) {
		if !bytes.Equal(j.local.read("config"), read) {
			return true, ErrBusy
		}
		return text(body)(w)
	})
}

// configured is a configuration with more settings.
func (j *joining) configured(ctx context.Context, body []byte, add [][2]string) ([]byte, error) {
	if len(add) == 0 {
		return body, nil
	}
	file := filepath.Join(j.git.dir, "theirs")
	if err := j.k.area().Write(file, body, 0o600); err != nil {
		return nil, err
	}
	for _, pair := range add {
		if err := j.git.run(ctx, nil, nil, "config", "--file", filepath.Base(file), "--add", pair[0], pair[1]); err != nil {
			return nil, err
		}
	}
	return readFile(file, textMost)
}
