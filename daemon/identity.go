package daemon

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/store"
)

// hostVar names the machine to people, where the name of its kernel says nothing: a
// container's own is a number.
const hostVar = "COLTEC_HOST"

// hostName names this machine to people.
func (s setting) hostName() string {
	if name, ok := lookup(s.environ)(hostVar); ok {
		return name
	}
	host, _ := os.Hostname()
	return host
}

// holder identifies us to whoever finds our lease: see store.Holder.Same for what that is
// used for, and gone for what it proves.
func (s setting) holder() store.Holder {
	h := store.Holder{
		Host: s.hostName(), Container: containerID(), Boot: bootID(), Instance: store.NewID(),
		PID: os.Getpid(), Start: int64(ProcStart(os.Getpid())), Space: space(), Machine: machineID(),
	}
	h.Place, _ = inodeOf(s.folder)
	h.ID, _ = s.ownID()
	if s.ground != nil {
		h.Ground = s.ground.id
	}
	return h
}

// gone reports whether a holder that looks like ourselves has ended for certain, so
// that we may continue its lease. Only this very kernel, since this boot, can tell: we know
// nothing about a holder of another boot, since a clone has one too.
//
// While it lived it had its ground locked, and while it has that open the inode is
// nobody else's: whoever has the lock now came after it. That holds in any container
// or namespace. Without a lock we look for its process, which works only where we can see
// its pid: in another pid namespace the number is nobody's, or somebody else's.
func (s setting) gone(h store.Holder) bool {
	switch {
	case h.Boot == "" || h.Boot != bootID():
		return false
	case s.ground != nil && h.Ground == s.ground.id:
		return true
	}
	return h.Space != "" && h.Space == space() && int64(ProcStart(h.PID)) != h.Start
}

func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

// space names the namespaces in which a pid and its start mean something; "" where
// /proc shows other ones than those that we are in.
func space() string {
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		return ""
	}
	pids, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	times, _ := os.Readlink("/proc/self/ns/time") // a kernel may have none
	return pids + times
}

// machineID is a hash of the machine-id, which is not for others to read; "" where
// there is none. Containers of one image, and clones, have the same.
func machineID() string {
	for _, file := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		b, _ := os.ReadFile(file)
		id := strings.TrimSpace(string(b))
		if raw, err := hex.DecodeString(id); err == nil && len(raw) == 16 {
			mac := hmac.New(sha256.New, raw)
			mac.Write([]byte("coltec machine"))
			return hex.EncodeToString(mac.Sum(nil)[:12])
		}
	}
	return ""
}

// containerPaths are how the files of a container, or of a pod, are mounted into it by
// Docker and Podman, by containerd and by the kubelet: the one place that shows an id
// whatever the hostname is.
var containerPaths = []string{
	`containers/([0-9a-f]{64})/`,
	`sandboxes/([0-9a-f]{64})/`,
	`/pods/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})/`,
}

// containerID names the container or pod that we are in; "" outside of any. With
// --uts=host all containers of a machine share the hostname.
func containerID() string {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	if id := containerIn(mounts); id != "" {
		return id
	}
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(mark); err == nil {
			host, _ := os.Hostname()
			return host
		}
	}
	return ""
}

// containerIn finds the id of a container in its mounts.
func containerIn(mounts []byte) string {
	for _, path := range containerPaths {
		if m := regexp.MustCompile(path).FindSubmatch(mounts); m != nil { // asked seldom, and kept by nobody
			return string(m[1][:12])
		}
	}
	return ""
}

// ownID is a random id that is kept for the user of this machine, outside of every
// synced tree, and where; both "" where nothing can be kept, and in a dry run. An
// image may have it baked in, and a clone has it too: then status says so, once both
// are seen to live.
func (s setting) ownID() (id, path string) {
	if s.runtime == "" {
		return "", ""
	}
	for _, dir := range s.idDirs() {
		path := filepath.Join(dir, "id")
		if id, err := keptID(path); err == nil {
			return id, path
		}
	}
	return "", ""
}

// idDirs are where the id may be kept: what lives as long as the machine, or the
// container. Their parents are there already, or they are not made.
func (s setting) idDirs() []string {
	var dirs []string
	add := func(base string, below ...string) {
		if info, err := os.Stat(base); base != "" && err == nil && info.IsDir() {
			dirs = append(dirs, filepath.Join(append([]string{base}, below...)...))
		}
	}
	get := lookup(s.environ)
	if state, ok := get("XDG_STATE_HOME"); ok {
		add(state, "coltec")
	}
	home, _ := get("HOME")
	add(home, ".local", "state", "coltec")
	add("/var/tmp", fmt.Sprintf("coltec-%d", os.Getuid()))
	place := control.Runtime{}
	for _, y := range s.spec.Persistence.Sync {
		place.Avoid = append(place.Avoid, y.Trees()...)
	}
	out := dirs[:0]
	for _, dir := range dirs {
		if !place.Synced(dir) {
			out = append(out, dir)
		}
	}
	return out
}

func isID(text string) bool { return len(text) == 24 && strings.Trim(text, "0123456789abcdef") == "" }

// keptID reads the id at path, or makes one: a file that is there is whole.
func keptID(path string) (string, error) {
	id, err := readID(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if info, err := os.Lstat(dir); err != nil || !info.IsDir() || int(info.Sys().(*syscall.Stat_t).Uid) != os.Getuid() {
		return "", errors.Join(err, fmt.Errorf("cannot use %s: it is not a directory of our own", dir))
	}
	temp, err := os.CreateTemp(dir, "id-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(store.NewID() + "\n")
	if err := errors.Join(err, temp.Close()); err != nil {
		return "", err
	}
	// Of two that make one at once both have the same.
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return readID(path)
}

func readID(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > 64 { // no device or pipe is waited for
		return "", fmt.Errorf("cannot use %s: it is not an id", path)
	}
	b, err := os.ReadFile(path)
	id := strings.TrimSpace(string(b))
	if err == nil && !isID(id) {
		err = fmt.Errorf("cannot use %s: it is not an id", path)
	}
	return id, err
}

// distinct is what gives one of two machines that pass for one an identity of its own.
func (s setting) distinct() string {
	if _, path := s.ownID(); path != "" {
		return fmt.Sprintf("on one of them, stop coltecd, remove %s and start it again", path)
	}
	return "start coltecd on one of them with another COLTEC_HOST"
}
