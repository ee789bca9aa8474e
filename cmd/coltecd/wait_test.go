package main

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
)

// Agents wait for the replica of the home; for all, where another one carries what they keep.
func TestAgentsAreBack(t *testing.T) {
	done := time.Now()
	back := status.Replica{State: status.ReplicaSynced, LastSync: &done}
	named := func(name string, r status.Replica) status.Replica { r.Name = name; return r }
	claude := []status.Agent{{Name: "claude"}}
	for name, tt := range map[string]struct {
		replicas []status.Replica
		agents   []status.Agent
		reached  bool
		err      string
	}{
		"the home is back, the rest is not": {[]status.Replica{named("home", back), named("workspace", status.Replica{State: "restoring"})}, claude, true, ""},
		"the home is not":                   {[]status.Replica{named("home", status.Replica{State: "restoring"}), named("workspace", back)}, claude, false, ""},
		"another one is of the home":        {[]status.Replica{named("mine", back)}, claude, true, ""},
		"and it is not back":                {[]status.Replica{named("mine", status.Replica{State: "restoring"})}, claude, false, ""},
		"there are no agents":               {[]status.Replica{named("workspace", back)}, nil, false, "no replica home"},
	} {
		reached, err := reaches(status.Document{Replicas: tt.replicas, Agents: tt.agents}, "agents", nil)
		if reached != tt.reached || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, %v", name, reached, err)
		}
	}
}

// What this user cannot write is known at once: the hook of a container waited 20 s for it.
func TestClosed(t *testing.T) {
	dir := t.TempDir()
	for at := dir; at != filepath.Dir(at) && at != os.TempDir(); at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sp := &spec.Spec{Persistence: spec.Persistence{Enabled: true, Mode: spec.Replicated}}
	for name, mode := range map[string]os.FileMode{"open": 0o777, "closed": 0o555, "not entered": 0o666} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		sp.Persistence.Sync = append(sp.Persistence.Sync, spec.Sync{Path: path + "/"})
	}
	sp.Persistence.Sync = append(sp.Persistence.Sync, spec.Sync{Path: filepath.Join(dir, "not there")})
	found := make(chan []string)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread, which is another user's, ends with this
		if os.Getuid() == 0 {
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
				t.Error(errno)
			}
		}
		found <- closed(sp)
	}()
	got := <-found
	slices.Sort(got)
	if want := []string{filepath.Join(dir, "closed"), filepath.Join(dir, "not entered")}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
