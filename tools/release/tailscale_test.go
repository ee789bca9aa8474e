package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// shop is a release on loopback: an archive with a coltec that says its version, and a tailscaled
// beside it.
type shop struct {
	t      *testing.T
	dir    string // what is served
	sums   map[string]string
	server *httptest.Server
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, dir: t.TempDir(), sums: map[string]string{}}
	s.server = httptest.NewServer(http.FileServer(http.Dir(s.dir)))
	t.Cleanup(s.server.Close)
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho v4.5.6\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	name := "coltec-v4.5.6-" + runtime.GOOS + "-" + runtime.GOARCH
	if err := writeTar(filepath.Join(s.dir, name+".tar.gz"), []member{{name + "/coltec", program, 0o755}, {name + "/coltecd", program, 0o755}}, time.Unix(1700000000, 0)); err != nil {
		t.Fatal(err)
	}
	s.put("tailscaled-linux-"+runtime.GOARCH, "#!/bin/sh\necho tailscaled\n")
	s.note(name + ".tar.gz")
	return s
}

func (s *shop) put(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.note(name)
}

// note has the release name a file by its checksum.
func (s *shop) note(name string) {
	s.t.Helper()
	body, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	s.sums[name] = fmt.Sprintf("%x", sha256.Sum256(body))
}

// install runs the release's script.
func (s *shop) install(prefix, tailscale string, args ...string) (string, error) {
	s.t.Helper()
	script, err := os.ReadFile("../../scripts/install.sh")
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := installer(string(script), "v4.5.6", "https://example.org/download", s.sums)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command("sh", append([]string{"-s", "--", "--from", s.server.URL, "--prefix", prefix}, args...)...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TAILSCALE=") }), "HOME="+prefix)
	if tailscale != "" {
		cmd.Env = append(cmd.Env, "TAILSCALE="+tailscale)
	}
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TAILSCALE=1 gets the release's tailscaled, from a server on loopback: what is another's is not
// installed, nor is anything else then; a later install keeps it, and TAILSCALE=0 ends that.
func TestInstallerTailscale(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the programs of a release beside coltec are Linux's")
	}
	has := func(prefix string) bool {
		out, err := exec.Command(filepath.Join(prefix, "lib/coltec/tailscale")).Output()
		return err == nil && string(out) == "tailscaled\n"
	}
	s := newShop(t)
	name := "tailscaled-linux-" + runtime.GOARCH
	steps := []struct {
		tailscale string
		want      bool
	}{{"", false}, {"1", true}, {"", true}, {"0", false}, {"", false}, {"true", true}, {"false", false}}
	prefix := filepath.Join(t.TempDir(), "a prefix")
	for i, step := range steps {
		out, err := s.install(prefix, step.tailscale)
		if err != nil || has(prefix) != step.want || strings.Contains(out, "gets "+name) != step.want {
			t.Fatalf("step %d, TAILSCALE=%q: %v\n%s", i, step.tailscale, err, out)
		}
	}
	if out, err := s.install(prefix, "1", "--dry-run"); err != nil || !strings.Contains(out, ", with tailscaled") || has(prefix) {
		t.Errorf("a dry run: %v\n%s", err, out)
	}
	if out, err := s.install(prefix, "yes"); err == nil || !strings.Contains(out, `TAILSCALE is "yes"`) {
		t.Errorf("another word: %v\n%s", err, out)
	}
	fresh := filepath.Join(t.TempDir(), "fresh")
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte("another's"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := s.install(fresh, "1"); err == nil || !strings.Contains(out, name+" is not what was released") {
		t.Errorf("another's: %v\n%s", err, out)
	}
	if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
		t.Fatal(err)
	}
	if out, err := s.install(fresh, "1"); err == nil || !strings.Contains(out, "cannot get") {
		t.Errorf("not there: %v\n%s", err, out)
	}
	delete(s.sums, name)
	if out, err := s.install(fresh, "1"); err == nil || !strings.Contains(out, "v4.5.6 has no tailscaled for") {
		t.Errorf("a release without it: %v\n%s", err, out)
	}
	if left, err := os.ReadDir(fresh); !os.IsNotExist(err) {
		t.Errorf("something was installed: %v, %v", left, err)
	}
	if out, err := s.install(fresh, ""); err != nil {
		t.Errorf("without it: %v\n%s", err, out)
	}
	if out, err := s.install(fresh, "", "--uninstall"); err != nil || !strings.Contains(out, "removed "+fresh+"/lib/coltec") {
		t.Errorf("%v\n%s", err, out)
	}
}

// tailscaled is in a package of its own, where coltec and coltecd look for it, and in no other; its
// checksum is in the Feature.
func TestTailscaleIsApart(t *testing.T) {
	dir := t.TempDir()
	p := platform{"linux", "amd64"}
	r := &release{version: "v4.5.6", root: "../..", work: filepath.Join(dir, "work"), out: filepath.Join(dir, "out"), only: []platform{p}, tailscale: true, time: time.Unix(1700000000, 0).UTC()}
	for _, name := range append([]string{"coltec"}, r.programs()...) {
		makeFile(t, r.built(p, name), name)
	}
	for _, name := range []string{"coltec", "coltecd"} {
		for _, end := range []string{".bash", ".zsh", ".fish", ".1"} {
			makeFile(t, r.page(name+end), name+end)
		}
	}
	makeFile(t, r.page("licences.txt"), "licences")
	if err := r.packages(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, file := range []string{"coltec_4.5.6_amd64.deb", "coltec-tailscale_4.5.6_amd64.deb"} {
		got[file] = debFiles(t, filepath.Join(r.out, file))
	}
	if want := []string{"./usr/lib/coltec/tailscale", "./usr/lib/coltec/tailscaled", "./usr/share/doc/coltec-tailscale/licences.txt"}; !slices.Equal(got["coltec-tailscale_4.5.6_amd64.deb"], want) {
		t.Errorf("the package of tailscaled has %q", got["coltec-tailscale_4.5.6_amd64.deb"])
	}
	if all := got["coltec_4.5.6_amd64.deb"]; !slices.Contains(all, "./usr/lib/coltec/rclone") || slices.ContainsFunc(all, func(name string) bool { return strings.Contains(name, "tailscale") }) {
		t.Errorf("the package of the programs has %q", all)
	}
	if names, err := filepath.Glob(filepath.Join(r.out, "*tailscale*")); err != nil || len(names) != 3 {
		t.Errorf("packages of tailscaled: %q, %v", names, err)
	}
	if slices.ContainsFunc(r.members(p), func(m member) bool { return strings.Contains(m.name, "tailscale") }) {
		t.Error("the archive has it")
	}
	if err := r.feature(t.Context()); err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(r.featureDir(), "checksums.txt"))
	if line := fmt.Sprintf("%x  v4.5.6/tailscaled-linux-amd64\n", sha256.Sum256([]byte("tailscaled"))); err != nil || !strings.Contains(string(sums), line) {
		t.Errorf("the Feature has %v\n%s", err, sums)
	}
}

func makeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// debFiles are the files of a package of Debian, which is an archive of ar: its last member is a
// tar of them.
func debFiles(t *testing.T, path string) (names []string) {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(body, []byte("data.tar.gz"))
	if at < 0 {
		t.Fatalf("%s has no data", path)
	}
	z, err := gzip.NewReader(bytes.NewReader(body[at+60:])) // after the header of the member
	if err != nil {
		t.Fatal(err)
	}
	z.Multistream(false)
	for archive := tar.NewReader(z); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeDir {
			names = append(names, h.Name)
		}
	}
	slices.Sort(names)
	return names
}
