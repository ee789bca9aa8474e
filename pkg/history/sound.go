package history

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/whole"
)

// Broken is a whole that can be had, and is not sound.
type Broken struct {
	Path       string   `json:"path"` // of the repository or the database
	Generation int64    `json:"generation"`
	Wrong      []string `json:"wrong"`           // in words
	Sound      int64    `json:"sound,omitempty"` // the newest older generation that has it sound; 0: none of those that were tried
}

// olderMost is how many older states of a whole that is not sound are looked at.
const olderMost = 10

// VerifyWholes lays out each whole that a generation has of a replica and that can be told to
// be sound, one after the other, and looks whether it is sound. say tells which one it is.
func (r *Reader) VerifyWholes(ctx context.Context, x scope.Replica, g store.Generation, v *Verdict, say func(string)) error {
	if x.Layout == "mirror" || g.Replicas[x.Name].Manifest == "" {
		return nil
	}
	t, layout, err := r.Tree(ctx, x, g)
	if err != nil {
		return err
	}
	all := slices.DeleteFunc(kinds.ShadowsIn(t), func(s whole.Shadow) bool {
		_, tells := s.Kind.(whole.Verifier)
		return !tells
	})
	for i, s := range all {
		say(fmt.Sprintf("%s: opening %q, %d of %d", x.Name, s.Name, i+1, len(all)))
		wrong, err := r.open(ctx, s, layout)
		if err != nil {
			return fmt.Errorf("cannot open %q of generation %d: %w", s.Name, g.Number, err)
		}
		v.Opened++
		if len(wrong) == 0 {
			continue
		}
		b := Broken{Path: s.Name, Generation: g.Number, Wrong: wrong}
		if b.Sound, err = r.soundBefore(ctx, x, g, s, say); err != nil {
			return err
		}
		v.Broken = append(v.Broken, b)
	}
	return nil
}

// open lays out a whole and says what is wrong with it.
func (r *Reader) open(ctx context.Context, s whole.Shadow, layout store.Layout) (wrong []string, err error) {
	dir, err := os.MkdirTemp(r.tmp, "whole-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	laid, scratch := filepath.Join(dir, "laid"), filepath.Join(dir, "scratch")
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return nil, err
	}
	out, err := replica.Export(ctx, laid, &store.Tree{Entries: s.Entries}, layout, true, nil)
	var told *rclone.Error
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.As(err, &told) && told.Class != rclone.NotFound:
		return nil, err
	case err != nil:
		return []string{"it cannot be had: " + anchor.OneLine(err)}, nil
	case len(out.Problems) > 0:
		return nil, fmt.Errorf("%q: %s", out.Problems[0].Path, out.Problems[0].Reason)
	}
	return s.Kind.(whole.Verifier).Verify(ctx, laid, scratch)
}

// soundBefore looks for the newest generation before one that has a whole sound.
func (r *Reader) soundBefore(ctx context.Context, x scope.Replica, g store.Generation, s whole.Shadow, say func(string)) (int64, error) {
	gens, err := r.Log(ctx)
	if err != nil {
		return 0, err
	}
	last, tried := stateOf(s), 0
	for _, older := range slices.Backward(gens) {
		if older.Number >= g.Number || older.Replicas[x.Name].Manifest == "" {
			continue
		}
		t, layout, err := r.Tree(ctx, x, older)
		if err != nil {
			return 0, err
		}
		i := slices.IndexFunc(kinds.ShadowsIn(t), func(o whole.Shadow) bool { return o.Layout().Dir == s.Layout().Dir && o.Name == s.Name })
		if i < 0 {
			continue
		}
		was := kinds.ShadowsIn(t)[i]
		if now := stateOf(was); now == last {
			continue
		} else if last = now; tried == olderMost {
			return 0, nil
		}
		tried++
		say(fmt.Sprintf("%s: opening %q of generation %d", x.Name, s.Name, older.Number))
		wrong, err := r.open(ctx, was, layout)
		if err != nil || len(wrong) == 0 {
			return older.Number, err
		}
	}
	return 0, nil
}

// stateOf tells states of a whole apart.
func stateOf(s whole.Shadow) string {
	var b strings.Builder
	for i := range s.Entries {
		e := &s.Entries[i]
		fmt.Fprintf(&b, "%q %c %s %q\n", e.Path, e.Kind, e.Sum, e.Link)
	}
	return b.String()
}
