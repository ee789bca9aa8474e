package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/scaffold"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/trust"
)

// agreed loads what the user agreed to for a folder; nil: nothing.
func (g agreements) agreed(folder string) (*trust.Record, error) {
	real, err := realPath(folder)
	if err != nil {
		return nil, err
	}
	store, err := g.records()
	if err != nil {
		return nil, err
	}
	return store.Load(real)
}

// untrusted is the error of what nobody agreed to. at is the devcontainer.json that it is
// about, "" for none.
func untrusted(folder, at string, err error) error {
	option := ""
	if at != "" && at != configName {
		option = "--config " + hint.Word(filepath.Join(folder, at)) + " "
	}
	return cmdline.Exit{Code: cmdline.CodeUntrusted, Cause: hint.Wrap(err, "look at it and agree: coltec trust %s%s", option, hint.Word(folder))}
}

// placeOptions are the options of rclone that say where a remote is, and as whom it is
// spoken to.
var placeOptions = []string{"endpoint", "url", "host", "port", "user", "download_url", "ibm_iam_endpoint", "socks_proxy", "http_proxy", "role_arn"}

// remoteAct is what this host does with a remote of a spec: where it goes, and as whom, as
// it is written: what variables make of it is asked for where the workspace says it.
func remoteAct(r *spec.Remote) trust.Act {
	text := r.Type
	if r.Bucket != "" {
		text += ", bucket " + r.Bucket
	}
	if r.PathPrefix != "" {
		text += ", path_prefix " + r.PathPrefix
	}
	for _, option := range placeOptions {
		if v, ok := r.Options[option]; ok {
			text += fmt.Sprintf(", %s %s", option, v.Reveal())
		}
	}
	if v, ok := r.Options["env_auth"]; ok && v.Reveal() != "false" {
		text += ", with this host's own AWS credentials"
	}
	return trust.Act{On: trust.Remote + " " + r.Name, Text: text}
}

// places are the variables that say where a spec's remotes are.
func places(sp *spec.Spec) (names []string) {
	for _, r := range sp.Persistence.Remotes {
		place := &spec.Remote{Bucket: r.Bucket, PathPrefix: r.PathPrefix, Options: maps.Clone(r.Options)}
		maps.DeleteFunc(place.Options, func(option string, _ secret.Value) bool { return !slices.Contains(placeOptions, option) })
		_, _ = place.Expand(func(name string) (string, bool) { // for the names that it asks for
			names = append(names, name)
			return "", false
		})
	}
	return names
}

// remoteActs are those of all remotes.
func remoteActs(sp *spec.Spec) (acts []trust.Act) {
	for _, name := range slices.Sorted(maps.Keys(sp.Persistence.Remotes)) {
		acts = append(acts, remoteAct(sp.Persistence.Remotes[name]))
	}
	return acts
}

// secretAct is the handing over of a variable.
func secretAct(name string) trust.Act { return trust.Act{On: trust.Secret, Text: name} }

// demands are what a workspace asks of this host: the acts of its container, each
// remote, each secret that this host has and that was not given for this call, and
// what its fnox.toml makes the host do. acts are those of its container.
func (p *program) demands(c *cli.Context, w *workspace, acts []trust.Act, given secret.Values) (trust.Demands, error) {
	d := trust.Demands{Container: acts, Grants: remoteActs(w.spec)}
	h, err := p.held(c, w.folder, w.spec, given)
	if err != nil {
		return d, err
	}
	for _, name := range h.names() {
		d.Grants = append(d.Grants, secretAct(name))
	}
	for _, ask := range h.asks {
		d.Grants = append(d.Grants, trust.Act{On: trust.Fnox, Text: ask})
	}
	return d, nil
}

// consent asks for what nobody agreed to yet: on a terminal; elsewhere it is an error.
func (p *program) consent(c *cli.Context, w *workspace, f *config, given secret.Values) error {
	acts, err := f.acts()
	if err != nil {
		return err
	}
	record, err := p.agreed(w.folder)
	if err != nil {
		return err
	}
	if err := p.keptApart(f); err != nil {
		return err
	}
	d, err := p.demands(c, w, acts, given)
	if err != nil {
		return err
	}
	before := record.For(f.at)
	missing := before.Missing(d)
	if missing.Empty() {
		return nil
	}
	p.showChanges(w.folder, before, missing)
	if err := p.asks().Agree(c.Context, cmdline.Question{
		Text:   "Agree, and go on?",
		No:     untrusted(w.folder, f.at, fmt.Errorf("%s is not brought up: you did not agree", w.folder)),
		Nobody: untrusted(w.folder, f.at, fmt.Errorf("%s asks more of this host than you agreed to", w.folder)),
	}); err != nil {
		return err
	}
	return p.keep(w.folder, record.Agree(f.at, d))
}

// keptApart is the error of a container that could write what was agreed to.
func (g agreements) keptApart(f *config) error {
	store, err := g.records()
	if err != nil {
		return err
	}
	real, err := realPath(f.mounts)
	if err == nil {
		err = store.Apart(real)
	}
	if err != nil && f.mounts != f.folder {
		err = hint.Wrap(err, `or mount the workspace alone: "workspaceMount" and "workspaceFolder" in %s`, f.at)
	}
	return err
}

// showChanges says what a workspace asks, beside what was agreed to.
func (p *program) showChanges(folder string, record *trust.Record, missing trust.Demands) {
	if record == nil {
		p.say("%s has not been trusted on this host. It would do this here:", folder)
	} else {
		p.say("%s asks something else of this host than you agreed to on %s:", folder, record.At.Local().Format(time.DateOnly))
	}
	for _, line := range record.Changes(missing) {
		p.say("  %s", oneLine(line))
	}
}

// lineMost is how much of an act a person is shown; the rest is in the file that it names.
const lineMost = 500

// oneLine shows a text of others as one line that ends.
func oneLine(s string) string {
	s = strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(s)
	if r := []rune(s); len(r) > lineMost {
		s = fmt.Sprintf("%s… (%d characters)", string(r[:lineMost]), len(r))
	}
	return s
}

// asks asks the person at the terminal.
func (p *program) asks() cmdline.Asker { return cmdline.Asker{In: p.in, Err: p.err} }

// keep keeps an agreement for a folder.
func (g agreements) keep(folder string, next trust.Record) error {
	store, err := g.records()
	if err != nil {
		return err
	}
	if next.Folder, err = realPath(folder); err != nil {
		return err
	}
	next.At = time.Now()
	return store.Save(next)
}

// trustMade agrees to a workspace that the user has just had made from a template, or
// brought up to date with it while it was in order: to what it does on this host, as far as
// the template says it or it was agreed to before, and to each remote and secret of the
// spec as the template rendered it. What others wrote into the workspace's files, which an
// update merges, is not agreed to; nor are answers that they wrote, by any other agreement
// than this. record is what was agreed to before; nil for a new one, in which there is
// nothing else. Where it cannot be kept, the next up asks.
func (p *program) trustMade(folder string, made rendered, record *trust.Record) {
	err := p.agreeMade(folder, made, record)
	if err == nil {
		return
	}
	p.say("note: the next coltec up will ask: %v", err)
	for _, h := range hint.Of(err) {
		p.say("hint: %s", h)
	}
}

func (g agreements) agreeMade(folder string, made rendered, record *trust.Record) error {
	known, err := made.acts(folder)
	if err != nil {
		return err
	}
	d := trust.Demands{Grants: append(remoteActs(made.spec), trust.Act{On: trust.Template, Text: made.ref})}
	if record != nil {
		d.Container = record.Container
		known = append(known, record.Container...)
	}
	if made.others {
		d.Container = known // and up asks for what the others make of it
	}
	acts, err := containerActs(folder)
	if err == nil && !slices.ContainsFunc(acts, func(a trust.Act) bool { return !slices.Contains(known, a) }) {
		d.Container = acts // up asks for others, or says why they cannot be read
	}
	for _, x := range wanted(made.spec) {
		d.Grants = append(d.Grants, secretAct(x.Name))
	}
	next := record.Agree(configName, d)
	if next.Answers, err = answersHash(folder); err != nil {
		return err
	}
	if made.others {
		next.Answers = "" // an update by them agrees to nothing
	}
	return g.keep(folder, next)
}

// answersHash tells answers from others; "" without any.
func answersHash(folder string) (string, error) {
	b, err := optional(folder, answersName)
	if err != nil || b == nil {
		return "", err
	}
	return fmt.Sprintf("%x", sha256.Sum256(b)), nil
}

// trustsTemplate is the error of a template that answers.yaml names and nobody agreed
// to: opening it could clone what an agent wrote there. Those that coltec carries are
// free.
func (g agreements) trustsTemplate(folder, ref string) error {
	if slices.Contains(carried.Names(), ref) {
		return nil
	}
	record, err := g.agreed(folder)
	if err != nil || record.Granted(trust.Act{On: trust.Template, Text: ref}) {
		return err
	}
	return untrusted(folder, "", fmt.Errorf("%s says that it was made from the template %q, which you have not agreed to", path.Join(folder, answersName), ref))
}

// inOrder reports whether what a folder does on this host, and the answers that it is
// rendered from, are what the user agreed to.
func (g agreements) inOrder(folder string) (*trust.Record, bool) {
	record, err := g.agreed(folder)
	if err != nil || record == nil {
		return nil, false
	}
	acts, err := containerActs(folder)
	if err != nil {
		return record, false
	}
	answers, err := answersHash(folder)
	return record, err == nil && answers == record.Answers && slices.Equal(acts, record.Container)
}

func cmdTrust(p *program) *cli.Command {
	return &cli.Command{
		Name:      "trust",
		Usage:     "agree to what a workspace does on this host, and to the secrets that it is given",
		ArgsUsage: "[DIR]",
		Description: `Whoever writes into a workspace, an agent in its container for one, writes what the next up does on
this host. So up asks when that is not what you agreed to; this agrees without a terminal.`,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "show all of it, and agree to nothing"},
			&cli.BoolFlag{Name: "revoke", Usage: "withdraw what was agreed to"},
			&cli.StringFlag{Name: "config", Usage: "agree to the container of this devcontainer.json, `FILE` in the workspace, as for up -- --config FILE"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
		}, secretFlags()...),
		Action: func(c *cli.Context) error { return p.trust(c) },
	}
}

func (p *program) trust(c *cli.Context) error {
	w, err := p.open(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	if c.Bool("revoke") {
		return p.revoke(w)
	}
	if _, err := scaffold.Recover(w.folder); err != nil && !c.Bool("dry-run") {
		return err
	}
	record, err := p.agreed(w.folder)
	if err != nil {
		return err
	}
	at, acts, err := actsFor(c, w.folder)
	if err != nil {
		return err
	}
	d, err := p.demands(c, w, acts, nil)
	if err != nil {
		return err
	}
	for _, x := range wanted(w.spec) { // also those that this host has not got yet
		if a := secretAct(x.Name); !slices.Contains(d.Grants, a) {
			d.Grants = append(d.Grants, a)
		}
	}
	if ref, err := scaffold.ReadRecord(w.folder); err == nil {
		d.Grants = append(d.Grants, trust.Act{On: trust.Template, Text: ref.Template})
	}
	missing := record.For(at).Missing(d)
	if c.Bool("json") {
		if err := p.printJSON(struct {
			Folder  string        `json:"folder"`
			Trusted bool          `json:"trusted"`
			Demands trust.Demands `json:"demands"`
			Missing trust.Demands `json:"missing"`
		}{w.folder, missing.Empty() || !c.Bool("dry-run"), d, missing}); err != nil {
			return err
		}
	} else {
		for _, a := range slices.Concat(d.Container, d.Grants) {
			fmt.Fprintln(p.out, oneLine(a.String()))
		}
	}
	if c.Bool("dry-run") {
		return nil
	}
	if record != nil {
		record.Grants = nil // what is not asked for now is not agreed to any more
	}
	if err := p.keep(w.folder, record.Agree(at, d)); err != nil {
		return err
	}
	p.say("%s: agreed to", w.folder)
	return nil
}

// actsFor are the acts that coltec trust is asked about, and the path of their
// devcontainer.json.
func actsFor(c *cli.Context, folder string) (at string, acts []trust.Act, err error) {
	if !c.IsSet("config") {
		at, err = configAt(folder)
	} else {
		at, _, err = configArg(folder, []string{"--config", c.String("config")})
	}
	if err != nil {
		return "", nil, err
	}
	f, err := readConfig(folder, at)
	if errors.Is(err, errNoConfig) && !c.IsSet("config") {
		return at, nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	acts, err = f.acts()
	return at, acts, err
}

func (p *program) revoke(w *workspace) error {
	real, err := realPath(w.folder)
	if err != nil {
		return err
	}
	store, err := p.records()
	if err != nil {
		return err
	}
	was, err := store.Forget(real)
	switch {
	case err != nil:
		return err
	case !was:
		p.say("%s: was not trusted", w.folder)
	default:
		p.say("%s: not trusted any more", w.folder)
	}
	return nil
}
