package gitstate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Arrival is a shadow that came from elsewhere: its files, but for packs that
// may not be needed.
type Arrival struct {
	Dir  string // the repository, below the tree
	From string // directory with the files of the shadow
	// Agreed says that the shadow here is what both sides last agreed on, so
	// that it can tell who changed what since.
	Agreed bool
	// Base is a directory with the shadow that both sides last agreed on, packs apart,
	// where the one here has gone on since; "" where nobody has it any more.
	Base string
}

// Needed lists the packs of an arrival, as names of files below From, whose
// content is not in the repository here: all of them where there is none.
func (k *Keeper) Needed(ctx context.Context, a Arrival) ([]string, error) {
	format, err := k.arrivalFormat(ctx, a)
	if err != nil {
		return nil, err
	}
	all, err := openIndexes(a.From, widthOf(format))
	if err != nil {
		return nil, err
	}
	defer all.close()
	src, err := k.source(a.Dir)
	if err != nil || src.check() != nil || irregular(src.file("objects")) != "" {
		var names []string
		for _, x := range all {
			names = append(names, packFile(x))
		}
		return names, nil
	}
	r, err := scratchGit(filepath.Join(k.Stage, "scratch.git"), format, src.file("objects"))
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(r.dir)
	var names []string
	for _, x := range all {
		var oids []string
		_ = x.each(func(oid string) error { oids = append(oids, oid); return nil })
		there, err := r.existing(ctx, oids)
		if err != nil {
			return nil, err
		}
		if len(there) < len(oids) {
			names = append(names, packFile(x))
		}
	}
	return names, nil
}

func packFile(x *packIndex) string { return "objects/pack/" + x.name + ".pack" }

func (k *Keeper) arrivalFormat(ctx context.Context, a Arrival) (string, error) {
	if _, err := readMark(a.From); err != nil {
		return "", err
	}
	return (&capture{k: k, src: source{dir: a.From}}).format(ctx)
}

// Restore brings what arrived into the repository, and makes it where there is
// none. Then the shadow here is the one that arrived.
func (k *Keeper) Restore(ctx context.Context, a Arrival) error {
	if _, err := Git(); err != nil {
		return err
	}
	if err := k.inTree(a.Dir); err != nil {
		return err
	}
	m, err := readMark(a.From)
	if err != nil {
		return err
	}
	to := filepath.Join(k.Root, a.Dir)
	if s, err := os.Lstat(to); err == nil && (!s.IsDir() && !k.leadsNowhere(a.Dir) || s.IsDir() && os.Remove(to) != nil) { // an empty directory is none
		if err := k.merge(ctx, a, m); err != nil {
			return err
		}
		pointJoined.Reach()
		if err := k.adopt(a); err != nil {
			return err
		}
	} else if err := k.make(a, m, to); err != nil {
		return err
	}
	return k.settle(ctx, a.Dir, m.Root)
}

// make makes the repository of an arrival. It is there whole or not at all, and
// not before its shadow is: that tells later what was changed since.
func (k *Keeper) make(a Arrival, m mark, to string) error {
	made := filepath.Join(k.Stage, "made")
	if err := errors.Join(os.RemoveAll(made), os.MkdirAll(made, 0o755)); err != nil {
		return err
	}
	l, err := list(a.From)
	if err != nil {
		return err
	}
	for i := range l.items {
		if err := copyFile(filepath.Join(a.From, l.items[i].path), filepath.Join(made, l.items[i].path)); err != nil {
			return err
		}
	}
	for _, dir := range []string{"refs/heads", "refs/tags", "objects/info", "objects/pack"} {
		if err := os.MkdirAll(filepath.Join(made, dir), 0o755); err != nil {
			return err
		}
	}
	if err := linkPacks(a.From, made); err != nil {
		return err
	}
	if err := k.moved(made, m.Root); err != nil {
		return err
	}
	if err := errors.Join(k.adopt(a), os.MkdirAll(filepath.Dir(to), 0o755)); err != nil {
		return err
	}
	if err := putInPlace(made, to); err != nil {
		return fmt.Errorf("cannot put the repository in its place: %w", err)
	}
	pointMade.Reach()
	return nil
}

// leadsNowhere says that what the tree has at a path leads to a git directory outside
// of it that is not on this machine: the repository comes in its place.
func (k *Keeper) leadsNowhere(dir string) bool {
	_, err := k.source(dir)
	var away *awayError
	return errors.As(err, &away) && absent(away.cause) && !k.contains(away.at)
}

// putInPlace puts a directory at a path at which there may be a file or a link. There
// is something at each moment: that nothing is there would be a deletion.
func putInPlace(made, to string) error {
	if _, err := os.Lstat(to); absent(err) {
		return os.Rename(made, to)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, made, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE); err != nil {
		return err
	}
	return os.Remove(made)
}

// adopt makes the shadow here the one that arrived. Packs that did not have to
// come are left out: their indexes say what they have.
func (k *Keeper) adopt(a Arrival) error {
	shadow := filepath.Join(k.Shadow, a.Dir)
	delete(k.seen, a.Dir)
	if err := removeIfThere(filepath.Join(shadow, Mark)); err != nil {
		return err
	}
	old, err := list(shadow)
	if err != nil && !absent(err) {
		return err
	}
	now, err := list(a.From)
	if err != nil {
		return err
	}
	for i := range old.items {
		if path := old.items[i].path; now.find(path) == nil {
			if err := removeIfThere(filepath.Join(shadow, path)); err != nil {
				return err
			}
			prune(shadow, filepath.Dir(path))
		}
	}
	for i := range now.items {
		if err := place(filepath.Join(a.From, now.items[i].path), filepath.Join(shadow, now.items[i].path)); err != nil {
			return err
		}
	}
	if err := adoptPacks(filepath.Join(a.From, "objects/pack"), filepath.Join(shadow, "objects/pack")); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(shadow, "refs"), 0o755); err != nil {
		return err
	}
	lacks := filepath.Join(shadow, missingMark)
	if err := place(filepath.Join(a.From, missingMark), lacks); absent(err) {
		err = removeIfThere(lacks)
	} else if err != nil {
		return err
	}
	err = place(filepath.Join(a.From, Mark), filepath.Join(shadow, Mark))
	pointAdopted.Reach()
	return err
}

// adoptPacks makes the packs of a directory those of another.
func adoptPacks(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	old, err := os.ReadDir(to)
	if err != nil {
		return err
	}
	for _, e := range old {
		index := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name())) + ".idx"
		if _, err := os.Lstat(filepath.Join(from, index)); absent(err) {
			if err := os.Remove(filepath.Join(to, e.Name())); err != nil {
				return err
			}
		}
	}
	entries, err := os.ReadDir(from)
	if err != nil && !absent(err) {
		return err
	}
	for _, e := range entries {
		if err := place(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// inTree refuses a path that leads out of the tree, by its name or by a link on
// the way.
func (k *Keeper) inTree(path string) error {
	if !filepath.IsLocal(path) || filepath.Clean(path) != path {
		return refused("its path %q leads out of the tree", path)
	}
	for dir := filepath.Dir(path); dir != "."; dir = filepath.Dir(dir) {
		if s, err := os.Lstat(filepath.Join(k.Root, dir)); err == nil && !s.IsDir() {
			return refused("%q is no directory here", dir)
		}
	}
	return nil
}

// linkPacks puts the packs of a shadow into a repository. Both never change a
// pack, so they may share the bytes.
func linkPacks(from, to string) error {
	packs, err := filepath.Glob(filepath.Join(globEscape(from), "objects/pack/pack-*.pack"))
	if err != nil {
		return err
	}
	for _, pack := range packs {
		for _, file := range []string{pack, strings.TrimSuffix(pack, ".pack") + ".idx"} { // git looks for indexes: they come last
			target := filepath.Join(to, "objects/pack", filepath.Base(file))
			if _, err := os.Lstat(target); err == nil {
				continue
			}
			if os.Link(file, target) == nil {
				continue
			}
			if err := copyFile(file, target); err != nil {
				return err
			}
		}
	}
	return nil
}

// moved makes the links between a repository and its linked working trees lead
// to where the tree is here.
func (k *Keeper) moved(gitDir, was string) error {
	files, err := filepath.Glob(filepath.Join(globEscape(gitDir), "worktrees/*/gitdir"))
	if err != nil || was == k.Root {
		return err
	}
	for _, file := range files {
		if err := rebase(file, "", was, k.Root); err != nil {
			return err
		}
	}
	return nil
}

// rebase makes the path in a file, after a prefix, begin with another root.
func rebase(file, prefix, was, now string) error {
	body, err := readFile(file)
	if err != nil {
		return err
	}
	rest, ok := strings.CutPrefix(string(body), prefix+was+"/")
	if !ok {
		return nil
	}
	return writeWhole(file, []byte(prefix+now+"/"+rest), 0o644)
}

// settle makes what is in the tree beside the git directory agree with it: the
// files that lead from linked working trees to it, and what the indexes say of
// files that have been placed anew. Nothing depends on the latter: git status
// does the same.
func (k *Keeper) settle(ctx context.Context, dir, was string) error {
	gitDir := filepath.Join(k.Root, dir)
	src, err := k.source(dir)
	if err != nil {
		return err
	}
	if filepath.Base(dir) == ".git" {
		k.refresh(ctx, src.dir, "--work-tree="+filepath.Dir(gitDir))
	} else {
		k.refresh(ctx, src.dir) // a submodule's configuration says where its working tree is
	}
	if src.dir != gitDir {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(globEscape(gitDir), "worktrees/*/gitdir"))
	if err != nil {
		return err
	}
	for _, file := range files {
		body, err := readFile(file)
		if err != nil {
			return err
		}
		door := strings.TrimSpace(string(body))
		if below, ok := strings.CutPrefix(door, k.Root+"/"); !ok || k.inTree(below) != nil {
			continue
		}
		if s, err := os.Stat(filepath.Dir(door)); err != nil || !s.IsDir() {
			continue
		}
		if _, err := os.Lstat(door); absent(err) {
			err = writeWhole(door, []byte("gitdir: "+filepath.Dir(file)+"\n"), 0o644)
			if err != nil {
				return err
			}
		}
		if err := rebase(door, "gitdir: ", was, k.Root); err != nil {
			return err
		}
		k.refresh(ctx, filepath.Dir(file), "--work-tree="+filepath.Dir(door))
	}
	return nil
}

// refresh brings what an index says of the files' times up to date.
func (k *Keeper) refresh(ctx context.Context, gitDir string, more ...string) {
	git, err := Git()
	if err != nil {
		return
	}
	r := &runner{git: git, dir: gitDir}
	args := append([]string{"-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"}, more...)
	_ = r.run(ctx, nil, nil, append(args, "update-index", "-q", "--refresh")...)
}
