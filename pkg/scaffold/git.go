package scaffold

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/pkg/hint"
)

// IsURL reports whether ref is a git repository: URL[//FOLDER][#REF], with a URL of
// https, http, ssh or file, or as git@host:path.
func IsURL(ref string) bool {
	for _, prefix := range []string{"https://", "http://", "ssh://", "file://", "git@"} {
		if strings.HasPrefix(ref, prefix) {
			return true
		}
	}
	return false
}

// splitURL takes URL[//FOLDER][#REF] apart.
func splitURL(s string) (url, folder, ref string) {
	url, ref, _ = strings.Cut(s, "#")
	start := 0
	if i := strings.Index(url, "://"); i >= 0 {
		start = i + len("://")
	}
	// file:///path begins with a slash of its own: two in a row come after it.
	if i := strings.Index(url[start:], "//"); i >= 0 {
		url, folder = url[:start+i], strings.Trim(url[start+i:], "/")
	}
	if folder == "" {
		folder = "."
	}
	return url, folder, ref
}

// clone gets the repository that s names into a new directory of the system's
// temporary ones, and returns it and the template's folder in it.
func clone(s string) (dir, folder string, err error) {
	url, folder, ref := splitURL(s)
	if !fs.ValidPath(folder) {
		return "", "", fmt.Errorf("folder %q leaves the repository", folder)
	}
	git, err := exec.LookPath("git")
	if err != nil {
		return "", "", hint.Wrap(errors.New("git is not installed"), "install git, or give the path of a directory")
	}
	if dir, err = os.MkdirTemp("", "coltec-template-"); err != nil {
		return "", "", err
	}
	args := []string{"clone", "--quiet", "--depth=1", "--no-tags"}
	if ref != "" {
		args = append(args, "--branch="+ref)
	}
	run := func(args ...string) error {
		cmd := exec.Command(git, args...)
		// No question on the terminal, and no transport that runs a command of the URL's.
		cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL="+transports(url))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(strings.ReplaceAll(string(out), "\r", "")))
		}
		return nil
	}
	if err := run(append(args, "--", url, dir)...); err != nil {
		os.RemoveAll(dir)
		return "", "", hint.Wrap(fmt.Errorf("git clone: %w", err), "a template in git is URL[//FOLDER][#BRANCH or #TAG]")
	}
	err = run("-C", dir, "submodule", "--quiet", "update", "--init", "--recursive")
	if err == nil {
		err = withoutGit(dir)
	}
	if err != nil {
		os.RemoveAll(dir)
		return "", "", hint.Wrap(fmt.Errorf("its submodules cannot be had: git submodule: %w", err), "give git the right to read them, or make them plain folders of the template")
	}
	return dir, folder, nil
}

// transports are those by which git may get a repository and its submodules: one from
// elsewhere names no folder of this machine.
func transports(url string) string {
	if strings.HasPrefix(url, "file://") {
		return "https:http:ssh:file"
	}
	return "https:http:ssh"
}

// withoutGit removes the files by which submodules name their repository: they are no part of
// a template.
func withoutGit(dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.Name() != ".git":
			return err
		case d.IsDir():
			return fs.SkipDir
		}
		return os.Remove(name)
	})
}
