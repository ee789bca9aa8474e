package store

import (
	"slices"
	"time"
)

// Deletions is what a head says of a replica's deletions, so that no machine asks again
// for what was decided, and each one knows what was not.
type Deletions struct {
	// Allowed counts all that somebody had a say in: a person's word, or git.
	Allowed int64 `json:"allowed,omitempty"`
	// Passed is the last time that many went at once, and nobody was asked.
	Passed *Passed `json:"passed,omitempty"`
	// Held are deletions that wait for a person's word, by machine.
	Held []HeldDeletions `json:"held,omitempty"`
}

// Passed are many deletions of one generation.
type Passed struct {
	Generation int64     `json:"generation"` // which has them; the one before has the files
	Count      int       `json:"count"`
	Files      int       `json:"files"` // of so many
	Host       string    `json:"host"`
	Time       time.Time `json:"time"`
}

// HeldDeletions are deletions that wait for a person's word on one machine.
type HeldDeletions struct {
	Host      string    `json:"host"`
	Container string    `json:"container,omitempty"`
	Place     string    `json:"place,omitempty"`
	Since     time.Time `json:"since"`
	Made      int       `json:"made,omitempty"` // made there: the bucket still has the files
	Came      int       `json:"came,omitempty"` // come from the bucket: the machine still has the files
	Names     []string  `json:"names,omitempty"`
}

// of says that they wait at a holder's place.
func (d HeldDeletions) of(h Holder) bool {
	return h.Same(Holder{Host: d.Host, Container: d.Container, Place: d.Place})
}

// Elsewhere are those that wait on other machines than a holder's.
func (d Deletions) Elsewhere(self Holder) []HeldDeletions {
	return slices.DeleteFunc(slices.Clone(d.Held), func(x HeldDeletions) bool { return x.of(self) })
}

// hold is what a head says of them with what waits at a holder's place now; nil for nothing.
// What was said before a moment is of a machine that did not come back.
func (d Deletions) hold(self Holder, now *HeldDeletions, stale time.Time) Deletions {
	var held []HeldDeletions
	for _, x := range d.Held {
		switch {
		case x.of(self) && now != nil:
			now.Since = x.Since
		case !x.of(self) && !x.Since.Before(stale):
			held = append(held, x)
		}
	}
	if now != nil {
		now.Host, now.Container, now.Place = self.Host, self.Container, self.Place
		held = append(held, *now)
	}
	d.Held = held
	return d
}

// pass is what a head says of them after those that go with a generation.
func (d Deletions) pass(generation, allowed int64, many *Passed) Deletions {
	d.Allowed += allowed
	if many != nil {
		p := *many
		p.Generation = generation
		d.Passed = &p
	}
	return d
}

// none reports whether there is nothing to be said.
func (d Deletions) none() bool { return d.Allowed == 0 && d.Passed == nil && len(d.Held) == 0 }
