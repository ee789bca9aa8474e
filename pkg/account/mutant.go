//go:build coltec_mutants

package account

import "os"

// MutantVariable names, in a build for tests alone, the reason that no account has:
// what holds the account to the truth must notice.
const MutantVariable = "COLTEC_TEST_ACCOUNT_MUTANT"

func (r Reason) dropped() bool { return string(r) == os.Getenv(MutantVariable) }
