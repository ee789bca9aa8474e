package devcontainer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"github.com/coltec/coltec/internal/porttest"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// not is for scripts: a shell that ends at what fails passes "! command" over.
const not = `not() { if "$@"; then echo "it went well: $*"; exit 1; fi; }
`

// in runs a script in a new container of an image, with the release at /release.
func (g *ground) in(image, release, script string) (string, error) {
	return g.run("docker", "run", "--rm", "--network=none", "--volume="+release+":/release:ro", image, "sh", "-ec", not+script)
}

// TestReleaseOnDebian installs the package on a Debian that has nothing else of ours, uses it,
// and removes it.
func TestReleaseOnDebian(t *testing.T) {
	g := newGround(t)
	dir, version := released(t, g)
	out, err := g.in(os.Getenv("COLTEC_E2E_IMAGE"), dir, `
dpkg -i /release/coltec_*_amd64.deb
coltec version
coltecd version
coltec-daemon version
/usr/lib/coltec/rclone version
not test -e /usr/bin/rclone
cd /tmp
coltec new w --data org=acme --data project=widget --data env=dev-a
ls w/.devcontainer/coltec/bin/amd64
cmp w/.devcontainer/coltec/bin/amd64/coltecd /usr/lib/coltec/coltecd
gzip -t /usr/share/man/man1/coltec.1.gz /usr/share/man/man1/coltecd.1.gz
ls /usr/share/bash-completion/completions/coltec /usr/share/zsh/vendor-completions/_coltecd /usr/share/fish/vendor_completions.d/coltec.fish /usr/share/doc/coltec/licences.txt
dpkg -V coltec
dpkg -r coltec
not test -e /usr/bin/coltec
not test -e /usr/lib/coltec
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
			out, err := g.in(image, dir, `
export HOME=/root
sh /release/install.sh --from /release --dry-run
not test -e /usr/local/bin/coltec
mkdir /bad && cp /release/coltec-*.tar.gz /bad && echo more >>/bad/coltec-`+version+`-linux-amd64.tar.gz
not sh /release/install.sh --from /bad
not test -e /usr/local/lib/coltec
mkdir -p /other/bin && echo mine >/other/bin/coltecd
not sh /release/install.sh --from /release --prefix /other
cat /other/bin/coltecd
sh /release/install.sh --from /release
sh /release/install.sh --from /release
coltec version && coltecd version && ls /usr/local/lib/coltec/rclone
sh /release/install.sh --uninstall
not test -e /usr/local/lib/coltec
not test -L /usr/local/bin/coltec
not test -L /usr/local/bin/coltecd
hash -r
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

// packaged are how packages are listed, and how a file of one is read; $1 is the package.
var packaged = map[string]struct{ list, read, completions string }{
	".deb": {`dpkg-deb --fsys-tarfile "$1" | tar -t`, `dpkg-deb --fsys-tarfile "$1" | tar -xO "./$2"`, "vendor-completions"},
	".rpm": {`rpm2cpio "$1" | cpio -t --quiet`, `rpm2cpio "$1" | cpio -i --quiet --to-stdout "/$2"`, "site-functions"},
	".apk": {`tar -tzf "$1" 2>/dev/null`, `tar -xzOf "$1" "$2" 2>/dev/null`, "site-functions"},
}

// TestReleaseOfOthers looks into all packages, also those that Debian does not install and those
// of other machines: each has the same files in the same places, and the published programs.
func TestReleaseOfOthers(t *testing.T) {
	g := newGround(t)
	dir, _ := released(t, g)
	files, err := filepath.Glob(dir + "/coltec*")
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, file := range files {
		kind, is := packaged[filepath.Ext(file)]
		if !is {
			continue
		}
		looked++
		out, err := g.run("sh", "-c", kind.list, "sh", file)
		if err != nil {
			t.Fatalf("%s: %v\n%s", file, err, out)
		}
		want := []string{"usr/bin/coltec-daemon", "usr/share/doc/coltec/copyright", "usr/share/doc/coltec/licences.txt", "usr/lib/coltec/rclone"}
		for _, name := range []string{"coltec", "coltecd"} {
			want = append(want, "usr/lib/coltec/"+name, "usr/bin/"+name, "usr/share/man/man1/"+name+".1.gz", "usr/share/bash-completion/completions/"+name,
				"usr/share/fish/vendor_completions.d/"+name+".fish", "usr/share/zsh/"+kind.completions+"/_"+name)
		}
		for _, w := range want {
			if !strings.Contains("\n"+out, "/"+w+"\n") && !strings.Contains("\n"+out, "\n"+w+"\n") {
				t.Errorf("%s: no %s in\n%s", file, w, out)
			}
		}
		arch := "amd64"
		if strings.Contains(file, "arm64") || strings.Contains(file, "aarch64") {
			arch = "arm64"
		}
		for _, name := range []string{"coltecd", "rclone"} {
			out, err := g.run("sh", "-c", `published=$3; { `+kind.read+`; } | cmp - "$published"`, "sh", file, "usr/lib/coltec/"+name, dir+"/"+name+"-linux-"+arch)
			if err != nil {
				t.Errorf("%s: %s is not the one that is published: %v\n%s", file, name, err, out)
			}
		}
	}
	if looked < 3 {
		t.Errorf("there are %d packages", looked)
	}
}

// registry is Debian's registry of containers, on loopback, for the time of a test.
func (g *ground) registry() string {
	g.t.Helper()
	address := porttest.Free(g.t)
	g.write("registry.yml", fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n", g.dir+"/registry", address))
	cmd := exec.Command("docker-registry", "serve", g.dir+"/registry.yml")
	var said bytes.Buffer
	cmd.Stderr = &said // standard output has a line for each request
	if err := cmd.Start(); err != nil {
		g.t.Fatalf("%v: apt-get install docker-registry", err)
	}
	g.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if g.t.Failed() {
			g.t.Logf("the registry said:\n%s", &said)
		}
	})
	g.eventually("the registry answers", func() bool {
		answer, err := http.Get("http://" + address + "/v2/")
		if err == nil {
			answer.Body.Close()
		}
		return err == nil && answer.StatusCode == http.StatusOK
	})
	return strings.Replace(address, "127.0.0.1", "localhost", 1) // to which the CLI speaks HTTP
}

// tags are those of a name in a registry.
func (g *ground) tags(registry, name string) []string {
	g.t.Helper()
	answer, err := http.Get("http://" + registry + "/v2/" + name + "/tags/list")
	if err != nil {
		g.t.Fatal(err)
	}
	defer answer.Body.Close()
	var list struct{ Tags []string }
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
		g.t.Fatal(err)
	}
	slices.Sort(list.Tags)
	return list.Tags
}

// bring has the dev container CLI alone bring a folder up, as an editor does, with the secrets
// of the bucket for what runs in it.
func (g *ground) bring(dir string) {
	g.t.Helper()
	secrets, err := json.Marshal(map[string]string{
		"RCLONE_BUCKET": g.server.Bucket, "RCLONE_S3_ACCESS_KEY_ID": g.server.AccessKey,
		"RCLONE_S3_SECRET_ACCESS_KEY": g.server.SecretKey, "RCLONE_S3_ENDPOINT": g.server.Endpoint,
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.write("secrets.json", string(secrets))
	if out, err := exec.Command("chown", "-R", "1000:1000", dir).CombinedOutput(); err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	if out, err := g.run("devcontainer", "up", "--workspace-folder", dir, "--secrets-file", g.dir+"/secrets.json"); err != nil {
		g.t.Fatalf("%v\n%s", err, out)
	}
}

// of is the ground for a test that is a part of another.
func (g *ground) of(t *testing.T) *ground {
	part := *g
	part.t = t
	return &part
}

// TestReleaseByRegistry: the Feature and the template are published to a registry, with the tags
// that people pin. A repository with one line for the Feature comes up, and its work is in the
// bucket; so does a folder that the template was applied to.
func TestReleaseByRegistry(t *testing.T) {
	g := newGround(t)
	release, version := released(t, g)
	registry := g.registry()
	g.env = append(g.env, "REGISTRY="+registry, "NAMESPACE=coltec/coltec", "RELEASE="+release)
	if out, err := g.run(g.root+"/scripts/publish.sh", version); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	number := strings.TrimPrefix(version, "v")
	parts := strings.Split(number, ".")
	want := []string{parts[0], parts[0] + "." + parts[1], number, "latest"}
	for _, name := range []string{"coltec/coltec/coltec", "coltec/coltec/templates/base"} {
		if got := g.tags(registry, name); !slices.Equal(got, want) {
			t.Errorf("%s has the tags %q, not %q", name, got, want)
		}
	}
	downloads := httptest.NewServer(http.StripPrefix("/"+version, http.FileServer(http.Dir(release))))
	defer downloads.Close()
	// What a build reaches on this machine is loopback, with this option alone.
	const build = `"build": {"dockerfile": "Dockerfile", "options": ["--network=host"]}`

	t.Run("one line", func(t *testing.T) {
		g := g.of(t)
		dir := g.own("one")
		g.write("one/.devcontainer/Dockerfile", "FROM "+os.Getenv("COLTEC_E2E_IMAGE")+"\n")
		g.write("one/.devcontainer/workspace-spec.yaml", fmt.Sprintf(specText, "dev-f"))
		g.write("one/.devcontainer/devcontainer.json", `{
  `+build+`,
  "features": {"`+registry+`/coltec/coltec/coltec:`+parts[0]+`": {"start": true, "url": "`+downloads.URL+`"}},
  "remoteUser": "vscode", "workspaceFolder": "/workspace", "workspaceMount": "source=${localWorkspaceFolder},target=/workspace,type=bind",
  "runArgs": ["--network=host"]
}
`)
		g.write("one/note", "saved\n")
		g.bring(dir)
		out, err := g.run("docker", "exec", "--user", "vscode", "--workdir", "/workspace", g.container(dir), "sh", "-c", "coltecd version && coltecd sync")
		if err != nil || !strings.Contains(out, "coltecd version "+version+"\n") {
			t.Errorf("%v\n%s", err, out)
		}
		if got := g.stored("dev-f", "workspace")["note"]; got != "saved\n" {
			t.Errorf("the bucket has %q", got)
		}
	})
	t.Run("the template", func(t *testing.T) {
		g := g.of(t)
		dir := g.own("made")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		answers := `{"org": "acme", "project": "widget", "env": "dev-g", "image": "` + os.Getenv("COLTEC_E2E_IMAGE") + `", "provider": "Other"}`
		if out, err := g.run("devcontainer", "templates", "apply", "--workspace-folder", dir, "--template-id", registry+"/coltec/coltec/templates/base:"+parts[0], "--template-args", answers); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if out, err := g.run(g.root+"/bin/coltec", "check", dir); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		for old, text := range map[string]string{
			`"image": "` + os.Getenv("COLTEC_E2E_IMAGE") + `",`: build + `,`,
			`coltec:` + parts[0] + `": {}`:                      `coltec:` + parts[0] + `": {"url": "` + downloads.URL + `"}`,
			`"--stop-timeout=60",`:                              `"--stop-timeout=60", "--network=host",`,
		} {
			g.edit(dir, old, text)
		}
		g.write("made/.devcontainer/Dockerfile", "FROM "+os.Getenv("COLTEC_E2E_IMAGE")+"\n")
		g.write("made/note", "of the template\n")
		g.bring(dir)
		if out, err := g.run("docker", "exec", "--user", "vscode", "--workdir", "/workspace", g.container(dir), "coltecd", "sync"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if got := g.stored("dev-g", "workspace")["note"]; got != "of the template\n" {
			t.Errorf("the bucket has %q", got)
		}
	})
}
