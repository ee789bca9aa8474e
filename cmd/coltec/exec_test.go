package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/sample"
)

// A docker that reads its standard input when it is told to, as the real client does, is
// stopped by the kernel where that is a terminal whose foreground it is not in: `coltec status
// DIR | head` never ended.
func TestPipesAtATerminal(t *testing.T) {
	sample.Long(t)
	home := t.TempDir()
	bin := filepath.Join(home, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	coltec := executable(t, bin)
	dir := filepath.Join(home, "w")
	docker := fmt.Sprintf(`#!/bin/sh
case $1 in
ps) echo abc ;;
inspect) echo '{"ID":"abc","Running":true,"Labels":{"devcontainer.local_folder":"%s"}}' ;;
exec)
	case " $* " in *" --interactive "*) head -c 1 >/dev/null ;; esac
	for i in 1 2 3 4 5; do echo "answer $i"; done
	echo words >&2
	;;
esac
`, dir)
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(docker), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	if out, err := exec.Command(coltec, "new", dir, "--data", "org=acme", "--data", "project=widget", "--data", "env=dev", "--data", "persistence_enabled=false").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, c := range map[string]struct {
		line  string
		typed string
		want  string
	}{
		"status to a reader that goes":  {"coltec status w | head -n 1", "", "answer 1"},
		"status to a pager":             {"coltec status --json w | cat", "", "answer 5"},
		"status to a file":              {"coltec status w >out; tail -n 1 out", "", "answer 5"},
		"logs to a filter":              {"coltec logs w | grep 5", "", "answer 5"},
		"a program to a pipe":           {"coltec exec w -- ls | cat", "x\n", "answer 5"},
		"a program's errors to a file":  {"coltec exec w -- ls 2>errs; cat errs", "x\n", "words"},
		"a program that is given input": {"echo x | coltec exec w -- ls", "", "answer 5"},
		"status in the background":      {"coltec status w >out & wait; tail -n 1 out", "", "answer 5"},
		"a terminal on both sides":      {"coltec status w", "x\n", "answer 5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(home)
			x := onTerminal(t, "bash", "--norc", "-ic", c.line)
			if _, err := io.WriteString(x.pty, c.typed); err != nil {
				t.Fatal(err)
			}
			if code := x.ends(); code != 0 || !strings.Contains(x.said.String(), c.want) {
				t.Errorf("%d\n%s", code, x.said.String())
			}
		})
	}
}

// What coltecd says as next steps is told with what the caller named the workspace; a program of the
// caller's, and what it starts, know nothing of that.
func TestStepsForTheHost(t *testing.T) {
	sample.Long(t)
	home := t.TempDir()
	bin := filepath.Join(home, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	coltec := executable(t, bin)
	dir := filepath.Join(home, "a w")
	docker := fmt.Sprintf(`#!/bin/sh
case $1 in
ps) echo abc ;;
inspect) echo '{"ID":"abc","Running":true,"Labels":{"devcontainer.local_folder":"%s"}}' ;;
exec) echo "$*"; env | grep COLTEC_FOR_HOST ;;
esac
:
`, dir)
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(docker), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	t.Chdir(home)
	run := func(args ...string) string {
		out, err := exec.Command(coltec, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("new", dir, "--data", "org=acme", "--data", "project=widget", "--data", "env=dev", "--data", "persistence_enabled=false")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"sync", "a w"}, "COLTEC_FOR_HOST=a w\n"},
		{[]string{"conflicts", "./a w"}, "COLTEC_FOR_HOST=./a w\n"},
		{[]string{"rewind", "acme/widget/dev", "before"}, "COLTEC_FOR_HOST=acme/widget/dev"},
		{[]string{"agents", "check", "a w"}, "COLTEC_FOR_HOST=a w\n"},
		{[]string{"exec", "a w", "--", "coltecd", "sync"}, ""},
	} {
		if out := run(tt.args...); !strings.Contains(out, tt.want) || tt.want == "" && strings.Contains(out, "COLTEC_FOR_HOST") {
			t.Errorf("%q: %s", tt.args, out)
		}
	}
}

// The verbs that coltecd names to a person on the host are coltec's, with the workspace before all else.
func TestHostVerbs(t *testing.T) {
	app := newApp(newProgram(stdio{}, nil))
	for _, verb := range cmdline.HostVerbs {
		first, second, two := strings.Cut(verb, " ")
		cmd := app.Command(first)
		if cmd != nil && two {
			i := slices.IndexFunc(cmd.Subcommands, func(c *cli.Command) bool { return c.Name == second })
			cmd = cmd.Subcommands[i]
		}
		if cmd == nil || !strings.HasPrefix(cmd.ArgsUsage, "WORKSPACE") && !strings.HasPrefix(cmd.ArgsUsage, "[DIR]") {
			t.Errorf("%s: %+v", verb, cmd)
		}
	}
}
