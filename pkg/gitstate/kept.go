package gitstate

import (
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
