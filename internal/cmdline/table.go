package cmdline

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Table is rows of cells, the head first. (go-pretty's table was measured: it
// adds nothing that status needs.)
type Table [][]string

// String aligns the columns. The last one is as long as it likes.
func (t Table) String() string {
	for _, row := range t {
		for i := range row {
			row[i] = strings.Map(inRow, row[i])
		}
	}
	width := make([]int, len(t[0]))
	for _, row := range t {
		for i, cell := range row {
			width[i] = max(width[i], visible(cell))
		}
	}
	var b strings.Builder
	for _, row := range t {
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-visible(cell)+2))
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// inRow keeps a cell in its row.
func inRow(r rune) rune {
	if r == '\n' || r == '\t' {
		return ' '
	}
	return r
}

// visible is the width of a cell without its colours.
func visible(s string) int {
	n := utf8.RuneCountInString(s)
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			return n
		}
		end := i + strings.IndexByte(s[i:], 'm') + 1
		if end <= i { // none of ours
			return n
		}
		n -= end - i
		s = s[end:]
	}
}

// IsForeground reports whether a person can answer on f: of a job in the background, a shell
// stops each that reads.
func IsForeground(f *os.File) bool {
	group, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// IsTerminal reports whether a person looks at what is written to w.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
