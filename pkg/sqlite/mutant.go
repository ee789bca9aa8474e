//go:build coltec_mutants

package sqlite

import (
	"os"
	"time"
)

// MutantVariable names, in a build for tests alone, what a database is captured or placed
// without: what holds databases to be whole must notice.
const MutantVariable = "COLTEC_TEST_SQLITE_MUTANT"

// The mutants.
const (
	mutantLock  = "lock"  // no lock is taken, and no look says what others did
	mutantLog   = "log"   // the log of a database is left out
	mutantStale = "stale" // the log of the database that was there stays beside the new one
)

// wide gives those who write the time to do so in the middle of a copy.
const wide = 30 * time.Millisecond

func spoiled(o Options) Options {
	switch os.Getenv(MutantVariable) {
	case mutantLock:
		o.without, o.blind = map[span]bool{pending: true, shared: true, logInUse: true, logCheck: true}, true
		for _, mark := range logReaders {
			o.without[mark] = true
		}
		o.step = func() { time.Sleep(wide) }
	case mutantLog:
		o.bare = true
	}
	return o
}

func leftBeside(r Role) bool { return r == Log && os.Getenv(MutantVariable) == mutantStale }
