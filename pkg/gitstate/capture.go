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

	"github.com/coltec/coltec/pkg/area"
	"github.com/coltec/coltec/pkg/wholefile"
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
//
// A [PartialError] says that it is what the repository is now but for some of it.
func (k *Keeper) Capture(ctx context.Context, dir string) (changed bool, err error) {
	src, err := k.carried(dir)
	if err != nil {
		return false, err
	}
	if err := src.check(); err != nil {
		return false, err
	}
	now, err := src.list()
	if err != nil {
		return false, unreadable(err)
	}
	if err := now.usable(); err != nil {
		return false, err
	}
	if was, ok := k.seen[dir]; ok && was.same(now) && k.Whole(dir) && !k.returned(dir, src) {
		return false, k.partial[dir]
	}
	for range tries {
		if k.Now().Sub(now.lock) < lockYoung {
			return false, ErrBusy
		}
		c := &capture{k: k, dir: dir, src: src, shadow: filepath.Join(k.Shadow, dir), now: now, was: k.seen[dir]}
		err = c.read()
		again, listErr := src.list()
		if listErr != nil {
			return false, unreadable(listErr)
		}
		if err == nil && again.same(now) {
			if changed, err = c.publish(ctx); err != nil {
				return changed, err
			}
			k.seen[dir] = now
			return changed, k.remember(dir, c)
		}
		if err != nil && again.same(now) {
			return false, unreadable(err)
		}
		now = again
	}
	return false, ErrBusy
}

// unreadable says why a repository cannot be captured.
func unreadable(err error) error {
	if errors.As(err, new(*RefusedError)) {
		return err
	}
	return fmt.Errorf("cannot read it: %w", err)
}

// check says why a repository cannot be captured at all.
func (s source) check() error {
	objects := s.file("objects")
	if l, err := os.Lstat(objects); err == nil && l.Mode()&fs.ModeSymlink != 0 && !mayLead(filepath.Dir(objects), objects) {
		return foreign("objects", objects)
	}
	if s.common == "" {
		return whyNone(s.dir)
	}
	if head, err := os.Stat(filepath.Join(s.dir, "HEAD")); err != nil || !head.Mode().IsRegular() {
		return refused("it is a working tree whose git directory, %s, is damaged: it has no HEAD", s.dir)
	}
	return whyNone(s.common)
}

// remember keeps what is to be said of a repository until it is another.
func (k *Keeper) remember(dir string, c *capture) error {
	delete(k.partial, dir)
	var parts []string
	for _, o := range c.now.odd {
		parts = append(parts, fmt.Sprintf("%s is %s, not a file", o.path, o.kind))
	}
	for _, ref := range sortedKeys(c.damaged) {
		parts = append(parts, fmt.Sprintf("the ref %s is damaged: git fsck says more", ref))
	}
	parts = append(parts, c.broken...)
	if n := len(c.missing); n > 0 {
		oid := sortedKeys(c.missing)[0]
		text := fmt.Sprintf("the object %s", oid)
		if from := c.missing[oid]; from != "" {
			text += ", reached from " + from + ","
		}
		if n > 1 {
			text += fmt.Sprintf(" and %d more", n-1)
		}
		parts = append(parts, text+" is missing or damaged")
		k.signs[dir] = sign(c.src, c.missing)
	}
	if len(parts) == 0 {
		return nil
	}
	k.partial[dir] = &PartialError{parts, c.here || c.unreadable()}
	return k.partial[dir]
}

// Nested lists the repositories in the git directory of another: those of its
// submodules. One that a link leads back to is no other.
func (k *Keeper) Nested(dir string) ([]string, error) { return k.nested(dir, nil) }

// nested is Nested below the real places of the repositories around.
func (k *Keeper) nested(dir string, around []string) ([]string, error) {
	real, err := filepath.EvalSymlinks(filepath.Join(k.Root, dir))
	if err == nil && slices.Contains(around, real) {
		return nil, errLoop
	}
	around = append(slices.Clone(around), real)
	s, err := os.Stat(filepath.Join(k.Root, dir))
	if err != nil || !s.IsDir() { // a file that leads elsewhere is not a path to what is there
		return nil, err
	}
	src, err := k.source(dir)
	if err != nil {
		return nil, err
	}
	l, err := src.list()
	var out []string
	for _, below := range l.nested {
		more, err := k.nested(filepath.Join(dir, below), around)
		if errors.Is(err, errLoop) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(append(out, filepath.Join(dir, below)), more...)
	}
	return out, err
}

// errLoop says that a link leads to a repository that is around it.
var errLoop = errors.New("a link leads back to it")

// capture is one reading of a repository.
type capture struct {
	k        *Keeper
	dir      string // below the tree
	src      source
	shadow   string
	now, was listing
	staged   []string // files in the stage that the shadow has not, or otherwise
	gone     []string // files that the shadow has and the repository has no more
	whole    bool     // the shadow was whole: it has all that its state needs

	left    map[string]bool   // branches that this working tree moved, and was switched from
	damaged map[string]bool   // refs that lead to nothing: their last value stays
	broken  []string          // what else could not be read, in words
	here    bool              // some of that has content that is not carried
	missing map[string]string // objects that are not there, or damaged, and from where they are reached
	deep    bool              // some of those that were missing are there now
}

func (c *capture) stage(path string) string { return filepath.Join(c.k.Stage(), "state", path) }

// read copies what differs from the shadow into the stage. The refs go into one
// packed-refs.
func (c *capture) read() error {
	if err := c.k.scratch(); err != nil {
		return err
	}
	c.staged, c.gone, c.damaged = nil, nil, map[string]bool{}
	have := map[string]bool{Mark: true}
	for _, o := range c.now.odd {
		have[o.path] = true // what the shadow has of it stays
	}
	c.whole = c.k.Whole(c.dir)
	old, err := list(c.shadow)
	if err != nil && !absent(err) {
		return err
	}
	if err := c.readRefs(old, have); err != nil {
		return err
	}
	for i := range c.now.items {
		f := &c.now.items[i]
		if f.path == "packed-refs" || strings.HasPrefix(f.path, "refs/") || !c.carriesLog(f.path) {
			continue
		}
		have[f.path] = true
		if was := c.was.find(f.path); c.whole && was != nil && *was == *f {
			continue
		}
		if err := c.take(f); err != nil {
			return err
		}
	}
	for i := range old.items {
		if path := old.items[i].path; !have[path] {
			c.gone = append(c.gone, path)
		}
	}
	return nil
}

// carriesLog says whether a file, if it is a log, is of a ref that is carried.
func (c *capture) carriesLog(path string) bool {
	ref, ok := strings.CutPrefix(path, "logs/")
	return !ok || ref == "HEAD" || c.src.carries(c.src.head(), ref) || c.left[ref]
}

// take copies one file, unless the shadow has the same. What is not a link for us is
// what a link leads to.
func (c *capture) take(f *item) error {
	from, to := c.src.file(f.path), filepath.Join(c.shadow, f.path)
	if !f.link {
		real, err := filepath.EvalSymlinks(from)
		if err != nil {
			return err
		}
		from = real
	}
	if f.path == "config" && c.src.outside {
		return c.takeConfig(f)
	}
	if sameFile(from, to) || isIndex(f.path) && !f.link && sameIndex(from, to, c.width()) {
		return nil
	}
	err := c.copy(f)
	if errors.Is(err, fs.ErrPermission) && !needed(f.path) {
		c.broken = append(c.broken, fmt.Sprintf("%s cannot be read: permission denied", f.path))
		c.here = true
		return nil
	}
	c.staged = append(c.staged, f.path)
	return err
}

// copy brings a file into the stage: the one that was listed, and no other.
func (c *capture) copy(f *item) error {
	if f.link {
		return c.src.copy(c.k.area(), f.path, c.stage(f.path))
	}
	in, err := c.src.open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	now, err := in.Stat()
	if err != nil {
		return err
	}
	if is := itemOf(f.path, now); is.inode != f.inode || is.size != f.size {
		return area.ErrChanged
	}
	return c.k.area().Fill(in, c.stage(f.path))
}

// takeConfig copies the configuration of a repository that lies elsewhere, as it is
// where the repository is in its own working tree.
func (c *capture) takeConfig(f *item) error {
	to := c.stage("config")
	if err := c.copy(f); err != nil {
		return err
	}
	r, err := nowhere()
	if err != nil {
		return err
	}
	r.dir = filepath.Dir(to)
	_ = r.run(context.Background(), nil, nil, "config", "--file", "config", "--unset-all", "core.worktree") // there may be none
	if err := r.run(context.Background(), nil, nil, "config", "--file", "config", "core.bare", "false"); err != nil {
		return err
	}
	if sameFile(to, filepath.Join(c.shadow, "config")) {
		return c.k.area().Remove(to)
	}
	c.staged = append(c.staged, "config")
	return nil
}

// width is that of the names of objects. A wrong guess makes indexes differ that
// do not.
func (c *capture) width() int {
	head, _ := readFile(c.src.file("config"), textMost)
	if bytes.Contains(bytes.ToLower(head), []byte("sha256")) {
		return 32
	}
	return 20
}

// put stages content of our own making, unless the shadow has the same.
func (c *capture) put(path string, body []byte) error {
	if old, err := readFile(filepath.Join(c.shadow, path), textMost); err == nil && bytes.Equal(old, body) {
		return nil
	}
	c.staged = append(c.staged, path)
	return c.k.area().Write(c.stage(path), body, 0o644)
}

// loose says that a ref stays a file of its own: it points to another ref, or
// is one of those that git looks for in a single working tree's files.
func loose(ref, value string) bool {
	return strings.HasPrefix(value, "ref: ") || strings.HasPrefix(ref, "refs/bisect/") ||
		strings.HasPrefix(ref, "refs/worktree/") || strings.HasPrefix(ref, "refs/rewritten/")
}

// readRefs stages the refs. One that is not carried, and that the shadow has, came from
// elsewhere or was checked out here before: left out it would be deleted on all other
// machines. It stays as the shadow has it, with its log: what the repository has under
// that name may be somebody else's. What this working tree left there is its own.
func (c *capture) readRefs(old listing, have map[string]bool) error {
	refs, damaged, err := readRefs(c.src, c.now)
	if err != nil {
		return err
	}
	known, _, _ := readRefs(source{dir: c.shadow}, old) // what cannot be read is made anew
	head, left := c.src.head(), c.src.left()
	c.left = map[string]bool{}
	for _, ref := range damaged {
		if !c.src.carries(head, ref) && known[ref] == "" {
			continue
		}
		c.damaged[ref] = true
		if known[ref] != "" {
			refs[ref] = known[ref]
		}
	}
	for ref, value := range refs {
		switch was := known[ref]; {
		case c.src.carries(head, ref):
		case was == "":
			delete(refs, ref)
			continue
		case value != was && value == left[ref]:
			c.left[ref] = true
		default:
			value = was
			refs[ref] = was
			have["logs/"+ref] = true
		}
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

// packedIn reads git's file of refs.
func packedIn(body []byte) map[string]string {
	refs := map[string]string{}
	for line := range strings.Lines(string(body)) {
		oid, ref, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if ok && isOID(oid) && isRef(ref) {
			refs[ref] = oid
		}
	}
	return refs
}

// readRefs reads the refs of a repository: name → object, or "ref: NAME"; and lists
// those that are neither.
func readRefs(src source, l listing) (refs map[string]string, damaged []string, err error) {
	packed, err := readFile(src.file("packed-refs"), textMost)
	if errors.Is(err, errKind) {
		return nil, nil, refused("packed-refs is %s, not a file: its refs cannot be read", kindAt(src.file("packed-refs")))
	}
	if err != nil && !absent(err) {
		return nil, nil, err
	}
	refs = packedIn(packed)
	for i := range l.items {
		f := &l.items[i]
		if !isRef(f.path) {
			continue
		}
		body, err := readFile(src.file(f.path), smallMost)
		if absent(err) || errors.Is(err, errKind) || errors.Is(err, fs.ErrPermission) || errors.Is(err, wholefile.ErrTooLarge) {
			damaged = append(damaged, f.path)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		value := strings.TrimSpace(string(body))
		if !isOID(value) && !strings.HasPrefix(value, "ref: ") {
			damaged = append(damaged, f.path)
			continue
		}
		refs[f.path] = value
	}
	for _, o := range l.odd {
		if strings.HasPrefix(o.path, "refs/") {
			damaged = append(damaged, o.path)
		}
	}
	return refs, damaged, nil
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
	if err := c.recall(ctx); err != nil {
		return false, err
	}
	if len(c.staged)+len(c.gone) == 0 && !c.deep && c.k.Whole(c.dir) {
		return false, nil
	}
	if err := askable(c.src.file("objects")); err != nil {
		return false, err
	}
	if err := c.packNew(ctx); err != nil {
		return false, err
	}
	pointPacked.Reach()
	if err := c.k.area().Remove(filepath.Join(c.shadow, Mark)); err != nil {
		return false, err
	}
	pointOpened.Reach()
	for _, path := range c.gone { // first: one may be a directory that becomes a link
		if err := c.k.drop(c.shadow, path); err != nil {
			return false, err
		}
	}
	for _, path := range c.staged {
		if err := c.k.area().Place(c.stage(path), c.shadow, path); err != nil {
			return false, err
		}
	}
	if err := c.k.area().Mkdir(filepath.Join(c.shadow, "refs")); err != nil { // git takes it for no repository without
		return false, err
	}
	err := errors.Join(c.writeMissing(), c.k.writeMark(c.shadow))
	pointShadowed.Reach()
	return true, err
}

// drop removes a file of a shadow, and the directories on the way that have nothing else
// in them.
func (k *Keeper) drop(shadow, path string) error {
	err := k.area().Remove(filepath.Join(shadow, path))
	k.area().Prune(shadow, filepath.Join(shadow, filepath.Dir(path)))
	return err
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
	f, err := openFile(file)
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

// splitWords cuts at everything that is not a letter and no digit.
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

func (k *Keeper) newList(file string) (*objectList, error) {
	if err := k.area().Remove(file); err != nil {
		return nil, err
	}
	f, err := k.area().Create(file)
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
	there, err := r.existing(ctx, slices.Concat(sortedKeys(fresh), sortedKeys(remote), sortedKeys(known)))
	t.remote, t.local, t.known = c.kept(remote, there, t.from), c.kept(fresh, there, t.from), c.kept(known, there, nil)
	return t, err
}

// kept are those of some objects that are there. One that is not, and that a ref names, is
// missing; logs name what is gone long since.
func (c *capture) kept(oids, there map[string]bool, from map[string]string) (out []string) {
	for _, oid := range sortedKeys(oids) {
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

// format reads the object format from the repository's configuration, and
// refuses what cannot be captured whole.
func (c *capture) format(ctx context.Context) (string, error) {
	l, err := layoutOf(ctx, c.src)
	if err == nil && l.partial {
		err = refused("it is a partial clone: objects of it are on its remote alone")
	}
	return l.objects, err
}
