package isolation

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// A devcontainer.json of a megabyte of brackets ended coltec with a full stack.
func TestDeepContainer(t *testing.T) {
	for _, src := range []string{strings.Repeat("[", 2<<20), strings.Repeat(`{"]":`, 1<<19), strings.Repeat("/**/{\"a\":[", 1<<18)} {
		if _, err := ReadContainer([]byte(src)); err == nil || !strings.Contains(err.Error(), "more lists and objects") {
			t.Errorf("%.9s…: %v", src, err)
		}
	}
}

// FuzzContainer holds what every devcontainer.json gives: an error, soon, or a
// container that is the same when it is read again, and names no empty thing.
func FuzzContainer(f *testing.F) {
	for _, src := range []string{
		`{}`, `// only`, `{"image": "x", /* c */ "runArgs": ["--hostname=h", "-p", "8080:80", "-v", "vol:/data", "--mount", "type=volume,src=v,dst=/d"],}`,
		`{"mounts": ["source=${localWorkspaceFolder}/x,target=/x,type=bind", {"type": "volume", "source": "v", "target": "/y"}, 7, null], "appPort": [3000, "4000:5000", {"a": 1}]}`,
		`{"workspaceFolder": "/w", "workspaceMount": "source=.,target=/w,type=bind", "dockerComposeFile": ["a.yml"]}`, `{"runArgs": ["-p"]}`, `{"runArgs": null, "appPort": 1e99}`,
		`{"runArgs": ["-v", "${localEnv:X:/a}:/b:ro", "-v", "C:\\x:/y", "-p", "[::1]:80:80/udp", "-p", ":"]}`, "\ufeff{}", `{"a": ` + strings.Repeat("[", 200), `{"initializeCommand": "x", "initializeCommand": ["y"]}`,
	} {
		f.Add(src)
	}
	files, _ := filepath.Glob("../../templates/*/files/.devcontainer/devcontainer.json*")
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil {
			f.Add(string(b))
		}
	}
	f.Fuzz(func(t *testing.T, src string) {
		began := time.Now()
		c, err := ReadContainer([]byte(src))
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it takes %v", took)
		}
		again, err2 := ReadContainer([]byte(src))
		if (err == nil) != (err2 == nil) || err == nil && !reflect.DeepEqual(c, again) {
			t.Errorf("%+v, %v; again %+v, %v", c, err, again, err2)
		}
		if err == nil && (slices.Contains(c.Ports, "") || slices.Contains(c.Volumes, "")) {
			t.Errorf("something empty in %+v", c)
		}
	})
}
