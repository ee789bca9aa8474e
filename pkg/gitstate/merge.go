package gitstate

import "context"

// merge joins what arrived with the repository here.
func (k *Keeper) merge(ctx context.Context, a Arrival, m mark) error {
	return refused("a repository is here already, and is left as it is")
}
