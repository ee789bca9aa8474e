package databases

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/sqlite"
	"github.com/coltec/coltec/pkg/whole"
	"github.com/coltec/coltec/pkg/wholefile"
)

const (
	// patience is for how long a moment is looked for at which a database is whole: where a
	// watch saw something, where somebody asks, and for all in a walk. Renewals go on
	// meanwhile, and nothing else does.
	patience      = time.Second
	patienceAsked = 3 * time.Second
	patienceAll   = 5 * time.Second
	// rest lets a database that cannot be locked count as whole where it was not written for
	// so long.
	rest = 2 * time.Second
	// rate is how many bytes of a database that is written all the time are read in a second on
	// average. What a sync or a stop asks for does not wait.
	rate = 20 << 20
	// leastLog is how large the log of a shadow may become in any case. Else it may become as
	// large as its database: then all is sent anew, which doubles what is sent at most.
	leastLog = 1 << 20
)

// killMade is the step of a new shadow at which a test kills the process.
var killMade = killpoint.New("database:made")

// form is what the mark of a shadow says.
type form struct {
	Format   int    `json:"format"`
	Database string `json:"database"`
	Log      string `json:"log"` // of SQLite's own format; it may not be there
}

var current = form{Format: 1, Database: main, Log: log}

// withheld is why a database is not captured now.
type withheld struct{ sqlite.Result }

func (e *withheld) Error() string { return e.Reason }

// Capture captures the databases that a walk met. What cannot be captured now is withheld
// with all that belongs to it, and stays in the bucket as it was.
func (d *Databases) Capture(ctx context.Context, m whole.Met) ([]localfs.Unknown, error) {
	if err := d.list(); err != nil {
		return nil, err
	}
	found, theirs := d.find(&m)
	if !m.Guess {
		for _, at := range d.forgotten(&m) {
			if err := d.forget(at); err != nil {
				return nil, err
			}
			d.o.Log.Info("database is none any more", "replica", d.o.Replica, "database", at)
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	if err := d.rep.HoldOwn(); err != nil {
		return nil, err
	}
	said := map[string]localfs.Unknown{}
	began, each := time.Now(), patienceAsked
	if m.Part {
		each = patience
	}
	for _, at := range slices.Sorted(maps.Keys(found)) {
		if d.restores[at] != nil {
			continue // its own side is not settled with the remote one
		}
		if s := d.known[at]; m.Part && s != nil && time.Now().Before(s.again) && d.written(at, s) {
			said[at] = localfs.Unknown{Path: at, Moving: true, Reason: "it is large and written all the time: it is captured from " + s.again.UTC().Format(time.TimeOnly) + " UTC on"}
			continue
		}
		changed, err := d.capture(ctx, at, min(each, max(0, patienceAll-time.Since(began))))
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if changed {
			d.o.Log.Debug("database captured", "replica", d.o.Replica, "database", at)
		}
		switch {
		case err == nil, localfs.Absent(err):
		case d.damaged(at, err):
			delete(theirs, at)
		default:
			said[at] = unseen(at, err)
		}
	}
	var out []localfs.Unknown
	for _, path := range slices.Sorted(maps.Keys(theirs)) {
		u, ok := said[path]
		if !ok {
			u = localfs.Unknown{Path: path, Quiet: true}
		}
		if !ok && said[databaseOf(path, found)].Reason != "" {
			u.Reason = "its database is withheld" // and what was carried of it as a file stays, too
		}
		out = append(out, u)
	}
	return out, nil
}

// damaged reports whether what begins as a database is none, as far as we can tell, and has
// nothing beside it: such a file is carried like any other.
func (d *Databases) damaged(at string, why error) bool {
	var w *withheld
	return errors.As(why, &w) && w.Outcome == sqlite.Malformed && d.known[at] == nil &&
		!slices.ContainsFunc(companions(at), func(path string) bool { _, err := os.Lstat(d.here(path)); return err == nil })
}

// databaseOf is the database that a path belongs to.
func databaseOf(path string, found map[string]bool) string {
	if found[path] {
		return path
	}
	return Kind{}.Around(path)
}

// unseen is what is said of a database that is not captured now.
func unseen(at string, why error) localfs.Unknown {
	u := localfs.Unknown{Path: at, Reason: "the database is withheld: " + anchor.OneLine(why), Unread: true}
	var w *withheld
	if errors.As(why, &w) && w.Outcome == sqlite.Busy {
		u.Moving, u.Unread = true, false // that is no news at once
	}
	return u
}

// capture brings the shadow of a database to what that is now.
func (d *Databases) capture(ctx context.Context, at string, patience time.Duration) (changed bool, err error) {
	dir, name, err := d.around(at)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	info, err := dir.Lstat(name)
	if err != nil {
		return false, err
	}
	before, err := sqlite.StampsOf(dir, name)
	if err != nil {
		return false, err
	}
	if s := d.known[at]; s != nil && before.Unwritten(s.captured) {
		return false, nil
	}
	began := time.Now()
	stage, err := d.copied(ctx, dir, name, "out", patience)
	if stage != "" {
		defer d.area().RemoveAll(stage)
	}
	if err != nil {
		return false, err
	}
	changed, err = d.follow(at, filepath.Join(stage, name), info.Mode().Perm())
	if err == nil {
		d.known[at] = &state{before, began.Add(time.Duration(info.Size()/(rate/1000)) * time.Millisecond)}
	}
	return changed, err
}

// written reports whether a database was written since it was captured.
func (d *Databases) written(at string, s *state) bool {
	dir, name, err := d.around(at)
	if err != nil {
		return false
	}
	defer dir.Close()
	now, err := sqlite.StampsOf(dir, name)
	return err == nil && !now.Unwritten(s.captured)
}

// copied copies a database as it is now to a stage, alone: what its log or its journal says
// is in it.
func (d *Databases) copied(ctx context.Context, dir *os.Root, name, stage string, patience time.Duration) (string, error) {
	stage, err := d.stage(stage)
	if err != nil {
		return stage, err
	}
	to, err := d.open(stage)
	if err != nil {
		return stage, err
	}
	defer to.Close()
	r, err := d.by.capture(ctx, dir, name, to, sqlite.Options{Patience: patience, Rest: rest})
	if err == nil && r.Outcome != sqlite.Captured {
		err = &withheld{r}
	}
	if err == nil {
		err = sqlite.Settle(to, name)
	}
	return stage, err
}

// follow has a shadow go on to a state, or begin anew with it.
func (d *Databases) follow(at, now string, mode fs.FileMode) (changed bool, err error) {
	if d.known[at] == nil {
		return true, d.begin(at, now, mode)
	}
	shadow, err := d.open(d.shadow(at))
	if err != nil {
		return false, err
	}
	defer shadow.Close()
	added := 0
	err = d.area().Do(now, func(root *os.Root, path string) error {
		f, err := root.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err == nil {
			added, err = sqlite.Follow(shadow, main, f, max(leastLog, info.Size()))
		}
		return err
	})
	switch {
	case errors.Is(err, sqlite.ErrAnew), errors.Is(err, sqlite.ErrMalformed), localfs.Absent(err):
		return true, d.begin(at, now, mode)
	case err != nil:
		return false, fmt.Errorf("cannot write the copy of the database: %w", err)
	}
	if info, err := shadow.Lstat(main); err == nil && info.Mode().Perm() != mode {
		return true, shadow.Chmod(main, mode)
	}
	return added > 0, nil
}

// begin makes a shadow of a state alone, which is moved there.
func (d *Databases) begin(at, now string, mode fs.FileMode) error {
	if err := d.remove(at); err != nil {
		return err
	}
	err := d.area().Do(now, func(root *os.Root, path string) error { return root.Chmod(path, mode) })
	if err == nil {
		err = d.area().Move(now, filepath.Join(d.shadow(at), main))
	}
	if err == nil {
		killMade.Reach()
		err = d.mark(at)
	}
	if err != nil {
		return fmt.Errorf("cannot make the copy of the database: %w", err)
	}
	return nil
}

// mark makes a shadow whole.
func (d *Databases) mark(at string) error {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(current); err != nil {
		return err
	}
	if err := d.area().Write(filepath.Join(d.shadow(at), mark), b.Bytes(), 0o644); err != nil {
		return err
	}
	d.known[at] = &state{}
	return nil
}

// readMark holds that a shadow is of the format that we know.
func (d *Databases) readMark(file string) error {
	return d.area().Do(file, func(root *os.Root, path string) error {
		b, err := wholefile.ReadIn(root, path, 1<<16)
		if err != nil {
			return err
		}
		var f form
		if err := wholefile.Unmarshal(b, &f, 100); err != nil {
			return fmt.Errorf("cannot read what it is: %w", err)
		}
		if f != current {
			return fmt.Errorf("it is of format %d, which this coltecd does not know", f.Format)
		}
		return nil
	})
}
