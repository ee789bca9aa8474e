package devcontainer

import (
	"fmt"
	"strings"
	"testing"
)

// install on a machine with a systemd: the unit, what systemd is asked for, the variables for
// their user alone; uninstall takes back what install did, and nothing that somebody changed.
// The systemctl is one that notes its arguments: there is no systemd in this machine. That
// systemd reads the unit is TestUnitIsWhatSystemdReads.
func TestInstallBySystemd(t *testing.T) {
	g := newGround(t)
	m := g.newMachine()
	m.put("/home/vscode/widget/.devcontainer/workspace-spec.yaml", fmt.Sprintf(specText, "dev-u"))
	m.put("/home/vscode/secrets.env", "RCLONE_BUCKET=b\nRCLONE_S3_ACCESS_KEY_ID=k\nRCLONE_S3_SECRET_ACCESS_KEY=\"s e c\"\nRCLONE_S3_ENDPOINT=http://127.0.0.1:9\n")
	if out, err := m.as("root", `mkdir -p /run/systemd/system && printf '#!/bin/sh\necho "$(id -un): $*" >>/tmp/asked\n' >/usr/local/bin/systemctl && chmod 755 /usr/local/bin/systemctl && : >/tmp/asked && chmod 666 /tmp/asked`); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run := func(user, script string) string {
		t.Helper()
		out, err := m.as(user, script)
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return out
	}
	asked := func(want ...string) {
		t.Helper()
		if got := run("root", "cat /tmp/asked; : >/tmp/asked"); strings.TrimSpace(got) != strings.Join(want, "\n") {
			t.Errorf("systemd was asked:\n%swant\n%s", got, strings.Join(want, "\n"))
		}
	}
	const session = "export DBUS_SESSION_BUS_ADDRESS=unix:path=/none; "
	unit := strings.TrimSpace(run("vscode", session+"coltecd install --secrets-file secrets.env widget >&2; cd .config/systemd/user && ls"))
	if unit = unit[strings.LastIndex(unit, "\n")+1:]; !strings.HasPrefix(unit, "coltec-acme-widget-dev-u-") || !strings.HasSuffix(unit, ".service") {
		t.Fatalf("units: %q", unit)
	}
	asked("vscode: --user daemon-reload", "vscode: --user enable "+unit, "vscode: --user restart "+unit)
	if out := run("vscode", "stat -c '%a %U' .config/coltec/workspaces/*.env .config/coltec/workspaces; cat .config/coltec/workspaces/*.env"); !strings.HasPrefix(out, "600 vscode\n700 vscode\n") ||
		!strings.Contains(out, "COLTEC_PLACE=\"/workspace\"\n") || !strings.Contains(out, "RCLONE_S3_SECRET_ACCESS_KEY=\"s e c\"\n") {
		t.Errorf("the variables: %s", out)
	}
	if out := run("vscode", "cat .config/systemd/user/"+unit+"; cat /proc/[0-9]*/cmdline"); strings.Contains(out, "s e c") {
		t.Error("a secret is in the unit, or on a command line")
	}
	// Again, without the secrets: they are kept.
	run("vscode", session+"coltecd install widget")
	asked("vscode: --user daemon-reload", "vscode: --user enable "+unit, "vscode: --user restart "+unit)

	run("vscode", "echo Nice=5 >>.config/systemd/user/"+unit)
	for _, verb := range []string{"install", "uninstall"} {
		if out, err := m.sh(session + "coltecd " + verb + " widget"); err == nil || !strings.Contains(out, "was changed since coltecd wrote it") {
			t.Errorf("%s over what somebody changed: %v\n%s", verb, err, out)
		}
	}
	asked("") // nothing
	run("vscode", "sed -i /Nice/d .config/systemd/user/"+unit)
	out := run("vscode", session+"coltecd uninstall widget; ls .config/systemd/user; ls widget/.devcontainer .config/coltec/workspaces")
	asked("vscode: --user disable --now "+unit, "vscode: --user daemon-reload")
	if !strings.Contains(out, "removed /home/vscode/.config/systemd/user/"+unit) || !strings.Contains(out, "secrets among them, are still in /home/vscode/") || !strings.Contains(out, "workspace-spec.yaml") {
		t.Errorf("uninstall: %s", out)
	}

	// Root installs for the machine, as the folder's owner.
	run("root", "coltecd install --secrets-file /home/vscode/secrets.env /home/vscode/widget")
	asked("root: daemon-reload", "root: enable "+unit, "root: restart "+unit)
	if out := run("root", "grep ^User= /etc/systemd/system/"+unit+"; stat -c '%a %U' /etc/coltec/workspaces/*.env"); out != "User=vscode\n600 vscode\n" {
		t.Errorf("for the machine: %s", out)
	}
	run("root", "coltecd uninstall /home/vscode/widget; [ ! -e /etc/systemd/system/"+unit+" ]")
}
