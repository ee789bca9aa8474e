package engine

import (
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/store"
)

// older is what a generation does not have in its newest state: so many edits wait, of
// what was staged those files did not settle, and those paths wait for others.
func (m *member) older(waits []replica.Edit, unknown ...[]localfs.Unknown) *store.Older {
	o := &store.Older{}
	for i := range waits {
		o.Add(waits[i].Path, "it was not sent yet")
	}
	for _, list := range unknown {
		for _, u := range list {
			if u.Unread || u.Moving || u.Beyond {
				o.Add(u.Path, u.Reason)
			}
		}
	}
	var git account.Account
	m.git.Account(&git)
	for _, p := range git.Parts() {
		for _, name := range p.Names {
			o.Add(name, p.Why)
		}
		o.Count += p.Count - len(p.Names)
	}
	if o.Count == 0 {
		return nil
	}
	return o
}
