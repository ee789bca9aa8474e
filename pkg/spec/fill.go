package spec

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/secret"
)

// volumesPath is where an earlier tool's replicas stand.
const volumesPath = "persistence.multi_scope_volumes.environment"

// adopt turns what only the earlier tool's specs have into what this one has:
// rclone_config into a remote, volumes into sync entries.
func adopt(s *Spec) {
	for i := range s.Persistence.Sync {
		s.src.origin = append(s.src.origin, fmt.Sprintf("persistence.sync[%d]", i))
	}
	adoptRclone(&s.Persistence)
	for i, v := range s.Persistence.MultiScopeVolumes.Environment {
		adoptVolume(s, fmt.Sprintf("%s[%d]", volumesPath, i), v)
	}
	adoptAgents(s) // last: it may be left out again
	leaveCredentials(s)
}

// adoptRclone makes the remote that rclone_config describes, unless there is one
// of that name.
func adoptRclone(p *Persistence) {
	c := p.RcloneConfig
	if c == nil {
		return
	}
	c.RemoteName = or(strings.TrimSpace(c.RemoteName), "primary")
	c.Type = or(c.Type, "s3")
	if p.Remotes[c.RemoteName] != nil {
		return
	}
	r := &Remote{Type: c.Type, Options: maps.Clone(c.Options)}
	r.Bucket, r.PathPrefix = c.Options["bucket"].Reveal(), c.Options["path_prefix"].Reveal()
	delete(r.Options, "bucket") // rclone has no such options: the bucket is the first element of a path
	delete(r.Options, "path_prefix")
	if c.Type == "s3" {
		r.Bucket = or(r.Bucket, "${RCLONE_BUCKET}") // what the earlier tool's templates expect to be set
	}
	if p.Remotes == nil {
		p.Remotes = map[string]*Remote{}
	}
	p.Remotes[c.RemoteName] = r
}

// adoptVolume appends the sync entry that an earlier tool's volume stands for.
func adoptVolume(s *Spec, path string, v Volume) {
	p := &s.Persistence
	if v.Sync == "false" {
		s.src.idle = append(s.src.idle, Notice{path, s.src.key(path).line, "sync is false: the volume is not kept"})
		return
	}
	y := Sync{Name: v.Name, Path: v.MountPath, RemotePath: v.RemotePath, Interval: v.Interval, Priority: v.Priority, Exclude: v.Exclude}
	if v.Sync != "true" {
		y.Direction = v.Sync
	}
	if v.ReadOnly && or(y.Direction, Bidirectional) == Bidirectional {
		y.Direction = PullOnly
	}
	same := func(o Sync) bool { return o.Name == y.Name && o.Path == y.Path && o.RemotePath == y.RemotePath }
	if y.Name != "" && slices.ContainsFunc(p.Sync, same) {
		s.src.idle = append(s.src.idle, Notice{path, s.src.key(path).line, "a sync entry says the same and is used instead"})
		return
	}
	p.Sync = append(p.Sync, y)
	s.src.origin = append(s.src.origin, path)
}

// or returns value, or fallback for the zero value.
func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// filler sets defaults where nothing was given.
type filler struct{ *source }

// set is for values whose zero can be meant.
func set[T any](f filler, path string, v *T, fallback T) {
	if !f.has(path) {
		*v = fallback
	}
}

// fill sets every default.
func fill(s *Spec) {
	f := filler{s.src}
	s.Version = or(s.Version, "1.0.0")
	s.Metadata.Environment = or(s.Metadata.Environment, s.Name)
	s.Name = or(s.Name, s.Metadata.Environment)
	s.Devcontainer.User = or(s.Devcontainer.User, "vscode")
	s.Devcontainer.WorkspaceFolder = or(s.Devcontainer.WorkspaceFolder, "/workspace")
	fillPersistence(f, s)
	for i := range s.Services {
		fillService(f, fmt.Sprintf("services[%d]", i), &s.Services[i])
	}
	for i := range s.Agents {
		a := &s.Agents[i]
		a.Resume = or(a.Resume, ResumeNever)
		set(f, fmt.Sprintf("agents[%d].timeout", i), &a.Timeout, turnTime)
	}
	for point, list := range s.Hooks {
		for i := range list {
			fillHook(f, point, i, &list[i])
		}
	}
	n := &s.Networking
	set(f, "networking.hostname_prefix", &n.HostnamePrefix, "dev-")
	set(f, "networking.tags", &n.Tags, []string{"tag:devcontainer"})
	set(f, "networking.ssh", &n.SSH, true)
	n.Tun = or(n.Tun, TunUserspace)
	set(f, "logs.max_size", &s.Logs.MaxSize, 10e6)
	set(f, "logs.max_backups", &s.Logs.MaxBackups, 5)
	set(f, "logs.max_age", &s.Logs.MaxAge, 14*24*time.Hour)
	set(f, "logs.compress", &s.Logs.Compress, true)
	s.Logs.Format = or(s.Logs.Format, FormatText)
}

func fillPersistence(f filler, s *Spec) {
	p := &s.Persistence
	set(f, "persistence.enabled", &p.Enabled, len(p.Sync)+len(p.Mounts) > 0 || f.has("persistence.mode"))
	if p.Mode == "" {
		p.Mode = Replicated
		if len(p.Sync) == 0 && len(p.Mounts) > 0 {
			p.Mode = Mounted
		}
	}
	for name, r := range p.Remotes {
		fillRemote(f, name, r)
	}
	p.DefaultRemote = or(p.DefaultRemote, impliedRemote(p))
	p.Defaults.Transfers = or(p.Defaults.Transfers, 4)
	p.Defaults.Checkers = or(p.Defaults.Checkers, 8)
	set(f, "persistence.lease.ttl", &p.Lease.TTL, 180*time.Second)
	set(f, "persistence.lease.renew", &p.Lease.Renew, p.Lease.TTL/3)
	set(f, "persistence.history.keep", &p.History.Keep, 7*24*time.Hour)
	for i := range p.Sync {
		fillSync(f, s, s.src.origin[i], &p.Sync[i])
	}
	for i := range p.Mounts {
		p.Mounts[i].Source = cleanRemote(s.fillPlaceholders(p.Mounts[i].Source))
	}
}

// impliedRemote is the default remote of a spec that names none: the only one,
// or rclone_config's, or the first that a sync entry names.
func impliedRemote(p *Persistence) string {
	if len(p.Remotes) == 1 {
		for name := range p.Remotes {
			return name
		}
	}
	if p.RcloneConfig != nil {
		return p.RcloneConfig.RemoteName
	}
	for _, y := range p.Sync {
		if y.Remote != "" {
			return y.Remote
		}
	}
	return ""
}

func fillRemote(f filler, name string, r *Remote) {
	r.Name = name
	r.Type = or(r.Type, "s3")
	r.PathPrefix = cleanPrefix(r.PathPrefix, r.Bucket != "")
	r.WrapPath = cleanRemote(r.WrapPath)
	if r.Options == nil {
		r.Options = map[string]secret.Value{}
	}
	if r.Crypt != nil {
		r.Crypt.FilenameEncryption = or(r.Crypt.FilenameEncryption, "standard")
		set(f, "persistence.remotes."+name+".crypt.directory_name_encryption", &r.Crypt.DirectoryNameEncryption, true)
	}
}

func fillSync(f filler, s *Spec, at string, y *Sync) {
	p := &s.Persistence
	y.Remote = or(y.Remote, p.DefaultRemote)
	y.Direction = or(y.Direction, Bidirectional)
	if y.Layout == "" {
		y.Layout = Mirror
		if y.Direction == Bidirectional {
			y.Layout = Snapshot
		}
	}
	set(f, at+".interval", &y.Interval, 300*time.Second)
	set(f, at+".priority", &y.Priority, 2)
	if y.Agents && !f.has(at+".priority") {
		y.Priority = 0 // an agent that is started before its conversations are here begins another
	}
	set(f, at+".watch", &y.Watch, y.Direction != PullOnly)
	y.Transfers = or(y.Transfers, p.Defaults.Transfers)
	y.Checkers = or(y.Checkers, p.Defaults.Checkers)
	y.BwLimit = or(y.BwLimit, p.Defaults.BwLimit)
	if !f.has(at+".remote_path") && y.Name != "" {
		y.RemotePath = "workspaces/{org}/{project}/{env}/" + y.Name
	}
	y.RemotePath = cleanRemote(s.fillPlaceholders(y.RemotePath))
	y.InHome = isHome(y.Path)
	if y.File && len(y.Include) == 0 && path.Base(y.Path) != homeMark {
		y.Path, y.Include = path.Dir(y.Path), []string{literally(path.Base(y.Path))}
	}
	for i := range y.Consistency {
		y.Consistency[i].Path = cleanBelow(y.Consistency[i].Path)
	}
}

func fillService(f filler, path string, v *Service) {
	v.Restart = or(v.Restart, RestartAlways)
	set(f, path+".backoff.base", &v.Backoff.Base, 500*time.Millisecond)
	set(f, path+".backoff.max", &v.Backoff.Max, max(60*time.Second, v.Backoff.Base))
	set(f, path+".backoff.factor", &v.Backoff.Factor, 2)
	set(f, path+".start_limit.burst", &v.StartLimit.Burst, 10)
	set(f, path+".start_limit.window", &v.StartLimit.Window, 5*time.Minute)
	set(f, path+".stop.grace", &v.Stop.Grace, 10*time.Second)
	v.Stop.Signal = strings.TrimPrefix(strings.ToUpper(or(v.Stop.Signal, "TERM")), "SIG")
	if v.Ready != nil {
		set(f, path+".ready.interval", &v.Ready.Interval, time.Second)
		set(f, path+".ready.timeout", &v.Ready.Timeout, 30*time.Second)
	}
}

func fillHook(f filler, point hooks.Point, i int, h *Hook) {
	path := fmt.Sprintf("hooks.%s[%d]", point, i)
	h.Name = or(h.Name, point.HookName(i))
	set(f, path+".timeout", &h.Timeout, 60*time.Second)
	fallback := FailureIgnore
	if point == hooks.PreCapture || point == hooks.PostCapture {
		fallback = FailureFail
	}
	h.OnFailure = or(h.OnFailure, fallback)
}
