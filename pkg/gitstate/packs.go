package gitstate

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// packIndex is git's index of a pack, version 2, mapped into memory.
type packIndex struct {
	name  string // pack-HASH
	data  []byte
	count int
	width int // bytes of an object's name
}

const idxHeader = 8 + 256*4

// openIndex maps an index. width is 20 for SHA-1, 32 for SHA-256.
func openIndex(file string, width int) (*packIndex, error) {
	f, err := openFile(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if s.Size() < int64(idxHeader+2*width) {
		return nil, fmt.Errorf("%s is cut off", file)
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(s.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	x := &packIndex{name: strings.TrimSuffix(filepath.Base(file), ".idx"), data: data, width: width}
	x.count = int(binary.BigEndian.Uint32(data[idxHeader-4:]))
	if !bytes.HasPrefix(data, []byte{0xff, 't', 'O', 'c', 0, 0, 0, 2}) || int64(x.count)*int64(width+8)+int64(idxHeader+2*width) > s.Size() {
		x.close()
		return nil, fmt.Errorf("%s is not a pack index", file)
	}
	return x, nil
}

func (x *packIndex) close() { _ = unix.Munmap(x.data) }

func (x *packIndex) oid(i int) []byte { return x.data[idxHeader+i*x.width:][:x.width] }

// has says whether the pack has an object.
func (x *packIndex) has(oid []byte) bool {
	low, high := 0, int(binary.BigEndian.Uint32(x.data[8+4*int(oid[0]):]))
	if oid[0] > 0 {
		low = int(binary.BigEndian.Uint32(x.data[8+4*int(oid[0]-1):]))
	}
	high = min(high, x.count)
	for low < high {
		mid := (low + high) / 2
		switch c := bytes.Compare(x.oid(mid), oid); {
		case c == 0:
			return true
		case c < 0:
			low = mid + 1
		default:
			high = mid
		}
	}
	return false
}

// each calls do with the name of each object.
func (x *packIndex) each(do func(oid string) error) error {
	for i := range x.count {
		if err := do(hex.EncodeToString(x.oid(i))); err != nil {
			return err
		}
	}
	return nil
}

// packs are the packs of a shadow.
type packs []*packIndex

// openIndexes maps the indexes of a shadow's packs.
func openIndexes(shadow string, width int) (packs, error) {
	entries, err := os.ReadDir(filepath.Join(shadow, "objects/pack"))
	if err != nil && !absent(err) {
		return nil, err
	}
	var p packs
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".idx" {
			continue
		}
		x, err := openIndex(filepath.Join(shadow, "objects/pack", e.Name()), width)
		if err != nil {
			p.close()
			return nil, err
		}
		p = append(p, x)
	}
	return p, nil
}

// openPacks is openIndexes for a shadow that objects are packed into. A pack
// without an index is none, and is removed.
//
// What the packs have they have with all that it reaches: what is known needs no
// walk. So where one index cannot be used none counts, and all is packed anew.
func (k *Keeper) openPacks(shadow string, width int) (packs, error) {
	p, _ := openIndexes(shadow, width)
	indexed := map[string]bool{}
	for _, x := range p {
		indexed[x.name] = true
	}
	entries, err := os.ReadDir(filepath.Join(shadow, "objects/pack"))
	if absent(err) {
		return nil, nil
	}
	for _, e := range entries {
		if !indexed[strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))] {
			err = errors.Join(err, k.area().RemoveAll(filepath.Join(shadow, "objects/pack", e.Name())))
		}
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// globEscape makes a path literal in a pattern.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

func (p packs) close() {
	for _, x := range p {
		x.close()
	}
}

// has says whether any of the packs has an object, named in hexadecimal.
func (p packs) has(oid string) bool {
	raw, err := hex.DecodeString(oid)
	if err != nil {
		return false
	}
	for _, x := range p {
		if x.width == len(raw) && x.has(raw) {
			return true
		}
	}
	return false
}

// pack makes a pack of the objects listed in file, one "OID [NAME]" a line, and
// puts it into the shadow. Its files appear whole, the index last.
func (k *Keeper) pack(ctx context.Context, r *runner, file, shadow string) (made []string, err error) {
	in, err := openFile(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	args := []string{"pack-objects", "--delta-base-offset", "--non-empty", "--quiet", "pack"} // in the scratch directory
	if r.told != nil {
		args[3] = "--progress"
	}
	err = r.run(ctx, in, func(line string) error {
		made = append(made, "pack-"+line)
		return nil
	}, args...)
	if err != nil {
		return nil, err
	}
	to := filepath.Join(shadow, "objects/pack")
	for _, name := range made {
		for _, suffix := range []string{".pack", ".idx"} {
			if err := k.area().Move(filepath.Join(r.dir, name+suffix), filepath.Join(to, name+suffix)); err != nil {
				return nil, err
			}
		}
	}
	return made, nil
}

// packsMost is how many packs a shadow may have before small ones are joined:
// each is two rows of a manifest, and a look when an object is searched.
const packsMost = 24

// join bounds the number of packs: it makes one of the small ones, so that each
// that stays is at least twice as large as all smaller ones together. A commit
// is so packed again a number of times that grows with the logarithm of the
// history only.
func (k *Keeper) join(ctx context.Context, r *runner, shadow string, all packs) error {
	if len(all) <= packsMost {
		return nil
	}
	var here []*packIndex
	for _, x := range all {
		if _, err := os.Lstat(filepath.Join(shadow, "objects/pack", x.name+".pack")); err == nil {
			here = append(here, x)
		}
	}
	slices.SortFunc(here, func(a, b *packIndex) int { return cmp.Compare(a.count, b.count) })
	n, sum, total := 0, 0, 0
	for i, x := range here {
		if x.count < 2*sum || i == 0 {
			n, total = i+1, sum+x.count
		}
		sum += x.count
	}
	if n < 2 || total == 0 {
		return nil
	}
	file := filepath.Join(k.Stage(), "joined")
	seen := map[string]bool{}
	w, err := k.newList(file)
	if err != nil {
		return err
	}
	for _, x := range here[:n] {
		err := x.each(func(oid string) error {
			if seen[oid] {
				return nil
			}
			seen[oid] = true
			return w.add(oid)
		})
		if err != nil {
			return errors.Join(err, w.close())
		}
	}
	if err := w.close(); err != nil {
		return err
	}
	made, err := k.pack(ctx, r, file, shadow)
	if err != nil {
		return err
	}
	for _, x := range here[:n] {
		if slices.Contains(made, x.name) {
			continue
		}
		base := filepath.Join(shadow, "objects/pack", x.name)
		if err := errors.Join(k.area().Remove(base+".idx"), k.area().Remove(base+".pack")); err != nil {
			return err
		}
	}
	return nil
}
