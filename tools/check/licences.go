package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// permissive are the licences, by their SPDX names, that ask for no more than to be named.
var permissive = map[string]bool{
	"0BSD": true, "Apache-2.0": true, "BSD-2-Clause": true, "BSD-3-Clause": true, "CC0-1.0": true,
	"HPND": true, "ISC": true, "MIT": true, "Unlicense": true, "Zlib": true,
}

// mozilla are the modules under the MPL-2.0. It binds their own files alone, and these are
// linked as they were published.
var mozilla = []string{
	"github.com/hashicorp/errwrap", "github.com/hashicorp/go-cleanhttp", "github.com/hashicorp/go-multierror",
	"github.com/hashicorp/go-retryablehttp", "github.com/hashicorp/golang-lru/v2",
}

// platforms are those that programs are built for; elsewhere those of the host's alone.
var (
	platforms = []string{"linux/amd64", "linux/arm64"}
	elsewhere = []string{"darwin/amd64", "darwin/arm64", "windows/amd64"}
)

// named is the shape of the names of files that hold a licence.
var named = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicen[cs]e)([-._].*)?$`)

// notice is the shape of what the Apache licence has go along with it.
var notice = regexp.MustCompile(`(?i)^notice([-._].*)?$`)

// covered is how much of such a file, in per cent, must be the words of known licences:
// names, years and titles are the rest.
const covered = 75

// module is one that is linked.
type module struct {
	path     string
	packages map[string]string // folder of each of its packages that is linked -> folder of the module
	in       map[string]bool   // the programs
}

// licences holds what is linked to the list of permissive ones, and docs/licences.md to
// what is linked.
func (c *checker) licences(ctx context.Context) error {
	modules, err := c.linked(ctx)
	if err != nil {
		return err
	}
	if c.texts != "" {
		return writeTexts(c.texts, c.root, modules)
	}
	var rows, bad []string
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		m := modules[path]
		ids, err := m.licences()
		if err == nil {
			err = allowed(path, ids)
		}
		if err != nil {
			bad = append(bad, err.Error())
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s |", path, strings.Join(ids, ", "), strings.Join(slices.Sorted(maps.Keys(m.in)), ", ")))
	}
	if len(bad) > 0 {
		return errors.New(strings.Join(bad, "\n"))
	}
	return c.compare(filepath.Join(c.root, "docs", "licences.md"), []byte(page(rows)))
}

// linked are the modules that the programs are linked from.
func (c *checker) linked(ctx context.Context) (map[string]*module, error) {
	programs, err := c.programs(ctx)
	if err != nil {
		return nil, err
	}
	modules := map[string]*module{}
	for _, p := range programs {
		if err := p.link(ctx, c.root, modules); err != nil {
			return nil, err
		}
	}
	return modules, nil
}

// writeTexts writes the licences of all modules, word for word, as they ask for: what a release
// has beside its programs.
func writeTexts(file, root string, modules map[string]*module) error {
	var b bytes.Buffer
	b.WriteString("Of what is linked into coltec, coltecd, rclone and tailscaled. The Go standard library is\n" +
		"under the licence of golang.org/x/sys below.\n")
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		fmt.Fprintf(&b, "\n%s\n%s, in %s\n", strings.Repeat("=", 80), path, strings.Join(slices.Sorted(maps.Keys(modules[path].in)), ", "))
		texts := map[string]bool{}
		for _, dir := range slices.Sorted(maps.Keys(modules[path].folders())) {
			entries, err := os.ReadDir(dir)
			if err != nil {
				return err
			}
			for _, e := range entries {
				if !e.Type().IsRegular() || !(named.MatchString(e.Name()) || notice.MatchString(e.Name())) || filepath.Ext(e.Name()) == ".go" {
					continue
				}
				text, err := os.ReadFile(filepath.Join(dir, e.Name()))
				if err != nil {
					return err
				}
				if s := strings.TrimSpace(string(text)); !texts[s] {
					texts[s] = true
					fmt.Fprintf(&b, "\n%s\n", s)
				}
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(root, pageLibraries))
	if err != nil {
		return err
	}
	fmt.Fprintf(&b, "\n%s\n%s, in coltec\n\n%s\n", strings.Repeat("=", 80), path.Dir(pageLibraries), bytes.TrimSpace(text))
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// pageLibraries names what the page of coltec ui is made with, with the licences; a test of
// pkg/console holds it to the files.
const pageLibraries = "pkg/console/page/lib/README.txt"

// page is the document.
func page(rows []string) string {
	return "# Licences\n\nOf what is linked into the programs, on all platforms that they are built for, beside\n" +
		"the Go standard library (BSD-3-Clause). `make generate` writes this page; `make check` fails for a licence\n" +
		"that is not permissive. The MPL-2.0 binds the files of its modules alone, which are linked as they were published.\n\n" +
		"The page of `coltec ui` has Preact (MIT) and htm (Apache-2.0) in it: `" + pageLibraries + "`.\n\n" +
		"| module | licences | in |\n|---|---|---|\n" + strings.Join(rows, "\n") + "\n"
}

// compare holds a file to what it should be, or writes it.
func (c *checker) compare(file string, want []byte) error {
	if c.write {
		return os.WriteFile(file, want, 0o644)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s is not what is linked\nhint: make generate", file)
	}
	return nil
}

// link adds the modules that p is linked from.
func (p program) link(ctx context.Context, root string, modules map[string]*module) error {
	const format = `{{with .Module}}{{if not .Main}}{{.Path}}	{{.Dir}}	{{end}}{{end}}{{.Dir}}`
	for _, path := range p.paths {
		systems := platforms
		if path == p.host {
			systems = append(slices.Clone(platforms), elsewhere...)
		}
		for _, system := range systems {
			goos, arch, _ := strings.Cut(system, "/")
			env := []string{"GOOS=" + goos, "GOARCH=" + arch, "CGO_ENABLED=0"}
			out, err := output(ctx, filepath.Join(root, p.module), env, "go", "list", "-deps", "-tags", p.tags, "-f", format, path)
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(out)) {
				f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
				if len(f) != 3 { // ours, or the standard library's
					continue
				}
				m := modules[f[0]]
				if m == nil {
					m = &module{path: f[0], packages: map[string]string{}, in: map[string]bool{}}
					modules[f[0]] = m
				}
				m.packages[f[2]] = f[1]
				m.in[filepath.Base(path)] = true
			}
		}
	}
	return nil
}

// licences names those of the module's files that lie at its root, or above a package of
// it that is linked.
func (m *module) licences() ([]string, error) {
	ids := map[string]bool{}
	for dir := range m.folders() {
		found, err := licencesIn(dir)
		if err != nil {
			return nil, fmt.Errorf("cannot tell the licence of %s: %w", m.path, err)
		}
		for _, id := range found {
			ids[id] = true
		}
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("cannot tell the licence of %s: there is no file of it", m.path)
	}
	return slices.Sorted(maps.Keys(ids)), nil
}

// folders are the module's root, and those above packages of it that are linked.
func (m *module) folders() map[string]bool {
	folders := map[string]bool{}
	for dir, root := range m.packages {
		for ; strings.HasPrefix(dir, root); dir = filepath.Dir(dir) {
			folders[dir] = true
		}
	}
	return folders
}

// licencesIn names the licences that files of a folder consist of.
func licencesIn(dir string) (ids []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !named.MatchString(e.Name()) || filepath.Ext(e.Name()) == ".go" {
			continue
		}
		file := filepath.Join(dir, e.Name())
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		found := identify(text)
		if len(found) == 0 {
			return nil, fmt.Errorf("%s is none that is known", file)
		}
		ids = append(ids, found...)
	}
	return ids, nil
}

// identify names the licences that a text consists of; none where much of it is in none.
func identify(text []byte) []string {
	cover := licensecheck.Scan(text)
	if cover.Percent < covered {
		return nil
	}
	ids := map[string]bool{}
	for _, m := range cover.Match {
		ids[m.ID] = true
	}
	return slices.Sorted(maps.Keys(ids))
}

// allowed reports whether a module with such licences may be linked.
func allowed(path string, ids []string) error {
	for _, id := range ids {
		if !permissive[id] && !(id == "MPL-2.0" && slices.Contains(mozilla, path)) {
			return fmt.Errorf("cannot link %s: its licence %s is not permissive", path, id)
		}
	}
	return nil
}
