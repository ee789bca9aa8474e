package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What a release lacks is told: its list of checksums, an archive, a bill of materials and the
// licences are each held to what is there, and each is spoiled once.
func TestVerify(t *testing.T) {
	t.Run("checksums", func(t *testing.T) {
		for name, spoil := range map[string]func(dir string) error{
			"":                           func(string) error { return nil },
			"says":                       func(dir string) error { return os.WriteFile(dir+"/a", []byte("other"), 0o644) },
			`checksums.txt says ""`:      func(dir string) error { return os.WriteFile(dir+"/more", nil, 0o644) },
			"names what is not there: a": func(dir string) error { return os.Remove(dir + "/a") },
		} {
			r := &release{out: t.TempDir()}
			if err := os.WriteFile(r.out+"/a", []byte("a"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := r.checksums(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := spoil(r.out); err != nil {
				t.Fatal(err)
			}
			hold(t, name, (&made{dir: r.out, programs: map[string]string{}}).sums())
		}
	})
	t.Run("archive", func(t *testing.T) {
		for name, spoil := range map[string]func(r *release, list []member) []member{
			"":                    func(_ *release, list []member) []member { return list },
			"it has no LICENSE":   func(_ *release, list []member) []member { return list[1:] },
			"is another one than": func(r *release, list []member) []member { spoiled(t, r.built(r.only[0], "coltecd")); return list },
			"is not in":           func(_ *release, list []member) []member { list[0].name = "elsewhere/x"; return list },
		} {
			hold(t, name, anArchive(t, spoil))
		}
	})
	t.Run("bill", func(t *testing.T) {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		info, err := buildinfo.ReadFile(self)
		if err != nil || len(info.Deps) < 2 {
			t.Fatalf("%v: %+v", err, info)
		}
		type component struct{ Name, Version string }
		for name, spoil := range map[string]func(list []component, licensed map[string]string) []component{
			"":                         func(list []component, _ map[string]string) []component { return list },
			"is linked, and not in it": func(list []component, _ map[string]string) []component { return list[1:] },
			"is linked, and not":       func(list []component, _ map[string]string) []component { list[1].Version += "x"; return list },
			"licences.txt does not":    func(list []component, in map[string]string) []component { delete(in, list[0].Name); return list },
			"say that": func(list []component, in map[string]string) []component {
				in[list[0].Name] = "coltec, rclone"
				return list
			},
		} {
			dir := t.TempDir()
			m := &made{dir: dir, programs: map[string]string{"coltecd-linux-amd64": self}, licensed: map[string]string{}}
			var list []component
			for _, d := range info.Deps {
				if d.Replace != nil {
					d = d.Replace
				}
				list = append(list, component{d.Path, d.Version})
				m.licensed[d.Path] = "coltec, coltecd"
			}
			text, err := json.Marshal(map[string]any{"bomFormat": "CycloneDX", "components": spoil(list, m.licensed)})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir+"/coltecd-linux-amd64.cdx.json", text, 0o644); err != nil {
				t.Fatal(err)
			}
			hold(t, name, m.bill("coltecd-linux-amd64"))
		}
	})
}

// hold expects an error with words in it; "": none.
func hold(t *testing.T, want string, err error) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

func spoiled(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, []byte("spoiled"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// anArchive makes one of small files as a release does, with something spoiled, and looks at it.
func anArchive(t *testing.T, spoil func(*release, []member) []member) error {
	t.Helper()
	dir := t.TempDir()
	p := platform{"linux", "amd64"}
	r := &release{version: "v1.2.3", root: filepath.Join(dir, "root"), work: filepath.Join(dir, "work"), out: filepath.Join(dir, "out"), only: []platform{p}}
	m := &made{dir: r.out, programs: map[string]string{}}
	list := r.members(p)
	for _, x := range list {
		if err := os.MkdirAll(filepath.Dir(x.file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(x.file, []byte(x.name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		t.Fatal(err)
	}
	published := filepath.Join(dir, "published")
	if err := os.CopyFS(published, os.DirFS(r.work)); err != nil {
		t.Fatal(err)
	}
	for _, name := range r.programs() {
		m.programs[name+"-"+p.String()] = filepath.Join(published, p.String(), name)
	}
	const top = "coltec-v1.2.3-linux-amd64"
	for i := range list {
		list[i].name = top + "/" + list[i].name
	}
	file := top + ".tar.gz"
	if err := writeTar(filepath.Join(r.out, file), spoil(r, list), time.Unix(1700000000, 0)); err != nil {
		t.Fatal(err)
	}
	return m.archive(file, top, p, filepath.Join(dir, "unpacked"))
}
