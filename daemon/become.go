package daemon

import "github.com/coltec/coltec/pkg/process"

// Become runs coltecd again as a user, in place of this process: a name or a number. It
// comes back with an error alone.
func Become(user string, args, environ []string) error {
	return process.Become(user, append([]string{"coltecd"}, args...), environ)
}
