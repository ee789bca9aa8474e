package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/installation"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/wholefile"
)

func systemFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "user", Usage: "as a unit of your own systemd (the default, but for root)"},
		&cli.BoolFlag{Name: "system", Usage: "as a unit of the machine's systemd, run as the folder's owner (root's default)"},
	}
}

func cmdInstall(p *program) *cli.Command {
	return &cli.Command{
		Name:      "install",
		Usage:     "keep the workspace in a folder of this machine, without a container: now, and after each boot",
		ArgsUsage: "[DIR]",
		Flags: append(systemFlags(),
			&cli.StringFlag{Name: "secrets-file", Usage: "take variables from `FILE`: flat JSON, or lines NAME=value"},
			&cli.StringFlag{Name: "place", Usage: "the `PATH` at which the spec has the workspace's folder (default: what devcontainer.workspace_folder says, or the outermost replica's)"},
			&cli.BoolFlag{Name: "dry-run", Usage: "print the unit and change nothing"},
		),
		Description: "The variables that the spec names are taken from --secrets-file and the environment, and kept in a file that only you can read.",
		Action:      func(c *cli.Context) error { return installer{p}.install(c) },
	}
}

// installer makes a workspace run on a machine without a container.
type installer struct{ *program }

func (p installer) install(c *cli.Context) error {
	s, sp, err := p.setUp(c)
	if err != nil {
		return err
	}
	values, err := p.installed(s.env)
	if err != nil {
		return err
	}
	if err := p.given(c, sp, values); err != nil {
		return err
	}
	if err := s.place(c.String("place"), sp, values); err != nil {
		return err
	}
	if c.Bool("dry-run") {
		fmt.Fprint(p.out, s.Unit())
		return nil
	}
	if from := values[spec.PlaceVar].Reveal(); from != "" {
		p.say("%s stands for %s of the spec: replicas, mount points and dirs below it; words of commands are not changed", s.Folder, from)
	}
	if err := s.writeEnv(values); err != nil {
		return err
	}
	p.say("variables: %s", s.env)
	if i, ok, err := p.find(s.Spec); err != nil || ok {
		if err = errors.Join(err, p.stop(c.Context, i, installation.StopTimeout)); err != nil {
			return err
		}
	}
	if !s.systemd {
		return p.keepWithout(c.Context, s)
	}
	return p.keepBySystemd(c.Context, s)
}

// given adds to values what the spec names and this call has, and refuses to go on without
// what it cannot do without.
func (p installer) given(c *cli.Context, sp *spec.Spec, values secret.Values) error {
	if file := secret.File(c.String("secrets-file")); file != "" {
		told, err := file.Get(c.Context, nil)
		if err != nil {
			return fmt.Errorf("cannot get variables from %s: %w", file, err)
		}
		for _, name := range slices.Sorted(maps.Keys(told)) {
			p.environ = append(p.environ, name+"="+told[name].Reveal())
		}
	}
	var missing []string
	for _, v := range sp.Variables() {
		if value, ok := p.lookup(v.Name); ok {
			values[v.Name] = secret.New(value)
		} else if v.Required && values[v.Name].Empty() {
			missing = append(missing, v.Name)
		}
	}
	if len(missing) > 0 {
		return hint.Wrap(fmt.Errorf("%s are not set", strings.Join(missing, ", ")), "give them with --secrets-file FILE (lines NAME=value), or in the environment")
	}
	return nil
}

// place decides which path of the spec the folder stands for; none where a replica is in it
// already, or has it.
func (s *installing) place(told string, sp *spec.Spec, values secret.Values) error {
	if told == "" {
		told = values[spec.PlaceVar].Reveal()
	}
	var outside []string
	for _, y := range sp.Replicas() {
		path := filepath.Clean(y.Path)
		if !filepath.IsAbs(path) || within(path, s.Folder) || within(s.Folder, path) {
			continue
		}
		outside = append(outside, path)
	}
	if told == "" && len(outside) > 0 {
		told = outermost(outside)
		if says := sp.Devcontainer.WorkspaceFolder; slices.ContainsFunc(outside, func(path string) bool { return within(path, says) }) {
			told = says
		}
	}
	switch {
	case told == "" && len(outside) > 0:
		return hint.Wrap(fmt.Errorf("the replicas are at %s, and the folder is %s", strings.Join(outside, ", "), s.Folder),
			"say which path of the spec the folder stands for: --place %s", hint.Word(outside[0]))
	case told == "":
		return nil
	case !filepath.IsAbs(told) || filepath.Clean(told) == "/":
		return cmdline.Usage("--place needs the absolute path of a folder, not %q", told)
	}
	values[spec.PlaceVar] = secret.New(filepath.Clean(told))
	return nil
}

// outermost is the path that has all the others in it, "" where none has.
func outermost(paths []string) string {
	for _, top := range paths {
		if !slices.ContainsFunc(paths, func(p string) bool { return !within(p, top) }) {
			return top
		}
	}
	return ""
}

// within reports whether path is dir or lies in it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// writeEnv writes the file with the variables, for its user alone.
func (s *installing) writeEnv(values secret.Values) error {
	dir, mode := filepath.Dir(s.env), fs.FileMode(0o700)
	if s.system {
		mode = 0o755
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return fmt.Errorf("cannot keep the variables: %w", err)
	}
	if err := wholefile.Write(s.env, installation.EnvText(values), 0o600, wholefile.Durable); err != nil {
		return fmt.Errorf("cannot keep the variables: %w", err)
	}
	if !s.system {
		return nil
	}
	info, err := os.Stat(s.Folder)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := os.Lchown(s.env, int(st.Uid), int(st.Gid)); err != nil {
			return fmt.Errorf("cannot give the variables to %s: %w", s.User, err)
		}
	}
	return nil
}

// keepWithout starts coltecd with its own keeper, and says what a boot needs.
func (p installer) keepWithout(ctx context.Context, s *installing) error {
	if s.User != "" && s.User != "root" {
		return hint.Wrap(errors.New("no systemd runs here, which could run it as the owner of the folder"), "install it as that user: su %s -c '%s install --user'; --user alone runs it as you are", hint.Word(s.User), p.name)
	}
	o, err := p.load(s.Spec)
	if err != nil {
		return err
	}
	if err := p.start(ctx, o); err != nil {
		return err
	}
	p.say("no systemd runs here: coltecd has its own keeper, which a boot does not start. With cron, add this line (crontab -e):")
	fmt.Fprintln(p.out, s.AtReboot())
	return nil
}

// keepBySystemd writes the unit and starts it.
func (p installer) keepBySystemd(ctx context.Context, s *installing) error {
	file := filepath.Join(s.dir, s.Service())
	if err := ours(file); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("cannot write the unit: %w", err)
	}
	if err := wholefile.Write(file, []byte(s.Unit()), 0o644, wholefile.Durable); err != nil {
		return fmt.Errorf("cannot write the unit: %w", err)
	}
	p.say("unit: %s", file)
	for _, args := range [][]string{{"daemon-reload"}, {"enable", s.Service()}, {"restart", s.Service()}} {
		if err := p.systemctl(ctx, s, args...); err != nil {
			return err
		}
	}
	if !s.system {
		user := `"$USER"`
		if name := p.env("USER"); name != "" {
			user = hint.Word(name)
		}
		p.say("it ends when you log out, unless: sudo loginctl enable-linger %s", user)
	}
	p.say("installed: %s --config %s status", p.name, hint.Word(s.Spec))
	return nil
}

// ours is why a unit cannot be written over, or removed: somebody else wrote it, or changed
// it. One that is not there can.
func ours(file string) error {
	text, err := wholefile.Read(file, wholefile.ByHand)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !installation.Ours(string(text)) {
		err = hint.Wrap(fmt.Errorf("%s was changed since coltecd wrote it", file), "move it away, and put what you changed into a drop-in: systemctl edit %s", filepath.Base(file))
	}
	return err
}

func (p installer) systemctl(ctx context.Context, s *installing, args ...string) error {
	if !s.system {
		args = append([]string{"--user"}, args...)
	}
	cmd := exec.CommandContext(ctx, "systemctl", args...)
	cmd.Env = p.environ
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = hint.Wrap(fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out))), "see journalctl, and %s logs coltecd", p.name)
	}
	return err
}
