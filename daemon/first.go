package daemon

import (
	"os"
	"time"

	"github.com/coltec/coltec/pkg/process"
)

// StopTimeoutVar is the variable that says how long the stop of a container takes at most.
const StopTimeoutVar = "COLTEC_STOP_TIMEOUT"

const (
	// stopTimeout stays below the ten seconds that Docker gives.
	stopTimeout = 9 * time.Second
	// lastWords is the time of the container's command for what it writes at its end: that
	// is in the last save then.
	lastWords = 2 * time.Second
)

// First runs the command of a container as its process 1 does, and coltecd stop, as user,
// when the command has ended or was asked to. It returns the command's status.
func First(user, timeout string, argv, environ []string) (int, error) {
	total, err := time.ParseDuration(timeout)
	if err != nil || total <= 0 {
		total = stopTimeout
	}
	f := process.First{Argv: argv, Env: environ, Patience: min(lastWords, total/4)}
	f.Last = func(since time.Time) []string {
		left := total
		if !since.IsZero() {
			left -= time.Since(since)
		}
		stop := []string{"stop", "--timeout", max(left, time.Second).Round(time.Millisecond).String()}
		if user == "" || os.Geteuid() != 0 {
			return append([]string{"coltecd"}, stop...)
		}
		return append([]string{"coltecd", "become", user, "--"}, stop...)
	}
	return f.Run()
}
