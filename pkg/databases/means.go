package databases

import (
	"context"
	"os"

	"github.com/coltec/coltec/pkg/sqlite"
)

// means are how a database is copied and placed; a test that checks the checker has others.
type means struct {
	capture func(ctx context.Context, dir *os.Root, name string, to *os.Root, o sqlite.Options) (sqlite.Result, error)
	place   func(sqlite.Placement) error
}
