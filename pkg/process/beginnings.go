package process

import (
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// beginnings are the lines that the children of a killed supervisor had begun, by the
// number of the pipe that has the rest.
type beginnings struct {
	dir   string
	names map[uint64]string
}

func findBeginnings(dir string) beginnings {
	b := beginnings{dir, map[uint64]string{}}
	entries, _ := os.ReadDir(dir) // none, in the usual case
	for _, e := range entries {
		dot := strings.LastIndexByte(e.Name(), '.')
		if pipe, err := strconv.ParseUint(e.Name()[dot+1:], 10, 64); err == nil && dot > 0 {
			b.names[pipe] = e.Name()
		}
	}
	return b
}

// take moves the line that was begun in a pipe to out.
func (b beginnings) take(pipe uint64, out io.Writer) {
	name, ok := b.names[pipe]
	if !ok {
		return
	}
	delete(b.names, pipe)
	dir, err := os.OpenRoot(b.dir)
	if err != nil {
		return
	}
	defer dir.Close()
	if text, err := dir.ReadFile(name); err == nil {
		_, _ = out.Write(text)
	}
	_ = dir.Remove(name)
}

// takeOthers moves the lines to out whose pipes have gone: nothing follows.
func (b beginnings) takeOthers(living []leftPipe, out func(unit string) io.Writer) {
	gone := map[uint64]string{}
	for pipe, name := range b.names {
		gone[pipe] = name[:strings.LastIndexByte(name, '.')]
	}
	for _, p := range living {
		delete(gone, p.inode)
	}
	for pipe, unit := range gone {
		to := out(unit)
		b.take(pipe, ended{to})
	}
}

// ended writes texts as lines that have ended.
type ended struct{ io.Writer }

func (e ended) Write(text []byte) (int, error) {
	if len(text) == 0 || text[len(text)-1] == '\n' {
		return e.Writer.Write(text)
	}
	n, err := e.Writer.Write(slices.Concat(text, []byte{'\n'}))
	return min(n, len(text)), err
}
