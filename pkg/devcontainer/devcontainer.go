// Package devcontainer drives Docker and the dev container CLI: it brings the
// container of a folder up, finds it again, and runs programs in it. Command
// lines are made by pure functions; no value of a secret is ever on one.
package devcontainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/secret"
)

// Labels of a container that coltec brought up.
const (
	LabelFolder   = "devcontainer.local_folder"
	LabelMetadata = "devcontainer.metadata"
	LabelOrg      = "coltec.org"
	LabelProject  = "coltec.project"
	LabelEnv      = "coltec.env"
)

// DataFolder is where the CLI keeps its marks inside the container. Its default
// is in the user's home: where a volume of another uid is mounted there, the CLI
// skips every hook and reports success.
const DataFolder = "/tmp/.devcontainer-data"

// childWait is how long a child of a child may hold the output after its end.
const childWait = 2 * time.Second

// Tools are the programs of this host.
type Tools struct {
	Docker  string
	CLI     string   // devcontainer; empty: not looked for
	Environ []string // of the children
}

// Docker finds the docker client.
func Docker(environ []string) (Tools, error) {
	t := Tools{Environ: environ}
	var err error
	if t.Docker, err = lookPath("docker", environ); err != nil {
		return t, hint.Wrap(errors.New("cannot find docker on PATH"),
			"install it: apt-get install docker.io (Debian, Ubuntu), brew install --cask docker (macOS), or see https://docs.docker.com/get-docker/")
	}
	return t, nil
}

// Find finds docker and the dev container CLI.
func Find(environ []string) (Tools, error) {
	t, err := Docker(environ)
	if err != nil {
		return t, err
	}
	t.CLI, err = FindCLI(environ)
	return t, err
}

// FindCLI finds the dev container CLI.
func FindCLI(environ []string) (string, error) {
	path, err := lookPath("devcontainer", environ)
	if err != nil {
		return "", hint.Wrap(errors.New("cannot find the dev container CLI (devcontainer) on PATH"),
			"install it: npm install -g @devcontainers/cli")
	}
	return path, nil
}

func lookPath(name string, environ []string) (string, error) {
	for _, dir := range filepath.SplitList(variable(environ, "PATH")) {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && filepath.IsAbs(file) {
			return file, nil
		}
	}
	return "", exec.ErrNotFound
}

func variable(environ []string, name string) string {
	value := ""
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value
}

// Container is one container of a workspace.
type Container struct {
	ID      string
	Running bool
	Status  string // in Docker's words: "Up 3 minutes"
	Created string
	Labels  map[string]string
	Mounts  []Mount
}

// Mount is a place of the host in a container.
type Mount struct{ Source, Destination string }

// Workspace is the folder in the container that the folder on the host is
// mounted at, alone or as a part of what is mounted; "" when it is not.
func (c Container) Workspace() string {
	for _, m := range c.Mounts {
		rel, err := filepath.Rel(m.Source, c.Folder())
		if err == nil && filepath.IsLocal(rel) {
			return path.Join(m.Destination, filepath.ToSlash(rel))
		}
	}
	return ""
}

// Folder is the folder on the host that the container was made for.
func (c Container) Folder() string { return c.Labels[LabelFolder] }

// metadata is what a container's label says of it, as far as it is read here.
type metadata struct {
	RemoteUser    string            `json:"remoteUser"`
	ContainerUser string            `json:"containerUser"`
	RemoteEnv     map[string]string `json:"remoteEnv"`

	Customizations struct {
		Coltec struct{ Made Made }
	}
}

// parts are those of the label, the later ones counting over the earlier.
func (c Container) parts() (parts []metadata) {
	if json.Unmarshal([]byte(c.Labels[LabelMetadata]), &parts) != nil {
		var one metadata // a single object counts as a list of one
		_ = json.Unmarshal([]byte(c.Labels[LabelMetadata]), &one)
		parts = []metadata{one}
	}
	return parts
}

func (c Container) metadata() metadata {
	all := metadata{RemoteEnv: map[string]string{}}
	for _, p := range c.parts() {
		if p.RemoteUser != "" {
			all.RemoteUser = p.RemoteUser
		}
		if p.ContainerUser != "" {
			all.ContainerUser = p.ContainerUser
		}
		maps.Copy(all.RemoteEnv, p.RemoteEnv)
	}
	return all
}

// User is who works in the container; "" is the image's own.
func (c Container) User() string {
	m := c.metadata()
	if m.RemoteUser != "" {
		return m.RemoteUser
	}
	return m.ContainerUser
}

// Env are the variables that the workspace has beside the container's: what is
// made of the host's environment is left out, it may hold secrets.
func (c Container) Env() map[string]string {
	env := map[string]string{}
	for name, value := range c.metadata().RemoteEnv {
		if !strings.Contains(value, "${") {
			env[name] = value
		}
	}
	return env
}

// List gives the containers that have all the labels (name, or name=value),
// stopped ones too.
func (t Tools) List(ctx context.Context, labels ...string) ([]Container, error) {
	args := []string{"ps", "--all", "--no-trunc", "--quiet"}
	for _, l := range labels {
		args = append(args, "--filter", "label="+l)
	}
	out, err := t.output(ctx, args...)
	ids := strings.Fields(string(out))
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	// Labels of `ps` are joined by commas, which a label may hold.
	out, err = t.output(ctx, append([]string{"inspect", "--type", "container", "--format", inspectFormat}, ids...)...)
	var list []Container
	for line := range strings.Lines(string(out)) {
		var c Container
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			return nil, fmt.Errorf("cannot read what docker inspect printed: %w", err)
		}
		list = append(list, c)
	}
	if err != nil && len(list) == 0 { // one that went meanwhile is not an error
		return nil, err
	}
	return list, nil
}

const inspectFormat = `{"ID":{{json .Id}},"Running":{{json .State.Running}},"Status":{{json .State.Status}},"Created":{{json .Created}},"Labels":{{json .Config.Labels}},"Mounts":{{json .Mounts}}}`

// Of gives the container of a folder; ok is false when there is none. Of
// several the running one counts, then the youngest.
func (t Tools) Of(ctx context.Context, folder string) (c Container, ok bool, err error) {
	list, err := t.List(ctx, LabelFolder+"="+folder)
	if err != nil || len(list) == 0 {
		return c, false, err
	}
	return slices.MaxFunc(list, func(a, b Container) int {
		if a.Running != b.Running {
			if a.Running {
				return 1
			}
			return -1
		}
		return strings.Compare(a.Created, b.Created)
	}), true, nil
}

// Stop stops a container, giving it grace before it is killed.
func (t Tools) Stop(ctx context.Context, c Container, grace time.Duration) error {
	_, err := t.output(ctx, "stop", "--time", fmt.Sprint(int(grace.Seconds())), c.ID)
	return err
}

// output runs docker and gives what it printed. Its last words are the error.
func (t Tools) output(ctx context.Context, args ...string) ([]byte, error) {
	cmd := t.command(ctx, t.Docker, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return out, context.Cause(ctx)
	}
	if err != nil {
		return out, dockerError(args[0], err, errs.String())
	}
	return out, nil
}

func dockerError(verb string, err error, text string) error {
	words := lastLine(text)
	if words != "" {
		err = errors.New(words)
	}
	err = fmt.Errorf("docker %s: %w", verb, err)
	switch {
	case strings.Contains(text, "Cannot connect to the Docker daemon"), strings.Contains(text, "failed to connect to the docker API"):
		return hint.Wrap(err, "start it: systemctl start docker (Linux), or Docker Desktop")
	case strings.Contains(text, "permission denied"):
		return hint.Wrap(err, "let this user speak with it: sudo usermod -aG docker $USER, then log in again")
	}
	return err
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// command is a child that ends with ctx, in a session of its own: in a group of a terminal's
// session that is not in the foreground, whoever reads the terminal (docker, sudo in an
// initializeCommand) is stopped for good.
func (t Tools) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.WaitDelay = t.Environ, childWait
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	return cmd
}

// Exec says what to run in a container.
type Exec struct {
	Argv []string
	Env  map[string]string // beside the container's and the workspace's; values are on no command line
	Dir  string
	Root bool // as root, not as the workspace's user
	TTY  bool
	// Foreground is of what reads the terminal of whoever calls: it gets that terminal's
	// signals, too.
	Foreground bool
	Stdin      io.Reader // nil: none
	Stdout     io.Writer
	Stderr     io.Writer
}

// argv is docker's command line. Values of variables are given by name alone:
// docker reads them from its own environment.
func (e Exec) argv(c Container) []string {
	args := []string{"exec"}
	if e.Stdin != nil {
		args = append(args, "--interactive")
	}
	if e.TTY {
		args = append(args, "--tty")
	}
	user := c.User()
	if e.Root {
		user = "root"
	}
	if user != "" {
		args = append(args, "--user", user)
	}
	if e.Dir != "" {
		args = append(args, "--workdir", e.Dir)
	}
	for _, name := range slices.Sorted(maps.Keys(e.env(c))) {
		args = append(args, "--env", name)
	}
	return append(append(args, c.ID), e.Argv...)
}

func (e Exec) env(c Container) map[string]string {
	env := c.Env()
	maps.Copy(env, e.Env)
	return env
}

// Run runs it and gives its exit code. An error means that it could not be run.
func (t Tools) Run(ctx context.Context, c Container, e Exec) (int, error) {
	cmd := t.command(ctx, t.Docker, e.argv(c)...)
	if e.Foreground {
		cmd.SysProcAttr = nil
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	}
	cmd.Env = slices.Clone(t.Environ)
	for name, value := range e.env(c) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.Stdin, e.Stdout, e.Stderr
	err := cmd.Run()
	var exited *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return -1, context.Cause(ctx)
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return 0, nil
	case errors.As(err, &exited) && exited.Exited():
		return exited.ExitCode(), nil
	default:
		return -1, fmt.Errorf("docker exec: %w", err)
	}
}

// Flat writes secrets as the CLI and coltecd read them.
func Flat(values secret.Values) []byte {
	flat := map[string]string{}
	for name, v := range values {
		flat[name] = v.Reveal()
	}
	b, err := json.Marshal(flat)
	if err != nil {
		panic(err) // a map of texts
	}
	return append(b, '\n')
}
