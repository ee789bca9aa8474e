package spec

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/hint"
)

// remotes checks each remote by itself, and how they wrap each other.
func (c checker) remotes() {
	lower := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.s.Persistence.Remotes)) {
		at := c.s.src.path("persistence.remotes", name)
		if !c.s.src.has(at) && c.s.src.keys[at] == (position{}) {
			at = "persistence.rclone_config"
		}
		if !isName(name) || strings.Contains(name, ".") {
			c.add(c.s.src.key(at), "the name of a remote must be letters, digits, dashes and underscores, at most 63")
			c.remote(at, c.s.Persistence.Remotes[name])
			continue
		}
		folded := strings.ReplaceAll(strings.ToLower(name), "-", "_")
		if first, ok := lower[folded]; ok {
			c.add(c.s.src.key(at), "remotes %s and %s are one name to rclone, which ignores case: rename one", first, name)
		}
		lower[folded] = name
		c.remote(at, c.s.Persistence.Remotes[name])
	}
}

func (c checker) remote(at string, r *Remote) {
	if !slices.Contains(backends, r.Type) {
		c.bad(at+".type", "must be one of rclone's back ends, which %s is not%s", shown(r.Type), nearBackend(r.Type))
	}
	c.options(at, r)
	if r.Type == "s3" && r.Bucket == "" {
		c.bad(at, "needs a bucket: every remote of type s3 does, such as bucket: ${RCLONE_BUCKET}")
	}
	if strings.ContainsFunc(r.Bucket, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		c.bad(at+".bucket", "has a space or a control character, and no bucket has one")
	}
	if strings.Contains(r.Bucket, "/") && !strings.Contains(r.Bucket, "${") {
		c.bad(at+".bucket", "has a slash: put what comes after it in path_prefix")
	}
	c.template(at+".bucket", r.Bucket)
	c.template(at+".path_prefix", r.PathPrefix)
	c.template(at+".wrap_path", r.WrapPath)
	c.templates(at+".options", r.Options)
	for key, p := range map[string]string{"path_prefix": r.PathPrefix, "wrap_path": r.WrapPath} {
		if climbs(p) {
			c.bad(at+"."+key, `has "..", and a remote path cannot climb: write the path without it`)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(r.Options)) {
		if key == "type" {
			c.bad(at+".options", "has a type: write it beside the options, not among them")
		}
		if !isOption(key) {
			c.add(c.s.src.key(c.s.src.path(at+".options", key)), "%s.options has a key that is not an rclone option: options are lower-case letters, digits and underscores", at)
		}
	}
	if r.Type == "crypt" {
		c.crypt(at, r)
	}
	c.cryptVariables(at, r)
}

func (c checker) crypt(at string, r *Remote) {
	remotes := c.s.Persistence.Remotes
	switch {
	case r.WrapRemote == "":
		c.bad(at, "needs wrap_remote: the remote that its encrypted files lie in")
	case remotes[r.WrapRemote] == nil:
		c.bad(at+".wrap_remote", "is %s, which is not a remote%s", shown(r.WrapRemote), c.knownRemotes(r.WrapRemote))
	default:
		chain := c.s.Chain(r.Name)
		if last := chain[len(chain)-1]; last.Type == "crypt" && remotes[last.WrapRemote] != nil {
			c.bad(at+".wrap_remote", "goes round in a circle: one of the remotes must not be of type crypt")
		}
	}
	if r.Crypt == nil {
		c.bad(at, "needs crypt: {password_env: NAME}, the name of the variable that holds the password")
	}
}

// cryptVariables checks that names stand where a password must not.
func (c checker) cryptVariables(at string, r *Remote) {
	if r.Crypt == nil {
		return
	}
	for key, name := range map[string]string{"password_env": r.Crypt.PasswordEnv, "password2_env": r.Crypt.Password2Env} {
		if name != "" && !isVariable(name) {
			c.bad(at+".crypt."+key, "must be the name of an environment variable, never the password itself")
		}
	}
}

// knownRemotes ends an error about a remote that does not exist.
func (c checker) knownRemotes(name string) string {
	known := slices.Sorted(maps.Keys(c.s.Persistence.Remotes))
	if len(known) == 0 {
		return ": there are none; define one under persistence.remotes"
	}
	return didYouMean(name, known)
}

func (c checker) persistence() {
	p := &c.s.Persistence
	if p.Enabled && p.Mode == Replicated && len(p.Sync) == 0 && !c.s.src.failed["persistence.sync"] {
		c.add(c.s.src.key("persistence"), "persistence.sync needs at least one entry in mode replicated: add one, or set persistence.enabled: false")
	}
	if p.Enabled && p.Mode == Mounted && len(p.Sync)+len(p.Mounts) == 0 && !c.s.src.failed["persistence.mounts"] {
		c.add(c.s.src.key("persistence"), "persistence.mounts needs at least one entry in mode mounted: add one, or set persistence.enabled: false")
	}
	if c.s.src.has("persistence.default_remote") && p.Remotes[p.DefaultRemote] == nil {
		c.bad("persistence.default_remote", "is %s, which is not a remote%s", shown(p.DefaultRemote), c.knownRemotes(p.DefaultRemote))
	}
	for i, name := range p.Unkept {
		if name == "" || strings.Contains(name, "/") && !path.IsAbs(name) && !strings.HasPrefix(name, homeMark+"/") {
			c.bad(fmt.Sprintf("persistence.unkept[%d]", i), "must be an absolute path, one in the home (~/PATH), or the name of a volume")
		}
	}
	c.lease()
	c.bwlimit("persistence.defaults.bwlimit", p.Defaults.BwLimit)
	names, paths := map[string]string{}, map[string]string{}
	for i := range p.Sync {
		c.sync(c.s.src.origin[i], &p.Sync[i], names, paths)
	}
	for i := range p.Mounts {
		c.mount(fmt.Sprintf("persistence.mounts[%d]", i), &p.Mounts[i], names, paths)
	}
}

func (c checker) lease() {
	l := c.s.Persistence.Lease
	switch {
	case l.TTL <= 0:
		c.bad("persistence.lease.ttl", "must be more than 0, such as 180s")
	case l.Renew <= 0:
		c.bad("persistence.lease.renew", "must be more than 0, such as 60s")
	case l.Renew*2 >= l.TTL:
		c.bad("persistence.lease.renew", "is %s, but must be less than half the ttl of %s: a lost renewal must leave time for another", formatDuration(l.Renew), formatDuration(l.TTL))
	}
}

func (c checker) bwlimit(at, text string) {
	if text != "" && !isBandwidth(text) {
		c.bad(at, "must be a rate in rclone's syntax, such as 10M (MiB a second) or 10M:1M (up and down), or a timetable such as 08:00,1M 19:00,off")
	}
}

// sync checks one replica; names and paths are those that came before it.
func (c checker) sync(at string, y *Sync, names, paths map[string]string) {
	local := at + ".path"
	if strings.HasPrefix(at, volumesPath) {
		local = at + ".mount_path"
	}
	c.entry(at, y.Name, local, y.Path, names, paths)
	c.remotePath(at+".remote_path", y.RemotePath)
	if y.Remote == "" {
		c.bad(at, "needs a remote: name one, or set persistence.default_remote%s", c.someRemote())
	} else if c.s.Persistence.Remotes[y.Remote] == nil && (c.s.src.has(at+".remote") || !c.s.src.has("persistence.default_remote")) {
		c.bad(at+".remote", "is %s, which is not a remote%s", shown(y.Remote), c.knownRemotes(y.Remote))
	}
	if y.Interval < leastInterval {
		c.bad(at+".interval", "must be at least %s: changes are seen sooner by watching, not by a shorter interval", formatDuration(leastInterval))
	}
	c.bwlimit(at+".bwlimit", y.BwLimit)
	if y.Git == GitAuto && !y.CarriesGit() {
		c.bad(at+".git", "needs direction: bidirectional and layout: snapshot")
	}
	c.consistency(at+".consistency", y)
	c.include(at, y)
	for i, pattern := range y.Exclude {
		if strings.TrimSpace(pattern) == "" {
			c.bad(fmt.Sprintf("%s.exclude[%d]", at, i), "is an empty pattern: remove it")
		} else {
			c.pattern(fmt.Sprintf("%s.exclude[%d]", at, i), filter.Excludes([]string{pattern}))
		}
	}
}

// pattern checks that a filter can be made of the rules that a pattern stands for.
func (c checker) pattern(at string, rules []filter.Rule) {
	if err := filter.Usable(rules); err != nil {
		c.bad(at, "is no pattern of rclone: %s", hint.Sentence(err))
	}
}

// consistency checks the directories of a replica whose files are only valid together.
func (c checker) consistency(at string, y *Sync) {
	if len(y.Consistency) > 0 && !y.CarriesWholes() {
		c.bad(at, "needs direction: bidirectional and layout: snapshot")
		return
	}
	nested := c.s.NestedIn(*y)
	for i, w := range y.Consistency {
		here := fmt.Sprintf("%s[%d]", at, i)
		top, _, _ := strings.Cut(w.Path, "/")
		switch {
		case strings.HasPrefix(w.Path, "/"), climbs(w.Path), strings.ContainsRune(w.Path, 0):
			c.bad(here+".path", "must be a path below the replica's, such as data/pg")
		case top == ".coltec", top == "@":
			c.bad(here+".path", "is, or lies in, %s, which coltec needs for itself: choose another", top)
		}
		for _, other := range nested {
			if inside(other, w.Path) || inside(w.Path, other) {
				c.bad(here, "has to do with the replica at %s, which lies in this one: give consistency to that one, or choose another directory", shown(other))
			}
		}
		for j, other := range y.Consistency[:i] {
			if inside(other.Path, w.Path) || inside(w.Path, other.Path) {
				c.bad(here, "is in, or around, the directory of %s[%d]: keep one of the two", at, j)
			}
		}
		c.stopped(here+".units", w)
	}
}

// inside reports whether a path is another one, or below it; "" is all.
func inside(p, dir string) bool { return dir == "" || p == dir || strings.HasPrefix(p, dir+"/") }

// stopped checks the units that stand still.
func (c checker) stopped(at string, w Whole) {
	if w.By == ByHook && len(c.s.Hooks[hooks.PreCapture])+len(c.s.Hooks[hooks.PostCapture]) == 0 {
		c.bad(strings.TrimSuffix(at, ".units"), "is captured by hooks, and there are none: add hooks.pre_capture, or write by: freeze")
	}
	if len(w.Units) > 0 && w.By == ByHook {
		c.bad(at, "says who stands still, and by: hook nobody does: remove it")
	}
	var known []string
	for _, v := range c.s.Services {
		known = append(known, v.Name)
	}
	for _, list := range c.s.Hooks {
		for _, h := range list {
			known = append(known, h.Name)
		}
	}
	slices.Sort(known)
	for i, name := range w.Units {
		if !slices.Contains(known, name) {
			c.bad(fmt.Sprintf("%s[%d]", at, i), "is %s, which is not a service or hook%s", shown(name), didYouMean(name, known))
		}
	}
}

// someRemote says that remotes must be defined when there are none.
func (c checker) someRemote() string {
	if len(c.s.Persistence.Remotes) == 0 {
		return "; there are none: define one under persistence.remotes"
	}
	return ""
}

// entry checks the name and the local path that replicas and mounts have. Names
// that differ in case only would be one log file on some systems.
func (c checker) entry(at, name, local, p string, names, paths map[string]string) {
	if name != "" && !isName(name) {
		c.bad(at+".name", nameRule)
	}
	if first, ok := names[strings.ToLower(name)]; ok && name != "" {
		c.bad(at+".name", "is %s, as in %s: rename one", shown(name), first)
	} else {
		names[strings.ToLower(name)] = at
	}
	if p == "" {
		if c.s.src.has(local) {
			c.bad(local, "must be an absolute path: begin it with /")
		}
		return
	}
	if !isHome(p) || !strings.HasSuffix(local, ".path") {
		c.absolute(local, p)
	} else if climbs(p) || strings.ContainsRune(p, 0) {
		c.bad(local, `has "..", or a NUL character: write the path without it`)
	}
	if first, ok := paths[path.Clean(p)]; ok {
		c.bad(local, "is the same folder as in %s: choose another, or remove one of the two; one entry with include carries several files of a folder", first)
	} else {
		paths[path.Clean(p)] = at
	}
}

// remotePath checks the prefix of a replica or the source of a mount.
func (c checker) remotePath(at, p string) {
	if p == "" {
		if c.s.src.has(at) {
			c.bad(at, "is the whole remote: name a prefix in it, such as workspaces/{org}/{project}/{env}/workspace")
		}
		return
	}
	c.template(at, p)
	if climbs(p) {
		c.bad(at, `has "..", and a remote path cannot climb: write the path without it`)
	}
	if elements(p)[0] == ".coltec" {
		c.bad(at, "begins with .coltec, where coltec keeps its own objects: choose another prefix")
	}
	mapPlaceholders(p, func(name string) string {
		if isOption(strings.ToLower(name)) && !slices.Contains(placeholders, name) {
			c.bad(at, "has the placeholder {%s}, which is not known: use {org}, {project} or {env}, or ${%s} for a variable", name, name)
		}
		return ""
	})
}

func (c checker) mount(at string, m *PersistenceMount, names, paths map[string]string) {
	c.entry(at, m.Name, at+".target", m.Target, names, paths)
	c.remotePath(at+".source", m.Source)
	if p := &c.s.Persistence; p.Enabled && p.Mode == Mounted && p.DefaultRemote == "" {
		c.bad(at, "needs a remote: set persistence.default_remote%s", c.someRemote())
	}
}
