package replica

import (
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
)

// SettleOptions say how to place.
type SettleOptions struct {
	Source      store.Layout // where content is fetched from
	AllowDelete bool         // a person said that many deletions are right
	// Allowed counts the deletions, in all that was ever committed, that somebody had a
	// say in: what came to it since the last placement is not asked for again.
	Allowed   int64
	GivesBack bool // kept generations have what is deleted
	Progress  store.Progress
}

// Outcome is what Settle did.
type Outcome struct {
	Idle      bool              // nothing waited: all else but Problems is empty, and they are known
	Placed    int               // files and links that were brought here or changed
	Deleted   int               // files and links that were removed here
	Conflicts []string          // paths whose local version lies aside now
	Held      []string          // files whose deletion waits for a person's word
	Forgotten []string          // paths that the filters do not carry any more: kept, and not synced
	Problems  []localfs.Unknown // what could not be placed, and why
	Unknown   []localfs.Unknown // what could not be seen, and why
}
