package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// figure is one row of the table.
type figure struct {
	Name   string  `json:"name"`
	Files  int     `json:"files,omitempty"` // 0: not of a number of files
	Unit   string  `json:"unit"`
	Ours   float64 `json:"coltecd"`
	Beside []peer  `json:"beside,omitempty"`
	Goals  []goal  `json:"goals,omitempty"`
	Note   string  `json:"note,omitempty"`
}

// peer is another's value of a figure.
type peer struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// goal is what a figure is to reach: a limit of its own, or as many times of a
// peer's.
type goal struct {
	Limit float64 `json:"limit"`
	Of    string  `json:"of,omitempty"` // a peer
}

func most(limit float64) goal { return goal{Limit: limit} }

func share(peer string, factor float64) goal { return goal{factor, peer} }

func (g goal) String() string {
	number := strconv.FormatFloat(g.Limit, 'f', -1, 64)
	switch {
	case g.Of == "":
		return "≤ " + number
	case g.Limit < 1:
		return fmt.Sprintf("≤ 1/%.0f of %s", 1/g.Limit, g.Of)
	}
	return "≤ " + number + " × " + g.Of
}

func (g goal) met(f figure) bool {
	if g.Of == "" {
		return f.Ours <= g.Limit*1.005 // what the table shows as equal is equal
	}
	i := slices.IndexFunc(f.Beside, func(p peer) bool { return p.Name == g.Of })
	return i >= 0 && f.Ours <= g.Limit*f.Beside[i].Value
}

// besides adds what peers need to the figures of a name and a unit.
func (b *bench) besides(files int, prefix, unit string, peers ...peer) {
	for i := range b.figures {
		if f := &b.figures[i]; f.Files == files && f.Unit == unit && strings.HasPrefix(f.Name, prefix) {
			f.Beside = append(f.Beside, peers...)
		}
	}
}

// verdict is how a figure stands to its goals: the text of them, and the word.
func (f figure) verdict() (text, word string) {
	if len(f.Goals) == 0 {
		return "", ""
	}
	var texts []string
	word = "met"
	for _, g := range f.Goals {
		texts = append(texts, g.String())
		if !g.met(f) {
			word = "NOT MET"
		}
	}
	return strings.Join(texts, ", "), word
}

// value writes a number with its unit.
func (f figure) value(v float64) string {
	switch {
	case f.Unit == "requests" && v == math.Trunc(v):
		return thousands(int(v))
	case f.Unit == "requests" && v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64) // 3.05 is not 3
	case f.Unit == "requests":
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 100:
		return thousands(int(math.Round(v))) + " " + f.Unit
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64) + " " + f.Unit
	}
	return strconv.FormatFloat(v, 'f', 2, 64) + " " + f.Unit
}

// others writes the peers' values, and how many times ours they are.
func (f figure) others() string {
	var texts []string
	for _, p := range f.Beside {
		text := p.Name + " " + f.value(p.Value)
		if f.Ours > 0 {
			text += fmt.Sprintf(" (%s×)", times(p.Value/f.Ours))
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// times writes a ratio with two digits, and a big one whole.
func times(ratio float64) string {
	if ratio >= 99.5 { // two digits would write 1e+02
		return thousands(int(math.Round(ratio)))
	}
	return strconv.FormatFloat(ratio, 'g', 2, 64)
}

// String is one line for the progress.
func (f figure) String() string {
	text := f.Name + ": " + f.value(f.Ours)
	if o := f.others(); o != "" {
		text += "; " + o
	}
	if _, word := f.verdict(); word != "" {
		text += "; " + word
	}
	if f.Note != "" {
		text += "; " + f.Note
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

// table is the figures, each size's after another's.
type table []figure

// updated are the figures of an earlier table with those that were measured now in
// their places, and what is new at its end.
func (t table) updated(now table) table {
	all := slices.Clone(t)
	for _, f := range now {
		i := slices.IndexFunc(all, func(o figure) bool { return o.Name == f.Name && o.Files == f.Files })
		if i < 0 {
			all = append(all, f)
			continue
		}
		all[i] = f
	}
	return all
}

// rows are the cells of the table. Figures of one name stand together.
func (t table) rows() [][]string {
	rows := [][]string{{"figure", "files", "coltecd", "beside", "goal", "verdict", "note"}}
	for _, name := range t.names() {
		for _, f := range t {
			if f.Name != name {
				continue
			}
			files := ""
			if f.Files > 0 {
				files = thousands(f.Files)
			}
			text, word := f.verdict()
			rows = append(rows, []string{f.Name, files, f.value(f.Ours), f.others(), text, word, f.Note})
		}
	}
	return rows
}

// names are the figures' names, in the order of the first of each.
func (t table) names() (names []string) {
	for _, f := range t {
		if !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
	}
	return names
}

// growthRows are the exponents of the costs against the number of files.
func (t table) growthRows() [][]string {
	rows := [][]string{{"cost", "coltecd", "beside"}}
	for _, name := range t.names() {
		var ours []point
		beside := map[string][]point{}
		var order []string
		for _, f := range t {
			if f.Name != name || f.Files == 0 {
				continue
			}
			ours = append(ours, point{float64(f.Files), f.Ours})
			for _, p := range f.Beside {
				if !slices.Contains(order, p.Name) {
					order = append(order, p.Name)
				}
				beside[p.Name] = append(beside[p.Name], point{float64(f.Files), p.Value})
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
	for _, rows := range [][][]string{b.figures.rows(), b.figures.growthRows()} {
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
			name := f.Name
			if f.Files > 0 {
				name += " (" + thousands(f.Files) + " files)"
			}
			missed = append(missed, fmt.Errorf("%s: %s, the goal is %s", name, f.value(f.Ours), text))
		}
	}
	return errors.Join(missed...)
}

// writePage writes the tables with how to repeat them, and the figures beside them
// as JSON. With update, those that are there and were not measured now are kept.
func (b *bench) writePage(path string, update bool) error {
	figures := strings.TrimSuffix(path, filepath.Ext(path)) + ".json"
	all := b.figures
	if update {
		var earlier table
		text, err := os.ReadFile(figures)
		if err == nil {
			err = json.Unmarshal(text, &earlier)
		}
		if err != nil {
			return fmt.Errorf("cannot update the figures: %w", err)
		}
		all = earlier.updated(b.figures)
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	var page bytes.Buffer
	fmt.Fprintf(&page, pageHead, time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), b.version(b.rclone, "version"),
		b.version(b.restic, "version"), b.saves, b.interval)
	markdown(&page, all.rows())
	page.WriteString(pageGrowth)
	markdown(&page, all.growthRows())
	page.WriteString(pageBounds)
	return errors.Join(os.WriteFile(figures, append(text, '\n'), 0o644), os.WriteFile(path, page.Bytes(), 0o644))
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
