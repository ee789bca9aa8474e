package store

import "github.com/coltec/coltec/pkg/tree"

// Older says what a generation has in a state that was not the newest one when it was
// made: a file that changed while it was read, one that could not be read, a
// repository that could not be captured. Where it has nothing of that name, it had no
// earlier state either.
type Older struct {
	Count int         `json:"count"`
	Paths []OlderPath `json:"paths"` // the first ones
}

// OlderPath is one of them: a file, a directory with all below it, or a repository.
type OlderPath struct {
	Path string `json:"path"` // escaped as in rows
	Why  string `json:"why"`
}

// olderMost is how many paths are named; the rest is counted.
const olderMost = 1000

// Add notes a path.
func (o *Older) Add(path, why string) {
	if o.Count++; len(o.Paths) < olderMost {
		o.Paths = append(o.Paths, OlderPath{tree.Escape(path), why})
	}
}

// Within are those that are at a path or below it, or around it; "" for all. Of what
// is not named nothing is known: it is counted for all alone.
func (o *Older) Within(path string) *Older {
	if o == nil || path == "" {
		return o
	}
	var in Older
	path = tree.Escape(path)
	for _, p := range o.Paths {
		if tree.Within(p.Path, path) || tree.Within(path, p.Path) {
			in.Count++
			in.Paths = append(in.Paths, p)
		}
	}
	if in.Count == 0 {
		return nil
	}
	return &in
}

// count is how many they are.
func (o *Older) count() int {
	if o == nil {
		return 0
	}
	return o.Count
}
