package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/leak"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/tree"
)

// Suspect is a place in a file that is carried which looks like a secret.
type Suspect struct {
	Path string `json:"path"` // absolute
	leak.Find
}

// Suspects are the answer of [LookForSecrets].
type Suspects struct {
	Files  int       `json:"files"`  // that were looked through
	Found  []Suspect `json:"found"`  // in the order of the trees
	Unread []string  `json:"unread"` // what could not be looked through, each with its reason
}

// LookForSecrets looks through what is carried of the home, as it is now: the same paths that
// a save would take as files. It asks no bucket, and changes nothing. The error is of a home
// that cannot be read, or of a spec that carries nothing of one.
func LookForSecrets(ctx context.Context, o Options) (Suspects, error) {
	all := Suspects{Found: []Suspect{}, Unread: []string{}}
	logDir, err := o.LogDir()
	if err != nil {
		return all, err
	}
	s := setting{spec: o.Spec, folder: o.folder(), environ: o.Environ, logDir: logDir}.real()
	homes := 0
	for _, y := range s.spec.Replicas() {
		if !y.InHome && !s.writtenOut(y) {
			continue
		}
		homes++
		if err := s.suspectsIn(ctx, y, &all); err != nil {
			return all, fmt.Errorf("cannot look through replica %q: %w", y.Name, err)
		}
	}
	if homes == 0 {
		return all, errors.New("nothing of the home is carried: there is nothing to look through")
	}
	return all, nil
}

// writtenOut reports whether a replica is of the home, or of something in it, by its absolute
// path. The workspace's own folder may lie in a home: that is the project, and not the home.
func (s setting) writtenOut(y spec.Sync) bool {
	home, err := anchor.Real(s.home())
	return s.home() != "" && err == nil && within(filepath.Clean(y.Path), home) && !within(filepath.Clean(y.Path), s.folder)
}

func (s setting) suspectsIn(ctx context.Context, y spec.Sync, all *Suspects) error {
	f, err := filter.Compile(s.rules(y))
	if err != nil {
		return err
	}
	root, err := localfs.OpenRoot(y.Path, s.around(y.Path), 0)
	if err != nil {
		return err
	}
	defer root.Close()
	seen, unknown, err := root.Walk(ctx, "", f)
	if err != nil {
		return err
	}
	for _, u := range unknown {
		if !u.Quiet {
			all.Unread = append(all.Unread, filepath.Join(y.Path, u.Path)+": "+u.Reason)
		}
	}
	for _, e := range seen {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.Kind != tree.File {
			continue
		}
		path := filepath.Join(y.Path, e.Path)
		found, err := suspectsOf(root, e.Path)
		for _, at := range found {
			all.Found = append(all.Found, Suspect{path, at})
		}
		if err != nil {
			all.Unread = append(all.Unread, path+": "+err.Error())
			continue
		}
		all.Files++
	}
	return nil
}

func suspectsOf(root *localfs.Root, path string) ([]leak.Find, error) {
	f, err := root.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return leak.In(f)
}
