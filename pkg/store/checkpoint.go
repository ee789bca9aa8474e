package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coltec/coltec/pkg/hint"
)

// Checkpoint is a generation that has a name: what it refers to is no garbage until the
// name is taken away.
type Checkpoint struct {
	Name string    `json:"name"`
	Text string    `json:"text,omitempty"` // what a person said of it
	Host string    `json:"host,omitempty"` // on which it was made
	Made time.Time `json:"made"`           // by the clock of that host
	// Undo says that a join or a rewind made it, to go back by: the newest UndosMax stay.
	Undo bool `json:"undo,omitempty"`
	Generation
}

// UndosMax is how many checkpoints stay that joins and rewinds made: there are a hundred of all.
const UndosMax = 10

// Bounds of checkpoints: the head carries each of them, with 300 bytes for each replica.
const (
	checkpointsMax    = 100
	checkpointRefs    = 1 << 10 // replicas in all of them
	CheckpointTextMax = 200     // bytes
)

// isCheckpointName reports whether a checkpoint may be called so: it is no number and no moment.
func isCheckpointName(text string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	return text != "" && len(text) <= 63 && strings.Contains(letters, text[:1]) && strings.Trim(text, letters+"0123456789._-") == ""
}

// Errors about checkpoints.
var (
	ErrCheckpointExists = errors.New("there is a checkpoint of that name")
	ErrNoCheckpoint     = errors.New("there is no such checkpoint")
	ErrNothingToName    = errors.New("nothing was ever committed")
	ErrNotKept          = errors.New("that generation is not kept any more, or was never made")
)

// CheckCheckpoint says what is wrong with the name or the text of a new checkpoint.
func CheckCheckpoint(name, text string) error {
	switch {
	case !isCheckpointName(name):
		return fmt.Errorf("a checkpoint cannot be called %s: a name begins with a letter and has at most 63 of A-Z, a-z, 0-9, dot, dash and underscore", short(name))
	case len(text) > CheckpointTextMax || !utf8.ValidString(text):
		return fmt.Errorf("the text of a checkpoint is UTF-8 of at most %d bytes", CheckpointTextMax)
	}
	return nil
}

// Checkpoint finds one by its name.
func (h *Head) Checkpoint(name string) (Checkpoint, bool) {
	i := slices.IndexFunc(h.Checkpoints, func(c Checkpoint) bool { return c.Name == name })
	if i < 0 {
		return Checkpoint{}, false
	}
	return h.Checkpoints[i], true
}

// Kept gives a generation that is kept, by the log or as a checkpoint. The error is
// [ErrNotKept] for another, or of the store.
func (l *Lease) Kept(ctx context.Context, number int64) (Generation, error) {
	if err := l.mine(); err != nil {
		return Generation{}, err
	}
	of := func(g Generation) bool { return g.Number == number }
	if i := slices.IndexFunc(l.head.Recent, of); i >= 0 {
		return l.head.Recent[i], nil
	}
	for _, c := range l.head.Checkpoints {
		if of(c.Generation) {
			return c.Generation, nil
		}
	}
	log, err := ReadLog(ctx, l.bucket, l.head, "")
	if err != nil {
		return Generation{}, err
	}
	if i := slices.IndexFunc(log.Generations, of); i >= 0 {
		return log.Generations[i], nil
	}
	return Generation{}, fmt.Errorf("cannot find generation %d: %w", number, ErrNotKept)
}

// MayPin says why the head's generation cannot be given the name. That of a rewind or a join
// (undo) may come on top of those that fit, where [Head.DropUndos] then finds others of its kind
// to take away: what a person named has no share in that.
func (h *Head) MayPin(name, text string, undo bool) error {
	if err := CheckCheckpoint(name, text); err != nil {
		return err
	}
	if c, is := h.Checkpoint(name); is {
		return hint.Wrap(fmt.Errorf("cannot make checkpoint %s: %w, generation %d of %s", name, ErrCheckpointExists, c.Number, c.Time.Format(time.RFC3339)),
			"choose another name, or remove that one first: coltecd checkpoint --remove %s", hint.Word(name))
	}
	if h.Generation == 0 {
		return fmt.Errorf("cannot make checkpoint %s: %w", name, ErrNothingToName)
	}
	all, undos := h.pins()
	fits := all.with(h.Replicas).fit()
	if !fits && undo && undos.count < 2*UndosMax { // more are only there after as many kills
		fits = pins{all.count - undos.count, all.refs - undos.refs}.with(h.Replicas).fit()
	}
	if !fits {
		return hint.Wrap(fmt.Errorf("cannot make checkpoint %s: there are %d, %s, and no more fit", name, all.count, hint.Count(undos.count, "of them made by a rewind or a join", "of them made by rewinds and joins")),
			"remove some that are not needed: coltecd checkpoints lists them")
	}
	return nil
}

// pins is how many checkpoints there are, and how many trees of replicas they name.
type pins struct{ count, refs int }

func (p pins) with(replicas map[string]Ref) pins { return pins{p.count + 1, p.refs + len(replicas)} }

// fit reports whether a head may have as many.
func (p pins) fit() bool { return p.count <= checkpointsMax && p.refs <= checkpointRefs }

// pins counts all checkpoints, and those among them that nobody named.
func (h *Head) pins() (all, undos pins) {
	for _, c := range h.Checkpoints {
		all = all.with(c.Replicas)
		if c.Undo {
			undos = undos.with(c.Replicas)
		}
	}
	return all, undos
}

// Pin is the change of a head that gives its generation a name.
func (h *Head) Pin(name, text, host string, now time.Time) {
	last := Generation{Number: h.Generation, Epoch: h.Epoch, Nonce: h.Nonce, Time: now}
	if n := len(h.Recent); n > 0 && h.Recent[n-1].Number == h.Generation {
		last = h.Recent[n-1]
	}
	last.Replicas = maps.Clone(h.Replicas)
	h.Checkpoints = append(slices.Clone(h.Checkpoints), Checkpoint{Name: name, Text: text, Host: host, Made: now.UTC().Truncate(time.Second), Generation: last})
}

// MarkUndo is the change of a head that says of a checkpoint that nobody named it.
func (h *Head) MarkUndo(name string) {
	h.Checkpoints = slices.Clone(h.Checkpoints)
	for i := range h.Checkpoints {
		h.Checkpoints[i].Undo = h.Checkpoints[i].Undo || h.Checkpoints[i].Name == name
	}
}

// DropUndos is the change of a head that takes the oldest of those away that nobody named: all but
// UndosMax, and more where else not all would fit. The newest stays.
func (h *Head) DropUndos() {
	all, undos := h.pins()
	h.Checkpoints = slices.DeleteFunc(slices.Clone(h.Checkpoints), func(c Checkpoint) bool {
		if !c.Undo || undos.count <= 1 || undos.count <= UndosMax && all.fit() {
			return false
		}
		all, undos = pins{all.count - 1, all.refs - len(c.Replicas)}, pins{undos.count - 1, undos.refs - len(c.Replicas)}
		return true
	})
}

// Unpin is the change of a head that takes a name away.
func (h *Head) Unpin(name string) {
	h.Checkpoints = slices.DeleteFunc(slices.Clone(h.Checkpoints), func(c Checkpoint) bool { return c.Name == name })
}

// checkCheckpoints refuses checkpoints that no coltecd makes.
func (h *Head) checkCheckpoints() error {
	if len(h.Checkpoints) > 4*checkpointsMax {
		return fmt.Errorf("%d checkpoints in one head", len(h.Checkpoints))
	}
	seen := map[string]bool{}
	for i := range h.Checkpoints {
		c := &h.Checkpoints[i]
		switch err := CheckCheckpoint(c.Name, c.Text); {
		case err != nil:
			return err
		case seen[c.Name]:
			return fmt.Errorf("two checkpoints are called %s", c.Name)
		case c.Number > h.Generation:
			return fmt.Errorf("checkpoint %s is of generation %d, and the newest is %d", c.Name, c.Number, h.Generation)
		case len(c.Host) > maxWord:
			return fmt.Errorf("a name of %d bytes in the head", len(c.Host))
		}
		seen[c.Name] = true
		if err := c.Generation.check(-1); err != nil {
			return fmt.Errorf("checkpoint %s: %w", c.Name, err)
		}
	}
	return nil
}
