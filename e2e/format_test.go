package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/coltec/coltec/pkg/store"
)

// formats are the buckets that releases wrote, kept for ever: testdata/NAME.tar.gz has the
// objects, NAME.json what is in them. COLTEC_GOLDEN=NAME makes a new one, and overwrites none.
var formats = []string{"format-1"}

// stored is what a kept bucket has, as it was written down when it was made.
type stored struct {
	Tree       map[string]node // of the newest generation
	Earlier    map[string]node // at the checkpoint
	Checkpoint string
	Git        []string // what git says of the repository, for each of asked
}

// asked is what a kept repository is asked.
var asked = [][]string{{"log", "--all", "--format=%H %s %D"}, {"status", "--porcelain"}, {"stash", "list"}, {"rev-parse", "HEAD"}}

// formatSpec is the spec of kept buckets: both layouts, one tree in the other.
func (m *machine) formatSpec() {
	m.t.Helper()
	m.spec(func(o *specOptions) {
		plain := m.replica("plain", m.path("plain"))
		plain.Layout = "mirror"
		o.Replicas = append(o.Replicas, plain)
		o.Keep = "3650d"
	})
}

// formatTree is what the machine has of a kept bucket, but for what git and SQLite say.
func (m *machine) formatTree() map[string]node {
	m.t.Helper()
	tree := treeOf(m.t, m.dir, ".coltec", ".devcontainer", "plain/.coltec", "repo/.git", "data")
	for path, n := range tree {
		if strings.HasPrefix(path, `"plain/`) { // the server on loopback forgets the times of objects when it ends
			n.MTime = 0
			tree[path] = n
		}
	}
	return tree
}

func (m *machine) formatGit() (said []string) {
	m.t.Helper()
	for _, q := range asked {
		out, err := m.tryGit("repo", q...)
		if err != nil {
			m.t.Fatalf("git %q: %v: %s", q, err, out)
		}
		said = append(said, out)
	}
	return said
}

// TestKeptFormats: what any release wrote, this one reads: the newest state, an earlier one by
// its name, the plain objects of a mirror, a repository, a database; and it goes on with it.
func TestKeptFormats(t *testing.T) {
	t.Parallel()
	for _, name := range formats {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if os.Getenv("COLTEC_GOLDEN") == name {
				w.keepFormat(name)
			}
			want := w.unpackFormat(name)
			m := w.machine("b")
			m.formatSpec()
			m.must("verify", "--deep")
			earlier := filepath.Join(filepath.Dir(m.dir), "earlier")
			m.must("history", "restore", "--at", want.Checkpoint, "--to", earlier)
			sameTree(t, want.Earlier, treeOf(t, earlier, "plain", "repo", "data"))
			m.once()
			sameTree(t, want.Tree, m.formatTree())
			if diff := cmp.Diff(want.Git, m.formatGit()); diff != "" {
				t.Errorf("the repository: %s", diff)
			}
			m.fsck("repo")
			holdsLedger(t, "the database", m.path("data/l.db"), 1, 1)
			m.write("new.txt", "of this release")
			m.once()
			c := w.machine("c")
			c.formatSpec()
			c.once()
			sameTree(t, m.formatTree(), c.formatTree())
		})
	}
}

// bucketDir is where the server keeps the objects.
func (w *world) bucketDir() string { return filepath.Join(w.s3.Dir, w.s3.Bucket) }

// keepFormat makes the bucket of a format anew, and writes it into testdata.
func (w *world) keepFormat(name string) {
	w.t.Helper()
	m := w.machine("a")
	m.formatSpec()
	m.seed()
	for at, content := range map[string]string{
		"sp ace/qu'o\"te.txt": "quoted", "new\nline": "newline", "bad\xff\xfe": "no UTF-8", "per%20cent": "percent", "empty.txt": "", "ünï/文字": "letters",
		"plain/a.txt": "an object", "plain/sub/b.bin": scrambled(3, 4096), "text.txt": strings.Repeat("a line\n", 3000),
	} {
		m.write(at, content)
	}
	m.chmod("edit.txt", 0o751)
	m.write("big.bin", scrambled(1, 3<<10))
	m.history("repo", 4)
	m.everyKind("repo")
	m.ledger("data/l.db", "wal", 20)
	m.ledgerShell("data/l.db", "few").kill()
	m.start()
	m.must("checkpoint", "before", "-m", "as it was")
	kept := stored{Checkpoint: "before", Earlier: treeOf(w.t, m.dir, ".coltec", ".devcontainer", "plain", "repo", "data")}
	m.write("edit.txt", "after")
	m.remove("gone.txt")
	m.sync()
	m.write("last.txt", "so little that the manifest is a difference")
	m.stop()
	kept.Tree, kept.Git = m.formatTree(), m.formatGit()

	text, err := json.MarshalIndent(kept, "", " ")
	if err != nil {
		w.t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	archive := tar.NewWriter(z)
	err = archive.AddFS(os.DirFS(w.bucketDir()))
	if err = errors.Join(err, archive.Close(), z.Close()); err != nil {
		w.t.Fatal(err)
	}
	for file, body := range map[string][]byte{name + ".json": text, name + ".tar.gz": packed.Bytes()} {
		f, err := os.OpenFile(filepath.Join("testdata", file), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err = f.Write(body); errors.Join(err, f.Close()) != nil {
			w.t.Fatal(err)
		}
	}
	if err := os.RemoveAll(w.bucketDir()); err != nil {
		w.t.Fatal(err)
	}
}

// unpackFormat puts a kept bucket into the server.
func (w *world) unpackFormat(name string) (kept stored) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	f, err := os.Open(filepath.Join("testdata", name+".tar.gz"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		w.t.Fatal(err)
	}
	archive := tar.NewReader(z)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return kept
		}
		if err != nil {
			w.t.Fatal(err)
		}
		to := filepath.Join(w.bucketDir(), filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(to, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
			var body []byte
			if body, err = io.ReadAll(archive); err == nil {
				err = errors.Join(os.WriteFile(to, body, 0o644), os.Chtimes(to, time.Time{}, h.ModTime))
			}
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestNewerFormatIsRefused: what a later release writes is refused in a sentence, and nothing is
// touched: no object of the bucket, no file here.
func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	claim := prefix("workspace") + "/.coltec/claim.json"
	for name, change := range map[string]func(w *world, m *machine){
		"the head":  func(w *world, _ *machine) { w.newer(store.HeadKey(workspaceName)) },
		"the claim": func(w *world, _ *machine) { w.newer(claim) },
		"a manifest": func(w *world, _ *machine) {
			w.newerManifest("workspace")
		},
		"the spec": func(_ *world, m *machine) {
			at := ".devcontainer/workspace-spec.yaml"
			m.write(at, strings.Replace(m.read(at), `"version": "1.0.0"`, `"version": "2.0.0"`, 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.unpackFormat("format-1")
			m := w.machine("b")
			m.formatSpec()
			m.write("mine.txt", "was here before")
			change(w, m)
			bucket, tree := w.bodies(), m.formatTree()
			_, said, exit := m.run("run", "--once")
			if want := regexp.MustCompile(`format 2 is not known to this version of coltecd|reads no other format`); exit == 0 || !want.MatchString(said) {
				t.Errorf("exit %d: %s", exit, said)
			}
			now := w.bodies()
			if name == "the claim" || name == "a manifest" { // read under the lease, which the head names
				for _, all := range []map[string]string{bucket, now} {
					maps.DeleteFunc(all, func(key, _ string) bool { return ofTheHead(key) })
				}
			}
			if diff := cmp.Diff(bucket, now); diff != "" {
				t.Errorf("the bucket was touched: %s", diff)
			}
			after := m.formatTree()
			maps.DeleteFunc(after, func(path string, _ node) bool { return strings.HasPrefix(path, `"plain`) }) // a replica that is of format 1 comes
			sameTree(t, tree, after)
		})
	}
}

// bodies are all objects.
func (w *world) bodies() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(w.bucketDir(), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(p)
		all[strings.TrimPrefix(p, w.bucketDir()+"/")] = string(body)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

var formatOne = regexp.MustCompile(`"format": ?1\b`)

// newer makes a JSON object one of a later format.
func (w *world) newer(key string) {
	w.t.Helper()
	file := filepath.Join(w.bucketDir(), key)
	body, err := os.ReadFile(file)
	if err != nil || !formatOne.Match(body) {
		w.t.Fatalf("%s: %v: %s", key, err, body)
	}
	if err := os.WriteFile(file, formatOne.ReplaceAll(body, []byte(`"format": 2`)), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// newerManifest makes the newest manifest of a replica one of a later format, under the name
// that its content then has.
func (w *world) newerManifest(replica string) {
	w.t.Helper()
	file := filepath.Join(w.bucketDir(), store.HeadKey(workspaceName))
	text, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	var head store.Head
	if err := json.Unmarshal(text, &head); err != nil {
		w.t.Fatal(err)
	}
	old := head.Replicas[replica].Manifest
	dir := filepath.Join(w.bucketDir(), prefix(replica), ".coltec")
	packed, err := os.ReadFile(filepath.Join(dir, old))
	if err != nil {
		w.t.Fatal(err)
	}
	reader, err := zstd.NewReader(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer reader.Close()
	plain, err := reader.DecodeAll(packed, nil)
	if err != nil || !formatOne.Match(plain) {
		w.t.Fatalf("%v: %.200s", err, plain)
	}
	writer, err := zstd.NewWriter(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	packed = writer.EncodeAll(formatOne.ReplaceAll(plain, []byte(`"format": 2`)), nil)
	key := old[:strings.LastIndexByte(old, '-')+1] + fmt.Sprintf("%x", sha256.Sum256(packed))
	if err := os.WriteFile(filepath.Join(dir, key), packed, 0o644); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.ReplaceAll(text, []byte(old), []byte(key)), 0o644); err != nil {
		w.t.Fatal(err)
	}
}
