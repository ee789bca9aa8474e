package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/feature"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/isolation"
	"github.com/coltec/coltec/pkg/scaffold"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
)

// ascent is what one call of up was asked for, and what it goes by.
type ascent struct {
	w       *workspace
	tools   devcontainer.Tools
	config  *config
	args    []string          // for the dev container CLI
	anew    bool              // the container is to be made anew
	given   secret.Values     // on the command line
	plain   map[string]string // variables that are no secrets
	secrets secret.Values
	say     func(string)
	// elsewhere is the machine that the container is on, where that is not this one.
	elsewhere string
	closed    []string // paths of replicas that the container's user cannot write, and stays so
	journey   *journey // of a hop; nil: the workspace is only brought up
}

// up brings a workspace up.
func (p *program) up(c *cli.Context) error {
	w, err := p.open(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	return p.ascend(c, &ascent{w: w}, c.Args().Tail())
}

// ascend brings the workspace of an ascent up, with arguments for the dev container CLI.
func (p *program) ascend(c *cli.Context, a *ascent, args []string) (err error) {
	w := a.w
	if c.Duration("timeout") < 0 {
		return cmdline.Usage("--timeout must not be less than 0")
	}
	if a.given, a.plain, err = remoteEnv(c.StringSlice("remote-env"), w.spec); err != nil {
		return err
	}
	at, args, err := configArg(w.folder, args)
	if err != nil {
		return err
	}
	a.args = slices.DeleteFunc(args, func(s string) bool { return s == removeExisting })
	a.anew = len(a.args) < len(args) || c.Bool("recreate")
	if a.tools, err = devcontainer.Find(p.environ); err != nil {
		return err
	}
	release, err := p.lock(c.Context, w.folder)
	if err != nil {
		return err
	}
	defer release()
	if err := p.mayUp(c, a, at); err != nil {
		return err
	}
	if a.journey != nil {
		if goesOn, err := a.journey.depart(c.Context, a); !goesOn {
			return err
		}
	}
	return p.bringUp(c, a)
}

// mayUp looks whether a workspace can come up and the user agrees, writes its Feature, and
// gets its secrets. at is where its devcontainer.json lies.
func (p *program) mayUp(c *cli.Context, a *ascent, at string) error {
	folder := a.w.folder
	if _, err := scaffold.Recover(folder); err != nil {
		return err
	}
	own, err := lookAt(folder)
	if err != nil {
		return err
	}
	if err := p.refuse(folder, own); err != nil {
		return err
	}
	for _, f := range isolation.Misplaced(*own) { // coltecd blocks them, but a build may take minutes until it says so
		p.say("note: %s; %s", f.Text, f.Fix)
	}
	if a.config, err = readConfig(folder, at); err != nil {
		return err
	}
	if err := p.consent(c, a.w, a.config, a.given); err != nil {
		return err
	}
	if err := (renewer{p}).fitHost(c.Context, a); err != nil {
		return err
	}
	if err := p.writeFeature(a.w); err != nil { // the dev container CLI needs it by itself, too
		return err
	}
	if a.secrets, err = p.collect(c, folder, a.w.spec, a.given); err != nil {
		return err
	}
	if h, err := p.held(c, folder, a.w.spec, a.given); err == nil && h.String() != "" {
		p.say("%s: secrets: %s", a.w.name(), h)
	}
	if a.plain["COLTEC_HOST"] == "" { // a container's own name says nothing to anyone
		if host, err := os.Hostname(); err == nil {
			a.plain["COLTEC_HOST"] = host
		}
	}
	a.say = masked(a.secrets, func(line string) { p.say("%s: %s", a.w.name(), line) })
	return nil
}

// bringUp has the dev container CLI bring the container up, and waits until its coltecd has
// settled. A hook that failed leaves a container that works: coltecd is started there all
// the same, and the error is reported at the end.
func (p *program) bringUp(c *cli.Context, a *ascent) error {
	text, err := (renewer{p}).renew(c, a)
	if err != nil {
		return err
	}
	a.config.text = text
	if a.elsewhere != "" {
		if err := (renewer{p}).prepareVolume(c.Context, a); err != nil {
			return err
		}
	}
	upErr := p.start(c, a)
	if c.Context.Err() != nil {
		return context.Cause(c.Context)
	}
	ct, ok, err := a.tools.Of(c.Context, a.w.folder)
	if err != nil || !ok || !ct.Running {
		return errors.Join(upErr, err, errUnless(upErr != nil || err != nil, "the container is not running"))
	}
	if err := (renewer{p}).standing(c, a, ct); err != nil {
		return errors.Join(upErr, err)
	}
	if err := p.handOver(c.Context, a.tools, ct, a.secrets, a.plain, a.say); err != nil {
		return errors.Join(upErr, err)
	}
	doc, late, err := p.settle(c, a, ct)
	if err != nil {
		return errors.Join(upErr, err)
	}
	healthy := p.report(a.w, doc)
	for _, f := range unkept(a.w, &ct, doc) {
		p.say("note: %s; %s", f.Text, f.Fix)
	}
	if a.journey != nil && healthy {
		a.journey.arrived(c.Context, a, doc)
	}
	switch {
	case upErr != nil:
		return upErr
	case late:
		return cmdline.Exit{Code: cmdline.CodeTimeout}
	case !healthy:
		return cmdline.Exit{Code: cmdline.CodeFailed}
	}
	p.say("next: coltec exec %s -- bash works in it; coltec down %s saves and stops it", hint.Word(a.w.folder), hint.Word(a.w.folder))
	return nil
}

// start has the dev container CLI bring the container up. What is to be given to the user of
// a container that is not there yet is given before its first commands run: they wait for
// files that nobody could restore before.
func (p *program) start(c *cli.Context, a *ascent) error {
	if _, there, err := a.tools.Of(c.Context, a.w.folder); c.Bool("chown") && !there && err == nil {
		if _, err := a.tools.Up(c.Context, a.asked("--skip-post-create")); err != nil {
			return err
		}
		if ct, there, err := a.tools.Of(c.Context, a.w.folder); err != nil {
			return err
		} else if there && ct.Running {
			if err := (renewer{p}).standing(c, a, ct); err != nil {
				return err
			}
		}
	}
	_, err := a.tools.Up(c.Context, a.asked())
	return err
}

// settle waits until the restore is over, or does not get further by itself; a hop asks for
// the lease in between.
func (p *program) settle(c *cli.Context, a *ascent, ct devcontainer.Container) (doc status.Document, late bool, err error) {
	doc, late, err = p.awaitSettled(c.Context, a, ct, c.Duration("timeout"))
	if err != nil || a.journey == nil {
		return doc, late, err
	}
	again, err := a.journey.claim(c.Context, a, ct, doc)
	if err == nil && again {
		doc, late, err = p.awaitSettled(c.Context, a, ct, c.Duration("timeout"))
	}
	return doc, late, err
}

// asked is what the dev container CLI is to bring up.
func (a *ascent) asked(more ...string) devcontainer.Up {
	return devcontainer.Up{
		Folder: a.w.folder, Config: a.config.at, ConfigText: a.config.text, RemoteEnv: a.plain, Secrets: a.secrets,
		Args: slices.Concat(a.args, more), Say: a.say,
	}
}

func errUnless(known bool, text string) error {
	if known {
		return nil
	}
	return errors.New(text)
}

// name is how the workspace is called in lines for people.
func (w *workspace) name() string { return w.spec.Metadata.Environment }

// writeFeature brings the Feature beside devcontainer.json up to date.
func (p *program) writeFeature(w *workspace) error {
	found := feature.Find(p.binDirs()...)
	if len(found) == 0 {
		p.say("note: %v; the image gets what the Feature has or downloads", feature.Missing(p.binDirs()...))
	}
	_, err := p.putFeature(w.folder, w.spec, found)
	return err
}

// putFeature writes the Feature with what the workspace asks for, and notes what this
// host lacks.
func (p *program) putFeature(folder string, sp *spec.Spec, found feature.Binaries) ([]string, error) {
	switch {
	case !sp.Networking.Enabled:
		found = found.WithoutTailscale()
	case !found.HasTailscale():
		missing := feature.MissingTailscale(p.binDirs()...)
		p.say("note: %v", missing)
		for _, h := range hint.Of(missing) {
			p.say("hint: %s", h)
		}
	}
	return feature.Write(folder, found)
}

// handOver gives the secrets to coltecd, which is started if no hook did: by
// standard input, on no command line and in no environment of the container.
func (p *program) handOver(ctx context.Context, t devcontainer.Tools, ct devcontainer.Container, secrets secret.Values, env map[string]string, say func(string)) error {
	var out lines
	out.say = say
	code, err := t.Run(ctx, ct, devcontainer.Exec{
		Argv: []string{"coltecd", "start", "--secrets-file", "-"}, Env: env,
		Stdin: bytes.NewReader(devcontainer.Flat(secrets)), Stdout: &out, Stderr: &out,
	})
	if err != nil {
		return err
	}
	switch code {
	case 0:
		return nil
	case 126, 127:
		return hint.Wrap(errors.New("there is no coltecd in the container"),
			"bring it in, then make the container anew: coltec init, then coltec up --recreate")
	default:
		return hint.Wrap(fmt.Errorf("coltecd does not start (exit %d): %s", code, out.last), "see coltec logs")
	}
}

// lines passes what is written on, line by line.
type lines struct {
	say  func(string)
	part []byte
	last string
}

func (l *lines) Write(b []byte) (int, error) {
	l.part = append(l.part, b...)
	for {
		i := bytes.IndexByte(l.part, '\n')
		if i < 0 {
			return len(b), nil
		}
		if l.last = strings.TrimSpace(string(l.part[:i])); l.last != "" {
			l.say(l.last)
		}
		l.part = l.part[i+1:]
	}
}

// masked hides the values of secrets in lines of others.
func masked(secrets secret.Values, say func(string)) func(string) {
	var values []string
	for name := range secrets {
		// Shorter ones are parts of everything, and are no secrets.
		if v := secrets[name].Reveal(); len(v) >= 8 && !spec.NamesPlace(name) {
			values = append(values, v)
		}
	}
	r := secret.NewRedactor(values...)
	return func(line string) { say(string(r.Redact([]byte(line)))) }
}

// ask gets the status document of a container's coltecd, once something is another than at
// the index after. 0 waits for nothing.
func ask(ctx context.Context, t devcontainer.Tools, ct devcontainer.Container, env map[string]string, after uint64) (status.Document, error) {
	argv := []string{"coltecd", "status", "--json"}
	if after != 0 {
		argv = append(argv, "--after", strconv.FormatUint(after, 10))
	}
	var out, errs bytes.Buffer
	_, err := t.Run(ctx, ct, devcontainer.Exec{Argv: argv, Env: env, Stdout: &out, Stderr: &errs})
	var doc status.Document
	if err == nil {
		if err = json.Unmarshal(out.Bytes(), &doc); err != nil {
			err = fmt.Errorf("cannot read coltecd's status: %s", strings.TrimSpace(errs.String()))
		}
	}
	return doc, err
}

// report prints how the workspace is, and reports whether it is well: restored, and
// nothing needs attention.
func (p *program) report(w *workspace, doc status.Document) bool {
	say := func(format string, args ...any) { p.say("%s: "+format, append([]any{w.name()}, args...)...) }
	for _, r := range doc.Replicas {
		line := fmt.Sprintf("%s %s, %s", r.Name, r.State, hint.Count(int(r.Files), "file", "files"))
		if r.LastError != "" && !slices.ContainsFunc(doc.Attention, func(a string) bool { return strings.Contains(a, r.LastError) }) {
			line += ": " + r.LastError
		}
		say("%s", line)
	}
	switch doc.Lease.State {
	case status.LeaseHeld:
		say("lease held, epoch %d, generation %d", doc.Lease.Epoch, doc.Lease.Generation)
	case status.LeaseWaiting:
		if h := doc.Lease.Holder; h != nil && doc.Lease.Doubt == "" { // which is in attention
			say("%s: stop it there, or take it over: coltec exec %s -- coltecd takeover", holds(*h), hint.Word(w.folder))
		}
	}
	for _, a := range doc.Attention {
		say("attention: %s", a)
	}
	for _, agent := range doc.Agents {
		if text := agent.Sentence(time.Now()); text != "" {
			say("%s", cmdline.OneLine(text))
		}
	}
	say("%s", doc.State)
	// A disabled workspace is as somebody wanted it.
	return doc.State == status.Running && doc.Restore() == status.RestoreDone || doc.State == status.Disabled
}

// holds describes who has the lease of a workspace, and since when where that is known.
func holds(h status.Holder) string {
	if h.Since.IsZero() {
		return h.Host + " has the lease"
	}
	return fmt.Sprintf("%s has held the lease since %s", h.Host, h.Since.Local().Format(time.DateTime))
}
