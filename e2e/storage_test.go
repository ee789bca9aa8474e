package e2e

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// What is in a bucket can be read without Coltec: docs/example/read_bucket.py,
// which knows docs/storage.md and nothing else, writes the same tree.
func TestAnotherLanguageReadsTheBucket(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"python3", "zstd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("this needs %s: apt-get install %[1]s", tool)
		}
	}
	w := newWorld(t)
	m := w.machine("a")
	m.spec(nil)
	m.seed()
	for name, content := range map[string]string{
		"sp ace/qu'o\"te.txt": "quoted", "new\nline": "newline", "bad\xff\xfe": "no UTF-8", "per%20cent": "percent", "empty.txt": "",
		"ünï/文字": "letters", "large.bin": scrambled(4, 3<<20), "text.txt": string(make([]byte, 200<<10)),
	} {
		m.write(name, content)
	}
	m.chmod("mode.sh", 0o751)
	m.start()
	m.sync()
	first, at := m.tree(), m.status().Lease.Generation
	m.change()
	m.stop()
	read := func(more ...string) map[string]node {
		t.Helper()
		out := t.TempDir()
		args := append([]string{"../docs/example/read_bucket.py", filepath.Join(w.s3.Dir, w.s3.Bucket), workspaceName, out}, more...)
		if text, err := exec.Command("python3", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return treeOf(t, filepath.Join(out, "workspace"))
	}
	sameTree(t, m.tree(), read())
	sameTree(t, first, read(strconv.FormatInt(at, 10)))
}
