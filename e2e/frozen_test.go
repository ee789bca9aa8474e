package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/coltec/coltec/internal/dbtest"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
)

// storesVariable says how many generations of each store are judged: make soak-stores.
const storesVariable = "COLTEC_STORES"

// stores is how many generations of a store are judged: a few, or as many as are asked for,
// at most.
func stores(t *testing.T, few, most int) int {
	t.Helper()
	asked := os.Getenv(storesVariable)
	if asked == "" {
		return few
	}
	n, err := strconv.Atoi(asked)
	if err != nil {
		t.Fatalf("%s: %v", storesVariable, err)
	}
	return min(n, most)
}

// ready reports whether a unit is.
func ready(unit string) func(status.Document) bool {
	return func(doc status.Document) bool {
		return slices.ContainsFunc(doc.Units, func(u status.Unit) bool { return u.Name == unit && u.State == "ready" })
	}
}

// What is captured of PostgreSQL under load while it stands still starts elsewhere, is sound,
// and has each transaction that was made before the last "synced".
func TestPostgresByFreeze(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.asUser()
	p := dbtest.NewPostgres(t, a.path(dataDir))
	a.spec(func(o *specOptions) {
		o.Services = []map[string]any{postgresService(p)}
		o.Replicas[0].Consistency = []map[string]any{{"path": dataDir, "by": "freeze", "units": []string{"postgres"}}}
	})
	a.own()
	a.start()
	a.await("the server runs", ready("postgres"))
	p.Fill(1)
	load := p.Load(4)
	for i := range stores(t, 3, 30) {
		p.Transactions((i + 1) * 50)
		made := sums(t, p).Transactions
		a.sync()
		g := newest(w).Number
		got, err := dbtest.OpenPostgres(t, a.restoreBeside(dataDir, g)).Judge()
		if err != nil {
			t.Fatalf("generation %d: %v", g, err)
		}
		if got.Transactions < made {
			t.Errorf("generation %d has %d transactions, and %d were made before it", g, got.Transactions, made)
		}
	}
	load.Stop()
	a.stop()
	want := fmt.Sprint(newest(w).Number)
	if got := a.restoreBeside(dataDir, newest(w).Number); got == "" {
		t.Errorf("generation %s has nothing", want)
	}
}
