package process

import (
	"bytes"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// interpreters run programs whose name is the first argument that is no option.
var interpreters = []string{"node", "bun", "deno", "python", "python3", "sh", "bash", "dash"}

// Running tells which of some programs run in a folder, or in one below it: by the name that a
// command line begins with, that of the script after an interpreter's. One in whose command line
// is a word that programs has for it does not count. A process that does not say in which folder
// it is counts; none does that is hidden from us.
func Running(programs map[string][]string, folder string) map[string]bool {
	running := map[string]bool{}
	dir, err := os.Open("/proc")
	if err != nil {
		return running
	}
	defer dir.Close()
	here, err := os.Stat(folder)
	if err != nil {
		return running
	}
	names, _ := dir.Readdirnames(-1)
	line := make([]byte, 0, 4<<10)
	for _, name := range names {
		if _, err := strconv.Atoi(name); err != nil {
			continue
		}
		if line, err = readAllOf("/proc/"+name+"/cmdline", line[:0]); err != nil { // nothing of a zombie
			continue
		}
		program := programOf(line)
		aside, asked := programs[program]
		if running[program] || !asked || hasWord(line, aside) {
			continue
		}
		running[program] = worksIn("/proc/"+name+"/cwd", here)
	}
	return running
}

// readAllOf reads a file of /proc to the end of what buf has. Of many processes that is a third of
// the calls that an os.File takes, which asks of each whether it can be waited for.
func readAllOf(name string, buf []byte) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return buf, err
	}
	defer unix.Close(fd)
	for {
		buf = slices.Grow(buf, 1)
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		switch {
		case err == unix.EINTR:
		case err != nil || n <= 0:
			return buf, err
		default:
			buf = buf[:len(buf)+n]
		}
	}
}

// deepest is how far below a folder a process is looked for in it.
const deepest = 64

// worksIn reports whether a directory is a folder, or below it, or nobody is told where it is. Files
// are compared, not names: a process may have mounts of its own.
func worksIn(at string, folder os.FileInfo) bool {
	dir, err := os.Stat(at)
	if err != nil {
		return true
	}
	for range deepest {
		if os.SameFile(dir, folder) {
			return true
		}
		at += "/.."
		above, err := os.Stat(at)
		if err != nil || os.SameFile(dir, above) { // the root
			return false
		}
		dir = above
	}
	return false
}

func hasWord(line []byte, words []string) bool {
	for word := range bytes.SplitSeq(line, []byte{0}) {
		if slices.Contains(words, string(word)) {
			return true
		}
	}
	return false
}

// programOf is the name of what a command line runs, without what tells its kind.
func programOf(line []byte) string {
	first, rest, _ := bytes.Cut(line, []byte{0})
	name := plainName(first)
	if !slices.Contains(interpreters, name) {
		return name
	}
	for arg := range bytes.SplitSeq(rest, []byte{0}) {
		if len(arg) > 0 && arg[0] != '-' {
			return plainName(arg)
		}
	}
	return name
}

func plainName(at []byte) string {
	name := path.Base(string(at))
	switch ext := path.Ext(name); ext {
	case ".exe", ".js", ".mjs", ".cjs":
		return strings.TrimSuffix(name, ext)
	}
	return name
}
