package picture

import (
	"regexp"
	"strings"

	"github.com/mattn/go-runewidth"
)

// Rule replaces what differs from run to run.
type Rule struct {
	What *regexp.Regexp
	By   string
}

// measured are those of every run: times, sizes, counts of requests, process ids.
var measured = []Rule{
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "2026-01-02T03:04:05Z"},
	{regexp.MustCompile(`\bpid \d+`), "pid 4100"},
	{regexp.MustCompile(`\b\d+(?:\.\d+)? (?:B|KiB|MiB)\b`), "3.0 KiB"},
	{regexp.MustCompile(`\b\d+ req\b`), "12 req"},
	{regexp.MustCompile(`\b\d+ requests and\b`), "12 requests and"},
	{regexp.MustCompile(`\babout \d+ requests a month\b`), "about 45000 requests a month"},
	{regexp.MustCompile(`(^|[\s(])(?:\d+d|\d+h\d\dm|\d+h|\d+m\d\ds|\d+m|\d+s)\b`), "${1}4s"},
	{regexp.MustCompile(`\b\d\d:\d\d\b`), "12:03"},
}

// Settle makes of what was printed what is the same in each run: numbers that were measured are
// replaced by fixed ones, and columns aligned anew. Everything else is as it was printed.
func Settle(text string, more ...Rule) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r", ""), "\n")
	for i, line := range lines {
		for _, r := range append(more, measured...) {
			line = r.What.ReplaceAllString(line, r.By)
		}
		lines[i] = strings.TrimRight(line, " ")
	}
	for i := 0; i < len(lines); {
		end := i
		for end < len(lines) && lines[end] != "" {
			end++
		}
		if heads := strings.Fields(lines[i]); len(heads) > 2 && lines[i] == strings.ToUpper(lines[i]) {
			align(lines[i:end])
		}
		i = end + 1
	}
	return strings.Join(lines, "\n")
}

// Fit shortens what is longer than a terminal of so many columns, as our programs shorten the last
// column of a table.
func Fit(text string, columns int) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if Width(line) > columns && !painted.MatchString(line) {
			lines[i] = runewidth.Truncate(line, columns, "…")
		}
	}
	return strings.Join(lines, "\n")
}

// gap is what is between two cells.
var gap = regexp.MustCompile(` {2,}`)

// align aligns the rows of a table, whose first has a head for each cell. A process id is the
// number of its row: no two are the same.
func align(rows []string) {
	table := make([][]string, len(rows))
	var widths []int
	for i, row := range rows {
		table[i] = gap.Split(row, -1)
		for j, cell := range table[i] {
			if j < len(table[0]) && table[0][j] == "PID" && digits.MatchString(cell) {
				cell = "41" + string(rune('0'+i%10)) + "0"
				table[i][j] = cell
			}
			if j == len(widths) {
				widths = append(widths, 0)
			}
			widths[j] = max(widths[j], Width(cell))
		}
	}
	for i, cells := range table {
		var b strings.Builder
		for j, cell := range cells {
			b.WriteString(cell)
			if j < len(cells)-1 {
				b.WriteString(strings.Repeat(" ", widths[j]-Width(cell)+2))
			}
		}
		rows[i] = b.String()
	}
}

var digits = regexp.MustCompile(`^\d+$`)
