package account

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWords(t *testing.T) {
	var a Account
	if got := a.String(); got != "" || !a.Empty() || a.Count() != 0 || !a.Oldest().IsZero() {
		t.Errorf("an empty account says %q", got)
	}
	a.Add(Held, "x", 1, "")
	a.AddCount(Held, 0, "")
	a.Add(Unread, "secret", 0, "permission denied")
	for i := range NamesMax + 5 {
		a.Add(Moving, fmt.Sprint("f", i), 2, "it changes while it is read")
	}
	want := `25 files that change while they are read: "f0", "f1", "f2", …; 1 file that cannot be read: "secret" (permission denied); 1 deletion that waits for your decision: "x"`
	if diff := cmp.Diff(want, a.String()); diff != "" {
		t.Error(diff)
	}
	if p := a.Parts()[0]; len(p.Names) != NamesMax || p.Count != NamesMax+5 || p.Bytes != 2*(NamesMax+5) {
		t.Errorf("the part is %+v", p)
	}
	if a.Count() != NamesMax+7 || a.Of(Held) != 1 || a.Of(Waiting) != 0 {
		t.Errorf("it counts %d", a.Count())
	}
}

// A reason lasts as long as there is something of it, whatever it is of.
func TestFollow(t *testing.T) {
	first, second, third := time.Unix(1, 0), time.Unix(2, 0), time.Unix(3, 0)
	account := func(reasons ...Reason) (a Account) {
		for _, r := range reasons {
			a.Add(r, "f", 0, "")
		}
		return a
	}
	a := account(Moving)
	a.Follow(Account{}, first)
	b := account(Moving, Held)
	b.Follow(a, second)
	c := account(Held)
	c.Follow(b, third)
	d := account(Moving)
	d.Follow(c, third)
	for name, tt := range map[string]struct{ got, want time.Time }{
		"first": {a.Oldest(), first}, "it lasts": {b.Oldest(), first}, "the other lasts": {c.Oldest(), second}, "it is back": {d.Oldest(), third},
	} {
		if !tt.got.Equal(tt.want) {
			t.Errorf("%s: since %s", name, tt.got)
		}
	}
}

func TestErrors(t *testing.T) {
	var a Account
	a.Add(Moving, "f", 0, "")
	left := ErrorOf([]Left{{"r", a.Parts()}, {"empty", nil}})
	failed := errors.New("it failed")
	for name, tt := range map[string]struct {
		err  error
		is   bool
		text string
	}{
		"nothing":      {Join(nil, ErrorOf([]Left{{"r", nil}})), false, ""},
		"left":         {Join(nil, left), true, `not everything is in the bucket: r: 1 file that changes while it is read: "f"`},
		"failed":       {Join(failed, nil), false, "it failed"},
		"failed, left": {Join(failed, left), false, "it failed\n" + `not everything is in the bucket: r: 1 file that changes while it is read: "f"`},
	} {
		text := ""
		if tt.err != nil {
			text = tt.err.Error()
		}
		if errors.Is(tt.err, ErrOnlyHere) != tt.is || text != tt.text {
			t.Errorf("%s: %v", name, tt.err)
		}
	}
}
