package attention

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coltec/coltec/internal/sample"
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// story is what is told of sentences, looked at each second: "12 new text" for the second 12.
// Between two looks the book is killed, and read again.
func story(t *testing.T, seconds int, lines func(second int) []string) (told []string) {
	t.Helper()
	var book Book
	ids := map[string]State{}
	for s := range seconds {
		news, next := book.Look(lines(s), start.Add(time.Duration(s)*time.Second))
		for _, n := range news {
			told = append(told, fmt.Sprintf("%d %s %s", s, n.State, n.Text))
			if was, is := ids[n.ID]; n.State == New && is || n.State == Gone && was != New {
				t.Errorf("%d: %s is told as %s after %q", s, n.ID, n.State, was)
			}
			ids[n.ID] = n.State
		}
		if !next.IsZero() && !next.After(start.Add(time.Duration(s)*time.Second)) {
			t.Errorf("%d: the next look is to be at %v", s, next)
		}
		b, err := json.Marshal(book)
		book = Book{}
		if err = errors.Join(err, json.Unmarshal(b, &book)); err != nil {
			t.Fatal(err)
		}
	}
	return told
}

func TestLook(t *testing.T) {
	between := func(from, to int, lines ...string) func(int) []string {
		return func(s int) []string {
			if s >= from && s < to {
				return lines
			}
			return nil
		}
	}
	for what, tt := range map[string]struct {
		lines func(int) []string
		want  []string
	}{
		"nothing":            {between(0, 0), nil},
		"it comes and goes":  {between(10, 30, "a disk is full"), []string{"15 new a disk is full", "35 gone a disk is full"}},
		"it stays":           {between(10, 900, "a"), []string{"15 new a"}},
		"it is short":        {between(10, 14, "a"), nil},
		"a gap":              {func(s int) []string { return map[bool][]string{true: {"a"}}[s >= 10 && (s < 20 || s > 23)] }, []string{"15 new a"}},
		"numbers change":     {func(s int) []string { return []string{fmt.Sprintf("lost %d lines, %ds ago (%d)", s, s, s)} }, []string{"5 new lost 5 lines, 5s ago (5)"}},
		"names do not":       {func(s int) []string { return []string{fmt.Sprintf("web%d has failed", s/100)} }, []string{"5 new web0 has failed", "105 gone web0 has failed", "105 new web1 has failed", "205 gone web1 has failed", "205 new web2 has failed"}},
		"two that are alike": {func(s int) []string { return []string{"1 x", "2 x"}[min(1, s/50):] }, []string{"5 new 1 x", "5 new 2 x", "55 gone 1 x"}},
		"twice the same":     {between(0, 900, "a", "a", " a\n"), []string{"5 new a"}},
	} {
		t.Run(what, func(t *testing.T) {
			got := story(t, 300, tt.lines)
			if !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// What comes and goes all the time is told ever more seldom, and each time that it is gone
// before it is told again.
func TestFlapping(t *testing.T) {
	told := story(t, 4*3600, func(s int) []string {
		if s%20 < 10 {
			return []string{"a"}
		}
		return nil
	})
	if len(told) < 6 || len(told) > 22 {
		t.Errorf("told %d times in four hours: %q", len(told), told)
	}
	for i, line := range told {
		if want := []string{" new ", " gone "}[i%2]; !strings.Contains(line, want) {
			t.Errorf("%q, want%s", line, want)
		}
	}
	if calm := story(t, 4*3600, func(s int) []string {
		if s < 60 || s > 3*3600 { // it was calm for longer than anybody remembers
			return []string{"a"}
		}
		return nil
	}); len(calm) != 3 || !strings.HasPrefix(calm[2], "10806 ") {
		t.Errorf("%q", calm)
	}
}

// Whatever a status says, what is told is bounded and of one line, and each thing that is told
// to be there is told to be gone before it is told again.
func TestBounds(t *testing.T) {
	rnd := rand.New(rand.NewPCG(sample.Seed(t), 1))
	words := []string{"a", "b2", "3", "(4s", "\x1b[2J", "\xff", "x\ny", strings.Repeat("é", 900)}
	var now []string
	var book Book
	last := map[string]State{}
	for s := range sample.Size(1000, 20000) {
		for range rnd.IntN(3) {
			if n := rnd.IntN(160); n < len(now) {
				now = slices.Delete(now, n, n+1)
			} else {
				now = append(now, words[rnd.IntN(len(words))]+" "+words[rnd.IntN(len(words))]+fmt.Sprintf(" t%d", rnd.IntN(200)))
			}
		}
		news, _ := book.Look(now, start.Add(time.Duration(s)*time.Second))
		for _, n := range news {
			if len(n.Text) > TextMost || !utf8.ValidString(n.Text) || strings.ContainsAny(n.Text, "\n\x1b") {
				t.Fatalf("%q", n.Text)
			}
			if was := last[n.ID]; n.State == New && was != "" || n.State == Gone && was != New {
				t.Fatalf("%d: %+v after %q", s, n, was)
			}
			last[n.ID] = n.State
		}
		if len(book.Things) > Most {
			t.Fatalf("%d things", len(book.Things))
		}
	}
}

// A clock was set back between a coltecd that was killed and the next one: what it had noted lies
// years ahead, and is told all the same.
func TestClockThatWasSetBack(t *testing.T) {
	for what, made := range map[string]func(*Book, time.Time){
		"it came": func(b *Book, at time.Time) { b.Look([]string{"a"}, at) },
		"it was told, and is gone": func(b *Book, at time.Time) {
			b.Look([]string{"a"}, at)
			b.Look([]string{"a"}, at.Add(Settle))
			b.Look(nil, at.Add(time.Hour))
		},
		"it was told to be gone": func(b *Book, at time.Time) {
			b.Look([]string{"a"}, at)
			b.Look([]string{"a"}, at.Add(Settle))
			b.Look(nil, at.Add(time.Hour))
			b.Look(nil, at.Add(time.Hour+Settle))
		},
	} {
		var b Book
		made(&b, start.AddDate(4, 0, 0))
		told := 0
		for s := range 3 * 60 {
			lines := []string{"a"}
			if strings.HasSuffix(what, "is gone") {
				lines = nil
			}
			news, next := b.Look(lines, start.Add(time.Duration(s)*time.Second))
			told += len(news)
			if next.After(start.AddDate(0, 0, 1)) {
				t.Errorf("%s: the next look is to be at %v", what, next)
			}
		}
		if told != 1 {
			t.Errorf("%s: told %d times", what, told)
		}
	}
}

// Many that came and went leave room for one that is there.
func TestRoomForNews(t *testing.T) {
	var b Book
	now := start
	look := func(lines ...string) (news []News) {
		news, _ = b.Look(lines, now)
		now = now.Add(Settle)
		return news
	}
	for i := range 2 * Most {
		look(fmt.Sprintf("unit%d has failed", i))
		look(fmt.Sprintf("unit%d has failed", i))
	}
	look()
	look()
	look("the disk is full")
	if news := look("the disk is full"); len(news) != 1 || news[0].Text != "the disk is full" {
		t.Errorf("%+v, with %d things", news, len(b.Things))
	}
}

// What is gone, and was not told to be, makes no room for another: it is told first.
func TestRoomIsNotWhatIsToBeTold(t *testing.T) {
	var b Book
	var lines []string
	for i := range Most {
		lines = append(lines, fmt.Sprintf("unit%d has failed", i))
	}
	told := map[State]int{}
	for i, there := range [][]string{lines, lines, {"the disk is full"}, {"the disk is full"}, {"the disk is full"}, {"the disk is full"}} {
		news, _ := b.Look(there, start.Add(time.Duration(i)*Settle))
		for _, n := range news {
			told[n.State]++
		}
	}
	if told[New] != Most+1 || told[Gone] != Most {
		t.Errorf("told %v", told)
	}
}
