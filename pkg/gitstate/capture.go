package gitstate

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// lockYoung is the age below which a lock means that git is at work. An older
// one is of an editor that is open for a message, or of a git that was killed:
// that nothing moves while the state is read is looked at anyway.
const lockYoung = 5 * time.Second

// tries is how often a repository that moves is read before the next round has
// to try.
const tries = 3

// Capture brings the shadow of a repository to what the repository is now. It
// says whether the shadow changed. On an error the shadow is as it was.
func (k *Keeper) Capture(ctx context.Context, dir string) (changed bool, err error) {
	src := filepath.Join(k.Root, dir)
	if !isRepository(src) {
		return false, refused("it is no git directory, or one that is damaged")
	}
	now, err := list(src)
	if err != nil {
		return false, fmt.Errorf("cannot read it: %w", err)
	}
	if was, ok := k.seen[dir]; ok && was.same(now) && k.Whole(dir) {
		return false, nil
	}
	for range tries {
		if k.Now().Sub(now.lock) < lockYoung {
			return false, ErrBusy
		}
		c := &capture{k: k, dir: dir, src: src, shadow: filepath.Join(k.Shadow, dir), now: now, was: k.seen[dir]}
		err = c.read()
		again, listErr := list(src)
		if listErr != nil {
			return false, fmt.Errorf("cannot read it: %w", listErr)
		}
		if err == nil && again.same(now) {
			if changed, err = c.publish(ctx); err == nil {
				k.seen[dir] = now
			}
			return changed, err
		}
		if errors.As(err, new(*RefusedError)) && again.same(now) {
			return false, err
		}
		if err != nil && again.same(now) {
			return false, fmt.Errorf("cannot read it: %w", err)
		}
		now = again
	}
	return false, ErrBusy
}

// Nested lists the repositories in the git directory of another: those of its
// submodules.
func (k *Keeper) Nested(dir string) ([]string, error) {
	l, err := list(filepath.Join(k.Root, dir))
	var out []string
	for _, below := range l.nested {
		out = append(out, filepath.Join(dir, below))
		more, err := k.Nested(filepath.Join(dir, below))
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, err
}

// capture is one reading of a repository.
type capture struct {
	k           *Keeper
	dir         string // below the tree
	src, shadow string
	now, was    listing
	staged      []string // files in the stage that the shadow has not, or otherwise
	gone        []string // files that the shadow has and the repository has no more
	whole       bool     // the shadow was whole: it has all that its state needs
}

func (c *capture) stage(path string) string { return filepath.Join(c.k.Stage, "state", path) }

// read copies what differs from the shadow into the stage. The refs go into one
// packed-refs.
func (c *capture) read() error {
	if err := c.k.scratch(); err != nil {
		return err
	}
	c.staged, c.gone = nil, nil
	have := map[string]bool{Mark: true}
	c.whole = c.k.Whole(c.dir)
	refs := map[string]string{}
	for i := range c.now.items {
		f := &c.now.items[i]
		if f.path == "packed-refs" || strings.HasPrefix(f.path, "refs/") {
			continue
		}
		have[f.path] = true
		if was := c.was.find(f.path); c.whole && was != nil && *was == *f {
			continue
		}
		if err := c.take(f.path); err != nil {
			return err
		}
	}
	if err := c.readRefs(refs, have); err != nil {
		return err
	}
	old, err := list(c.shadow)
	if err != nil && !absent(err) {
		return err
	}
	for i := range old.items {
		if path := old.items[i].path; !have[path] {
			c.gone = append(c.gone, path)
		}
	}
	return nil
}

// take copies one file, unless the shadow has the same.
func (c *capture) take(path string) error {
	from := filepath.Join(c.src, path)
	if sameFile(from, filepath.Join(c.shadow, path)) || isIndex(path) && sameIndex(from, filepath.Join(c.shadow, path), c.width()) {
		return nil
	}
	c.staged = append(c.staged, path)
	return copyFile(from, c.stage(path))
}

// width is that of the names of objects. A wrong guess makes indexes differ that
// do not.
func (c *capture) width() int {
	head, _ := os.ReadFile(filepath.Join(c.src, "config"))
	if bytes.Contains(bytes.ToLower(head), []byte("sha256")) {
		return 32
	}
	return 20
}

// put stages content of our own making, unless the shadow has the same.
func (c *capture) put(path string, body []byte) error {
	if old, err := os.ReadFile(filepath.Join(c.shadow, path)); err == nil && bytes.Equal(old, body) {
		return nil
	}
	c.staged = append(c.staged, path)
	return writeWhole(c.stage(path), body, 0o644)
}

// loose says that a ref stays a file of its own: it points to another ref, or
// is one of those that git looks for in a single working tree's files.
func loose(ref, value string) bool {
	return strings.HasPrefix(value, "ref: ") || strings.HasPrefix(ref, "refs/bisect/") ||
		strings.HasPrefix(ref, "refs/worktree/") || strings.HasPrefix(ref, "refs/rewritten/")
}

func (c *capture) readRefs(refs map[string]string, have map[string]bool) error {
	refs, err := readRefs(c.src, c.now)
	if err != nil {
		return err
	}
	for ref, value := range refs {
		if loose(ref, value) {
			have[ref] = true
			if err := c.put(ref, []byte(value+"\n")); err != nil {
				return err
			}
			delete(refs, ref)
		}
	}
	have["packed-refs"] = true
	return c.put("packed-refs", packedRefs(refs))
}

// readRefs reads the refs of a git directory: name → object, or "ref: NAME".
func readRefs(dir string, l listing) (map[string]string, error) {
	refs := map[string]string{}
	packed, err := os.ReadFile(filepath.Join(dir, "packed-refs"))
	if err != nil && !absent(err) {
		return nil, err
	}
	for line := range strings.Lines(string(packed)) {
		oid, ref, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if ok && isOID(oid) {
			refs[ref] = oid
		}
	}
	for i := range l.items {
		f := &l.items[i]
		if !strings.HasPrefix(f.path, "refs/") {
			continue
		}
		body, err := os.ReadFile(filepath.Join(dir, f.path))
		if err != nil {
			return nil, err
		}
		value := strings.TrimSpace(string(body))
		if !isOID(value) && !strings.HasPrefix(value, "ref: ") {
			return nil, refused("the ref %s is damaged: git fsck says more", f.path)
		}
		refs[f.path] = value
	}
	return refs, nil
}

// packedRefs writes git's file of refs.
func packedRefs(refs map[string]string) []byte {
	var b bytes.Buffer
	b.WriteString("# pack-refs with: sorted \n")
	for _, ref := range sortedKeys(refs) {
		fmt.Fprintf(&b, "%s %s\n", refs[ref], ref)
	}
	return b.Bytes()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// isOID says whether a text is the name of an object.
func isOID(text string) bool {
	if len(text) != 40 && len(text) != 64 {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) })
}

// publish packs what is new and brings the shadow to what was read.
func (c *capture) publish(ctx context.Context) (bool, error) {
	if len(c.staged)+len(c.gone) == 0 && c.k.Whole(c.dir) {
		return false, nil
	}
	if err := c.packNew(ctx); err != nil {
		return false, err
	}
	pointPacked.Reach()
	if err := removeIfThere(filepath.Join(c.shadow, Mark)); err != nil {
		return false, err
	}
	pointOpened.Reach()
	for _, path := range c.staged {
		to := filepath.Join(c.shadow, path)
		if err := place(c.stage(path), to); err != nil {
			return false, err
		}
	}
	for _, path := range c.gone {
		if err := removeIfThere(filepath.Join(c.shadow, path)); err != nil {
			return false, err
		}
		prune(c.shadow, filepath.Dir(path))
	}
	if err := os.MkdirAll(filepath.Join(c.shadow, "refs"), 0o755); err != nil { // git takes it for no repository without
		return false, err
	}
	err := c.k.writeMark(c.shadow)
	pointShadowed.Reach()
	return true, err
}

// place renames a file into a tree in which a directory may have its name, or a
// file that of one above it.
func place(from, to string) error {
	if s, err := os.Lstat(to); err == nil && s.IsDir() {
		if err := os.RemoveAll(to); err != nil {
			return err
		}
	}
	err := os.MkdirAll(filepath.Dir(to), 0o755)
	if err != nil {
		for dir := filepath.Dir(to); len(dir) > 1; dir = filepath.Dir(dir) {
			if s, e := os.Lstat(dir); e == nil && !s.IsDir() {
				err = errors.Join(os.Remove(dir), os.MkdirAll(filepath.Dir(to), 0o755))
				break
			}
		}
	}
	return errors.Join(err, os.Rename(from, to))
}

// prune removes the directories on the way up that have nothing in them.
func prune(root, dir string) {
	for ; dir != "." && dir != "/"; dir = filepath.Dir(dir) {
		if os.Remove(filepath.Join(root, dir)) != nil {
			return
		}
	}
}

// mentions says whether a file of a git directory may name objects that nothing
// else names: logs, heads of operations under way, notes of a rebase.
func mentions(path string) bool {
	base := filepath.Base(path)
	if isIndex(path) || strings.HasPrefix(base, "config") || base == "description" || strings.HasPrefix(base, "sharedindex.") {
		return false
	}
	path = strings.TrimPrefix(path, "worktrees/")
	for _, dir := range []string{"hooks/", "info/", "lfs/", "annex/", "rr-cache/"} {
		if strings.HasPrefix(path, dir) {
			return false
		}
	}
	return true
}

// isIndex says that a path is the index of a working tree.
func isIndex(path string) bool {
	if path == "index" {
		return true
	}
	rest, ok := strings.CutPrefix(path, "worktrees/")
	_, name, _ := strings.Cut(rest, "/")
	return ok && name == "index"
}

// named lists the objects that a file names.
func named(file string, width int) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	scan := bufio.NewScanner(f)
	scan.Buffer(make([]byte, 0, 64<<10), 1<<20)
	scan.Split(splitWords)
	for scan.Scan() {
		if word := scan.Text(); len(word) == 2*width && isOID(word) && strings.Trim(word, "0") != "" {
			out = append(out, word)
		}
	}
	if errors.Is(scan.Err(), bufio.ErrTooLong) {
		return out, nil // a file of another kind
	}
	return out, scan.Err()
}

// splitWords cuts at everything that is no letter and no digit.
func splitWords(data []byte, atEOF bool) (advance int, token []byte, err error) {
	word := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	start := 0
	for start < len(data) && !word(data[start]) {
		start++
	}
	for i := start; i < len(data); i++ {
		if !word(data[i]) {
			return i, data[start:i], nil
		}
	}
	if atEOF && start < len(data) {
		return len(data), data[start:], nil
	}
	return start, nil, nil
}

// current is where a file of what was read lies: in the stage, or, unchanged, in
// the shadow.
func (c *capture) current(path string) string {
	if slices.Contains(c.staged, path) {
		return c.stage(path)
	}
	return filepath.Join(c.shadow, path)
}

// staged file lists of objects.
type objectList struct {
	f *os.File
	w *bufio.Writer
	n int
}

func newList(file string) (*objectList, error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	return &objectList{f: f, w: bufio.NewWriterSize(f, 64<<10)}, nil
}

func (l *objectList) add(line string) error {
	l.n++
	_, err := l.w.WriteString(line + "\n")
	return err
}

func (l *objectList) close() error { return errors.Join(l.w.Flush(), l.f.Close()) }

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
	all, err := openPacks(c.shadow, width)
	if err != nil {
		return err
	}
	defer func() { all.close() }()
	if len(all) == 0 {
		c.whole = false // none can be used: all that is named is packed
	}
	r, err := scratchGit(filepath.Join(c.k.Stage, "scratch.git"), format,
		filepath.Join(c.shadow, "objects"), filepath.Join(c.src, "objects"))
	if err != nil {
		return err
	}
	r.told = c.k.progress(ctx, c.dir)
	if err := os.MkdirAll(filepath.Join(c.shadow, "objects/pack"), 0o755); err != nil {
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
		if err := c.packReachable(ctx, r, all, tips, t.known, indexes); err != nil {
			return err
		}
		all.close()
		if all, err = openPacks(c.shadow, width); err != nil {
			return err
		}
	}
	return r.join(ctx, c.k.Stage, c.shadow, all)
}

func widthOf(format string) int {
	if format == "sha256" {
		return 32
	}
	return 20
}

// lend gives the scratch directory what changes the meaning of objects.
func (c *capture) lend(r *runner) error {
	for i := range c.now.items {
		path := c.now.items[i].path
		if base := filepath.Base(path); path == "shallow" || strings.HasPrefix(base, "sharedindex.") {
			if err := copyFile(c.current(path), filepath.Join(r.dir, base)); err != nil && !errors.Is(err, fs.ErrExist) {
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
		if path := c.now.items[i].path; isIndex(path) && (!c.whole || slices.Contains(c.staged, path)) {
			out = append(out, c.current(path))
		}
	}
	return out
}

// tips are the objects that what is new must be reachable from.
type tips struct {
	remote, local []string // not packed yet: of remotes' branches, and all others
	known         []string // packed already, with all that they reach
}

func (c *capture) tips(ctx context.Context, r *runner, all packs, width int) (t tips, err error) {
	// With other borders of a shallow clone, what was packed may reach further.
	deepened := slices.Contains(c.staged, "shallow") || slices.Contains(c.gone, "shallow")
	fresh, known, remote := map[string]bool{}, map[string]bool{}, map[string]bool{}
	sort := func(oid string, far bool) {
		switch {
		case !deepened && all.has(oid):
			if len(known) < excludedMost {
				known[oid] = true
			}
		case far:
			remote[oid] = true
		default:
			fresh[oid] = true
		}
	}
	refs, err := os.ReadFile(c.current("packed-refs"))
	if err != nil {
		return t, err
	}
	for line := range strings.Lines(string(refs)) {
		if oid, ref, ok := strings.Cut(strings.TrimSpace(line), " "); ok && isOID(oid) {
			sort(oid, strings.HasPrefix(ref, "refs/remotes/"))
		}
	}
	for i := range c.now.items {
		path := c.now.items[i].path
		if !mentions(path) || path == "packed-refs" || c.whole && !deepened && !slices.Contains(c.staged, path) {
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
	asked := slices.Concat(sortedKeys(fresh), sortedKeys(remote), sortedKeys(known))
	there, err := r.existing(ctx, asked)
	if err != nil {
		return t, err
	}
	keep := func(oids map[string]bool) (out []string) {
		for _, oid := range sortedKeys(oids) {
			if there[oid] {
				out = append(out, oid)
			}
		}
		return out
	}
	return tips{remote: keep(remote), local: keep(fresh), known: keep(known)}, nil
}

// packReachable packs what is reachable from tips and indexes and not packed
// yet.
func (c *capture) packReachable(ctx context.Context, r *runner, all packs, tips, known, indexes []string) error {
	file := filepath.Join(c.k.Stage, "objects")
	w, err := newList(file)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	add := func(line string) error {
		oid, _, _ := strings.Cut(line, " ")
		if seen[oid] || all.has(oid) {
			return nil
		}
		seen[oid] = true
		return w.add(line)
	}
	var in strings.Builder
	for _, oid := range tips {
		in.WriteString(oid + "\n")
	}
	for _, oid := range known {
		in.WriteString("^" + oid + "\n")
	}
	if len(tips) > 0 {
		err = r.run(ctx, strings.NewReader(in.String()), add, "rev-list", "--objects", "--stdin")
	}
	for _, index := range indexes {
		if err == nil {
			with := *r
			with.env = []string{"GIT_INDEX_FILE=" + index}
			err = with.run(ctx, nil, add, "rev-list", "--objects", "--indexed-objects")
		}
	}
	if err := errors.Join(err, w.close()); err != nil {
		return err
	}
	if w.n == 0 {
		return nil
	}
	_, err = r.pack(ctx, file, c.k.Stage, c.shadow)
	return err
}

// format reads the object format from the repository's configuration, and
// refuses what cannot be captured whole.
func (c *capture) format(ctx context.Context) (string, error) {
	format := "sha1"
	err := settings(ctx, filepath.Join(c.src, "config"), func(line string) error {
		key, value, _ := strings.Cut(line, "=")
		switch key := strings.ToLower(key); {
		case key == "extensions.objectformat":
			format = value
		case key == "extensions.refstorage" && value != "files":
			return refused("its refs are stored as %s, which is not supported yet", value)
		case key == "extensions.partialclone", strings.HasPrefix(key, "remote.") && strings.HasSuffix(key, ".promisor") && value == "true":
			return refused("it is a partial clone: objects of it are on its remote alone")
		}
		return nil
	})
	if errors.As(err, new(*RefusedError)) {
		return "", err
	}
	if err != nil {
		return "", refused("its configuration cannot be read: %s", err)
	}
	return format, nil
}
