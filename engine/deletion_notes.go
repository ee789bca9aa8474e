package engine

import (
	"fmt"
	"time"

	"github.com/coltec/coltec/pkg/hint"
)

// passedFor is for how long deletions that nobody was asked about are told: as long as
// every generation is kept, so that the command that undoes them works.
const passedFor = 24 * time.Hour

// has is the verb of what so many have done.
func has(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}

// deletionNotes say which deletions wait here for a word, and the command for each way.
func (b observer) deletionNotes(m *member) (out []string) {
	say := func(text string, args ...any) {
		out = append(out, fmt.Sprintf("replica %s: ", m.Name)+fmt.Sprintf(text, args...))
	}
	generation := int64(0)
	if b.lease != nil && b.lease.Head() != nil {
		generation = b.lease.Head().Generation
	}
	word, back := "coltecd sync "+m.Name+" --allow-delete", undo(m.Name, generation)
	if m.report.held > 0 {
		say("%s for your decision: %s deletes the files everywhere; %s puts them back", hint.Count(m.report.held, "deletion waits", "deletions at once wait"), word, back)
	}
	came := hint.Count(m.report.heldHere, "deletion that was made elsewhere waits", "deletions at once that were made elsewhere wait")
	switch {
	case m.report.heldHere > 0 && !m.Writes(): // what others have deleted is not ours to bring back there
		say("%s for your decision: %s deletes the files here too", came, word)
	case m.report.heldHere > 0:
		say("%s for your decision: %s deletes the files here too; %s keeps them, and brings them back everywhere", came, word, back)
	}
	return out
}

// elsewhereNotes say which deletions wait for a decision on other machines.
func (b observer) elsewhereNotes(m *member) (out []string) {
	if b.lease == nil || b.lease.Head() == nil {
		return nil
	}
	head := b.lease.Head()
	say := func(text string, args ...any) {
		out = append(out, fmt.Sprintf("replica %s: ", m.Name)+fmt.Sprintf(text, args...))
	}
	word, back := "coltecd sync "+m.Name+" --allow-delete", undo(m.Name, head.Generation)
	for _, d := range head.Deletions[m.Name].Elsewhere(b.o.Self) {
		since := d.Since.Local().Format(time.DateTime)
		if d.Made > 0 {
			say("%s on %s %s waited there for a decision since %s (%s): there, %s deletes the files everywhere; %s puts them back",
				hint.Count(d.Made, "deletion that was made", "deletions that were made"), d.Host, has(d.Made), since, firstOf(d.Names, d.Made), word, back)
		}
		if d.Came > 0 {
			say("%s still on %s, and %s waited there for a decision since %s: there, %s deletes them; %s brings them back everywhere",
				hint.Count(d.Came, "file that was deleted elsewhere is", "files that were deleted elsewhere are"), d.Host, has(d.Came), since, word, back)
		}
	}
	return out
}

// undo is the command that brings back what is gone since a generation.
func undo(replica string, generation int64) string {
	return fmt.Sprintf("coltecd history restore --replica %s --deleted --at %d", replica, generation)
}

// firstOf names the first of n.
func firstOf(names []string, n int) string {
	if len(names) == 0 {
		return "…"
	}
	if n > 1 {
		return fmt.Sprintf("%q …", names[0])
	}
	return fmt.Sprintf("%q", names[0])
}

// notices are what is worth a word of a member's deletions, and needs none here.
func (b observer) notices(m *member) []string {
	out := b.elsewhereNotes(m)
	if note := b.passedNote(m); note != "" {
		out = append(out, note)
	}
	return out
}

// passedNote tells of many deletions that nobody was asked about; "" for none.
func (b observer) passedNote(m *member) string {
	if b.lease == nil || b.lease.Head() == nil {
		return ""
	}
	p := b.lease.Head().Deletions[m.Name].Passed
	if p == nil || b.now().Sub(p.Time) > passedFor {
		return ""
	}
	return fmt.Sprintf("replica %s: generation %d of %s lacks %d of %d files that were there before; %s puts them back",
		m.Name, p.Generation, p.Host, p.Count, p.Files, undo(m.Name, p.Generation-1))
}
