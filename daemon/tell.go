package daemon

import (
	"context"
	"time"

	"github.com/coltec/coltec/pkg/digest"
)

// tellEvery is how far apart the looks are, while much changes, that those get who look at many
// workspaces.
const tellEvery = 2 * time.Second

// tellFleet has the engine tell them how the workspace is, until life ends.
func (d *daemon) tellFleet(life context.Context) {
	for {
		seen := d.status.now()
		if e := d.replicas.current(); e != nil {
			e.Tell(digest.Of(d.document(), time.Now()))
		}
		if pause(life, tellEvery) != nil || d.status.wait(life, seen, publishEvery-tellEvery) != nil {
			return
		}
	}
}
