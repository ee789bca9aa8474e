package process

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/coltec/coltec/pkg/hint"
)

// self is the program that runs.
const self = "/proc/self/exe"

// Become replaces this process by itself with argv, as another user: a name or a number,
// either with ":group". It comes back with an error alone. Unlike su it needs no
// entry in /etc/passwd and no other program.
func Become(name string, argv, env []string) error {
	cred, err := credential(name)
	if err != nil {
		return err
	}
	if cred != nil && int(cred.Uid) != os.Geteuid() {
		groups := make([]int, len(cred.Groups))
		for i, g := range cred.Groups {
			groups[i] = int(g)
		}
		err := errors.Join(syscall.Setgroups(groups), syscall.Setgid(int(cred.Gid)))
		if err = errors.Join(err, syscall.Setuid(int(cred.Uid))); err != nil {
			return hint.Wrap(fmt.Errorf("not permitted to become user %q: %w", name, err),
				"give the container the capabilities SETUID and SETGID, or let its first process be that user (containerUser)")
		}
		env = atHome(name, env)
	}
	return fmt.Errorf("cannot run %s: %w", argv[0], syscall.Exec(self, argv, env))
}

// atHome is an environment with what a login as a user changes in it; a bare number changes
// nothing.
func atHome(name string, env []string) []string {
	name, _, _ = strings.Cut(name, ":")
	u, err := lookupUser(name)
	if err != nil || u.HomeDir == "" {
		return env
	}
	home := []string{"HOME=" + u.HomeDir, "USER=" + u.Username, "LOGNAME=" + u.Username}
	for _, kv := range env {
		key, _, _ := strings.Cut(kv, "=")
		if key != "HOME" && key != "USER" && key != "LOGNAME" {
			home = append(home, kv)
		}
	}
	return home
}
