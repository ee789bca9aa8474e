package trust

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/wholefile"
)

// What one configuration may draw in, far above what any does.
const (
	filesMost = 1000     // that are there
	bytesMost = 32 << 20 // of them
	namesMost = 10_000   // also of files that are not there
)

// fileError is of a file that the configuration draws in.
type fileError struct {
	label string
	err   error
}

func (e *fileError) Error() string {
	err := e.err
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err // label says which
	}
	return fmt.Sprintf("cannot read %s: %v", e.label, err)
}

func (e *fileError) Unwrap() error { return e.err }

// content notes a file by its hash, and returns its text; ok is false of one that is not
// there, which is noted where it is named. A file counts wherever it lies: the folder of
// another workspace is written by others as well.
func (r *reader) content(file string, named bool) (text []byte, ok bool, err error) {
	label := r.label(file)
	text, real, err := r.read(file)
	switch {
	case missing(err):
		if named {
			r.note(file, Act{label, "not there"})
		}
		return nil, false, nil
	case err != nil:
		return nil, false, &fileError{label, err}
	}
	act := Act{label, fmt.Sprintf("as it is now (sha256 %x)", sha256.Sum256(text))}
	if at := r.label(real); at != label {
		act.Text = fmt.Sprintf("a link to %s, %s", at, act.Text)
	}
	r.note(file, act)
	return text, true, nil
}

// missing reports whether there is no file of that name. A folder is none.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR)
}

// note adds the act of a file, once.
func (r *reader) note(file string, act Act) {
	if !r.noted[file] {
		r.noted[file] = true
		r.acts = append(r.acts, act)
	}
}

// found is a file as it was read, or why it was not.
type found struct {
	text []byte
	real string // its path without links
	err  error
}

// read reads a file of the host by its absolute path, once: one of the workspace as such.
func (r *reader) read(file string) (text []byte, real string, err error) {
	if f, ok := r.found[file]; ok {
		return f.text, f.real, f.err
	}
	var f found
	if f.real, f.err = resolve(file); f.err == nil {
		if name, ok := below(r.real, f.real); ok {
			f.text, f.err = r.in(name)
		} else {
			f.text, f.err = wholefile.Read(f.real, wholefile.ByHand)
		}
	}
	r.found[file] = f
	if f.err == nil {
		r.files++
		r.bytes += len(f.text)
	}
	if len(r.found) > namesMost || r.files > filesMost || r.bytes > bytesMost {
		return nil, "", fmt.Errorf("it names more than %d files, or has more than %d or %d MiB of them", namesMost, filesMost, bytesMost>>20)
	}
	return f.text, f.real, f.err
}

// label is how a file is called: by its path in the workspace, if it lies there.
func (r *reader) label(file string) string {
	for _, folder := range []string{r.folder, r.real} {
		if name, ok := below(folder, file); ok {
			return name
		}
	}
	return file
}

func below(folder, file string) (string, bool) {
	name, err := filepath.Rel(folder, file)
	return filepath.ToSlash(name), err == nil && filepath.IsLocal(name)
}

// linksMost is what Linux follows.
const linksMost = 40

// resolve is an absolute path without links, also where it ends at nothing.
func resolve(file string) (string, error) {
	done, rest := "/", strings.Split(filepath.Clean(file), "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			done = filepath.Dir(done)
			continue
		}
		target, err := os.Readlink(filepath.Join(done, name))
		if err != nil { // no link, or nothing
			done = filepath.Join(done, name)
			continue
		}
		if links++; links > linksMost {
			return "", &fs.PathError{Op: "open", Path: file, Err: syscall.ELOOP}
		}
		if filepath.IsAbs(target) {
			done = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return done, nil
}

// variable is what the dev container CLI fills in.
var variable = regexp.MustCompile(`\$\{(.*?)\}`)

// named is the absolute path of a file that devcontainer.json names, with the variables
// filled in of which the host knows what the dev container CLI makes of them.
func (r *reader) named(name string) (string, error) {
	full := variable.ReplaceAllStringFunc(name, func(v string) string {
		parts := strings.Split(v[2:len(v)-1], ":")
		switch {
		case parts[0] == "localWorkspaceFolder":
			return r.folder
		case parts[0] == "localWorkspaceFolderBasename":
			return filepath.Base(r.folder)
		case (parts[0] == "localEnv" || parts[0] == "env") && len(parts) > 1 && parts[1] != "":
			if value, ok := os.LookupEnv(parts[1]); ok {
				return value
			}
			return strings.Join(parts[2:min(3, len(parts))], "")
		}
		return v
	})
	return r.path(r.dir, full, name)
}

// path is a name that is relative to a folder. What is left of variables another program
// fills in.
func (r *reader) path(dir, name, written string) (string, error) {
	if strings.ContainsFunc(name, func(c rune) bool { return strings.ContainsRune("${}", c) || c < ' ' || c == 0x7f }) {
		return "", hint.Wrap(fmt.Errorf("the file %q has a variable in its name: it cannot be looked at", written), "write the file's own name there")
	}
	if filepath.IsAbs(name) {
		return filepath.Clean(name), nil
	}
	return filepath.Join(dir, name), nil
}
