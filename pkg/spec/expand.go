package spec

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/secret"
)

// Lookup finds the value of an environment variable, as os.LookupEnv does.
type Lookup = func(name string) (string, bool)

// MissingError says which variables must be set before something can go on. A
// variable that is set to the empty text counts as not set.
type MissingError struct{ Names []string }

// Error names the variables: "RCLONE_BUCKET is not set".
func (e *MissingError) Error() string {
	last := len(e.Names) - 1
	if last <= 0 {
		return strings.Join(e.Names, "") + " is not set"
	}
	return strings.Join(e.Names[:last], ", ") + " and " + e.Names[last] + " are not set"
}

// missingError returns nil for no names; the names are sorted, each once.
func missingError(names []string) error {
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return hint.Wrap(&MissingError{slices.Compact(names)}, `give the container its secrets (containerEnv, remoteEnv or --secrets-file), then run "coltecd start" again`)
}

// expansion fills in variables and remembers those that are missing.
type expansion struct {
	lookup  Lookup
	missing []string
}

// text fills in the variables of one text. A malformed one stays as it is: Parse
// has refused it where it matters.
func (x *expansion) text(text string) string {
	list, err := pieces(text)
	if err != nil {
		return text
	}
	return x.join(list)
}

func (x *expansion) join(list []piece) string {
	var out strings.Builder
	for _, p := range list {
		out.WriteString(p.literal)
		if p.name == "" {
			continue
		}
		value := x.get(p.name)
		switch {
		case value != "":
			out.WriteString(value)
		case p.hasDefault:
			out.WriteString(x.join(p.fallback))
		default:
			x.missing = append(x.missing, p.name)
		}
	}
	return out.String()
}

// get is the variable's value; an empty one counts as unset, as a host that
// passes on a variable it does not have sets it to "".
func (x *expansion) get(name string) string {
	value, _ := x.lookup(name)
	return value
}

// must is the value of a variable that something needs.
func (x *expansion) must(name string) secret.Value {
	value := x.get(name)
	if value == "" {
		x.missing = append(x.missing, name)
	}
	return secret.New(value)
}

func (x *expansion) values(m map[string]secret.Value) map[string]secret.Value {
	out := maps.Clone(m)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out[k] = secret.New(x.text(m[k].Reveal()))
	}
	return out
}

// remote returns a copy with everything filled in.
func (x *expansion) remote(r *Remote) *Remote {
	out := *r
	out.Bucket = strings.TrimSpace(x.text(r.Bucket)) // a file of secrets may have a line break behind it
	out.PathPrefix = cleanPrefix(x.text(r.PathPrefix), r.Bucket != "")
	out.WrapPath = cleanRemote(x.text(r.WrapPath))
	out.Options = x.values(r.Options)
	if r.Crypt != nil && r.Type == "crypt" {
		crypt := *r.Crypt
		crypt.Password = x.must(crypt.PasswordEnv)
		if crypt.Password2Env != "" {
			crypt.Password2 = x.must(crypt.Password2Env)
		}
		out.Crypt = &crypt
	}
	return &out
}

// Expand returns the remote with its variables filled in and its passwords read.
// Variables that are not set, or empty, are a MissingError. A crypt remote lies in
// another one: Target expands the whole chain.
func (r *Remote) Expand(lookup Lookup) (*Remote, error) {
	x := expansion{lookup: lookup}
	out := x.remote(r)
	if err := missingError(x.missing); err != nil {
		return nil, err
	}
	return out, out.checkExpanded()
}

// checkExpanded looks at what only the values of variables show.
func (r *Remote) checkExpanded() error {
	if strings.ContainsAny(r.Bucket, "/\\ \n") {
		return hint.Wrap(fmt.Errorf("cannot use remote %q: the bucket's name has a slash or a space", r.Name), "write the name alone: its address is the endpoint")
	}
	if climbs(r.PathPrefix) || climbs(r.WrapPath) {
		return fmt.Errorf(`cannot use remote %q: its path has ".."`, r.Name)
	}
	return nil
}

// Variables returns the names that must be set for this remote alone, sorted.
func (r *Remote) Variables() []string {
	_, err := r.Expand(func(string) (string, bool) { return "", false })
	return missingNames(err)
}

func missingNames(err error) []string {
	var missing *MissingError
	errors.As(err, &missing)
	if missing == nil {
		return nil
	}
	return missing.Names
}

// Expand returns the service with the variables of its environment filled in.
func (s *Service) Expand(lookup Lookup) (*Service, error) {
	x := expansion{lookup: lookup}
	out := *s
	out.Env = x.values(s.Env)
	return &out, missingError(x.missing)
}

// Expand returns the hook with the variables of its environment filled in.
func (h *Hook) Expand(lookup Lookup) (*Hook, error) {
	x := expansion{lookup: lookup}
	out := *h
	out.Env = x.values(h.Env)
	return &out, missingError(x.missing)
}

// Target is where a replica or a mount lies, with all variables filled in.
type Target struct {
	// Remotes has the remote that Path lies in first; each crypt remote is followed
	// by the one it wraps.
	Remotes []*Remote
	// Path in the first remote, without its path_prefix.
	Path string
}

// Target fills in the variables of a remote, of those it wraps, and of a path in
// it. The error is a MissingError when variables are not set.
func (s *Spec) Target(remote, path string, lookup Lookup) (*Target, error) {
	x := expansion{lookup: lookup}
	t := &Target{Path: cleanRemote(x.text(path))}
	for _, r := range s.Chain(remote) {
		t.Remotes = append(t.Remotes, x.remote(r))
	}
	if err := missingError(x.missing); err != nil {
		return nil, err
	}
	if len(t.Remotes) == 0 {
		return nil, fmt.Errorf("cannot find remote %q in the spec", remote)
	}
	for _, r := range t.Remotes {
		if err := r.checkExpanded(); err != nil {
			return nil, err
		}
	}
	if climbs(t.Path) || t.Path == "" {
		return nil, fmt.Errorf("cannot use remote path %q: with its variables filled in it is empty or climbs out of the remote", path)
	}
	return t, nil
}

// HeadRemote is the name of the remote that holds the workspace's head: the
// default one, or the one that a crypt default lies in.
func (s *Spec) HeadRemote() string {
	chain := s.Chain(s.Persistence.DefaultRemote)
	if len(chain) == 0 {
		return ""
	}
	return chain[len(chain)-1].Name
}

// RemoteVariables returns the names that must be set for a remote and those it
// wraps, sorted.
func (s *Spec) RemoteVariables(remote string) []string {
	var names []string
	for _, r := range s.Chain(remote) {
		names = append(names, r.Variables()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// needed returns the names that must be set for everything in the spec to run: of the
// remotes in use, of services and hooks, and required secrets.
func (s *Spec) needed() []string {
	var names []string
	none := func(string) (string, bool) { return "", false }
	for _, y := range s.Replicas() {
		_, err := s.Target(y.Remote, y.RemotePath, none)
		names = append(names, missingNames(err)...)
	}
	for _, m := range s.Mountpoints() {
		_, err := s.Target(m.Remote, m.RemotePath, none)
		names = append(names, missingNames(err)...)
	}
	if s.Persistence.Enabled {
		names = append(names, s.RemoteVariables(s.Persistence.DefaultRemote)...)
	}
	for i := range s.Services {
		_, err := s.Services[i].Expand(none)
		names = append(names, missingNames(err)...)
	}
	for _, list := range s.Hooks {
		for i := range list {
			_, err := list[i].Expand(none)
			names = append(names, missingNames(err)...)
		}
	}
	return append(names, s.RequiredSecrets()...)
}

// RequiredSecrets returns the names of the secrets that must be set.
func (s *Spec) RequiredSecrets() []string {
	var names []string
	for _, x := range s.Secrets {
		if x.Required && x.Name != "" {
			names = append(names, x.Name)
		}
	}
	return names
}

// Expand returns the spec with all variables filled in. Any that is missing is a
// MissingError that names them all; to go on without some of the remotes use
// Target, and Expand of the services and hooks, one by one.
func (s *Spec) Expand(lookup Lookup) (*Spec, error) {
	x := expansion{lookup: lookup}
	out := *s
	out.Persistence.Remotes = map[string]*Remote{}
	for _, name := range slices.Sorted(maps.Keys(s.Persistence.Remotes)) {
		out.Persistence.Remotes[name] = x.remote(s.Persistence.Remotes[name])
	}
	out.Persistence.Sync = slices.Clone(s.Persistence.Sync)
	for i := range out.Persistence.Sync {
		y := &out.Persistence.Sync[i]
		y.RemotePath = cleanRemote(x.text(y.RemotePath))
	}
	out.Persistence.Mounts = slices.Clone(s.Persistence.Mounts)
	for i := range out.Persistence.Mounts {
		m := &out.Persistence.Mounts[i]
		m.Source = cleanRemote(x.text(m.Source))
	}
	out.Services = slices.Clone(s.Services)
	for i := range out.Services {
		out.Services[i].Env = x.values(out.Services[i].Env)
	}
	out.Hooks = maps.Clone(s.Hooks)
	for point, list := range s.Hooks {
		list = slices.Clone(list)
		for i := range list {
			list[i].Env = x.values(list[i].Env)
		}
		out.Hooks[point] = list
	}
	if err := missingError(x.missing); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(out.Persistence.Remotes)) {
		if err := out.Persistence.Remotes[name].checkExpanded(); err != nil {
			return nil, err
		}
	}
	ps := newProblems(s.src.file, "")
	ps.lines = slices.Repeat([]string{strings.Repeat(" ", 1<<10)}, 1<<16) // the file is not at hand: keep places as they are
	checkPrefixes(&out, ps)
	return &out, ps.err()
}

// leastInterval between two walks of a tree: shorter ones cost requests and
// battery without bringing changes sooner than watching does.
const leastInterval = 10 * time.Second

// ApplyEnvironment takes over what the environment says: COLTEC_INTERVAL replaces the
// interval of every replica, and HOME is what ~ stands for. It is for whoever runs where
// the workspace is. On an error nothing is changed.
func (s *Spec) ApplyEnvironment(lookup Lookup) error {
	atHome, err := s.enterHome(lookup)
	if err != nil {
		return err
	}
	text, _ := lookup("COLTEC_INTERVAL")
	if text == "" {
		s.Persistence.Sync = atHome
		return nil
	}
	interval, err := parseDuration(text)
	if err == nil && interval < leastInterval {
		err = fmt.Errorf("must be at least %s", formatDuration(leastInterval))
	}
	if err != nil {
		return hint.Wrap(fmt.Errorf("cannot use COLTEC_INTERVAL: it %w", err), "set it to seconds or a duration, such as 180 or 3m, or unset it")
	}
	s.Persistence.Sync = atHome
	for i := range s.Persistence.Sync {
		s.Persistence.Sync[i].Interval = interval
	}
	return nil
}
