package devcontainer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/store"
)

// withSystemd starts a machine whose first process is a real systemd: this machine's files with
// others above them, and no units but ours. What systemd would do to the kernel, and services of
// this machine, are left out with its units and generators.
const withSystemd = `set -e
mount --make-rprivate /
root=$2/root
mkdir "$2/above"
mount -t tmpfs tmpfs "$2/above"
mkdir "$2/above/upper" "$2/above/work" "$2/above/units" "$2/above/none"
mount -t overlay overlay -o "lowerdir=/,upperdir=$2/above/upper,workdir=$2/above/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
mkdir "$root/sys/fs/cgroup/systemd"
mount -t cgroup -o none,name=systemd,xattr cgroup "$root/sys/fs/cgroup/systemd" ||
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
for dir in run tmp var/tmp; do mount -t tmpfs tmpfs "$root/$dir"; done
for target in sysinit shutdown; do
	printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' $target >"$2/above/units/$target.target"
done
for target in basic multi-user network-online; do printf '[Unit]\nDescription=%s\n' $target >"$2/above/units/$target.target"; done
ln -s multi-user.target "$2/above/units/default.target"
mount --bind "$2/above/units" "$root/lib/systemd/system"
for dir in lib/systemd/system-generators lib/systemd/user-generators etc/init.d etc/systemd; do mount --bind "$2/above/none" "$root/$dir"; done
mkdir "$root/etc/systemd/system"
rm -rf "$root/etc/coltec"
install -m 755 "$3/bin/coltecd" "$3/bin/rclone" "$root/usr/local/bin/"
chroot "$root" sh -c 'id vscode >/dev/null 2>&1 || useradd -m -s /bin/bash vscode; mkdir -p /home/vscode; chown vscode: /home/vscode'
echo ready
exec chroot "$root" env -i container=docker PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --show-status=no`

// A real systemd keeps a workspace: it starts the unit as the folder's owner, again after a
// kill, and a stop of the unit pushes what is pending and gives the lease back.
func TestInstallByARealSystemd(t *testing.T) {
	g := newGround(t)
	m := g.boot(withSystemd)
	const env, folder = "dev-s", "/home/vscode/widget"
	m.put(folder+"/.devcontainer/workspace-spec.yaml", fmt.Sprintf(specText, env))
	m.put("/home/vscode/secrets.env", fmt.Sprintf("RCLONE_BUCKET=%s\nRCLONE_S3_ACCESS_KEY_ID=%s\nRCLONE_S3_SECRET_ACCESS_KEY=%s\nRCLONE_S3_ENDPOINT=%s\n",
		g.server.Bucket, g.server.AccessKey, g.server.SecretKey, g.server.Endpoint))
	root := func(script string) string {
		t.Helper()
		out, err := m.as("root", script)
		if err != nil {
			log, _ := m.as("root", "systemctl status --no-pager 'coltec-*'; tail -50 "+folder+"/.devcontainer/logs/coltecd.log")
			t.Fatalf("%s: %v\n%s\n%s", script, err, out, log)
		}
		return strings.TrimSpace(out)
	}
	g.eventually("systemd has booted", func() bool {
		out, _ := m.as("root", "systemctl is-system-running")
		return strings.TrimSpace(out) == "running"
	})
	root("coltecd install --secrets-file /home/vscode/secrets.env " + folder)
	unit := root("cd /etc/systemd/system && ls coltec-*.service")
	show := func(key string) string { return root("systemctl show --value -p " + key + " " + unit) }
	active := func() bool {
		out, _ := m.as("root", "systemctl is-active "+unit)
		return strings.TrimSpace(out) == "active"
	}
	g.eventually("the unit runs", active)
	if enabled := root("systemctl is-enabled " + unit); enabled != "enabled" {
		t.Errorf("after a boot it is %s", enabled)
	}
	first := show("MainPID")
	if who := root("ps -o user= -p " + first); who != "vscode" {
		t.Errorf("it runs as %s", who)
	}
	saved := func(text string) bool { return g.stored(env, "workspace")["file"] == text }
	write := func(text string) {
		t.Helper()
		if out, err := m.sh("printf '" + text + "' >widget/file"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	write("saved")
	g.eventually("a save is in the bucket", func() bool { return saved("saved") })

	root("kill -9 " + first)
	g.eventually("systemd starts it again", func() bool { return active() && show("MainPID") != first })
	g.eventually("it has the lease back", func() bool { return g.head(env).State == store.Held })
	write("last")
	root("systemctl stop " + unit)
	if h := g.head(env); !saved("last") || h.State != store.Released {
		t.Errorf("after a stop of the unit the lease is %s, and the bucket has %q", h.State, g.stored(env, "workspace")["file"])
	}
	if result := show("Result"); result != "success" {
		t.Errorf("the stop was a %s", result)
	}
	if left, _ := m.as("root", "pgrep -u vscode -a"); strings.TrimSpace(left) != "" {
		t.Errorf("it leaves %s", left)
	}
	root("systemctl start " + unit)
	g.eventually("it runs again", active)
	g.eventually("it has the lease again", func() bool { return g.head(env).State == store.Held })
	write("late")
	if out, err := m.sh("coltecd --config widget/.devcontainer/workspace-spec.yaml stop --timeout 1ms; echo ended with $?"); err != nil || !strings.Contains(out, "ended with 6") {
		t.Errorf("a stop without time: %v\n%s", err, out)
	}
	g.eventually("systemd has noticed", func() bool { return !active() })
	if state := show("SubState"); state != "failed" {
		t.Errorf("a coltecd that was stopped by hand, with something left, is %s", state)
	}
	root("coltecd install " + folder)
	g.eventually("it is in the bucket", func() bool { return saved("late") })
	root("coltecd uninstall " + folder)
	if left, _ := m.as("root", "ls /etc/systemd/system; systemctl is-active "+unit); !strings.Contains(left, "inactive") || strings.Contains(left, ".service") {
		t.Errorf("after uninstall: %s", left)
	}
}
