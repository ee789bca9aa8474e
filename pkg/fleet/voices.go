package fleet

import (
	"errors"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/digest"
)

// told is a digest and when it was written, by the store's clock.
type told struct {
	digest.Digest
	at time.Time
}

// after reports whether a digest counts over another of the same tenure: the last of its
// holder, whenever the store got it.
func (t told) after(o told) bool {
	if t.Serial != o.Serial {
		return t.Serial > o.Serial
	}
	return t.at.After(o.at)
}

// voices are the digests beside a head, as far as they may count. The zero value has none. What
// it comes to does not depend on the order in which a store lists them.
type voices struct {
	told  []told    // of each lineage the last of each tenure of the latest epoch
	later time.Time // when the last was written that only a later version can read; zero: none was
}

// voicesMost is how many tenures are kept of a workspace: one, as a rule, and a second where its
// head was made anew, or where two machines hold a lease that knows no conditions.
const voicesMost = 4

// hear adds the digest of a name.
func (v *voices) hear(name string, at time.Time) {
	d, err := digest.Parse(name)
	switch {
	case errors.Is(err, digest.ErrLater):
		if at.After(v.later) {
			v.later = at
		}
	case err == nil:
		v.add(told{d, at})
	}
}

// add adds a digest, unless a later one of its lineage is known. An epoch counts, whenever it
// came: a holder that was fenced may write late.
func (v *voices) add(t told) {
	for i, was := range v.told {
		switch {
		case was.Lineage == t.Lineage && was.Epoch > t.Epoch:
			return
		case was.SameTenure(t.Digest):
			if t.after(was) {
				v.told[i] = t
			}
			return
		}
	}
	v.told = slices.DeleteFunc(v.told, func(was told) bool { return was.Lineage == t.Lineage && was.Epoch < t.Epoch })
	v.told = append(v.told, t)
	if len(v.told) > voicesMost {
		slices.SortFunc(v.told, func(a, b told) int { return b.at.Compare(a.at) })
		v.told = v.told[:voicesMost]
	}
}

// only is the digest that counts, where there is no doubt which one that is: nil where there is
// none, where two holders speak, and where one of a later version may say something else since.
func (v *voices) only() *told {
	if v == nil || len(v.told) != 1 || !v.later.IsZero() && !v.later.Before(v.told[0].at) {
		return nil
	}
	return &v.told[0]
}

// of is what the holder of a head has said last; nil: nothing that is there.
func (v *voices) of(head digest.Digest) *told {
	if v == nil {
		return nil
	}
	i := slices.IndexFunc(v.told, func(t told) bool { return t.SameTenure(head) })
	if i < 0 {
		return nil
	}
	return &v.told[i]
}

// shift moves the times of all to another clock.
func (v *voices) shift(by time.Duration) {
	if !v.later.IsZero() {
		v.later = v.later.Add(by)
	}
	for i := range v.told {
		v.told[i].at = v.told[i].at.Add(by)
	}
}
