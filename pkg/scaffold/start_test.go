package scaffold

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCreateWaits: with "create" the script waits for the files, and never fails: the commands
// of the project's own first start come after it.
func TestCreateWaits(t *testing.T) {
	tree := render(t, "base", map[string]string{"org": "acme", "project": "widget", "env": "dev-a"})
	dir := t.TempDir()
	script, log := filepath.Join(dir, "start.sh"), filepath.Join(dir, "log")
	fake := "#!/bin/sh\necho \"$1\" >>" + log + "\n[ \"$1\" != \"$FAILS\" ]\n"
	for path, data := range map[string][]byte{script: tree[".devcontainer/start.sh"].Data, filepath.Join(dir, "coltecd"): []byte(fake)} {
		if err := os.WriteFile(path, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for fails, want := range map[string]string{"": "start\nwait\n", "wait": "start\nwait\n", "start": "start\n"} {
		cmd := exec.Command("sh", script, "create")
		cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "FAILS=" + fails}
		out, err := cmd.CombinedOutput()
		got, _ := os.ReadFile(log)
		if err != nil || string(got) != want || (len(out) > 0) != (fails != "") {
			t.Errorf("%q fails: %v, %q, calls %q", fails, err, out, got)
		}
		_ = os.Remove(log)
	}
}

// TestStartBlanksNothing runs the rendered start.sh: what the container has
// counts, the host's fills in, and a host without it takes nothing away.
func TestStartBlanksNothing(t *testing.T) {
	tree := render(t, "base", map[string]string{"org": "acme", "project": "widget", "env": "dev-a"})
	dir := t.TempDir()
	script := filepath.Join(dir, "start.sh")
	fake := "#!/bin/sh\necho \"$*|$RCLONE_BUCKET|${RCLONE_S3_ENDPOINT-unset}|${COLTEC_LOCAL_RCLONE_BUCKET-unset}\"\n"
	for path, data := range map[string][]byte{script: tree[".devcontainer/start.sh"].Data, filepath.Join(dir, "coltecd"): []byte(fake)} {
		if err := os.WriteFile(path, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"nothing":            {nil, "start||unset|unset\n"},
		"the container's":    {[]string{"RCLONE_BUCKET=have", "COLTEC_LOCAL_RCLONE_BUCKET="}, "start|have|unset|unset\n"},
		"the host's":         {[]string{"COLTEC_LOCAL_RCLONE_BUCKET=a 'b' $(c)"}, "start|a 'b' $(c)|unset|unset\n"},
		"both":               {[]string{"RCLONE_BUCKET=have", "COLTEC_LOCAL_RCLONE_BUCKET=host"}, "start|have|unset|unset\n"},
		"empty in container": {[]string{"RCLONE_BUCKET=", "COLTEC_LOCAL_RCLONE_BUCKET=host"}, "start|host|unset|unset\n"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("sh", script)
			cmd.Env = append([]string{"PATH=" + dir + ":" + os.Getenv("PATH")}, c.env...)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if diff := cmp.Diff(c.want, string(out)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
