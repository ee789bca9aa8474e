package remote

import (
	"errors"

	"github.com/coltec/coltec/pkg/hint"
)

// ownedHere refuses what somebody else could have written: here nothing tells.
func ownedHere(name string) error {
	return hint.Wrap(errors.New("cannot tell on Windows who can write "+name), "remove it, and run coltec in WSL where a spec needs such an option")
}
