package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// goFlags are all that decides on the bytes of a program beside its source and the Go: what a
// person has set otherwise must not.
func goFlags(p platform) []string {
	return []string{
		"GOOS=" + p.os, "GOARCH=" + p.arch, "GOAMD64=v1", "GOARM64=v8.0", "CGO_ENABLED=0",
		"GOFLAGS=-trimpath -buildvcs=false -mod=readonly", "GOEXPERIMENT=", "GOWORK=off",
	}
}

// built is where a program of a platform lies while the release is made.
func (r *release) built(p platform, name string) string {
	if p.os == "windows" {
		name += ".exe"
	}
	return filepath.Join(r.work, p.String(), name)
}

// usual are the programs of containers that every workspace needs.
var usual = []string{"coltecd", "rclone", "coltec-mcp"}

// programs are those of containers. tailscaled is published, and in no archive: it adds a third to
// one, and few need it.
func (r *release) programs() []string {
	if r.tailscale {
		return append(slices.Clone(usual), "tailscaled")
	}
	return usual
}

// inside builds what runs in containers, and publishes each program under the name that the
// Feature asks for.
func (r *release) inside(ctx context.Context) error {
	for _, p := range r.insides() {
		env := append(goFlags(p), "COLTEC_RCLONE_OUT="+r.built(p, "rclone"), "COLTEC_TAILSCALED_OUT="+r.built(p, "tailscaled"))
		for _, name := range r.programs() {
			script, others := map[string]string{"rclone": "build-rclone.sh", "tailscaled": "build-tailscale.sh"}[name]
			if !others {
				if err := r.compile(ctx, p, name); err != nil {
					return err
				}
				continue
			}
			if _, err := r.output(ctx, r.root, env, filepath.Join(r.root, "scripts", script), "--force"); err != nil {
				return err
			}
		}
		for _, name := range r.programs() {
			if err := copyFile(filepath.Join(r.out, name+"-"+p.String()), r.built(p, name), 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}

// compile builds one of our programs.
func (r *release) compile(ctx context.Context, p platform, name string, flags ...string) error {
	args := append([]string{"build", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w -X main.version=" + r.version, "-o", r.built(p, name)}, flags...)
	_, err := r.output(ctx, r.root, goFlags(p), "go", append(args, "./cmd/"+name)...)
	return err
}

// featureDir is where the Feature of this release lies while it is made: the one of the
// repository, with this version, and the checksums of the programs that it may download.
func (r *release) featureDir() string { return filepath.Join(r.work, "feature") }

func (r *release) feature(context.Context) error {
	from := filepath.Join(r.root, "features", "coltec")
	if err := os.CopyFS(r.featureDir(), os.DirFS(from)); err != nil {
		return err
	}
	sums, err := os.ReadFile(filepath.Join(from, "checksums.txt"))
	if err != nil {
		return err
	}
	for _, p := range r.insides() {
		for _, name := range r.programs() {
			sum, err := sha256Of(r.built(p, name))
			if err != nil {
				return err
			}
			sums = fmt.Appendf(sums, "%s  %s/%s-%s\n", sum, r.version, name, p)
		}
	}
	if err := os.WriteFile(filepath.Join(r.featureDir(), "checksums.txt"), sums, 0o644); err != nil {
		return err
	}
	file := filepath.Join(r.featureDir(), "devcontainer-feature.json")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if text, err = featureOf(text, r.version); err != nil {
		return err
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	return r.packFeature()
}

// featureVersion and featureDefault are the two places of devcontainer-feature.json that name a
// version: its own, and the one of the programs that it takes when nobody says another.
var (
	featureVersion = regexp.MustCompile(`(?m)^(    "version": )"[^"]*"`)
	featureDefault = regexp.MustCompile(`("version": \{\s*"type": "string",\s*"default": )"[^"]*"`)
)

// featureOf is the description of the Feature as a release has it.
func featureOf(text []byte, version string) ([]byte, error) {
	if len(featureVersion.FindAll(text, -1)) != 1 || len(featureDefault.FindAll(text, -1)) != 1 {
		return nil, fmt.Errorf("devcontainer-feature.json does not name its version in one place, and the default of the option in another")
	}
	text = featureVersion.ReplaceAll(text, []byte(`${1}"`+strings.TrimPrefix(version, "v")+`"`))
	return featureDefault.ReplaceAll(text, []byte(`${1}"`+version+`"`)), nil
}

// overlay has Go embed the Feature of this release in place of the repository's.
func (r *release) overlay() (string, error) {
	replace := map[string]string{}
	for _, name := range []string{"checksums.txt", "devcontainer-feature.json"} {
		replace[filepath.Join(r.root, "features", "coltec", name)] = filepath.Join(r.featureDir(), name)
	}
	return r.overlayOf("overlay.json", replace)
}

// overlayOf writes what Go is to read in place of files; "" is that there is none.
func (r *release) overlayOf(name string, replace map[string]string) (string, error) {
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(r.work, name)
	return file, os.WriteFile(file, text, 0o644)
}

// here is the platform that the release is made on: its programs say what pages hold.
func here() platform { return platform{runtime.GOOS, runtime.GOARCH} }

// host builds coltec, and both programs for this machine.
func (r *release) host(ctx context.Context) error {
	overlay, err := r.overlay()
	if err != nil {
		return err
	}
	for _, p := range r.only {
		if err := r.compile(ctx, p, "coltec", "-overlay", overlay); err != nil {
			return err
		}
	}
	if !slices.Contains(r.only, here()) {
		if err := r.compile(ctx, here(), "coltec", "-overlay", overlay); err != nil {
			return err
		}
	}
	if !slices.Contains(r.insides(), here()) {
		return r.compile(ctx, here(), "coltecd")
	}
	return nil
}

// vet looks at all packages of each program as each platform has them. Tests are left out:
// they are Linux's, and make check has vetted them.
func (r *release) vet(ctx context.Context) error {
	const format = `{{if not .Standard}}{{with .Module}}{{if .Main}}{{$.ImportPath}}	{{$.Dir}}	{{join $.TestGoFiles ","}},{{join $.XTestGoFiles ","}}{{end}}{{end}}{{end}}`
	for _, p := range r.only {
		text, err := r.output(ctx, r.root, goFlags(p), "go", append([]string{"list", "-deps", "-tags", "urfave_cli_no_docs", "-f", format}, r.own(p)...)...)
		if err != nil {
			return err
		}
		var packages []string
		without := map[string]string{}
		for line := range strings.Lines(text) {
			f := strings.Split(strings.TrimSpace(line), "\t")
			if len(f) < 2 {
				return fmt.Errorf("go list printed %q", line)
			}
			packages = append(packages, f[0])
			for name := range strings.SplitSeq(strings.Join(f[2:], ""), ",") {
				if name != "" {
					without[filepath.Join(f[1], name)] = ""
				}
			}
		}
		overlay, err := r.overlayOf("vet-"+p.String()+".json", without)
		if err != nil {
			return err
		}
		if _, err := r.output(ctx, r.root, goFlags(p), "go", append([]string{"vet", "-tags", "urfave_cli_no_docs", "-overlay", overlay}, packages...)...); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		r.say("vet for %s: %d packages", p, len(packages))
	}
	return nil
}

// own are the packages of our programs that a platform gets.
func (r *release) own(p platform) []string {
	list := []string{"./cmd/coltec"}
	if p.os != "linux" {
		return list
	}
	for _, name := range r.programs() {
		if _, err := os.Stat(filepath.Join(r.root, "cmd", name)); err == nil {
			list = append(list, "./cmd/"+name)
		}
	}
	return list
}

// pages has the programs write their completions and manual pages, and make check's tool the
// licences.
func (r *release) pages(ctx context.Context) error {
	dir := filepath.Join(r.work, "pages")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"coltec", "coltecd"} {
		for page, args := range map[string][]string{
			name + ".bash": {"completion", "bash"}, name + ".zsh": {"completion", "zsh"}, name + ".fish": {"completion", "fish"}, name + ".1": {"man"},
		} {
			text, err := r.output(ctx, r.root, nil, r.built(here(), name), args...)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, page), []byte(text), 0o644); err != nil {
				return err
			}
		}
	}
	file := filepath.Join(r.out, "licences.txt")
	_, err := r.output(ctx, filepath.Join(r.root, "tools", "check"), nil, "go", "run", ".", "-texts", file)
	return err
}

// page is where a completion, a manual page or the list of licences lies.
func (r *release) page(name string) string {
	if name == "licences.txt" {
		return filepath.Join(r.out, name)
	}
	return filepath.Join(r.work, "pages", name)
}

// copyFile copies a file that is not there yet.
func copyFile(to, from string, mode fs.FileMode) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, mode)
}
