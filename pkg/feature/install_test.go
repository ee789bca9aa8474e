package feature

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// TestInstall runs install.sh in a root of its own, with programs that say their
// name: what is beside the Feature, what a release has, and what is in neither.
func TestInstall(t *testing.T) {
	sample.Long(t)
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI is root")
		}
		t.Skip("install.sh is root's")
	}
	const release = "v1/tailscaled-linux-"
	program := func(name string) string { return "#!/bin/sh\necho " + name + " $1 ${TS_BE_CLI-}\n" }
	tests := map[string]struct {
		option   string // of the Feature
		beside   bool   // tailscaled lies beside it
		released string // the checksum in checksums.txt is of this text; empty: no line
		want     string // what tailscale in PATH says; empty: there is none
		says     string
		fails    bool
	}{
		"not asked for":      {option: "false", beside: true},
		"beside":             {option: "true", beside: true, want: "tailscaled version 1"},
		"released":           {option: "true", released: program("tailscaled"), want: "tailscaled version 1"},
		"another's":          {option: "true", released: "another", says: "is not what was released: SHA-256", fails: true},
		"nowhere":            {option: "true", says: "no tailscaled beside this Feature in bin/" + runtime.GOARCH},
		"beside wins":        {option: "true", beside: true, released: "another", want: "tailscaled version 1"},
		"option left unsaid": {beside: true},
		"in a Dockerfile":    {option: "1", released: program("tailscaled"), want: "tailscaled version 1"},
		"and not":            {option: "0", beside: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := Binaries{}
			if _, err := Write(dir, b); err != nil {
				t.Fatal(err)
			}
			here := filepath.Join(dir, Dir)
			write := func(path, text string) {
				t.Helper()
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, p := range programs {
				write(filepath.Join(here, "bin", runtime.GOARCH, p), program(p))
			}
			if tt.beside {
				write(filepath.Join(here, "bin", runtime.GOARCH, Tailscaled), program(Tailscaled))
			}
			write(filepath.Join(dir, "releases", release+runtime.GOARCH), program(Tailscaled))
			if tt.released != "" {
				write(filepath.Join(here, "checksums.txt"), fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(tt.released)), release+runtime.GOARCH))
			}
			// Its places are under / : the script is read with others.
			script, err := os.ReadFile(filepath.Join(here, "install.sh"))
			if err != nil {
				t.Fatal(err)
			}
			write(filepath.Join(here, "install.sh"), strings.ReplaceAll(strings.ReplaceAll(string(script), "/usr/local", dir+"/usr"), "/etc/", dir+"/etc/"))
			cmd := exec.Command("sh", filepath.Join(here, "install.sh"))
			releases := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(dir, "releases"))))
			defer releases.Close()
			cmd.Env = []string{"PATH=" + dir + "/usr/bin:/usr/bin:/bin", "TAILSCALE=" + tt.option, "VERSION=v1", "URL=" + releases.URL}
			out, err := cmd.CombinedOutput()
			if (err != nil) != tt.fails || !strings.Contains(string(out), tt.says) {
				t.Fatalf("%v\n%s", err, out)
			}
			got, err := exec.Command(filepath.Join(dir, "usr/bin/tailscale"), "version").Output()
			if text := strings.TrimSpace(string(got)); text != strings.TrimSuffix(tt.want, " 1") || (err != nil) != (tt.want == "") {
				t.Errorf("tailscale: %q, %v\n%s", text, err, out)
			}
		})
	}
}

// TestInstallTools: what serves agents is installed where there is one, and missing nowhere else.
func TestInstallTools(t *testing.T) {
	sample.Long(t)
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI is root")
		}
		t.Skip("install.sh is root's")
	}
	for _, beside := range []bool{true, false} {
		dir := t.TempDir()
		if _, err := Write(dir, Binaries{}); err != nil {
			t.Fatal(err)
		}
		here := filepath.Join(dir, Dir)
		names := programs
		if beside {
			names = append(slices.Clone(programs), Tools)
		}
		for _, name := range names {
			path := filepath.Join(here, "bin", runtime.GOARCH, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			writeScript(t, path, "#!/bin/sh\necho "+name+" $1\n")
		}
		script, err := os.ReadFile(filepath.Join(here, "install.sh"))
		if err != nil {
			t.Fatal(err)
		}
		writeScript(t, filepath.Join(here, "install.sh"), strings.ReplaceAll(strings.ReplaceAll(string(script), "/usr/local", dir+"/usr"), "/etc/", dir+"/etc/"))
		cmd := exec.Command("sh", filepath.Join(here, "install.sh"))
		cmd.Env = []string{"PATH=/usr/bin:/bin"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if _, err := os.Stat(filepath.Join(dir, "usr/lib/coltec", Tools)); (err == nil) != beside {
			t.Errorf("beside %v: %v", beside, err)
		}
	}
}
