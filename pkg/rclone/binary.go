package rclone

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/hint"
)

// Version is major, minor and patch.
type Version [3]int

// Needed is the oldest rclone that honours If-None-Match and If-Match on an
// upload. An older one ignores them and writes: two holders of one lease.
var Needed = Version{1, 72, 0}

// String writes a version as rclone does.
func (v Version) String() string { return fmt.Sprintf("v%d.%d.%d", v[0], v[1], v[2]) }

// Less reports whether v is older than w.
func (v Version) Less(w Version) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}

// Binary is an rclone that was asked for its version.
type Binary struct {
	Path    string
	Version Version
}

// ErrNoBinary says that there is no rclone to run.
var ErrNoBinary = errors.New("no rclone found")

// versionLimit bounds `rclone version`, which takes 40 ms on an idle machine
// and reads nothing but itself.
const versionLimit = 20 * time.Second

// slowVersion is when somebody who waits for that wants to know for what.
const slowVersion = 2 * time.Second

type toldKey struct{}

// Telling gives a context in which tell is called where an rclone takes longer than two seconds to
// say its version, as [net/http/httptrace.WithClientTrace] does for requests: a wrapper may
// wait for a network, or for somebody.
func Telling(ctx context.Context, tell func(path string)) context.Context {
	return context.WithValue(ctx, toldKey{}, tell)
}

// Find finds the rclone to run: COLTEC_RCLONE, then one beside our own
// executable, then PATH. What COLTEC_RCLONE names is used or refused, never
// passed by.
func Find(ctx context.Context, env Lookup) (Binary, error) {
	if path, _ := env("COLTEC_RCLONE"); path != "" {
		return Check(ctx, path)
	}
	if self, err := os.Executable(); err == nil {
		if path := filepath.Join(filepath.Dir(self), "rclone"); runnable(path) {
			return Check(ctx, path)
		}
	}
	pathList, _ := env("PATH")
	for _, dir := range filepath.SplitList(pathList) {
		if path := filepath.Join(dir, "rclone"); filepath.IsAbs(path) && runnable(path) {
			return Check(ctx, path)
		}
	}
	return Binary{}, hint.Wrap(fmt.Errorf("cannot find rclone: %w beside coltecd or on PATH", ErrNoBinary),
		"put rclone %s or newer beside coltecd or on PATH, or set COLTEC_RCLONE to its path", Needed)
}

// runnable reports whether path is a file that somebody may execute. Who that
// is the kernel decides: the binary is installed 0711, and cannot be read.
func runnable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// Check asks the rclone at path for its version and refuses one that is too old.
func Check(ctx context.Context, path string) (Binary, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, versionLimit, fmt.Errorf("no answer in %s", versionLimit))
	defer cancel()
	if tell, ok := ctx.Value(toldKey{}).(func(string)); ok {
		defer time.AfterFunc(slowVersion, func() { tell(path) }).Stop()
	}
	// It asks lsb_release, a script that takes longer than all else, what system this
	// is, where it finds that.
	out, err := askVersion(ctx, path, "PATH=/nonexistent")
	if err != nil && ctx.Err() == nil { // it may be a script itself
		out, err = askVersion(ctx, path, "PATH=/usr/bin:/bin")
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		return Binary{}, hint.Wrap(fmt.Errorf("cannot run rclone %q: %w: %w", path, ErrNoBinary, err),
			"put rclone %s or newer there, or set COLTEC_RCLONE to the right path", Needed)
	}
	if err != nil {
		return Binary{}, hint.Wrap(fmt.Errorf("cannot run rclone %q: %w", path, err),
			"run `%s version` by hand, or set COLTEC_RCLONE to another rclone", path)
	}
	version, ok := parseVersion(string(out))
	if !ok {
		return Binary{}, hint.Wrap(fmt.Errorf("cannot use rclone %q: it does not print an rclone's version", path),
			"set COLTEC_RCLONE to an rclone %s or newer", Needed)
	}
	if version.Less(Needed) {
		return Binary{}, hint.Wrap(fmt.Errorf("cannot use rclone %q: it is %s, and %s or newer is needed", path, version, Needed),
			"older ones ignore conditional writes, which the lease stands on: update it, or set COLTEC_RCLONE to a newer one")
	}
	return Binary{Path: path, Version: version}, nil
}

// versionLine is the first line of `rclone version`; a pre-release carries a
// suffix and counts as its version, a Debian build reads "v1.60.1-DEV".
var versionLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^rclone v(\d+)\.(\d+)(?:\.(\d+))?`) })

// parseVersion reads what `rclone version` printed.
func parseVersion(out string) (v Version, ok bool) {
	m := versionLine().FindStringSubmatch(out)
	if m == nil {
		return v, false
	}
	for i := range v {
		v[i], _ = strconv.Atoi(m[i+1]) // digits, or empty for 0
	}
	return v, true
}

func askVersion(ctx context.Context, path, search string) ([]byte, error) {
	cmd := command(ctx, path, "version")
	cmd.Env = []string{"RCLONE_CONFIG=" + noConfig, "HOME=/", search, seldomCollected}
	return cmd.Output()
}
