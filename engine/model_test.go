package engine

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/store/storetest"
)

// A history is one random story of two to five machines and one bucket; the
// promises that must hold through it are in model_check_test.go.
//
//	COLTEC_SEED=n       repeats one history, with all that happened in it
//	COLTEC_HISTORIES=n  how many; 10,000 unless told
//	COLTEC_FIRST=n      the seed of the first one; random unless told

// tell tells one history on a bucket in memory.
func tell(seed uint64, dir, mutant string) *model {
	m := newModel(seed, memory{storetest.New()}, dir, mutant)
	m.tell()
	return m
}

func (m *model) tell() {
	must(os.MkdirAll(m.dir, 0o755))
	defer m.end()
	m.settleIn()
	for range 5 + m.rnd.IntN(12) {
		if m.event(); len(m.bad) > 0 {
			return
		}
	}
	m.settle()
}

// report is what a person needs who wants to know why.
func (m *model) report() string {
	return fmt.Sprintf("COLTEC_SEED=%d\n%s\n\n%s", m.seed, strings.Join(m.log, "\n"), strings.Join(m.bad, "\n"))
}

// modelDir is a directory in memory where there is such a thing.
func modelDir() (string, error) {
	at := ""
	if s, err := os.Stat("/dev/shm"); err == nil && s.IsDir() {
		at = "/dev/shm"
	}
	return os.MkdirTemp(at, "coltec-model-")
}

func fromEnv(name string, otherwise uint64) uint64 {
	n, err := strconv.ParseUint(os.Getenv(name), 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}

// workerVariable makes the test binary tell histories: "FIRST COUNT STEP".
// Killpoints are one process's, so each worker is a process.
const workerVariable = "COLTEC_MODEL_WORKER"

func TestMain(m *testing.M) {
	flag.Parse()
	if w := os.Getenv(workerVariable); w != "" {
		go func() { // whoever asked may be killed, by its own time-out too
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(1)
		}()
		var first, count, step uint64
		_, err := fmt.Sscan(w, &first, &count, &step)
		if err == nil {
			err = tellAll(first, count, step)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// tellAll tells histories. The first one that breaks a promise is told in full,
// a few more by their seed.
func tellAll(first, count, step uint64) error {
	dir, err := modelDir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var bad []error
	for i := range count {
		m := tell(first+i*step, filepath.Join(dir, "h"), "")
		switch {
		case len(m.bad) == 0:
		case len(bad) == 0:
			bad = append(bad, errors.New(m.report()))
		default:
			bad = append(bad, fmt.Errorf("COLTEC_SEED=%d\n%s", m.seed, strings.Join(m.bad, "\n")))
		}
		if len(bad) == 5 {
			break
		}
	}
	return errors.Join(bad...)
}

// TestHistories holds the promises over random histories.
func TestHistories(t *testing.T) {
	if seed := fromEnv("COLTEC_SEED", 0); seed != 0 {
		dir, err := modelDir()
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := tell(seed, filepath.Join(dir, "h"), "")
		t.Log(m.report())
		if len(m.bad) > 0 {
			t.Fail()
		}
		return
	}
	first, count := fromEnv("COLTEC_FIRST", rand.Uint64N(1<<48)+1), fromEnv("COLTEC_HISTORIES", uint64(sample.Size(300, 10_000)))
	workers := uint64(runtime.GOMAXPROCS(0))
	begin := time.Now()
	outcomes := make(chan error)
	for w := range workers {
		go func() { outcomes <- work(t, first+w, (count+workers-1-w)/workers, workers) }()
	}
	for range workers {
		if err := <-outcomes; err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d histories from seed %d, %.0f a second", count, first, float64(count)/time.Since(begin).Seconds())
}

// work has a process of its own tell histories.
func work(t *testing.T, first, count, step uint64) error {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %d", workerVariable, first, count, step), "GOMAXPROCS=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if _, err := cmd.StdinPipe(); err != nil { // closed when this process ends
		return err
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w\n%s", err, out.String())
	}
	return nil
}

// TestMutants holds that each promise would be seen to be broken.
func TestMutants(t *testing.T) {
	sample.Long(t)
	const seeds = 1000
	tests := map[string]struct {
		promise string // that it breaks
		first   uint64 // the seed that is tried first: one that showed it
	}{
		"upload loses":            {"lost:", 1},
		"conflicts thrown away":   {"lost:", 5},
		"conditions ignored":      {"epoch:", 5},
		"fenced writer publishes": {"backwards:", 5},
		"base forgotten":          {"conflict:", 8},
		"modes not placed":        {"unequal:", 1},
		"restless times":          {"quiet:", 63},
		"probe lies":              {"untouched:", 4},
	}
	for mutant, tt := range tests {
		t.Run(mutant, func(t *testing.T) {
			dir, err := modelDir()
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			var others []string
			for i := range uint64(seeds) {
				seed := 1 + (tt.first-1+i)%seeds
				m := tell(seed, filepath.Join(dir, "h"), mutant)
				for _, bad := range m.bad {
					if strings.HasPrefix(bad, tt.promise) {
						t.Logf("seed %d: %s", seed, bad)
						return
					}
					others = append(others, bad)
				}
			}
			t.Errorf("%d histories did not show that %s is broken; they showed %d other things: %.500q", seeds, tt.promise, len(others), others)
		})
	}
}
