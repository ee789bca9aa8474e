// Package attention tells what of the sentences of a status is news: each thing once when it
// comes and once when it is over, though its sentence changes its numbers, comes and goes, or
// is told by a coltecd that is killed. Pure: no clock, no file.
package attention

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/coltec/coltec/pkg/backoff"
)

// State says whether something came or went.
type State string

// The states of a thing that needs attention.
const (
	New  State = "new"
	Gone State = "gone"
)

// News is that something needs attention, or does not any more.
type News struct {
	ID    string    `json:"id"` // of the thing: the same when it is gone
	State State     `json:"state"`
	Text  string    `json:"text"`
	Since time.Time `json:"since"` // when it came
	Time  time.Time `json:"time"`  // when this was found
}

const (
	// Settle is how long something is there, or is not, before that is told: a unit that is
	// started again passes through states that are nobody's business.
	Settle = 5 * time.Second
	// Most is how many things are followed. A status of more is a sentence long enough.
	Most = 100
	// TextMost bounds a sentence, in bytes.
	TextMost = 1000
	// memory is for how long a thing that is gone counts as the same one if it comes back.
	memory = 2 * time.Hour
)

// again is how long after it was told last a thing that comes back is told again.
var again = backoff.Policy{Base: time.Minute, Max: time.Hour, Factor: 2}

// Book is what was told. The zero value is one that was told nothing; it survives JSON.
type Book struct {
	Things []Thing `json:"things"`
}

// Thing is something that needs attention, or did a while ago.
type Thing struct {
	ID    string    `json:"id"`
	Text  string    `json:"text"` // as it was said last
	Since time.Time `json:"since"`
	Gone  time.Time `json:"gone,omitzero"` // from when on it was not there; zero: it is
	Told  bool      `json:"told"`          // that it is there
	At    time.Time `json:"at,omitzero"`   // when it was last told
	Times int       `json:"times"`         // how often that it is there
}

// Look compares the sentences of a status with what was told, and notes and returns what is
// news. next is when there may be more without another sentence; zero: then there is not.
func (b *Book) Look(lines []string, now time.Time) (news []News, next time.Time) {
	b.wind(now)
	b.meet(clean(lines), now)
	due := func(at time.Time) bool {
		if at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
		return !at.After(now)
	}
	b.Things = slices.DeleteFunc(b.Things, func(t Thing) bool {
		return !t.Gone.IsZero() && !t.Told && (t.Times == 0 || now.Sub(t.Gone) > memory)
	})
	for i := range b.Things {
		t := &b.Things[i]
		switch {
		case t.Gone.IsZero() && !t.Told && due(t.tellable()):
			t.Told, t.At = true, now
			t.Times++
			news = append(news, t.news(New, now))
		case !t.Gone.IsZero() && t.Told && due(t.Gone.Add(Settle)):
			t.Told = false
			news = append(news, t.news(Gone, now))
		}
	}
	return news, next
}

// wind takes back what lies in the future: the book of a coltecd before this one may have times of
// a clock that was set since, and nothing is to wait for those.
func (b *Book) wind(now time.Time) {
	for i := range b.Things {
		for _, at := range []*time.Time{&b.Things[i].Since, &b.Things[i].Gone, &b.Things[i].At} {
			if at.After(now) {
				*at = now
			}
		}
	}
}

// tellable is from when on it is told that a thing is there.
func (t *Thing) tellable() time.Time {
	at := t.Since.Add(Settle)
	if t.Times > 0 {
		if later := t.At.Add(again.Delay(t.Times-1, nil)); later.After(at) {
			return later
		}
	}
	return at
}

func (t *Thing) news(state State, now time.Time) News {
	return News{ID: t.ID, State: state, Text: t.Text, Since: t.Since, Time: now}
}

// begin makes it a thing that came now.
func (t *Thing) begin(line string, now time.Time) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", now.UnixNano(), line))
	t.ID, t.Since = hex.EncodeToString(sum[:8]), now
}

// meet notes which things are there: by the same sentence, else by one that differs in its
// numbers alone. Among several that do, the first that is left is it.
func (b *Book) meet(lines []string, now time.Time) {
	there := make([]bool, len(b.Things))
	met := make([]bool, len(lines))
	whole := func(line string) string { return line }
	for _, what := range []func(string) string{whole, kernel} {
		left := map[string][]int{} // things that were not met, by what they say
		for i, t := range b.Things {
			if !there[i] {
				left[what(t.Text)] = append(left[what(t.Text)], i)
			}
		}
		for l, line := range lines {
			if of := left[what(line)]; !met[l] && len(of) > 0 {
				there[of[0]], met[l] = true, true
				b.Things[of[0]].comes(line, now)
				left[what(line)] = of[1:]
			}
		}
	}
	for i := range there {
		if t := &b.Things[i]; !there[i] && t.Gone.IsZero() {
			t.Gone = now
		}
	}
	for l, line := range lines {
		if !met[l] && b.hasRoom() {
			t := Thing{Text: line}
			t.begin(line, now)
			b.Things = append(b.Things, t)
		}
	}
}

// hasRoom reports whether one more thing can be followed. What is gone, and was told to be, makes
// room for what is there: that which is gone for longest.
func (b *Book) hasRoom() bool {
	if len(b.Things) < Most {
		return true
	}
	oldest := -1
	for i, t := range b.Things {
		if !t.Gone.IsZero() && !t.Told && (oldest < 0 || t.Gone.Before(b.Things[oldest].Gone)) {
			oldest = i
		}
	}
	if oldest < 0 {
		return false
	}
	b.Things = slices.Delete(b.Things, oldest, oldest+1)
	return true
}

// comes notes that a thing is there.
func (t *Thing) comes(line string, now time.Time) {
	if !t.Gone.IsZero() && !t.Told { // it was gone, and that was told
		t.begin(line, now)
	}
	t.Text, t.Gone = line, time.Time{}
}

// clean are sentences as they may be told: of one line, bounded, each once.
func clean(lines []string) (list []string) {
	for _, line := range lines {
		line = strings.ToValidUTF8(line, "")
		line = strings.Join(strings.FieldsFunc(line, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
		if len(line) > TextMost {
			line = strings.ToValidUTF8(line[:TextMost-len("…")], "") + "…"
		}
		if line != "" && !slices.Contains(list, line) {
			list = append(list, line)
		}
	}
	return list
}

// kernel is a sentence without its numbers: counts, ages and times change while it says the
// same. A word with a digit in it, such as web2, is a name.
func kernel(line string) string {
	words := strings.Fields(line)
	for i, w := range words {
		if bare := strings.TrimLeft(w, `("'[-+~`); bare != "" && bare[0] >= '0' && bare[0] <= '9' {
			words[i] = "#"
		}
	}
	return strings.Join(words, " ")
}
