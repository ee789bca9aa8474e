package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/digest"
	"github.com/coltec/coltec/pkg/status"
)

const (
	// publishAfter is how old the status file may be after a change, and how far apart the looks
	// are of which those are told who look at many workspaces. The host shows fifty of them at
	// once, where asking each coltecd would take a container's exec: 0.1 s.
	publishAfter = time.Second
	// publishEvery is how old it may be where nothing tells of a change: lines
	// that a log lost, what tailscaled says of itself. An idle coltecd sleeps
	// meanwhile.
	publishEvery = time.Minute
)

// publish keeps the status file in the log directory until life ends, and closes
// the channel then. Of each look the engine tells the fleet.
func (d *daemon) publish(life context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		var last []byte
		for {
			seen, doc := d.status.now(), d.document(agentsSeen)
			if e := d.replicas.current(); e != nil {
				e.Tell(digest.Of(doc, time.Now()))
			}
			last = d.writeDocument(doc, last)
			if pause(life, publishAfter) != nil || d.status.wait(life, seen, publishEvery-publishAfter) != nil {
				return
			}
		}
	}()
	return done
}

// writeStatus writes the status file with another state than the present one.
func (d *daemon) writeStatus(state status.State) {
	doc := d.document(looksEvery)
	doc.State, doc.PID = state, 0
	doc.Units = []status.Unit{}
	d.writeDocument(doc, nil)
}

// writeDocument writes the status file, if it would not be the same as last, and gives what it is
// then. An error is not reported: the same fault of the logs beside it is, and nothing depends
// on the file.
func (d *daemon) writeDocument(doc status.Document, last []byte) []byte {
	b, err := json.Marshal(doc)
	if err != nil || bytes.Equal(b, last) {
		return last
	}
	if logs, err := anchor.OpenRoot(d.log.dir, d.o.folder(), 0o755); err == nil {
		_ = status.WriteFile(logs, b)
		_ = logs.Close()
	}
	return b
}
