// Package sample says how much of a random test is done: a part by a printed seed in
// make test, the whole in make test-all.
package sample

import "os"

// Variable asks for the whole.
const Variable = "COLTEC_WHOLE"

// Size is part, or whole where the whole is asked for.
func Size(part, whole int) int {
	if os.Getenv(Variable) != "" {
		return whole
	}
	return part
}
