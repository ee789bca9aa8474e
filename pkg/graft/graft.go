// Package graft brings Coltec into the devcontainer.json that a project has: it finds the
// file, says where the project is in its container, and makes the smallest edit that works,
// which can be undone. It edits texts; files are its caller's.
package graft

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/jsonc"
)

// Places of a devcontainer.json, below a project's folder.
const (
	Usual  = ".devcontainer/devcontainer.json"
	AtRoot = ".devcontainer.json"
)

// featureDir is where the Feature lies, below the folder.
const featureDir = ".devcontainer/coltec"

// Find lists the devcontainer.json files of a folder, in the order in which the dev container
// CLI takes them. Of the first two the first that is there hides the other; the named ones
// (.devcontainer/NAME/devcontainer.json) count only when they are asked for.
func Find(root *os.Root) ([]string, error) {
	var found []string
	for _, name := range []string{Usual, AtRoot} {
		switch info, err := root.Stat(name); {
		case err == nil && info.Mode().IsRegular():
			found = append(found, name)
		case err != nil && !missing(err):
			return nil, err
		}
	}
	dir, err := root.Open(path.Dir(Usual))
	if missing(err) {
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	slices.Sort(names)
	for _, name := range names {
		at := path.Join(path.Dir(Usual), name, path.Base(Usual))
		if info, err := root.Stat(at); err == nil && info.Mode().IsRegular() {
			found = append(found, at)
		}
	}
	return found, err
}

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || err != nil && strings.Contains(err.Error(), "not a directory")
}

// Plain reports whether the dev container CLI takes a devcontainer.json without being told.
func Plain(at string) bool { return at == Usual || at == AtRoot }

// Feature is how the devcontainer.json at a path names the Feature.
func Feature(at string) string {
	switch path.Dir(at) {
	case path.Dir(featureDir):
		return "./" + path.Base(featureDir)
	case ".":
		return "./" + featureDir
	default:
		return "../" + path.Base(featureDir)
	}
}

// Has reports whether the devcontainer.json at a path has the Feature.
func Has(at string, text []byte) (bool, error) {
	v, err := jsonc.Get(text, "features", Feature(at))
	return v != nil, err
}

// Published reports whether a devcontainer.json has the Feature from a registry,
// HOST/NAMESPACE/coltec, with a tag, a digest or neither.
func Published(text []byte) (bool, error) {
	plain, err := jsonc.Standard(text)
	if err != nil {
		return false, err
	}
	var config struct {
		Features map[string]json.RawMessage `json:"features"`
	}
	if err := json.Unmarshal(plain, &config); err != nil {
		return false, nil // features are no object: whoever reads them says so
	}
	for id := range config.Features {
		id, _, _ = strings.Cut(id, "@")
		name, _, _ := strings.Cut(path.Base(id), ":")
		if name == "coltec" && strings.Contains(id, "/") && !strings.HasPrefix(id, ".") {
			return true, nil
		}
	}
	return false, nil
}

// Edit is a member that a devcontainer.json gets.
type Edit struct {
	In    string          `json:"in"` // the member of the outermost object that it comes into
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
	Made  bool            `json:"made,omitempty"` // In was made for it
}

// Needed are the edits of the devcontainer.json at a path: the Feature, which starts coltecd,
// and where it finds the spec. All else `coltec up` says to the dev container CLI.
func Needed(at, spec string) []Edit {
	where, err := json.Marshal(spec)
	if err != nil {
		panic(err) // a text
	}
	return []Edit{
		{In: "features", Name: Feature(at), Value: json.RawMessage(`{"start": true}`)},
		{In: "containerEnv", Name: "COLTEC_CONFIG", Value: where},
	}
}

// Apply makes those edits that are not made yet, and returns them as they were made.
func Apply(text []byte, edits []Edit) (out []byte, done []Edit, err error) {
	out = text
	for _, e := range edits {
		next, made, err := jsonc.Add(out, e.In, e.Name, e.Value)
		if errors.Is(err, jsonc.ErrThere) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s.%s: %w", e.In, e.Name, err)
		}
		e.Made = made
		out, done = next, append(done, e)
	}
	return out, done, nil
}

// Undo takes edits back, the last one first. What somebody gave another value since stays,
// other than options of the Feature; it is returned.
func Undo(text []byte, edits []Edit) (out []byte, stays []string, err error) {
	out = text
	for _, e := range slices.Backward(edits) {
		now, err := jsonc.Get(out, e.In, e.Name)
		if err != nil {
			return nil, nil, fmt.Errorf("%s.%s: %w", e.In, e.Name, err)
		}
		switch {
		case now == nil:
			continue
		case e.In != "features" && !same(now, e.Value):
			stays = append(stays, e.In+"."+e.Name)
			continue
		}
		if out, err = jsonc.Remove(out, e.In, e.Name, e.Made); err != nil {
			return nil, nil, fmt.Errorf("%s.%s: %w", e.In, e.Name, err)
		}
	}
	return out, stays, nil
}

func same(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && fmt.Sprint(x) == fmt.Sprint(y)
}
