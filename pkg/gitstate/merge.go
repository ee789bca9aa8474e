package gitstate

import (
	"bytes"
	"context"
	"path/filepath"
)

// merge joins what arrived with the repository here. What both sides have, or
// only one of them changed, is clear. Where both changed, the remote side keeps
// the name, as it does for files, and nothing of the local one is lost: refs
// are kept under KeptRefs, files where the keeper is told to.
//
// Objects come first, then the refs that keep what would be lost, then all
// else: cut off at any point, nothing is missing, and it can be done again.
func (k *Keeper) merge(ctx context.Context, a Arrival, m mark) error {
	local, err := k.localSide(a.Dir)
	if err != nil {
		return err
	}
	src := local.src
	if err := k.moved(a.From, m.Root); err != nil { // they are compared with ours
		return err
	}
	remote, err := readCopy(a.From)
	if err != nil {
		return err
	}
	base, err := k.base(a)
	if err != nil {
		return err
	}
	format, err := k.common(ctx, a, src)
	if err != nil {
		return err
	}
	git, err := k.scratchGit("joining.git", format, src.file("objects"))
	if err != nil {
		return err
	}
	j := &joining{
		k: k, a: a, base: base, local: local, remote: remote, git: git, format: format,
		stamp: k.Now().UTC().Format(keptStamp), held: src.held(),
		refs: map[string]string{}, kept: map[string]string{}, takes: map[string]word{}, logs: map[string][]byte{},
	}
	shallow, err := j.shallow(ctx)
	if err != nil {
		return err
	}
	if err := linkPacks(a.From, src); err != nil {
		return err
	}
	if !bytes.Equal(shallow, local.read("shallow")) {
		if err := j.replace("shallow", shallow, 0o644); err != nil {
			return err
		}
	}
	if err := k.area().Write(filepath.Join(git.dir, "shallow"), shallow, 0o644); err != nil {
		return err
	}
	if len(shallow) == 0 {
		if err := src.remove("shallow"); err != nil {
			return err
		}
	}
	pointLinked.Reach()
	return j.run(ctx)
}

// common is the object format that both sides have.
func (k *Keeper) common(ctx context.Context, a Arrival, here source) (string, error) {
	mine, err := layoutOf(ctx, here)
	if err != nil {
		return "", err
	}
	theirs, err := k.arrivalFormat(ctx, a)
	if err == nil && mine.objects != theirs {
		err = refused("its objects have names of %s here, and of %s elsewhere: move one of the repositories aside", mine.objects, theirs)
	}
	return theirs, err
}

// base is the side that both last agreed on; nil where that is not known.
func (k *Keeper) base(a Arrival) (*side, error) {
	switch {
	case a.Agreed:
		return readCopy(filepath.Join(k.Shadow, a.Dir))
	case a.Base == "":
		return nil, nil
	}
	m, err := readMark(a.Base)
	if err == nil {
		err = k.moved(a.Base, m.Root)
	}
	if err != nil {
		return nil, err
	}
	return readCopy(a.Base)
}

// localSide reads the repository here, in which git can work.
func (k *Keeper) localSide(dir string) (*side, error) {
	src, err := k.carried(dir)
	if err != nil {
		return nil, err
	}
	if err := src.check(); err != nil {
		return nil, refused("what is here is left as it is: %s", err)
	}
	now, err := src.list()
	if err == nil {
		err = now.usable()
	}
	if err != nil {
		return nil, err
	}
	if err := askable(src.file("objects")); err != nil {
		return nil, err
	}
	if k.Now().Sub(now.lock) < lockYoung {
		return nil, ErrBusy
	}
	return readSide(src, now)
}

func (j *joining) run(ctx context.Context) error {
	if err := j.joinable(); err != nil {
		return err
	}
	for i := range j.local.files.items {
		if path := j.local.files.items[i].path; isLog(path) {
			j.logs[path] = j.local.read(path)
		}
	}
	for _, tree := range j.trees() {
		take, err := j.takesTree(ctx, tree)
		if err != nil {
			return err
		}
		j.takes[tree] = take
	}
	if err := j.mergeRefs(ctx); err != nil {
		return err
	}
	for _, tree := range j.trees() {
		if j.takes[tree] == both {
			if err := j.keepTree(ctx, tree); err != nil {
				return err
			}
		}
	}
	if err := j.rooted(ctx); err != nil {
		return err
	}
	if err := j.writeRefs(); err != nil {
		return err
	}
	pointRefs.Reach()
	for _, tree := range j.trees() {
		if j.takes[tree] != ours {
			if err := j.writeTree(tree); err != nil {
				return err
			}
		}
	}
	pointTrees.Reach()
	if err := j.mergeLogs(ctx); err != nil {
		return err
	}
	return j.mergeFiles(ctx)
}
