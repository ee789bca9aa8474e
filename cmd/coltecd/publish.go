package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/coltec/coltec/pkg/status"
)

// publishEvery is how old the status file may be. The host shows fifty of them
// at once, where asking each coltecd would take a container's exec: 0.1 s.
const publishEvery = 5 * time.Second

// publish keeps the status file in the log directory until life ends, and closes
// the channel then.
func (d *daemon) publish(life context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(publishEvery)
		defer tick.Stop()
		var last []byte
		for {
			last = d.writeStatusUnless(last, "")
			select {
			case <-life.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return done
}

// writeStatus writes the status file with another state than the present one.
func (d *daemon) writeStatus(state status.State) { d.writeStatusUnless(nil, state) }

// writeStatusUnless writes the status file, if it would not be the same as last.
// A file that cannot be written is said nowhere: the logs beside it are, and
// nothing depends on it.
func (d *daemon) writeStatusUnless(last []byte, state status.State) []byte {
	doc := d.document()
	if state != "" {
		doc.State, doc.PID = state, 0
		doc.Units = []status.Unit{}
	}
	b, err := json.Marshal(doc)
	if err != nil || bytes.Equal(b, last) {
		return last
	}
	path := filepath.Join(d.logDir, status.FileName)
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o644); err == nil {
		_ = os.Rename(path+".new", path)
	}
	return b
}
