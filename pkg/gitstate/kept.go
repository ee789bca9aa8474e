package gitstate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// KeptRef is a value of a ref that lost its name to the remote side's.
type KeptRef struct {
	Repository string    // its git directory, below the tree
	Ref        string    // that keeps it
	Name       string    // that it had, without "refs/": heads/main; or HEAD, or index for what was staged
	Object     string    // what it leads to
	Env        string    // where it was
	Time       time.Time // when it lost its name
}

// Kept lists what is kept in the repositories whose shadows are in a directory,
// as the last captures saw them.
func Kept(shadows string) ([]KeptRef, error) {
	var out []KeptRef
	err := each(shadows, func(repository string) error {
		refs, _, err := readRefs(source{dir: filepath.Join(shadows, repository)}, listing{})
		for _, ref := range slices.Sorted(maps.Keys(refs)) {
			if k, ok := keptRef(ref); ok {
				k.Repository, k.Object = repository, refs[ref]
				out = append(out, k)
			}
		}
		return err
	})
	slices.SortStableFunc(out, func(a, b KeptRef) int { return strings.Compare(a.Repository, b.Repository) })
	return out, err
}

// Drop removes a ref that keeps something from a repository of the tree at root, and its
// log.
func Drop(root, repository, ref string) error {
	src, err := New(Options{Root: root}).source(repository)
	if err == nil {
		err = errors.Join(src.delete(map[string]string{ref: anything}), src.remove("logs/"+ref))
	}
	if err != nil {
		return fmt.Errorf("cannot drop %q: %w", ref, err)
	}
	return nil
}

// keptRef reads what the name of a ref under KeptRefs says.
func keptRef(ref string) (k KeptRef, ok bool) {
	below, ok := strings.CutPrefix(ref, KeptRefs)
	parts := strings.SplitN(below, "/", 3)
	if !ok || len(parts) < 3 {
		return k, false
	}
	t, err := time.Parse(keptStamp, parts[1])
	return KeptRef{Ref: ref, Env: parts[0], Time: t, Name: parts[2]}, err == nil
}

// Apart says of a ref that keeps something, in a repository whose shadow is in a directory,
// which commits it reaches that what has its name does not, and the other way: as the last
// capture saw them. scratch is an empty directory of ours, for git, which looks at nothing
// that the repository configured.
func Apart(ctx context.Context, shadows string, k KeptRef, scratch string) (c Commits, err error) {
	s, err := readCopy(filepath.Join(shadows, k.Repository))
	if err != nil {
		return c, err
	}
	l, err := layoutOf(ctx, s.src)
	if err != nil {
		return c, err
	}
	keeper := New(Options{Root: scratch, Stage: func() string { return scratch }})
	r, err := keeper.scratchGit("apart.git", l.objects, s.file("objects"))
	if err != nil {
		return c, err
	}
	if shallow := s.read("shallow"); shallow != nil {
		if err := keeper.area().Write(filepath.Join(r.dir, "shallow"), shallow, 0o644); err != nil {
			return c, err
		}
	}
	now := s.refs["refs/"+k.Name]
	if now == "" { // what was checked out, or staged, by itself
		now = s.head("")
	}
	if !isOID(now) {
		now = ""
	}
	return r.between(ctx, k.Ref, map[string]string{k.Ref: now}, map[string]string{k.Ref: k.Object})
}
