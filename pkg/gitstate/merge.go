package gitstate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/area"
)

// KeptRefs is where values of refs are kept that lost their name to the remote
// side's: refs/coltec/ENV/UTC/NAME, NAME being the ref without "refs/".
const KeptRefs = "refs/coltec/"

const keptStamp = "20060102T150405.000Z"

// side is a repository as one of three sides of a merge.
type side struct {
	src     source
	files   listing
	refs    map[string]string // without the stash, whose log is what counts
	damaged []string          // refs that lead to nothing
}

func readSide(src source, l listing) (*side, error) {
	refs, damaged, err := readRefs(src, l)
	if err != nil {
		return nil, err
	}
	delete(refs, stashRef)
	return &side{src, l, refs, damaged}, nil
}

// readCopy reads a shadow as a side.
func readCopy(dir string) (*side, error) {
	l, err := list(dir)
	if err != nil {
		return nil, err
	}
	return readSide(source{dir: dir}, l)
}

const (
	stashRef = "refs/stash"
	stashLog = "logs/refs/stash"
)

// file gives the path of a file of the side.
func (s *side) file(path string) string { return s.src.file(path) }

// format is that of the side's objects, as the names in it tell.
func (s *side) format() string {
	if len(s.head("")) == 64 {
		return "sha256"
	}
	for _, oid := range s.refs {
		if len(oid) == 64 && isOID(oid) {
			return "sha256"
		}
	}
	return "sha1"
}

// read gives the content of a file of the side; nil when there is none. A link
// is its target, and of what is not text of git's there is the hash.
func (s *side) read(path string) []byte {
	if s == nil {
		return nil
	}
	if f := s.files.find(path); f != nil && f.link {
		target, _ := os.Readlink(s.file(path))
		return []byte("-> " + target)
	}
	f, err := s.src.open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, textMost+1))
	if err != nil {
		return nil
	}
	if len(body) <= textMost {
		return body
	}
	sum := sha256.New()
	sum.Write(body)
	if _, err := io.Copy(sum, f); err != nil {
		return nil
	}
	return sum.Sum(nil)
}

// merge joins what arrived with the repository here. What both sides have, or
// only one of them changed, is clear. Where both changed, the remote side keeps
// the name, as it does for files, and nothing of the local one is lost: refs
// are kept under KeptRefs, files where the keeper is told to.
//
// Objects come first, then the refs that keep what would be lost, then all
// else: cut off at any point, nothing is missing, and it can be done again.
func (k *Keeper) merge(ctx context.Context, a Arrival, m mark) error {
	local, err := k.localSide(a.Dir)
	if err != nil {
		return err
	}
	src := local.src
	if err := k.moved(a.From, m.Root); err != nil { // they are compared with ours
		return err
	}
	remote, err := readCopy(a.From)
	if err != nil {
		return err
	}
	base, err := k.base(a)
	if err != nil {
		return err
	}
	format, err := k.common(ctx, a, src)
	if err != nil {
		return err
	}
	git, err := k.scratchGit("joining.git", format, src.file("objects"))
	if err != nil {
		return err
	}
	j := &joining{
		k: k, a: a, base: base, local: local, remote: remote, git: git, format: format,
		stamp: k.Now().UTC().Format(keptStamp), held: src.held(),
		refs: map[string]string{}, kept: map[string]string{}, takes: map[string]word{}, logs: map[string][]byte{},
	}
	shallow, err := j.shallow(ctx)
	if err != nil {
		return err
	}
	if err := linkPacks(a.From, src); err != nil {
		return err
	}
	if !bytes.Equal(shallow, local.read("shallow")) {
		if err := j.replace("shallow", shallow, 0o644); err != nil {
			return err
		}
	}
	if err := k.area().Write(filepath.Join(git.dir, "shallow"), shallow, 0o644); err != nil {
		return err
	}
	if len(shallow) == 0 {
		if err := src.remove("shallow"); err != nil {
			return err
		}
	}
	pointLinked.Reach()
	return j.run(ctx)
}

// common is the object format that both sides have.
func (k *Keeper) common(ctx context.Context, a Arrival, here source) (string, error) {
	mine, err := layoutOf(ctx, here)
	if err != nil {
		return "", err
	}
	theirs, err := k.arrivalFormat(ctx, a)
	if err == nil && mine.objects != theirs {
		err = refused("its objects have names of %s here, and of %s elsewhere: move one of the repositories aside", mine.objects, theirs)
	}
	return theirs, err
}

// base is the side that both last agreed on; nil where that is not known.
func (k *Keeper) base(a Arrival) (*side, error) {
	switch {
	case a.Agreed:
		return readCopy(filepath.Join(k.Shadow, a.Dir))
	case a.Base == "":
		return nil, nil
	}
	m, err := readMark(a.Base)
	if err == nil {
		err = k.moved(a.Base, m.Root)
	}
	if err != nil {
		return nil, err
	}
	return readCopy(a.Base)
}

// localSide reads the repository here, in which git can work.
func (k *Keeper) localSide(dir string) (*side, error) {
	src, err := k.carried(dir)
	if err != nil {
		return nil, err
	}
	if err := src.check(); err != nil {
		return nil, refused("what is here is left as it is: %s", err)
	}
	now, err := src.list()
	if err == nil {
		err = now.usable()
	}
	if err != nil {
		return nil, err
	}
	if err := askable(src.file("objects")); err != nil {
		return nil, err
	}
	if k.Now().Sub(now.lock) < lockYoung {
		return nil, ErrBusy
	}
	return readSide(src, now)
}

// joining is one merge.
type joining struct {
	k                   *Keeper
	a                   Arrival
	base, local, remote *side   // base is nil where nothing is agreed
	git                 *runner // sees the objects that are here
	format              string  // of the objects
	stamp               string
	held                map[string]bool // branches that other working trees here have checked out

	refs  map[string]string // as they shall be; the stash is apart
	kept  map[string]string // refs under KeptRefs that shall be made
	takes map[string]word   // of working trees, "" for the main one
	logs  map[string][]byte // of the local side, as they were: git adds to them
}

// word is a decision on something that both sides may have.
type word int

const (
	ours   word = iota // the local version counts
	theirs             // the remote one
	both               // the remote one, while the local one is to be kept too
)

func (j *joining) run(ctx context.Context) error {
	if err := j.joinable(); err != nil {
		return err
	}
	for i := range j.local.files.items {
		if path := j.local.files.items[i].path; isLog(path) {
			j.logs[path] = j.local.read(path)
		}
	}
	for _, tree := range j.trees() {
		take, err := j.takesTree(ctx, tree)
		if err != nil {
			return err
		}
		j.takes[tree] = take
	}
	if err := j.mergeRefs(ctx); err != nil {
		return err
	}
	for _, tree := range j.trees() {
		if j.takes[tree] == both {
			if err := j.keepTree(ctx, tree); err != nil {
				return err
			}
		}
	}
	if err := j.rooted(ctx); err != nil {
		return err
	}
	if err := j.writeRefs(); err != nil {
		return err
	}
	pointRefs.Reach()
	for _, tree := range j.trees() {
		if j.takes[tree] != ours {
			if err := j.writeTree(tree); err != nil {
				return err
			}
		}
	}
	pointTrees.Reach()
	if err := j.mergeLogs(ctx); err != nil {
		return err
	}
	return j.mergeFiles(ctx)
}

// decided says whose version of something counts. nil stands for none.
func (j *joining) decided(base, local, remote []byte) word {
	same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	switch {
	case same(local, remote), j.base == nil && remote == nil:
		return ours
	case j.base == nil && local == nil:
		return theirs
	case j.base == nil:
		return both
	case same(base, local):
		return theirs
	case same(base, remote): // also what was removed here
		return ours
	case local == nil:
		return theirs
	case remote == nil:
		return ours
	}
	return both
}

// decidedOf is decided for a ref, or for its log. A branch that another working tree has
// checked out is not moved under it: it would show changes that nobody made.
func (j *joining) decidedOf(ref string, base, local, remote []byte) word {
	word := j.decided(base, local, remote)
	if word == theirs && local != nil && j.held[ref] {
		return ours
	}
	return word
}

// trees lists the working trees of both sides: "" for the main one, else
// "worktrees/NAME/".
func (j *joining) trees() []string {
	found := map[string]bool{"": true}
	for _, s := range []*side{j.local, j.remote} {
		for i := range s.files.items {
			if name, rest, ok := cutTree(s.files.items[i].path); ok && rest != "" {
				found["worktrees/"+name+"/"] = true
			}
		}
	}
	return sortedKeys(found)
}

func cutTree(path string) (name, rest string, ok bool) {
	below, ok := strings.CutPrefix(path, "worktrees/")
	name, rest, _ = strings.Cut(below, "/")
	return name, rest, ok
}

// ofTree says that a file belongs to a working tree's state: what is checked
// out there, staged, and under way. Of a linked one that is all of its files
// but the logs.
func ofTree(tree, path string) bool {
	rest, ok := strings.CutPrefix(path, tree)
	if !ok || strings.HasPrefix(rest, "logs/") {
		return false
	}
	if tree != "" {
		return true
	}
	base, _, _ := strings.Cut(rest, "/")
	switch base {
	case "HEAD", "index", "rebase-merge", "rebase-apply", "sequencer":
		return true
	case "FETCH_HEAD":
		return false
	}
	return strings.HasPrefix(base, "sharedindex.") || strings.HasPrefix(base, "MERGE_") || strings.HasPrefix(base, "BISECT_") ||
		base == "AUTO_MERGE" || base == "SQUASH_MSG" || base == "COMMIT_EDITMSG" || strings.HasSuffix(base, "_HEAD") ||
		strings.HasPrefix(rest, "refs/bisect/") || strings.HasPrefix(rest, "refs/worktree/") || strings.HasPrefix(rest, "refs/rewritten/")
}

// fleeting files tell of what was done last; that one differs is not a change of
// what is checked out.
func fleeting(path string) bool {
	switch filepath.Base(path) {
	case "ORIG_HEAD", "COMMIT_EDITMSG", "FETCH_HEAD":
		return true
	}
	return false
}

// treeState says what a working tree of a side is, so that equal states are
// equal; nil when the side has none.
func (j *joining) treeState(ctx context.Context, s *side, tree string) ([]byte, error) {
	if s == nil {
		return nil, nil
	}
	var state []byte
	for i := range s.files.items {
		path := s.files.items[i].path
		if !ofTree(tree, path) || fleeting(path) {
			continue
		}
		body := s.read(path)
		if path == tree+"index" {
			listed, err := j.staged(ctx, s, path)
			if err != nil {
				return nil, err
			}
			body = listed
		}
		state = fmt.Appendf(state, "%s %d\n%s\n", path, len(body), body)
	}
	if state == nil {
		return nil, nil
	}
	return fmt.Appendf(state, "%s\n", s.head(tree)), nil
}

// head is the commit that is checked out, "" for none.
func (s *side) head(tree string) string {
	value := strings.TrimSpace(string(s.read(tree + "HEAD")))
	if ref, ok := strings.CutPrefix(value, "ref: "); ok {
		return s.refs[ref]
	}
	return value
}

// branch is the ref that is checked out, "" for none.
func (s *side) branch(tree string) string {
	ref, ok := strings.CutPrefix(strings.TrimSpace(string(s.read(tree+"HEAD"))), "ref: ")
	if !ok {
		return ""
	}
	return ref
}

// staged lists what an index has, without what it knows of the files' times.
func (j *joining) staged(ctx context.Context, s *side, path string) ([]byte, error) {
	var out []byte
	r, err := j.reading(s, path)
	if err != nil {
		return nil, err
	}
	err = r.run(ctx, nil, func(line string) error {
		out = append(append(out, line...), 0)
		return nil
	}, "ls-files", "--stage", "-v", "--full-name", "-z")
	return out, err
}

// reading is a git that reads an index of a side with the objects that are here.
func (j *joining) reading(s *side, index string) (*runner, error) {
	r, err := j.k.scratchGit("reading.git", j.format, j.local.file("objects"))
	if err != nil {
		return nil, err
	}
	for i := range s.files.items {
		if path := s.files.items[i].path; filepath.Dir(path) == filepath.Dir(index) && strings.HasPrefix(filepath.Base(path), "sharedindex.") {
			if err := s.src.copy(j.k.area(), path, filepath.Join(r.dir, filepath.Base(path))); err != nil {
				return nil, err
			}
		}
	}
	r.index = s.file(index)
	return r, nil
}

// takesTree says whether a working tree becomes the remote side's.
func (j *joining) takesTree(ctx context.Context, tree string) (word, error) {
	var states [3][]byte
	for i, s := range []*side{j.base, j.local, j.remote} {
		var err error
		if states[i], err = j.treeState(ctx, s, tree); err != nil {
			return ours, err
		}
	}
	word := j.decided(states[0], states[1], states[2])
	if word != both || j.base == nil || j.local.branch(tree) != j.remote.branch(tree) {
		return word, nil
	}
	// What was joined before, in a run that was cut off, may have gone on.
	mine, theirs := j.local.head(tree), j.remote.head(tree)
	if isOID(mine) && isOID(theirs) && mine != theirs {
		ahead, err := j.ancestor(ctx, theirs, mine)
		if err != nil || ahead {
			return ours, err
		}
	}
	return word, nil
}

// keepTree keeps what the local side of a working tree has that the remote one
// would hide: the commit that was checked out, and what was staged.
func (j *joining) keepTree(ctx context.Context, tree string) error {
	if j.local.read(tree+"HEAD") == nil {
		return nil
	}
	name := "HEAD"
	if tree != "" {
		name = "worktrees/" + filepath.Base(tree) + "/HEAD"
	}
	head := j.local.head(tree)
	if isOID(head) {
		if err := j.keep(ctx, name, head); err != nil {
			return err
		}
	}
	if j.local.read(tree+"index") == nil {
		return nil
	}
	mine, err := j.staged(ctx, j.local, tree+"index")
	if err != nil {
		return err
	}
	if j.remote.read(tree+"index") != nil {
		theirs, err := j.staged(ctx, j.remote, tree+"index")
		if err != nil || bytes.Equal(mine, theirs) {
			return err
		}
	}
	if j.base != nil && j.base.read(tree+"index") != nil {
		before, err := j.staged(ctx, j.base, tree+"index")
		if err != nil || bytes.Equal(mine, before) {
			return err
		}
	}
	return j.keepIndex(ctx, tree, name, head)
}

// keepIndex keeps what is staged as a commit of its own.
func (j *joining) keepIndex(ctx context.Context, tree, name, head string) error {
	r, err := j.reading(j.local, tree+"index")
	if err != nil {
		return err
	}
	copied := filepath.Join(r.dir, "index")
	if err := j.local.src.copy(j.k.area(), tree+"index", copied); err != nil {
		return err
	}
	r.index, r.env = copied, []string{
		"GIT_AUTHOR_NAME=coltecd", "GIT_AUTHOR_EMAIL=coltecd@localhost", "GIT_COMMITTER_NAME=coltecd", "GIT_COMMITTER_EMAIL=coltecd@localhost",
	}
	var written, before string
	first := func(into *string) func(string) error { return func(line string) error { *into = line; return nil } }
	if err := r.run(ctx, nil, first(&written), "write-tree"); err != nil {
		return nil // with unmerged paths an index is not a tree; its files are in the working tree
	}
	args := []string{"commit-tree", "-m", "what was staged", written}
	if isOID(head) {
		if err := r.run(ctx, nil, first(&before), "rev-parse", head+"^{tree}"); err != nil {
			return err
		}
		args = append(args, "-p", head)
	}
	if written == before {
		return nil
	}
	var commit string
	if err := r.run(ctx, nil, first(&commit), args...); err != nil {
		return err
	}
	if err := lodge(r.dir, j.local.src); err != nil {
		return err
	}
	return j.keep(ctx, strings.TrimSuffix(name, "HEAD")+"index", commit)
}

// keep has an object kept under a name, unless what the refs shall be reaches
// it.
func (j *joining) keep(ctx context.Context, name, oid string) error {
	there, err := j.git.existing(ctx, []string{oid})
	if err != nil || !there[oid] {
		return err
	}
	var in strings.Builder
	in.WriteString(oid + "\n")
	shall := map[string]bool{}
	for _, value := range j.refs {
		shall[value] = true
	}
	for _, value := range j.kept {
		shall[value] = true
	}
	for _, tree := range j.trees() {
		shall[j.after(tree).head(tree)] = true
	}
	var values []string
	for value := range shall {
		if isOID(value) {
			values = append(values, value)
		}
	}
	known, err := j.git.existing(ctx, values)
	if err != nil {
		return err
	}
	for _, value := range sortedKeys(known) {
		in.WriteString("^" + value + "\n")
	}
	reached := true
	err = j.git.run(ctx, strings.NewReader(in.String()), func(string) error { reached = false; return nil },
		"rev-list", "--max-count=1", "--objects", "--stdin")
	if ended(ctx, err) { // an object is missing: nobody knows, and nothing is lost by keeping
		err, reached = nil, false
	}
	if err == nil && !reached {
		j.kept[KeptRefs+refName(j.k.Env)+"/"+j.stamp+"/"+name] = oid
	}
	return err
}

// refName makes an element of a ref of a text.
func refName(text string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, text)
	if name == "" {
		return "-"
	}
	return name
}

// after is the side that a working tree will be of.
func (j *joining) after(tree string) *side {
	if j.takes[tree] == ours {
		return j.local
	}
	return j.remote
}

// mergeRefs decides what each ref shall be.
func (j *joining) mergeRefs(ctx context.Context) error {
	names := map[string]bool{}
	for _, s := range []*side{j.base, j.local, j.remote} {
		if s != nil {
			for ref := range s.refs {
				names[ref] = true
			}
		}
	}
	out := map[string]bool{} // checked out, so that it goes with the working tree
	for _, tree := range j.trees() {
		out[j.after(tree).branch(tree)] = true
	}
	var lost []string
	for _, ref := range sortedKeys(names) {
		value, loses, err := j.mergeRef(ctx, ref, out[ref])
		if err != nil {
			return err
		}
		if value != "" {
			j.refs[ref] = value
		}
		if loses {
			lost = append(lost, ref)
		}
	}
	for _, ref := range append(lost, j.apart(out)...) {
		value := j.local.refs[ref]
		if value == j.refs[ref] {
			value = j.remote.refs[ref]
		}
		if !isOID(value) {
			continue
		}
		if err := j.keep(ctx, strings.TrimPrefix(ref, "refs/"), value); err != nil {
			return err
		}
	}
	return nil
}

// apart takes refs out that cannot be beside others, where one has the name of a directory of
// the other: the remote side keeps the name, unless what is checked out would lose its branch,
// or a repository that is not the tree's.
func (j *joining) apart(checkedOut map[string]bool) (lost []string) {
	for _, ref := range sortedKeys(j.refs) {
		for _, up := range area.Upwards(filepath.Dir(ref)) {
			if j.refs[up] == "" || j.refs[ref] == "" {
				continue
			}
			loses, stays := ref, up
			if j.remote.refs[ref] != "" {
				loses, stays = up, ref
			}
			if checkedOut[loses] || j.local.src.outside && j.local.src.common != "" {
				loses, stays = stays, loses
			}
			if !checkedOut[loses] { // else both are, and it is refused
				delete(j.refs, loses)
				lost = append(lost, loses)
			}
		}
	}
	return lost
}

// mergeRef decides what one ref shall be, and whether a value of it is to be
// kept under another name.
func (j *joining) mergeRef(ctx context.Context, ref string, checkedOut bool) (value string, loses bool, err error) {
	local, remote := j.local.refs[ref], j.remote.refs[ref]
	bytesOf := func(v string) []byte {
		if v == "" {
			return nil
		}
		return []byte(v)
	}
	var base []byte
	if j.base != nil {
		base = bytesOf(j.base.refs[ref])
	}
	changed := j.decidedOf(ref, base, bytesOf(local), bytesOf(remote))
	if checkedOut {
		for _, tree := range j.trees() {
			if s := j.after(tree); s.branch(tree) == ref {
				other := local
				if s == j.local {
					other = remote
				}
				// A tree that only the other side touched says nothing of its branch, which may
				// have been moved here without it.
				loses := other != "" && other != s.refs[ref] && (j.takes[tree] != theirs || changed == both)
				return s.refs[ref], loses, nil
			}
		}
	}
	switch changed {
	case ours:
		return local, false, nil
	case theirs:
		return remote, false, nil
	}
	if strings.HasPrefix(ref, "refs/remotes/") {
		return local, false, nil // whoever fetched last; a fetch tells anew
	}
	if j.local.src.outside && j.local.src.common != "" && local != "" {
		return local, remote != "", nil // a branch of a repository that is not the tree's stays
	}
	if isOID(local) && isOID(remote) {
		ahead, err := j.ancestor(ctx, remote, local)
		if err != nil || ahead {
			return local, false, err
		}
	}
	return remote, true, nil
}

// ancestor says whether a commit is reachable from another, or a tag: two of the same commit
// are two.
func (j *joining) ancestor(ctx context.Context, old, young string) (bool, error) {
	reached := true
	err := j.git.run(ctx, strings.NewReader(old+"\n^"+young+"\n"), func(string) error { reached = false; return nil },
		"rev-list", "--max-count=1", "--objects", "--filter=tree:0", "--stdin")
	if ended(ctx, err) { // an object is missing: not that anybody knew
		return false, nil
	}
	return reached, err
}

// ended says that git ended by itself, and with an error.
func ended(ctx context.Context, err error) bool {
	return ctx.Err() == nil && errors.As(err, new(*exec.ExitError)) && !errors.Is(err, errStalled)
}

// rooted refuses refs that would lead to nothing here, as they did not where they come from: a
// pack did not come.
func (j *joining) rooted(ctx context.Context) error {
	lacks, from := readMissing(j.a.From), map[string]string{}
	for ref, value := range j.refs {
		if _, known := lacks[value]; isOID(value) && value != j.local.refs[ref] && !known {
			from[value] = ref
		}
	}
	there, err := j.git.existing(ctx, sortedKeys(from))
	if err != nil {
		return err
	}
	for _, oid := range sortedKeys(from) {
		if !there[oid] {
			return refused("what the bucket has of it lacks the object %s, which %s leads to", oid, from[oid])
		}
	}
	return nil
}

// writeRefs makes the refs what they shall be: first what keeps, then what
// goes, then what comes. Where a value is not the one that was decided on, somebody
// else is at work.
func (j *joining) writeRefs() error {
	if err := together(j.refs); err != nil {
		return err
	}
	src := j.local.src
	list, err := src.packedRefs()
	if err != nil {
		return err
	}
	packed, gone := packedIn(list), map[string]string{}
	for _, ref := range sortedKeys(j.kept) {
		if err := src.write(ref, anything, j.kept[ref], packed); err != nil {
			return err
		}
	}
	for ref, old := range j.local.refs {
		if j.refs[ref] == "" && !ofTree("", ref) {
			gone[ref] = old
		}
	}
	if err := src.delete(gone); err != nil {
		return err
	}
	for _, ref := range sortedKeys(j.refs) {
		value, old := j.refs[ref], j.local.refs[ref]
		if value == old || ofTree("", ref) {
			continue
		}
		if slices.Contains(j.local.damaged, ref) {
			old = anything
		}
		if err := src.write(ref, old, value, packed); err != nil {
			return err
		}
	}
	return nil
}

// clear makes the way to a file free that is going to be written: a link in the place
// of a directory would lead the file to somebody else's, and a directory with the
// file's name would keep it out. They are kept as any version that loses its name.
func (j *joining) clear(path string) error {
	for _, up := range area.Upwards(filepath.Dir(path)) { // the uppermost first: what is below a link is not of the repository
		if s, err := os.Lstat(j.local.file(up)); needed(up) || err != nil || s.IsDir() {
			continue
		}
		if err := j.keepFile(up); err != nil {
			return err
		}
		if err := j.local.src.remove(up); err != nil {
			return err
		}
	}
	a, file, err := j.local.src.place(path)
	if err != nil {
		return err
	}
	if s, err := os.Lstat(file); err != nil || !s.IsDir() {
		return nil
	}
	for i := range j.local.files.items {
		below := j.local.files.items[i].path
		if _, err := os.Lstat(j.local.file(below)); err != nil || !strings.HasPrefix(below, path+"/") || j.remote.files.find(below) != nil {
			continue
		}
		if base, local := j.base.read(below), j.local.read(below); bytes.Equal(base, local) && base != nil {
			continue // the remote side removed it
		}
		if err := j.keepFile(below); err != nil {
			return err
		}
	}
	return a.RemoveAll(file) // samples of git's may be left in it
}

// replace writes a file of the repository.
func (j *joining) replace(path string, body []byte, mode os.FileMode) error {
	if err := j.clear(path); err != nil {
		return err
	}
	return j.local.src.replace(path, mode, text(body))
}

// bring makes a file of the repository the remote side's; it goes when that has
// none.
func (j *joining) bring(path string) error {
	f, src := j.remote.files.find(path), j.local.src
	if f == nil {
		if j.local.files.find(path) == nil {
			return nil
		}
		return src.remove(path)
	}
	if err := j.clear(path); err != nil {
		return err
	}
	if f.link {
		target, err := os.Readlink(j.remote.file(path))
		if err != nil {
			return err
		}
		a, file, err := src.place(path)
		return errors.Join(err, a.Remove(file), a.Link(target, file))
	}
	in, err := openFile(j.remote.file(path))
	if err != nil {
		return err
	}
	defer in.Close()
	return src.replace(path, f.mode, func(w io.Writer) (bool, error) {
		_, err := io.Copy(w, in)
		return true, err
	})
}

// writeTree makes a working tree's state the remote side's: the index before
// HEAD, so that a cut shows changes and hides none.
func (j *joining) writeTree(tree string) error {
	paths := map[string]bool{}
	for _, s := range []*side{j.local, j.remote} {
		for i := range s.files.items {
			if path := s.files.items[i].path; ofTree(tree, path) {
				paths[path] = true
			}
		}
	}
	head := tree + "HEAD"
	for _, path := range append(slices.DeleteFunc(sortedKeys(paths), func(p string) bool { return p == head }), head) {
		if path != head && bytes.Equal(j.local.read(path), j.remote.read(path)) && j.local.files.find(path) != nil && j.remote.files.find(path) != nil {
			continue
		}
		if err := j.bring(path); err != nil {
			return err
		}
	}
	return nil
}

// mergeFiles merges what is neither a ref, a log nor a working tree's state:
// configuration, hooks, notes of tools.
func (j *joining) mergeFiles(ctx context.Context) error {
	if j.local.src.outside {
		return nil // what it is set up as is not the tree's
	}
	config := j.local.read("config")
	mine, others, err := j.config(ctx, j.local)
	if err != nil {
		return err
	}
	_, theirs, err := j.config(ctx, j.remote)
	if err != nil {
		return err
	}
	paths := map[string]bool{}
	for _, s := range []*side{j.local, j.remote} {
		for i := range s.files.items {
			path := s.files.items[i].path
			if path != "packed-refs" && path != "shallow" && !strings.HasPrefix(path, "refs/") && !isLog(path) &&
				!strings.HasPrefix(path, "worktrees/") && !ofTree("", path) {
				paths[path] = true
			}
		}
	}
	for _, path := range sortedKeys(paths) {
		base, local, remote := j.base.read(path), j.local.read(path), j.remote.read(path)
		d := j.decided(base, local, remote)
		if d == ours || path == "FETCH_HEAD" || d == both && derived(path) {
			continue
		}
		if d == both && path != "description" && !within(lines(local), lines(remote)) && !(path == "config" && within(others, theirs)) {
			if err := j.keepFile(path); err != nil {
				return err
			}
		}
		if path == "config" && remote != nil {
			err = j.bringConfig(ctx, config, mine)
		} else {
			err = j.bring(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// derived says that git makes a file from others, for those who fetch without git: that
// it differs is not the work of anybody's.
func derived(path string) bool { return path == "info/refs" }

// config reads a side's configuration: the remotes that it names, with their
// keys, and all other settings, one a line.
func (j *joining) config(ctx context.Context, s *side) (remotes map[string][][2]string, others []string, err error) {
	remotes = map[string][][2]string{}
	err = settings(ctx, s.file("config"), func(line string) error {
		key, value, _ := strings.Cut(line, "=")
		if i := strings.LastIndexByte(key, '.'); strings.HasPrefix(key, "remote.") && i > len("remote.") {
			remotes[key[:i]] = append(remotes[key[:i]], [2]string{key, value})
		} else {
			others = append(others, line)
		}
		return nil
	})
	return remotes, others, err
}

func lines(text []byte) []string { return strings.Split(string(text), "\n") }

// within says that each line of some is in all.
func within(some, all []string) bool {
	known := map[string]bool{}
	for _, line := range all {
		known[strings.TrimSpace(line)] = true
	}
	return !slices.ContainsFunc(some, func(line string) bool { return !known[strings.TrimSpace(line)] })
}

// keepFile keeps the local version of a file where the keeper is told to.
func (j *joining) keepFile(path string) error {
	if j.k.Kept == nil {
		return refused("%s differs on both sides", path)
	}
	to := filepath.Join(j.k.Kept(), j.a.Dir, path)
	return errors.Join(j.k.area().Remove(to), j.local.src.copy(j.k.area(), path, to))
}

// bringConfig makes the configuration the remote side's, with the remotes that only the
// local side had, unless it is not the one any more that these were read from.
func (j *joining) bringConfig(ctx context.Context, read []byte, mine map[string][][2]string) error {
	body, err := readFile(j.remote.file("config"), textMost)
	if err != nil {
		return err
	}
	theirs, _, err := j.config(ctx, j.remote)
	if err != nil {
		return err
	}
	var before map[string][][2]string
	if j.base != nil {
		if before, _, err = j.config(ctx, j.base); err != nil {
			return err
		}
	}
	var add [][2]string
	for _, name := range sortedKeys(mine) {
		if theirs[name] == nil && before[name] == nil { // else it is there, or the other side removed it
			add = append(add, mine[name]...)
		}
	}
	if body, err = j.configured(ctx, body, add); err != nil {
		return err
	}
	if err := j.clear("config"); err != nil {
		return err
	}
	return j.local.src.replace("config", j.remote.files.find("config").mode, func(w io.Writer) (bool, error) {
		if !bytes.Equal(j.local.read("config"), read) {
			return true, ErrBusy
		}
		return text(body)(w)
	})
}

// configured is a configuration with more settings.
func (j *joining) configured(ctx context.Context, body []byte, add [][2]string) ([]byte, error) {
	if len(add) == 0 {
		return body, nil
	}
	file := filepath.Join(j.git.dir, "theirs")
	if err := j.k.area().Write(file, body, 0o600); err != nil {
		return nil, err
	}
	for _, pair := range add {
		if err := j.git.run(ctx, nil, nil, "config", "--file", filepath.Base(file), "--add", pair[0], pair[1]); err != nil {
			return nil, err
		}
	}
	return readFile(file, textMost)
}
