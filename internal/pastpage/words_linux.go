package pastpage

import (
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/replica"
)

// ConflictWords are the versions that are kept aside in trees of this machine, for a shell to complete.
func ConflictWords(trees ...string) (list []cmdline.Candidate) {
	for _, dir := range trees {
		kept, _ := replica.ListConflicts(dir, "", nil) // what cannot be read is not offered
		for _, k := range kept {
			list = append(list, cmdline.Candidate{Word: k.Word(), Text: k.Path + " of " + k.Host})
		}
	}
	return list
}
