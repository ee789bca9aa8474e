package spec

import (
	"cmp"
	"slices"
	"strings"
)

// NotActedOn returns the accepted fields of this spec that nothing acts on, in
// the order of the file. Fields that only describe (description, tags,
// generated_at) are not among them.
func (s *Spec) NotActedOn() []Notice {
	list := slices.Clone(s.src.idle)
	say := func(path, text string) {
		list = append(list, Notice{path, max(s.src.key(path).line, 1), text})
	}
	s.idlePersistence(say)
	s.idleRemotes(say)
	list = append(list, s.OtherProviders()...)
	if s.src.has("devcontainer") && !s.src.has("metadata.environment") {
		say("metadata", "metadata.environment is not set: {env} is the workspace's name; an earlier tool took dev for it")
	}
	slices.SortStableFunc(list, func(a, b Notice) int { return cmp.Compare(a.Line, b.Line) })
	return slices.Compact(list)
}

// idlePersistence names what the mode, or being disabled, leaves out.
func (s *Spec) idlePersistence(say func(path, text string)) {
	p := &s.Persistence
	if !p.Enabled {
		if len(p.Sync)+len(p.Mounts) > 0 {
			say("persistence.enabled", "persistence is disabled: nothing is kept")
		}
		return
	}
	if p.Mode == Replicated && len(p.Mounts) > 0 {
		say("persistence.mounts", "mounts are made in mode mounted only: write them as sync entries")
	}
	if p.Mode == Mounted {
		for _, key := range []string{"persistence.lease", "persistence.history"} {
			if s.src.has(key) {
				say(key, "a mount has no lease and no history: only mode replicated has")
			}
		}
	}
	for i := range p.Sync {
		s.idleSync(s.src.origin[i], &p.Sync[i], say)
	}
	if !s.src.has("persistence.default_remote") && len(p.Remotes) > 1 {
		say("persistence.remotes", "default_remote is not set: "+p.DefaultRemote+" is taken for it and holds the workspace's head")
	}
}

// idleSync names what a sync entry's direction or the mode leaves out.
func (s *Spec) idleSync(path string, y *Sync, say func(path, text string)) {
	if s.Persistence.Mode == Mounted {
		for _, key := range []string{"layout", "interval", "watch", "priority"} {
			if s.src.has(path + "." + key) {
				say(path+"."+key, "a mount is not synchronized: "+key+" has a meaning in mode replicated only")
			}
		}
		return
	}
	if y.Watch && y.Direction == PullOnly && s.src.has(path+".watch") {
		say(path+".watch", "nothing is pushed from a pull-only replica: there is nothing to watch for")
	}
}

// idleRemotes names what a remote's type leaves out.
func (s *Spec) idleRemotes(say func(path, text string)) {
	for name, r := range s.Persistence.Remotes {
		at := "persistence.remotes." + name
		if !s.src.has(at) {
			continue
		}
		keys, why := []string{"wrap_remote", "wrap_path", "crypt"}, "has a meaning for type crypt only"
		if r.Type == "crypt" {
			keys, why = []string{"bucket", "path_prefix"}, "has no meaning for type crypt: use wrap_path"
		}
		for _, key := range keys {
			if s.src.has(at + "." + key) {
				say(at+"."+key, key+" "+why)
			}
		}
	}
	if c := s.Persistence.RcloneConfig; c != nil && s.src.has("persistence.remotes."+c.RemoteName) {
		say("persistence.rclone_config", "remotes."+strings.TrimSpace(c.RemoteName)+" has the same name and is used instead")
	}
}
