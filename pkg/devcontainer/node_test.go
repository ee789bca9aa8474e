package devcontainer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/hint"
)

// A CLI without a Node.js to run on was well for doctor, and for up an exit status 127.
func TestWithoutNode(t *testing.T) {
	for text, no := range map[string]bool{
		"/usr/bin/env: ‘node’: No such file or directory": true, "/usr/bin/env: 'node': No such file or directory": true,
		"env: node: No such file or directory": true, "sh: 1: node: not found": true, "exec: node: not found": true,
		"Error: cannot find module 'node-pty'": false, "no such file or directory: /w/node_modules": false, "": false,
	} {
		if got := noNode(text); got != no {
			t.Errorf("%q: %t", text, got)
		}
		_, err := result(nil, errors.New("exit status 127"), []string{text})
		if got := strings.Contains(strings.Join(hint.Of(err), "\n"), "Node.js"); got != no {
			t.Errorf("%q: %q", text, hint.Of(err))
		}
	}
	for name, row := range map[string]struct {
		script, want string
	}{
		"it runs on node":  {"#!/usr/bin/env node\n", "cannot run the dev container CLI"},
		"it answers":       {"#!/bin/sh\necho 0.89.0\n", ""},
		"it knows no flag": {"#!/bin/sh\nexit 2\n", ""},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "devcontainer"), []byte(row.script), 0o755); err != nil {
			t.Fatal(err)
		}
		err := Examine(t.Context(), []string{"PATH=" + dir})
		if (err == nil) != (row.want == "") || err != nil && (!strings.Contains(err.Error(), row.want) || len(hint.Of(err)) != 1) {
			t.Errorf("%s: %v, %q", name, err, hint.Of(err))
		}
	}
	if err := Examine(t.Context(), []string{"PATH=/nonexistent"}); err == nil || !strings.Contains(err.Error(), "on PATH") {
		t.Errorf("without one: %v", err)
	}
}
