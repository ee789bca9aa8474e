package gitstate

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// linkPacks puts the packs of a shadow into a repository. Both never change a
// pack, so they may share the bytes. git looks for indexes: they come last, and a pack
// without one may be a part of it.
func linkPacks(from string, to source) error {
	packs, err := filepath.Glob(filepath.Join(globEscape(from), "objects/pack/pack-*.pack"))
	if err != nil {
		return err
	}
	for _, pack := range packs {
		index := strings.TrimSuffix(pack, ".pack") + ".idx"
		there, err := to.has("objects/pack/" + filepath.Base(index))
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if err := wholePack(pack, index); err != nil {
			return err
		}
		for _, file := range []string{pack, index} {
			if err := to.lodge("objects/pack/"+filepath.Base(file), file); err != nil {
				return err
			}
		}
	}
	return nil
}

// has says whether something is at a path of a repository.
func (s source) has(path string) (bool, error) {
	_, file, err := s.place(path)
	if err != nil {
		return false, err
	}
	_, err = os.Lstat(file)
	return err == nil, nil
}

// lodge puts a file that nobody changes into a repository.
func (s source) lodge(path, from string) error {
	a, to, err := s.place(path)
	if err != nil {
		return err
	}
	return a.Share(from, to)
}

// lodge puts the objects that git made in a scratch directory into a repository.
func lodge(scratch string, to source) error {
	made, err := filepath.Glob(filepath.Join(globEscape(scratch), "objects/??/*"))
	for _, file := range made {
		path, _ := filepath.Rel(scratch, file)
		there, hasErr := to.has(path)
		if err = errors.Join(err, hasErr); err == nil && !there {
			err = to.lodge(path, file)
		}
	}
	return err
}
