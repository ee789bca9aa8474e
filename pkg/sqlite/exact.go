//go:build !coltec_mutants

package sqlite

// spoiled changes nothing, and nothing is leftBeside: see mutant.go.
func spoiled(o Options) Options { return o }

func leftBeside(Role) bool { return false }
