package secret

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/hint"
)

// Wanted is a variable that somebody needs.
type Wanted struct {
	Name     string
	Required bool
}

// Source is a place where secrets come from.
type Source interface {
	// String describes where that is, for people.
	String() string
	// Get gives those of the names that it has. An error means that it could not
	// be asked, or that one of the names is there and cannot be had.
	Get(ctx context.Context, names []string) (Values, error)
}

// Collect asks the sources one after the other, each for what is still missing.
// Only the wanted names are handed over. A required one that nobody has is an
// error that names it and all the places.
func Collect(ctx context.Context, want []Wanted, sources ...Source) (Values, error) {
	values := Values{}
	var looked []string
	missing := func() []string {
		var names []string
		for _, w := range want {
			if _, ok := values[w.Name]; !ok && !slices.Contains(names, w.Name) {
				names = append(names, w.Name)
			}
		}
		return names
	}
	for _, source := range sources {
		looked = append(looked, source.String())
		names := missing()
		if len(names) == 0 {
			break
		}
		got, err := source.Get(ctx, names)
		if err != nil {
			return nil, fmt.Errorf("cannot get secrets from %s: %w", source, err)
		}
		for _, name := range names {
			if v, ok := got[name]; ok && !v.Empty() {
				values[name] = v
			}
		}
	}
	var lost []string
	for _, w := range want {
		if _, ok := values[w.Name]; !ok && w.Required && !slices.Contains(lost, w.Name) {
			lost = append(lost, w.Name)
		}
	}
	if len(lost) > 0 {
		slices.Sort(lost)
		return values, hint.Wrap(&MissingError{lost, looked},
			"set it in the environment, add it to fnox.toml (fnox set %s), or give a file with --secrets-file", lost[0])
	}
	return values, nil
}

// MissingError names the required secrets that nobody has.
type MissingError struct {
	Names  []string
	Looked []string // the places
}

// Error names the secrets and the places.
func (e *MissingError) Error() string {
	verb := "is"
	if len(e.Names) > 1 {
		verb = "are"
	}
	return fmt.Sprintf("%s %s missing: looked in %s", strings.Join(e.Names, ", "), verb, strings.Join(e.Looked, ", "))
}

// Environment are the variables of a process, NAME=value. An empty one counts
// as unset.
type Environment []string

// String describes it.
func (Environment) String() string { return "the environment" }

// Get gives the named variables; the last of a name counts, as in execve.
func (e Environment) Get(_ context.Context, names []string) (Values, error) {
	values := Values{}
	for _, kv := range e {
		if name, value, _ := strings.Cut(kv, "="); slices.Contains(names, name) {
			values[name] = New(value)
		}
	}
	return values, nil
}

// Given are values that somebody named one by one.
type Given struct {
	From   string // where, for people
	Values Values
}

// String describes where they were given.
func (g Given) String() string { return g.From }

// Get gives those of the names.
func (g Given) Get(context.Context, []string) (Values, error) { return g.Values, nil }

// File is a flat JSON object of strings, what `fnox export -f json` prints, or
// lines NAME=value. Its first character shows which.
type File string

// String is the file's name.
func (f File) String() string { return filepath.Clean(string(f)) }

// Get reads the file.
func (f File) Get(context.Context, []string) (Values, error) {
	b, err := os.ReadFile(string(f))
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n\ufeff"), []byte("{")) {
		return ParseJSON(b)
	}
	return ParseDotenv(b)
}
