package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/feature"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/status"
)

// removeExisting has the dev container CLI remove a container before it makes one: like a
// kill, if it runs.
const removeExisting = "--remove-existing-container"

// renewer fits what a container is made from to the workspace and to where Docker is.
type renewer struct{ *program }

// renew looks whether the container that is there was made from what is in the workspace now,
// and has it made anew where the user wants that: coltecd pushes and ends before. text is
// what the dev container CLI gets.
func (p renewer) renew(c *cli.Context, a *ascent) (text []byte, err error) {
	files, err := builtBy(a.config)
	if err != nil {
		return nil, err
	}
	now, err := devcontainer.MadeFrom(a.config.text, files)
	if err == nil {
		text, err = devcontainer.Dressed(a.config.text, map[string]string{
			devcontainer.LabelOrg: a.w.spec.Metadata.Org, devcontainer.LabelProject: a.w.spec.Metadata.Project, devcontainer.LabelEnv: a.w.spec.Metadata.Environment,
		}, now)
	}
	if err == nil {
		text, err = devcontainer.Quoted(text, a.w.folder)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", a.config.at, err)
	}
	ct, ok, err := a.tools.Of(c.Context, a.w.folder)
	if err != nil || !ok {
		return text, err
	}
	if !a.anew {
		if a.anew, err = p.wantsAnew(c, a, ct.Made(), now); err != nil {
			return nil, err
		}
	}
	if !a.anew {
		return text, nil
	}
	if err := p.end(c.Context, a, ct); err != nil {
		return nil, err
	}
	a.args = append(a.args, removeExisting)
	return text, nil
}

// wantsAnew says in what a container differs from what it would be made from now, and asks.
func (p renewer) wantsAnew(c *cli.Context, a *ascent, was, now devcontainer.Made) (bool, error) {
	if was == nil { // not known
		return false, nil
	}
	parts := was.Differs(now)
	if len(parts) == 0 {
		return false, nil
	}
	p.say("%s: its container was made before a change of %s, and goes on without it", a.w.name(), printable(strings.Join(parts, ", ")))
	if !p.asks().Can() {
		p.say("hint: make it anew: coltec up --recreate %s", hint.Word(a.w.folder))
		return false, nil
	}
	return p.asks().Yes(c.Context, "Push what it has and make it anew? What is only in it, outside of mounts and replicas, goes with it.")
}

// end ends a container in order, so that it can be removed: coltecd pushes and gives the lease
// back, then Docker stops it.
func (p renewer) end(ctx context.Context, a *ascent, ct devcontainer.Container) error {
	if !ct.Running {
		return nil
	}
	a.say("stopping the container in order")
	began := time.Now()
	before, _ := ask(ctx, a.tools, ct, nil, 0) // one that gives no answer says nothing of itself
	out := lines{say: a.say}
	code, err := a.tools.Run(ctx, ct, devcontainer.Exec{
		Argv: []string{"coltecd", "stop", "--timeout", flushPatience.String()}, Stdout: &out, Stderr: &out,
	})
	if err != nil {
		return err
	}
	unpushed, ok := p.unpushed(a.w, code, out.last, before, began)
	if !ok {
		return hint.Wrap(fmt.Errorf("coltecd did not stop in order (exit %d): the container is as it was", code), "see coltec logs %s", hint.Word(a.w.folder))
	}
	if lost := onlyInside(a.w, ct); unpushed != "" && a.w.hasBucket() && before.State != status.Disabled && len(lost) > 0 {
		return hint.Wrap(fmt.Errorf("the container is not removed: %s would go with %s, which is only in it", unpushed, strings.Join(lost, ", ")),
			"see coltec status %s; coltec up %s starts coltecd again", hint.Word(a.w.folder), hint.Word(a.w.folder))
	}
	return a.tools.Stop(ctx, ct, stopGrace)
}

// onlyInside are the paths of replicas that go with the container: in no mount, or in a volume
// without a name, which goes with it.
func onlyInside(w *workspace, ct devcontainer.Container) (paths []string) {
	for _, y := range w.spec.Replicas() {
		at := path.Clean(y.Path)
		if !slices.ContainsFunc(ct.Mounts, func(m devcontainer.Mount) bool {
			return !anonymous(m.Name) && (at == m.Destination || strings.HasPrefix(at, strings.TrimSuffix(m.Destination, "/")+"/"))
		}) {
			paths = append(paths, at)
		}
	}
	return paths
}

// builtBy are the files that a container is built by, with their hashes: Dockerfiles, compose
// files, and the Feature with its programs.
func builtBy(f *config) (map[string]string, error) {
	var raw struct {
		Build   struct{ Dockerfile string } `json:"build"`
		File    string                      `json:"dockerFile"`
		Compose any                         `json:"dockerComposeFile"`
	}
	if err := json.Unmarshal(f.text, &raw); err != nil {
		return nil, nil // the dev container CLI says what is wrong
	}
	names := []string{raw.Build.Dockerfile, raw.File}
	switch v := raw.Compose.(type) {
	case string:
		names = append(names, v)
	case []any:
		for _, x := range v {
			if s, ok := x.(string); ok {
				names = append(names, s)
			}
		}
	}
	root, err := os.OpenRoot(f.folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	files := map[string]string{}
	for _, name := range names {
		at := path.Join(path.Dir(f.at), name)
		if name == "" || !filepath.IsLocal(at) {
			continue // what lies elsewhere is not of the workspace
		}
		if sum, err := hashIn(root, at); err == nil {
			files[at] = sum
		}
	}
	list := sha256.New()
	err = fs.WalkDir(root.FS(), feature.Dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		sum, err := hashIn(root, name)
		fmt.Fprintln(list, name, sum)
		return err
	})
	if err == nil {
		files["Coltec itself"] = hex.EncodeToString(list.Sum(nil)[:8])
	}
	return files, nil
}

func hashIn(root *os.Root, name string) (string, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may be a pipe
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", errors.Join(err, fs.ErrInvalid)
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)[:8]), err
}

// standing compares a container with the spec before coltecd is started in it: what its user
// cannot write is said with its mend, or given to that user.
func (p renewer) standing(c *cli.Context, a *ascent, ct devcontainer.Container) error {
	found, err := lookInside(c.Context, a.tools, ct, a.w)
	if err != nil || found == nil {
		return err
	}
	if !c.Bool("chown") {
		a.closed = found.closed
		p.sayFault(a, found.fault(a.w))
		if !p.asks().Can() || len(found.closed) == 0 {
			return nil
		}
		yes, err := p.asks().Yes(c.Context, fmt.Sprintf("Give %s to user %s?", strings.Join(found.closed, ", "), found.uid))
		if err != nil || !yes {
			return err
		}
	}
	if len(found.closed) == 0 {
		return nil
	}
	a.closed = nil
	a.say(fmt.Sprintf("giving %s to user %s", strings.Join(found.closed, ", "), found.uid))
	var errs bytes.Buffer
	code, err := a.tools.Run(c.Context, ct, devcontainer.Exec{
		Argv: append([]string{"chown", "-R", "-h", found.uid + ":" + found.gid, "--"}, found.closed...), Root: true, Stdout: io.Discard, Stderr: &errs,
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("chown: %s", strings.TrimSpace(errs.String()))
	}
	if err != nil {
		return err
	}
	// What a hook started could not write its logs either, and says so to its end.
	_, err = a.tools.Run(c.Context, ct, devcontainer.Exec{
		Argv: []string{"coltecd", "stop", "--timeout", flushPatience.String()}, Stdout: io.Discard, Stderr: io.Discard,
	})
	return err
}

func (p renewer) sayFault(a *ascent, err error) {
	if err == nil {
		return
	}
	a.say(err.Error())
	for _, h := range hint.Of(err) {
		p.say("hint: %s", h)
	}
}

// inside is what was found in a container.
type inside struct {
	uid, gid string
	closed   []string // paths of replicas that its user cannot write
	noSpec   string   // where the spec should be, and is not
}

// probe says who the user is, then each path that cannot be written, then where the spec is not.
const probe = `id -u; id -g; spec=$1; shift
for p; do if [ -e "$p" ] && [ ! -w "$p" ]; then echo "closed $p"; fi; done
if [ -n "$spec" ] && [ ! -f "$spec" ]; then echo "nospec $spec"; fi`

// lookInside compares a container that runs with the spec; nil where all is well, or it cannot be asked.
func lookInside(ctx context.Context, t devcontainer.Tools, ct devcontainer.Container, w *workspace) (*inside, error) {
	at := ""
	if place := ct.Workspace(); place != "" {
		at = path.Join(place, specName)
	}
	argv := []string{"sh", "-c", probe, "sh", at}
	for _, y := range w.spec.Replicas() {
		argv = append(argv, path.Clean(y.Path))
	}
	var out bytes.Buffer
	code, err := t.Run(ctx, ct, devcontainer.Exec{Argv: argv, Stdout: &out, Stderr: io.Discard})
	if err != nil || code != 0 {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) < 3 {
		return nil, nil
	}
	found := &inside{uid: lines[0], gid: lines[1]}
	for _, line := range lines[2:] {
		if p, ok := strings.CutPrefix(line, "closed "); ok {
			found.closed = append(found.closed, p)
		}
		if p, ok := strings.CutPrefix(line, "nospec "); ok {
			found.noSpec = p
		}
	}
	return found, nil
}

// fault is what was found, with its mend.
func (i *inside) fault(w *workspace) error {
	switch {
	case i == nil:
		return nil
	case i.noSpec != "":
		return hint.Wrap(fmt.Errorf("the container has no %s: coltecd does not know what to keep", i.noSpec), "mount the folder of the project, or make the container anew: coltec up --recreate %s", hint.Word(w.folder))
	case len(i.closed) > 0:
		return hint.Wrap(fmt.Errorf("%s cannot be written by user %s of the container: nothing can be restored there", strings.Join(i.closed, ", "), i.uid),
			`give it to that user: coltec up --chown %s; or let root work there: "remoteUser": "root"`, hint.Word(w.folder))
	}
	return nil
}
