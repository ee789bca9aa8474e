package sqlite

import (
	"crypto/sha256"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
)

// users are ways in which a database is used, by journal mode and kind of its writer.
var users = map[string]struct {
	mode, kind string
	checkpoint time.Duration // of another process; 0: none
}{
	"log":                                   {"wal", "", 0},
	"log, brought in each 5 ms":             {"wal", "checkpoint=20", 5 * time.Millisecond},
	"log, brought in after 20 pages, big":   {"wal", "big+checkpoint=20", 0},
	"log, brought in after 50, opened anew": {"wal", "reopen+checkpoint=50", 0},
	"log, vacuum":                           {"wal", "vacuum+checkpoint=1000", 0},
	"journal deleted":                       {"delete", "reopen", 0},
	"journal truncated, big":                {"truncate", "big+spill", 0},
	"journal kept, vacuum":                  {"persist", "vacuum", 0},
}

// captures is how many are made of each.
func captures(t *testing.T) int {
	if s := os.Getenv("COLTEC_SQLITE_CAPTURES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return sample.Size(3, 50)
}

// While other processes write a database in every way, each capture of it is a state that
// was committed while it was made.
func TestCaptureWhileItIsWritten(t *testing.T) {
	sample.Long(t)
	j := newJudge(t)
	mode := func(name string) string { return users[name].mode }
	for _, name := range sample.OfEach(t, 2, slices.Sorted(maps.Keys(users)), mode) {
		t.Run(name, func(t *testing.T) {
			u := users[name]
			l := newLedger(t, u.mode, 2000)
			if u.checkpoint > 0 {
				run(t, "checkpoint", l.path, seconds(u.checkpoint)).line()
			}
			w := l.writer(u.kind, 5*time.Second, 2*time.Millisecond)
			outcomes := map[Outcome]int{}
			means := map[Means]int{}
			for n, began := 0, time.Now(); n < captures(t) || outcomes[Captured] == 0 && time.Since(began) < hang; n++ {
				r, wrong := l.capture(j, Options{Patience: 2 * time.Second})
				if wrong != "" {
					t.Errorf("%s: %s", r.Means, wrong)
				}
				if r.Outcome == Malformed || r.Outcome == NotLockable {
					t.Errorf("%s: %s", r.Outcome, r.Reason)
				}
				if r.Waited > 50*time.Millisecond {
					t.Logf("writers had to wait for %v", r.Waited)
				}
				outcomes[r.Outcome]++
				means[r.Means]++
			}
			if outcomes[Captured] == 0 {
				t.Errorf("none was captured: %v", outcomes)
			}
			t.Logf("%v, %v; writer: %v", outcomes, means, w.end())
		})
	}
}

// What the judge is for: plain copies of the same databases, file by file, as quick as what
// is read is hashed, are torn.
func TestPlainCopiesAreTorn(t *testing.T) {
	sample.Long(t)
	j := newJudge(t)
	torn, all := 0, 0
	names := []string{"log, brought in after 20 pages, big", "log, brought in after 50, opened anew", "journal truncated, big"}
	began := time.Now()
	for n := 0; n < len(names) || torn == 0 && time.Since(began) < hang; n++ { // who writes when is chance
		name := names[n%len(names)]
		l := newLedger(t, users[name].mode, 2000)
		w := l.writer(users[name].kind, 5*time.Second, 0)
		here := 0
		most := 4 * captures(t)
		for i := range most {
			to := t.TempDir()
			for _, role := range []Role{"", Log, Journal} {
				plainCopy(t, l.path+string(role), filepath.Join(to, ledgerName+string(role)))
			}
			all++
			if _, wrong := j.of(filepath.Join(to, ledgerName)); wrong != "" {
				here++
				t.Logf("%s: copy %d: %.200s", name, i, wrong)
			}
		}
		torn += here
		w.end()
	}
	t.Logf("%d of %d torn", torn, all)
	if torn == 0 {
		t.Error("the judge found nothing")
	}
}

func plainCopy(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if os.IsNotExist(err) {
		return
	} else if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(io.MultiWriter(out, sha256.New()), in); err != nil {
		t.Fatal(err)
	}
}
