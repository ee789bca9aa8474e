package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// texts writes the installer and the formula of Homebrew: both name what they download by its
// checksum, so that who trusts their text need trust no server.
func (r *release) texts(context.Context) error {
	_, sums, err := r.published()
	if err != nil {
		return err
	}
	script, err := os.ReadFile(filepath.Join(r.root, "scripts", "install.sh"))
	if err != nil {
		return err
	}
	text, err := installer(string(script), r.version, releases, sums)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.out, "install.sh"), []byte(text), 0o755); err != nil {
		return err
	}
	formula, err := brew(r.version, releases, sums)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, "coltec.rb"), []byte(formula), 0o644)
}

// installer is the script with a release in it: its version, and the checksums of what it can
// install: the archives, and tailscaled where the release has it.
func installer(script, version, url string, sums map[string]string) (string, error) {
	var list []string
	for _, p := range platforms {
		for _, name := range []string{"coltec-" + version + "-" + p.String() + ".tar.gz", "tailscaled-" + p.String()} {
			if sum := sums[name]; sum != "" {
				list = append(list, sum+"  "+name)
			}
		}
	}
	for _, x := range [][2]string{{"version=''", "version='" + version + "'"}, {"checksums=''", "checksums='" + strings.Join(list, "\n") + "'"}, {"releases=''", "releases='" + url + "'"}} {
		if strings.Count(script, "\n"+x[0]+"\n") != 1 {
			return "", fmt.Errorf("scripts/install.sh has no single line %s", x[0])
		}
		script = strings.Replace(script, "\n"+x[0]+"\n", "\n"+x[1]+"\n", 1)
	}
	return script, nil
}

var formulaOf = template.Must(template.New("formula").Parse(`class Coltec < Formula
  desc "Dev containers whose state follows you through your own bucket"
  homepage "https://github.com/coltec/coltec"
  version "{{.Version}}"
  license "MIT"
{{range .Systems}}
  on_{{.Name}} do
{{- range .Files}}
    on_{{.CPU}} do
      url "{{.URL}}"
      sha256 "{{.Sum}}"
    end
{{- end}}
  end
{{end}}
  def install
    man1.install Dir["man/man1/*.1"]
    bash_completion.install "completions/coltec.bash" => "coltec"
    zsh_completion.install "completions/coltec.zsh" => "_coltec"
    fish_completion.install "completions/coltec.fish"
    libexec.install Dir["*"]
    bin.install_symlink libexec/"coltec"
  end

  test do
    assert_match "coltec version v#{version}", shell_output("#{bin}/coltec version")
  end
end
`))

// brew is the formula. A platform that this release was not made for has no lines in it.
func brew(version, url string, sums map[string]string) (string, error) {
	type file struct{ CPU, URL, Sum string }
	type system struct {
		Name  string
		Files []file
	}
	var systems []system
	for _, names := range [][2]string{{"darwin", "macos"}, {"linux", "linux"}} {
		s := system{Name: names[1]}
		for _, p := range platforms {
			name := "coltec-" + version + "-" + p.String() + ".tar.gz"
			if p.os == names[0] && sums[name] != "" {
				s.Files = append(s.Files, file{map[string]string{"amd64": "intel", "arm64": "arm"}[p.arch], url + "/" + version + "/" + name, sums[name]})
			}
		}
		if len(s.Files) > 0 {
			systems = append(systems, s)
		}
	}
	var b strings.Builder
	err := formulaOf.Execute(&b, map[string]any{"Version": strings.TrimPrefix(version, "v"), "Systems": systems})
	return b.String(), err
}
