package gitstate

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/area"
)

// joining is one merge.
type joining struct {
	k                   *Keeper
	a                   Arrival
	base, local, remote *side   // base is nil where nothing is agreed
	git                 *runner // sees the objects that are here
	format              string  // of the objects
	stamp               string
	held                map[string]bool // branches that other working trees here have checked out

	refs  map[string]string // as they shall be; the stash is apart
	kept  map[string]string // refs under KeptRefs that shall be made
	takes map[string]word   // of working trees, "" for the main one
	logs  map[string][]byte // of the local side, as they were: git adds to them
}

// word is a decision on something that both sides may have.
type word int

const (
	ours   word = iota // the local version counts
	theirs             // the remote one
	both               // the remote one, while the local one is to be kept too
)

// decided says whose version of something counts. nil stands for none.
func (j *joining) decided(base, local, remote []byte) word {
	same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	switch {
	case same(local, remote), j.base == nil && remote == nil:
		return ours
	case j.base == nil && local == nil:
		return theirs
	case j.base == nil:
		return both
	case same(base, local):
		return theirs
	case same(base, remote): // also what was removed here
		return ours
	case local == nil:
		return theirs
	case remote == nil:
		return ours
	}
	return both
}

// decidedOf is decided for a ref, or for its log. A branch that another working tree has
// checked out is not moved under it: it would show changes that nobody made.
func (j *joining) decidedOf(ref string, base, local, remote []byte) word {
	word := j.decided(base, local, remote)
	if word == theirs && local != nil && j.held[ref] {
		return ours
	}
	return word
}

// trees lists the working trees of both sides: "" for the main one, else
// "worktrees/NAME/".
func (j *joining) trees() []string {
	found := map[string]bool{"": true}
	for _, s := range []*side{j.local, j.remote} {
		for i := range s.files.items {
			if name, rest, ok := cutTree(s.files.items[i].path); ok && rest != "" {
				found["worktrees/"+name+"/"] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// after is the side that a working tree will be of.
func (j *joining) after(tree string) *side {
	if j.takes[tree] == ours {
		return j.local
	}
	return j.remote
}

// reading is a git that reads an index of a side with the objects that are here.
func (j *joining) reading(s *side, index string) (*runner, error) {
	r, err := j.k.scratchGit("reading.git", j.format, j.local.file("objects"))
	if err != nil {
		return nil, err
	}
	for i := range s.files.items {
		if path := s.files.items[i].path; filepath.Dir(path) == filepath.Dir(index) && strings.HasPrefix(filepath.Base(path), "sharedindex.") {
			if err := s.src.copy(j.k.area(), path, filepath.Join(r.dir, filepath.Base(path))); err != nil {
				return nil, err
			}
		}
	}
	r.index = s.file(index)
	return r, nil
}

// clear makes the way to a file free that is going to be written: a link in the place
// of a directory would lead the file to somebody else's, and a directory with the
// file's name would keep it out. They are kept as any version that loses its name.
func (j *joining) clear(path string) error {
	for _, up := range area.Upwards(filepath.Dir(path)) { // the uppermost first: what is below a link is not of the repository
		if s, err := os.Lstat(j.local.file(up)); needed(up) || err != nil || s.IsDir() {
			continue
		}
		if err := j.keepFile(up); err != nil {
			return err
		}
		if err := j.local.src.remove(up); err != nil {
			return err
		}
	}
	a, file, err := j.local.src.place(path)
	if err != nil {
		return err
	}
	if s, err := os.Lstat(file); err != nil || !s.IsDir() {
		return nil
	}
	for i := range j.local.files.items {
		below := j.local.files.items[i].path
		if _, err := os.Lstat(j.local.file(below)); err != nil || !strings.HasPrefix(below, path+"/") || j.remote.files.find(below) != nil {
			continue
		}
		if base, local := j.base.read(below), j.local.read(below); bytes.Equal(base, local) && base != nil {
			continue // the remote side removed it
		}
		if err := j.keepFile(below); err != nil {
			return err
		}
	}
	return a.RemoveAll(file) // samples of git's may be left in it
}

// replace writes a file of the repository.
func (j *joining) replace(path string, body []byte, mode os.FileMode) error {
	if err := j.clear(path); err != nil {
		return err
	}
	return j.local.src.replace(path, mode, text(body))
}

// bring makes a file of the repository the remote side's; it goes when that has
// none.
func (j *joining) bring(path string) error {
	f, src := j.remote.files.find(path), j.local.src
	if f == nil {
		if j.local.files.find(path) == nil {
			return nil
		}
		return src.remove(path)
	}
	if err := j.clear(path); err != nil {
		return err
	}
	if f.link {
		target, err := os.Readlink(j.remote.file(path))
		if err != nil {
			return err
		}
		a, file, err := src.place(path)
		return errors.Join(err, a.Remove(file), a.Link(target, file))
	}
	in, err := openFile(j.remote.file(path))
	if err != nil {
		return err
	}
	defer in.Close()
	return src.replace(path, f.mode, func(w io.Writer) (bool, error) {
		_, err := io.Copy(w, in)
		return true, err
	})
}

// keep has an object kept under a name, unless what the refs shall be reaches
// it.
func (j *joining) keep(ctx context.Context, name, oid string) error {
	there, err := j.git.existing(ctx, []string{oid})
	if err != nil || !there[oid] {
		return err
	}
	var in strings.Builder
	in.WriteString(oid + "\n")
	shall := map[string]bool{}
	for _, value := range j.refs {
		shall[value] = true
	}
	for _, value := range j.kept {
		shall[value] = true
	}
	for _, tree := range j.trees() {
		shall[j.after(tree).head(tree)] = true
	}
	var values []string
	for value := range shall {
		if isOID(value) {
			values = append(values, value)
		}
	}
	known, err := j.git.existing(ctx, values)
	if err != nil {
		return err
	}
	for _, value := range slices.Sorted(maps.Keys(known)) {
		in.WriteString("^" + value + "\n")
	}
	reached := true
	err = j.git.run(ctx, strings.NewReader(in.String()), func(string) error { reached = false; return nil },
		"rev-list", "--max-count=1", "--objects", "--stdin")
	if ended(ctx, err) { // an object is missing: nobody knows, and nothing is lost by keeping
		err, reached = nil, false
	}
	if err == nil && !reached {
		j.kept[KeptRefs+refName(j.k.Env)+"/"+j.stamp+"/"+name] = oid
	}
	return err
}

// keepFile keeps the local version of a file where the keeper is told to.
func (j *joining) keepFile(path string) error {
	if j.k.Kept == nil {
		return refused("%s differs on both sides", path)
	}
	to := filepath.Join(j.k.Kept(), j.a.Dir, path)
	return errors.Join(j.k.area().Remove(to), j.local.src.copy(j.k.area(), path, to))
}

// ancestor says whether a commit is reachable from another, or a tag: two of the same commit
// are two.
func (j *joining) ancestor(ctx context.Context, old, young string) (bool, error) {
	reached := true
	err := j.git.run(ctx, strings.NewReader(old+"\n^"+young+"\n"), func(string) error { reached = false; return nil },
		"rev-list", "--max-count=1", "--objects", "--filter=tree:0", "--stdin")
	if ended(ctx, err) { // an object is missing: not that anybody knew
		return false, nil
	}
	return reached, err
}

// ended says that git ended by itself, and with an error.
func ended(ctx context.Context, err error) bool {
	return ctx.Err() == nil && errors.As(err, new(*exec.ExitError)) && !errors.Is(err, errStalled)
}
