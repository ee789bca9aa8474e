//go:build !linux

package store

import (
	"os"
	"time"
)

var began = time.Now()

// bootTime is a clock that no setting of the time moves. It may stop while the machine sleeps: no
// lease is held here.
func bootTime() time.Duration { return time.Since(began) }

// folder is a directory that files are made in.
type folder struct{ root *os.Root }

func openFolder(dir string) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &folder{root}, nil
}

func (d *folder) close() { d.root.Close() }

func (d *folder) openFile(name string, flags int) (*os.File, error) {
	return d.root.OpenFile(name, flags, 0o600)
}

func (d *folder) remove(name string) error { return d.root.Remove(name) }

func flushSoon(*os.File, int64, int64) {}

func stripAttributes(string) {}
