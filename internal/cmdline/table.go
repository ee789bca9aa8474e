package cmdline

import (
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
	"github.com/urfave/cli/v2"
)

// Table is rows of cells, the head first. (go-pretty's table was measured: it
// adds nothing that status needs.)
type Table [][]string

// String aligns the columns. The last one is as long as it likes.
func (t Table) String() string { return t.Fit(0) }

// cellLeast is the least width that a column is shortened to: below it a cell says nothing.
const cellLeast = 6

// Fit aligns the columns within a number of cells of a terminal; 0 is any number. The longest
// columns are shortened, except those of the heads in whole, which a person types or copies.
// Where heads would be shortened for that, columns that say nothing are left out, and if that
// does not do either, each row is a block of lines, one for each column.
func (t Table) Fit(width int, whole ...string) string {
	widths := t.widths()
	if width > 0 {
		kept := func(i int) bool { return slices.Contains(whole, t[0][i]) }
		fit := t.fitted(widths, width-2*(len(widths)-1), kept)
		if less := t.saying(); fit == nil && len(less[0]) < len(t[0]) {
			return less.Fit(width, whole...)
		} else if fit == nil {
			return t.blocks(width, kept)
		}
		widths = fit
	}
	var b strings.Builder
	for _, row := range t {
		for i, cell := range row {
			if width > 0 {
				cell = shorten(cell, widths[i]) // one that is kept has its width
			}
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-visible(cell)+2))
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// widths keeps each cell in its row, and gives the width of each column.
func (t Table) widths() []int {
	widths := make([]int, len(t[0]))
	for _, row := range t {
		for i := range row {
			row[i] = strings.Map(inRow, row[i])
			widths[i] = max(widths[i], visible(row[i]))
		}
	}
	return widths
}

// saying is the table without the columns that say nothing in any row.
func (t Table) saying() Table {
	less := make(Table, len(t))
	for i, head := range t[0] {
		says := i == 0 || slices.ContainsFunc(t[1:], func(row []string) bool { return i < len(row) && row[i] != "" && row[i] != "-" })
		if !says {
			continue
		}
		less[0] = append(less[0], head)
		for n, row := range t[1:] {
			if i < len(row) {
				less[n+1] = append(less[n+1], row[i])
			}
		}
	}
	return less
}

// fitted are widths that take no more than room together: all longer than a common one are
// shortened to that, but not those that are kept, and none below its head. What is over is for
// the last, the longest text. It is nil where there is no room.
func (t Table) fitted(widths []int, room int, kept func(int) bool) []int {
	cut := func(most int) (out []int, sum int) {
		for i, w := range widths {
			if !kept(i) {
				w = min(w, max(most, visible(t[0][i])))
			}
			out, sum = append(out, w), sum+w
		}
		return out, sum
	}
	fit, sum := cut(cellLeast)
	if sum > room {
		return nil
	}
	for most := cellLeast + 1; most <= room; most++ {
		wider, more := cut(most)
		if more > room {
			break
		}
		fit, sum = wider, more
	}
	last := len(fit) - 1
	fit[last] = min(widths[last], fit[last]+room-sum)
	return fit
}

// blocks is the table for narrow terminals: what a column says of each row on a line of its
// own, without those that say nothing.
func (t Table) blocks(width int, kept func(int) bool) string {
	var b strings.Builder
	label := slices.Max(Table{t[0]}.widths())
	for n, row := range t[1:] {
		if n > 0 {
			b.WriteString("\n")
		}
		for i, cell := range row {
			if cell == "" || cell == "-" {
				continue
			}
			line := t[0][i] + strings.Repeat(" ", label-visible(t[0][i])+2) + cell
			if !kept(i) {
				line = shorten(line, width)
			}
			b.WriteString(line + "\n")
		}
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

// painted is a colour, or the end of one.
var painted = regexp.MustCompile("\x1b\\[[0-9;]*m")

// visible is how many cells of a terminal a text takes: without its colours; CJK characters
// take two, combining marks none.
func visible(s string) int { return runewidth.StringWidth(painted.ReplaceAllString(s, "")) }

// shorten makes a text take at most a number of cells, with … for what is left out. Its
// colours, and the ends of them, stay.
func shorten(s string, width int) string {
	if visible(s) <= width {
		return s
	}
	var b strings.Builder
	left := width
	for s != "" {
		at := painted.FindStringIndex(s)
		if at == nil {
			at = []int{len(s), len(s)}
		}
		text := s[:at[0]]
		switch w := visible(text); {
		case left <= 0:
		case w < left || w == left && visible(s[at[1]:]) == 0:
			b.WriteString(text)
			left -= w
		default:
			b.WriteString(runewidth.Truncate(text+" ", max(left, 1), "…"))
			left = 0
		}
		b.WriteString(s[at[0]:at[1]])
		s = s[at[1]:]
	}
	return b.String()
}

// width is how many cells a line of the terminal has that w writes to; 0 is one that is not
// a terminal, or does not tell: nothing is shortened for that.
func width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	return columns(f)
}

// WideFlag is the flag of verbs that print a table.
func WideFlag() cli.Flag {
	return &cli.BoolFlag{Name: "wide", Usage: "shorten nothing to the width of the terminal"}
}

// LogFlags are those of the verb logs of both programs.
func LogFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "follow what is added, until Ctrl-C"},
		&cli.IntFlag{Name: "lines", Aliases: []string{"n"}, Usage: "show the last `N` lines of each first; -1: all", Value: 100},
	}
}

// CheckpointFlags are those of the verb checkpoint of both.
func CheckpointFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "message", Aliases: []string{"m"}, Usage: "say of it `TEXT`, for people"},
		&cli.BoolFlag{Name: "remove", Usage: "take the name away; the state is kept as any other is"},
		&cli.BoolFlag{Name: "json", Usage: "answer in JSON"},
	}
}

// RewindFlags are those of the verb rewind of both.
func RewindFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "path", Usage: "take only `PATH` back, with what is below it"},
		&cli.BoolFlag{Name: "dry-run", Usage: "say what would be done, to what is in the bucket, and do nothing"},
		&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
		&cli.BoolFlag{Name: "json", Usage: "answer in JSON"},
	}
}

// JoinFlags are those of the verb join of both.
func JoinFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "dry-run", Usage: "say what would be done, and do nothing"},
		&cli.BoolFlag{Name: "all", Usage: "from the fork point on, also what was joined before: after a rewind"},
		&cli.BoolFlag{Name: "allow-delete", Usage: "let deletions go that are many, those that waited before among them"},
		&cli.BoolFlag{Name: "unrelated", Usage: "join a fork of another workspace too: what that had and is not here counts as deleted here"},
		&cli.BoolFlag{Name: "json", Usage: "answer in JSON"},
	}
}

// WidthFor is how wide the tables of a verb may be, for [Table.Fit].
func WidthFor(c *cli.Context, w io.Writer) int {
	if c.Bool("wide") {
		return 0
	}
	return width(w)
}

// Redraw writes a text over the one before it on a terminal, without a moment in which it is
// empty. What is below the last line of the terminal is left out: it would move the rest up.
func Redraw(w io.Writer, text string) error {
	most := 0
	if f, ok := w.(*os.File); ok {
		most = lines(f)
	}
	var b strings.Builder
	b.WriteString("\x1b[H")
	n := 0
	for line := range strings.Lines(text) {
		if n++; most > 0 && n >= most {
			break
		}
		b.WriteString(strings.TrimSuffix(line, "\n") + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	_, err := io.WriteString(w, b.String())
	return err
}

// Colour reports whether what is written to w may have colours: a person looks at it, at a
// terminal that has them, and does not mind (https://no-color.org).
func Colour(w io.Writer, environ []string) bool {
	_, none := Lookup(environ, "NO_COLOR")
	return !none && Moves(w, environ)
}

// Moves reports whether w is a terminal that knows colours and a cursor.
func Moves(w io.Writer, environ []string) bool {
	term, _ := Lookup(environ, "TERM")
	return term != "dumb" && IsTerminal(w)
}

// IsForeground reports whether a person can answer on f: of a job in the background, a shell
// stops each that reads.
func IsForeground(f *os.File) bool {
	return foreground(f)
}

// IsTerminal reports whether a person looks at what is written to w.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isTerminal(f)
}
