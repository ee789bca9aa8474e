package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/control"
)

func TestLastWords(t *testing.T) {
	err := lastWords(control.Instance{LogDir: t.TempDir()}, time.Now())
	if codeOf(err) != codeOnlyHere || err.Error() != "not everything is in the bucket, as far as is known: coltecd exited without reporting on its last push" {
		t.Errorf("code %d: %v", codeOf(err), err)
	}
}

// A stop of `run --once` took what the cycle said of it for no answer, and the missing
// status file for an end without a word.
func TestStopOfOneCycle(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	bin, err := s3test.Rclone()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorkspace(t, "")
	w.env = append(w.env, "COLTEC_RCLONE="+bin)
	spec := fmt.Sprintf(`version: 1
name: dev-a
metadata: {org: acme, project: widget}
persistence:
  remotes: {primary: {type: s3, bucket: b, options: {provider: Other, endpoint: "http://%s", access_key_id: abcdefgh, secret_access_key: abcdefgh}}}
  sync: [{name: workspace, path: %q, exclude: ["**"]}]
`, silent.Addr(), w.dir)
	if err := os.WriteFile(filepath.Join(w.dir, daemon.SpecName), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	once := w.command("run", "--once")
	if err := once.Start(); err != nil {
		t.Fatal(err)
	}
	w.until("it runs", func() bool { return w.status().PID == once.Process.Pid })
	if code, text := w.run("stop"); code != 0 || text != "stopped\n" {
		t.Errorf("stop: %d, %s", code, text)
	}
	if err := once.Wait(); err == nil {
		t.Error("the cycle says that all is done")
	}
}
