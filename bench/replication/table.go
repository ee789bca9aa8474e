package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// figure is one row of the table.
type figure struct {
	name   string
	files  int // 0: not of a number of files
	unit   string
	ours   float64
	beside []peer
	goals  []goal
	note   string
}

// peer is another's value of a figure.
type peer struct {
	name  string
	value float64
}

// goal is what a figure is to reach.
type goal struct {
	text string
	met  func(figure) bool
}

// most is a goal of its own.
func most(limit float64) goal {
	return goal{"≤ " + strconv.FormatFloat(limit, 'f', -1, 64), func(f figure) bool {
		return f.ours <= limit*1.005 // what the table shows as equal is equal
	}}
}

// share is a goal beside a peer.
func share(name string, factor float64) goal {
	text := "≤ " + strconv.FormatFloat(factor, 'f', -1, 64) + " × " + name
	if factor < 1 {
		text = fmt.Sprintf("≤ 1/%.0f of %s", 1/factor, name)
	}
	return goal{text, func(f figure) bool {
		i := slices.IndexFunc(f.beside, func(p peer) bool { return p.name == name })
		return i >= 0 && f.ours <= factor*f.beside[i].value
	}}
}

// besides adds what peers need to the figures of a name and a unit.
func (b *bench) besides(files int, prefix, unit string, peers ...peer) {
	for i := range b.figures {
		if f := &b.figures[i]; f.files == files && f.unit == unit && strings.HasPrefix(f.name, prefix) {
			f.beside = append(f.beside, peers...)
		}
	}
}

// verdict is how a figure stands to its goals: the text of them, and the word.
func (f figure) verdict() (text, word string) {
	if len(f.goals) == 0 {
		return "", ""
	}
	var texts []string
	word = "met"
	for _, g := range f.goals {
		texts = append(texts, g.text)
		if !g.met(f) {
			word = "NOT MET"
		}
	}
	return strings.Join(texts, ", "), word
}

// value writes a number with its unit.
func (f figure) value(v float64) string {
	switch {
	case f.unit == "requests" && v == math.Trunc(v):
		return thousands(int(v))
	case f.unit == "requests" && v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64) // 3.05 is not 3
	case f.unit == "requests":
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 100:
		return thousands(int(math.Round(v))) + " " + f.unit
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64) + " " + f.unit
	}
	return strconv.FormatFloat(v, 'f', 2, 64) + " " + f.unit
}

// others writes the peers' values, and how many times ours they are.
func (f figure) others() string {
	var texts []string
	for _, p := range f.beside {
		text := p.name + " " + f.value(p.value)
		if f.ours > 0 {
			text += fmt.Sprintf(" (%s×)", times(p.value/f.ours))
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// times writes a ratio with two digits, and a big one whole.
func times(ratio float64) string {
	if ratio >= 100 {
		return thousands(int(math.Round(ratio)))
	}
	return strconv.FormatFloat(ratio, 'g', 2, 64)
}

// String is one line for the progress.
func (f figure) String() string {
	text := f.name + ": " + f.value(f.ours)
	if o := f.others(); o != "" {
		text += "; " + o
	}
	if _, word := f.verdict(); word != "" {
		text += "; " + word
	}
	if f.note != "" {
		text += "; " + f.note
	}
	return text
}

// thousands writes a count as people read it.
func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// rows are the cells of the table. Figures of one name stand together.
func (b *bench) rows() [][]string {
	rows := [][]string{{"figure", "files", "coltecd", "beside", "goal", "verdict", "note"}}
	for _, name := range b.names() {
		for _, f := range b.figures {
			if f.name != name {
				continue
			}
			files := ""
			if f.files > 0 {
				files = thousands(f.files)
			}
			text, word := f.verdict()
			rows = append(rows, []string{f.name, files, f.value(f.ours), f.others(), text, word, f.note})
		}
	}
	return rows
}

// names are the figures' names, in the order of the first of each.
func (b *bench) names() (names []string) {
	for _, f := range b.figures {
		if !slices.Contains(names, f.name) {
			names = append(names, f.name)
		}
	}
	return names
}

// growthRows are the exponents of the costs against the number of files.
func (b *bench) growthRows() [][]string {
	rows := [][]string{{"cost", "coltecd", "beside"}}
	for _, name := range b.names() {
		var ours []point
		beside := map[string][]point{}
		var order []string
		for _, f := range b.figures {
			if f.name != name || f.files == 0 {
				continue
			}
			ours = append(ours, point{float64(f.files), f.ours})
			for _, p := range f.beside {
				if !slices.Contains(order, p.name) {
					order = append(order, p.name)
				}
				beside[p.name] = append(beside[p.name], point{float64(f.files), p.value})
			}
		}
		exponent, ok := growth(ours)
		if !ok {
			continue
		}
		var texts []string
		for _, peer := range order {
			if e, ok := growth(beside[peer]); ok {
				texts = append(texts, peer+" "+exponentText(e))
			}
		}
		rows = append(rows, []string{name, exponentText(exponent), strings.Join(texts, ", ")})
	}
	return rows
}

// exponentText writes an exponent without a zero that is negative.
func exponentText(e float64) string { return fmt.Sprintf("%.2f", math.Round(e*100)/100+0) }

type point struct{ x, y float64 }

// growth is the exponent e of y = c·x^e that fits best; false without two
// different x or with a y that has no logarithm.
func growth(points []point) (float64, bool) {
	var n, sx, sy, sxx, sxy float64
	for _, p := range points {
		if p.x <= 0 || p.y <= 0 {
			return 0, false
		}
		x, y := math.Log(p.x), math.Log(p.y)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	spread := n*sxx - sx*sx
	if spread < 1e-9 {
		return 0, false
	}
	return (n*sxy - sx*sy) / spread, true
}

// show prints what was found.
func (b *bench) show(w io.Writer) {
	for _, rows := range [][][]string{b.rows(), b.growthRows()} {
		if len(rows) < 2 {
			continue
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, row := range rows {
			fmt.Fprintln(t, strings.Join(row, "\t"))
		}
		_ = t.Flush()
		fmt.Fprintln(w)
	}
}

// missed says which goals were.
func (b *bench) missed() error {
	var missed []error
	for _, f := range b.figures {
		if text, word := f.verdict(); word == "NOT MET" {
			name := f.name
			if f.files > 0 {
				name += " (" + thousands(f.files) + " files)"
			}
			missed = append(missed, fmt.Errorf("%s: %s, the goal is %s", name, f.value(f.ours), text))
		}
	}
	return errors.Join(missed...)
}

// writePage writes the tables with how to repeat them.
func (b *bench) writePage(path string) error {
	var page bytes.Buffer
	fmt.Fprintf(&page, pageHead, time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), b.version(b.rclone, "version"),
		b.version(b.restic, "version"), b.saves, b.interval, time.Since(b.began).Round(time.Minute))
	markdown(&page, b.rows())
	page.WriteString(pageGrowth)
	markdown(&page, b.growthRows())
	page.WriteString(pageBounds)
	return os.WriteFile(path, page.Bytes(), 0o644)
}

// version is the first line of what a program says of itself.
func (b *bench) version(argv ...string) string {
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil {
		return argv[0]
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// markdown writes a table.
func markdown(w io.Writer, rows [][]string) {
	for i, row := range rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintln(w, "|"+strings.Repeat("---|", len(row)))
		}
	}
}
