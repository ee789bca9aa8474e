package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/coltec/coltec/internal/clidoc"
)

var update = flag.Bool("update", false, "write the generated documents anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"coltec": main})
}

// TestScripts runs testdata/*.txtar with the real program.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", RequireExplicitExec: true})
}

// TestCLIDoc holds docs/cli-coltec.md to the program.
func TestCLIDoc(t *testing.T) {
	const path = "../../docs/cli-coltec.md"
	page := clidoc.Page{
		Generator: "go test ./cmd/coltec -run CLIDoc -update",
		Intro:     "Runs on the host. Flags may come before or after arguments.",
	}
	for _, c := range codes {
		page.Codes = append(page.Codes, [2]string{strconv.Itoa(c.code), c.text})
	}
	for _, v := range variables {
		page.Variables = append(page.Variables, [2]string{v.name, v.text})
	}
	want := page.Write(newApp(&program{}))
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/cli-coltec.md is not what the program says; run: go test ./cmd/coltec -run CLIDoc -update\n%s", diff)
	}
}

// TestReadmeLoop runs the README's block as it stands, in a folder with a space,
// without git, uv or anything else on PATH but a shell's tools.
func TestReadmeLoop(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := bytes.Cut(readme, []byte("```bash\n"))
	block, _, ok2 := bytes.Cut(block, []byte("```\n"))
	if !ok || !ok2 || !bytes.Contains(block, []byte("cs.sh new")) {
		t.Fatalf("the README has no such block: %s", block)
	}
	dir := filepath.Join(t.TempDir(), "a folder")
	script, err := os.ReadFile("../../scripts/cs.sh")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"bin", "scripts", "tools"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	coltec := filepath.Join(dir, "bin", "coltec")
	if err := os.WriteFile(filepath.Join(dir, "scripts", "cs.sh"), script, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, coltec); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"sh", "dirname"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, "tools", tool)); err != nil {
			t.Fatal(err)
		}
	}
	run := func(script string) string {
		cmd := exec.Command("sh", "-euc", script)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + filepath.Join(dir, "tools"), "HOME=" + dir, "COLTEC_BIN=" + os.Getenv("COLTEC_BIN")}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return string(out)
	}
	began := time.Now()
	run(string(block))
	t.Logf("five workspaces in %v", time.Since(began))
	if out := run("./bin/coltec check ./widget-*"); !strings.Contains(out, "5 workspaces: valid") {
		t.Error(out)
	}
	if out := run("./scripts/cs.sh update ./widget-dev-c"); !strings.Contains(out, "up to date") {
		t.Error(out)
	}
}
