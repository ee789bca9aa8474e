package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/coltec/coltec/pkg/hint"
)

// errPerson marks errors that trying again will not heal.
var errPerson = errors.New("needs a person")

// personError is an error that only a person can heal.
type personError struct{ error }

func (personError) Is(target error) bool { return target == errPerson }

// Unwrap keeps hints and causes.
func (e personError) Unwrap() error { return e.error }

// NeedsPerson reports whether trying again will not heal err: somebody must change the
// user of the unit, or ours.
func NeedsPerson(err error) bool { return errors.Is(err, errPerson) }

func notPermitted(name string) error {
	return personError{hint.Wrap(fmt.Errorf("not permitted to become user %q as uid %d", name, os.Geteuid()),
		"run coltecd as root, or leave the unit's user out")}
}

// credential is who the child runs as: nil for ourselves, else with the
// supplementary groups of the user, as a login would give.
func credential(spec string) (*syscall.Credential, error) {
	if spec == "" {
		return nil, nil
	}
	name, group, _ := strings.Cut(spec, ":")
	u, err := lookupUser(name)
	if err != nil {
		return nil, personError{fmt.Errorf("user %q: %w", name, err)}
	}
	cred, err := numbers(u)
	if err != nil {
		return nil, err
	}
	if group != "" {
		if cred.Gid, err = lookupGroup(group); err != nil {
			return nil, personError{fmt.Errorf("group %q: %w", group, err)}
		}
	}
	if int(cred.Uid) == os.Geteuid() && int(cred.Gid) == os.Getegid() && os.Geteuid() != 0 {
		return nil, nil // ourselves; setgroups would be refused
	}
	if os.Geteuid() != 0 {
		return nil, notPermitted(spec)
	}
	return cred, nil
}

func numbers(u *user.User) (*syscall.Credential, error) {
	uid, err1 := id(u.Uid)
	gid, err2 := id(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	cred := &syscall.Credential{Uid: uid, Gid: gid}
	groups, err := u.GroupIds()
	if err != nil { // a bare uid has none
		groups = nil
	}
	for _, g := range groups {
		n, err := id(g)
		if err != nil {
			return nil, err
		}
		cred.Groups = append(cred.Groups, n)
	}
	return cred, nil
}

// lookupUser knows names and numbers; a number need not be in /etc/passwd.
func lookupUser(name string) (*user.User, error) {
	u, err := user.Lookup(name)
	if err == nil {
		return u, nil
	}
	if _, numErr := id(name); numErr != nil {
		return nil, err
	}
	if u, err := user.LookupId(name); err == nil {
		return u, nil
	}
	return &user.User{Uid: name, Gid: name}, nil
}

func lookupGroup(name string) (uint32, error) {
	if g, err := user.LookupGroup(name); err == nil {
		return id(g.Gid)
	} else if n, numErr := id(name); numErr == nil {
		return n, nil
	} else {
		return 0, err
	}
}

func id(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err
}

// defaultPath is where commands are looked up when the environment has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookPath finds the file of Argv[0] as the child would: in the PATH of its own
// environment, and from its own directory.
func lookPath(spec Spec) (string, error) {
	if len(spec.Argv) == 0 || spec.Argv[0] == "" {
		return "", errors.New("there is no command")
	}
	name := spec.Argv[0]
	if strings.Contains(name, "/") {
		return executable(spec.Dir, name)
	}
	for _, dir := range filepath.SplitList(pathOf(spec.Env)) {
		if path, err := executable(spec.Dir, filepath.Join(dir, name)); err == nil && dir != "" {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w in PATH of the unit", fs.ErrNotExist)
}

// pathOf is the PATH of an environment; the last one counts.
func pathOf(env []string) string {
	path := ""
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	if path == "" {
		return defaultPath
	}
	return path
}

// executable reports whether path can be run; relative ones start at dir. Go changes
// the directory before it starts the file, so the path itself stays relative.
func executable(dir, path string) (string, error) {
	full := path
	if !filepath.IsAbs(full) {
		full = filepath.Join("/", dir, full)
	}
	info, err := os.Stat(full)
	switch {
	case err != nil:
		return "", err
	case info.IsDir():
		return "", &fs.PathError{Op: "run", Path: full, Err: syscall.EISDIR}
	case info.Mode()&0o111 == 0:
		return "", &fs.PathError{Op: "run", Path: full, Err: syscall.EACCES}
	}
	return full, nil
}
