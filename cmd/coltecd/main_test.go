package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/status"
)

var update = flag.Bool("update", false, "write the generated documents anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"coltecd": main, "coltec-daemon": main, "refused": refused})
}

// TestScripts runs testdata/*.txtar: one file a verb, with the real program.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup:               setup,
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"eventually": eventually,
			"pid":        pid,
			"signal":     sendSignal,
			"ended":      ended,
			"s3":         s3,
			"expand":     expand,
		},
	})
}

// setup gives each script a runtime directory of its own, and ends what it
// leaves running.
func setup(env *testscript.Env) error {
	env.Setenv("XDG_RUNTIME_DIR", filepath.Join(env.WorkDir, "run"))
	env.Defer(func() {
		specs, _ := filepath.Glob(filepath.Join(env.WorkDir, "*", daemon.SpecName))
		more, _ := filepath.Glob(filepath.Join(env.WorkDir, daemon.SpecName))
		for _, path := range append(specs, more...) {
			run(context.Background(), []string{"coltecd", "stop", "--timeout", "1s", "--config", path}, stdio{nil, io.Discard, io.Discard}, env.Vars)
		}
	})
	return os.Mkdir(filepath.Join(env.WorkDir, "run"), 0o700)
}

// patience is the deadline of every wait in a script: far above what anything
// takes on a busy machine.
const patience = 2 * time.Minute

// eventually REGEXP PROGRAM ARG… runs the program until its output matches.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	re := regexp.MustCompile("(?m)" + args[0])
	var out []byte
	if !soon(func() bool {
		cmd := exec.Command(inPath(ts, args[1]), args[2:]...)
		cmd.Args[0] = args[1]
		cmd.Dir, cmd.Env = ts.MkAbs("."), environ(ts)
		out, _ = cmd.CombinedOutput()
		return re.Match(out) != neg
	}) {
		ts.Fatalf("not in %v; the last output was:\n%s", patience, out)
	}
}

// soon looks again and again until done says yes, within patience.
func soon(done func() bool) bool {
	ok, err := wait(context.Background(), time.Now().Add(patience), done)
	return ok && err == nil
}

func inPath(ts *testscript.TestScript, name string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
	}
	return name
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// environ is what a program of the script sees, as far as coltecd asks for it.
func environ(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "WORK", "TMPDIR", "XDG_RUNTIME_DIR", "COLTEC_CONFIG", "COLTEC_DISABLED", "COLTEC_LOG_DIR", "COLTEC_RCLONE", "GOCOVERDIR", "TOKEN", "NEEDED", "RCLONE_BUCKET", "RCLONE_S3_ACCESS_KEY_ID", "RCLONE_S3_SECRET_ACCESS_KEY", "RCLONE_S3_ENDPOINT"} {
		if v := ts.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// pid VAR WHO puts a process id into a variable, when there is one: of coltecd,
// its keeper, or a unit.
func pid(ts *testscript.TestScript, _ bool, args []string) {
	found := 0
	var out []byte
	if !soon(func() bool {
		cmd := exec.Command(inPath(ts, "coltecd"), "status", "--json")
		cmd.Dir, cmd.Env = ts.MkAbs("."), environ(ts)
		out, _ = cmd.Output()
		var doc status.Document
		if json.Unmarshal(out, &doc) == nil {
			found = pidOf(doc, args[1])
		}
		return found > 0
	}) {
		ts.Fatalf("no process of %s in %s", args[1], out)
	}
	ts.Setenv(args[0], strconv.Itoa(found))
}

func pidOf(doc status.Document, who string) (pid int) {
	switch who {
	case "coltecd":
		return doc.PID
	case "keeper":
		if fields := stat(doc.PID); len(fields) > 1 {
			pid, _ = strconv.Atoi(fields[1])
		}
		return pid
	}
	for _, u := range doc.Units {
		if u.Name == who {
			pid = u.PID
		}
	}
	return pid
}

// stat gives the fields of /proc/PID/stat after the name: the state, the parent; nil
// where there is no such process.
func stat(pid int) []string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
}

// s3 starts an S3 server and puts what opens it into variables whose names begin
// with KEY_, so that a script decides when coltecd gets them.
func s3(ts *testscript.TestScript, _ bool, _ []string) {
	bin, err := s3test.Rclone()
	ts.Check(err)
	server, err := s3test.Serve(context.Background(), s3test.Options{Dir: ts.MkAbs("s3")})
	ts.Check(err)
	ts.Defer(server.Close)
	ts.Setenv("COLTEC_RCLONE", bin)
	ts.Setenv("KEY_BUCKET", server.Bucket)
	ts.Setenv("KEY_ID", server.AccessKey)
	ts.Setenv("KEY_SECRET", server.SecretKey)
	ts.Setenv("KEY_ENDPOINT", server.Endpoint)
}

// expand FILE… fills $WORK in.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := strings.ReplaceAll(ts.ReadFile(name), "$WORK", ts.Getenv("WORK"))
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
	}
}

// signal NAME PID; testscript's own kill knows children of the script only.
func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	pid, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(syscall.Kill(pid, unix.SignalNum("SIG"+args[0])))
}

// ended PID waits until the process is gone.
func ended(ts *testscript.TestScript, _ bool, args []string) {
	pid, err := strconv.Atoi(args[0])
	ts.Check(err)
	if !soon(func() bool { fields := stat(pid); return len(fields) == 0 || fields[0] == "Z" }) {
		ts.Fatalf("process %d runs on", pid)
	}
}

func TestPanicIsAnInternalError(t *testing.T) {
	var e bytes.Buffer
	code := run(t.Context(), []string{"coltecd", "version"}, stdio{nil, panicker{}, &e}, nil)
	if code != codeFailed || e.String() != "error: internal error: boom\n" {
		t.Errorf("code %d, %q", code, e.String())
	}
}

type panicker struct{}

func (panicker) Write([]byte) (int, error) { panic("boom") }

func TestDisabledIsRead(t *testing.T) {
	for value, want := range map[string]bool{"1": true, "true": true, "YES": true, " On ": true, "": false, "0": false, "false": false, "no": false, "maybe": false} {
		p := &program{environ: []string{"COLTEC_DISABLED=x", "COLTEC_DISABLED=" + value}}
		if p.disabled() != want {
			t.Errorf("COLTEC_DISABLED=%q: %v", value, !want)
		}
	}
}

func TestPlainTakesControlCharactersOut(t *testing.T) {
	if got := cmdline.Plain("a\x1b[31mb\r\n\tc\u009bd\u00e9"); got != "a?[31mb?\n\tc?d\u00e9" {
		t.Errorf("%q", got)
	}
}

func Example() { // what --help ends with
	fmt.Print(codeTable(""))
	// Output:
	// 0    done; status: running, and nothing needs attention
	// 1    failed; status: running, and something needs attention
	// 2    wrong usage
	// 3    status, wait: not running, or disabled
	// 4    status: cannot tell
	// 5    the spec is not valid
	// 6    sync, stop, run, restart REPLICA: done, but something is on this machine only; what is known of it is named
	// 7    start --wait, wait: not so far within --timeout; it continues in the background
	// 8    stop, run: everything is in the bucket, but the lease could not be given back; another machine waits until it runs out
	// 130  interrupted (Ctrl-C)
}
