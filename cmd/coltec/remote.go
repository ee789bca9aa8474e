package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/coltec/coltec/internal/remote"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
)

// policy is what a spec may tell rclone on this host.
func (v environment) policy() remote.Policy { return remote.NewPolicy(rclone.Store, v.lookup) }

// revealed gives the variables that remotes ask for: those that were handed over, and
// none of this host's others.
func revealed(values secret.Values) spec.Lookup {
	return func(name string) (string, bool) {
		v, ok := values[name]
		return v.Reveal(), ok && !v.Empty()
	}
}

// trustsRemotes is the error of remotes that the user did not agree to.
func (g agreements) trustsRemotes(w *workspace) error {
	record, err := g.agreed(w.folder)
	if err != nil {
		return err
	}
	for _, a := range remoteActs(w.spec) {
		if !record.Granted(a) {
			return untrusted(w.folder, "", fmt.Errorf("you have not agreed to speak to a store for %s: %s", w.spec.ID(), a))
		}
	}
	return nil
}

// headRemote is the root of the remote that has the head of a workspace with a
// bucket.
//
// What is asked of it goes only where its user agreed.
func (g agreements) headRemote(w *workspace, values secret.Values, bin rclone.Binary) (*rclone.Remote, error) {
	if err := g.trustsRemotes(w); err != nil {
		return nil, err
	}
	r, err := w.spec.Persistence.Remotes[w.spec.HeadRemote()].Expand(revealed(values))
	if err != nil {
		return nil, err
	}
	return g.policy().Open(bin, &spec.Target{Remotes: []*spec.Remote{r}}, rclone.Options{Env: g.lookup})
}

// rclone finds the rclone of this host: beside coltec, or in PATH.
func (v environment) rclone(ctx context.Context) (rclone.Binary, error) {
	return rclone.Find(ctx, v.lookupRclone)
}

// lookupRclone is lookup for what runs an rclone of this host: the one for containers serves where
// no other is named.
func (v environment) lookupRclone(name string) (string, bool) {
	if name == "COLTEC_RCLONE" && v.env(name) == "" {
		for _, dir := range v.binDirs() {
			if at := filepath.Join(dir, "rclone"); isFile(at) {
				return at, true
			}
		}
	}
	return v.lookup(name)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
