package frozen

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/process"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// The steps of a placement at which a test kills the process.
var (
	killAside  = killpoint.New("frozen:aside")
	killPlaced = killpoint.New("frozen:placed")
)

// Settle brings the directories to what waits of their remote side: placed where only that
// changed. Where both did, the one that is here goes whole to the conflict copies.
func (c *carrier) Settle(ctx context.Context, source store.Layout) error {
	if err := c.settleFiles(ctx, source); err != nil {
		return err
	}
	if err := c.agreement().Moved(); err != nil {
		return err
	}
	c.restores = map[string]error{}
	for _, name := range c.agreement().Vanished() {
		if err := c.vanished(ctx, name); err != nil {
			c.restores[name] = err
		}
	}
	waiting := c.agreement().Waiting()
	for _, name := range slices.Sorted(maps.Keys(waiting)) {
		if name == "" {
			if err := c.agreement().Settle(name); err != nil {
				return err
			}
			continue
		}
		err := errNotHere
		if c.find(name) != nil {
			err = c.restore(ctx, source, name, layout.Dir+"/"+name+"/", waiting[name])
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var fetch *whole.FetchError
		if errors.As(err, &fetch) {
			return fetch.Unwrap()
		}
		if c.restores[name] = err; err != nil {
			c.o.Log.Warn("directory not placed", "replica", c.o.Replica, "directory", name, "error", err)
			continue
		}
		delete(c.restores, name)
		if err := c.agreement().Settle(name); err != nil {
			return err
		}
		c.o.Log.Info("directory placed", "replica", c.o.Replica, "directory", name)
	}
	return nil
}

// settleFiles places the directories that the remote side has as files, where nothing of them
// is here.
func (c *carrier) settleFiles(ctx context.Context, source store.Layout) error {
	files := map[string][]tree.Entry{}
	failed := false
	for name, rows := range c.rep.AsFiles() {
		d := c.find(name)
		if d == nil {
			continue
		}
		files[name] = rows
		if c.vacant(d.Path.Path) != nil {
			continue // what is here counts
		}
		prefix := d.Path.Path + "/"
		if d.Path.Path == "" {
			prefix = ""
		}
		err := c.restore(ctx, source, name, prefix, rows)
		var fetch *whole.FetchError
		if errors.As(err, &fetch) {
			return fetch.Unwrap()
		}
		failed = failed || err != nil
		c.restores[name] = err
	}
	if len(files) == 0 {
		return nil
	}
	return c.rep.TriedAsFiles(files, !failed)
}

func (c *carrier) find(name string) *directory {
	for _, d := range c.dirs {
		if d.name() == name {
			return d
		}
	}
	return nil
}

// pathOf is where what a shadow is of belongs.
func pathOf(name string) string {
	if name == All {
		return ""
	}
	return name
}

// errOccupied says that something is there.
var errOccupied = errors.New("something is there")

// vacant is an error unless a directory is not there, or nothing is in it.
func (c *carrier) vacant(at string) error {
	entries, err := os.ReadDir(filepath.Join(c.o.Path, at))
	if err != nil && !absent(err) {
		return err
	}
	for _, e := range entries {
		if at != "" || e.Name() != localfs.Dir {
			return errOccupied
		}
	}
	return nil
}

// here is what is in a directory now; nil for nothing.
func (c *carrier) here(ctx context.Context, at string) (seen, error) {
	if c.vacant(at) == nil {
		return nil, nil
	}
	root, err := localfs.OpenRoot(c.o.Path, "", 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	now, err := c.k.look(ctx, root, Path{Path: at})
	if absent(err) {
		return nil, nil
	}
	return now, err
}

// unchanged reports whether a directory is what its shadow says, byte for byte.
func (c *carrier) unchanged(name string, now seen) (bool, error) {
	if d := c.find(name); d != nil && d.last != nil && d.last.same(now) {
		return true, nil
	}
	return c.equals(c.shadow(name), pathOf(name), now)
}

// equals reports whether a directory has what is at a path, but for a mark.
func (c *carrier) equals(at, path string, now seen) (bool, error) {
	s, err := openShadow(at, now)
	if err != nil {
		return false, err
	}
	delete(s.was, markName)
	for at, e := range now {
		was, is := s.was[at]
		switch {
		case at == "":
			continue
		case !is || was.Kind != e.Kind || was.Link != e.Link || was.Size != e.Size || e.Kind == tree.File && was.Mode != e.Mode:
			return false, nil
		case e.Kind == tree.File:
			if same, err := equal(filepath.Join(s.at, at), filepath.Join(c.o.Path, path, at)); err != nil || !same {
				return false, err
			}
		}
		delete(s.was, at)
	}
	return len(s.was) == 0, nil
}

// unused is an error where a process works in a directory.
func (c *carrier) unused(at string) error {
	users := process.Users(filepath.Join(c.o.Path, at))
	if len(users) == 0 || at == "" && c.vacant(at) == nil {
		return nil
	}
	return fmt.Errorf("process %d (%s) has it open: it is placed once that has ended", users[0].PID, users[0].Name)
}

// vanished removes a directory that the other side removed, and keeps it with what was
// replaced. One that went on here since stays, and is pushed again.
func (c *carrier) vanished(ctx context.Context, name string) error {
	at := pathOf(name)
	if c.find(name) == nil { // it is files here, and goes as such
		return os.RemoveAll(c.shadow(name))
	}
	if c.isFiles(at) {
		return nil
	}
	agreed := c.agreement().Agreed(name)
	now, err := c.here(ctx, at)
	if err != nil {
		return err
	}
	if now != nil {
		same, err := c.unchanged(name, now)
		if err != nil || !same || !agreed {
			return err
		}
		if err := c.unused(at); err != nil {
			return err
		}
		if err := c.aside(at, c.rep.ReplacedDir(c.o.Now())); err != nil {
			return err
		}
		c.o.Log.Info("directory removed", "replica", c.o.Replica, "directory", name)
	}
	d := c.find(name)
	d.have, d.last = nil, nil
	return os.RemoveAll(c.shadow(name))
}

// isFiles reports whether the remote side has a directory as files.
func (c *carrier) isFiles(at string) bool {
	return slices.ContainsFunc(c.rep.Base().Remote(), func(e tree.Entry) bool {
		return (at == "" || tree.Within(e.Path, at) && e.Path != at) && !tree.Within(e.Path, localfs.Dir)
	})
}

// aside moves what is in a directory below another one of ours.
func (c *carrier) aside(at, to string) error {
	if at != "" {
		return c.area().Move(filepath.Join(c.o.Path, at), filepath.Join(to, at))
	}
	return c.moveEach(c.o.Path, to)
}

// moveEach moves what is in one directory to another, without our own.
func (c *carrier) moveEach(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == localfs.Dir {
			continue
		}
		if err := c.area().Move(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// arrival is a directory that came to the stage.
type arrival struct {
	name  string // of its shadow
	stage string // what is in it goes
	came  string // where it lies in the stage, with its mark
	top   tree.Entry
}

// fetch brings a directory to the stage. prefix is that of its rows.
func (c *carrier) fetch(ctx context.Context, source store.Layout, name, prefix string, rows []tree.Entry) (*arrival, error) {
	stage := filepath.Join(c.rep.StageDir(), "frozen-in")
	a := &arrival{name: name, stage: stage, came: filepath.Join(stage, "came"), top: tree.Entry{Mode: tree.NoMode}}
	if err := errors.Join(c.area().RemoveAll(stage), c.area().Mkdir(a.came)); err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(slices.Clone(rows), func(e tree.Entry) bool {
		if e.Path == strings.TrimSuffix(prefix, "/") {
			a.top = e
		}
		return !strings.HasPrefix(e.Path, prefix)
	})
	for i := range rows {
		below := strings.TrimPrefix(rows[i].Path, prefix)
		if err := admitted(below); err != nil {
			return nil, err
		}
		if top, _, _ := strings.Cut(below, "/"); name == All && strings.EqualFold(top, localfs.Dir) {
			return nil, fmt.Errorf("%q is a path of coltecd's own", below)
		}
	}
	f := whole.Fetcher{Area: c.area(), Progress: c.o.Progress}
	if err := f.Fetch(ctx, source, prefix, rows, a.came, stage); err != nil {
		return nil, err
	}
	if a.top.Mode != tree.NoMode {
		rows = append([]tree.Entry{{Path: prefix, Kind: tree.Dir, Mode: a.top.Mode}}, rows...)
	}
	return a, modes(a.came, prefix, rows)
}

// restore brings what the remote side has of a directory here. prefix is that of its rows.
func (c *carrier) restore(ctx context.Context, source store.Layout, name, prefix string, rows []tree.Entry) error {
	at := pathOf(name)
	if err := c.unused(at); err != nil {
		return err
	}
	a, err := c.fetch(ctx, source, name, prefix, rows)
	if err != nil {
		return err
	}
	defer os.RemoveAll(a.stage)
	now, err := c.here(ctx, at)
	if err != nil {
		return err
	}
	asShadow := strings.HasPrefix(prefix, layout.Dir+"/")
	if now != nil {
		if same, err := c.equals(a.came, at, now); err != nil {
			return err
		} else if same {
			return c.adopt(name, a.came, asShadow, now)
		}
	}
	live := filepath.Join(a.stage, "live")
	have, err := copyOf(a.came, live, a.top.Mode)
	if err != nil {
		return err
	}
	to := c.rep.ReplacedDir(c.o.Now())
	if now != nil {
		same, err := c.unchanged(name, now)
		if err != nil {
			return err
		}
		if !same || !c.agreement().Agreed(name) {
			to = c.rep.ConflictDir(c.o.Now(), c.o.Host)
			c.o.Log.Warn("both sides of a directory changed", "replica", c.o.Replica, "directory", name, "kept", to)
		}
	}
	if err := c.replace(live, at, to, now != nil); err != nil {
		return err
	}
	return c.adopt(name, a.came, asShadow, have)
}

// replace puts a directory in its place. What is there goes to another one of ours.
func (c *carrier) replace(live, at, to string, there bool) error {
	if there {
		if err := c.aside(at, to); err != nil {
			return err
		}
	}
	killAside.Reach()
	if err := c.put(live, at); err != nil {
		return err
	}
	killPlaced.Reach()
	return nil
}

// put moves a directory to its place, at which nothing is, or an empty one.
func (c *carrier) put(from, at string) error {
	if at == "" {
		return c.moveEach(from, c.o.Path)
	}
	to := filepath.Join(c.o.Path, at)
	if err := c.area().Remove(to); err != nil {
		return err
	}
	return c.area().Move(from, to)
}

// adopt makes what came the shadow, which what is here is equal to.
func (c *carrier) adopt(name, came string, asShadow bool, have seen) error {
	d := c.find(name)
	if d != nil {
		d.have, d.last, d.copied, d.why = nil, nil, nil, nil
	}
	if !asShadow {
		return nil // the next capture makes it
	}
	to := c.shadow(name)
	if err := os.Remove(filepath.Join(to, markName)); err != nil && !absent(err) {
		return err
	}
	if err := errors.Join(os.RemoveAll(to), os.MkdirAll(filepath.Dir(to), 0o700)); err != nil {
		return err
	}
	if err := os.Rename(came, to); err != nil {
		return err
	}
	if d != nil {
		d.have, d.last = have, have
	}
	return nil
}

// modes gives directories that came their modes, the deepest first.
func modes(to, prefix string, rows []tree.Entry) error {
	for i := range rows {
		e := &rows[len(rows)-1-i] // parents come before what is in them
		if e.Kind != tree.Dir || e.Mode == tree.NoMode {
			continue
		}
		dir := filepath.Join(to, strings.TrimPrefix(e.Path, prefix))
		if err := unix.Chmod(dir, e.Mode&0o777); err != nil {
			return &os.PathError{Op: "chmod", Path: dir, Err: err}
		}
	}
	return nil
}

// copyOf makes a copy of a shadow, without its mark, and says what it has.
func copyOf(from, to string, mode uint32) (seen, error) {
	entries, _, err := localfs.Walk(context.Background(), from, localfs.Everything{})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return nil, err
	}
	in, err := os.OpenRoot(from)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out, err := os.OpenRoot(to)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	c := &copying{from: in, to: out, copied: seen{}}
	s := &shadow{at: to, was: seen{}, now: seen{}, begun: true}
	for _, e := range entries {
		switch {
		case e.Path == markName:
			continue
		case e.Kind == tree.File:
			if err := c.copy(e.Path, e); err != nil {
				return nil, err
			}
		}
		s.now[e.Path] = e
	}
	if err := errors.Join(s.dirs(), s.links(), s.modes()); err != nil {
		return nil, err
	}
	if mode != tree.NoMode {
		if err := unix.Chmod(to, mode&0o777); err != nil {
			return nil, err
		}
	}
	return lookAt(to, mode)
}

// lookAt lists what was placed, with its own mode, as [Kind.look] will.
func lookAt(dir string, mode uint32) (seen, error) {
	entries, _, err := localfs.Walk(context.Background(), dir, localfs.Everything{})
	if err != nil {
		return nil, err
	}
	all := seen{}
	for _, e := range entries {
		all[e.Path] = settled(e, time.Now())
	}
	if mode != tree.NoMode {
		all[""] = localfs.Entry{Kind: tree.Dir, Seen: localfs.Seen{Mode: mode & 0o777}}
	}
	return all, nil
}
