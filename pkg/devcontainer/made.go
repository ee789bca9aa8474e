package devcontainer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Made tells what a container was made from: a hash for each part of it, by its name. Parts
// are keys of devcontainer.json, and files that it is built by.
type Made map[string]string

// anytime are the keys of devcontainer.json that count without a new container: the dev
// container CLI reads them at each start, or an editor does.
var anytime = []string{
	"$schema", "name", "customizations", "secrets", "hostRequirements", "userEnvProbe", "waitFor", "shutdownAction",
	"forwardPorts", "portsAttributes", "otherPortsAttributes",
	"initializeCommand", "onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand",
}

// MadeFrom is what a container is made from now: by the text of its devcontainer.json, JSON
// without comments, and files with their hashes.
func MadeFrom(text []byte, files map[string]string) (Made, error) {
	var keys map[string]any
	if err := json.Unmarshal(text, &keys); err != nil {
		return nil, err
	}
	m := Made{}
	for key, v := range keys {
		if slices.Contains(anytime, key) {
			continue
		}
		b, err := json.Marshal(v) // in one form, however it is written
		if err != nil {
			return nil, err
		}
		m[key] = short(b)
	}
	maps.Copy(m, files)
	return m, nil
}

// short is enough of a hash to tell one text from another.
func short(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// Differs are the parts in which a container is made from something else now.
func (m Made) Differs(now Made) (parts []string) {
	for name := range now {
		if m[name] != now[name] {
			parts = append(parts, name)
		}
	}
	for name := range m {
		if _, ok := now[name]; !ok {
			parts = append(parts, name)
		}
	}
	slices.Sort(parts)
	return parts
}

// Made is what a container was made from; nil for one that says nothing of it: coltec did not
// make it.
func (c Container) Made() Made {
	var made Made
	for _, p := range c.parts() {
		if p.Customizations.Coltec.Made != nil {
			made = p.Customizations.Coltec.Made
		}
	}
	return made
}

// stopGraceOfMade is Docker's grace for containers that do not say one, with what coltecd takes of it.
const (
	stopGraceOfMade = "--stop-timeout=60"
	stopOfMade      = "50s"
)

// Dressed is the text of a devcontainer.json with what coltec says beside it: labels, how long
// a stop may take where the file does not say it, and what the container is made from. A
// service of Compose has labels and grace of its own file.
func Dressed(text []byte, labels map[string]string, made Made) ([]byte, error) {
	var whole map[string]json.RawMessage // what is not ours stays as it is written
	if err := json.Unmarshal(text, &whole); err != nil || whole == nil {
		return text, err
	}
	keys := map[string]any{}
	for _, key := range []string{"customizations", "containerEnv", "runArgs"} {
		var v any
		if whole[key] != nil && json.Unmarshal(whole[key], &v) == nil && v != nil {
			keys[key] = v
		}
	}
	coltec := object(object(keys, "customizations"), "coltec")
	coltec["made"] = made
	if _, compose := whole["dockerComposeFile"]; !compose {
		dressRun(keys, labels)
	}
	for key, v := range keys {
		var err error
		if whole[key], err = json.Marshal(v); err != nil {
			return nil, err
		}
	}
	return json.Marshal(whole)
}

// dressRun adds to what Docker is told beside the image.
func dressRun(keys map[string]any, labels map[string]string) {
	args, _ := keys["runArgs"].([]any)
	has := func(prefix string) bool {
		return slices.ContainsFunc(args, func(a any) bool { return strings.HasPrefix(fmt.Sprint(a), prefix) })
	}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if !has("--label=" + name + "=") {
			args = append(args, "--label="+name+"="+labels[name])
		}
	}
	env := object(keys, "containerEnv")
	if _, said := env["COLTEC_STOP_TIMEOUT"]; !said && !has("--stop-timeout") {
		args = append(args, stopGraceOfMade)
		env["COLTEC_STOP_TIMEOUT"] = stopOfMade
	}
	keys["runArgs"] = args
}

// object is the object at a key, made where there is none.
func object(of map[string]any, key string) map[string]any {
	o, ok := of[key].(map[string]any)
	if !ok {
		o = map[string]any{}
		of[key] = o
	}
	return o
}
