package whole

import (
	"context"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Carriers are those of one tree, of several kinds; nil carries nothing.
type Carriers []Carrier

var _ Carrier = Carriers{}

// Serve has all work for a replica from now on.
func (c Carriers) Serve(r Replica) {
	for _, one := range c {
		one.Serve(r)
	}
}

// Capture captures the wholes of each kind.
func (c Carriers) Capture(ctx context.Context, m Met) ([]localfs.Unknown, error) {
	var all []localfs.Unknown
	for _, one := range c {
		unseen, err := one.Capture(ctx, m)
		if err != nil {
			return nil, err
		}
		all = append(all, unseen...)
	}
	return all, nil
}

// Clear has the wholes give way that the remote side has no more, before files are placed: one
// of them may have the name of such a whole.
func (c Carriers) Clear(ctx context.Context) error {
	for _, one := range c {
		if one, ok := one.(interface{ Clear(context.Context) error }); ok {
			if err := one.Clear(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// Settle settles the wholes of each kind.
func (c Carriers) Settle(ctx context.Context, source store.Layout) error {
	for _, one := range c {
		if err := one.Settle(ctx, source); err != nil {
			return err
		}
	}
	return nil
}

var _ Guard = Carriers{}

// Comes is what each guard among them says.
func (c Carriers) Comes(ctx context.Context, root localfs.FileSystem, paths []string) (occupied []localfs.Unknown, together []string) {
	for _, one := range c {
		if g, ok := one.(Guard); ok {
			stay, dirs := g.Comes(ctx, root, paths)
			occupied, together = append(occupied, stay...), append(together, dirs...)
		}
	}
	return occupied, together
}

// Removal is what all of them say.
func (c Carriers) Removal(ctx context.Context, lost []tree.Entry, agreed func(dir string, paths map[string]bool) (int, error)) (Removal, error) {
	var all Removal
	for _, one := range c {
		r, err := one.Removal(ctx, lost, agreed)
		if err != nil {
			return all, err
		}
		all.Taken += r.Taken
		all.Untracked += r.Untracked
	}
	return all, nil
}

// Account adds what each of them does not carry.
func (c Carriers) Account(a *account.Account) {
	for _, one := range c {
		one.Account(a)
	}
}

// Notes are those of all.
func (c Carriers) Notes() []string {
	var all []string
	for _, one := range c {
		all = append(all, one.Notes()...)
	}
	return all
}
