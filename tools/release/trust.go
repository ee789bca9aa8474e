package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// sha256Of is the checksum of a file, in hexadecimal.
func sha256Of(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// stamp is where a bill of materials says when it was made.
var stamp = regexp.MustCompile(`"timestamp": "[^"]*"`)

// bills says of each program what it is made of, by what Go recorded in it.
func (r *release) bills(ctx context.Context) error {
	path, err := r.output(ctx, filepath.Join(r.root, "tools", "release"), goFlags(here()), "go", "tool", "-n", "cyclonedx-gomod") // its checksum is in what it writes
	if err != nil {
		return err
	}
	bill := func(p platform, name string) error {
		text, err := r.output(ctx, r.work, goFlags(p), strings.TrimSpace(path), "bin", "-json", "-noserial", "-version", r.version, r.built(p, name))
		if err != nil {
			return err
		}
		text = stamp.ReplaceAllString(text, `"timestamp": "`+r.time.Format(time.RFC3339)+`"`)
		return os.WriteFile(filepath.Join(r.out, name+"-"+p.String()+".cdx.json"), []byte(text), 0o644)
	}
	for _, p := range r.insides() {
		for _, name := range r.programs() {
			if err := bill(p, name); err != nil {
				return err
			}
		}
	}
	for _, p := range r.only {
		if err := bill(p, "coltec"); err != nil {
			return err
		}
	}
	return nil
}

// published lists what is in the release so far, by name, with the checksum of each.
func (r *release) published() (names []string, sums map[string]string, err error) {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return nil, nil, err
	}
	sums = map[string]string{}
	for _, e := range entries {
		if sums[e.Name()], err = sha256Of(filepath.Join(r.out, e.Name())); err != nil {
			return nil, nil, err
		}
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, sums, nil
}

// checksums writes the list of all files, as sha256sum -c reads it.
func (r *release) checksums(context.Context) error {
	names, sums, err := r.published()
	if err != nil {
		return err
	}
	var text bytes.Buffer
	for _, name := range names {
		fmt.Fprintf(&text, "%s  %s\n", sums[name], name)
	}
	return os.WriteFile(filepath.Join(r.out, "checksums.txt"), text.Bytes(), 0o644)
}

// keyVariable holds a private key of ssh, as text.
const keyVariable = "COLTEC_RELEASE_KEY"

// sign signs the list of checksums, and by it all files, with what nearly every machine can
// verify: ssh-keygen. The signature of an ed25519 key is the same each time.
func (r *release) sign(ctx context.Context) error {
	key := os.Getenv(keyVariable)
	if key == "" {
		r.say("not signed: %s is not set; checksums.txt is what there is to compare", keyVariable)
		return nil
	}
	dir, err := os.MkdirTemp("", "coltec-key-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte(strings.TrimSpace(key)+"\n"), 0o600); err != nil {
		return err
	}
	_, err = r.output(ctx, r.out, nil, "ssh-keygen", "-q", "-Y", "sign", "-f", file, "-n", "coltec-release", "checksums.txt")
	return err
}
