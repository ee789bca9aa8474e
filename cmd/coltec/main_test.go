package main

import (
	"bytes"
	"context"
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
	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
)

var update = flag.Bool("update", false, "write the generated documents anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"coltec": main})
}

// TestScripts runs testdata/*.txtar with the real program.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata", RequireExplicitExec: true, Setup: setup,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"bucket": bucket},
	})
}

// setup gives a script TOOLS, a PATH with coltec and nothing else, and takes away
// what the machine has of secrets.
func setup(e *testscript.Env) error {
	tools, _, _ := strings.Cut(e.Getenv("PATH"), string(filepath.ListSeparator))
	e.Setenv("TOOLS", tools)
	e.Setenv("HOME", e.WorkDir)
	return nil
}

// bucket starts an S3 server that lives as long as the script, says in RCLONE_…
// where it is, and puts its rclone into bin, which is named by COLTEC_BIN.
func bucket(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: bucket")
	}
	s, err := s3test.Serve(context.Background(), s3test.Options{Dir: ts.MkAbs("s3")})
	ts.Check(err)
	ts.Defer(s.Close)
	for name, value := range map[string]string{
		"BUCKET": s.Bucket, "S3_ENDPOINT": s.Endpoint, "S3_ACCESS_KEY_ID": s.AccessKey, "S3_SECRET_ACCESS_KEY": s.SecretKey,
	} {
		ts.Setenv("RCLONE_"+name, value)
	}
	rclone, err := s3test.Rclone()
	ts.Check(err)
	ts.Check(os.MkdirAll(ts.MkAbs("bin"), 0o755))
	ts.Check(os.Symlink(rclone, ts.MkAbs("bin/rclone")))
	ts.Setenv("COLTEC_BIN", ts.MkAbs("bin"))
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

// executable puts coltec into dir, which is this test's own program under that name.
func executable(t *testing.T, dir string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "coltec")
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestReadmeLoop runs the README's block as it stands, in a folder with a space,
// without git, uv or anything else on PATH but a shell's tools.
func TestReadmeLoop(t *testing.T) {
	sample.Long(t)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var block []byte
	for rest, ok := readme, true; !bytes.Contains(block, []byte("cs.sh new")); {
		if _, rest, ok = bytes.Cut(rest, []byte("```bash\n")); !ok {
			t.Fatal("the README has no block with cs.sh new")
		}
		if block, rest, ok = bytes.Cut(rest, []byte("```\n")); !ok {
			t.Fatal("a block of the README has no end")
		}
	}
	dir := filepath.Join(t.TempDir(), "a folder")
	script, err := os.ReadFile("../../scripts/cs.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"bin", "scripts", "tools"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "scripts", "cs.sh"), script, 0o755); err != nil {
		t.Fatal(err)
	}
	executable(t, filepath.Join(dir, "bin"))
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

// TestDocCommands: what the documents tell people to call is there, verbs and flags, and says what
// it is for.
func TestDocCommands(t *testing.T) {
	clidoc.Hold(t, newApp(&program{}), "../..")
}
