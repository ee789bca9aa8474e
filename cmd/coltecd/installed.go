package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/installation"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/wholefile"
)

// installing is one installation, and where its parts are on this machine.
type installing struct {
	installation.Installation
	system  bool   // of the machine's systemd
	dir     string // of the units
	env     string // the file with the variables
	systemd bool   // one runs that takes units of this kind
}

// systemConfig is where the machine's programs are configured.
const systemConfig = "/etc"

// setUp finds out what is to be installed.
func (p installer) setUp(c *cli.Context) (*installing, *spec.Spec, error) {
	if c.Bool("user") && c.Bool("system") {
		return nil, nil, cmdline.Usage("--user and --system are two ways: name one")
	}
	path, err := p.specIn(c)
	if err != nil {
		return nil, nil, err
	}
	sp, err := daemon.LoadSpec(path)
	if err != nil {
		return nil, nil, err
	}
	s := &installing{system: c.Bool("system") || os.Geteuid() == 0 && !c.Bool("user")}
	if s.system && os.Geteuid() != 0 {
		return nil, nil, hint.Wrap(errors.New("cannot install for the machine: this is not root"), "sudo, or --user")
	}
	folder := folderOf(path)
	s.Installation = installation.Installation{
		Spec: path, Folder: folder, Workspace: daemon.WorkspaceOf(sp).String(),
		Path: cmp.Or(p.env("PATH"), "/usr/local/bin:/usr/bin:/bin"),
	}
	if s.Program, err = os.Executable(); err != nil {
		return nil, nil, err
	}
	config, err := p.configDir()
	if err != nil {
		return nil, nil, err
	}
	s.env = s.EnvFile(config)
	if s.system { // not in a home that another user may redirect
		s.env = s.EnvFile(systemConfig)
	}
	return s, sp, s.find(p.program, config)
}

// find says where units go, and whether a systemd takes them.
func (s *installing) find(p *program, config string) error {
	running := there("/run/systemd/system")
	if !s.system {
		s.dir = filepath.Join(config, "systemd/user")
		bus := p.env("DBUS_SESSION_BUS_ADDRESS") != "" || there(filepath.Join(p.env("XDG_RUNTIME_DIR"), "systemd/private"))
		s.systemd = running && bus
		return nil
	}
	s.dir, s.systemd = "/etc/systemd/system", running
	info, err := os.Stat(s.Folder)
	if err != nil {
		return err
	}
	uid := fmt.Sprint(os.Geteuid())
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		uid = strconv.Itoa(int(st.Uid))
	}
	s.User = uid
	u, err := user.LookupId(uid)
	if err != nil {
		return nil // systemd takes a number
	}
	s.User = u.Username
	return nil
}

// specIn is the spec of the folder that a verb is told, else as every verb finds it.
func (p installer) specIn(c *cli.Context) (string, error) {
	if dir := c.Args().First(); dir != "" {
		return p.realPath(filepath.Join(dir, daemon.SpecName), "DIR")
	}
	return p.findSpec(c)
}

func folderOf(path string) string {
	dir := filepath.Dir(path)
	if filepath.Base(dir) == filepath.Dir(daemon.SpecName) {
		return filepath.Dir(dir)
	}
	return dir
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// configDir is where this user's programs are configured.
func (p installer) configDir() (string, error) {
	if dir := p.env("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	home := p.env("HOME")
	if !filepath.IsAbs(home) {
		return "", hint.Wrap(fmt.Errorf("cannot know where your configuration is: HOME is %q", home), "set HOME to an absolute path")
	}
	return filepath.Join(home, ".config"), nil
}

// takeInstalled adds the variables that install kept for the spec at path, where the
// environment has none of that name: a start by hand is the same start.
func (p installer) takeInstalled(path string) error {
	sp, err := daemon.LoadSpec(path)
	if err != nil {
		return nil // whoever reads it next says so
	}
	i := installation.Installation{Spec: path, Workspace: daemon.WorkspaceOf(sp).String()}
	values, err := p.installed(i.EnvFile(systemConfig))
	if config, none := p.configDir(); err == nil && none == nil && len(values) == 0 {
		values, err = p.installed(i.EnvFile(config))
	}
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if _, ok := p.lookup(name); !ok {
			p.environ = append(p.environ, name+"="+values[name].Reveal())
		}
	}
	return nil
}

// installed reads the variables of an installation; none where there is none.
func (p installer) installed(file string) (secret.Values, error) {
	text, err := wholefile.Read(file, wholefile.ByHand)
	if errors.Is(err, fs.ErrNotExist) {
		return secret.Values{}, nil
	}
	var values secret.Values
	if err == nil {
		values, err = secret.ParseDotenv(text)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the variables in %s: %w", file, err)
	}
	return values, nil
}
