package cmdline

import (
	"testing"

	"github.com/urfave/cli/v2"
)

// "open" was taken for "down": the nearest by letters, and the opposite.
func TestNear(t *testing.T) {
	for program, words := range map[string]map[string]string{
		"coltec": {
			"open": "up", "list": "ls", "stop": "down", "restore": "export", "start": "up", "ps": "ls", "init": "new", "shell": "exec",
			"exprot": "export", "stauts": "status", "logz": "logs", "sl": "ls", "satus": "status",
			// Nothing that ends or overwrites, for what only looks like it.
			"dwn": "", "donw": "", "town": "", "upate": "", "own": "",
			// And nothing at all rather than anything.
			"rm": "", "delete": "", "destroy": "", "x": "", "": "", "keep": "",
		},
		"coltecd": {
			"open": "start", "up": "start", "down": "", "restore": "history restore", "push": "sync", "undo": "history restore",
			"strat": "start", "stopp": "", "sotp": "", "takover": "", "restrat": "", "hlep": "", "pasue": "pause", "ls": "history", "kep": "",
		},
	} {
		var commands []*cli.Command
		for _, name := range map[string][]string{
			"coltec":  {"new", "update", "check", "templates", "export", "up", "down", "doctor", "ls", "status", "logs", "exec", "secrets", "trust"},
			"coltecd": {"start", "run", "status", "sync", "logs", "pause", "resume", "restart", "takeover", "history", "conflicts", "verify"},
		}[program] {
			commands = append(commands, &cli.Command{Name: name})
		}
		commands = append(commands, &cli.Command{Name: "keep", Hidden: true})
		for word, want := range words {
			if got := Near(commands, word); got != want {
				t.Errorf("%s %s: %q, want %q", program, word, got, want)
			}
		}
	}
}
