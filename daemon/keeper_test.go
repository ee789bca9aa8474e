package daemon

import (
	"testing"
	"time"
)

// A killed coltecd is back within 2 s, whatever its units are like: the keeper waits for no
// more than leaves half a second to start one. That it is back, and that a unit that ignores
// TERM is none the less ended, is cmd/coltecd's to test.
func TestTheKeeperWaitsForLessThanTwoSeconds(t *testing.T) {
	const most = 1500 * time.Millisecond
	for left := time.Duration(0); left <= LeftGrace; left += 10 * time.Millisecond {
		if all := left + pauseBefore(0, left); all > most {
			t.Errorf("units that end after %v: the next start is after %v, want %v at most", left, all, most)
		}
	}
	if again := pauseBefore(3, 0); again <= most {
		t.Errorf("the fourth crash in a row: the next start is after %v already", again)
	}
}
