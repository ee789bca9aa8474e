package engine

import "github.com/coltec/coltec/pkg/killpoint"

// The steps of a cycle at which a crash test kills the process.
var (
	pointClaimed   = killpoint.New("acquire:claimed")
	pointReceived  = killpoint.New("acquire:received")
	pointPublished = killpoint.New("push:published")
	pointPrepared  = killpoint.New("commit:prepared")
	pointCommitted = killpoint.New("commit:committed")
	pointResolved  = killpoint.New("commit:resolved")
)
