package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// seed makes all content: every run measures the same trees.
const seed = 20240229

// pathOf is the file with a number: 40 in a directory, as source trees have it.
func pathOf(i int) string {
	return fmt.Sprintf("group%03d/package%02d/file %06d.go", i/1000, i/40%25, i)
}

// plant makes a tree of n small files, 200 bytes to 8 KB of words: what source
// code is, to who compresses it. Every hundredth is executable.
func plant(root string, n int) error {
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	for i := range n {
		path := filepath.Join(root, pathOf(i))
		if i%40 == 0 {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
		}
		mode := fs.FileMode(0o644)
		if i%100 == 0 {
			mode = 0o755
		}
		if err := os.WriteFile(path, prose(random, 200+random.IntN(200<<random.IntN(6))), mode); err != nil {
			return err
		}
	}
	return nil
}

// prose is about size bytes of words, two thousand different ones.
func prose(random *rand.Rand, size int) []byte {
	var b bytes.Buffer
	for b.Len() < size {
		word := rand.New(rand.NewPCG(seed, uint64(random.ExpFloat64()*300))).Uint64()
		for n := 2 + word%7; n > 0; n-- {
			word /= 26
			b.WriteByte('a' + byte(word%26))
		}
		b.WriteByte(" \n;("[random.IntN(4)])
	}
	return b.Bytes()
}

// edit writes new content into k of the files, spread over the whole tree. Each
// round chooses others.
func edit(root string, n, k, round int) error {
	random := rand.New(rand.NewPCG(seed, uint64(n+round)))
	for j := range k {
		i := (j*(n/k) + round) % n
		if err := os.WriteFile(filepath.Join(root, pathOf(i)), prose(random, 500+round%500), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// compare says where two trees differ: in names and content, and when exact in
// modes and times too.
func compare(want, got string, exact bool) error {
	a, err := survey(want, exact)
	if err != nil {
		return err
	}
	b, err := survey(got, exact)
	if err != nil {
		return err
	}
	var wrong []string
	for path, is := range a {
		if b[path] != is {
			wrong = append(wrong, fmt.Sprintf("%s is %q, not %q", path, b[path], is))
		}
		delete(b, path)
	}
	for path := range b {
		wrong = append(wrong, path+" is too many")
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d files are not as they were: %s", len(wrong), strings.Join(wrong[:min(3, len(wrong))], "; "))
	}
	return nil
}

// survey describes each file of a tree.
func survey(root string, exact bool) (map[string]string, error) {
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".coltec" {
				return fs.SkipDir
			}
			return nil
		}
		line, err := describe(path, exact)
		rel, _ := filepath.Rel(root, path)
		found[rel] = line
		return err
	})
	return found, err
}

func describe(path string, exact bool) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	line := fmt.Sprintf("%x", sum.Sum(nil)[:8])
	if exact {
		info, err := f.Stat()
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf(" %v %d", info.Mode(), info.ModTime().UnixNano())
	}
	return line, nil
}
