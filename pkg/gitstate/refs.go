package gitstate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/pkg/area"
)

// Refs are written here as git writes them, and not by git: it would go by the
// repository's configuration, and by links.

// replace writes a file of the repository as git does: under its lock, while fill writes
// what it shall have, or says that it shall not be there.
func (s source) replace(path string, mode fs.FileMode, fill func(io.Writer) (there bool, err error)) error {
	a, file, err := s.place(path)
	if err != nil {
		return err
	}
	return a.Do(file, func(root *os.Root, path string) error {
		if err := root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		lock, err := root.OpenFile(path+".lock", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return ErrBusy
		}
		if err != nil {
			return err
		}
		there, err := fill(lock)
		err = errors.Join(err, lock.Chmod(mode), lock.Close())
		switch {
		case err == nil && there:
			if err = root.Rename(path+".lock", path); err == nil {
				return nil
			}
		case err == nil:
			if err = root.Remove(path); absent(err) {
				err = nil
			}
		}
		return errors.Join(err, root.Remove(path+".lock"))
	})
}

// text fills a file with a text.
func text(body []byte) func(io.Writer) (bool, error) {
	return func(w io.Writer) (bool, error) {
		_, err := w.Write(body)
		return true, err
	}
}

// remove removes a file of the repository, and the directories of it that have nothing
// in them then.
func (s source) remove(path string) error {
	a, file, err := s.place(path)
	if err != nil {
		return err
	}
	if err := a.Remove(file); err != nil {
		return err
	}
	s.prune(path)
	return nil
}

// prune removes the directories of the repository that a file was in, as long as nothing
// is in them. git needs refs, and those of its kinds.
func (s source) prune(path string) {
	stop := "."
	if rest, ok := strings.CutPrefix(path, "refs/"); ok {
		kind, _, _ := strings.Cut(rest, "/")
		stop = filepath.Join("refs", kind)
	}
	a, file, err := s.place(path)
	if err != nil {
		return
	}
	top, err := realDir(filepath.Join(strings.TrimSuffix(s.file(path), path), stop))
	if err == nil && strings.HasPrefix(file, top+"/") { // else it lies behind a link
		a.Prune(top, filepath.Dir(file))
	}
}

// isRef says whether a text can be the name of a ref: it is one of a file too.
func isRef(name string) bool {
	if !strings.HasPrefix(name, "refs/") || strings.HasSuffix(name, ".") || strings.Contains(name, "..") || strings.Contains(name, "@{") {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("~^:?*[\\", r) })
}

// packedRefs reads the refs of the repository that have no file of their own.
func (s source) packedRefs() ([]byte, error) {
	body, err := readFile(s.file("packed-refs"), textMost)
	if absent(err) {
		return nil, nil
	}
	return body, err
}

// ref is what a ref leads to now; "" where there is none.
func (s source) ref(ref string, packed map[string]string) string {
	body, err := readFile(s.file(ref), smallMost)
	if absent(err) || errors.Is(err, errKind) { // of a directory with the name: it may be empty
		return packed[ref]
	}
	return strings.TrimSpace(string(body))
}

// anything stands for whatever a ref leads to before it is written.
const anything = "*"

// write makes a ref lead to something, if it leads to what it was taken to.
func (s source) write(ref, old, shall string, packed map[string]string) error {
	if !isRef(ref) {
		return refused("%q is not a valid ref name", ref)
	}
	if err := s.clearRef(ref); err != nil {
		return err
	}
	return s.replace(ref, 0o644, func(w io.Writer) (bool, error) {
		if old != anything && s.ref(ref, packed) != old {
			return true, ErrBusy
		}
		return text([]byte(shall + "\n"))(w)
	})
}

// clearRef removes the directories that have nothing in them in the place of a ref.
func (s source) clearRef(ref string) error {
	a, file, err := s.place(ref)
	if err != nil {
		return err
	}
	return a.Do(file, func(root *os.Root, path string) error {
		var dirs []string
		if there, err := root.Lstat(path); err != nil || !there.IsDir() {
			return nil
		}
		err := fs.WalkDir(root.FS(), path, func(below string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append([]string{below}, dirs...)
			}
			return err
		})
		for _, dir := range dirs {
			err = errors.Join(err, root.Remove(dir))
		}
		return err
	})
}

// delete removes refs, of those that lead to what they were taken to: first from the
// list, so that no older value appears.
func (s source) delete(refs map[string]string) error {
	body, err := s.packedRefs()
	if err != nil {
		return err
	}
	packed := packedIn(body)
	listed := false
	for _, ref := range sortedKeys(refs) {
		if old := refs[ref]; old != anything && s.ref(ref, packed) != old {
			return ErrBusy
		}
		listed = listed || packed[ref] != ""
	}
	if listed {
		err := s.replace("packed-refs", 0o644, func(w io.Writer) (bool, error) {
			body, err := s.packedRefs()
			if err != nil {
				return true, err
			}
			return text(without(body, refs))(w)
		})
		if err != nil {
			return err
		}
	}
	for _, ref := range sortedKeys(refs) {
		if _, err := os.Lstat(s.file(ref)); err != nil {
			continue
		}
		err := s.replace(ref, 0o644, func(io.Writer) (bool, error) {
			if now := s.ref(ref, nil); refs[ref] != anything && now != "" && now != refs[ref] {
				return true, ErrBusy
			}
			return false, nil
		})
		if err != nil {
			return err
		}
		s.prune(ref)
	}
	return nil
}

// without gives git's list of refs without some of them, and without what their tags
// lead to.
func without(list []byte, refs map[string]string) []byte {
	out, left := []byte{}, false
	for line := range bytes.Lines(list) {
		if line[0] != '^' {
			_, ref, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
			_, left = refs[ref]
			left = left && line[0] != '#'
		}
		if !left {
			out = append(out, line...)
		}
	}
	return out
}

// together says why some refs cannot be in one repository: one has the name of a
// directory of another.
func together(refs map[string]string) error {
	for _, ref := range sortedKeys(refs) {
		for _, up := range area.Upwards(filepath.Dir(ref)) {
			if refs[up] != "" {
				return fmt.Errorf("cannot have the ref %s beside %s: rename one of them", ref, up)
			}
		}
	}
	return nil
}
