// Package trust says what a workspace does on the host that its container runs on,
// and keeps what the host's user agreed to, outside of the workspace. Whoever writes
// into a workspace, an agent in its container or another machine by way of the bucket,
// could else run what it likes on the host with the next `coltec up`.
package trust

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/wholefile"
)

// Act is one thing that a workspace does on the host, or is given by it.
type Act struct {
	On   string `json:"on"`   // the key, the file, or the kind
	Text string `json:"text"` // what it says
}

// String is the act in a line for people.
func (a Act) String() string { return a.On + ": " + a.Text }

// Kinds of grants.
const (
	Secret   = "secret"   // the name of a variable that the host hands over
	Remote   = "remote"   // a place that the host speaks to for the workspace
	Template = "template" // what the workspace is rendered from
	Fnox     = "fnox"     // what its fnox.toml makes the host do
)

// Demands are all acts of a workspace.
type Demands struct {
	// Container is what bringing its container up does, in order.
	Container []Act `json:"container"`
	// Grants stand each by itself.
	Grants []Act `json:"grants"`
	// Differs is for what is missing: Container is another list than was agreed to,
	// also where it is empty.
	Differs bool `json:"differs,omitempty"`
}

// Record is what the user agreed to.
type Record struct {
	Format int       `json:"format"`
	Folder string    `json:"folder"`
	At     time.Time `json:"at"`
	Demands
	// Others are the acts of other containers of the workspace, by the paths of their
	// devcontainer.json: Demands has those of the one that coltec writes.
	Others map[string][]Act `json:"others,omitempty"`
	// Answers is a hash of the answers that the user had the workspace rendered from.
	Answers string `json:"answers,omitempty"`
}

const (
	format    = 1 // of records
	ourConfig = ours + "/devcontainer.json"
)

// For is the record as it is about the container of the devcontainer.json at a path.
func (r *Record) For(at string) *Record {
	if r == nil || at == ourConfig {
		return r
	}
	one := *r
	one.Container = r.Others[at]
	return &one
}

// Agree is the record with further demands agreed to, where the container is that of the
// devcontainer.json at a path. Grants that are not asked for now stay: a secret may be
// given by a file today and by the environment tomorrow.
func (r *Record) Agree(at string, d Demands) Record {
	var next Record
	if r != nil {
		next = *r
	}
	next.Others, next.Grants = maps.Clone(next.Others), slices.Clone(next.Grants)
	switch {
	case at == ourConfig:
		next.Container = d.Container
	case next.Others == nil:
		next.Others = map[string][]Act{at: d.Container}
	default:
		next.Others[at] = d.Container
	}
	for _, a := range d.Grants {
		if !slices.Contains(next.Grants, a) {
			next.Grants = append(next.Grants, a)
		}
	}
	return next
}

// Missing returns what of the demands nobody agreed to. A nil record has nothing.
func (r *Record) Missing(d Demands) Demands {
	if r == nil {
		r = &Record{}
	}
	var m Demands
	if !slices.Equal(r.Container, d.Container) {
		m.Container, m.Differs = d.Container, true
	}
	for _, a := range d.Grants {
		if !r.Granted(a) {
			m.Grants = append(m.Grants, a)
		}
	}
	return m
}

// Granted reports whether the user agreed to a grant.
func (r *Record) Granted(a Act) bool { return r != nil && slices.Contains(r.Grants, a) }

// Empty reports whether there is nothing to agree to.
func (d Demands) Empty() bool { return !d.Differs && len(d.Container) == 0 && len(d.Grants) == 0 }

// Changes describes, in lines for people, how missing demands differ from the record: what
// is new, and what of the container's acts is gone.
func (r *Record) Changes(missing Demands) []string {
	var old []Act
	if r != nil {
		old = r.Container
	}
	var lines []string
	if missing.Differs {
		for _, a := range without(old, missing.Container) {
			lines = append(lines, "- "+a.String())
		}
		for _, a := range without(missing.Container, old) {
			lines = append(lines, "+ "+a.String())
		}
		if len(lines) == 0 {
			lines = append(lines, "~ the same in another order, which may mean something else")
		}
	}
	for _, a := range missing.Grants {
		lines = append(lines, "+ "+a.String())
	}
	return lines
}

// without returns what of list is not in other, counted: of two in list and one in
// other, one.
func without(list, other []Act) []Act {
	count := map[Act]int{}
	for _, a := range other {
		count[a]++
	}
	var left []Act
	for _, a := range list {
		if count[a] > 0 {
			count[a]--
			continue
		}
		left = append(left, a)
	}
	return left
}

// Store is the directory of the records, an absolute path without links. One that lies where a container
// can write is neither written nor believed.
type Store string

// file is where the record of a folder is.
func (s Store) file(folder string) string {
	sum := sha256.Sum256([]byte(folder))
	return filepath.Join(string(s), fmt.Sprintf("%x.json", sum[:16]))
}

// Load returns the record of a folder, an absolute path without links; nil where there
// is none.
func (s Store) Load(folder string) (*Record, error) {
	if err := s.Apart(folder); err != nil {
		return nil, err
	}
	b, err := wholefile.Read(s.file(folder), wholefile.ByHand)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var r Record
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err == nil && (r.Format != format || r.Folder != folder) {
		err = fmt.Errorf("it is of format %d and for %q", r.Format, r.Folder)
	}
	if err != nil {
		return nil, hint.Wrap(fmt.Errorf("cannot read what is trusted of %s: %w", folder, err), "remove %s, and look at what coltec trust shows then", s.file(folder))
	}
	return &r, nil
}

// Folders are those that there is a record of, sorted. What else lies in the store, and what
// cannot be read, is none.
func (s Store) Folders() []string {
	files, err := os.ReadDir(string(s))
	if err != nil {
		return nil
	}
	var list []string
	for _, f := range files {
		b, err := wholefile.Read(filepath.Join(string(s), f.Name()), wholefile.ByHand)
		var r Record
		if err == nil && json.Unmarshal(b, &r) == nil && r.Folder != "" && s.file(r.Folder) == filepath.Join(string(s), f.Name()) {
			list = append(list, r.Folder)
		}
	}
	slices.Sort(list)
	return list
}

// Has reports whether there is a record of a folder, an absolute path without links,
// readable or not.
func (s Store) Has(folder string) bool {
	_, err := os.Lstat(s.file(folder))
	return err == nil
}

// Save keeps a record, whole or not at all.
func (s Store) Save(r Record) error {
	if err := s.Apart(r.Folder); err != nil {
		return err
	}
	r.Format = format
	b, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.MkdirAll(string(s), 0o700)
	}
	if err == nil {
		err = wholefile.Write(s.file(r.Folder), b, 0o600, wholefile.Durable)
	}
	if err != nil {
		return fmt.Errorf("cannot keep what is trusted: %w", err)
	}
	return nil
}

// Apart refuses a store that lies in a folder that a container has, an absolute path
// without links.
func (s Store) Apart(folder string) error {
	dir := string(s)
	if rel, err := filepath.Rel(folder, dir); !filepath.IsAbs(dir) || err == nil && filepath.IsLocal(rel) {
		return hint.Wrap(fmt.Errorf("what is trusted would be kept in %s, which the container can write: it has %s", dir, folder), "set XDG_STATE_HOME to a directory outside of it")
	}
	return nil
}

// Forget removes the record of a folder, and reports whether there was one.
func (s Store) Forget(folder string) (bool, error) {
	err := os.Remove(s.file(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Names are the texts of the grants of a kind.
func (d Demands) Names(kind string) []string {
	var names []string
	for _, a := range d.Grants {
		if a.On == kind {
			names = append(names, a.Text)
		}
	}
	return names
}
