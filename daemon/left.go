package daemon

import (
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/pkg/process"
)

// leftDir holds, in the runtime directory, what units printed between the death
// of one coltecd and the start of the next: a file for each unit.
const leftDir = "left"

// heldDir holds, in the runtime directory, the lines that units have begun and not
// ended: they would go with a coltecd that is killed.
const heldDir = "held"

// saveLeft begins to save what the units of a killed coltecd print. wait returns
// when they have ended and all of it is there. The keeper saves it unchanged: only the next
// coltecd knows what is secret, and where logs go.
func saveLeft(runtime, marker string) (wait func()) {
	dir := filepath.Join(runtime, leftDir)
	var files []*os.File
	drained := process.Rescue(marker, filepath.Join(runtime, heldDir), func(unit string) io.Writer {
		err := os.MkdirAll(dir, 0o700)
		if err != nil {
			return io.Discard
		}
		f, err := os.OpenFile(filepath.Join(dir, url.PathEscape(unit)), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return io.Discard // full: better to lose lines than to keep the workspace down
		}
		files = append(files, f)
		return f
	})
	return func() {
		drained()
		for _, f := range files {
			f.Close()
		}
	}
}

// takeLeft moves what saveLeft saved to the logs.
func takeLeft(runtime string, logs *logbook) {
	dir := filepath.Join(runtime, leftDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // the usual case: there is none
	}
	for _, e := range entries {
		unit, err := url.PathUnescape(e.Name())
		if err == nil {
			err = logs.append(unit, filepath.Join(dir, e.Name()))
		}
		if err != nil {
			logs.Warn("cannot keep the last words of a unit", "unit", e.Name(), "error", err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		logs.Warn("cannot remove the last words of units", "error", err)
	}
}

// append adds the file at path to the log of a unit, or of its probe.
func (l *logbook) append(unit, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sink := l.files.Sink(strings.TrimSuffix(unit, ":probe"))
	defer sink.Flush()
	_, err = io.Copy(sink, f)
	return err
}
