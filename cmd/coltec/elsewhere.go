package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/wholefile"
)

// Where the containers are on another machine (DOCKER_HOST, a context), this folder cannot be
// mounted there. A volume of that machine takes its place, and the bucket fills it: what has
// to be in it before is the directory of the spec alone.

// seedMost bounds what is brought there, in bytes: a spec, a devcontainer.json, scripts.
const seedMost = 8 << 20

// notSeeded are parts of .devcontainer that no start needs, and that are large, or of this
// machine.
var notSeeded = []string{logsName, ".devcontainer/coltec/bin"}

// fitHost makes the configuration fit what the containers are run by. Where that is another
// machine, the workspace is in a volume there, and the user is told.
func (p renewer) fitHost(ctx context.Context, a *ascent) error {
	if err := a.tools.Takes(a.w.folder); err != nil {
		return err
	}
	if a.tools.Podman() && !a.tools.Rootless(ctx) {
		text, err := devcontainer.WithHostUsers(a.config.text)
		if err != nil {
			return fmt.Errorf("cannot bring %s up with Podman: %w", a.config.at, err)
		}
		a.config.text = text
	}
	a.elsewhere = a.tools.Elsewhere(ctx)
	if a.elsewhere == "" {
		return nil
	}
	if !a.w.hasBucket() {
		return hint.Wrap(fmt.Errorf("the container would be at %s, where this folder is not, and the workspace keeps nothing in a bucket to fill it from", a.elsewhere),
			"give it persistence, or unset DOCKER_HOST (docker context use default)")
	}
	volume := devcontainer.VolumeOf(a.w.spec.ID())
	text, err := devcontainer.InVolume(a.config.text, a.w.folder, volume)
	if err != nil {
		return fmt.Errorf("cannot bring %s up at %s: %w", a.config.at, a.elsewhere, err)
	}
	a.config.text = text
	p.say("%s: the container is at %s, where this folder is not: the volume %s there takes its place, and the bucket fills it; this folder stays as it is", a.w.name(), a.elsewhere, volume)
	return nil
}

// prepareVolume brings the container up without its hooks, and gives an empty volume the
// directory of the spec, and to the workspace's user: the hooks need both.
func (p renewer) prepareVolume(ctx context.Context, a *ascent) error {
	ct, ok, err := a.tools.Of(ctx, a.w.folder)
	if err != nil {
		return err
	}
	if !ok || !ct.Running {
		if _, err := a.tools.Up(ctx, a.asked("--skip-post-create")); err != nil {
			return err
		}
		if ct, ok, err = a.tools.Of(ctx, a.w.folder); err != nil || !ok {
			return errors.Join(err, errUnless(err != nil, "the container is not there"))
		}
	}
	return p.seed(ctx, a, ct)
}

// seed writes the directory of the spec into a volume that has no spec. One that has is not
// touched: it is as the workspace left it there.
func (p renewer) seed(ctx context.Context, a *ascent, ct devcontainer.Container) error {
	dir := ct.Workspace()
	if dir == "" {
		return nil // a container of before, with a mount of its own
	}
	user := ct.User()
	if user == "" {
		user = "root"
	}
	const isSeeded = 3
	var out bytes.Buffer
	code, err := a.tools.Run(ctx, ct, devcontainer.Exec{
		Argv: []string{"sh", "-c", fmt.Sprintf(`[ ! -e "$1/%s" ] || exit %d; chown "$2" "$1"`, specName, isSeeded), "sh", dir, user},
		Root: true, Stdout: &out, Stderr: &out,
	})
	switch {
	case err != nil:
		return err
	case code == isSeeded:
		return nil
	case code != 0:
		return fmt.Errorf("cannot give the volume to %s: %s", user, out.String())
	}
	archive, err := seedOf(a.w.folder)
	if err != nil {
		return fmt.Errorf("cannot read what the volume is to have: %w", err)
	}
	code, err = a.tools.Run(ctx, ct, devcontainer.Exec{
		Argv: []string{"tar", "-x", "-C", dir}, Stdin: archive, Stdout: &out, Stderr: &out,
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("cannot write the spec into the volume: tar ended with %d: %s", code, out.String())
	}
	return err
}

// seedOf archives the directory of the spec, without owners. Links are left out: what they
// lead to is not there.
func seedOf(folder string) (*bytes.Buffer, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	err = fs.WalkDir(root.FS(), path.Dir(specName), func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case slices.Contains(notSeeded, name):
			return fs.SkipDir
		case e.IsDir():
			return w.WriteHeader(&tar.Header{Name: name + "/", Mode: 0o755, Typeflag: tar.TypeDir})
		case !e.Type().IsRegular():
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text, err := wholefile.ReadIn(root, name, seedMost)
		if err != nil {
			return err
		}
		if out.Len()+len(text) > seedMost {
			return fmt.Errorf("%s has more than %d MiB", path.Dir(specName), seedMost>>20)
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: int64(info.Mode().Perm()), Size: int64(len(text)), ModTime: info.ModTime()}); err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	})
	if err == nil {
		err = w.Close()
	}
	return &out, err
}
