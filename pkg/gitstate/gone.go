package gitstate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Gone is the file of a shadow whose repository was removed.
const Gone = "coltec.gone"

// each calls do with each repository that has a whole shadow in a directory.
func each(shadows string, do func(repository string) error) error {
	return filepath.WalkDir(shadows, func(file string, d fs.DirEntry, err error) error {
		switch {
		case absent(err):
			return nil
		case err != nil:
			return err
		case d.Name() == "objects":
			return fs.SkipDir
		case d.Name() != Mark:
			return nil
		}
		repository, err := filepath.Rel(shadows, filepath.Dir(file))
		return errors.Join(err, do(repository))
	})
}

// Gone lists the repositories that have a shadow and are not there any more:
// those that were removed with the directory that they were in, and orphans, of
// which the git directory alone is gone.
func (k *Keeper) Gone() (removed, orphans []string, err error) {
	err = each(k.Shadow, func(dir string) error {
		if _, err := os.Lstat(filepath.Join(k.Root, dir)); !absent(err) {
			return nil
		}
		around := filepath.Dir(dir)
		if i := strings.LastIndex(dir, "/modules/"); i > 0 { // of a submodule: the repository that it is in
			around = dir[:i]
		}
		if _, err := os.Lstat(filepath.Join(k.Root, around)); absent(err) || err == nil && around != filepath.Dir(dir) {
			removed = append(removed, dir)
		} else {
			orphans = append(orphans, dir)
		}
		return nil
	})
	return removed, orphans, err
}

// Forget makes a shadow say that its repository was removed.
func (k *Keeper) Forget(dir string) error {
	shadow := filepath.Join(k.Shadow, dir)
	if err := k.Remove(dir); err != nil {
		return err
	}
	if err := k.area().Mkdir(filepath.Join(shadow, "objects/pack")); err != nil {
		return err
	}
	return k.area().Write(filepath.Join(shadow, Gone), nil, 0o644)
}

// Remove removes a shadow, and leaves those of repositories in it.
func (k *Keeper) Remove(dir string) error {
	shadow := filepath.Join(k.Shadow, dir)
	delete(k.seen, dir)
	l, err := list(shadow)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	paths := []string{Mark, missingMark} // first: it is not whole from now on
	for i := range l.items {
		paths = append(paths, l.items[i].path)
	}
	for _, path := range paths {
		if err := k.drop(shadow, path); err != nil {
			return err
		}
	}
	err = k.area().RemoveAll(filepath.Join(shadow, "objects"))
	k.area().Prune(shadow, filepath.Join(shadow, "refs"))
	k.area().Prune(k.Shadow, shadow)
	return err
}
