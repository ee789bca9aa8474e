package localfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/pkg/anchor"
)

// Shelter keeps `git clean -fdx` and `git stash -a` of a repository around it off an own
// directory: there is the skeleton of a repository in it, and git leaves what it takes for
// another repository alone.
func Shelter(own, tree string) error {
	for _, dir := range []string{".git", ".git/objects", ".git/refs"} {
		if err := os.Mkdir(filepath.Join(own, dir), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	head := filepath.Join(own, ".git", "HEAD")
	if _, err := os.Lstat(head); err == nil {
		return nil
	}
	return errors.Join(os.WriteFile(head, []byte("ref: refs/heads/coltec\n"), 0o600), excludeFromGit(tree))
}

// excludeFromGit names the directory in the repository's own list of what it
// does not show.
func excludeFromGit(root string) error {
	info, err := anchor.OpenRoot(filepath.Join(root, ".git", "info"), root, 0)
	if err != nil {
		return nil // no repository here, or one of another shape
	}
	defer info.Close()
	f, err := anchor.OpenFile(info, "exclude", os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if errors.Is(err, anchor.ErrPlanted) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	old, err := io.ReadAll(io.LimitReader(f, excludesMost))
	line := "/" + Dir + "/"
	if err != nil || len(old) == excludesMost || strings.Contains("\n"+string(old)+"\n", "\n"+line+"\n") {
		return err
	}
	if len(old) > 0 && !strings.HasSuffix(string(old), "\n") {
		line = "\n" + line
	}
	_, err = f.WriteString(line + "\n")
	return err
}

// excludesMost is what is read of git's list: far above what anybody writes.
const excludesMost = 1 << 20
