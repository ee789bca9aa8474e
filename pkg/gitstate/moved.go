package gitstate

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// moved makes the links between a repository and its linked working trees lead
// to where the tree is here.
func (k *Keeper) moved(gitDir, was string) error {
	files, err := filepath.Glob(filepath.Join(globEscape(gitDir), "worktrees/*/gitdir"))
	if err != nil || was == k.Root {
		return err
	}
	for _, file := range files {
		if err := k.rebase(file, "", was, k.Root); err != nil {
			return err
		}
	}
	return nil
}

// rebase makes the path in a file, after a prefix, begin with another root.
func (k *Keeper) rebase(file, prefix, was, now string) error {
	body, err := readFile(file, smallMost)
	if err != nil {
		return err
	}
	rest, ok := strings.CutPrefix(string(body), prefix+was+"/")
	if !ok {
		return nil
	}
	return k.area().Write(file, []byte(prefix+now+"/"+rest), 0o644)
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
	if top, err := src.workTree(ctx, gitDir); err == nil {
		k.refresh(ctx, src, "index", top)
	}
	if src.dir != gitDir {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(globEscape(gitDir), "worktrees/*/gitdir"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := k.settleTree(ctx, src, file, was); err != nil {
			return err
		}
	}
	return nil
}

// settleTree is settle for a linked working tree; file says where it is.
func (k *Keeper) settleTree(ctx context.Context, src source, file, was string) error {
	body, err := readFile(file, smallMost)
	if err != nil {
		return err
	}
	door := strings.TrimSpace(string(body))
	below, ok := strings.CutPrefix(door, k.Root+"/")
	if !ok || filepath.Base(door) != ".git" || k.inTree(below) != nil {
		return nil
	}
	if s, err := os.Stat(filepath.Dir(door)); err != nil || !s.IsDir() {
		return nil
	}
	if _, err := os.Lstat(door); absent(err) {
		if err := k.area().Write(door, []byte("gitdir: "+filepath.Dir(file)+"\n"), 0o644); err != nil {
			return err
		}
	}
	if err := k.rebase(door, "gitdir: ", was, k.Root); err != nil {
		return err
	}
	k.refresh(ctx, src, "worktrees/"+filepath.Base(filepath.Dir(file))+"/index", filepath.Dir(door))
	return nil
}

// workTree is where the files of a repository are: beside it, or where a submodule's
// configuration says.
func (s source) workTree(ctx context.Context, gitDir string) (string, error) {
	if filepath.Base(gitDir) == ".git" {
		return filepath.Dir(gitDir), nil
	}
	top := ""
	err := settings(ctx, s.file("config"), func(line string) error {
		if value, ok := strings.CutPrefix(line, "core.worktree="); ok {
			top = value
		}
		return nil
	})
	if err == nil && top == "" {
		return "", refused("its configuration does not say where its working tree is")
	}
	if !filepath.IsAbs(top) {
		top = filepath.Join(s.dir, top)
	}
	return filepath.Clean(top), err
}
