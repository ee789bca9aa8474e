package gitstate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Needed lists the packs of an arrival, as names of files below From, whose
// content is not in the repository here: all of them where there is none.
func (k *Keeper) Needed(ctx context.Context, a Arrival) ([]string, error) {
	if _, err := k.arrived(a); err != nil {
		return nil, err
	}
	format, err := k.arrivalFormat(ctx, a)
	if err != nil {
		return nil, err
	}
	all, err := openIndexes(a.From, widthOf(format))
	if err != nil {
		return nil, err
	}
	defer all.close()
	src, err := k.carried(a.Dir)
	if err != nil || src.check() != nil || askable(src.file("objects")) != nil {
		var names []string
		for _, x := range all {
			names = append(names, packFile(x))
		}
		return names, nil
	}
	r, err := k.scratchGit("scratch.git", format, src.file("objects"))
	if err != nil {
		return nil, err
	}
	defer k.area().RemoveAll(r.dir)
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

// Restore brings what arrived into the repository, and makes it where there is
// none. Then the shadow here is the one that arrived.
func (k *Keeper) Restore(ctx context.Context, a Arrival) error {
	if _, err := Git(); err != nil {
		return err
	}
	l, err := k.arrived(a)
	if err != nil {
		return err
	}
	m, err := readMark(a.From)
	if err != nil {
		return err
	}
	to := filepath.Join(k.Root, a.Dir)
	if s, err := os.Lstat(to); err == nil && (!s.IsDir() && !k.leadsNowhere(a.Dir) || s.IsDir() && k.area().Remove(to) != nil) { // an empty directory is none
		if err := k.merge(ctx, a, m); err != nil {
			return err
		}
		pointJoined.Reach()
		if err := k.adopt(a); err != nil {
			return err
		}
	} else if err := k.make(a, l, m, to); err != nil {
		return err
	}
	return k.settle(ctx, a.Dir, m.Root)
}

// make makes the repository of an arrival. It is there whole or not at all, and
// not before its shadow is: that tells later what was changed since.
func (k *Keeper) make(a Arrival, l listing, m mark, to string) error {
	made := filepath.Join(k.Stage(), "made")
	if err := errors.Join(k.area().RemoveAll(made), k.area().Mkdir(made)); err != nil {
		return err
	}
	for i := range l.items {
		if err := k.area().Copy(filepath.Join(a.From, l.items[i].path), filepath.Join(made, l.items[i].path)); err != nil {
			return err
		}
	}
	for _, dir := range []string{"refs/heads", "refs/tags", "objects/info", "objects/pack"} {
		if err := k.area().Mkdir(filepath.Join(made, dir)); err != nil {
			return err
		}
	}
	if err := allPacks(a.From); err != nil {
		return err
	}
	if err := linkPacks(a.From, source{tree: k.Root, dir: made}); err != nil {
		return err
	}
	if err := k.moved(made, m.Root); err != nil {
		return err
	}
	if err := errors.Join(k.adopt(a), k.area().Mkdir(filepath.Dir(to))); err != nil {
		return err
	}
	if err := k.area().Exchange(made, to); err != nil {
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

// adopt makes the shadow here the one that arrived. Packs that did not have to
// come are left out: their indexes say what they have.
func (k *Keeper) adopt(a Arrival) error {
	shadow := filepath.Join(k.Shadow, a.Dir)
	delete(k.seen, a.Dir)
	if err := k.area().Remove(filepath.Join(shadow, Mark)); err != nil {
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
			if err := k.drop(shadow, path); err != nil {
				return err
			}
		}
	}
	for i := range now.items {
		if err := k.area().Place(filepath.Join(a.From, now.items[i].path), shadow, now.items[i].path); err != nil {
			return err
		}
	}
	if err := k.adoptPacks(a.From, shadow); err != nil {
		return err
	}
	if err := k.area().Mkdir(filepath.Join(shadow, "refs")); err != nil {
		return err
	}
	err = k.area().Place(filepath.Join(a.From, missingMark), shadow, missingMark)
	if absent(err) {
		err = k.area().Remove(filepath.Join(shadow, missingMark))
	}
	if err != nil {
		return err
	}
	err = k.area().Place(filepath.Join(a.From, Mark), shadow, Mark)
	pointAdopted.Reach()
	return err
}

// adoptPacks makes the packs of a shadow those that arrived.
func (k *Keeper) adoptPacks(from, shadow string) error {
	const packs = "objects/pack"
	if err := k.area().Mkdir(filepath.Join(shadow, packs)); err != nil {
		return err
	}
	old, err := os.ReadDir(filepath.Join(shadow, packs))
	if err != nil {
		return err
	}
	for _, e := range old {
		index := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name())) + ".idx"
		if _, err := os.Lstat(filepath.Join(from, packs, index)); absent(err) {
			if err := k.area().RemoveAll(filepath.Join(shadow, packs, e.Name())); err != nil {
				return err
			}
		}
	}
	entries, err := os.ReadDir(filepath.Join(from, packs))
	if err != nil && !absent(err) {
		return err
	}
	for _, e := range entries {
		if err := k.area().Place(filepath.Join(from, packs, e.Name()), shadow, filepath.Join(packs, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// allPacks refuses a shadow that lacks a pack which it has an index of.
func allPacks(from string) error {
	indexes, err := filepath.Glob(filepath.Join(globEscape(from), "objects/pack/pack-*.idx"))
	for _, index := range indexes {
		if _, statErr := os.Lstat(strings.TrimSuffix(index, ".idx") + ".pack"); statErr != nil {
			err = errors.Join(err, uncaptured("%s has no pack", filepath.Base(index)))
		}
	}
	return err
}
