package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/coltec/coltec/pkg/killpoint"
)

// boxedIn has coltec find a Docker with one container of a folder, which does not run and has a
// volume. What it has of both are files in the directory that is given back.
func (m *machine) boxedIn(folder string) (has string) {
	m.t.Helper()
	has = m.t.TempDir()
	const script = `#!/bin/sh
cd %q || exit 1
case "$1 $2" in
ps*) ls containers ;;
inspect*) for c in containers/*; do [ -e "$c" ] && cat "$c"; done ;;
"rm "*) rm "containers/$3" ;;
"volume ls") ls volumes ;;
"volume rm") [ -z "$(ls containers)" ] && rm "volumes/$3" ;;
esac
`
	docker := filepath.Join(m.t.TempDir(), "docker")
	inspected := fmt.Sprintf(`{"ID":"c0ffee","Status":"exited","Labels":{"devcontainer.local_folder":%q},"Mounts":[{"Type":"volume","Name":"acme-widget-dev-home","Destination":"/home/dev"},{"Type":"volume","Name":"shared","Destination":"/x"}]}`+"\n", folder)
	for name, text := range map[string]string{
		docker: fmt.Sprintf(script, has), filepath.Join(has, "containers/c0ffee"): inspected, filepath.Join(has, "volumes/acme-widget-dev-home"): "", filepath.Join(has, "volumes/shared"): "", filepath.Join(has, "volumes/acme-widget-dev-home2"): "",
	} {
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		if err == nil {
			err = os.WriteFile(name, []byte(text), 0o755)
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
	m.env["COLTEC_DOCKER"] = docker
	return has
}

// crashInRemoval kills coltec while it takes a workspace off a host: the next one takes off what is
// left, and names a volume that it cannot know to be the workspace's.
func crashInRemoval(t *testing.T, at string) {
	w := newWorld(t)
	a := w.ofEnv("dev")
	a.seed()
	a.once()
	source, said, err := a.made("dev", "--data", "agent_context=true")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	mine := filepath.Join(source, "mine.txt")
	if err := os.WriteFile(mine, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	has := a.boxedIn(source)
	remove := []string{"rm", "--purge", "--force", "--yes", source}
	a.env[killpoint.Variable] = at
	if out, err := a.host(remove...); err == nil || !strings.Contains(err.Error(), syscall.SIGKILL.String()) {
		t.Errorf("it was not killed: %v\n%s", err, out)
	}
	delete(a.env, killpoint.Variable)
	out, err := a.host(remove...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	left := func(dir string) string {
		list, err := os.ReadDir(filepath.Join(has, dir))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range list {
			names = append(names, e.Name())
		}
		return strings.Join(names, " ")
	}
	want := "acme-widget-dev-home2 shared"
	if at == "rm:boxless" {
		want = "acme-widget-dev-home " + want
		if !strings.Contains(out, "volume acme-widget-dev-home stays") || !strings.Contains(out, "docker volume rm acme-widget-dev-home") {
			t.Errorf("of the volume it says\n%s", out)
		}
	} else if strings.Contains(out, "volume acme-widget-dev-home stays") {
		t.Errorf("of a volume that is gone it says\n%s", out)
	}
	if left("containers") != "" || left("volumes") != want {
		t.Errorf("left are the containers %q and the volumes %q, want %q", left("containers"), left("volumes"), want)
	}
	if left := w.of("dev"); len(left) > 0 {
		t.Errorf("it left %q in the bucket", left)
	}
	if b, err := os.ReadFile(mine); string(b) != "mine" {
		t.Errorf("the files: %q, %v", b, err)
	}
}
