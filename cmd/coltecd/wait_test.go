package main

import (
	"strings"
	"testing"
	"time"

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
