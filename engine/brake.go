package engine

import (
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/store"
)

// latelyFor is for how long what went is counted with what goes: `rm -rf` of a large tree
// takes that long at most, and is pushed in steps.
const latelyFor = 10 * time.Minute

// brake is what the size of a deletion is measured by.
type brake struct {
	allowed int64 // in all, as the head had it when the cycle began
	most    int   // files that there were lately
	mostAt  time.Time
}

// lately is how many files went within a while, for nobody's word.
func (b *brake) lately(files int, now time.Time) int {
	if files >= b.most || now.Sub(b.mostAt) > latelyFor || now.Before(b.mostAt) {
		b.most, b.mostAt = files, now
	}
	return b.most - files
}

// undecided are the deletions that wait for a decision. A renewal tells of them beside a
// worker, so any goroutine may use it.
type undecided struct {
	mu   sync.Mutex
	made []string  // files that were deleted here, and wait
	came []string  // files whose deletion came from the bucket, and waits
	seen bool      // this run knows
	from time.Time // since when something waits
}

// hold notes what waits, on either side; nil leaves a side as it was.
func (u *undecided) hold(made, came []string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if made != nil {
		u.made, u.seen = made, true
	}
	if came != nil {
		u.came = came
	}
	switch {
	case len(u.made)+len(u.came) == 0:
		u.from = time.Time{}
	case u.from.IsZero():
		u.from = now
	}
}

// held is what waits, for the head; nil for nothing. ok is false while it is not known.
func (u *undecided) held() (held *store.HeldDeletions, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := len(u.made) + len(u.came)
	if n == 0 {
		return nil, u.seen
	}
	names := u.made
	if len(names) == 0 {
		names = u.came
	}
	return &store.HeldDeletions{
		Since: u.from.UTC().Truncate(time.Second), Made: len(u.made), Came: len(u.came),
		Names: names[:min(len(names), account.NamesMax)],
	}, true
}

// waiting names the files whose deletion came from the bucket, and waits.
func (u *undecided) waiting() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.came
}
