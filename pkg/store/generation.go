package store

import (
	"fmt"
	"time"

	"github.com/coltec/coltec/pkg/tree"
)

// Ref says where a generation has a replica's tree.
type Ref struct {
	Manifest string `json:"manifest"` // key under the replica's prefix; "" in a mirror
	Files    int64  `json:"files"`
	Bytes    int64  `json:"bytes"`
	Filters  string `json:"filters"`         // hash of the rules that the tree was seen through
	Older    int    `json:"older,omitempty"` // paths whose state was not the newest one
}

// Generation is one committed state of all replicas.
type Generation struct {
	Number   int64          `json:"generation"`
	Epoch    int64          `json:"epoch"`
	Nonce    string         `json:"nonce"` // of the write that committed it
	Time     time.Time      `json:"time"`
	Replicas map[string]Ref `json:"replicas"`
}

// rows is how much a generation counts in a log.
func (g *Generation) rows() int64 { return int64(1 + len(g.Replicas)) }

// checkGenerations refuses generations that cannot follow each other, and gives the
// number of the last.
func checkGenerations(gens []Generation) (last int64, err error) {
	last = -1
	for i := range gens {
		if err := gens[i].check(last); err != nil {
			return last, err
		}
		last = gens[i].Number
	}
	return last, nil
}

// check refuses a generation that cannot follow the one of number last.
func (g *Generation) check(last int64) error {
	if g.Number <= last || g.Number > maxNumber || g.Epoch < 0 || g.Epoch > maxNumber || len(g.Nonce) > maxWord || len(g.Replicas) > maxReplicas {
		return fmt.Errorf("generation %d of epoch %d after %d", g.Number, g.Epoch, last)
	}
	return checkRefs(g.Replicas)
}

// checkRefs refuses what is not a word on a replica's tree.
func checkRefs(refs map[string]Ref) error {
	for name, ref := range refs {
		switch {
		case len(name) > tree.MaxName:
			return fmt.Errorf("a replica with a name of %d bytes", len(name))
		case ref.Manifest != "" && (!tree.ValidPath(ref.Manifest) || len(ref.Manifest) > tree.MaxName):
			return fmt.Errorf("%s is not a manifest", short(ref.Manifest))
		case ref.Files < 0 || ref.Bytes < 0 || ref.Older < 0:
			return fmt.Errorf("replica %s has %d files and %d bytes", short(name), ref.Files, ref.Bytes)
		}
	}
	return nil
}
