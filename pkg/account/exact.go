//go:build !coltec_mutants

package account

// dropped is true for nothing: see mutant.go.
func (Reason) dropped() bool { return false }
