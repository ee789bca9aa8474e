package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/console"
	"github.com/coltec/coltec/pkg/status"
)

// shell is a program of a test.
func shell(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// lives reports whether a process is there, and no zombie.
func lives(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := bytes.Cut(b, []byte(") "))
	return err == nil && !bytes.HasPrefix(state, []byte("Z")) && !bytes.HasPrefix(state, []byte("X"))
}

// A program that went well, and left one that has its output open, as ssh's master has, was said to
// have failed.
func TestCarrierOfWhatLeavesSomething(t *testing.T) {
	for _, code := range []int{0, 6} {
		k := carrier{self: shell(t, "sleep 300 &\necho $!\nexit "+strconv.Itoa(code)+"\n"), environ: os.Environ(), more: func(string) []string { return nil }, patience: 2 * time.Second}
		var said []string
		got, err := k.carry(t.Context(), []string{"sync"}, func(l console.Line) { said = append(said, l.Text) })
		if got != code || err != nil || len(said) != 1 {
			t.Fatalf("%d, %v, %q, want %d", got, err, said, code)
		}
		pid, err := strconv.Atoi(said[0])
		if err != nil || !lives(pid) {
			t.Errorf("what it left was ended: %q %v", said, err)
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// A program that does not end when it is told to is ended with all that it has started.
func TestCarrierEndsAll(t *testing.T) {
	k := carrier{self: shell(t, "trap '' TERM\nsleep 300 &\necho $!\nwait\nsleep 300\n"), environ: os.Environ(), more: func(string) []string { return nil }, patience: time.Second}
	ctx, cancel := context.WithCancel(t.Context())
	var pid int
	_, err := k.carry(ctx, []string{"sync"}, func(l console.Line) {
		pid, _ = strconv.Atoi(l.Text)
		cancel()
	})
	if !errors.Is(err, context.Canceled) || pid == 0 {
		t.Fatal(pid, err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(time.Minute); lives(pid); <-tick.C {
		if time.Now().After(until) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("what it started lives on")
		}
	}
}

// Ctrl-C of coltec ui went to the browser, too, which was in its group of processes, and its end killed
// the program that had started it.
func TestBrowserIsTheUsers(t *testing.T) {
	bin := t.TempDir()
	told := filepath.Join(bin, "told")
	if err := errors.Join(syscall.Mkfifo(told, 0o600), os.WriteFile(filepath.Join(bin, "xdg-open"), []byte("#!/bin/sh\necho \"$$ $1\" >\""+told+"\"\nexec sleep 300\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	var said lockedText
	p := newProgram(stdio{strings.NewReader(""), &said, &said}, append(os.Environ(), "DISPLAY=:0"))
	forget := webpage{p}.browse("http://127.0.0.1:7444/#token=abc")
	b, err := os.ReadFile(told)
	word, file, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	pid, wrong := strconv.Atoi(word)
	if err = errors.Join(err, wrong); err != nil {
		t.Fatal(err, said.String())
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	if group, err := syscall.Getpgid(pid); err != nil || group == syscall.Getpgrp() {
		t.Errorf("it is in our group: %v", err)
	}
	forget()
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", file, err)
	}
	if !lives(pid) {
		t.Error("it was ended")
	}
}

// What logs are like is seen without reading them, where a coltecd that lives writes them, and never
// elsewhere.
func TestMarkOf(t *testing.T) {
	folder, elsewhere := t.TempDir(), t.TempDir()
	logs := filepath.Join(folder, logsName)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	web, state := filepath.Join(logs, "web.log"), filepath.Join(logs, status.FileName)
	write(web, "a\n")
	if got := markOf("logs", folder); got != "" {
		t.Errorf("no coltecd writes there: %q", got)
	}
	write(state, "{}")
	first := markOf("logs", folder)
	if first == "" || markOf("status", folder) != "" || markOf("logs", "acme/widget/far") != "" {
		t.Errorf("%q", first)
	}
	write(state, "{} ")
	if got := markOf("logs", folder); got != first {
		t.Errorf("nothing was logged: %q, %q", first, got)
	}
	write(web, "a\nb\n")
	second := markOf("logs", folder)
	write(filepath.Join(logs, "coltecd.log"), "")
	if third := markOf("logs", folder); second == first || third == second {
		t.Errorf("%q, %q, %q", first, second, third)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(state, old, old); err != nil {
		t.Fatal(err)
	}
	if got := markOf("logs", folder); got != "" {
		t.Errorf("no coltecd lives there: %q", got)
	}
	t.Chdir(t.TempDir()) // a folder here may have the name of a workspace of the bucket
	if err := os.MkdirAll(filepath.Join("acme/widget/far", logsName), 0o755); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join("acme/widget/far", logsName, status.FileName), "{}")
	write(filepath.Join("acme/widget/far", logsName, "web.log"), "a")
	if got := markOf("logs", "acme/widget/far"); got != "" {
		t.Errorf("of one that is elsewhere: %q", got)
	}
	for what, plant := range map[string]func() error{
		"a link":  func() error { return os.Symlink(elsewhere, logs) },
		"a pipe":  func() error { return syscall.Mkfifo(logs, 0o644) },
		"a file":  func() error { return os.WriteFile(logs, nil, 0o644) },
		"nothing": func() error { return nil },
	} {
		if err := errors.Join(os.RemoveAll(logs), plant()); err != nil {
			t.Fatal(err)
		}
		write(filepath.Join(elsewhere, status.FileName), "{}")
		if got := markOf("logs", folder); got != "" {
			t.Errorf("%s: %q", what, got)
		}
	}
}
