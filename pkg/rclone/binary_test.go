package rclone

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/hint"
)

// sayVersion is a script that prints a version.
func sayVersion(v string) string { return "echo 'rclone " + v + "'; echo '- os/version: x'" }

func TestFind(t *testing.T) {
	good, newer := fake(t, sayVersion("v1.72.0")).Path, fake(t, sayVersion("v1.80.1-beta.3")).Path
	old := fake(t, sayVersion("v1.60.1-DEV")).Path
	garbage := fake(t, "echo hello").Path
	broken := fake(t, "exit 3").Path
	notExecutable := filepath.Join(t.TempDir(), "rclone")
	if err := os.WriteFile(notExecutable, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path := func(files ...string) string {
		dirs := []string{"/nonexistent", "relative"}
		for _, f := range files {
			dirs = append(dirs, filepath.Dir(f))
		}
		return strings.Join(dirs, ":")
	}
	tests := map[string]struct {
		env  map[string]string
		want Binary
		err  string
		hint string
	}{
		"named":               {map[string]string{"COLTEC_RCLONE": newer, "PATH": path(good)}, Binary{newer, Version{1, 80, 1}}, "", ""},
		"on the path":         {map[string]string{"PATH": path(notExecutable, good, newer)}, Binary{good, Version{1, 72, 0}}, "", ""},
		"named and missing":   {map[string]string{"COLTEC_RCLONE": "/nonexistent/rclone", "PATH": path(good)}, Binary{}, `cannot run rclone "/nonexistent/rclone": no rclone found`, "COLTEC_RCLONE"},
		"nowhere":             {map[string]string{"PATH": "/nonexistent"}, Binary{}, "cannot find rclone: no rclone found beside coltecd or on PATH", "v1.72.0 or newer"},
		"too old":             {map[string]string{"PATH": path(old)}, Binary{}, "it is v1.60.1, and v1.72.0 or newer is needed", "conditional writes"},
		"something else":      {map[string]string{"COLTEC_RCLONE": garbage}, Binary{}, "does not print an rclone's version", "COLTEC_RCLONE"},
		"broken":              {map[string]string{"COLTEC_RCLONE": broken}, Binary{}, "exit status 3", "by hand"},
		"empty counts as not": {map[string]string{"COLTEC_RCLONE": "", "PATH": path(good)}, Binary{good, Version{1, 72, 0}}, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Find(t.Context(), lookupIn(tt.env))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if tt.err == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("got %v, want %q", err, tt.err)
			}
			if !strings.Contains(strings.Join(hint.Of(err), "\n"), tt.hint) {
				t.Errorf("hints %q, want %q", hint.Of(err), tt.hint)
			}
		})
	}
	if _, err := Find(t.Context(), noEnv); !errors.Is(err, ErrNoBinary) {
		t.Errorf("got %v", err)
	}
}

func TestVersions(t *testing.T) {
	tests := map[string]struct {
		want Version
		ok   bool
	}{
		"rclone v1.76.0\n- os":   {Version{1, 76, 0}, true},
		"rclone v1.72\n":         {Version{1, 72, 0}, true},
		"rclone v2.0.1-beta.1":   {Version{2, 0, 1}, true},
		"NOTICE\nrclone v1.72.3": {Version{1, 72, 3}, true},
		"rclone 1.72":            {Version{}, false},
		"":                       {Version{}, false},
	}
	for out, tt := range tests {
		if got, ok := parseVersion(out); got != tt.want || ok != tt.ok {
			t.Errorf("parseVersion(%q) = %v %v", out, got, ok)
		}
	}
	ordered := []Version{{1, 9, 9}, {1, 72, 0}, {1, 72, 1}, {2, 0, 0}}
	for i, a := range ordered {
		for j, b := range ordered {
			if a.Less(b) != (i < j) {
				t.Errorf("%s < %s = %v", a, b, a.Less(b))
			}
		}
	}
}

// A script that needs PATH is an rclone too.
func TestCheckAScript(t *testing.T) {
	script := fake(t, "exec env echo 'rclone v1.80.0'").Path
	if b, err := Check(t.Context(), script); err != nil || b.Version != (Version{1, 80, 0}) {
		t.Errorf("version %v, %v", b.Version, err)
	}
}

// A wrapper that waits for something kept coltec silent for twenty seconds.
func TestCheckTells(t *testing.T) {
	sample.Long(t)
	hangs := fake(t, "exec sleep 60").Path
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan string, 1)
	_, err := Check(Telling(ctx, func(path string) { told <- path; cancel() }), hangs)
	if !errors.Is(err, context.Canceled) || <-told != hangs {
		t.Errorf("%v", err)
	}
	began, early := time.Now(), make(chan string, 1)
	if _, err := Check(Telling(t.Context(), func(path string) { early <- path }), fake(t, sayVersion("v1.80.0")).Path); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); len(early) > 0 && took < slowVersion {
		t.Errorf("told of one that answers in %s", took)
	}
}
