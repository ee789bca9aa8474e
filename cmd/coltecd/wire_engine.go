package main

import (
	"context"
	"fmt"

	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/coltec/coltec/engine"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/store"
	"golang.org/x/sys/unix"
)

// newReplicator makes the engine of a setting; nil without an error when there
// is nothing to replicate.
func newReplicator(s setting) (replicator, error) {
	o, err := s.engineOptions()
	if err != nil || len(o.Replicas) == 0 {
		return nil, err
	}
	return replicas{engine.New(o)}, nil
}

// replicas is the engine with the verbs of the socket.
type replicas struct{ *engine.Engine }

func (r replicas) Sync(ctx context.Context, names []string, allowDelete bool) error {
	return r.Engine.Sync(ctx, names, engine.SyncOptions{AllowDelete: allowDelete})
}

// engineOptions makes everything that the engine is given.
func (s setting) engineOptions() (engine.Options, error) {
	o := engine.Options{
		Workspace:   workspaceOf(s.spec),
		Self:        s.holder(),
		HeadRoot:    s.headRoot,
		Connect:     s.connector(),
		LeaseTTL:    s.spec.Persistence.Lease.TTL,
		LeaseRenew:  s.spec.Persistence.Lease.Renew,
		BestEffort:  s.spec.Persistence.Lease.BestEffort,
		StopTimeout: stopTimeout,
		Rendered:    s.rendered,
		Dead:        gone,
		Log:         s.log,
		Synced:      func(string) { s.event("post_sync") },
		Conflicted:  func(string, []string) { s.event("on_conflict") },
		Failed:      func(string, error) { s.event("on_failure") },
	}
	for _, y := range s.spec.Replicas() {
		if !s.wants(y.Name) {
			continue
		}
		f, err := filter.Compile(s.rules(y))
		if err != nil {
			return o, fmt.Errorf("cannot use the excludes of replica %q: %w", y.Name, err)
		}
		o.Replicas = append(o.Replicas, engine.Replica{
			Name: y.Name, Path: filepath.Clean(y.Path), Remote: y.Remote + ":" + y.RemotePath, Filter: f,
			Direction: engine.Direction(y.Direction), Layout: y.Layout, Interval: y.Interval,
		})
	}
	return o, nil
}

// event runs the hooks of a point without waiting for them.
func (s setting) event(point string) {
	if s.hooks != nil {
		s.hooks(point)
	}
}

// partials are the leftovers of an rclone that was killed.
const partials = "*.[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f].partial"

// rules are what a replica leaves out: the replicas nested in it, what is
// coltecd's own, and what the spec says.
func (s setting) rules(y spec.Sync) []filter.Rule {
	var rules []filter.Rule
	for _, nested := range s.spec.NestedIn(y) {
		rules = append(rules, filter.Under(nested)...)
	}
	for _, own := range []string{s.logDir, filepath.Join(s.folder, ".devcontainer/coltec")} {
		if rel, err := filepath.Rel(y.Path, own); err == nil && filepath.IsLocal(rel) && rel != "." {
			rules = append(rules, filter.Under(rel)...)
		}
	}
	rules = append(rules, filter.Rule{Pattern: partials})
	return append(rules, filter.Excludes(y.Exclude)...)
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

// headRoot says where heads are, for the claims: no name of a remote, which
// is the spec's own, and no endpoint, which may differ from place to place.
func (s setting) headRoot() string {
	r, err := s.headRemote()
	if err != nil {
		return ""
	}
	return r.Type + ":" + r.Root()
}

func (s setting) headRemote() (*spec.Remote, error) {
	return s.spec.Persistence.Remotes[s.spec.HeadRemote()].Expand(lookup(s.environ))
}

// connector opens prefixes. All share two places for rclone runs, so that a
// workspace never has more at a time.
func (s setting) connector() func(context.Context, engine.Target) (engine.Remote, error) {
	bulk, small := rclone.NewLimiter(2), rclone.NewLimiter(2)
	get := lookup(s.environ)
	return func(ctx context.Context, t engine.Target) (engine.Remote, error) {
		bin, err := rclone.Find(ctx, rclone.Lookup(get))
		if err != nil {
			return nil, err
		}
		o := rclone.Options{Env: rclone.Lookup(get), Bulk: bulk, Small: small}
		if t.Replica == "" {
			r, err := s.headRemote()
			if err != nil {
				return nil, err
			}
			return rclone.NewRemote(bin, backends(&spec.Target{Remotes: []*spec.Remote{r}}), rclone.Root(r.Name, r.Root()), o)
		}
		i := slices.IndexFunc(s.spec.Persistence.Sync, func(y spec.Sync) bool { return y.Name == t.Replica })
		y := s.spec.Persistence.Sync[i]
		target, err := s.spec.Target(y.Remote, y.RemotePath, get)
		if err != nil {
			return nil, err
		}
		o.Transfers, o.Checkers, o.BwLimit = y.Transfers, y.Checkers, y.BwLimit
		top := target.Remotes[0]
		r, err := rclone.NewRemote(bin, backends(target), rclone.Root(top.Name, top.Root(), target.Path), o)
		if err == nil && t.Plain {
			r = r.Metadata()
		}
		return r, err
	}
}

// holder says who we are, to whom meets our lease.
func (s setting) holder() store.Holder {
	host, _ := os.Hostname()
	h := store.Holder{
		Host: host, Container: host, Boot: bootID(), Instance: store.NewID(),
		PID: os.Getpid(), Start: startTime(os.Getpid()),
	}
	if name, ok := lookup(s.environ)("COLTEC_HOST"); ok {
		h.Host = name
	}
	var st unix.Stat_t
	if unix.Stat(s.folder, &st) == nil {
		h.Place = fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	}
	return h
}

func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

// startTime is when a process began, in clock ticks since boot; 0 when there
// is none. With the pid and the boot it names one process for ever.
func startTime(pid int) int64 {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold anything: count from its end.
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return 0
	}
	start, _ := strconv.ParseInt(fields[19], 10, 64)
	return start
}

// gone says whether a holder at our own place has ended for certain, so
// that its lease is ours to go on with.
func gone(h store.Holder) bool {
	return h.Boot != bootID() || startTime(h.PID) != h.Start
}
