package main

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// The documents of this repository make a site in which each link leads somewhere, the same twice.
func TestRepository(t *testing.T) {
	one, err := render(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range check(one) {
		t.Error(err)
	}
	two, err := render(os.DirFS("../.."))
	if err != nil || !maps.EqualFunc(one, two, bytes.Equal) {
		t.Errorf("it is another site: %v", err)
	}
	sources, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(sources) < 20 {
		t.Fatalf("%d pages: %v", len(sources), err)
	}
	for _, source := range sources {
		name := outOf("docs/" + filepath.Base(source))
		if !bytes.Contains(one[index], []byte(`<li><a href="`+name+`"`)) {
			t.Errorf("%s is not in the navigation", name)
		}
	}
	links, anchors := count(one)
	t.Logf("%d files, %d pages, %d links, %d anchors", len(one), pages(one), links, anchors)
}

// little is a repository of two pages and a file.
func little(more map[string]string) fstest.MapFS {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"README.md":           "# One\n\n## To *be* had: `x`\n\n[two](docs/two.md#a-b), [file](LICENSE), [code](a/x.go), [all](docs/decisions/), [out](https://example.org)\n",
		"docs/two.md":         "# Two\n\n<!-- a comment -->\n\n## A & b?\n\n## A b\n\n[back](../README.md#to-be-had-x)\n\n| a | b |\n|---|---|\n| c | `d` |\n",
		"docs/decisions/1.md": "# First\n",
		"LICENSE":             "free\n",
		"a/x.go":              "package x\n",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	for name, text := range more {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

func TestLittle(t *testing.T) {
	files, err := render(little(nil))
	if err = errors.Join(append(check(files), err)...); err != nil {
		t.Fatal(err)
	}
	want := []string{"LICENSE", "a/x.go.txt", "docs/decisions/1.html", "docs/decisions/index.html", "docs/two.html", "index.html", "style.css"}
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) {
		t.Errorf("files %q", got)
	}
	for name, words := range map[string][]string{
		"index.html":                {`href="docs/two.html#a-b"`, `href="LICENSE"`, `href="docs/decisions/index.html"`, `id="to-be-had-x"`, "<title>One</title>", `href="style.css"`},
		"docs/two.html":             {`href="../index.html#to-be-had-x"`, `id="a--b"`, `id="a-b"`, "<td><code>d</code></td>", `href="../style.css"`, `href="decisions/index.html"`, "<title>Two · Coltec</title>"},
		"docs/decisions/index.html": {`<a href="1.html">First</a>`, `href="../two.html"`, `href="../../index.html"`},
	} {
		for _, word := range words {
			if !strings.Contains(string(files[name]), word) {
				t.Errorf("%s has no %s:\n%s", name, word, files[name])
			}
		}
		if strings.Contains(string(files[name]), "comment") {
			t.Errorf("%s has the comment", name)
		}
	}
}

// Each thing that is wrong in a page is found.
func TestWrong(t *testing.T) {
	for _, tt := range []struct{ want, two string }{
		{"link to three.md leads nowhere", "# Two\n\n## a b\n\n[x](three.md)\n"},
		{"link to x.png leads nowhere", "# Two\n\n## a b\n\n![x](x.png)\n"},
		{`no anchor "c"`, "# Two\n\n## a b\n\n[x](#c)\n"},
		{`no anchor "a-b"`, "# Two\n"},
		{"it has HTML: <div>", "# Two\n\n## a b\n\n<div>\nx\n</div>\n"},
		{"it has HTML inside a line: <b>", "# Two\n\n## a b\n\na <b>c</b>\n"},
		{"it has no heading", "Two\n"},
		{`it has <img src="https://`, "# Two\n\n## a b\n\n![x](https://example.org/x.png)\n"},
	} {
		files, err := render(little(map[string]string{"docs/two.md": tt.two}))
		if err = errors.Join(append(check(files), err)...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.want, err)
		}
	}
	for what, change := range map[string]func(map[string][]byte){
		"no way leads":   func(f map[string][]byte) { f["alone.html"] = []byte("x") },
		"given twice":    func(f map[string][]byte) { f[index] = append(f[index], `<p id="all-pages">`...) },
		"it has <script": func(f map[string][]byte) { f[index] = append(f[index], `<script>`...) },
		"onclick=":       func(f map[string][]byte) { f[index] = append(f[index], `<p onclick="x">`...) },
	} {
		files, err := render(little(nil))
		if err != nil {
			t.Fatal(err)
		}
		change(files)
		if err := errors.Join(check(files)...); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A site is written over one that this program made, and over no other folder.
func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	for _, name := range []string{"a/b.html", "c.html"} {
		if err := write(dir, map[string][]byte{name: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); err == nil {
		t.Error("what the first made is still there")
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "mine"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := write(other, nil); err == nil || !strings.Contains(err.Error(), "not made by this program") {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(other, "mine")); err != nil {
		t.Error(err)
	}
}
