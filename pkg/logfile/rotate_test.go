package logfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/anchor"
	"golang.org/x/sys/unix"
)

// A link, a pipe or somebody's file in the place of a log had the output of a unit, or
// held it up.
func TestPlantedLogs(t *testing.T) {
	link := func(target, path string) error { return os.Symlink(target, path) }
	for name, plant := range map[string]func(target, path string) error{
		"a link": link,
		"a link to nothing": func(target, path string) error {
			return os.Symlink(filepath.Join(filepath.Dir(target), "new"), path)
		},
		"a second name": os.Link,
		"a pipe":        func(_, path string) error { return unix.Mkfifo(path, 0o666) },
		"a folder":      func(_, path string) error { return os.Mkdir(path, 0o755) },
	} {
		for _, when := range []string{"before", "during"} {
			t.Run(name+" "+when, func(t *testing.T) {
				dir, elsewhere := t.TempDir(), t.TempDir()
				target := filepath.Join(elsewhere, "profile")
				logs := New(Options{Dir: dir, MaxSizeMB: 1, Compress: true, MaxAgeDays: -1})
				s, log := logs.Sink("web"), logs.Path("web")
				defer s.Close()
				must(t, os.WriteFile(target, []byte("as it was"), 0o644))
				if when != "before" {
					fmt.Fprintln(s, "a line")
					must(t, os.Remove(log))
				}
				must(t, plant(target, log))
				fmt.Fprintln(s, "the last line")
				if got := read(t, log); !strings.HasSuffix(got, "the last line\n") || s.Dropped() != 0 {
					t.Errorf("the log has %d bytes, %d lines are dropped: %v", len(got), s.Dropped(), s.LastError())
				}
				if info, err := os.Lstat(log); err != nil || !info.Mode().IsRegular() {
					t.Errorf("the log is %v, %v", info, err)
				}
				if aside := logs.Aside(); len(aside) != 1 || !strings.HasPrefix(aside[0], log) {
					t.Errorf("moved aside is %q", aside)
				}
				untouched(t, elsewhere)
			})
		}
	}
}

// A folder in which others can put names, a link for the next backup say, is moved aside
// in the workspace. Elsewhere it is what somebody named.
func TestDirectoryOfOthers(t *testing.T) {
	for name, give := range map[string]func(dir string) error{
		"of another user": func(dir string) error {
			if os.Getuid() != 0 {
				return os.Chmod(dir, 0o777)
			}
			return os.Lchown(dir, 65534, 65534)
		},
		"for all":      func(dir string) error { return os.Chmod(dir, 0o777) },
		"with a stick": func(dir string) error { return os.Chmod(dir, 0o777|os.ModeSticky) },
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			dir := filepath.Join(folder, "logs")
			must(t, os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "web.log"), []byte("theirs\n"), 0o666), give(dir))
			for _, within := range []string{"", folder} {
				logs := New(Options{Dir: dir, Within: within})
				s := logs.Sink("web")
				fmt.Fprintln(s, "ours")
				must(t, s.Close())
				got := read(t, filepath.Join(dir, "web.log"))
				if _, err := logs.Lost(); err != nil || !strings.HasSuffix(got, "ours\n") || strings.Contains(got, "theirs") != (within == "") {
					t.Errorf("within %q the log has %q, %v", within, got, err)
				}
			}
			old := New(Options{Dir: dir}).Aside()
			if len(old) != 1 || !strings.HasPrefix(read(t, filepath.Join(old[0], "web.log")), "theirs\n") {
				t.Errorf("what was there is %q", old)
			}
		})
	}
}

// The folder of the logs, or one above it within the workspace, leads elsewhere by now: no
// line goes there, and they come back with the folder.
func TestRedirectedDirectory(t *testing.T) {
	for _, name := range []string{".devcontainer", ".devcontainer/logs"} {
		folder, elsewhere := t.TempDir(), t.TempDir()
		at := filepath.Join(folder, name)
		must(t, os.WriteFile(filepath.Join(elsewhere, "profile"), []byte("as it was"), 0o600))
		logs := New(Options{Dir: filepath.Join(folder, ".devcontainer/logs"), Within: folder})
		s := logs.Sink("web")
		fmt.Fprintln(s, "before")
		must(t, os.Rename(at, at+".was"), os.Symlink(elsewhere, at))
		fmt.Fprintln(s, "meanwhile")
		untouched(t, elsewhere)
		if _, err := logs.Lost(); !errors.Is(err, anchor.ErrRedirected) {
			t.Errorf("%s: the fault is %v", name, err)
		}
		must(t, os.Remove(at), os.Rename(at+".was", at))
		fmt.Fprintln(s, "after")
		if got := read(t, logs.Path("web")); !strings.HasSuffix(got, "after\n") {
			t.Errorf("%s: the log has %q", name, got)
		}
		must(t, s.Close())
	}
}

// A folder that is no more the log's was closed some time, and its number given out again,
// while what rotates there still went by it.
func TestNumberOfAnOldDirectory(t *testing.T) {
	folder := t.TempDir()
	dir := filepath.Join(folder, "logs")
	logs := New(Options{Dir: dir, Within: folder})
	s := logs.Sink("web")
	defer s.Close()
	fmt.Fprintln(s, "before")
	old := filepath.Dir(logs.file("web").logger.Filename)
	for range 3 {
		must(t, os.RemoveAll(dir))
		fmt.Fprintln(s, "after")
		collected := make(chan struct{})
		runtime.AddCleanup(new(strings.Builder), func(c chan struct{}) { close(c) }, collected)
		runtime.GC()
		<-collected
	}
	if at, err := os.Readlink(old); !strings.HasPrefix(at, dir) {
		t.Errorf("it is %q, %v", at, err)
	}
	if got := read(t, logs.Path("web")); !strings.HasSuffix(got, "after\n") {
		t.Errorf("the log has %q", got)
	}
}

// A reader waited for a pipe in the place of a log, and held all of a huge one in memory.
func TestReadersOfPlantedLogs(t *testing.T) {
	dir := t.TempDir()
	pipe, huge := filepath.Join(dir, "pipe.log"), filepath.Join(dir, "huge.log")
	must(t, unix.Mkfifo(pipe, 0o644), os.WriteFile(huge, nil, 0o644), os.Truncate(huge, 1<<30))
	if err := Read(pipe, 10, &strings.Builder{}); !errors.Is(err, anchor.ErrPlanted) {
		t.Errorf("Read: %v", err)
	}
	if err := Follow(t.Context(), pipe, 10, &strings.Builder{}); !errors.Is(err, anchor.ErrPlanted) {
		t.Errorf("Follow: %v", err)
	}
	for _, lines := range []int{-1, 10} {
		var b counter
		if err := Read(huge, lines, &b); err != nil || b > readMost {
			t.Errorf("%d lines are %d bytes, %v", lines, b, err)
		}
	}
}

type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// untouched holds that a directory has one file, as it was.
func untouched(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	body, err2 := os.ReadFile(filepath.Join(dir, "profile"))
	if errors.Join(err, err2) != nil || len(entries) != 1 || string(body) != "as it was" {
		t.Errorf("elsewhere is %v, %q", entries, body)
	}
}
