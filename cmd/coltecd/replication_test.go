package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/status"
)

// lastRun is an engine that ends in one way, with one account.
type lastRun struct {
	replicator
	how  func() error
	only []account.Part
}

func (e lastRun) Run(context.Context) error { return e.how() }

func (e lastRun) Status() (status.Lease, []status.Replica, []string) {
	return status.Lease{}, []status.Replica{{Name: "w", OnlyHere: e.only}}, nil
}

// An engine that panicked had not looked at what it left: a stop said that all was well.
func TestWhatAnEngineLeaves(t *testing.T) {
	says := func(err error) func() error { return func() error { return err } }
	only := []account.Part{{Reason: account.Waiting, Count: 1, Names: []string{"note"}}}
	for name, tt := range map[string]struct {
		engine lastRun
		want   string
		code   int
	}{
		"nothing":                  {lastRun{how: says(nil)}, "", codeOK},
		"nothing, and it is alone": {lastRun{how: says(errors.New("held by b"))}, "", codeOK},
		"the lease":                {lastRun{how: says(fmt.Errorf("%w: throttled", account.ErrKept))}, "everything is in the bucket, but the lease could not be given back: throttled", codeKept},
		"a change":                 {lastRun{how: says(nil), only: only}, `not everything is in the bucket: w: 1 change that waits for the lease: "note"`, codeOnlyHere},
		"a change, and the lease":  {lastRun{how: says(account.ErrKept), only: only}, `not everything is in the bucket: w: 1 change that waits for the lease: "note"`, codeOnlyHere},
		"who knows":                {lastRun{how: func() error { panic("boom") }}, "not everything is in the bucket: the last push ended with an internal error: boom, so more may be only here than was seen before it", codeOnlyHere},
		"who knows, and a change":  {lastRun{how: func() error { panic("boom") }, only: only}, `the last push ended with an internal error: boom, so more may be only here than was seen before it: not everything is in the bucket: w: 1 change`, codeOnlyHere},
	} {
		t.Run(name, func(t *testing.T) {
			r := &replication{log: slog.New(slog.DiscardHandler), engine: tt.engine, fatal: func(error) {}}
			r.start()
			<-r.done
			err := r.left(true)
			if codeOf(err) != tt.code || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("code %d: %v", codeOf(err), err)
			}
		})
	}
}

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
	if err := os.WriteFile(filepath.Join(w.dir, specName), []byte(spec), 0o600); err != nil {
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
