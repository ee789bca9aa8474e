// Package picture draws what a terminal shows as an SVG: text as text, in columns whatever the
// font, in the colours of whoever looks at it, light or dark. It is pure.
package picture

import (
	"fmt"
	"html"
	"regexp"
	"strings"

	"github.com/mattn/go-runewidth"
)

// Sizes in pixels: of a cell, and of what is around the text.
const (
	cellWidth  = 8.4 // of 14 pixels of a usual monospace font; textLength makes it so for others
	lineHeight = 20
	margin     = 16
)

// A colour has a value on white and one on black, each with a contrast of 4.5 or more (WCAG AA).
type colour struct{ code, light, dark string }

// ground is what is below the text.
var ground = colour{light: "#ffffff", dark: "#0d1117"}

// colours are those of a terminal that our programs use; the first is that of plain text.
var colours = []colour{
	{"", "#1f2328", "#e6edf3"},
	{"31", "#b3261e", "#ff7b72"},
	{"32", "#116329", "#56d364"},
	{"33", "#7d4e00", "#e3b341"},
	{"36", "#0b6068", "#56d4dd"},
	{"2", "#59636e", "#9198a1"},
	{"1", "#1f2328", "#e6edf3"},
}

// SVG is the picture of a command and what it printed. The title is for who cannot see it.
func SVG(title, command, output string) []byte {
	lines := strings.Split(strings.TrimRight(output, "\n"), "\n")
	lines = append([]string{"\x1b[2m$\x1b[0m \x1b[1m" + command + "\x1b[0m"}, lines...)
	cells := 0
	for _, line := range lines {
		cells = max(cells, Width(line))
	}
	w, h := 2*margin+int(float64(cells)*cellWidth+0.999), 2*margin+lineHeight*len(lines)
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\">\n", w, h, w, h)
	fmt.Fprintf(&b, "<title>%s</title>\n<style>\n%s</style>\n", html.EscapeString(title), style())
	fmt.Fprintf(&b, "<rect class=\"ground\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n", w, h)
	for i, line := range lines {
		if n := Width(line); n > 0 {
			fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" textLength=\"%.1f\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\">%s</text>\n",
				margin, margin+lineHeight*i+15, float64(n)*cellWidth, spans(line))
		}
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// style names each colour twice.
func style() string {
	rules := func(value func(colour) string) string {
		s := fmt.Sprintf(".ground{fill:%s}", value(ground))
		for _, c := range colours {
			if c.code == "" {
				s += fmt.Sprintf("text{fill:%s}", value(c))
			} else {
				s += fmt.Sprintf(".c%s{fill:%s}", c.code, value(c))
			}
		}
		return s
	}
	return "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,\"DejaVu Sans Mono\",monospace;white-space:pre}.c1{font-weight:bold}\n" +
		rules(func(c colour) string { return c.light }) + "\n" +
		"@media(prefers-color-scheme:dark){" + rules(func(c colour) string { return c.dark }) + "}\n"
}

// painted is a colour that begins, or the end of one.
var painted = regexp.MustCompile("\x1b\\[([0-9;]*)m")

// Width is how many cells a line takes.
func Width(line string) int { return runewidth.StringWidth(painted.ReplaceAllString(line, "")) }

// spans is a line with its colours as elements. What is no character of XML is left out.
func spans(line string) string {
	var b strings.Builder
	class := ""
	write := func(text string) {
		text = html.EscapeString(strings.Map(allowed, text))
		switch {
		case text == "":
		case class == "":
			b.WriteString(text)
		default:
			fmt.Fprintf(&b, "<tspan class=\"c%s\">%s</tspan>", class, text)
		}
	}
	for at := painted.FindStringSubmatchIndex(line); at != nil; at = painted.FindStringSubmatchIndex(line) {
		write(line[:at[0]])
		class = known(line[at[2]:at[3]])
		line = line[at[1]:]
	}
	write(line)
	return b.String()
}

// known is a code that has a colour here, or none.
func known(code string) string {
	for _, c := range colours {
		if c.code == code {
			return code
		}
	}
	return ""
}

// allowed leaves out what XML 1.0 has no way to write.
func allowed(r rune) rune {
	if r < ' ' || r == 0x7f || r == 0xfffe || r == 0xffff {
		return -1
	}
	return r
}
