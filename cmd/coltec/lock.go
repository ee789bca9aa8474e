package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// lockEvery is how often a lock that another has is tried: flock cannot be
// waited for and interrupted at once.
const lockEvery = 100 * time.Millisecond

// realPath is an absolute path without links, as far as it is there.
func realPath(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(path) == path {
		return real, err
	}
	parent, err := realPath(filepath.Dir(path))
	return filepath.Join(parent, filepath.Base(path)), err
}

// lock lets one new, up, down or update at a time work on a folder, which need not be
// there yet: two devcontainer up at once make two containers, two new a mixture of
// both. A second one waits for the first.
func (p *program) lock(ctx context.Context, folder string) (release func(), err error) {
	dir, err := lockDir()
	if err != nil {
		return nil, fmt.Errorf("cannot make the lock: %w", err)
	}
	real, err := realPath(folder)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(real))
	f, err := os.OpenFile(filepath.Join(dir, hex.EncodeToString(sum[:8])), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot make the lock: %w", err)
	}
	tick := time.NewTicker(lockEvery)
	defer tick.Stop()
	for announced := false; ; announced = true {
		held, err := tryLock(f)
		if held {
			return func() { f.Close() }, nil
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("cannot lock the workspace: %w", err)
		}
		if !announced {
			p.say("another coltec works on %s: waiting for it", folder)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}
