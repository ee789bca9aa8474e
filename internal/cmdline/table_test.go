package cmdline

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
)

// wide is a table as ls and status have them: colours, wide characters, combining marks.
func wide() Table {
	return Table{
		{"WORKSPACE", "STATE", "WHERE", "FOLDER", "SINCE", "LAST SEEN", "LAG", "ATTENTION"},
		{"acme/widget/dev-a", "\x1b[32mrunning\x1b[0m", "here", "/home/somebody/projects/widget", "3h", "2s", "-", "-"},
		{"会社/部品/開発環境の名前", "\x1b[31mblocked\x1b[0m (waits)", "laptop", "/home/誰か/プロジェクト", "-", "-", "12s", "the store refuses the credentials of the remote primary, for ever"},
		{"cafe\u0301/re\u0301sume\u0301/e\u0301", "free", "-", "-", "2d", "5m", "-", "👩‍👩‍👧‍👦 stopped with 3 changes"},
	}
}

// Each width from 40 to 200 has whole lines, whose columns stand below each other. What is
// not a terminal gets everything.
func TestTableFits(t *testing.T) {
	all := wide().String()
	for _, text := range []string{"/home/somebody/projects/widget", "for ever", "開発環境の名前"} {
		if !strings.Contains(all, text) {
			t.Errorf("%q was left out:\n%s", text, all)
		}
	}
	for width := 40; width <= 200; width++ {
		text := wide().Fit(width)
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		blocks := strings.HasPrefix(lines[0], "WORKSPACE  ") && !strings.Contains(lines[0], "ATTENTION")
		second := -1
		for _, line := range lines {
			plain := painted.ReplaceAllString(line, "")
			if w := runewidth.StringWidth(plain); w > width {
				t.Fatalf("%d: %d cells: %s", width, w, line)
			}
			if strings.Count(line, "\x1b[") != 2*strings.Count(line, "\x1b[0m") {
				t.Fatalf("%d: a colour does not end: %q", width, line)
			}
			if blocks {
				continue
			}
			// The second column begins at one place in all rows.
			for _, word := range []string{"STATE", "running", "blocked", "free"} {
				if i := strings.Index(plain, word); i >= 0 {
					at := runewidth.StringWidth(plain[:i])
					if second >= 0 && at != second {
						t.Fatalf("%d: a column at %d and at %d:\n%s", width, second, at, text)
					}
					second = at
				}
			}
		}
		if blocks && !strings.Contains(text, "\n\nWORKSPACE") {
			t.Errorf("%d: rows are not apart:\n%s", width, text)
		}
		if width >= 100 && blocks {
			t.Errorf("%d: blocks, though there is room", width)
		}
	}
	if text := wide().Fit(200); strings.Contains(text, "prog…") || !strings.Contains(text, "dev-a") {
		t.Errorf("shortened without need:\n%s", text)
	}
}

// Where there is little room, columns go that say nothing, before rows become blocks.
func TestTableWithoutEmptyColumns(t *testing.T) {
	table := func() Table {
		return Table{{"REPLICA", "DIRECTION", "STATE", "LAST SYNC", "PENDING", "CONFLICTS", "LAST HOUR", "NEXT", "LAST ERROR"},
			{"workspace", "both", "synced", "12s ago", "0", "0", "3 req, 1.0 KiB", "in 2m", "-"}, {"home", "both", "synced", "never", "0", "0", "-", "-"}}
	}
	if text := table().Fit(80); strings.Contains(text, "LAST ERROR") || !strings.HasPrefix(text, "REPLICA ") || !strings.Contains(text, "home ") {
		t.Errorf("80:\n%s", text)
	}
	if text := table().Fit(200); !strings.Contains(text, "LAST ERROR") {
		t.Errorf("200:\n%s", text)
	}
	if text := table().Fit(45); !strings.Contains(text, "\n\nREPLICA    home\n") {
		t.Errorf("45:\n%s", text)
	}
}

// What a person types or copies stays whole, at any width.
func TestTableKeeps(t *testing.T) {
	id := strings.Repeat("0123456789", 3)
	for width := 40; width <= 200; width++ {
		text := Table{{"REPLICA", "PATH", "SINCE", "ID"}, {"workspace", strings.Repeat("a/long/way/", 9), "2026-01-02 03:04:05", id}}.Fit(width, "ID")
		if !strings.Contains(text, id+"\n") {
			t.Fatalf("%d:\n%s", width, text)
		}
		for line := range strings.Lines(text) {
			if w := visible(strings.TrimSuffix(line, "\n")); w > width {
				t.Fatalf("%d: %d cells: %s", width, w, line)
			}
		}
	}
}

// What is shortened says so, and takes what was asked for at most.
func TestShorten(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		want  string
	}{
		{"short", 5, "short"}, {"longer", 5, "long…"}, {"文字列", 5, "文字…"}, {"文字列", 4, "文…"}, {"e\u0301e\u0301e\u0301", 2, "e\u0301…"},
		{"\x1b[32mrunning\x1b[0m", 4, "\x1b[32mrun…\x1b[0m"}, {"\x1b[32mab\x1b[0mcd", 3, "\x1b[32mab\x1b[0m…"}, {"\x1b[32mab\x1b[0m", 2, "\x1b[32mab\x1b[0m"},
		{"\x1b[32mab\x1b[0mcd", 2, "\x1b[32ma…\x1b[0m"}, {"x", 0, ""}, {"\x1b[2Jabc", 2, "\x1b…"},
	} {
		got := shorten(c.in, c.width)
		if c.width == 0 || strings.Contains(c.in, "[2J") { // what is no colour is Plain's to take out
			if visible(got) > max(c.width, 1) {
				t.Errorf("%q to %d: %q", c.in, c.width, got)
			}
			continue
		}
		if got != c.want {
			t.Errorf("%q to %d: %q, want %q", c.in, c.width, got, c.want)
		}
	}
}

// No colour without a terminal, with NO_COLOR, or at a terminal that has none.
func TestColour(t *testing.T) {
	master, tty := terminal(t)
	defer master.Close()
	defer tty.Close()
	for _, c := range []struct {
		w       io.Writer
		environ []string
		want    bool
	}{
		{tty, nil, true}, {tty, []string{"TERM=xterm-256color"}, true}, {tty, []string{"NO_COLOR="}, true}, {tty, []string{"NO_COLOR=1"}, false}, {tty, []string{"NO_COLOR=0"}, false},
		{tty, []string{"TERM=dumb"}, false}, {&strings.Builder{}, nil, false}, {master, []string{"CLICOLOR_FORCE=1", "NO_COLOR=1"}, false},
	} {
		if got := Colour(c.w, c.environ); got != c.want {
			t.Errorf("%T, %v: %v", c.w, c.environ, got)
		}
	}
	if width(&strings.Builder{}) != 0 || width(tty) != 73 {
		t.Errorf("widths %d, %d", width(&strings.Builder{}), width(tty))
	}
	if f, err := os.Open(os.DevNull); err != nil || width(f) != 0 {
		t.Errorf("%v", err)
	}
	if !slices.Equal(Table{{"A", "B"}, {"1", "-"}}.widths(), []int{1, 1}) {
		t.Error("widths")
	}
}
