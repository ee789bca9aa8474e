package gitstate

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/coltec/coltec/pkg/area"
	"golang.org/x/sys/unix"
)

// refresh brings what an index says of files that have been placed anew up to date,
// where they have what is staged as it is. Git would have filters and monitors of the
// repository's tell: what is another file for them it finds out when it is asked next.
func (k *Keeper) refresh(ctx context.Context, src source, index, top string) {
	below, err := filepath.Rel(k.Root, top)
	if err != nil || k.straight(below) != nil {
		return
	}
	if s, err := os.Lstat(top); err != nil || !s.IsDir() {
		return
	}
	body, err := readFile(src.file(index), textMost)
	if err != nil {
		return
	}
	files, err := os.OpenRoot(top)
	if err != nil {
		return
	}
	defer files.Close()
	width := 20
	if format, _ := (&capture{k: k, src: src}).format(ctx); format == "sha256" {
		width = 32
	}
	now, changed := refreshed(ctx, body, width, files)
	if !changed {
		return
	}
	mode := fs.FileMode(0o644)
	if s, err := os.Stat(src.file(index)); err == nil {
		mode = s.Mode().Perm()
	}
	// Nothing depends on it: where git is at work it does the same.
	_ = src.replace(index, mode, func(w io.Writer) (bool, error) {
		if again, err := readFile(src.file(index), textMost); err != nil || !bytes.Equal(again, body) {
			return true, ErrBusy
		}
		return text(now)(w)
	})
}

// refreshed gives an index with the stat of the files that have what is staged.
func refreshed(ctx context.Context, index []byte, width int, files *os.Root) (out []byte, changed bool) {
	out = bytes.Clone(index)
	r := refresher{top: files, width: width}
	defer r.leave()
	known := eachIn(out, width, func(e indexEntry) {
		if ctx.Err() == nil && r.refresh(e) {
			changed = true
		}
	})
	if !known || !changed || ctx.Err() != nil {
		return nil, false
	}
	sum := out[len(out)-width:]
	if len(bytes.Trim(sum, "\x00")) > 0 { // else git was told to leave it out
		h := newHash(width)
		h.Write(out[:len(out)-width])
		copy(sum, h.Sum(nil))
	}
	return out, true
}

func newHash(width int) hash.Hash {
	if width == sha256.Size {
		return sha256.New()
	}
	return sha1.New()
}

// refresher looks at the files that an index has, which are sorted: most are in the same
// directory as the one before.
type refresher struct {
	top   *os.Root
	width int
	dir   string
	in    *os.Root // nil for a directory that is none, or behind a link
}

func (r *refresher) leave() {
	if r.in != nil && r.in != r.top {
		r.in.Close()
	}
	r.in = nil
}

// enter gives the directory that a file is in; nil where there is none.
func (r *refresher) enter(dir string) *os.Root {
	switch {
	case dir == ".":
		return r.top
	case dir == r.dir:
		return r.in
	}
	r.leave()
	r.dir = dir
	if filepath.IsLocal(dir) && area.Straight(r.top, dir) == nil {
		r.in, _ = r.top.OpenRoot(dir)
	}
	return r.in
}

// refresh gives an entry the stat of its file, where that has what is staged. It says
// whether the entry is another now.
func (r *refresher) refresh(e indexEntry) bool {
	dir, name := filepath.Split(string(e.name))
	at := statSize + 4 + ownerSize + r.width
	if !e.looked(at) || name == "" {
		return false
	}
	files := r.enter(filepath.Clean(dir))
	if files == nil {
		return false
	}
	info, err := files.Lstat(name)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || e.mode() != modeOf(info.Mode()) {
		return false
	}
	stat := statOf(st)
	if bytes.Equal(stat[:statSize], e.fixed[:statSize]) && bytes.Equal(stat[statSize:], e.fixed[statSize+4:][:ownerSize]) {
		return false
	}
	if !bytes.Equal(blobOf(files, name, info, r.width), e.fixed[at-r.width:at]) {
		return false
	}
	copy(e.fixed, stat[:statSize])
	copy(e.fixed[statSize+4:], stat[statSize:])
	return true
}

// looked says whether an entry is one whose file git looks at; at is where its flags are.
func (e indexEntry) looked(at int) bool {
	flags, more := binary.BigEndian.Uint16(e.fixed[at:]), uint16(0)
	if flags&moreFlags != 0 {
		more = binary.BigEndian.Uint16(e.fixed[at+2:])
	}
	return flags&(valid|stage) == 0 && more&(skipWorkTree|intentToAdd) == 0
}

func (e indexEntry) mode() uint32 { return binary.BigEndian.Uint32(e.fixed[statSize:]) }

// modeOf is the mode that git stages a file with; 0 for what it does not stage.
func modeOf(mode fs.FileMode) uint32 {
	switch {
	case mode&fs.ModeSymlink != 0:
		return 0o120000
	case !mode.IsRegular():
		return 0
	case mode&0o100 != 0:
		return 0o100755
	}
	return 0o100644
}

// statOf is what an entry says of a file's stat, mode apart.
func statOf(st *syscall.Stat_t) []byte {
	var b []byte
	for _, n := range []int64{st.Ctim.Sec, st.Ctim.Nsec, st.Mtim.Sec, st.Mtim.Nsec, int64(st.Dev), int64(st.Ino), int64(st.Uid), int64(st.Gid), st.Size} {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return b
}

// blobOf is the name that the content of a file has as an object; nil for one that changes.
func blobOf(files *os.Root, name string, info fs.FileInfo, width int) []byte {
	h := newHash(width)
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := files.Readlink(name)
		if err != nil {
			return nil
		}
		fmt.Fprintf(h, "blob %d\x00%s", len(target), target)
		return h.Sum(nil)
	}
	f, err := files.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	if now, err := f.Stat(); err != nil || !os.SameFile(now, info) || !now.Mode().IsRegular() {
		return nil
	}
	fmt.Fprintf(h, "blob %d\x00", info.Size())
	if n, err := io.Copy(h, io.LimitReader(f, info.Size()+1)); err != nil || n != info.Size() {
		return nil
	}
	return h.Sum(nil)
}
