package fnox

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
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

// Look says what getting these names would take. It opens no value and starts nothing.
func (s Source) Look(names []string) (Look, error) {
	if len(names) == 0 {
		return Look{}, nil
	}
	own := s.own()
	if strings.ContainsAny(s.profile(), ", /") {
		l := Look{Has: names} // only fnox knows
		return l, l.run(own, fmt.Sprintf("the profiles %q", s.profile()))
	}
	c, err := s.load()
	if err != nil {
		return Look{}, err
	}
	var l Look
	for _, name := range names {
		if _, ok := c.secrets[name]; ok || c.only != "" {
			l.Has = append(l.Has, name)
		}
	}
	for _, file := range c.files {
		if !s.inFolder(file) {
			continue
		}
		if !slices.Contains(own, file) {
			own = append(own, file)
		}
		if real, err := filepath.EvalSymlinks(file); err == nil && !s.inFolder(real) {
			l.Asks = append(l.Asks, fmt.Sprintf("%s is a link to %s", file, real))
		}
	}
	for _, in := range c.drawn {
		if real, err := filepath.EvalSymlinks(in.file); err == nil && s.inFolder(in.file) && !s.inFolder(real) {
			l.Asks = append(l.Asks, fmt.Sprintf("%s reads %s, a link to %s", in.by, in.file, real))
		}
		if s.inFolder(in.by) && !s.inFolder(in.file) && !s.users(in.file) {
			l.Asks = append(l.Asks, fmt.Sprintf("%s reads %s", in.by, in.file))
		}
	}
	if why := c.needsProgram(names); why != "" {
		err = l.run(own, why)
	}
	return l, err
}

// run notes that fnox would run, with these files of the folder. Any change of them may
// make it run something else.
func (l *Look) run(own []string, why string) error {
	if len(own) == 0 {
		return nil // with the user's own files alone
	}
	h := sha256.New()
	for _, file := range own {
		b, err := wholefile.Read(file, wholefile.ByHand)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %d\n%s", file, len(b), b)
	}
	l.Asks = append(l.Asks, fmt.Sprintf("%s: the program fnox is run with %s as it is now (sha256 %x)", why, strings.Join(own, ", "), h.Sum(nil)[:16]))
	return nil
}

// own are the fnox files of the folder itself.
func (s Source) own() []string {
	var files []string
	for _, pattern := range []string{"fnox*.toml", ".fnox*.toml", filepath.Join(".config", "fnox*.toml")} {
		dir, base := filepath.Split(filepath.Join(s.Folder, pattern))
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
