package spec

import (
	"time"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/secret"
)

// The comments of the types and fields below are the descriptions in the JSON
// Schema. Tags: `yaml` is the key, `jsonschema` says required and enum to the
// parser and the schema alike, `idle` says why an accepted field is not acted
// on (see NotActedOn).

// Spec describes one workspace: what is kept in the bucket, what runs beside
// it, and how it is reached.
type Spec struct {
	// Version of the format: 1, "1" or 1.x.y.
	Version string `yaml:"version"`
	// Name of the workspace; it is the environment when metadata.environment is not given.
	Name string `yaml:"name"`
	// Metadata says which workspace this is.
	Metadata Metadata `yaml:"metadata" jsonschema:"required"`
	// Devcontainer describes the container for the host's side.
	Devcontainer Devcontainer `yaml:"devcontainer" idle:"it describes the container: coltec on the host may use it, coltecd does not"`
	// Secrets are the names of the variables that the workspace needs. Never values.
	Secrets []Secret `yaml:"secrets"`
	// Mounts of the container, as an earlier tool wrote them.
	Mounts []ContainerMount `yaml:"mounts" idle:"mounts of the container come from devcontainer.json: write them there"`
	// Persistence says what is kept where.
	Persistence Persistence `yaml:"persistence"`
	// Agents are the programs of which what lies in the home is carried: a name, or a mapping.
	Agents []Agent `yaml:"agents"`
	// Services run until they are stopped.
	Services []Service `yaml:"services"`
	// Hooks run once at a point in the life cycle.
	Hooks Hooks `yaml:"hooks"`
	// Networking joins the container to a tailnet.
	Networking Networking `yaml:"networking"`
	// Logs says how log files are rotated and written.
	Logs Logs `yaml:"logs"`
	// Metrics says where a Prometheus may ask how the workspace is.
	Metrics Metrics `yaml:"metrics"`
	// Webhook is told of what needs attention.
	Webhook *Webhook `yaml:"webhook"`
	// GeneratedAt says when a tool wrote this file. It describes only.
	GeneratedAt string `yaml:"generated_at"`

	src *source
}

// Metadata says which workspace this is: {org}/{project}/{env}, unique.
type Metadata struct {
	// Org is the first part of the workspace's identity.
	Org string `yaml:"org" jsonschema:"required"`
	// Project is the second part.
	Project string `yaml:"project" jsonschema:"required"`
	// Environment is the third part; the workspace's name if not given.
	Environment string `yaml:"environment"`
	// Description for people.
	Description string `yaml:"description"`
	// Tags for people.
	Tags []string `yaml:"tags"`
}

// Devcontainer describes the container, in the shape of an earlier tool.
type Devcontainer struct {
	// Template that the container was made from.
	Template *TemplateRef `yaml:"template"`
	// Image that the container runs.
	Image *ImageRef `yaml:"image"`
	// Features of the container.
	Features []FeatureRef `yaml:"features"`
	// User in the container; vscode by default.
	User string `yaml:"user"`
	// WorkspaceFolder in the container; /workspace by default.
	WorkspaceFolder string `yaml:"workspace_folder"`
	// WorkspaceMount is the mount of the workspace folder, in Docker's syntax.
	WorkspaceMount string `yaml:"workspace_mount"`
	// Mounts of the container.
	Mounts []ContainerMount `yaml:"mounts"`
	// RunArgs are further arguments of docker run.
	RunArgs []string `yaml:"run_args"`
	// Env is the container's environment.
	Env map[string]secret.Value `yaml:"env"`
	// Lifecycle commands of the container.
	Lifecycle Lifecycle `yaml:"lifecycle"`
	// Customizations of the editor.
	Customizations Customizations `yaml:"customizations"`
}

// TemplateRef names a template.
type TemplateRef struct {
	// Name of the template.
	Name string `yaml:"name"`
	// Path of the template.
	Path string `yaml:"path"`
	// Overlays laid over the template, in order.
	Overlays []string `yaml:"overlays"`
}

// ImageRef names an image.
type ImageRef struct {
	// Name with registry and tag.
	Name string `yaml:"name" jsonschema:"required"`
	// Digest that the image must have.
	Digest string `yaml:"digest"`
}

// FeatureRef names a dev container Feature.
type FeatureRef struct {
	// ID of the Feature.
	ID string `yaml:"id" jsonschema:"required"`
	// Options of the Feature.
	Options map[string]any `yaml:"options"`
}

// ContainerMount is a mount of the container.
type ContainerMount struct {
	// Source is a volume's name or a folder of the host.
	Source string `yaml:"source"`
	// Target is the path in the container.
	Target string `yaml:"target" jsonschema:"required"`
	// Type of the mount; volume by default.
	Type string `yaml:"type" jsonschema:"enum=volume,enum=bind,enum=tmpfs,enum=symlink"`
	// Extra options of the mount, in Docker's syntax.
	Extra string `yaml:"extra"`
}

// Lifecycle commands of the container.
type Lifecycle struct {
	// PostCreate commands, in order.
	PostCreate Words `yaml:"post_create"`
	// PostStart commands, in order.
	PostStart Words `yaml:"post_start"`
}

// Customizations of the editor.
type Customizations struct {
	// Extensions of the editor.
	Extensions Extensions `yaml:"extensions"`
	// Settings of the editor.
	Settings Settings `yaml:"settings"`
}

// Extensions of the editor, by identifier.
type Extensions struct {
	// Recommended extensions.
	Recommended []string `yaml:"recommended"`
	// Optional extensions.
	Optional []string `yaml:"optional"`
}

// Settings of the editor.
type Settings struct {
	// Values by name.
	Values map[string]any `yaml:"values"`
}

// Secret is a variable that the workspace needs, or a secret in the shape of an
// earlier tool (provider, key, mount_path, read_only).
type Secret struct {
	// Name of the environment variable.
	Name string `yaml:"name"`
	// Required variables that are missing are said in status.
	Required bool `yaml:"required"`
	// Provider of an earlier tool's secret.
	Provider string `yaml:"provider" idle:"secrets come as environment variables: give it as {name, required}"`
	// Key of an earlier tool's secret.
	Key string `yaml:"key" idle:"secrets come as environment variables: give it as {name, required}"`
	// MountPath of an earlier tool's secret.
	MountPath string `yaml:"mount_path" idle:"secrets come as environment variables, not as files"`
	// ReadOnly of an earlier tool's secret.
	ReadOnly bool `yaml:"read_only" idle:"secrets come as environment variables, not as files"`
}

// Modes of persistence.
const (
	// Replicated keeps local trees and a copy of them in the bucket.
	Replicated = "replicated"
	// Mounted mounts remote paths by rclone mount. It needs FUSE.
	Mounted = "mounted"
)

// Persistence says what is kept where.
type Persistence struct {
	// Enabled is true by default when there is anything to keep.
	Enabled bool `yaml:"enabled"`
	// Mode is replicated by default, or mounted when there are only mounts.
	Mode string `yaml:"mode" jsonschema:"enum=replicated,enum=mounted"`
	// Scope of an earlier tool's volumes.
	Scope string `yaml:"scope" jsonschema:"enum=project,enum=environment" idle:"remote_path says what is shared: use {org}, {project} and {env} in it"`
	// DefaultRemote is the remote of entries that name none. It holds the workspace's head.
	DefaultRemote string `yaml:"default_remote"`
	// Remotes by name.
	Remotes map[string]*Remote `yaml:"remotes"`
	// Defaults of the sync entries.
	Defaults Transfer `yaml:"defaults"`
	// Lease is the right to write this workspace's prefixes.
	Lease Lease `yaml:"lease"`
	// History says how long earlier states are kept.
	History History `yaml:"history"`
	// Sync lists the replicas: a local tree, a remote prefix and a direction each.
	Sync []Sync `yaml:"sync"`
	// Mounts of remote paths, for mode mounted.
	Mounts []PersistenceMount `yaml:"mounts"`
	// Unkept lists mounts of the container that nothing is to keep, such as caches: paths, or names of volumes. Others that no replica keeps are named by coltec up, check and doctor.
	Unkept []string `yaml:"unkept"`
	// RcloneConfig is an earlier tool's only remote; it becomes one of the remotes.
	RcloneConfig *RcloneConfig `yaml:"rclone_config"`
	// MultiScopeVolumes are an earlier tool's replicas; they become sync entries.
	MultiScopeVolumes MultiScopeVolumes `yaml:"multi_scope_volumes"`
}

// Remote is a place that rclone reaches. Values of bucket, path_prefix,
// wrap_path and options may hold ${VAR} and ${VAR:-default}; $$ is a dollar.
type Remote struct {
	// Name is the key under remotes.
	Name string `yaml:"-"`
	// Type is a back end of rclone; s3 by default.
	Type string `yaml:"type"`
	// Bucket, needed for s3.
	Bucket string `yaml:"bucket"`
	// PathPrefix comes before every remote path.
	PathPrefix string `yaml:"path_prefix"`
	// Options of the back end, by rclone's names.
	Options map[string]secret.Value `yaml:"options"`
	// WrapRemote is the remote that a crypt remote lies in.
	WrapRemote string `yaml:"wrap_remote"`
	// WrapPath is the path in the wrapped remote.
	WrapPath string `yaml:"wrap_path"`
	// Crypt says how a crypt remote encrypts.
	Crypt *Crypt `yaml:"crypt"`
}

// Crypt says how a crypt remote encrypts.
type Crypt struct {
	// PasswordEnv is the name of the variable that holds the password.
	PasswordEnv string `yaml:"password_env" jsonschema:"required"`
	// Password2Env is the name of the variable that holds the salt.
	Password2Env string `yaml:"password2_env"`
	// FilenameEncryption is standard by default.
	FilenameEncryption string `yaml:"filename_encryption" jsonschema:"enum=standard,enum=obfuscate,enum=off"`
	// DirectoryNameEncryption is true by default.
	DirectoryNameEncryption bool `yaml:"directory_name_encryption"`

	// Password in clear, after Expand.
	Password secret.Value `yaml:"-"`
	// Password2 in clear, after Expand; empty without password2_env.
	Password2 secret.Value `yaml:"-"`
}

// Transfer says how much is moved at once.
type Transfer struct {
	// Transfers at once; 4 by default.
	Transfers int `yaml:"transfers" jsonschema:"minimum=1"`
	// Checkers at once; 8 by default.
	Checkers int `yaml:"checkers" jsonschema:"minimum=1"`
	// BwLimit in rclone's syntax, such as 10M; no limit by default.
	BwLimit string `yaml:"bwlimit"`
}

// Lease is the right to write this workspace's prefixes.
type Lease struct {
	// TTL after which a silent holder's lease may be taken; 180s by default.
	TTL time.Duration `yaml:"ttl"`
	// Renew at this interval, less than half the ttl; 60s by default.
	Renew time.Duration `yaml:"renew"`
	// BestEffort allows a remote that cannot refuse a second writer.
	BestEffort bool `yaml:"best_effort"`
}

// History says how long earlier states are kept.
type History struct {
	// Keep them this long; 7d by default.
	Keep time.Duration `yaml:"keep"`
}

// Directions of a replica.
const (
	Bidirectional = "bidirectional"
	PushOnly      = "push-only"
	PullOnly      = "pull-only"
)

// Layouts of a remote prefix.
const (
	Snapshot = "snapshot"
	Mirror   = "mirror"
)

// How the repositories of a replica are carried.
const (
	GitAuto = "auto"
	GitOff  = "off"
)

// How a directory is captured as it is at one moment.
const (
	ByFreeze = "freeze"
	ByHook   = "hook"
)

// Consistency names directories whose files are only valid together. A word alone is that of
// the replica as a whole.
type Consistency []Whole

// Whole is a directory whose files are only valid together.
type Whole struct {
	// Path of the directory below the replica's; all of the replica by default.
	Path string `yaml:"path"`
	// By freeze the units that write there stand still while it is copied, half a second at most; by hook the hooks pre_capture and post_capture see to it.
	By string `yaml:"by" jsonschema:"required,enum=freeze,enum=hook"`
	// Units that stand still; all services and hooks of the workspace by default.
	Units []string `yaml:"units"`
}

// Sync is a replica: a local tree, a remote prefix and a direction.
type Sync struct {
	// Name of the replica, unique.
	Name string `yaml:"name" jsonschema:"required"`
	// Path of the local tree: absolute, or ~ or ~/PATH for what is in the home of the user that coltecd runs as.
	Path string `yaml:"path" jsonschema:"required"`
	// File says that the path is of a single file: the replica is the directory around it, and carries that file alone. It may be gone for a while, or be replaced by renaming.
	File bool `yaml:"file"`
	// Include lists what alone is carried of the tree: paths below the replica's, or filter patterns of rclone for them, each with all below it. Nothing else is walked or watched. What exclude matches is left out of it.
	Include []string `yaml:"include"`
	// Remote that holds it; persistence.default_remote by default.
	Remote string `yaml:"remote"`
	// RemotePath is its prefix there; {org}, {project}, {env} and ${VAR} are replaced. By default workspaces/{org}/{project}/{env}/ and the name.
	RemotePath string `yaml:"remote_path"`
	// Direction is bidirectional by default.
	Direction string `yaml:"direction" jsonschema:"enum=bidirectional,enum=push-only,enum=pull-only"`
	// Layout is snapshot for bidirectional and mirror otherwise.
	Layout string `yaml:"layout" jsonschema:"enum=snapshot,enum=mirror"`
	// Interval between walks of the tree, at least 10s; 300s by default.
	Interval time.Duration `yaml:"interval"`
	// Watch the tree for changes between the walks; true by default.
	Watch bool `yaml:"watch"`
	// Priority: lower comes first; 2 by default.
	Priority int `yaml:"priority" jsonschema:"minimum=0"`
	// Exclude lists filter patterns of rclone.
	Exclude []string `yaml:"exclude"`
	// Git is auto by default: each repository travels as a whole, unpushed commits, stashes and index too, whatever exclude says of .git. With off it does not.
	Git string `yaml:"git" jsonschema:"enum=auto,enum=off"`
	// Consistency is freeze or hook, or a list of directories: what is in each is only valid together, such as a database's.
	Consistency Consistency `yaml:"consistency"`
	// Transfers at once; persistence.defaults.transfers by default.
	Transfers int `yaml:"transfers" jsonschema:"minimum=1"`
	// Checkers at once; persistence.defaults.checkers by default.
	Checkers int `yaml:"checkers" jsonschema:"minimum=1"`
	// BwLimit in rclone's syntax; persistence.defaults.bwlimit by default.
	BwLimit string `yaml:"bwlimit"`

	// InHome says that the path is written as one in the home of the workspace's user, whatever that home is.
	InHome bool `yaml:"-"`
	// Agents says that it carries what agents keep there.
	Agents bool `yaml:"-"`
}

// CarriesGit reports whether the repositories of the replica travel as wholes.
func (y *Sync) CarriesGit() bool { return y.Git != GitOff && y.CarriesWholes() }

// CarriesWholes reports whether what is only valid together can travel so.
func (y *Sync) CarriesWholes() bool { return y.Direction == Bidirectional && y.Layout == Snapshot }

// PersistenceMount mounts a remote path, in mode mounted.
type PersistenceMount struct {
	// Name of the mount, unique.
	Name string `yaml:"name" jsonschema:"required"`
	// Target is the local mount point, absolute.
	Target string `yaml:"target" jsonschema:"required"`
	// Source is the path in the default remote.
	Source string `yaml:"source" jsonschema:"required"`
	// Type of an earlier tool's mount.
	Type string `yaml:"type" jsonschema:"enum=symlink,enum=bind,enum=volume,enum=rclone" idle:"the remote path is mounted at the target itself, whatever the type"`
}

// RcloneConfig is an earlier tool's only remote.
type RcloneConfig struct {
	// RemoteName of the remote; primary by default.
	RemoteName string `yaml:"remote_name"`
	// Type is a back end of rclone; s3 by default.
	Type string `yaml:"type"`
	// Options of the back end; bucket and path_prefix among them are taken out. The bucket of s3 is ${RCLONE_BUCKET} by default.
	Options map[string]secret.Value `yaml:"options"`
}

// MultiScopeVolumes are an earlier tool's replicas.
type MultiScopeVolumes struct {
	// GlobalRefs name volumes that are defined elsewhere.
	GlobalRefs []string `yaml:"global_refs" idle:"shared volumes are not kept in a file of their own: give each a sync entry with direction pull-only"`
	// ProjectRefs name volumes that are defined elsewhere.
	ProjectRefs []string `yaml:"project_refs" idle:"shared volumes are not kept in a file of their own: give each a sync entry with direction pull-only"`
	// Environment lists this workspace's own volumes.
	Environment []Volume `yaml:"environment"`
}

// Volume is an earlier tool's replica.
type Volume struct {
	// Name of the replica, unique.
	Name string `yaml:"name" jsonschema:"required"`
	// RemotePath is its prefix in the default remote.
	RemotePath string `yaml:"remote_path" jsonschema:"required"`
	// MountPath is the local tree, absolute.
	MountPath string `yaml:"mount_path" jsonschema:"required"`
	// Sync is a direction, true (bidirectional, the default) or false (not a replica).
	Sync string `yaml:"sync" jsonschema:"enum=bidirectional,enum=push-only,enum=pull-only,enum=true,enum=false"`
	// Interval between walks of the tree, at least 10s; 300s by default.
	Interval time.Duration `yaml:"interval"`
	// Priority: lower comes first; 2 by default.
	Priority int `yaml:"priority" jsonschema:"minimum=0"`
	// Exclude lists filter patterns of rclone.
	Exclude []string `yaml:"exclude"`
	// ReadOnly makes a bidirectional volume pull-only.
	ReadOnly bool `yaml:"read_only"`
}

// Restart policies of a service.
const (
	RestartAlways    = "always"
	RestartOnFailure = "on-failure"
	RestartNever     = "never"
)

// Service runs until it is stopped.
type Service struct {
	// Name of the service, unique among services and hooks.
	Name string `yaml:"name" jsonschema:"required"`
	// Command and its arguments. No shell is between. Nothing comes by its standard input, which stays open while it runs.
	Command []string `yaml:"command" jsonschema:"required"`
	// Dir to run in, absolute; the workspace folder by default.
	Dir string `yaml:"dir"`
	// Env is added to the environment. Values may hold ${VAR}.
	Env map[string]secret.Value `yaml:"env"`
	// User to run as; the user of coltecd by default.
	User string `yaml:"user"`
	// Restart is always by default.
	Restart string `yaml:"restart" jsonschema:"enum=always,enum=on-failure,enum=never"`
	// Backoff between restarts.
	Backoff Backoff `yaml:"backoff"`
	// StartLimit after which the service has failed.
	StartLimit StartLimit `yaml:"start_limit"`
	// Stop says how the service is stopped.
	Stop Stop `yaml:"stop"`
	// After names services, or restore, that come first.
	After []string `yaml:"after"`
	// Ready tells when the service is ready.
	Ready *Probe `yaml:"ready"`
}

// Backoff says how the delay between restarts grows.
type Backoff struct {
	// Base is the first delay; 500ms by default.
	Base time.Duration `yaml:"base"`
	// Max is the longest delay; 60s by default.
	Max time.Duration `yaml:"max"`
	// Factor from one delay to the next; 2 by default.
	Factor float64 `yaml:"factor" jsonschema:"minimum=1"`
}

// StartLimit says how many starts in which time are too many.
type StartLimit struct {
	// Burst of starts that is allowed; 10 by default.
	Burst int `yaml:"burst" jsonschema:"minimum=1"`
	// Window in which they are counted; 5m by default.
	Window time.Duration `yaml:"window"`
}

// Stop says how a service is stopped.
type Stop struct {
	// Signal that is sent first, such as TERM; TERM by default.
	Signal string `yaml:"signal"`
	// Grace before KILL; 10s by default.
	Grace time.Duration `yaml:"grace"`
}

// Probe is a command that reports whether a service is ready.
type Probe struct {
	// Exec is the command and its arguments; exit status 0 means ready.
	Exec []string `yaml:"exec" jsonschema:"required"`
	// Interval between tries; 1s by default.
	Interval time.Duration `yaml:"interval"`
	// Timeout after which the start has failed; 30s by default.
	Timeout time.Duration `yaml:"timeout"`
}

// Hooks by the point at which they run.
type Hooks map[hooks.Point][]Hook

// What a failed hook does.
const (
	// FailureIgnore is said in the log; work goes on.
	FailureIgnore = "ignore"
	// FailureFail keeps what waits for the hook's point from starting.
	FailureFail = "fail"
)

// Hook runs once at its point.
type Hook struct {
	// Name of the hook, unique among services and hooks; the point and a number by default, such as post-restore-1.
	Name string `yaml:"name"`
	// Command and its arguments. No shell is between.
	Command []string `yaml:"command" jsonschema:"required"`
	// Dir to run in, absolute; the workspace folder by default.
	Dir string `yaml:"dir"`
	// Env is added to the environment, in which COLTEC_HOOK is the hook's point. Values may hold ${VAR}.
	Env map[string]secret.Value `yaml:"env"`
	// User to run as; the user of coltecd by default.
	User string `yaml:"user"`
	// Timeout after which it is ended and has failed; 60s by default.
	Timeout time.Duration `yaml:"timeout"`
	// OnFailure is ignore by default, and fail for pre_capture and post_capture: what they are about is not captured then.
	OnFailure string `yaml:"on_failure" jsonschema:"enum=ignore,enum=fail"`
	// When lets a post_restore hook run only where there is something for it to do; without it the hook runs at each start.
	When *When `yaml:"when"`
}

// When says what there has to be for a hook to do. Paths are relative to the hook's dir.
type When struct {
	// Changed names files, such as package-lock.json: the hook runs when one of them is not as it was at the hook's last success on this machine, or when it had none. Where none of the files is there, it does not run.
	Changed []string `yaml:"changed" jsonschema:"required"`
	// Missing names paths, such as node_modules: the hook runs, too, when one of them is not there.
	Missing []string `yaml:"missing"`
}

// Networking joins the container to a tailnet.
type Networking struct {
	// Enabled is false by default.
	Enabled bool `yaml:"enabled"`
	// HostnamePrefix comes before org-project-env; dev- by default.
	HostnamePrefix string `yaml:"hostname_prefix"`
	// Tags to advertise; tag:devcontainer by default.
	Tags []string `yaml:"tags"`
	// AcceptDNS of the tailnet; false by default.
	AcceptDNS bool `yaml:"accept_dns"`
	// AcceptRoutes of the tailnet; false by default.
	AcceptRoutes bool `yaml:"accept_routes"`
	// SSH by tailscale; true by default.
	SSH bool `yaml:"ssh"`
	// ExtraArgs of tailscale up.
	ExtraArgs []string `yaml:"extra_args"`
	// Tun is userspace by default: a proxy on loopback, without privileges.
	// With kernel it is a network interface, which needs a device and NET_ADMIN.
	Tun string `yaml:"tun" jsonschema:"enum=userspace,enum=kernel"`
}

// The ways from a workspace to its tailnet.
const (
	TunUserspace = "userspace"
	TunKernel    = "kernel"
)

// Formats of a log.
const (
	FormatText = "text"
	FormatJSON = "json"
)

// Logs says how log files are rotated and written.
type Logs struct {
	// MaxSize of a file before it is rotated; 10MB by default.
	MaxSize Size `yaml:"max_size"`
	// MaxBackups of a file; 5 by default.
	MaxBackups int `yaml:"max_backups" jsonschema:"minimum=0"`
	// MaxAge of a backup; 14d by default.
	MaxAge time.Duration `yaml:"max_age"`
	// Compress backups; true by default.
	Compress bool `yaml:"compress"`
	// Format of coltecd's own log; text by default.
	Format string `yaml:"format" jsonschema:"enum=text,enum=json"`
}

// Metrics says where a Prometheus may ask how the workspace is.
type Metrics struct {
	// Listen is a loopback address with a port, such as 127.0.0.1:9464; nobody listens without it.
	Listen string `yaml:"listen"`
}

// Webhook is told of what needs attention, and when it does not any more: a POST of JSON each.
type Webhook struct {
	// URL that is posted to: https, or http at a loopback address. It may hold ${VAR}, and is shown nowhere but for its host.
	URL string `yaml:"url" jsonschema:"required"`
	// Secret is the name of the variable with the key that signs each, in the header Coltec-Signature. Never the key itself.
	Secret string `yaml:"secret"`
}
