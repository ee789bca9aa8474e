package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/spec"
)

// What a container puts in the place of what goes leads to nothing outside of the folder.
func TestClear(t *testing.T) {
	for _, row := range []struct{ link, to string }{
		{".devcontainer/logs", "../../precious"},
		{".devcontainer", "../precious"},
		{".coltec", "../precious"},
		{".coltec/manifests", "../../precious"},
		{".devcontainer/coltec", "../../precious"},
	} {
		for _, files := range []bool{false, true} {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			var kept []string
			for _, name := range []string{"precious/logs/a", "precious/manifests/a", "precious/bin/a", "precious/a", "beside/a"} {
				kept = append(kept, filepath.Join(dir, name))
			}
			for _, name := range append([]string{filepath.Join(dir, "w/note.txt"), filepath.Join(dir, "w", filepath.Dir(row.link), "x")}, kept...) {
				if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink(row.to, filepath.Join(dir, "w", row.link)); err != nil {
				t.Fatal(err)
			}
			r := &removal{state: stateNames, files: files}
			err = r.clear(filepath.Join(dir, "w")) // refused or done
			for _, name := range kept {
				if _, err := os.Lstat(name); err != nil {
					t.Errorf("%s leads to what was removed: %v", row.link, err)
				}
			}
			if _, there := os.Lstat(filepath.Join(dir, "w/note.txt")); (there != nil) != files || files && err != nil {
				t.Errorf("%s, files %t: %v and %v", row.link, files, err, there)
			}
		}
	}
}

// The home of who calls is not removed with a folder that has it.
func TestClearKeepsTheHome(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(dir, "w/home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	for _, folder := range []string{home, filepath.Dir(home)} {
		if err := (&removal{files: true}).clear(folder); err == nil {
			t.Errorf("%s was removed", folder)
		}
	}
	if _, err := os.Lstat(home); err != nil {
		t.Error(err)
	}
}

// A home that is reached by a link was not seen in the folder that has it.
func TestClearKeepsTheHomeBehindALink(t *testing.T) {
	for name, at := range map[string]string{"the home": "link", "a directory above": "link/u", "with a slash": "link/", "with a dot": "link/./u"} {
		t.Run(name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			real := filepath.Join(dir, "w/home")
			if err := os.MkdirAll(filepath.Join(real, "u"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(real, filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
			t.Setenv("HOME", dir+"/"+at)
			if err := (&removal{files: true}).clear(filepath.Join(dir, "w")); err == nil {
				t.Error("it was removed")
			}
			if _, err := os.Lstat(filepath.Join(real, "u")); err != nil {
				t.Error(err)
			}
		})
	}
}

// What one container has said counted for another that did not run, and what was in a volume
// without a name, which goes with its container, for safe.
func TestOnlyHere(t *testing.T) {
	const unnamed = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	sp, err := spec.Parse("spec", []byte(`version: 1
name: a
metadata: {org: acme, project: widget}
persistence:
  enabled: true
  default_remote: primary
  remotes: {primary: {type: s3, bucket: b}}
  sync: [{name: workspace, path: /workspace, remote_path: "workspaces/{org}/{project}/{env}"}, {name: data, path: /data, remote_path: data}]
`))
	if err != nil {
		t.Fatal(err)
	}
	folder := devcontainer.Mount{Source: "/host/w", Destination: "/workspace"}
	ct := func(id string, data ...devcontainer.Mount) devcontainer.Container {
		return devcontainer.Container{ID: id, Mounts: append(data, folder)}
	}
	inVolume := devcontainer.Mount{Name: "acme-widget-dev-home", Destination: "/data"}
	for name, row := range map[string]struct {
		containers []devcontainer.Container
		told       []string
		volumes    []string
		files      bool
		begun      bool
		want       string // what may be lost; "": nothing
	}{
		"nothing goes":                         {[]devcontainer.Container{ct("a", devcontainer.Mount{Source: "/host/d", Destination: "/data"})}, nil, nil, false, false, ""},
		"in the container, which has told":     {[]devcontainer.Container{ct("a")}, []string{"a"}, nil, false, false, ""},
		"in the container, which has not":      {[]devcontainer.Container{ct("a")}, nil, nil, false, false, "/data in container a"},
		"in another, which has not":            {[]devcontainer.Container{ct("a"), ct("b")}, []string{"a"}, nil, false, false, "/data in container b"},
		"in a volume without a name":           {[]devcontainer.Container{ct("a", devcontainer.Mount{Name: unnamed, Destination: "/data"})}, nil, nil, false, false, "/data in container a"},
		"in a volume, of one that has told":    {[]devcontainer.Container{ct("a", inVolume)}, []string{"a"}, []string{inVolume.Name}, false, false, ""},
		"in a volume, of one that has not":     {[]devcontainer.Container{ct("a", inVolume)}, nil, []string{inVolume.Name}, false, false, "volume " + inVolume.Name},
		"in a volume, of another than told":    {[]devcontainer.Container{ct("a", folder, devcontainer.Mount{Source: "/host/d", Destination: "/data"}), ct("b", inVolume)}, []string{"a"}, []string{inVolume.Name}, false, false, "volume " + inVolume.Name},
		"the folder, which one has told of":    {[]devcontainer.Container{ct("a", inVolume)}, []string{"a"}, nil, true, false, ""},
		"the folder, which was begun with":     {nil, nil, nil, true, true, ""},
		"the folder begun with, and a volume":  {[]devcontainer.Container{ct("a", inVolume)}, nil, []string{inVolume.Name}, true, true, "volume " + inVolume.Name},
		"the folder, of which nobody has told": {[]devcontainer.Container{ct("a", inVolume)}, nil, nil, true, false, "the files in "},
	} {
		told := map[string]bool{}
		for _, id := range row.told {
			told[id] = true
		}
		r := &removal{w: &workspace{t.TempDir(), sp}, containers: row.containers, volumes: row.volumes, files: row.files}
		err := r.onlyHere(told, row.begun)
		if (err == nil) != (row.want == "") || err != nil && (!strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), ", /") || cmdline.CodeOf(err) != cmdline.CodeOnlyHere) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A removal that failed midway asked for --force the next time, or found no workspace any more:
// the container that could tell was gone, and the spec too.
func TestRemains(t *testing.T) {
	old := time.Unix(1_700_000_000, 5)
	for name, row := range map[string]struct {
		change func(folder string) error
		only   bool
	}{
		"nothing":                 {func(string) error { return nil }, true},
		"a part is gone":          {func(f string) error { return os.RemoveAll(filepath.Join(f, "lib")) }, true},
		"all is gone but folders": {func(f string) error { return os.Remove(filepath.Join(f, "lib/a")) }, true},
		"another mode":            {func(f string) error { return os.Chmod(filepath.Join(f, "lib/a"), 0o444) }, true},
		"a new folder, empty":     {func(f string) error { return os.Mkdir(filepath.Join(f, "new"), 0o755) }, true},
		"a new file":              {func(f string) error { return os.WriteFile(filepath.Join(f, "new"), nil, 0o644) }, false},
		"a new link":              {func(f string) error { return os.Symlink("lib/a", filepath.Join(f, "new")) }, false},
		"another content":         {func(f string) error { return os.WriteFile(filepath.Join(f, "lib/a"), []byte("other"), 0o644) }, false},
		"another time":            {func(f string) error { return os.Chtimes(filepath.Join(f, "lib/a"), old, old.Add(1)) }, false},
		"another name":            {func(f string) error { return os.Rename(filepath.Join(f, "lib/a"), filepath.Join(f, "a")) }, false},
		"no folder":               {os.RemoveAll, false},
	} {
		dir, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		folder := filepath.Join(dir, "w")
		left, err := environment{[]string{"XDG_STATE_HOME=" + dir}}.remains(folder)
		if err == nil {
			err = os.MkdirAll(filepath.Join(folder, "lib"), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, "lib/a"), []byte("first"), 0o644)
		}
		if err == nil {
			err = os.Chtimes(filepath.Join(folder, "lib/a"), old, old)
		}
		if err != nil {
			t.Fatal(err)
		}
		if left.only() {
			t.Errorf("%s: it is known before it was noted", name)
		}
		if err := left.write(); err != nil {
			t.Fatal(err)
		}
		if err := row.change(folder); err != nil {
			t.Fatal(err)
		}
		if got := left.only(); got != row.only {
			t.Errorf("%s: %t", name, got)
		}
		for _, at := range []time.Time{time.Now().Add(-25 * time.Hour), time.Now().Add(25 * time.Hour)} {
			if err := os.Chtimes(left.note, at, at); err != nil || left.only() {
				t.Errorf("%s: what was so a day ago is taken to be so now: %v", name, err)
			}
		}
		if err := left.forget(); err != nil || left.only() || left.forget() != nil {
			t.Errorf("%s: it is not forgotten: %v", name, err)
		}
	}
}
