package spec

import (
	"fmt"
	"path/filepath"

	"github.com/coltec/coltec/pkg/hint"
)

// PlaceVar is the variable that names the path at which the spec has the workspace's folder,
// on a machine where the folder is elsewhere.
const PlaceVar = "COLTEC_PLACE"

// Move has what the spec says of the path from, and of what is below it, be about the
// directory to: replicas, mount points, and where services and hooks run. Words of commands stay
// as they are.
func (s *Spec) Move(from, to string) {
	move := func(path *string) {
		if *path == "" || !filepath.IsAbs(*path) {
			return
		}
		if rel, err := filepath.Rel(from, *path); err == nil && filepath.IsLocal(rel) {
			*path = filepath.Join(to, rel)
		}
	}
	for i := range s.Persistence.Sync {
		move(&s.Persistence.Sync[i].Path)
	}
	for i := range s.Persistence.Mounts {
		move(&s.Persistence.Mounts[i].Target)
	}
	for i := range s.Services {
		move(&s.Services[i].Dir)
	}
	for _, list := range s.Hooks {
		for i := range list {
			move(&list[i].Dir)
		}
	}
}

// Place is Move to the workspace's folder, by COLTEC_PLACE. On an error nothing is changed.
func (s *Spec) Place(lookup Lookup, folder string) error {
	from, _ := lookup(PlaceVar)
	if from == "" {
		return nil
	}
	if !filepath.IsAbs(from) || filepath.Clean(from) == "/" {
		return hint.Wrap(fmt.Errorf("cannot use %s: %q is no absolute path of a folder", PlaceVar, from),
			"set it to the path at which the spec has the workspace's folder, such as /workspace, or unset it")
	}
	s.Move(filepath.Clean(from), folder)
	return nil
}
