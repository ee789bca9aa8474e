package picture

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
)

// What a program prints is in the picture as text, each line at its place, whatever is in it.
func TestSVG(t *testing.T) {
	got := string(SVG("a <title>", "coltec ls", "\x1b[32mrunning\x1b[0m  a&b \x1b[99mx\x1b[0m\n\n漢 <b>\x07\n"))
	dec := xml.NewDecoder(strings.NewReader(got))
	var texts []string
	for {
		token, err := dec.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, got)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "text" {
			var text struct {
				Y     string `xml:"y,attr"`
				Long  string `xml:"textLength,attr"`
				Inner string `xml:",innerxml"`
			}
			if err := dec.DecodeElement(&text, &e); err != nil {
				t.Fatal(err)
			}
			texts = append(texts, fmt.Sprint(text.Y, " ", text.Long, " ", text.Inner))
		}
	}
	want := []string{
		`31 92.4 <tspan class="c2">$</tspan> <tspan class="c1">coltec ls</tspan>`,
		`51 117.6 <tspan class="c32">running</tspan>  a&amp;b x`,
		`91 50.4 漢 &lt;b&gt;`,
	}
	if strings.Join(texts, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(texts, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(got, "<title>a &lt;title&gt;</title>") || !strings.Contains(got, "prefers-color-scheme:dark") {
		t.Error(got)
	}
}

// Every colour can be read on its ground: a contrast of 4.5, by WCAG 2.2.
func TestContrast(t *testing.T) {
	for _, c := range colours {
		for _, pair := range [][2]string{{c.light, ground.light}, {c.dark, ground.dark}} {
			if got := contrast(pair[0], pair[1]); got < 4.5 {
				t.Errorf("%s on %s has %.2f", pair[0], pair[1], got)
			}
		}
	}
	if got := contrast("#777777", "#ffffff"); math.Abs(got-4.48) > 0.01 { // as WCAG's own examples have it
		t.Errorf("the oracle says %.3f", got)
	}
}

// contrast is the ratio of two luminances, as WCAG defines it.
func contrast(a, b string) float64 {
	luminance := func(hex string) float64 {
		var rgb [3]int
		fmt.Sscanf(hex, "#%02x%02x%02x", &rgb[0], &rgb[1], &rgb[2])
		sum := 0.0
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			x := float64(rgb[i]) / 255
			if x <= 0.04045 {
				x /= 12.92
			} else {
				x = math.Pow((x+0.055)/1.055, 2.4)
			}
			sum += weight * x
		}
		return sum
	}
	x, y := luminance(a)+0.05, luminance(b)+0.05
	return max(x, y) / min(x, y)
}

// Two runs that differ in what is measured alone are the same text, with their columns in line.
func TestSettle(t *testing.T) {
	one := "acme/widget/dev-a  running  pid 93, up 9s, coltecd v1\r\nlease held  epoch 1, generation 2\r\ncost 118 requests and 42.7 KiB within the last hour, idle about 45123 requests a month\r\n\r\n" +
		"UNIT  STATE    FOR  PID     NEXT\r\nweb   \x1b[32mrunning\x1b[0m  8s   901234  -\r\njob   waiting  1m02s  -  in 59m\r\n\r\nlast turn 09:59\r\n"
	two := "acme/widget/dev-a  running  pid 4567890, up 1m00s, coltecd v1\nlease held  epoch 1, generation 2\ncost 9 requests and 812 B within the last hour, idle about 44000 requests a month\n\n" +
		"UNIT  STATE    FOR     PID  NEXT\nweb   \x1b[32mrunning\x1b[0m  2h13m   7    -\njob   waiting  12s     -    in 3d\n\nlast turn 23:01\n"
	a, b := Settle(one), Settle(two)
	if a != b {
		t.Errorf("they differ:\n%s\n%s", a, b)
	}
	want := "UNIT  STATE    FOR  PID   NEXT\nweb   \x1b[32mrunning\x1b[0m  4s   4110  -\njob   waiting  4s   -     in 4s\n"
	if !strings.Contains(a, want) || !strings.Contains(a, "epoch 1, generation 2") || strings.Contains(a, "\r") {
		t.Errorf("got\n%s", a)
	}
	if got := Settle("at desk-7f3a", Rule{regexp.MustCompile(`desk-\w+`), "desk"}); got != "at desk" {
		t.Errorf("a rule of one's own: %q", got)
	}
	if got := Fit(Settle("stopped at 2031-12-13T14:15:16Z with what is only there\nb\n"), 33); got != "stopped at 2026-01-02T03:04:05Z …\nb\n" {
		t.Errorf("fitted: %q", got)
	}
	if got := Settle("3 changes are not in the bucket"); got != "3 changes are not in the bucket" {
		t.Errorf("what is no measure is changed: %q", got)
	}
}
