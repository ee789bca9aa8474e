package replica

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Writers are processes that write one file all the time, each in its own way. What
// they write says by itself whether it is a state that the file had.

func TestMain(m *testing.M) {
	if kind, file, ok := strings.Cut(os.Getenv("COLTEC_TEST_WRITER"), ":"); ok {
		fmt.Fprintln(os.Stderr, kind, writers[kind].write(file))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writer writes a file until it is killed; state says why content is not a state of it.
type writer struct {
	write func(file string) error
	state func(content []byte) error
	// settles says that nearly every look finds a state: it only grows, or is replaced.
	settles bool
}

var writers = map[string]writer{
	"append fast":       {func(f string) error { return appendLines(f, 0) }, lines, true},
	"append each 2 ms":  {func(f string) error { return appendLines(f, 2*time.Millisecond) }, lines, true},
	"append slow":       {func(f string) error { return appendLines(f, 20*time.Millisecond) }, lines, true},
	"append JSON":       {appendJSON, linesOfJSON, true},
	"append directly":   {appendDirectly, words(0), true},
	"in place":          {inPlace, swept, false},
	"in place, grows":   {inPlaceGrowing, counted, false},
	"mapped":            {mapped(false), swept, false},
	"mapped and synced": {mapped(true), swept, false},
	"rename":            {renameSave, exactly, true},
	"truncate":          {truncateSave, uniform, false},
	"copytruncate":      {copyTruncate, rotated, true},
	"append, cut short": {cutShort, regrown, false},
	"holes":             {holes, filled, false},
}

// start runs the writer on a file; it is killed with the test.
func startWriter(t *testing.T, kind, file string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "COLTEC_TEST_WRITER="+kind+":"+file)
	var talk strings.Builder
	cmd.Stderr = &talk
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if talk.Len() > 0 {
			t.Errorf("the writer says: %s", &talk)
		}
	})
}

// line is one of a log: its number tells all of it.
func line(i int) string { return fmt.Sprintf("%08d %s\n", i, strings.Repeat("x", 40+i%50)) }

func appendLines(file string, every time.Duration) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	for i := 0; err == nil; i++ {
		_, err = f.WriteString(line(i))
		if every > 0 {
			time.Sleep(every)
		} else if s, _ := f.Stat(); s.Size() > 20<<20 {
			select {} // enough
		}
	}
	return err
}

// lines is a log from its first line on, the last one perhaps in part.
func lines(b []byte) error { return linesFrom(b, 0) }

// lineOfJSON is one of a session: its number tells all of it. Some are larger than a page.
func lineOfJSON(i int) string {
	return fmt.Sprintf(`{"n":%d,"text":"%s"}`+"\n", i, strings.Repeat(`é\"`, 20+i%7*1000))
}

// appendJSON appends lines of JSON in two pieces, with a pause between them.
func appendJSON(file string) error {
	if err := os.WriteFile(file+".first", []byte(lineOfJSON(0)), 0o644); err != nil {
		return err
	}
	err := os.Rename(file+".first", file) // by its first line it is known what it is
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	for i := 1; err == nil; i++ {
		text := lineOfJSON(i)
		_, err = f.WriteString(text[:len(text)*(i%10)/10])
		time.Sleep(2 * time.Millisecond)
		if err == nil {
			_, err = f.WriteString(text[len(text)*(i%10)/10:])
		}
	}
	return err
}

// linesOfJSON are those of a session from the first one on, each of them whole.
func linesOfJSON(b []byte) error {
	for i := 0; len(b) > 0; i++ {
		text := lineOfJSON(i)
		if !bytes.HasPrefix(b, []byte(text)) {
			return fmt.Errorf("line %d is %.40q, of %d bytes", i, b, len(b))
		}
		b = b[len(text):]
	}
	return nil
}

func linesFrom(b []byte, i int) error {
	for ; len(b) > 0; i++ {
		want := line(i)
		if n := min(len(b), len(want)); string(b[:n]) != want[:n] {
			return fmt.Errorf("line %d is %q", i, b[:n])
		}
		b = b[min(len(b), len(want)):]
	}
	return nil
}

// sector is what direct I/O is aligned to.
const sector = 4096

// aligned is memory for direct I/O.
func aligned(n int) []byte {
	b := make([]byte, n+sector)
	at := int(-uintptr(unsafe.Pointer(&b[0])) & (sector - 1))
	return b[at : at+n]
}

func appendDirectly(file string) error {
	fd, err := unix.Open(file, unix.O_WRONLY|unix.O_CREAT|unix.O_DIRECT, 0o644)
	if err != nil {
		return err
	}
	b := aligned(sector)
	for at := 0; ; at += sector {
		for i := 0; i < sector; i += 8 {
			binary.LittleEndian.PutUint64(b[i:], uint64(at+i))
		}
		if _, err := unix.Pwrite(fd, b, int64(at)); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// words says that each word holds its own place, from one on.
func words(from int) func(b []byte) error {
	return func(b []byte) error {
		for i := from; i+8 <= len(b); i += 8 {
			if got := binary.LittleEndian.Uint64(b[i:]); got != uint64(i) {
				return fmt.Errorf("at %d there is %d", i, got)
			}
		}
		return nil
	}
}

// sweepSize is the size of a file that is written over from its beginning to its end,
// again and again: some hundred pages, so that a reader meets the writer within.
const sweepSize = 512 << 10

func inPlace(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	page := make([]byte, 4096)
	for round := uint64(0); ; round++ {
		for i := 0; i < len(page); i += 8 {
			binary.LittleEndian.PutUint64(page[i:], round)
		}
		for at := int64(0); at < sweepSize; at += int64(len(page)) {
			if _, err := f.WriteAt(page, at); err != nil {
				return err
			}
		}
		if round%16 == 0 {
			time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
		}
	}
}

// mapped does it by stores. With sync the pages are written to the disk now and then.
func mapped(sync bool) func(file string) error {
	return func(file string) error {
		f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		if err := f.Truncate(sweepSize); err != nil {
			return err
		}
		b, err := unix.Mmap(int(f.Fd()), 0, sweepSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return err
		}
		for round := uint64(0); ; round++ {
			for i := 0; i < len(b); i += 8 {
				atomic.StoreUint64((*uint64)(unsafe.Pointer(&b[i])), round)
			}
			if sync && round%64 == 0 {
				if err := unix.Msync(b, unix.MS_SYNC); err != nil {
					return err
				}
			}
			if round%32 == 0 {
				time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			}
		}
	}
}

// swept says that a beginning is of one round, and what follows of the round before.
func swept(b []byte) error {
	var first uint64
	older := false
	for i := 0; i+8 <= len(b); i += 8 {
		got := binary.LittleEndian.Uint64(b[i:])
		switch {
		case i == 0:
			first = got
		case got == first && !older:
		case got+1 == first:
			older = true
		default:
			return fmt.Errorf("round %d at the beginning, %d at %d", first, got, i)
		}
	}
	return nil
}

// inPlaceGrowing appends records and counts them at the beginning, as databases do.
func inPlaceGrowing(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	record, head := make([]byte, 4096), make([]byte, 8)
	for n := uint64(1); ; n++ {
		for i := 0; i < len(record); i += 8 {
			binary.LittleEndian.PutUint64(record[i:], n)
		}
		if n > 1 {
			if _, err := f.WriteAt(record, int64(n-1)*4096); err != nil {
				return err
			}
		}
		binary.LittleEndian.PutUint64(head, n)
		if _, err := f.WriteAt(head, 0); err != nil {
			return err
		}
		if n > 4000 {
			select {}
		}
		if n%8 == 0 {
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
		}
	}
}

// counted says that as many records are there as the first word says, or one more.
func counted(b []byte) error {
	if len(b) < 8 {
		return nil
	}
	n := binary.LittleEndian.Uint64(b)
	if there := uint64(len(b)+4095) / 4096; there != n && there != n+1 {
		return fmt.Errorf("%d records where %d are counted", there, n)
	}
	return nil
}

func renameSave(file string) error {
	for round := uint64(0); ; round++ {
		f, err := os.Create(file + "~")
		if err != nil {
			return err
		}
		b := make([]byte, 128<<10)
		for i := 0; i < len(b); i += 8 {
			binary.LittleEndian.PutUint64(b[i:], round)
		}
		_, err = f.Write(b)
		if err := errors.Join(err, f.Close(), os.Rename(file+"~", file)); err != nil {
			return err
		}
	}
}

// uniform says that all is of one round.
func uniform(b []byte) error {
	for i := 0; i+8 <= len(b); i += 8 {
		if got, want := binary.LittleEndian.Uint64(b[i:]), binary.LittleEndian.Uint64(b); got != want {
			return fmt.Errorf("%d at the beginning, %d at %d", want, got, i)
		}
	}
	return nil
}

func exactly(b []byte) error {
	if len(b) != 128<<10 {
		return fmt.Errorf("%d bytes", len(b))
	}
	return uniform(b)
}

func truncateSave(file string) error {
	for round := uint64(0); ; round++ {
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		b := make([]byte, 4096)
		for i := 0; i < len(b); i += 8 {
			binary.LittleEndian.PutUint64(b[i:], round)
		}
		for n := 0; n < 32 && err == nil; n++ {
			_, err = f.Write(b)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
	}
}

// copyTruncate is a log that is copied and emptied every thousand lines.
func copyTruncate(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		if _, err := f.WriteString(line(i)); err != nil {
			return err
		}
		if (i+1)%1000 == 0 {
			old, err := os.Create(file + ".1")
			if err != nil {
				return err
			}
			_, err = io.Copy(old, io.NewSectionReader(f, 0, 1<<30))
			if err := errors.Join(err, old.Close(), f.Truncate(0)); err != nil {
				return err
			}
		}
		if i%20 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

// rotated is a log from a thousandth line on.
func rotated(b []byte) error {
	if len(b) < 8 {
		return nil
	}
	var first int
	if _, err := fmt.Sscanf(string(b[:8]), "%d", &first); err != nil || first%1000 != 0 {
		return fmt.Errorf("it begins with %q", b[:8])
	}
	return linesFrom(b, first)
}

// regrowth gives where a file ends in a round, and where it is cut then.
func regrowth(round uint64) (end, cut int) {
	r := rand.New(rand.NewPCG(round, 7))
	end = 8 * (20_000 + r.IntN(20_000))
	return end, 8 * r.IntN(end/8)
}

// cutShort appends, cuts the file short, and appends other words.
func cutShort(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	at := 0
	for round := uint64(0); ; round++ {
		end, cut := regrowth(round)
		for at < end {
			b := make([]byte, min(4096, end-at))
			for i := 0; i < len(b); i += 8 {
				binary.LittleEndian.PutUint64(b[i:], round<<32|uint64(at+i))
			}
			if _, err := f.WriteAt(b, int64(at)); err != nil {
				return err
			}
			at += len(b)
		}
		if cut < at {
			if err := f.Truncate(int64(cut)); err != nil {
				return err
			}
			at = cut
		}
		time.Sleep(time.Duration(rand.IntN(2)) * time.Millisecond)
	}
}

// regrown follows the rounds up to that of the last word.
func regrown(b []byte) error {
	if len(b) < 8 {
		return nil
	}
	last := binary.LittleEndian.Uint64(b[len(b)&^7-8:]) >> 32
	want := []uint64{}
	for round := uint64(0); round <= last; round++ {
		end, cut := regrowth(round)
		for 8*len(want) < end {
			want = append(want, round<<32|uint64(8*len(want)))
		}
		if round < last {
			want = want[:min(len(want), cut/8)]
		}
	}
	if len(b)/8 > len(want) {
		return fmt.Errorf("%d words where round %d has %d", len(b)/8, last, len(want))
	}
	// Behind the end of the last round it may be cut, down to where that cuts.
	for i := 0; i+8 <= len(b); i += 8 {
		if got := binary.LittleEndian.Uint64(b[i:]); got != want[i/8] {
			return fmt.Errorf("at %d there is %d of round %d, not of %d", i, got&(1<<32-1), got>>32, want[i/8]>>32)
		}
	}
	return nil
}

// holes makes the file larger, and fills what that made.
func holes(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	const step = 64 << 10
	b := make([]byte, 4096)
	for at := 0; at < 16<<20; at += step {
		if err := f.Truncate(int64(at + step)); err != nil {
			return err
		}
		for n := at; n < at+step; n += len(b) {
			for i := 0; i < len(b); i += 8 {
				binary.LittleEndian.PutUint64(b[i:], uint64(n+i+1))
			}
			if _, err := f.WriteAt(b, int64(n)); err != nil {
				return err
			}
		}
		time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond)
	}
	select {}
}

// filled says that all is filled but for an end of less than one step.
func filled(b []byte) error {
	const step = 64 << 10
	if len(b)%step != 0 {
		return fmt.Errorf("%d bytes", len(b))
	}
	empty := false
	for i := 0; i+8 <= len(b); i += 8 {
		got := binary.LittleEndian.Uint64(b[i:])
		switch {
		case got == 0 && i >= len(b)-step:
			empty = true
		case got != uint64(i+1) || empty:
			return fmt.Errorf("at %d of %d there is %d", i, len(b), got)
		}
	}
	return nil
}
