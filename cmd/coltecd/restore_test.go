package main

import (
	"testing"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/status"
)

// start --wait waited for ever for a store that nobody reaches, and said nothing about
// the replicas that were restored.
func TestUnrestored(t *testing.T) {
	replica := func(name string, state status.ReplicaState, err string) status.Replica {
		return status.Replica{Name: name, State: state, LastError: err, Direction: "bidirectional"}
	}
	const dead = "the store cannot be reached:\n  connection refused"
	sending := replica("b", status.ReplicaRestoring, "")
	sending.Progress = &status.Progress{Files: 1, TotalFiles: 4, Bytes: 1 << 20, TotalBytes: 3 << 20}
	held := status.Lease{State: status.LeaseWaiting, Holder: &status.Holder{Host: "laptop", Since: noon}}
	tests := map[string]struct {
		doc  status.Document
		want string
	}{
		"no answer":        {status.Document{}, "not restored"},
		"not reached":      {status.Document{Replicas: []status.Replica{replica("w", status.ReplicaRetrying, dead)}}, "not restored: w: the store cannot be reached: connection refused"},
		"needs a person":   {status.Document{Replicas: []status.Replica{replica("w", status.ReplicaBlocked, "it is blocked")}}, "not restored: w: it is blocked"},
		"in the middle":    {status.Document{Replicas: []status.Replica{replica("a", status.ReplicaSynced, ""), sending, replica("c", status.ReplicaWaiting, "")}}, "restored: a; not restored: b: 1 of 4 files, 1.0 MiB of 3.0 MiB; c: waiting"},
		"another holds it": {status.Document{Lease: held, Replicas: []status.Replica{replica("w", status.ReplicaWaiting, "held by laptop")}}, "not restored: w: laptop has held the lease since " + noon.Local().Format("2006-01-02 15:04:05")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := unrestored(tt.doc, ""); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	p := &program{name: "coltecd"}
	err := p.notInTime(status.Document{Replicas: []status.Replica{replica("w", status.ReplicaRestoring, "")}}, map[string]string{"w": dead}, restorePatience)
	if codeOf(err) != cmdline.CodeTimeout || err.Error() != "not restored within 10m00s: w: the store cannot be reached: connection refused; it continues in the background" || len(hint.Of(err)) != 1 {
		t.Errorf("%d, %q, %q", codeOf(err), err, hint.Of(err))
	}
	if err := p.notRestored(tests["needs a person"].doc); codeOf(err) != cmdline.CodeFailed {
		t.Error(codeOf(err))
	}
}
