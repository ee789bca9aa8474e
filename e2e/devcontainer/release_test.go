package devcontainer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// released is the folder of a release that make release-check made of linux/amd64.
func released(t *testing.T, g *ground) (dir, version string) {
	t.Helper()
	dir = os.Getenv("COLTEC_E2E_RELEASE")
	if dir == "" {
		t.Skip("needs a release: make e2e-release")
	}
	if _, err := os.Stat(filepath.Join(dir, "checksums.txt")); err != nil {
		t.Fatal(err)
	}
	return dir, filepath.Base(dir)
}

// in runs a script in a new container of an image, with the release at /release.
func (g *ground) in(image, release, script string) (string, error) {
	return g.run("docker", "run", "--rm", "--network=none", "--volume="+release+":/release:ro", image, "sh", "-c", script)
}

// TestReleaseOnDebian installs the package on a Debian that has nothing else of ours, uses it,
// and removes it.
func TestReleaseOnDebian(t *testing.T) {
	g := newGround(t)
	dir, version := released(t, g)
	out, err := g.in(os.Getenv("COLTEC_E2E_IMAGE"), dir, `set -e
dpkg -i /release/coltec_*_amd64.deb
coltec version
coltecd version
coltec-daemon version
/usr/lib/coltec/rclone version
! command -v rclone
cd /tmp
coltec new w --data org=acme --data project=widget --data env=dev-a
ls w/.devcontainer/coltec/bin/amd64
cmp w/.devcontainer/coltec/bin/amd64/coltecd /usr/lib/coltec/coltecd
gzip -t /usr/share/man/man1/coltec.1.gz /usr/share/man/man1/coltecd.1.gz
ls /usr/share/bash-completion/completions/coltec /usr/share/zsh/vendor-completions/_coltecd /usr/share/fish/vendor_completions.d/coltec.fish /usr/share/doc/coltec/licences.txt
dpkg -V coltec
dpkg -r coltec
! command -v coltec
! ls /usr/lib/coltec
`)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"coltec version " + version + "\n", "coltecd version " + version + "\n", "rclone v", "\ncoltecd\nrclone\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// TestReleaseInstaller runs the script where there is Debian, and where there is busybox alone:
// it verifies first, writes over nothing of others, and goes again without a trace.
func TestReleaseInstaller(t *testing.T) {
	g := newGround(t)
	dir, version := released(t, g)
	for name, image := range map[string]string{"Debian": os.Getenv("COLTEC_E2E_IMAGE"), "busybox": os.Getenv("COLTEC_E2E_BUSYBOX")} {
		t.Run(name, func(t *testing.T) {
			out, err := g.in(image, dir, `set -e
export HOME=/root
sh /release/install.sh --from /release --dry-run
! ls /usr/local/bin/coltec
mkdir /bad && cp /release/coltec-*.tar.gz /bad && echo more >>/bad/coltec-`+version+`-linux-amd64.tar.gz
! sh /release/install.sh --from /bad
! ls /usr/local/lib/coltec
mkdir -p /other/bin && echo mine >/other/bin/coltecd
! sh /release/install.sh --from /release --prefix /other
cat /other/bin/coltecd
sh /release/install.sh --from /release
sh /release/install.sh --from /release
coltec version && coltecd version && ls /usr/local/lib/coltec/rclone
sh /release/install.sh --uninstall
! ls /usr/local/lib/coltec /usr/local/bin/coltec /usr/local/bin/coltecd
cd / && su_prefix=$(mktemp -d) && sh /release/install.sh --from /release --prefix "$su_prefix" && "$su_prefix/bin/coltec" version
`)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range []string{"verified: SHA-256 ", "is not what was released", "/other/bin/coltecd is something else, and is left alone", "\nmine\n", "coltec version " + version + "\n", "is not in your PATH", "removed /usr/local/lib/coltec\n"} {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
}

// TestReleaseOfOthers looks into the packages that Debian does not install: they have the same
// programs in the same places.
func TestReleaseOfOthers(t *testing.T) {
	g := newGround(t)
	dir, _ := released(t, g)
	for kind, list := range map[string]string{
		"rpm": `rpm2cpio "$1"/coltec-*.x86_64.rpm | cpio -t --quiet`,
		"apk": `tar -tzf "$1"/coltec_*_x86_64.apk 2>/dev/null`,
	} {
		out, err := g.run("sh", "-c", list, "sh", dir)
		if err != nil {
			t.Fatalf("%s: %v\n%s", kind, err, out)
		}
		for _, want := range []string{"usr/lib/coltec/coltec", "usr/lib/coltec/coltecd", "usr/lib/coltec/rclone", "usr/bin/coltec", "usr/share/man/man1/coltecd.1.gz", "usr/share/zsh/site-functions/_coltec"} {
			if !strings.Contains(out, want+"\n") {
				t.Errorf("%s: no %s in\n%s", kind, want, out)
			}
		}
	}
}
