package gitstate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/area"
	"github.com/coltec/coltec/pkg/wholefile"
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
	for _, ref := range slices.Sorted(maps.Keys(refs)) {
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
	for _, ref := range slices.Sorted(maps.Keys(refs)) {
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
	for _, ref := range slices.Sorted(maps.Keys(refs)) {
		for _, up := range area.Upwards(filepath.Dir(ref)) {
			if refs[up] != "" {
				return fmt.Errorf("cannot have the ref %s beside %s: rename one of them", ref, up)
			}
		}
	}
	return nil
}

// packedIn reads git's file of refs.
func packedIn(body []byte) map[string]string {
	refs := map[string]string{}
	for line := range strings.Lines(string(body)) {
		oid, ref, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if ok && isOID(oid) && isRef(ref) {
			refs[ref] = oid
		}
	}
	return refs
}

// packedRefs writes git's file of refs.
func packedRefs(refs map[string]string) []byte {
	var b bytes.Buffer
	b.WriteString("# pack-refs with: sorted \n")
	for _, ref := range slices.Sorted(maps.Keys(refs)) {
		fmt.Fprintf(&b, "%s %s\n", refs[ref], ref)
	}
	return b.Bytes()
}

// readRefs reads the refs of a repository: name → object, or "ref: NAME"; and lists
// those that are neither.
func readRefs(src source, l listing) (refs map[string]string, damaged []string, err error) {
	packed, err := readFile(src.file("packed-refs"), textMost)
	if errors.Is(err, errKind) {
		return nil, nil, refused("packed-refs is %s, not a file: its refs cannot be read", kindAt(src.file("packed-refs")))
	}
	if err != nil && !absent(err) {
		return nil, nil, err
	}
	refs = packedIn(packed)
	for i := range l.items {
		f := &l.items[i]
		if !isRef(f.path) {
			continue
		}
		body, err := readFile(src.file(f.path), smallMost)
		if absent(err) || errors.Is(err, errKind) || errors.Is(err, fs.ErrPermission) || errors.Is(err, wholefile.ErrTooLarge) {
			damaged = append(damaged, f.path)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		value := strings.TrimSpace(string(body))
		if !isOID(value) && !strings.HasPrefix(value, "ref: ") {
			damaged = append(damaged, f.path)
			continue
		}
		refs[f.path] = value
	}
	for _, o := range l.odd {
		if strings.HasPrefix(o.path, "refs/") {
			damaged = append(damaged, o.path)
		}
	}
	return refs, damaged, nil
}
