//go:build coltec_mutants

package databases

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/coltec/coltec/pkg/sqlite"
)

// MutantVariable names, in a build for tests alone, what is done wrong with databases: "member"
// leaves out the log, "lock" copies file by file, "stale" leaves the log of what is replaced
// beside what comes. What holds databases to be whole must notice.
const MutantVariable = "COLTEC_TEST_DATABASE_MUTANT"

// changed is what a mutant makes of the means.
func (m means) changed() means {
	switch exact := m; os.Getenv(MutantVariable) {
	case "member":
		m.capture = func(ctx context.Context, dir *os.Root, name string, to *os.Root, o sqlite.Options) (sqlite.Result, error) {
			r, err := exact.capture(ctx, dir, name, to, o)
			_ = to.Remove(name + string(sqlite.Log)) // there may be none
			return r, err
		}
	case "lock":
		m.capture = func(_ context.Context, dir *os.Root, name string, to *os.Root, _ sqlite.Options) (sqlite.Result, error) {
			err := copyFile(dir, to, name)
			if errLog := copyFile(dir, to, name+string(sqlite.Log)); !errors.Is(errLog, fs.ErrNotExist) {
				err = errors.Join(err, errLog)
			}
			return sqlite.Result{Outcome: sqlite.Captured}, err
		}
	case "stale":
		m.place = func(p sqlite.Placement) error {
			return os.Rename(filepath.Join(p.Stage.Name(), p.Name), filepath.Join(p.Dir.Name(), p.Name))
		}
	}
	return m
}

// slow reads as from a slow disk, so that a writer comes in between on a fast one, too.
type slow struct{ io.Reader }

func (s slow) Read(b []byte) (int, error) {
	time.Sleep(2 * time.Millisecond)
	return s.Reader.Read(b[:min(len(b), 64<<10)])
}

func copyFile(from, to *os.Root, name string) error {
	in, err := from.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := to.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, slow{in})
	return errors.Join(err, out.Close())
}
