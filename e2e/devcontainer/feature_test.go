package devcontainer

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/feature"
	"github.com/coltec/coltec/pkg/store"
)

// An image with nothing but busybox: no C library, no bash, as in Alpine. The
// whole way: the Feature, coltecd and rclone, a save, docker stop.
func TestBusyboxImage(t *testing.T) {
	g := newGround(t)
	dir := g.make("w", "dev-y", os.Getenv("COLTEC_E2E_IMAGE"), os.Getenv("COLTEC_E2E_BUSYBOX"))
	if out, err := g.up(dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	g.sh(dir, "echo saved > /workspace/note")
	if out := g.sh(dir, "tail -n 1 /etc/bashrc /etc/profile.d/coltec.sh; coltec-daemon version; rclone version"); !strings.Contains(out, "# coltec\n") || !strings.Contains(out, "rclone v") {
		t.Errorf("%s", out)
	}
	if out, err := g.run("docker", "stop", g.container(dir)); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if h := g.head("dev-y"); h.State != store.Released || g.stored("dev-y", "workspace")["note"] != "saved\n" {
		t.Errorf("after docker stop: %s, %+v", h.State, h.Replicas)
	}
}

// A release is downloaded where no binaries lie beside the Feature, with the
// image's wget, and nothing is installed that is not what was released.
func TestDownload(t *testing.T) {
	g := newGround(t)
	broken := ""
	release := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, arch, _ := strings.Cut(path.Base(r.URL.Path), "-linux-")
		if name == broken {
			fmt.Fprint(w, "#!/bin/sh\necho not what was released\n")
			return
		}
		http.ServeFile(w, r, filepath.Join(g.root, "dist", "linux-"+arch, name))
	}))
	defer release.Close()
	dir := filepath.Join(g.dir, "w")
	if _, err := feature.Write(dir, nil); err == nil {
		t.Fatal("a Feature in a folder that is not there")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := feature.Write(dir, nil); err != nil {
		t.Fatal(err)
	}
	install := func() (string, error) {
		return g.run("docker", "run", "--rm", "--network=host", "--volume="+filepath.Join(dir, feature.Dir)+":/feature:ro",
			"--env=VERSION=v1", "--env=URL="+release.URL, os.Getenv("COLTEC_E2E_IMAGE"), "sh", "-c",
			"sh /feature/install.sh; code=$?; ls /usr/local/lib/coltec 2>/dev/null; exit $code")
	}

	if out, err := install(); err == nil || !strings.Contains(out, "checksums.txt has no line for v1/coltecd-linux-amd64") {
		t.Errorf("no checksums: %v\n%s", err, out)
	}
	var sums strings.Builder
	for _, arch := range []string{"amd64", "arm64"} {
		for _, name := range []string{"coltecd", "rclone"} {
			b, err := os.ReadFile(filepath.Join(g.root, "dist", "linux-"+arch, name))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&sums, "%x  v1/%s-linux-%s\n", sha256.Sum256(b), name, arch)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, feature.Dir, "checksums.txt"), []byte(sums.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := install(); err != nil || !strings.Contains(out, "coltec: installed coltecd") || !strings.HasSuffix(out, "\ncoltecd\nrclone\n") {
		t.Errorf("a release: %v\n%s", err, out)
	}
	broken = "rclone"
	if out, err := install(); err == nil || !strings.Contains(out, "is not what was released") || strings.HasSuffix(out, "rclone\n") {
		t.Errorf("another rclone: %v\n%s", err, out)
	}
}

// What is built for arm64 is for arm64, and runs there as far as qemu is one.
func TestOtherArchitecture(t *testing.T) {
	g := newGround(t)
	found := feature.Find(filepath.Join(g.root, "dist"))
	lines, err := os.ReadFile(filepath.Join(g.root, "dist/checksums.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		for name, file := range found[arch] {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if sum := fmt.Sprintf("%x  ", sha256.Sum256(b)); !slices.ContainsFunc(strings.Split(string(lines), "\n"), func(l string) bool {
				return strings.HasPrefix(l, sum) && strings.HasSuffix(l, "/"+name+"-linux-"+arch)
			}) {
				t.Errorf("no line for %s of %s:\n%s", name, arch, lines)
			}
		}
		if got := slices.Sorted(maps.Keys(found[arch])); !slices.Equal(got, []string{"coltec-mcp", "coltecd", "rclone"}) {
			t.Errorf("programs for %s: %q", arch, got)
		}
	}
	for _, name := range []string{"coltecd", "rclone"} {
		out, err := exec.Command("qemu-aarch64", filepath.Join(g.root, "dist/linux-arm64", name), "version").CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), name+" ") {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
