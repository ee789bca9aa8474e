package gitstate

import (
	"errors"
	"fmt"
	"io/fs"
)

// ErrBusy says that a repository is in the middle of something: what was
// captured before stands, and the next round tries again.
var ErrBusy = errors.New("git is at work in it: what it was before that is carried, and the next round tries again")

// RefusedError says that a repository cannot be captured as it is set up, or as
// this machine is.
type RefusedError struct {
	Reason  string
	foreign bool // it lies where coltecd does not look
}

func (e *RefusedError) Error() string { return e.Reason }

func refused(format string, args ...any) error {
	return &RefusedError{Reason: fmt.Sprintf(format, args...)}
}

// unreadable says why a repository cannot be captured.
func unreadable(err error) error {
	if errors.As(err, new(*RefusedError)) {
		return err
	}
	return fmt.Errorf("cannot read it: %w", err)
}

// absent says that an error means: nothing is there.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
