package main

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// made is a release that is looked at.
type made struct {
	dir      string
	names    []string          // of its files
	programs map[string]string // the file of each program, by NAME-OS-ARCH
	licensed map[string]string // the programs that licences.txt names a module for
}

// verify reports what a release lacks: a file that its list of checksums does not have, a
// member of an archive, a module that is linked and that a bill of materials, or the list of
// licences, does not name.
func verify(dir string, say func(string, ...any)) error {
	work, err := os.MkdirTemp("", "coltec-release-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	m := &made{dir: dir, programs: map[string]string{}}
	if err := m.sums(); err != nil {
		return err
	}
	if m.licensed, err = licensed(filepath.Join(dir, "licences.txt")); err != nil {
		return err
	}
	archives := 0
	for _, name := range m.names {
		if top, p, is := archiveOf(name); is {
			archives++
			if err := m.archive(name, top, p, filepath.Join(work, top)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	bills := 0
	for _, name := range m.names {
		if program, is := strings.CutSuffix(name, ".cdx.json"); is {
			bills++
			if err := m.bill(program); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if archives == 0 || bills != len(m.programs) {
		return fmt.Errorf("it has %d archives, %d programs and %d bills of materials", archives, len(m.programs), bills)
	}
	say("%d files, %d archives, %d programs: whole, and all that is linked is named", len(m.names), archives, bills)
	return nil
}

// sums holds the files to the list of checksums, and the other way round.
func (m *made) sums() error {
	text, err := os.ReadFile(filepath.Join(m.dir, "checksums.txt"))
	if err != nil {
		return err
	}
	listed := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if sum, name, ok := strings.Cut(strings.TrimSpace(line), "  "); ok {
			listed[name] = sum
		}
	}
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if name == "checksums.txt" || name == "checksums.txt.sig" {
			continue
		}
		sum, err := sha256Of(filepath.Join(m.dir, name))
		if err != nil {
			return err
		}
		if listed[name] != sum {
			return fmt.Errorf("%s has the SHA-256 %s, and checksums.txt says %q", name, sum, listed[name])
		}
		delete(listed, name)
		m.names = append(m.names, name)
		if strings.Contains(name, "-linux-") && filepath.Ext(name) == "" {
			m.programs[name] = filepath.Join(m.dir, name)
		}
	}
	if len(listed) > 0 {
		return fmt.Errorf("checksums.txt names what is not there: %s", strings.Join(slices.Sorted(maps.Keys(listed)), ", "))
	}
	return nil
}

// licensed are the programs that a list of licences names each module for.
func licensed(file string) (map[string]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := map[string]string{}
	lines := bufio.NewScanner(f)
	for after := false; lines.Scan(); after = strings.HasPrefix(lines.Text(), "====") {
		if module, programs, ok := strings.Cut(lines.Text(), ", in "); ok && after {
			in[module] = programs
		}
	}
	return in, lines.Err()
}

// archiveOf is what an archive is of, and the folder at its top.
func archiveOf(name string) (top string, p platform, is bool) {
	top, is = strings.CutSuffix(name, ".tar.gz")
	if !is {
		top, is = strings.CutSuffix(name, ".zip")
	}
	for _, p := range platforms {
		if strings.HasPrefix(top, "coltec-v") && strings.HasSuffix(top, "-"+p.String()) {
			return top, p, is
		}
	}
	return "", platform{}, false
}

// archive unpacks one into a folder, and looks at what it has.
func (m *made) archive(name, top string, p platform, to string) error {
	files, err := unpack(filepath.Join(m.dir, name), to)
	if err != nil {
		return err
	}
	r := release{version: "v0.0.0", only: []platform{p}}
	has := map[string]bool{}
	for _, file := range files {
		inside, ok := strings.CutPrefix(file, top+"/")
		if !ok {
			return fmt.Errorf("%s is not in %s", file, top)
		}
		has[inside] = true
		folder, base := path.Split(inside)
		of := p
		if folder != "" && !strings.HasPrefix(folder, "completions") && !strings.HasPrefix(folder, "man") {
			goos, arch, _ := strings.Cut(strings.TrimSuffix(folder, "/"), "-")
			of = platform{goos, arch}
		}
		published, is := m.programs[base+"-"+of.String()]
		if !is {
			continue
		}
		a, err := sha256Of(published)
		if err != nil {
			return err
		}
		if b, err := sha256Of(filepath.Join(to, filepath.FromSlash(file))); err != nil || a != b {
			return errors.Join(err, fmt.Errorf("%s is another one than %s", file, published))
		}
	}
	for _, want := range r.members(p) {
		if !has[want.name] {
			return fmt.Errorf("it has no %s", want.name)
		}
	}
	m.programs["coltec-"+p.String()] = filepath.Join(to, top, filepath.Base(r.built(p, "coltec")))
	return nil
}

// unpack unpacks a release's own archive, which has files alone.
func unpack(file, to string) (names []string, err error) {
	keep := func(name string, from io.Reader) error {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return fmt.Errorf("%s leads out of it", name)
		}
		names = append(names, name)
		at := filepath.Join(to, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		return create(at, func(w io.Writer) error { _, err := io.Copy(w, from); return err })
	}
	if filepath.Ext(file) == ".zip" {
		z, err := zip.OpenReader(file)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		for _, f := range z.File {
			r, err := f.Open()
			if err == nil {
				err = keep(f.Name, r)
				r.Close()
			}
			if err != nil {
				return nil, err
			}
		}
		return names, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err == nil {
			err = keep(h.Name, t)
		}
		if err != nil {
			return nil, err
		}
	}
}

// bill holds the bill of materials of a program, and the list of licences, to what Go recorded
// in it.
func (m *made) bill(program string) error {
	file, is := m.programs[program]
	if !is {
		return errors.New("there is no such program")
	}
	text, err := os.ReadFile(filepath.Join(m.dir, program+".cdx.json"))
	if err != nil {
		return err
	}
	var bill struct {
		BOMFormat  string
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(text, &bill); err != nil {
		return err
	}
	named := map[string]bool{}
	for _, c := range bill.Components {
		named[c.Name+"@"+c.Version] = true
	}
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return err
	}
	name := program
	for _, p := range platforms {
		name = strings.TrimSuffix(name, "-"+p.String())
	}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		if !named[d.Path+"@"+d.Version] {
			return fmt.Errorf("%s %s is linked, and not in it", d.Path, d.Version)
		}
		if !slices.Contains(strings.Split(m.licensed[d.Path], ", "), name) {
			return fmt.Errorf("licences.txt does not say that %s is in %s", d.Path, name)
		}
	}
	if bill.BOMFormat != "CycloneDX" || len(info.Deps) == 0 {
		return fmt.Errorf("it is %q, and %d modules are linked", bill.BOMFormat, len(info.Deps))
	}
	return nil
}
