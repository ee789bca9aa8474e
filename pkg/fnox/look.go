package fnox

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/coltec/coltec/pkg/wholefile"
)

// Look is what the files say before anything of them is opened or run.
type Look struct {
	// Has are those of the names that the files have.
	Has []string
	// Asks is what the files of the folder itself, which a container may write, make this
	// host do beyond opening values with the user's age key: run fnox, read a file outside.
	Asks []string
}

// Look finds out what getting these names would take. It opens no value and starts nothing.
// places are those of them that say where something of the user's goes to: what the
// folder's own files make them is asked for, too.
func (s Source) Look(names, places []string) (Look, error) {
	if len(names) == 0 {
		return Look{}, nil
	}
	if s.stacked() {
		l := Look{Has: names} // only fnox knows
		return l, l.runs(s, &config{})
	}
	c, err := s.load()
	if err != nil {
		return Look{}, err
	}
	var l Look
	for _, name := range names {
		e, ok := c.secrets[name]
		if ok || c.only != "" {
			l.Has = append(l.Has, name)
		}
		if ok && slices.Contains(places, name) && s.inFolder(e.file) {
			l.Asks = append(l.Asks, fmt.Sprintf("%s of %s, which says where a remote is: %s", name, s.relative(e.file), c.shown(e)))
		}
	}
	for _, file := range c.files {
		if real, err := filepath.EvalSymlinks(file); err == nil && s.inFolder(file) && !s.inFolder(real) {
			l.Asks = append(l.Asks, fmt.Sprintf("%s is a link to %s", s.relative(file), real))
		}
	}
	l.draws(s, c)
	if c.needsProgram(names) != "" {
		err = l.runs(s, c)
	}
	return l, err
}

// shown is a value as far as a person may read it: sealed ones by a hash.
func (c *config) shown(e entry) string {
	if e.Value == "" {
		return strconv.Quote(e.Default)
	}
	if _, p, err := c.providerOf(e); err == nil && p.Type == "plain" {
		return strconv.Quote(e.Value)
	}
	return fmt.Sprintf("sealed (sha256 %x)", sha256.Sum256([]byte(e.Value)))
}

// draws notes what files of the folder read outside of it.
func (l *Look) draws(s Source, c *config) {
	for _, in := range c.drawn {
		ask := ""
		real, err := filepath.EvalSymlinks(in.file)
		switch {
		case !s.inFolder(in.file) && s.inFolder(in.by) && !s.users(in.file):
			ask = fmt.Sprintf("%s reads %s", s.relative(in.by), in.file)
		case s.inFolder(in.file) && err == nil && !s.inFolder(real):
			ask = fmt.Sprintf("%s reads %s, a link to %s", s.relative(in.by), s.relative(in.file), real)
		}
		if ask != "" && !slices.Contains(l.Asks, ask) {
			l.Asks = append(l.Asks, ask)
		}
	}
}

// runs notes that fnox would run, with the files of the folder that it may read: those of c,
// which count, and those that lie there for a profile, with all that they import. Any change
// of them may make it run something else.
func (l *Look) runs(s Source, c *config) error {
	all := &config{providers: map[string]provider{}, secrets: map[string]entry{}}
	broken := map[string]bool{}
	for _, file := range s.own() {
		err := all.merge(file, "", nil)
		if err != nil && s.reads(file) {
			return err
		}
		if err != nil { // of a profile that is not in use: what it is now counts, whatever it is
			broken[file] = true
			all.files = append(all.files, file)
		}
	}
	l.draws(s, all)
	own := slices.DeleteFunc(slices.Concat(all.files, c.files), func(file string) bool { return !s.inFolder(file) })
	if len(own) == 0 {
		return nil // with the user's own files alone
	}
	slices.Sort(own)
	own = slices.Compact(own)
	h := sha256.New()
	for i, file := range own {
		b, err := wholefile.Read(file, wholefile.ByHand)
		size := len(b)
		switch {
		case err != nil && !broken[file]:
			return err
		case err != nil:
			size = -1 // as no file has
		}
		own[i] = s.relative(file)
		fmt.Fprintf(h, "%s %d\n%s", own[i], size, b)
	}
	l.Asks = append(l.Asks, fmt.Sprintf("the program fnox is run with %s as it is now (sha256 %x)", strings.Join(own, ", "), h.Sum(nil)[:16]))
	return nil
}

// relative is a file of the folder by its path below it, whatever way led there.
func (s Source) relative(file string) string {
	folder, err := filepath.Abs(s.Folder)
	if err != nil {
		return file
	}
	real, err := filepath.EvalSymlinks(folder)
	for _, dir := range []string{folder, real} {
		if rel, relErr := filepath.Rel(dir, file); err == nil && relErr == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return file
}

// reads reports whether fnox reads a file of the folder, one of own, with the profiles that are
// in use.
func (s Source) reads(file string) bool {
	profiles := strings.FieldsFunc(s.profile(), func(r rune) bool { return strings.ContainsRune(between, r) })
	for _, profile := range append(profiles, "", "default") { // as fnox calls none
		for _, name := range fileNames(profile) {
			if path, err := filepath.Abs(filepath.Join(s.Folder, name)); err != nil || path == file {
				return true
			}
		}
	}
	return false
}

// own are the fnox files of the folder itself.
func (s Source) own() []string {
	folder, err := filepath.Abs(s.Folder)
	if err != nil {
		return nil
	}
	var files []string
	for _, pattern := range []string{"fnox*.toml", ".fnox*.toml", filepath.Join(".config", "fnox*.toml")} {
		dir, base := filepath.Split(filepath.Join(folder, pattern))
		for _, name := range entries(dir) {
			if ok, _ := filepath.Match(base, name); ok { // the pattern is ours, and good
				files = append(files, filepath.Join(dir, name))
			}
		}
	}
	return files
}

// inFolder reports whether a file lies in the workspace's folder.
func (s Source) inFolder(file string) bool {
	folder, err := filepath.Abs(s.Folder)
	if err != nil {
		return false
	}
	real, err := filepath.EvalSymlinks(folder)
	return under(folder, file) || err == nil && under(real, file)
}

// users reports whether a file lies where the user keeps fnox's own.
func (s Source) users(file string) bool { return s.configDir() != "" && under(s.configDir(), file) }

func under(dir, file string) bool {
	rel, err := filepath.Rel(dir, file)
	return err == nil && filepath.IsLocal(rel)
}
