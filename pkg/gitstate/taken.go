package gitstate

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// Missing is a file or link that is not in a working tree any more.
type Missing struct {
	Path string            // below the working tree
	Size int64             // of its content; of a link, of its target
	Sum  [sha256.Size]byte // of that
}

// Removal is what git says of files that are missing in a working tree.
type Removal struct {
	// Taken are those that git took away itself: a commit or stash has them as they were,
	// and what is checked out now has not.
	Taken int
	// Untracked are those that git does not track, where what it tracks is there: they
	// were cleaned away.
	Untracked int
}

const (
	commitsMost = 32       // that are looked into for a missing file, the latest first
	contentMost = 1 << 30  // bytes that are read to compare
	indexMost   = 64 << 20 // bytes of names in an index
)

// Copies lists the repositories of which there are copies.
func (k *Keeper) Copies() (dirs []string, err error) {
	err = each(k.Shadow, func(dir string) error {
		dirs = append(dirs, dir)
		return nil
	})
	return dirs, err
}

// Removed says what git has to say of files that are missing in the working tree around
// the git directory at dir, as it was captured last. agreed counts those of some paths
// that were there before and are there now: another repository in the place of this one
// has nothing to say.
func (k *Keeper) Removed(ctx context.Context, dir string, missing []Missing, agreed func(paths map[string]bool) (int, error)) (out Removal, err error) {
	t, err := k.reader(ctx, dir)
	if err != nil {
		return out, err
	}
	tracked, err := t.index(ctx)
	if err != nil {
		return out, err
	}
	wanted, lost := map[string]Missing{}, 0
	for _, m := range missing {
		sparse, staged := tracked[m.Path]
		if staged && !sparse {
			lost++ // it is checked out, and somebody else removed it
			delete(tracked, m.Path)
			continue
		}
		wanted[m.Path] = m
	}
	unstaged := len(wanted)
	if len(wanted) > 0 {
		if out.Taken, err = t.have(ctx, wanted); err != nil {
			return out, err
		}
	}
	there, err := agreed(tracked)
	if there > 0 && there*10 >= (there+lost)*9 && there*2 >= len(tracked) {
		out.Untracked = unstaged - out.Taken
	}
	return out, err
}

// takenReader reads a captured repository.
type takenReader struct {
	*runner
	s    *side
	left int64 // bytes that may still be read
}

// reader makes one. Objects that the shadow did not have to fetch are in the repository.
func (k *Keeper) reader(ctx context.Context, dir string) (*takenReader, error) {
	if !k.Whole(dir) {
		return nil, refused("there is no copy of it")
	}
	src, err := k.source(dir)
	if err != nil {
		return nil, err
	}
	shadow := filepath.Join(k.Shadow, dir)
	s, err := readCopy(shadow)
	if err != nil {
		return nil, err
	}
	if err := k.scratch(); err != nil {
		return nil, err
	}
	format, err := (&capture{k: k, dir: dir, src: src, shadow: shadow, now: s.files}).format(ctx)
	if err != nil {
		return nil, err
	}
	if err := askable(src.file("objects")); err != nil {
		return nil, err
	}
	r, err := k.scratchGit("taken.git", format, filepath.Join(shadow, "objects"), src.file("objects"))
	if err != nil {
		return nil, err
	}
	for i := range s.files.items {
		base := filepath.Base(s.files.items[i].path)
		if s.files.items[i].path == base && (base == "shallow" || strings.HasPrefix(base, "sharedindex.")) {
			if err := s.src.copy(k.area(), base, filepath.Join(r.dir, base)); err != nil {
				return nil, err
			}
		}
	}
	r.index = s.file("index")
	return &takenReader{r, s, contentMost}, nil
}

// index gives what is checked out; true for what a sparse checkout leaves out.
func (t *takenReader) index(ctx context.Context) (map[string]bool, error) {
	tracked := map[string]bool{}
	if _, err := os.Lstat(t.s.file("index")); absent(err) {
		return tracked, nil
	}
	err := t.names(ctx, func(line string) error {
		tag, path, ok := strings.Cut(line, " ")
		if !ok {
			return fmt.Errorf("git ls-files says %q", line)
		}
		tracked[path] = tag == "S"
		return nil
	}, "ls-files", "-t", "-z", "--cached", "--full-name")
	return tracked, err
}

// names runs git and gives what it lists, one name after the other, whatever is in them.
func (t *takenReader) names(ctx context.Context, name func(string) error, args ...string) error {
	var all bytes.Buffer
	first := true
	err := t.run(ctx, nil, func(line string) error {
		if !first {
			all.WriteByte('\n') // it is in a name
		}
		first = false
		all.WriteString(line)
		if all.Len() > indexMost {
			return errors.New("too many names")
		}
		return nil
	}, args...)
	if err != nil {
		return err
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(all.String(), "\x00"), "\x00") {
		if line == "" {
			continue
		}
		if err := name(line); err != nil {
			return err
		}
	}
	return nil
}

// have counts the files that a commit has as they were.
func (t *takenReader) have(ctx context.Context, wanted map[string]Missing) (n int, err error) {
	trees, err := t.trees(ctx)
	if err != nil {
		return 0, err
	}
	for _, oid := range trees {
		if len(wanted) == 0 || t.left <= 0 {
			break
		}
		found, err := t.haveIn(ctx, oid, wanted)
		if err != nil {
			return n, err
		}
		n += found
	}
	return n, nil
}

// trees are those that a missing file may be in, the likeliest first.
func (t *takenReader) trees(ctx context.Context) (trees []string, err error) {
	err = t.run(ctx, strings.NewReader(strings.Join(t.commits(), "^{tree}\n")+"^{tree}\n"), func(line string) error {
		oid, rest, _ := strings.Cut(line, " ")
		if strings.HasPrefix(rest, "tree ") && !slices.Contains(trees, oid) {
			trees = append(trees, oid)
		}
		return nil
	}, "cat-file", "--batch-check", "--buffer")
	return trees, err
}

// commits names those that a missing file may be in: what was checked out before, what was
// stashed (with what was staged and what was not tracked), the branches.
func (t *takenReader) commits() []string {
	out := []string{t.s.head("")}
	log := entries(t.s.read("logs/HEAD"))
	for i := len(log) - 1; i >= 0 && len(out) < commitsMost/2; i-- {
		out = append(out, log[i].now, log[i].old)
	}
	stashes := entries(t.s.read(stashLog))
	for i := len(stashes) - 1; i >= max(0, len(stashes)-3); i-- {
		out = append(out, stashes[i].now, stashes[i].now+"^2", stashes[i].now+"^3")
	}
	out = append(out, strings.TrimSpace(string(t.s.read("ORIG_HEAD"))))
	for _, ref := range slices.Sorted(maps.Keys(t.s.refs)) {
		out = append(out, t.s.refs[ref])
	}
	out = slices.DeleteFunc(out, func(name string) bool {
		oid, _, _ := strings.Cut(name, "^")
		return !isOID(oid) || strings.Trim(oid, "0") == ""
	})
	return out[:min(len(out), commitsMost)]
}

// haveIn counts those that a tree has, and takes them out of what is wanted.
func (t *takenReader) haveIn(ctx context.Context, oid string, wanted map[string]Missing) (n int, err error) {
	blobs := map[string][]string{} // and the paths that they may be at
	err = t.names(ctx, func(line string) error {
		about, path, _ := strings.Cut(line, "\t")
		words := strings.Fields(about) // mode, type, object, size
		m, ok := wanted[path]
		if !ok || len(words) < 4 || words[1] != "blob" || words[3] != strconv.FormatInt(m.Size, 10) || m.Size > t.left {
			return nil
		}
		if len(blobs[words[2]]) == 0 {
			t.left -= m.Size
		}
		blobs[words[2]] = append(blobs[words[2]], path)
		return nil
	}, "ls-tree", "-r", "-l", "-z", "--full-tree", oid)
	if err != nil || len(blobs) == 0 {
		return 0, err
	}
	err = t.sums(ctx, slices.Sorted(maps.Keys(blobs)), func(blob string, sum [sha256.Size]byte) {
		for _, path := range blobs[blob] {
			if wanted[path].Sum == sum {
				delete(wanted, path)
				n++
			}
		}
	})
	return n, err
}

// sums reads blobs and gives the hash of what is in them.
func (t *takenReader) sums(ctx context.Context, blobs []string, each func(blob string, sum [sha256.Size]byte)) error {
	cmd := t.command(ctx, "cat-file", "--batch", "--buffer")
	cmd.Stdin = strings.NewReader(strings.Join(blobs, "\n") + "\n")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	var seen atomic.Int64
	watched := watch(cmd.Process.Pid, seen.Load)
	r := bufio.NewReaderSize(tally{out, &seen}, 64<<10)
	for range blobs {
		if err = readBlob(r, each); err != nil {
			_ = cmd.Cancel()
			break
		}
	}
	err = errors.Join(err, cmd.Wait())
	switch stalled := watched(); {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case stalled:
		return fmt.Errorf("git cat-file: %w", errStalled)
	}
	return err
}

// readBlob reads one answer of git cat-file --batch.
func readBlob(r *bufio.Reader, each func(blob string, sum [sha256.Size]byte)) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	words := strings.Fields(line)
	if len(words) < 3 {
		return nil // it is missing
	}
	size, err := strconv.ParseInt(words[2], 10, 64)
	if err != nil {
		return fmt.Errorf("git cat-file says %q", line)
	}
	hash := sha256.New()
	if _, err := io.CopyN(hash, r, size); err != nil {
		return err
	}
	each(words[0], [sha256.Size]byte(hash.Sum(nil)))
	_, err = r.Discard(1)
	return err
}
