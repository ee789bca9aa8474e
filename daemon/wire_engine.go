package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/engine"
	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/internal/remote"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/databases"
	"github.com/coltec/coltec/pkg/datadirs"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/frozen"
	"github.com/coltec/coltec/pkg/logins"
	"github.com/coltec/coltec/pkg/process"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/repositories"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/whole"
)

// newReplicator makes the engine of a setting; nil without an error when there
// is nothing to replicate.
func newReplicator(s setting) (replicator, error) {
	o, err := s.engineOptions()
	if err != nil || len(o.Replicas) == 0 {
		return nil, err
	}
	k, err := loginSetting{s}.keeper()
	if err == nil && k != nil {
		o.Logins = k
	}
	return replicas{engine.New(o), k}, nil
}

// replicas is the engine with the verbs of the socket.
type replicas struct {
	*engine.Engine
	keeper *logins.Keeper // nil: no logins travel
}

func (r replicas) Sync(ctx context.Context, names []string, allowDelete bool) error {
	return r.Engine.Sync(ctx, names, engine.SyncOptions{AllowDelete: allowDelete})
}

// engineOptions makes everything that the engine is given.
func (s setting) engineOptions() (engine.Options, error) {
	opener := s.opener()
	o := engine.Options{
		Workspace: WorkspaceOf(s.spec),
		Self:      s.holder(),
		HeadRoot:  opener.HeadRoot,
		Connect: func(ctx context.Context, t scope.Target) (scope.Remote, error) {
			r, err := opener.OpenAt(ctx, t.Replica, t.Prefix, t.Plain, t.Spent)
			if err != nil {
				return nil, err // not a nil *Remote in an interface
			}
			return r, nil
		},
		LeaseTTL:     s.spec.Persistence.Lease.TTL,
		LeaseRenew:   s.spec.Persistence.Lease.Renew,
		BestEffort:   s.spec.Persistence.Lease.BestEffort,
		StopTimeout:  StopTimeout,
		KeepReplaced: s.spec.Persistence.History.Keep,
		Rendered:     s.rendered,
		Dead:         s.gone,
		Distinct:     s.distinct(),
		Log:          s.log,
		Changed:      s.changed,
		Synced:       func(name string) { s.event(hooks.PostSync, "COLTEC_REPLICA="+name) },
		Conflicted: func(name string, paths []string) {
			s.event(hooks.OnConflict, "COLTEC_REPLICA="+name, "COLTEC_CONFLICTS="+someLines(paths))
		},
		Failed: func(name string, err error) {
			s.event(hooks.OnFailure, "COLTEC_FAILED_REPLICA="+name, "COLTEC_ERROR="+anchor.Plain(err.Error()))
		},
		Announce: true,
		Rested:   slim, IsLogin: loginSetting{s}.isLogin, Turns: s.awaitTurns,
	}
	misplaced := s.misplacements()
	s = s.real()
	for _, y := range s.spec.Replicas() {
		if !s.wants(y.Name) {
			continue
		}
		f, err := filter.Compile(s.rules(y))
		if err != nil {
			return o, fmt.Errorf("cannot use the excludes of replica %q: %w", y.Name, err)
		}
		dirs, err := s.frozenIn(y)
		if err != nil {
			return o, fmt.Errorf("cannot use the excludes of replica %q: %w", y.Name, err)
		}
		gather := time.Duration(0)
		if y.InHome {
			gather = homePace
		}
		o.Replicas = append(o.Replicas, scope.Replica{
			Gather: gather, Home: y.InHome,
			Name: y.Name, Path: filepath.Clean(y.Path), Within: s.around(y.Path), Remote: s.place(y), Filter: f,
			Direction: scope.Direction(y.Direction), Layout: y.Layout, Interval: y.Interval, Watch: y.Watch,
			Wholes: wholesOf(y, dirs), Blocked: misplaced[y.Name], Ground: func() error { return s.misplaced(y) },
		})
	}
	return o, nil
}

// homePace is how far apart the saves of a replica of the home are. What is in there are
// conversations, in which something is added with every step of every agent: six saves a
// minute are at most 18 requests, however many agents are at work.
const homePace = 10 * time.Second

// real is the setting with the paths of its replicas free of links: what lies in what,
// and where the folder's own files are, is told by paths. A link below the tree of another
// replica may have come with it, and one that others can put somewhere leads where they
// like: their paths stay, and the engine does not follow them.
func (s setting) real() setting {
	sp := *s.spec
	sp.Persistence.Sync = slices.Clone(sp.Persistence.Sync)
	for i := range sp.Persistence.Sync {
		y := &sp.Persistence.Sync[i]
		around := s.around(y.Path)
		if real, err := anchor.Real(around); err == nil {
			y.Path = filepath.Join(real, strings.TrimPrefix(filepath.Clean(y.Path), around))
		}
	}
	s.spec = &sp
	return s
}

// places are where the paths of the replicas lead, by name.
func (s setting) places() map[string]string {
	all := map[string]string{}
	for _, y := range s.real().spec.Persistence.Sync {
		all[y.Name] = filepath.Clean(y.Path)
	}
	return all
}

// switched says which replicas are at a link that leads elsewhere since the engine was made:
// was is where they led then. What is in the new place is not carried yet.
func (s setting) switched(was map[string]string, program string) (list []string) {
	now := s.places()
	for _, y := range s.spec.Replicas() {
		before, known := was[y.Name]
		if !known || before == now[y.Name] || realPlace(before) == now[y.Name] {
			continue
		}
		list = append(list, fmt.Sprintf("replica %s: %s leads to %s by now, and %s is carried: %s start takes the new place, and joins what is there with the bucket",
			y.Name, filepath.Clean(y.Path), now[y.Name], before, program))
	}
	return list
}

// around is the outermost tree of a replica that a path is in, one that is not wanted now
// too: a bucket filled it.
func (s setting) around(path string) string {
	path = filepath.Clean(path)
	out := path
	for _, y := range s.spec.Persistence.Sync {
		inside := func(tree string) bool { return within(path, filepath.Clean(tree)) }
		if other := filepath.Clean(y.Path); len(other) < len(out) && slices.ContainsFunc(y.Trees(), inside) {
			out = other
		}
	}
	return out
}

// wholesOf are the kinds of wholes of a replica, and how they are carried.
func wholesOf(y spec.Sync, dirs frozen.Kind) whole.Kinds {
	git := repositories.Kind{Mode: repositories.Files}
	switch {
	case y.CarriesGit():
		git.Mode = repositories.Wholes
	case y.Git == spec.GitOff:
		git.Mode = repositories.Counted
	}
	kinds := whole.Kinds{git, datadirs.Kind{}}
	if y.Layout == spec.Snapshot { // a mirror is what other programs read: its databases are files
		kinds = append(kinds, databases.Kind{})
	}
	if y.CarriesWholes() {
		kinds = append(kinds, dirs)
	}
	return kinds
}

// place is where a replica lies, for people: with bucket and prefix, once the
// variables that name them are set.
func (s setting) place(y spec.Sync) string {
	t, err := s.spec.Target(y.Remote, y.RemotePath, lookup(s.environ))
	if err != nil {
		return y.Remote + ":" + y.RemotePath
	}
	return rclone.Root(t.Remotes[0].Name, t.Remotes[0].Root(), t.Path)
}

// event asks for the hooks of a point without waiting for them.
func (s setting) event(point hooks.Point, env ...string) {
	if s.hooks != nil {
		s.hooks(point, env)
	}
}

// someLines joins paths by newlines, as many as a variable can hold (the kernel
// takes 128 KiB).
func someLines(paths []string) string {
	const most = 64 << 10
	text := strings.Join(paths, "\n")
	if len(text) > most {
		text = text[:strings.LastIndexByte(text[:most], '\n')+1]
	}
	return text
}

// partials are the leftovers of an rclone that was killed.
const partials = "*.[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f].partial"

// rules are what a replica leaves out: the replicas nested in it, what is
// coltecd's own, and what the spec says.
func (s setting) rules(y spec.Sync) []filter.Rule {
	rules := loginSetting{s}.loginRules(y)
	for _, nested := range s.spec.NestedIn(y) {
		rules = append(rules, filter.Under(nested)...)
	}
	for _, w := range y.Consistency {
		rules = append(rules, filter.Under(w.Path)...) // not as files: each is one whole
	}
	for _, own := range []string{s.logDir, filepath.Join(s.folder, ".devcontainer/coltec")} {
		if rel, err := filepath.Rel(y.Path, own); err == nil && filepath.IsLocal(rel) && rel != "." {
			rules = append(rules, filter.Under(rel)...)
		}
	}
	if y.CarriesGit() {
		rules = append(rules, filter.Rule{Pattern: ".git/**"}) // not as files: each repository is one whole
	}
	rules = append(rules, filter.Rule{Pattern: partials})
	rules = append(rules, filter.Excludes(y.Exclude)...)
	if len(y.Include) > 0 {
		rules = append(rules, filter.Only(y.Include)...)
	}
	return rules
}

// rendered is where the host keeps a file of the workspace as its template
// rendered it.
func (s setting) rendered(path string) string {
	rel, err := filepath.Rel(s.folder, path)
	if err != nil {
		return ""
	}
	return filepath.Join(s.folder, ".devcontainer/.coltec/base", rel)
}

// opener opens the remotes of the spec.
func (s setting) opener() *remote.Opener {
	get := lookup(s.environ)
	return remote.NewOpener(s.spec, s.policy(), get, rclone.Lookup(get), s.marker(engineUnit))
}

// engineUnit marks the engine's rclones. No unit can have this name, or its stop
// would end them.
const engineUnit = ":rclone"

// marker is the variable by which the next coltecd finds, and ends, what this
// one left when it was killed.
func (s setting) marker(name string) []string {
	if s.runtime == "" { // a dry run
		return nil
	}
	return []string{process.MarkerVar + "=" + markOf(s.runtime) + "/" + name}
}

// markOf is what marks the processes of the coltecds that have a runtime directory.
// Containers that share the host's pids see each other's, and in each of them the
// workspace may have the same path: the directory itself tells them apart.
func markOf(runtime string) string {
	inode, _ := inodeOf(runtime)
	return filepath.Base(runtime) + "-" + inode
}
