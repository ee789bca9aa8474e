package killpoint

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

var probe = New("test:probe")

func TestMain(m *testing.M) {
	if os.Getenv(Variable) != "" {
		probe.Reach()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestReach(t *testing.T) {
	tests := map[string]struct {
		at     string
		killed bool
	}{
		"armed":         {"test:probe", true},
		"first time":    {"test:probe:1", true},
		"second time":   {"test:probe:2", false},
		"another point": {"test:other", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), Variable+"="+tt.at)
			err := cmd.Run()
			ws, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if killed := err != nil && ws.Signal() == syscall.SIGKILL; killed != tt.killed {
				t.Errorf("killed = %v (%v), want %v", killed, err, tt.killed)
			}
		})
	}
}

func TestArmed(t *testing.T) {
	died := 0
	Arm("test:probe", 2, func() { died++ })
	probe.Reach()
	probe.Reach()
	probe.Reach()
	if died != 1 {
		t.Errorf("died %d times at the second of three turns, want once", died)
	}
	Arm("test:probe", 0, nil)
	probe.Reach()
	if died != 1 {
		t.Error("a point that is not armed acted")
	}
}
