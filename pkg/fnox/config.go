// Package fnox gives the secrets of a fnox.toml: read natively when all that is
// wanted is sealed with age, plain or a default, by the `fnox` program else.
package fnox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/wholefile"
)

// entry is one secret of a file, or of the merged configuration.
type entry struct {
	Provider    string `toml:"provider"`
	Value       string `toml:"value"`
	Default     string `toml:"default"`
	IfMissing   string `toml:"if_missing"`
	Description string `toml:"description"`
	AsFile      bool   `toml:"as_file"`
	Env         any    `toml:"env"`

	file  string // where it was found
	other string // a key that only fnox itself understands
}

// provider is how values are kept.
type provider struct {
	Type    string `toml:"type"`
	KeyFile string `toml:"key_file"`

	file string
}

// file is one fnox.toml, as far as it is read here.
type file struct {
	Root            bool                      `toml:"root"`
	Import          []string                  `toml:"import"`
	DefaultProvider string                    `toml:"default_provider"`
	AgeKeyFile      string                    `toml:"age_key_file"`
	Providers       map[string]provider       `toml:"providers"`
	Secrets         map[string]toml.Primitive `toml:"secrets"`
	Profiles        map[string]profile        `toml:"profiles"`
}

type profile struct {
	DefaultProvider string                    `toml:"default_provider"`
	Providers       map[string]provider       `toml:"providers"`
	Secrets         map[string]toml.Primitive `toml:"secrets"`
	Inherits        any                       `toml:"inherits"`
	Extends         any                       `toml:"extends"`
}

// config is all files that count in a folder, merged.
type config struct {
	defaultProvider string
	ageKeyFile      string
	providers       map[string]provider
	secrets         map[string]entry
	files           []string // that were read, the weakest first
	only            string   // what only fnox itself understands
	known           bool     // the profile is in one of the files
	drawn           []drawn  // files that are named in these
	merged          int      // files, each as often as it was
}

// drawn is a file that another one names.
type drawn struct{ by, file string }

// files are the names in a directory, the weakest first. A profile's lie
// between the plain and the local ones.
func fileNames(profile string) []string {
	var names []string
	kinds := []string{"fnox"}
	if profile != "" {
		kinds = append(kinds, "fnox."+profile)
	}
	for _, kind := range append(kinds, "fnox.local") {
		names = append(names, kind+".toml", "."+kind+".toml", filepath.Join(".config", kind+".toml"))
	}
	return names
}

// load merges what counts in folder: the user's own file, then each directory
// from the outermost one downwards; a file with root = true is the outermost.
func load(folder, profile, global string) (*config, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	var levels [][]string
	for dir := folder; ; dir = filepath.Dir(dir) {
		var level []string
		root := false
		for _, name := range fileNames(profile) {
			path := filepath.Join(dir, name)
			f, err := read(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			level = append(level, path)
			root = root || f.Root
		}
		levels = append(levels, level)
		if root || dir == filepath.Dir(dir) {
			break
		}
	}
	c := &config{providers: map[string]provider{}, secrets: map[string]entry{}, known: profile == ""}
	if global != "" {
		if _, err := os.Stat(global); err == nil {
			levels = append(levels, []string{global})
		}
	}
	for _, level := range slices.Backward(levels) {
		for _, path := range level {
			if err := c.merge(path, profile, nil); err != nil {
				return nil, err
			}
			if filepath.Base(path) == "fnox."+profile+".toml" || filepath.Base(path) == ".fnox."+profile+".toml" {
				c.known = true
			}
		}
	}
	if !c.known {
		return nil, hint.Wrap(fmt.Errorf("no profile %q in %s", profile, strings.Join(c.files, ", ")), "see FNOX_PROFILE and --profile")
	}
	return c, nil
}

// entries are the names in a directory; none where there is none.
func entries(dir string) []string {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func read(path string) (file, error) {
	f, _, err := parse(path)
	return f, err
}

func parse(path string) (file, toml.MetaData, error) {
	b, err := wholefile.Read(path, wholefile.ByHand)
	if err != nil {
		return file{}, toml.MetaData{}, err
	}
	f, meta, err := decode(b)
	if err != nil {
		err = fmt.Errorf("cannot read %s: %w", path, err)
	}
	return f, meta, err
}

// What a fnox.toml has at most, outside of strings and comments. The parser takes a time
// that grows with the square of how deep tables are, for each key.
const (
	mostKeys = 10_000
	mostDots = 6 // in a line
	mostDeep = 4 // lists and inline tables, one in another
)

func decode(b []byte) (file, toml.MetaData, error) {
	var f file
	if err := shallow(bare(b)); err != nil {
		return f, toml.MetaData{}, err
	}
	text := strings.ReplaceAll(string(b), "\r\n", "\n") // as fnox does
	meta, err := toml.Decode(text, &f)
	if err != nil {
		err = tomlError(err)
	}
	return f, meta, err
}

// shallow refuses keys and tables that are deeper than any.
func shallow(bare []byte) error {
	keys, dots, deep := 0, 0, 0
	for _, c := range bare {
		switch c {
		case '=':
			keys++
		case '.':
			dots++
		case '\n':
			dots = 0
		case '[', '{':
			deep++
		case ']', '}':
			deep--
		}
		if deep > mostDeep || keys > mostKeys {
			return errors.New("it has more lists and tables than any such file")
		}
		if dots > mostDots {
			return errors.New("it has a key of more parts than any such file")
		}
	}
	return nil
}

// bare is TOML without what is in strings and comments.
func bare(b []byte) []byte {
	var out []byte
	for len(b) > 0 {
		n := 1
		switch c := b[0]; c {
		case '#':
			if n = bytes.IndexByte(b, '\n'); n < 0 {
				n = len(b)
			}
		case '"', '\'':
			n = text(b)
		default:
			out = append(out, c)
		}
		b = b[n:]
	}
	return out
}

// text is the length of the string that b begins with. One that does not end, which the
// parser refuses, has what is left of its line, or of all.
func text(b []byte) int {
	quote, most := b[:1], 1
	if triple := bytes.Repeat(quote, 3); bytes.HasPrefix(b, triple) {
		quote, most = triple, 5 // the last two may be its own
	}
	for i := len(quote); i < len(b); i++ {
		switch {
		case b[i] == '\\' && b[0] == '"':
			i++
		case b[i] == '\n' && len(quote) == 1:
			return i
		case bytes.HasPrefix(b[i:], quote):
			n := 0
			for n < most && i+n < len(b) && b[i+n] == b[0] {
				n++
			}
			return i + n
		}
	}
	return len(b)
}

// tomlError has the position, without the source line that may hold a value.
func tomlError(err error) error {
	var at toml.ParseError
	if errors.As(err, &at) {
		return fmt.Errorf("line %d is not valid TOML", at.Position.Line)
	}
	return errors.New("not a fnox.toml: a field has another type than fnox writes")
}

// filesMost is far above what somebody imports; a file may be imported more than once.
const filesMost = 100

// merge lays the file at path over what was read before it; its imports come
// first. from are the files that import it.
func (c *config) merge(path, profile string, from []string) error {
	if slices.Contains(from, path) {
		return fmt.Errorf("cannot read %s: it imports itself", path)
	}
	if c.merged++; c.merged > filesMost {
		return fmt.Errorf("cannot read %s: more than %d files are imported", path, filesMost)
	}
	f, meta, err := parse(path)
	if err != nil {
		return err
	}
	for _, name := range f.Import {
		if strings.HasPrefix(name, "~/") {
			home, err := os.UserHomeDir()
			if err != nil {
				return err
			}
			name = filepath.Join(home, name[2:])
		}
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		c.drawn = append(c.drawn, drawn{path, name})
		if err := c.merge(name, profile, append(from, path)); err != nil {
			return fmt.Errorf("cannot import into %s: %w", path, err)
		}
	}
	c.files = append(c.files, path)
	if f.AgeKeyFile != "" {
		c.ageKeyFile = relativeTo(path, f.AgeKeyFile)
		c.drawn = append(c.drawn, drawn{path, c.ageKeyFile})
	}
	if err := c.lay(path, meta, f.DefaultProvider, f.Providers, f.Secrets); err != nil {
		return err
	}
	p, ok := f.Profiles[profile]
	if profile == "" || !ok {
		return nil
	}
	c.known = true
	if p.Inherits != nil || p.Extends != nil {
		c.only = "profiles that inherit"
	}
	return c.lay(path, meta, p.DefaultProvider, p.Providers, p.Secrets)
}

func relativeTo(path, name string) string {
	if filepath.IsAbs(name) || strings.HasPrefix(name, "~/") {
		return name
	}
	return filepath.Join(filepath.Dir(path), name)
}

// natively are the keys of a secret that are understood here; one that has
// another is for fnox.
var natively = []string{"provider", "value", "default", "if_missing", "description", "as_file", "env"}

func (c *config) lay(path string, meta toml.MetaData, defaultProvider string, providers map[string]provider, secrets map[string]toml.Primitive) error {
	if defaultProvider != "" {
		c.defaultProvider = defaultProvider
	}
	for name, p := range providers {
		p.file = path
		c.providers[name] = p
	}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		e := entry{file: path}
		var text string
		if meta.PrimitiveDecode(secrets[name], &text) == nil { // NAME = "value"
			e.Value = text
		} else if err := c.entry(meta, secrets[name], &e); err != nil {
			return fmt.Errorf("cannot read %s: secret %q: %w", path, name, err)
		}
		c.secrets[name] = e
	}
	return nil
}

func (c *config) entry(meta toml.MetaData, raw toml.Primitive, e *entry) error {
	var keys map[string]any
	if meta.PrimitiveDecode(raw, &keys) != nil || meta.PrimitiveDecode(raw, e) != nil {
		return errors.New("not a table of texts")
	}
	for key := range keys {
		if !slices.Contains(natively, key) {
			e.other = key
		}
	}
	return nil
}
