package main

import (
	"context"
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
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/scaffold"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/store"
)

// stored is what a bucket has of a workspace that is made here.
type stored struct {
	sp         *spec.Spec
	reader     *history.Reader
	generation store.Generation
	at         scope.Replica // that has the workspace's folder
	rel        string        // of .devcontainer, in it
}

// reachable says what of the host's secrets opens the remotes of a spec that a template has
// just made from what the user said; others are not looked for. What the folder's own
// fnox.toml would have this host do is an error: nobody was asked.
func (p maker) reachable(c *cli.Context, folder string, sp *spec.Spec) (secret.Values, error) {
	h, err := p.held(c, folder, sp, nil)
	if err != nil {
		return nil, err
	}
	if len(h.asks) > 0 {
		return nil, fmt.Errorf("its secrets take what you have not agreed to: %s", oneLine(h.asks[0]))
	}
	sources, err := p.sources(c, folder, nil, func(string) bool { return true })
	if err != nil {
		return nil, err
	}
	var needed []secret.Wanted
	for _, r := range sp.Persistence.Remotes {
		for _, name := range r.Variables() {
			needed = append(needed, secret.Wanted{Name: name, Required: true})
		}
	}
	return secret.Collect(c.Context, needed, sources...)
}

// found looks for the newest generation of the workspace of a spec that a template made from
// what the user said; Close its reader. nil without an error: the bucket has none.
func (p maker) found(ctx context.Context, sp *spec.Spec, values secret.Values) (*stored, error) {
	r, _, err := p.reader(sp, values)
	if err != nil {
		return nil, err
	}
	e := &stored{sp: sp, reader: r}
	if e.generation, err = r.At(ctx, "", time.Now()); err == nil {
		e.at, e.rel, err = r.Find(path.Join(sp.Devcontainer.WorkspaceFolder, filepath.Dir(specName)))
	}
	if err != nil {
		r.Close()
		if errors.Is(err, history.ErrNothingCommitted) || errors.Is(err, history.ErrNoGeneration) {
			return nil, nil
		}
		return nil, err
	}
	return e, nil
}

// record reads what the workspace was made from there; nil where no template made it.
func (e *stored) record(ctx context.Context) (*scaffold.Record, error) {
	if e.generation.Replicas[e.at.Name].Manifest == "" {
		return nil, nil
	}
	b, err := e.reader.File(ctx, e.at, path.Join(e.rel, strings.TrimPrefix(answersName, filepath.Dir(specName))), e.generation, answersMost)
	if errors.Is(err, history.ErrNotThere) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := scaffold.ParseRecord(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path.Base(answersName), err)
	}
	return r, nil
}

// answersThere reads what the workspace was made from on the machine that had it before; nil
// where there is nothing to be had, which is said. What is wrong with the bucket is no error of
// who makes a workspace: it is made from what was typed.
func (p maker) answersThere(c *cli.Context, folder string, i *interview, sp *spec.Spec) *scaffold.Record {
	if _, err := scaffold.ReadRecord(folder); err == nil || !(&workspace{folder, sp}).hasBucket() {
		return nil
	}
	values, err := p.reachable(c, folder, sp)
	ctx, cancel := context.WithTimeoutCause(c.Context, bucketPatience, fmt.Errorf("the bucket did not answer within %s", bucketPatience))
	defer cancel()
	var e *stored
	if err == nil {
		e, err = p.found(ctx, sp, values)
	}
	var record *scaffold.Record
	if err == nil && e != nil {
		defer e.reader.Close()
		record, err = e.record(ctx)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	switch {
	case c.Context.Err() != nil:
		return nil
	case err != nil:
		p.notLooked(sp.ID(), err)
	case e == nil:
		if of := i.placed(sp); len(of) > 0 {
			p.say("note: what another machine answered for %s was not looked at: where its bucket is depends on %s, which has the default here", sp.ID(), strings.Join(of, ", "))
			break
		}
		p.say("note: the bucket has nothing of %s yet", sp.ID())
	case record == nil:
		p.say("note: %s is in the bucket, and no template made it", sp.ID())
		p.say("hint: coltec hop %s DIR brings it here as it is", hint.Word(sp.ID()))
	}
	return record
}

// notLooked says why the bucket was not asked, or gave no answer.
func (p maker) notLooked(id string, err error) {
	var lost *secret.MissingError
	if errors.As(err, &lost) {
		is, more := "is", ""
		if n := len(lost.Names) - 1; n > 0 {
			is, more = "are", fmt.Sprintf(" and %d more", n)
		}
		p.say("note: whether the bucket has %s already was not looked at: %s%s %s not at hand", id, lost.Names[0], more, is)
		return
	}
	p.say("note: whether the bucket has %s already was not looked at: %s", id, cmdline.OneLine(err.Error()))
	for _, h := range hint.Of(err) {
		p.say("hint: %s", h)
	}
}

// placed are the questions that nobody answered and that say where the bucket is: another
// answer than the default would lead to another place.
func (i *interview) placed(sp *spec.Spec) (names []string) {
	is := remoteActs(sp)
	for _, q := range i.template.Questions() {
		if _, typed := i.typed[q.Name]; typed || q.Default == nil || q.Type == "bool" || q.Type == "choice" || slices.Contains(naming, q.Name) {
			continue
		}
		other := maps.Clone(i.typed)
		other[q.Name] = "x9"
		answers, err := i.template.Answer(other, nil)
		if err != nil {
			continue // its pattern: no other answer is known
		}
		tree, err := i.template.Render(answers)
		if err != nil {
			continue
		}
		if there, err := spec.Parse(specName, tree[specName].Data); err == nil && !slices.Equal(remoteActs(there), is) {
			names = append(names, q.Name)
		}
	}
	return names
}
