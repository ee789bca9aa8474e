package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestChosen(t *testing.T) {
	list, err := chosen("linux/arm64,darwin/amd64")
	if err != nil || len(list) != 2 || list[0].String() != "linux-arm64" || list[1].String() != "darwin-amd64" {
		t.Errorf("%v, %v", list, err)
	}
	for _, bad := range []string{"linux", "linux/386", "linux/amd64,", "plan9/amd64"} {
		if list, err := chosen(bad); err == nil {
			t.Errorf("%q: %v", bad, list)
		}
	}
	all := release{only: platforms}
	alone := release{only: []platform{{"linux", "arm64"}}}
	mac := release{only: []platform{{"darwin", "arm64"}}}
	if len(all.insides()) != 2 || len(alone.insides()) != 1 || len(mac.insides()) != 2 {
		t.Errorf("for containers: %v, %v, %v", all.insides(), alone.insides(), mac.insides())
	}
}

// The Feature of the repository has the two places that a release fills in.
func TestFeatureOf(t *testing.T) {
	text, err := os.ReadFile("../../features/coltec/devcontainer-feature.json")
	if err != nil {
		t.Fatal(err)
	}
	made, err := featureOf(text, "v4.5.6")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(made), `"4.5.6"`); got != 1 {
		t.Errorf("its own version is named %d times:\n%s", got, made)
	}
	if got := strings.Count(string(made), `"default": "v4.5.6"`); got != 1 {
		t.Errorf("the default of the option is named %d times:\n%s", got, made)
	}
	if _, err := featureOf([]byte("{}"), "v4.5.6"); err == nil {
		t.Error("a description without versions")
	}
}

// The script of the repository has the three lines that a release fills in, and is one then.
func TestInstaller(t *testing.T) {
	script, err := os.ReadFile("../../scripts/install.sh")
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{
		"coltec-v4.5.6-linux-amd64.tar.gz": strings.Repeat("a", 64), "coltec-v4.5.6-darwin-arm64.tar.gz": strings.Repeat("b", 64),
		"coltec-v4.5.6-windows-amd64.zip": strings.Repeat("c", 64), "licences.txt": strings.Repeat("d", 64),
	}
	text, err := installer(string(script), "v4.5.6", "https://example.org/download", sums)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"version='v4.5.6'\n", "checksums='" + strings.Repeat("a", 64) + "  coltec-v4.5.6-linux-amd64.tar.gz\n" + strings.Repeat("b", 64), "releases='https://example.org/download'\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in it", want)
		}
	}
	cmd := exec.Command("sh", "-n")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := installer("#!/bin/sh\n", "v4.5.6", "", sums); err == nil {
		t.Error("a script without those lines")
	}
}

// What is installed can be read and run by all, whatever the umask of who installs it.
func TestInstallerUnderAUmask(t *testing.T) {
	dir := t.TempDir()
	name := "coltec-v4.5.6-" + runtime.GOOS + "-" + runtime.GOARCH
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho v4.5.6\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(dir, name+".tar.gz")
	if err := writeTar(archive, []member{{name + "/coltec", program, 0o755}, {name + "/man/coltec.1", program, 0o644}}, time.Unix(1700000000, 0)); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("../../scripts/install.sh")
	if err != nil {
		t.Fatal(err)
	}
	text, err := installer(string(script), "v4.5.6", "https://example.org/download", map[string]string{name + ".tar.gz": fmt.Sprintf("%x", sha256.Sum256(body))})
	if err != nil {
		t.Fatal(err)
	}
	prefix := filepath.Join(dir, "prefix")
	cmd := exec.Command("sh", "-c", `umask 077; exec sh -s -- "$@"`, "sh", "--from", dir, "--prefix", prefix)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for at, want := range map[string]os.FileMode{"lib": 0o755, "bin": 0o755, "lib/coltec": 0o755, "bin/coltec": 0o755, "lib/coltec/man": 0o755, "lib/coltec/man/coltec.1": 0o644} {
		if info, err := os.Stat(filepath.Join(prefix, at)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", at, info.Mode(), err)
		}
	}
}

func TestBrew(t *testing.T) {
	got, err := brew("v4.5.6", "https://example.org/download", map[string]string{
		"coltec-v4.5.6-darwin-arm64.tar.gz": "b", "coltec-v4.5.6-linux-amd64.tar.gz": "a",
	})
	want := `  version "4.5.6"
  license "MIT"

  on_macos do
    on_arm do
      url "https://example.org/download/v4.5.6/coltec-v4.5.6-darwin-arm64.tar.gz"
      sha256 "b"
    end
  end

  on_linux do
    on_intel do
      url "https://example.org/download/v4.5.6/coltec-v4.5.6-linux-amd64.tar.gz"
      sha256 "a"
    end
  end
`
	if err != nil || !strings.Contains(got, want) {
		t.Errorf("%v\n%s", err, got)
	}
}

// An archive is the same whoever makes it, and when: neither names, nor times, nor modes of the
// files that it is made from are in it.
func TestArchivesAreOfTheirContent(t *testing.T) {
	at := time.Unix(1700000000, 0).UTC()
	var tars, zips [][]byte
	for i, mode := range []os.FileMode{0o644, 0o755} {
		dir := t.TempDir()
		file := filepath.Join(dir, strings.Repeat("x", i+1))
		if err := os.WriteFile(file, []byte("content"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
		members := []member{{"a/b", file, 0o755}}
		for name, write := range map[string]func(string, []member, time.Time) error{"t": writeTar, "z": writeZip} {
			if err := write(filepath.Join(dir, name), members, at); err != nil {
				t.Fatal(err)
			}
		}
		for name, list := range map[string]*[][]byte{"t": &tars, "z": &zips} {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			*list = append(*list, b)
		}
	}
	if !bytes.Equal(tars[0], tars[1]) || !bytes.Equal(zips[0], zips[1]) {
		t.Error("two archives of the same content differ")
	}
	z, err := gzip.NewReader(bytes.NewReader(tars[0]))
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(z)
	h, err := archive.Next()
	if err != nil || h.Name != "a/b" || h.Mode != 0o755 || !h.ModTime.Equal(at) || h.Uid != 0 {
		t.Fatalf("%+v, %v", h, err)
	}
	if b, err := io.ReadAll(archive); err != nil || string(b) != "content" {
		t.Errorf("%q, %v", b, err)
	}
}

// The list of checksums is signed by a key from the environment, as ssh-keygen verifies it; it
// is the same each time, and without a key the release says that it has none.
func TestSign(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s: apt-get install openssh-client", err, out)
	}
	private, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	signers := filepath.Join(dir, "signers")
	if err := os.WriteFile(signers, append([]byte("release@example.org "), public...), 0o644); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	var signatures []string
	for range 2 {
		r := &release{out: t.TempDir(), environ: os.Environ(), say: func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }}
		if err := os.WriteFile(filepath.Join(r.out, "a"), []byte("content"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := r.checksums(context.Background()); err != nil {
			t.Fatal(err)
		}
		t.Setenv(keyVariable, "")
		if err := r.sign(context.Background()); err != nil || !strings.Contains(said.String(), "not signed: "+keyVariable+" is not set") {
			t.Errorf("without a key: %v: %s", err, &said)
		}
		t.Setenv(keyVariable, string(private))
		if err := r.sign(context.Background()); err != nil {
			t.Fatal(err)
		}
		signature, err := os.ReadFile(filepath.Join(r.out, "checksums.txt.sig"))
		if err != nil {
			t.Fatal(err)
		}
		signatures = append(signatures, string(signature))
		verify := func(text string) error {
			cmd := exec.Command("ssh-keygen", "-Y", "verify", "-f", signers, "-I", "release@example.org", "-n", "coltec-release", "-s", filepath.Join(r.out, "checksums.txt.sig"))
			cmd.Stdin = strings.NewReader(text)
			return cmd.Run()
		}
		sums, err := os.ReadFile(filepath.Join(r.out, "checksums.txt"))
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(string(sums)); err != nil {
			t.Error(err)
		}
		if verify(string(sums)+"more") == nil {
			t.Error("another list has the same signature")
		}
	}
	if signatures[0] != signatures[1] {
		t.Error("two signatures of the same list differ")
	}
}
