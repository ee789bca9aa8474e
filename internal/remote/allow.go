package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/wholefile"
)

const (
	// AllowFile is where the owner of a machine takes options that no spec may say by
	// itself: lines TYPE.OPTION, or TYPE for a back end with the options known to be
	// harmless.
	AllowFile = "/etc/coltec/rclone.allow"
	// AllowVariable names another file in its place.
	AllowVariable = "COLTEC_RCLONE_ALLOW"

	allowMost = 64 << 10
)

// Policy says what a spec may tell rclone.
type Policy struct {
	Reach   rclone.Reach
	allowed []string
	file    string // for the hint
	err     error  // why the file cannot be read
}

// NewPolicy reads the allow file that the environment names. There need not be one; of
// one that cannot be read every remote says so.
func NewPolicy(reach rclone.Reach, env rclone.Lookup) Policy {
	p := Policy{Reach: reach, file: AllowFile}
	if file, ok := env(AllowVariable); ok {
		p.file = file
	}
	b, err := wholefile.Read(p.file, allowMost)
	if errors.Is(err, fs.ErrNotExist) {
		return p
	}
	for _, name := range []string{p.file, filepath.Dir(p.file)} {
		if err == nil {
			err = ownedHere(name)
		}
	}
	if err != nil {
		p.err = fmt.Errorf("cannot read what rclone may be told: %w", err)
		return p
	}
	for line := range strings.Lines(strings.TrimPrefix(string(b), "\ufeff")) {
		if word, _, _ := strings.Cut(line, "#"); strings.TrimSpace(word) != "" {
			p.allowed = append(p.allowed, strings.TrimSpace(word))
		}
	}
	return p
}

// check refuses a back end that a spec must not ask for.
func (p Policy) check(b rclone.Backend) error {
	if p.err != nil {
		return p.err
	}
	err := b.Check(p.Reach, p.allowed)
	if err == nil {
		return nil
	}
	return hint.Wrap(err, "whoever owns this machine can take it: a line TYPE.OPTION, or TYPE, in %s", p.file)
}
