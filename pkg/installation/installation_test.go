package installation

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/secret"
)

// Odd names come through systemd's own reading: it finds nothing to say of the unit, and each
// word is one, with its % and $ as they are.
func TestUnitIsWhatSystemdReads(t *testing.T) {
	sample.Long(t)
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("no systemd here to read units with (apt-get install systemd): %v", err)
	}
	for name, folder := range map[string]string{"plain": "w", "odd": `a "b" %h $HOME c\d`} {
		for _, user := range []string{"", "root"} {
			dir := t.TempDir()
			program := filepath.Join(dir, "of $x 5% y", "coltecd")
			if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			i := Installation{Program: program, Spec: filepath.Join(dir, folder, "spec.yaml"), Workspace: "acme/widget/dev-a", User: user, Path: "/a b:/usr/bin"}
			file := filepath.Join(dir, i.Service())
			if err := os.WriteFile(file, []byte(i.Unit()), 0o644); err != nil {
				t.Fatal(err)
			}
			args := []string{"verify", "--man=no", "--recursive-errors=no", file}
			if user == "" {
				args = append([]string{"--user"}, args...)
			}
			cmd := exec.Command(analyze, args...)
			cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir, "SYSTEMD_COLORS=0")
			if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), i.Service()) {
				t.Errorf("%s, user %q: %v\n%s\n%s", name, user, err, out, i.Unit())
			}
		}
	}
}

func TestUnit(t *testing.T) {
	i := Installation{Program: "/usr/bin/coltecd", Spec: "/h/w/.devcontainer/workspace-spec.yaml", Workspace: "acme/widget/dev-a", Path: "/usr/bin"}
	text := i.Unit()
	for _, want := range []string{
		"ExecStart=\"/usr/bin/coltecd\" --config \"/h/w/.devcontainer/workspace-spec.yaml\" run\n",
		"--config \"/h/w/.devcontainer/workspace-spec.yaml\" stop --timeout 110s\n", "WantedBy=default.target\n",
		"Restart=on-failure\n", "KillMode=mixed\n", "TimeoutStopSec=120\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	i.User = "u"
	if text := i.Unit(); !strings.Contains(text, "\nUser=u\n") || !strings.Contains(text, "WantedBy=multi-user.target\n") {
		t.Error(text)
	}
	if other := (Installation{Spec: "/h/x/.devcontainer/workspace-spec.yaml", Workspace: "acme/widget/dev-a"}); other.Name() == i.Name() {
		t.Errorf("two copies of a workspace are both %s", i.Name())
	}
}

// A unit that somebody changed is theirs.
func TestOurs(t *testing.T) {
	text := Installation{Program: "/usr/bin/coltecd", Workspace: "acme/widget/dev-a"}.Unit()
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"ours":     {text, true},
		"changed":  {strings.Replace(text, "RestartSec=5", "RestartSec=9", 1), false},
		"added to": {text + "Nice=5\n", false},
		"theirs":   {"[Service]\nExecStart=/bin/true\n", false},
		"empty":    {"", false},
	} {
		if got := Ours(c.text); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What is written is read back, whatever is in it.
func TestEnvText(t *testing.T) {
	want := map[string]string{"PLAIN": "abc", "ODD": "a\"b\\c$d`e # f", "LINES": "one\ntwo\r\n\tthree", "EMPTY": "", "SPACES": "  x  "}
	values := secret.Values{}
	for name, v := range want {
		values[name] = secret.New(v)
	}
	got, err := secret.ParseDotenv(EnvText(values))
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range want {
		if got[name].Reveal() != v {
			t.Errorf("%s: %q, want %q", name, got[name].Reveal(), v)
		}
	}
}

func TestAtReboot(t *testing.T) {
	i := Installation{Program: "/usr/bin/coltecd", Spec: "/h/a b/it's 5%"}
	if got, want := i.AtReboot(), `@reboot /usr/bin/coltecd --config '/h/a b/it'\''s 5\%' start`; got != want {
		t.Errorf("%s", got)
	}
}
