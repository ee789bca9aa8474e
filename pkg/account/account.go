// Package account is what one machine has and the last committed generation lacks:
// the one answer to "is it in the bucket?". The engine writes it; status, sync,
// stop, run --once, coltec down, the head and the next machine read it.
package account

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Reason says why something is only here.
type Reason string

// The reasons.
const (
	Moving     Reason = "moving"       // a file that changed while it was read
	Unfinished Reason = "unfinished"   // the beginning of the last line of a file of JSON lines
	Held       Reason = "held"         // a deletion that waits for a person's word
	Uncaptured Reason = "not captured" // a repository or a database that could not be captured as it is now, or a file that is too large
	Deferred   Reason = "deferred"     // there was no room in a step, or no time, for it
	Waiting    Reason = "waiting"      // the lease is not here
	Blocked    Reason = "blocked"      // the replica cannot be pushed before something else happens
	Unread     Reason = "not read"     // it cannot be read
)

// reasons in the order in which they are told.
var reasons = []Reason{Moving, Unfinished, Unread, Uncaptured, Held, Deferred, Waiting, Blocked}

// NamesMax is how many paths of a reason are named; the rest is counted.
const NamesMax = 20

// Part is what is only here for one reason.
type Part struct {
	Reason Reason    `json:"reason"`
	Count  int       `json:"count"`           // of paths, or of repositories
	Bytes  int64     `json:"bytes"`           // of content, as far as it is known
	Since  time.Time `json:"since,omitzero"`  // since when there is something without a break
	Names  []string  `json:"names,omitempty"` // the first ones, NamesMax at most
	Why    string    `json:"why,omitempty"`   // of the first one, in words
}

// Account is what is only here of one replica. The zero value is empty: all of it is
// in the last committed generation.
type Account struct{ parts []Part }

// Add notes a path, or a repository.
func (a *Account) Add(reason Reason, name string, bytes int64, why string) {
	if reason.dropped() {
		return
	}
	p := a.part(reason)
	p.Count++
	p.Bytes += bytes
	if p.Why == "" {
		p.Why = why
	}
	if len(p.Names) < NamesMax {
		p.Names = append(p.Names, name)
	}
}

// AddCount notes n paths that are not named.
func (a *Account) AddCount(reason Reason, n int, why string) {
	if n <= 0 || reason.dropped() {
		return
	}
	p := a.part(reason)
	p.Count += n
	if p.Why == "" {
		p.Why = why
	}
}

func (a *Account) part(reason Reason) *Part {
	i := slices.IndexFunc(a.parts, func(p Part) bool { return p.Reason == reason })
	if i < 0 {
		a.parts = append(a.parts, Part{Reason: reason})
		i = len(a.parts) - 1
	}
	return &a.parts[i]
}

// Follow takes over since when each reason lasts from the account before this one.
func (a *Account) Follow(before Account, now time.Time) {
	for i := range a.parts {
		p := &a.parts[i]
		p.Since = now
		for _, b := range before.parts {
			if b.Reason == p.Reason && !b.Since.IsZero() {
				p.Since = b.Since
			}
		}
	}
}

// Empty reports whether nothing is only here.
func (a Account) Empty() bool { return len(a.parts) == 0 }

// Count is the number of paths and repositories that are only here.
func (a Account) Count() int {
	n := 0
	for _, p := range a.parts {
		n += p.Count
	}
	return n
}

// Of is the number of those with a reason.
func (a Account) Of(reason Reason) int {
	for _, p := range a.parts {
		if p.Reason == reason {
			return p.Count
		}
	}
	return 0
}

// Oldest is since when something is only here; the zero time for nothing.
func (a Account) Oldest() time.Time {
	var oldest time.Time
	for _, p := range a.parts {
		if oldest.IsZero() || p.Since.Before(oldest) {
			oldest = p.Since
		}
	}
	return oldest
}

// Parts are what is only here, by reason, in a fixed order.
func (a Account) Parts() []Part {
	out := slices.Clone(a.parts)
	slices.SortFunc(out, func(x, y Part) int { return slices.Index(reasons, x.Reason) - slices.Index(reasons, y.Reason) })
	return out
}

// FromParts is the account that has these parts.
func FromParts(parts []Part) Account { return Account{slices.Clone(parts)} }

// sentences say what a part is of, for one and for many.
var sentences = map[Reason][2]string{
	Moving:     {"file that changes while it is read", "files that change while they are read"},
	Unfinished: {"file whose last line is not whole yet", "files whose last lines are not whole yet"},
	Held:       {"deletion that waits for your decision", "deletions that wait for your decision"},
	Uncaptured: {"repository, database or file that could not be captured", "repositories, databases and files that could not be captured"},
	Deferred:   {"change that there was no time for", "changes that there was no time for"},
	Waiting:    {"change that waits for the lease", "changes that wait for the lease"},
	Blocked:    {"change that cannot be pushed yet", "changes that cannot be pushed yet"},
	Unread:     {"file that cannot be read", "files that cannot be read"},
}

// namesTold is how many names a sentence has.
const namesTold = 3

// String says a part in words: a count, what of, and the first names.
func (p Part) String() string {
	words, ok := sentences[p.Reason]
	if !ok { // a later version's
		words = [2]string{"change (" + string(p.Reason) + ")", "changes (" + string(p.Reason) + ")"}
	}
	word := words[1]
	if p.Count == 1 {
		word = words[0]
	}
	text := fmt.Sprintf("%d %s", p.Count, word)
	if len(p.Names) == 0 {
		return text + p.because()
	}
	var names []string
	for _, n := range p.Names[:min(len(p.Names), namesTold)] {
		names = append(names, fmt.Sprintf("%q", n))
	}
	if p.Count > len(names) {
		names = append(names, "…")
	}
	return text + ": " + strings.Join(names, ", ") + p.because()
}

// because is why, where the reason's own words do not say it.
func (p Part) because() string {
	if p.Why == "" || p.Reason == Moving || p.Reason == Unfinished || p.Reason == Held || p.Reason == Deferred {
		return ""
	}
	return " (" + p.Why + ")"
}

// String says an account in words; "" for an empty one.
func (a Account) String() string {
	var parts []string
	for _, p := range a.Parts() {
		parts = append(parts, p.String())
	}
	return strings.Join(parts, "; ")
}

// Left is what is only here of one replica.
type Left struct {
	Replica string `json:"replica"`
	Parts   []Part `json:"parts"`
}

// CountOf is the number of paths and repositories in several accounts.
func CountOf(left []Left) int {
	n := 0
	for _, l := range left {
		n += FromParts(l.Parts).Count()
	}
	return n
}

// Words says several accounts in one sentence.
func Words(left []Left) string {
	var parts []string
	for _, l := range left {
		parts = append(parts, l.Replica+": "+FromParts(l.Parts).String())
	}
	return strings.Join(parts, "; ")
}

// ErrKept says that the lease is this machine's still, after the end: another one has
// to wait until it runs out.
var ErrKept = errors.New("the lease could not be given back")

// ErrOnlyHere is what an [Error] is: a verb has done what it could, and something is
// on this machine only.
var ErrOnlyHere = errors.New("not everything is in the bucket")

// Next says what becomes of what a stop that ended with such an error left behind.
func Next(err error) string {
	if errors.Is(err, ErrKept) && !errors.Is(err, ErrOnlyHere) {
		return "another machine waits until it runs out; it is given back when coltecd runs here again"
	}
	return "it is pushed when coltecd runs here again"
}

// Error is the error of a verb that leaves something behind.
type Error struct{ Left []Left }

// ErrorOf makes an error of accounts; nil when they are all empty.
func ErrorOf(left []Left) error {
	left = slices.DeleteFunc(slices.Clone(left), func(l Left) bool { return len(l.Parts) == 0 })
	if len(left) == 0 {
		return nil
	}
	return &Error{left}
}

func (e *Error) Error() string { return ErrOnlyHere.Error() + ": " + Words(e.Left) }

// Is reports whether target is ErrOnlyHere.
func (e *Error) Is(target error) bool { return target == ErrOnlyHere }

// Join is the error of a verb that failed, or left something behind, or did both: then
// it failed, and names what is only here all the same.
func Join(failed, left error) error {
	if failed == nil || left == nil {
		return errors.Join(failed, left)
	}
	return errors.Join(failed, errors.New(left.Error()))
}
