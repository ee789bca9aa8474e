package logins

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/coltec/coltec/pkg/anchor"
	links "github.com/coltec/coltec/pkg/area"
	"github.com/coltec/coltec/pkg/wholefile"
)

// OwnDir is where coltecd keeps, below the home, what it has seen of logins and those that
// another one replaced. It is in no replica, whatever its spec includes.
const OwnDir = ".coltec/logins"

// area is a home. Whoever works there may put links anywhere: none is followed.
type area struct{ home, workspace string }

// record is what this machine has seen of a login last.
type record struct {
	Format  int     `json:"format"`
	Version version `json:"version"`
	Digest  string  `json:"digest"`            // of its files; "": it was not here
	Removed bool    `json:"removed,omitempty"` // it is not in the bucket any more, and is not pushed again
}

// own is the directory of a workspace's records, below the home.
func (a area) own() string { return path.Join(OwnDir, strings.ReplaceAll(a.workspace, "/", "~")) }

// within does something in a directory below the home. It is made where it is missing, if
// asked for; with its own missing the error is fs.ErrNotExist.
func (a area) within(dir string, made bool, do func(dir *os.Root) error) error {
	home, err := anchor.OpenRoot(a.home, "", 0)
	if err != nil {
		return err
	}
	defer home.Close()
	dir = filepath.FromSlash(dir)
	if err := links.Straight(home, dir); err != nil {
		return err
	}
	if made {
		if err := a.mkdir(home, dir); err != nil {
			return err
		}
	}
	sub, err := home.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer sub.Close()
	return do(sub)
}

// mkdir makes a directory, for nobody but the owner of what it is in.
func (a area) mkdir(home *os.Root, dir string) error {
	for _, up := range links.Upwards(dir) {
		err := home.Mkdir(up, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil && !ours(dir) {
			err = inherit(home, up)
		}
		if err != nil {
			return err
		}
	}
	return links.Straight(home, dir)
}

// ours reports whether a path is coltecd's own, and its user's.
func ours(path string) bool { return strings.HasPrefix(path, ".coltec/") }

// inherit gives something the owner of the directory that it is in, where root made it.
func inherit(root *os.Root, name string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	in, err := root.Lstat(filepath.Dir(name))
	if err != nil {
		return err
	}
	st, ok := in.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return root.Lchown(name, int(st.Uid), int(st.Gid))
}

// read reads the files of a login that are there. An empty one is none: it is being written.
func (a area) read(paths []string) (files []file, err error) {
	left := int64(MaxLogin)
	for _, p := range paths {
		content, err := a.content(p, left)
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && len(content) == 0:
			continue
		case err != nil:
			return nil, fmt.Errorf("cannot read ~/%s: %w", p, plainly(err))
		}
		left -= int64(len(content))
		files = append(files, file{p, content})
	}
	return files, nil
}

// plainly leaves the path out of an error that is told with it.
func plainly(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

func (a area) content(name string, limit int64) (content []byte, err error) {
	err = a.within(path.Dir(name), false, func(dir *os.Root) error {
		f, err := anchor.OpenFile(dir, path.Base(name), os.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		content, err = io.ReadAll(io.LimitReader(f, limit+1))
		if err == nil && int64(len(content)) > limit {
			err = fmt.Errorf("%w: a login has no more than %d bytes", wholefile.ErrTooLarge, MaxLogin)
		}
		return err
	})
	return content, err
}

// write puts a file in its place, whole or not at all. What is there and is no file stays.
func (a area) write(name string, content []byte) error {
	return a.within(path.Dir(name), true, func(dir *os.Root) error {
		base := path.Base(name)
		if s, err := dir.Lstat(base); err == nil && !s.Mode().IsRegular() {
			return anchor.ErrPlanted
		}
		if err := wholefile.WriteIn(dir, base, bytes.NewReader(content), 0o600, wholefile.Durable); err != nil {
			return plainly(err)
		}
		if ours(name) {
			return nil
		}
		return inherit(dir, base)
	})
}

// remove removes a file. What has its name and is no file stays.
func (a area) remove(name string) error {
	err := a.within(path.Dir(name), false, func(dir *os.Root) error {
		s, err := dir.Lstat(path.Base(name))
		if err == nil && !s.Mode().IsRegular() {
			return anchor.ErrPlanted
		}
		if err != nil {
			return err
		}
		return dir.Remove(path.Base(name))
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// place puts the files of a login where they belong; those of names that are not expected
// are of whoever wrote the bucket. A file that the login does not have any more goes.
func (a area) place(paths []string, files []file) error {
	has := map[string][]byte{}
	for _, f := range files {
		has[f.Path] = f.Content
	}
	for _, p := range paths {
		var err error
		if content, ok := has[p]; ok {
			err = a.write(p, content)
		} else {
			err = a.remove(p)
		}
		if err != nil {
			return fmt.Errorf("cannot put ~/%s in its place: %w", p, err)
		}
	}
	return nil
}

// keepAside keeps files that others replace, and says where. Kept twice they are there once.
func (a area) keepAside(agent string, files []file) (dir string, err error) {
	dir = path.Join(a.own(), "aside", agent+"-"+digestOf(files)[:12])
	for _, f := range files {
		if err := a.write(path.Join(dir, strings.ReplaceAll(f.Path, "/", "~")), f.Content); err != nil {
			return "", fmt.Errorf("cannot keep ~/%s aside: %w", f.Path, err)
		}
	}
	return dir, nil
}

// recall reads the record of an agent. One that is not there, or not readable, is of nothing.
func (a area) recall(agent string) (r record) {
	content, err := a.content(path.Join(a.own(), agent+".json"), 64<<10)
	if err != nil || json.Unmarshal(content, &r) != nil || r.Format != payloadFormat {
		return record{}
	}
	return r
}

func (a area) note(agent string, r record) error {
	r.Format = payloadFormat
	b, err := json.Marshal(r)
	if err == nil {
		err = a.write(path.Join(a.own(), agent+".json"), append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cannot note what was seen of the login of %s: %w", agent, err)
	}
	return nil
}

// forget removes the files of a login here, and those that are aside.
func (a area) forget(agent Agent) error {
	var errs []error
	for _, p := range agent.Files {
		if err := a.remove(p); err != nil {
			errs = append(errs, fmt.Errorf("cannot remove ~/%s: %w", p, err))
		}
	}
	err := a.within(a.own(), false, func(own *os.Root) error {
		aside, err := own.OpenRoot("aside")
		if err != nil {
			return err
		}
		defer aside.Close()
		kept, err := fs.ReadDir(aside.FS(), ".")
		for _, e := range kept {
			if strings.HasPrefix(e.Name(), agent.Name+"-") && len(e.Name()) == len(agent.Name)+13 {
				err = errors.Join(err, aside.RemoveAll(e.Name()))
			}
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
