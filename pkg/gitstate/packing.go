package gitstate

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// excludedMost bounds how many known commits git is told to stop at: more make
// it slower, fewer make it look at more.
const excludedMost = 500

// packNew packs the objects that what was read needs and the shadow has not.
// What the remotes have is packed apart: a fresh clone has it already, and
// need not fetch it.
func (c *capture) packNew(ctx context.Context) error {
	format, err := c.format(ctx)
	if err != nil {
		return err
	}
	width := widthOf(format)
	all, err := c.k.openPacks(c.shadow, width)
	if err != nil {
		return err
	}
	defer func() { all.close() }()
	if len(all) == 0 {
		c.whole = false // none can be used: all that is named is packed
		c.missing = map[string]string{}
	}
	r, err := c.k.scratchGit("scratch.git", format,
		filepath.Join(c.shadow, "objects"), c.src.file("objects"))
	if err != nil {
		return err
	}
	r.told = c.k.progress(ctx, c.dir)
	if err := c.k.area().Mkdir(filepath.Join(c.shadow, "objects/pack")); err != nil {
		return err
	}
	if err := c.lend(r); err != nil {
		return err
	}
	t, err := c.tips(ctx, r, all, width)
	if err != nil {
		return err
	}
	for i, tips := range [][]string{t.remote, t.local} {
		indexes := c.indexes()
		if i == 0 {
			indexes = nil
		}
		if len(tips)+len(indexes) == 0 {
			continue
		}
		if err := c.packReachable(ctx, r, all, tips, t, indexes); err != nil {
			return err
		}
		all.close()
		if all, err = c.k.openPacks(c.shadow, width); err != nil {
			return err
		}
	}
	return c.k.join(ctx, r, c.shadow, all)
}

// lend gives the scratch directory what changes the meaning of objects.
func (c *capture) lend(r *runner) error {
	for i := range c.now.items {
		path := c.now.items[i].path
		if base := filepath.Base(path); path == "shallow" || strings.HasPrefix(base, "sharedindex.") {
			if err := c.k.area().Copy(c.current(path), filepath.Join(r.dir, base)); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
	}
	return nil
}

// indexes lists the indexes that changed; all, where the shadow was not whole.
func (c *capture) indexes() []string {
	var out []string
	for i := range c.now.items {
		if path := c.now.items[i].path; isIndex(path) && !c.now.items[i].link && (!c.whole || c.deep || slices.Contains(c.staged, path)) {
			out = append(out, c.current(path))
		}
	}
	return out
}

// tips are the objects that what is new must be reachable from.
type tips struct {
	remote, local []string          // not packed yet: of remotes' branches, and all others
	known         []string          // packed already, with all that they reach
	from          map[string]string // what names an object, of those that a ref names
}

func (c *capture) tips(ctx context.Context, r *runner, all packs, width int) (t tips, err error) {
	// With other borders of a shallow clone, what was packed may reach further.
	deepened := slices.Contains(c.staged, "shallow") || slices.Contains(c.gone, "shallow")
	fresh, known, remote := map[string]bool{}, map[string]bool{}, map[string]bool{}
	t.from = map[string]string{}
	sort := func(oid string, far bool) {
		switch {
		case !deepened && !c.deep && all.has(oid):
			if len(known) < excludedMost {
				known[oid] = true
			}
		case far:
			remote[oid] = true
		default:
			fresh[oid] = true
		}
	}
	refs, err := readFile(c.current("packed-refs"), textMost)
	if err != nil {
		return t, err
	}
	for line := range strings.Lines(string(refs)) {
		if oid, ref, ok := strings.Cut(strings.TrimSpace(line), " "); ok && isOID(oid) {
			t.from[oid] = ref
			sort(oid, strings.HasPrefix(ref, "refs/remotes/"))
		}
	}
	for i := range c.now.items {
		path := c.now.items[i].path
		if !mentions(path) || c.now.items[i].link || path == "packed-refs" ||
			c.whole && !deepened && !c.deep && !slices.Contains(c.staged, path) {
			continue
		}
		if _, err := os.Lstat(c.current(path)); absent(err) {
			continue // a ref, which packed-refs has
		}
		oids, err := named(c.current(path), width)
		if err != nil {
			return t, err
		}
		for _, oid := range slices.Backward(oids) {
			sort(oid, false)
		}
	}
	there, err := r.existing(ctx, slices.Concat(slices.Sorted(maps.Keys(fresh)), slices.Sorted(maps.Keys(remote)), slices.Sorted(maps.Keys(known))))
	t.remote, t.local, t.known = c.kept(remote, there, t.from), c.kept(fresh, there, t.from), c.kept(known, there, nil)
	return t, err
}

// kept are those of some objects that are there. One that is not, and that a ref names, is
// missing; logs name what is gone long since.
func (c *capture) kept(oids, there map[string]bool, from map[string]string) (out []string) {
	for _, oid := range slices.Sorted(maps.Keys(oids)) {
		if there[oid] {
			out = append(out, oid)
		} else if ref := from[oid]; ref != "" {
			c.missing[oid] = ref
		}
	}
	return out
}

// packReachable packs what is reachable from tips and indexes and not packed yet.
// Where something of that is missing or damaged, all else is.
func (c *capture) packReachable(ctx context.Context, r *runner, all packs, tips []string, t tips, indexes []string) error {
	list := &reachable{c: c, all: all, seen: map[string]bool{}, file: filepath.Join(c.k.Stage(), "objects")}
	if !c.deep {
		err := list.quick(ctx, r, tips, t.known, indexes)
		if err == nil || ctx.Err() != nil || errors.Is(err, errStalled) {
			return err
		}
	}
	if err := list.thorough(ctx, r, tips, t.from, indexes); err != nil {
		return err
	}
	// What git packs anew meanwhile is not missing.
	if again, err := c.src.list(); err != nil || !again.same(c.now) {
		return errors.Join(err, ErrBusy)
	}
	if !c.deep { // else what was noted before stands until all was looked at
		if err := c.writeMissing(); err != nil { // before the packs that lack it
			return err
		}
	}
	return list.pack(ctx, r)
}
