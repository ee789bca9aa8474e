package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// repository makes a module of the given files and returns a checker of it.
func repository(t *testing.T, files map[string]string) *checker {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module example.com/m\n\ngo 1.26\n"
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &checker{root: dir, out: io.Discard}
}

func TestDeadCode(t *testing.T) {
	files := map[string]string{
		"m.go":       "package main\n\nfunc main() {}\n\nfunc forTests() {}\n\nfunc forMutants() {}\n",
		"m_test.go":  "package main\n\nimport \"testing\"\n\nfunc TestIt(t *testing.T) { forTests() }\n",
		"mutants.go": "//go:build coltec_mutants\n\npackage main\n\nfunc init() { forMutants() }\n",
	}
	if err := repository(t, files).deadCode(t.Context()); err != nil {
		t.Errorf("what tests and mutants call is dead: %v", err)
	}
	files["dead.go"] = "package main\n\nfunc nobodys() {}\n"
	err := repository(t, files).deadCode(t.Context())
	if err == nil || !strings.Contains(err.Error(), "dead.go:3: nobodys of example.com/m") || strings.Contains(err.Error(), "for") {
		t.Errorf("got %v", err)
	}
}

func TestStaticcheck(t *testing.T) {
	files := map[string]string{"m.go": "package main\n\nfunc main() {}\n"}
	if err := repository(t, files).staticcheck(t.Context()); err != nil {
		t.Error(err)
	}
	files["m.go"] = "package main\n\nfunc main() {\n\tx := len(\"\")\n\tprintln(x == x)\n}\n"
	err := repository(t, files).staticcheck(t.Context())
	if err == nil || !strings.Contains(err.Error(), "SA4000") {
		t.Errorf("got %v", err)
	}
}

// What govulncheck says of a program that is built with an old Go and an old module, and
// calls one function of that module.
const messages = `{"SBOM":{"roots":["example.com/m"]}}
{"osv":{"id":"GO-1","summary":"the Go"}}
{"osv":{"id":"GO-2","summary":"the module"}}
{"osv":{"id":"GO-3","summary":"another part of it"}}
{"finding":{"osv":"GO-1","fixed_version":"v1.26.9","trace":[{"module":"stdlib","version":"v1.26.8","package":"net/http","function":"Get"},{"module":"example.com/m","package":"example.com/m","function":"main","position":{"filename":"m.go","line":7}}]}}
{"finding":{"osv":"GO-2","fixed_version":"v0.2.0","trace":[{"module":"example.com/old","version":"v0.1.0"}]}}
{"finding":{"osv":"GO-2","fixed_version":"v0.2.0","trace":[{"module":"example.com/old","version":"v0.1.0","package":"example.com/old"}]}}
{"finding":{"osv":"GO-2","fixed_version":"v0.2.0","trace":[{"module":"example.com/old","version":"v0.1.0","package":"example.com/old","function":"F"},{"module":"example.com/m","package":"example.com/m","function":"main","position":{"filename":"m.go","line":9}}]}}
{"finding":{"osv":"GO-3","trace":[{"module":"example.com/old","version":"v0.1.0","package":"example.com/old/x"}]}}
`

func TestAdvisories(t *testing.T) {
	tests := map[string]struct {
		called, release bool
		want, unwanted  []string
	}{
		"called": {called: true,
			want:     []string{"GO-2: the module\n\texample.com/old of example.com/old v0.1.0, called at m.go:9", "go get example.com/old@v0.2.0"},
			unwanted: []string{"GO-1", "GO-3"}},
		"linked":  {want: []string{"GO-2", "GO-3", "no version mends it"}, unwanted: []string{"GO-1"}},
		"release": {called: true, release: true, want: []string{"GO-1: the Go", "build with go1.26.9 or newer", "GO-2"}, unwanted: []string{"GO-3"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			found, err := readAdvisories(strings.NewReader(messages), test.called)
			if err != nil {
				t.Fatal(err)
			}
			var told bytes.Buffer
			c := checker{release: test.release, out: &told}
			err = c.judge(found)
			if err == nil {
				t.Fatal("it passes")
			}
			for _, s := range test.want {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q is not in\n%v", s, err)
				}
			}
			for _, s := range test.unwanted {
				if strings.Contains(err.Error(), s) {
					t.Errorf("%q is in\n%v", s, err)
				}
			}
			if named := strings.Contains(told.String(), "go1.26.9 mends GO-1\n"); named == test.release {
				t.Errorf("told %q", told.String())
			}
		})
	}
}

func TestAdvisoriesThatAreNone(t *testing.T) {
	c := checker{out: io.Discard}
	standard, _, _ := strings.Cut(messages, `{"finding":{"osv":"GO-2"`)
	found, err := readAdvisories(strings.NewReader(standard), true)
	if err != nil || len(found) != 1 || c.judge(found) != nil {
		t.Errorf("one that a newer Go mends: %v, %v", found, err)
	}
	for name, said := range map[string]string{"nothing": "", "no program": `{"SBOM":{}}`, "cut off": messages[:200]} {
		if _, err := readAdvisories(strings.NewReader(said), true); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

const (
	isc = `Copyright (c) 2026 The Authors

Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted,
provided that the above copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED
WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR
CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT,
NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
`
	gpl = `This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public
License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version.

This program is distributed in the hope that it will be useful, but WITHOUT ANY WARRANTY; without even the implied warranty of
MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE. See the GNU General Public License for more details.

You should have received a copy of the GNU General Public License along with this program. If not, see
<https://www.gnu.org/licenses/>.
`
)

func TestLicences(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  []string
		wrong string
	}{
		"permissive":            {files: map[string]string{"LICENSE": isc}, want: []string{"ISC"}},
		"two":                   {files: map[string]string{"LICENSE": isc, "a/COPYING.txt": isc}, want: []string{"ISC"}},
		"GPL":                   {files: map[string]string{"COPYING": gpl}, wrong: "is not permissive"},
		"GPL below":             {files: map[string]string{"LICENSE": isc, "a/b/LICENCE": gpl}, wrong: "is not permissive"},
		"of what is not linked": {files: map[string]string{"LICENSE": isc, "c/LICENSE": gpl}, want: []string{"ISC"}},
		"a condition more":      {files: map[string]string{"LICENSE.md": isc + strings.Repeat("Not for use on Mondays. ", 40)}, wrong: "none that is known"},
		"none":                  {wrong: "there is no file of it"},
		"a program of the name": {files: map[string]string{"license.go": "package a"}, wrong: "there is no file of it"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			linked := filepath.Join(dir, "a", "b")
			for _, folder := range []string{linked, filepath.Join(dir, "c")} {
				if err := os.MkdirAll(folder, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for file, text := range test.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			m := module{path: "example.com/m", packages: map[string]string{linked: dir}}
			ids, err := m.licences()
			if err == nil {
				err = allowed(m.path, ids)
			}
			if test.wrong == "" && (err != nil || !slices.Equal(ids, test.want)) || test.wrong != "" && (err == nil || !strings.Contains(err.Error(), test.wrong)) {
				t.Errorf("got %q, %v", ids, err)
			}
		})
	}
}

func TestMozillaByName(t *testing.T) {
	if allowed(mozilla[0], []string{"MPL-2.0"}) != nil || allowed("example.com/m", []string{"MPL-2.0"}) == nil || allowed(mozilla[0], []string{"GPL-3.0"}) == nil {
		t.Error("the MPL-2.0 is for the modules that are named")
	}
}

func TestTheListDrifts(t *testing.T) {
	c := repository(t, map[string]string{})
	file := filepath.Join(c.root, "list")
	if c.compare(file, []byte("a")) == nil {
		t.Error("a list that is not there passes")
	}
	c.write = true
	if err := c.compare(file, []byte("a")); err != nil {
		t.Fatal(err)
	}
	c.write = false
	if err := c.compare(file, []byte("a")); err != nil {
		t.Error(err)
	}
	if err := c.compare(file, []byte("b")); err == nil || !strings.Contains(err.Error(), "make generate") {
		t.Errorf("got %v", err)
	}
}
