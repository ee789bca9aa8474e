// Package devcontainer drives Docker, or Podman, and the dev container CLI: it brings the
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

// Labels of Docker Compose: which project a container is of, and where its files are.
const (
	labelComposeProject = "com.docker.compose.project"
	labelComposeDir     = "com.docker.compose.project.working_dir"
)

// ClientVar is the variable that names the client of the containers: docker, podman, or a
// path of one of them.
const ClientVar = "COLTEC_DOCKER"

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

// Docker finds the client of the containers: what COLTEC_DOCKER names, else docker, else
// podman.
func Docker(environ []string) (Tools, error) {
	t := Tools{Environ: environ}
	var err error
	if name := variable(environ, ClientVar); name != "" {
		if t.Docker, err = lookPath(name, environ); err != nil {
			return t, hint.Wrap(fmt.Errorf("cannot find %q, which %s names", name, ClientVar), "name docker or podman, or the path of one, or unset it")
		}
		return t, nil
	}
	for _, name := range []string{"docker", "podman"} {
		if t.Docker, err = lookPath(name, environ); err == nil {
			return t, nil
		}
	}
	return t, hint.Wrap(errors.New("cannot find docker on PATH"),
		"install it: apt-get install docker.io (Debian, Ubuntu), brew install --cask docker (macOS), or see https://docs.docker.com/get-docker/")
}

// Client names the client of the containers, for people.
func (t Tools) Client() string { return filepath.Base(t.Docker) }

// Podman reports whether the client is Podman's.
func (t Tools) Podman() bool { return strings.HasPrefix(t.Client(), "podman") }

// Find finds docker and the dev container CLI.
func Find(environ []string) (Tools, error) {
	t, err := Docker(environ)
	if err != nil {
		return t, err
	}
	t.CLI, err = FindCLI(environ)
	return t, err
}

// cliPatience is how long the dev container CLI may take to say its version: half a second, where
// nothing else runs.
const cliPatience = 10 * time.Second

// Examine is the error of a host that has no dev container CLI, or none that runs.
func Examine(ctx context.Context, environ []string) error {
	path, err := FindCLI(environ)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cliPatience)
	defer cancel()
	cmd := Tools{Environ: environ}.command(ctx, path, "--version")
	var errs strings.Builder
	cmd.Stderr = &errs
	// One that is slow, or knows no such flag, is none that does not run.
	if err := cmd.Run(); err == nil || ctx.Err() != nil || !noNode(errs.String()) {
		return nil
	}
	return hint.Wrap(fmt.Errorf("cannot run the dev container CLI: %s", lastLine(errs.String())), "%s", getNode)
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
	dirs := filepath.SplitList(variable(environ, "PATH"))
	if filepath.IsAbs(name) {
		dirs, name = []string{filepath.Dir(name)}, filepath.Base(name)
	}
	for _, dir := range dirs {
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
	Tmpfs   map[string]string // options, by the path of what is in memory beside Mounts
	Setting []string          // of its own environment, NAME=value: those of [ofItself] alone, others may be secrets
}

// Mount is a place of the host in a container, or a volume, which has a name.
type Mount struct {
	Type                      string // volume, bind or tmpfs; "" is not said
	Name, Source, Destination string
	RW                        *bool // nil: it is not said
}

// Workspace is the folder in the container that the folder on the host is
// mounted at, alone or as a part of what is mounted, or that of the volume that is mounted in
// its place; "" when there is none.
func (c Container) Workspace() string {
	if m, ok := c.volume(); ok {
		return m.Destination
	}
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
		args = append(args, "--filter", t.filter("label="+l))
	}
	out, err := t.output(ctx, args...)
	ids := strings.Fields(string(out))
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	if t.Podman() {
		return t.inspectWhole(ctx, ids)
	}
	// Labels of `ps` are joined by commas, which a label may hold.
	out, err = t.output(ctx, append([]string{"inspect", "--type", "container", "--format", inspectFormat}, ids...)...)
	var list []Container
	for line := range strings.Lines(string(out)) {
		var c Container
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			return nil, fmt.Errorf("cannot read what %s inspect printed: %w", t.Client(), err)
		}
		list = append(list, c)
	}
	if err != nil && len(list) == 0 { // one that went meanwhile is not an error
		return nil, err
	}
	return list, nil
}

// filter is one that the client takes for one: Podman reads a list of them, as a line of CSV.
func (t Tools) filter(s string) string {
	if t.Podman() {
		return field(s)
	}
	return s
}

// Takes is why a folder cannot be brought up; nil: it can. The dev container CLI looks for its
// container by a label with the folder's path. Podman takes that for a list of filters, and where
// the path has an equals sign the CLI waits for ever for a container that has begun.
func (t Tools) Takes(folder string) error {
	if strings.Contains(folder, "=") {
		return hint.Wrap(fmt.Errorf("the folder %q has an equals sign in its path, and the dev container CLI cannot find a container by that", folder), "give the folder another name")
	}
	if t.Podman() && field(folder) != folder {
		return hint.Wrap(fmt.Errorf("the folder %q has a comma, a quote or a line break in its path, and Podman cannot find a container by that", folder), "give the folder another name, or use Docker")
	}
	return nil
}

// inspectWhole is what is known of containers, by the answer that both clients give alike:
// in formats Podman has other names.
func (t Tools) inspectWhole(ctx context.Context, ids []string) ([]Container, error) {
	out, err := t.output(ctx, append([]string{"inspect", "--type", "container"}, ids...)...)
	var whole []struct {
		ID      string `json:"Id"`
		Created string
		State   struct {
			Running bool
			Status  string
		}
		Config struct {
			Labels map[string]string
			Env    []string
		}
		HostConfig struct{ Tmpfs map[string]string }
		Mounts     []Mount
	}
	if bad := json.Unmarshal(out, &whole); bad != nil {
		return nil, errors.Join(err, fmt.Errorf("cannot read what %s inspect printed: %w", t.Client(), bad))
	}
	var list []Container
	for _, w := range whole {
		list = append(list, Container{w.ID, w.State.Running, w.State.Status, w.Created, w.Config.Labels, w.Mounts, w.HostConfig.Tmpfs, onlyItself(w.Config.Env)})
	}
	return list, nil // one that went meanwhile is not an error
}

// onlyItself are the settings of [ofItself].
func onlyItself(env []string) []string {
	return slices.DeleteFunc(env, func(kv string) bool { return !strings.HasPrefix(kv, ofItself+"=") })
}

// ofItself is the variable of a container that is read: whether coltecd is to do nothing there.
const ofItself = "COLTEC_DISABLED"

const inspectFormat = `{"ID":{{json .Id}},"Running":{{json .State.Running}},"Status":{{json .State.Status}},"Created":{{json .Created}},"Labels":{{json .Config.Labels}},"Mounts":{{json .Mounts}},"Tmpfs":{{json (index .HostConfig "Tmpfs")}},"Setting":[{{range .Config.Env}}{{$v := split . "="}}{{if eq (index $v 0) "` + ofItself + `"}}{{json .}}{{end}}{{end}}]}`

// Switch is the value of the variable by which a workspace's coltecd is told to do nothing,
// "" where nobody set it.
func (c Container) Switch() string {
	if value, ok := c.Env()[ofItself]; ok {
		return value
	}
	return variable(c.Setting, ofItself)
}

// Of gives the container of a folder; ok is false when there is none. Of
// several the running one counts, then the youngest.
func (t Tools) Of(ctx context.Context, folder string) (c Container, ok bool, err error) {
	list, err := t.List(ctx, LabelFolder+"="+folder)
	if err != nil || len(list) == 0 {
		return c, false, err
	}
	return slices.MaxFunc(list, preferred), true, nil
}

// preferred compares containers of a folder: a running one counts, then the youngest.
func preferred(a, b Container) int {
	if a.Running != b.Running {
		if a.Running {
			return 1
		}
		return -1
	}
	return strings.Compare(a.Created, b.Created)
}

// OnePerFolder gives of the containers of each folder the one that counts, as [Tools.Of] does.
func OnePerFolder(all []Container) []Container {
	best := map[string]Container{}
	for _, c := range all {
		if was, ok := best[c.Folder()]; !ok || preferred(c, was) > 0 {
			best[c.Folder()] = c
		}
	}
	var list []Container
	for _, folder := range slices.Sorted(maps.Keys(best)) {
		list = append(list, best[folder])
	}
	return list
}

// Stop stops a container, giving it grace before it is killed, and then those of its Compose
// project that are no workspace of their own: a database beside it has no use without it.
func (t Tools) Stop(ctx context.Context, c Container, grace time.Duration) error {
	ids := []string{c.ID}
	if project := c.Labels[labelComposeProject]; project != "" {
		list, err := t.List(ctx, labelComposeProject+"="+project, labelComposeDir+"="+c.Labels[labelComposeDir])
		if err != nil {
			return err
		}
		ids = append(ids, beside(list)...)
	}
	for _, id := range ids { // one after the other: what is used by a workspace outlasts it
		if _, err := t.output(ctx, "stop", "--time", fmt.Sprint(int(grace.Seconds())), id); err != nil {
			return err
		}
	}
	return nil
}

// beside are those of a Compose project's containers that run and are no workspace.
func beside(project []Container) (ids []string) {
	for _, c := range project {
		if c.Running && c.Folder() == "" {
			ids = append(ids, c.ID)
		}
	}
	return ids
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
		return out, t.clientError(args[0], err, errs.String())
	}
	return out, nil
}

func (t Tools) clientError(verb string, err error, text string) error {
	words := lastLine(text)
	if words != "" {
		err = errors.New(words)
	}
	err = fmt.Errorf("%s %s: %w", t.Client(), verb, err)
	switch {
	case t.Podman():
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
	apart(cmd)
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
	// Held is of what ends with its input: it gets one without anything in it, which ends with this
	// call, in whatever way that ends.
	Held   bool
	Stdout io.Writer
	Stderr io.Writer
}

// argv is docker's command line. Values of variables are given by name alone:
// docker reads them from its own environment.
func (e Exec) argv(c Container) []string {
	args := []string{"exec"}
	if e.Stdin != nil || e.Held {
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
	if e.Held && e.Stdin == nil {
		in, hold, err := os.Pipe()
		if err != nil {
			return -1, fmt.Errorf("%s exec: %w", t.Client(), err)
		}
		defer hold.Close() // ours alone: its end is the end of this program, too
		defer in.Close()
		cmd.Stdin = in
	}
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
		return -1, fmt.Errorf("%s exec: %w", t.Client(), err)
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
