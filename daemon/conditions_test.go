package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const installing = `
version: 1
metadata: {org: acme, project: widget, environment: dev}
hooks:
  post_restore:
    - {name: a, command: [npm, ci], when: {changed: [lock, sub/lock], missing: [deps]}}
    - {name: b, command: [always]}
`

// TestDue: a hook with a condition runs where there is something to do, whatever somebody put
// in the place of its files.
func TestDue(t *testing.T) {
	dir := t.TempDir()
	folder, home := filepath.Join(dir, "w"), filepath.Join(dir, "home")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(errors.Join(os.MkdirAll(folder+"/sub", 0o755), os.Mkdir(home, 0o755), os.WriteFile(dir+"/outside", []byte("x"), 0o644)))
	s := installs{wiring(t, installing, "HOME="+home)}
	s.folder = folder
	if s.conditional("b") != nil || s.conditional("c") != nil {
		t.Fatal("a hook without a condition has one")
	}
	h := s.conditional("a")
	put := func(name, text string) func() {
		return func() { must(os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644)) }
	}
	gone := func(name string) { must(os.RemoveAll(filepath.Join(folder, name))) }
	for _, step := range []struct {
		what string
		do   func()
		want string
	}{
		{"no file is there", func() { must(os.Mkdir(folder+"/deps", 0o755)) }, ""},
		{"one came", put("lock", "1"), "it has not run here yet"},
		{"it has run", func() { must(s.succeeded("a", s.fingerprintOf(h))) }, ""},
		{"other content", put("lock", "2"), "has changed"},
		{"content of before", put("lock", "1"), ""},
		{"another came", put("sub/lock", ""), "has changed"},
		{"it went", func() { gone("sub/lock") }, ""},
		{"what it makes went", func() { gone("deps") }, "deps is not there"},
		{"a link in its place", func() { must(os.Symlink("nowhere", folder+"/deps")) }, ""},
		{"a pipe beside it", func() { must(syscall.Mkfifo(folder+"/sub/lock", 0o644)) }, ""},
		{"a link out", func() { gone("lock"); must(os.Symlink(dir+"/outside", folder+"/lock")) }, ""},
		{"the command is another", func() { gone("lock"); put("lock", "1")(); h.Command = []string{"npm", "install"} }, "has changed"},
		{"what is kept is no more", func() { must(os.WriteFile(s.successesFile(), []byte("{"), 0o600)) }, "it has not run here yet"},
		{"the folder went", func() { must(os.RemoveAll(folder)) }, ""},
	} {
		step.do()
		got := s.due(h, s.fingerprintOf(h))
		if (got == "") != (step.want == "") || !strings.Contains(got, step.want) {
			t.Errorf("%s: %q, want %q", step.what, got, step.want)
		}
	}
}

// What is kept of hooks that are no more goes, and that of another folder stays.
func TestSuccesses(t *testing.T) {
	home := t.TempDir()
	s := installs{wiring(t, installing, "HOME="+home)}
	other := s
	other.folder = "/elsewhere"
	for _, err := range []error{s.succeeded("gone", "1"), s.succeeded("a", "2"), other.succeeded("a", "3")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if all := s.successes(); len(all) != 1 || all["a"] != "2" {
		t.Errorf("%v", all)
	}
	if all := other.successes(); all["a"] != "3" {
		t.Errorf("%v", all)
	}
	s.runtime = ""
	if err := s.succeeded("a", "4"); err != nil || s.successesFile() != "" {
		t.Errorf("where nothing can be kept: %v", err)
	}
}

// TestConditionsAttention: one that failed is named, unless a reload removed it.
func TestConditionsAttention(t *testing.T) {
	s, c := wiring(t, installing), newConditions()
	c.note("a", errors.New("exit\nstatus 1"))
	c.note("gone", errors.New("x"))
	said := strings.Join(c.attention(s, "coltecd"), "\n")
	if want := "hook a has not done its work (exit status 1): see coltecd logs a; coltecd start tries again, and so does the next start"; said != want {
		t.Errorf("%q", said)
	}
	if !c.has("a") || !c.has("") || c.has("b") {
		t.Error("what failed is not known")
	}
	c.note("a", nil)
	c.note("gone", nil)
	if c.has("") || len(c.attention(s, "coltecd")) > 0 {
		t.Error("it is well, and said to be not")
	}
}
