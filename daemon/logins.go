package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/logins"
	"github.com/coltec/coltec/pkg/spec"
)

// home is that of who coltecd runs as; "": none is known.
func (s setting) home() string {
	home, err := spec.Home(lookup(s.environ))
	if err != nil {
		return ""
	}
	return home
}

// loginSetting is what a setting says of the files that agents log in with.
type loginSetting struct{ setting }

// loginAgents are all agents whose login files are known, by coltecd or by the spec.
func (s loginSetting) loginAgents() []logins.Agent {
	all := logins.Known()
	for _, a := range s.spec.Agents {
		i := slices.IndexFunc(all, func(k logins.Agent) bool { return k.Name == a.Name })
		if i < 0 {
			all = append(all, logins.Agent{Name: a.Name})
			i = len(all) - 1
		}
		if len(a.LoginsFiles) > 0 {
			all[i].Files = a.LoginsFiles
		}
	}
	return all
}

// travelling are the agents whose logins go along with the lease.
func (s loginSetting) travelling() (list []logins.Agent) {
	if len(s.spec.Agents) == 0 {
		return nil // and what is known of agents is not read
	}
	all := s.loginAgents()
	for _, a := range s.spec.Agents {
		i := slices.IndexFunc(all, func(k logins.Agent) bool { return k.Name == a.Name })
		if a.Logins == spec.LoginsTravel && len(all[i].Files) > 0 {
			list = append(list, all[i])
		}
	}
	return list
}

// loginRules leave login files out of a replica's tree, with what they are replaced by and
// what coltecd keeps of them: nothing that the spec includes brings them back.
func (s loginSetting) loginRules(y spec.Sync) (rules []filter.Rule) {
	if s.home() == "" {
		return nil
	}
	paths := whereverLed(filepath.Join(s.home(), logins.OwnDir))
	for _, a := range s.loginAgents() {
		for _, f := range a.Files {
			paths = append(paths, whereverLed(filepath.Join(s.home(), filepath.FromSlash(f)))...)
		}
	}
	for _, path := range paths {
		rel, err := filepath.Rel(y.Path, path)
		if err == nil && filepath.IsLocal(rel) && rel != "." {
			rules = append(rules, filter.Under(rel)...)
			rules = append(rules, filter.Rule{Pattern: filter.Under(rel)[0].Pattern + ".*"})
		}
	}
	return rules
}

// whereverLed are the names of a file: the home, or a directory in it, may be a link into the
// tree of a replica.
func whereverLed(path string) []string {
	names := []string{path}
	dir, rest := filepath.Dir(path), filepath.Base(path)
	for ; dir != "/"; dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			names = append(names, filepath.Join(real, rest))
			break
		}
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		names = append(names, real)
	}
	return slices.Compact(names)
}

// keeper carries the logins that travel; nil: none do. Why they cannot is no error of the
// replicas: it is said with them.
func (s loginSetting) keeper() (*logins.Keeper, error) {
	agents := s.travelling()
	if len(agents) == 0 {
		return nil, nil
	}
	if s.home() == "" {
		return nil, errors.New("logins do not travel: HOME is not set, and this user has no home")
	}
	key, _ := lookup(s.environ)(logins.KeyVariable)
	return logins.New(logins.Options{
		Workspace: WorkspaceOf(s.spec).String(), Host: s.holder().Host, Home: s.home(),
		Agents: agents, Key: key, Log: s.log,
	})
}

// loginAttention says why logins that are to travel do not.
func (s loginSetting) loginAttention() []string {
	if _, err := s.keeper(); err != nil {
		return []string{hint.Sentence(err)}
	}
	return nil
}

// loginNotices say which logins stay on this machine, that are in a replica's tree.
func (s loginSetting) loginNotices() []string {
	travel := s.travelling()
	var stay []string
	for _, a := range s.loginAgents() {
		goes := slices.ContainsFunc(travel, func(t logins.Agent) bool { return t.Name == a.Name })
		if !goes && slices.ContainsFunc(s.spec.Replicas(), func(y spec.Sync) bool { return s.coversLogin(y, a) }) {
			stay = append(stay, a.Name)
		}
	}
	if len(stay) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("the logins of %s stay on this machine, and are in no replica: logins: travel on an agent of the spec has them go along, encrypted", strings.Join(stay, ", "))}
}

// coversLogin reports whether a login that is here lies in a replica's tree.
func (s loginSetting) coversLogin(y spec.Sync, a logins.Agent) bool {
	return slices.ContainsFunc(a.Files, func(f string) bool {
		path := filepath.Join(s.home(), filepath.FromSlash(f))
		return s.home() != "" && within(path, filepath.Clean(y.Path)) && exists(path)
	})
}

// Logout removes logins from the bucket, and from here if asked for.
func (d *daemon) Logout(ctx context.Context, req control.LogoutRequest, say func(string)) error {
	if err := d.end.refusal(); err != nil {
		return err
	}
	s := loginSetting{d.conf.get()}
	for _, name := range req.Agents {
		if !slices.ContainsFunc(s.loginAgents(), func(a logins.Agent) bool { return a.Name == name }) {
			return control.NotFound(name, namesOf(s.loginAgents()))
		}
	}
	engine := d.replicas.current()
	if engine == nil {
		return fmt.Errorf("cannot log out: %w", errNoReplicas)
	}
	return engine.Alone(ctx, "", func(ctx context.Context) error { return s.logout(ctx, engine, req, say) })
}

func namesOf(agents []logins.Agent) (names []string) {
	for _, a := range agents {
		names = append(names, a.Name)
	}
	return names
}

// logout is Logout, while the engine does nothing else.
func (s loginSetting) logout(ctx context.Context, r replicator, req control.LogoutRequest, say func(string)) error {
	root, err := s.opener().Open(ctx, "", false, nil)
	if err != nil {
		return err
	}
	removed, err := logins.Remove(ctx, root, WorkspaceOf(s.spec).String(), req.Agents)
	if err != nil {
		return err
	}
	for _, name := range removed {
		say(name + ": removed from the bucket; a store that keeps versions of its objects has the older ones, encrypted, until they are removed there")
	}
	if len(removed) == 0 {
		say("there is no such login in the bucket")
	}
	if req.Local {
		agents := slices.DeleteFunc(s.loginAgents(), func(a logins.Agent) bool {
			return len(req.Agents) > 0 && !slices.Contains(req.Agents, a.Name)
		})
		if err := logins.RemoveLocal(s.home(), WorkspaceOf(s.spec).String(), agents); err != nil {
			return err
		}
		say("removed here: " + strings.Join(namesOf(agents), ", "))
	}
	return r.LoggedOut(req.Agents)
}

// LoggedOut has the logins that travel know that they were removed.
func (r replicas) LoggedOut(agents []string) error {
	if r.keeper == nil {
		return nil
	}
	return r.keeper.Forget(agents)
}

// exists reports whether a file is there, be it what it may.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// isLogin reports whether a path is one of a login file, whosever.
func (s loginSetting) isLogin(path string) bool {
	rel, err := filepath.Rel(s.home(), path)
	return s.home() != "" && err == nil && slices.ContainsFunc(s.loginAgents(), func(a logins.Agent) bool {
		return slices.Contains(a.Files, filepath.ToSlash(rel))
	})
}
