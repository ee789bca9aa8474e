package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
)

// SpecName is where a workspace has its spec, below its folder.
const SpecName = ".devcontainer/workspace-spec.yaml"

// Options are a call of coltecd: who called, and about which workspace.
type Options struct {
	Name    string     // as called, for what people are told to run: coltecd or coltec-daemon
	Version string     // of the program
	Environ []string   // of the caller, credentials included
	Err     io.Writer  // progress for a person; what others wrote comes out as text
	Path    string     // the one name of the spec
	Spec    *spec.Spec // what was read there; nil: nothing, or it is not valid
	Only    []string   // names of units and replicas to run; none: all
}

// say prints a line of progress for a person.
func (o Options) say(format string, args ...any) { fmt.Fprintf(o.Err, format+"\n", args...) }

func (o Options) lookup(name string) (string, bool) { return lookup(o.Environ)(name) }

func (o Options) env(name string) string {
	v, _ := o.lookup(name)
	return v
}

// folder is the workspace's.
func (o Options) folder() string { return workspaceFolder(o.Path) }

// workspaceFolder is the folder that the spec at path describes.
func workspaceFolder(path string) string {
	dir := filepath.Dir(path)
	if filepath.Base(dir) == ".devcontainer" {
		return filepath.Dir(dir)
	}
	return dir
}

// LogDir is where the logs go.
func (o Options) LogDir() (string, error) {
	if dir := o.env("COLTEC_LOG_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	return filepath.Join(filepath.Dir(o.Path), "logs"), nil
}

// LoadSpec reads a spec. What is wrong in it is control.ErrInvalidSpec; a file
// that cannot be read is not.
func LoadSpec(path string) (*spec.Spec, error) {
	sp, err := spec.Load(path)
	if spec.Problems(err) != nil {
		err = invalid{err}
	}
	return sp, err
}

// ReadSpec is LoadSpec, with what the environment changes of it.
func ReadSpec(path string, lookup spec.Lookup) (*spec.Spec, error) {
	sp, err := LoadSpec(path)
	if err != nil {
		return nil, err
	}
	if err = sp.ApplyEnvironment(lookup); err == nil {
		err = sp.Place(lookup, workspaceFolder(path))
	}
	if err != nil {
		return nil, badEnvironment{err}
	}
	return sp, nil
}

// badEnvironment marks an error of the environment's.
type badEnvironment struct{ error }

func (b badEnvironment) Unwrap() []error { return []error{b.error, ErrEnvironment} }

// ErrEnvironment says that a variable makes no sense.
var ErrEnvironment = errors.New("the environment makes no sense")

// invalid marks an error of the spec without a word more.
type invalid struct{ error }

func (i invalid) Unwrap() []error { return []error{i.error, control.ErrInvalidSpec} }

// Runtime is where the runtime files are. Without a spec too: a broken one's coltecd is
// found.
func (o Options) Runtime() control.Runtime {
	place := control.Runtime{Spec: o.Path, XDG: o.env("XDG_RUNTIME_DIR"), Tmp: "/tmp", UID: os.Getuid()}
	if o.Spec == nil {
		return place
	}
	place.Workspace = WorkspaceOf(o.Spec).String()
	for _, s := range o.Spec.Persistence.Sync {
		place.Avoid = append(place.Avoid, s.Trees()...)
	}
	return place
}

// acquire takes the workspace's lock.
func (o Options) acquire() (*control.Lock, error) {
	lock, err := control.Acquire(o.Runtime())
	if errors.Is(err, control.ErrRunning) {
		return nil, hint.Wrap(fmt.Errorf("cannot run: coltecd is %w for %s", err, o.Path), "see %s status, or %s stop", o.Name, o.Name)
	}
	return lock, err
}

// WorkspaceOf names the workspace of a spec.
func WorkspaceOf(sp *spec.Spec) status.Workspace {
	return status.Workspace{Org: sp.Metadata.Org, Project: sp.Metadata.Project, Env: sp.Metadata.Environment, Name: sp.Name}
}

// StopTimeout of a whole stop: docker kills 10 s after its TERM.
const StopTimeout = 9 * time.Second
