package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/devcontainer"
)

// desk is the host that a person sits at. Its containers are folders of this machine, in which
// coltecd runs as on any machine of the world: real ones are in e2e/devcontainer.
type desk struct {
	*machine
	boxes string        // a directory for each container, by its id
	way   *s3test.Proxy // to the store: of what runs at the desk itself, and of no coltecd
}

// deskDocker answers as Docker does, of the directories below the first line's.
const deskDocker = `boxes=%s
verb=$1
shift
case $verb in
ps)
	want=
	for arg; do
		case $arg in label=devcontainer.local_folder=*) want=${arg#label=devcontainer.local_folder=} ;; esac
	done
	for box in "$boxes"/*; do
		[ -e "$box/folder" ] && read -r folder <"$box/folder" || continue
		[ -z "$want" ] || [ "$want" = "$folder" ] || continue
		echo "${box##*/}"
	done
	;;
inspect)
	shift 4 # --type container --format FORMAT
	for id; do
		read -r line <"$boxes/$id/inspect" && printf '%%s\n' "$line"
	done
	;;
exec)
	dir=/
	while :; do
		case $1 in
		--interactive | --tty) shift ;;
		--workdir) dir=$2 && shift 2 ;;
		--user | --env) shift 2 ;;
		*) break ;;
		esac
	done
	box=$boxes/$1
	shift
	cd "$dir" || exit 126
	exec env -i sh -c '. "$0" && exec "$@"' "$box/environment" "$@"
	;;
*)
	echo "this stand-in has no $verb" >&2
	exit 1
	;;
esac
`

// desk makes the host.
func (w *world) desk() *desk {
	w.t.Helper()
	d := &desk{machine: w.machine("desk"), boxes: w.t.TempDir(), way: w.s3.Proxy(w.t)}
	docker := filepath.Join(w.t.TempDir(), "docker")
	script := "#!/bin/sh\n" + fmt.Sprintf(deskDocker, quoted(d.boxes))
	if err := os.WriteFile(docker, []byte(script), 0o755); err != nil {
		w.t.Fatal(err)
	}
	d.env["COLTEC_DOCKER"], d.env["RCLONE_S3_ENDPOINT"] = docker, d.way.Endpoint
	d.env["PATH"] = w.t.TempDir()
	for _, name := range []string{"env", "git", "sh"} { // no dev container CLI, whatever this machine has
		path, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(path, filepath.Join(d.env["PATH"], name))
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return d
}

// quoted is a word of a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// at makes a machine whose workspace has a folder on the desk, and no container yet.
func (d *desk) at(env string) *machine {
	d.t.Helper()
	m := d.world.machine(env)
	m.env["COLTEC_HOST"] = "desk"
	return m
}

// box gives the folder of a machine a container, which has the machine's environment.
func (d *desk) box(m *machine, env string, running bool, setting ...string) {
	d.t.Helper()
	sum := sha256.Sum256([]byte(m.dir))
	id := hex.EncodeToString(sum[:])
	inspect, err := json.Marshal(devcontainer.Container{
		ID: id, Running: running, Status: map[bool]string{true: "running", false: "exited"}[running], Created: "2026-01-02T03:04:05Z",
		Labels: map[string]string{
			devcontainer.LabelFolder: m.dir, devcontainer.LabelOrg: "acme", devcontainer.LabelProject: "widget", devcontainer.LabelEnv: env,
		},
		Mounts:  []devcontainer.Mount{{Source: m.dir, Destination: m.dir}},
		Setting: setting,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	var vars strings.Builder
	for name, value := range m.env {
		if name == "PATH" {
			value = filepath.Dir(coltecd) + ":" + value
		}
		fmt.Fprintf(&vars, "export %s=%s\n", name, quoted(value))
	}
	for name, text := range map[string]string{"folder": m.dir, "inspect": string(inspect), "environment": strings.TrimSuffix(vars.String(), "\n")} {
		path := filepath.Join(d.boxes, id, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			d.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
}

// knows has the person at the desk agree to a folder, as whoever made it there did.
func (d *desk) knows(m *machine) {
	m.t.Helper()
	if out, err := d.host("trust", m.dir); err != nil {
		m.t.Fatalf("%v: %s", err, out)
	}
}
