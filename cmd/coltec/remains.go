package main

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/wholefile"
)

// remains notes on this host what was in a folder that is being removed, when the bucket had
// all of it: a removal that fails midway leaves a part of that, and no container to ask again.
type remains struct {
	folder string // a path without links
	note   string // the file
}

// remainsLimit is, in bytes, that of a folder of four million files.
const remainsLimit = 32 << 20

// remainsAge is for how long that counts: the bucket may be another one later, and nobody asks it.
const remainsAge = 24 * time.Hour

// remains is where the note of a folder is.
func (v environment) remains(folder string) (remains, error) {
	store, err := v.records()
	if err == nil {
		err = store.Apart(folder)
	}
	sum := sha256.Sum256([]byte(folder))
	return remains{folder, filepath.Join(filepath.Dir(string(store)), "removals", fmt.Sprintf("%x", sum[:16]))}, err
}

// write notes what is there now.
func (r remains) write() error {
	there, err := r.look()
	if err != nil {
		return err
	}
	var b []byte
	for _, mark := range slices.Sorted(maps.Keys(there)) {
		b = binary.BigEndian.AppendUint64(b, mark)
	}
	if err := os.MkdirAll(filepath.Dir(r.note), 0o700); err != nil {
		return err
	}
	return wholefile.Write(r.note, b, 0o600, wholefile.Volatile)
}

// only reports whether the folder has nothing but what was noted, within the last day.
func (r remains) only() bool {
	info, err := os.Lstat(r.note)
	if err != nil || time.Since(info.ModTime()).Abs() > remainsAge {
		return false
	}
	b, err := wholefile.Read(r.note, remainsLimit)
	if err != nil {
		return false
	}
	noted := map[uint64]bool{}
	for ; len(b) >= 8; b = b[8:] {
		noted[binary.BigEndian.Uint64(b)] = true
	}
	there, err := r.look()
	if err != nil {
		return false
	}
	for mark := range there {
		if !noted[mark] {
			return false
		}
	}
	return true
}

// forget removes the note.
func (r remains) forget() error {
	if err := os.Remove(r.note); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// look gives a mark for each file in the folder: of its name, size and time. An owner or a mode
// may change until the next call, as who could not remove a file has to.
func (r remains) look() (map[uint64]bool, error) {
	root, err := os.OpenRoot(r.folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	marks := map[uint64]bool{}
	mark := func(name string, of ...any) {
		sum := sha256.Sum256([]byte(name + "\x00" + fmt.Sprint(of...)))
		marks[binary.BigEndian.Uint64(sum[:])] = true
	}
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrPermission):
			mark(name, "closed") // what is in it may be new once it is open
			return nil
		case err != nil || d.IsDir():
			return err
		}
		info, err := d.Info()
		if err == nil {
			mark(name, info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	return marks, err
}
