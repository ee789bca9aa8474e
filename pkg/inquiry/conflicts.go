package inquiry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/coltec/coltec/pkg/agents"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/gitstate"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/repositories"
	"github.com/coltec/coltec/pkg/scope"
)

// kept is one version that is kept aside: a file, or a ref of a repository.
type kept struct {
	x    scope.Replica
	copy replica.ConflictCopy
	ref  *gitstate.KeptRef // nil: it is a file
	id   string            // of a ref
}

// word is how a version is named.
func (k kept) word() string {
	if k.ref != nil {
		return k.id
	}
	return k.copy.Word()
}

// answer says what it is.
func (r Query) answer(k kept) control.Conflict {
	if k.ref != nil {
		return refAnswer(k)
	}
	c := control.Conflict{Replica: k.x.Name, ID: k.copy.Word(), Path: k.copy.Path, Time: k.copy.Time, Host: k.copy.Host, Size: k.copy.Entry.Size, Here: k.copy.Here}
	if rel, err := filepath.Rel(r.Home, filepath.Join(k.x.Path, k.copy.Path)); err == nil && filepath.IsLocal(rel) {
		c.Agent, c.Talk = agents.Of(r.Agents, filepath.ToSlash(rel))
	}
	return c
}

// refAnswer says of a ref that keeps what lost its name, in a repository, how to
// look at it.
func refAnswer(k kept) control.Conflict {
	return control.Conflict{
		Replica: k.x.Name, ID: k.id, Path: k.ref.Repository + "/" + k.ref.Name, Time: k.ref.Time, Host: k.ref.Env, Here: true,
		Note: fmt.Sprintf("git --git-dir=%s log %s", hint.Word(k.gitDir()), hint.Word(k.ref.Ref)),
	}
}

// gitDir is the repository of a ref.
func (k kept) gitDir() string { return filepath.Join(k.x.Path, k.ref.Repository) }

// here is a replica with its tree, where that is on this machine.
func (r Query) here(x scope.Replica) scope.Replica {
	if r.Alone == nil {
		x.Path, x.Within = "", ""
	}
	return x
}

// refs are those that keep what lost its name, in the repositories of a tree.
func (r Query) refs(x scope.Replica) (list []kept, err error) {
	if r.Alone == nil {
		return nil, nil
	}
	found, err := gitstate.Kept(repositories.Shadows(x.Path))
	times := map[string]int{}
	for i := range found {
		times[found[i].Ref]++
	}
	for i := range found {
		k := kept{x: x, ref: &found[i], id: found[i].Ref}
		if times[k.id] > 1 {
			k.id = k.ref.Repository + "/" + k.id
		}
		list = append(list, k)
	}
	return list, err
}

// kept lists all versions that are kept aside. A replica that cannot be looked at is the error, and
// hides those of no other.
func (r Query) kept(ctx context.Context) (all []kept, err error) {
	var failed []error
	for _, x := range r.Replicas {
		list, err := r.Conflicts(ctx, r.here(x))
		for _, k := range list {
			all = append(all, kept{x: x, copy: k})
		}
		if err != nil && r.Alone != nil && !errors.Is(err, replica.ErrConflicts) {
			r.Say(fmt.Sprintf("%s: only what is on this machine: %v", x.Name, err))
			err = nil
		}
		if err == nil { // one reason is enough
			list, unread := r.refs(x)
			all, err = append(all, list...), unread
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("replica %s: %w", x.Name, err))
		}
	}
	return all, errors.Join(failed...)
}

func (r Query) conflicts(ctx context.Context) ([]control.Conflict, error) {
	all, err := r.kept(ctx)
	out := []control.Conflict{}
	for _, k := range all {
		out = append(out, r.answer(k))
	}
	return out, err
}

// conflict shows, takes or drops one version that is kept aside.
func (r Query) conflict(ctx context.Context, ask control.Ask, req control.ConflictRequest) (control.Conflict, error) {
	k, err := r.findKept(ctx, req.Path)
	if err != nil {
		return control.Conflict{}, err
	}
	c := r.answer(k)
	if ask == control.AskConflict {
		return c, r.compareKept(ctx, k, &c)
	}
	if r.Alone == nil {
		return c, hint.Wrap(fmt.Errorf("cannot decide about %q: %w", c.ID, errNoTree), "it is decided where the workspace runs: bring it up first")
	}
	err = r.Alone(ctx, k.x.Name, func(ctx context.Context) error { return r.settle(ctx, k, ask == control.AskTake, req.Seen, &c) })
	return c, err
}

// settle takes or drops a version, and says what came of it. Nobody else places meanwhile.
func (r Query) settle(ctx context.Context, k kept, take bool, seen string, c *control.Conflict) (err error) {
	switch {
	case k.ref != nil && take:
		return hint.Wrap(fmt.Errorf("cannot take %q: what is checked out goes with a branch", k.ref.Ref),
			"git --git-dir=%s branch NAME %s gives it a name of your choice; then drop it here", hint.Word(k.gitDir()), hint.Word(k.ref.Ref))
	case k.ref != nil:
		return r.dropRef(k, seen, c)
	case take:
		c.Replaced, err = r.TakeConflict(ctx, k.x, k.copy, seen)
	default:
		c.Replaced, err = r.DropConflict(k.x, k.copy, seen)
	}
	if err == nil {
		c.Undo = undoOf(k, take, c.Replaced)
	}
	return err
}

// dropRef drops a ref. The commits stay where they are until git removes what nothing leads to.
func (r Query) dropRef(k kept, seen string, c *control.Conflict) error {
	if seen != "" && seen != seenRef(k) {
		return hint.Wrap(fmt.Errorf("cannot drop %q: %w", k.ref.Ref, replica.ErrOther), "look again: coltecd conflicts")
	}
	if err := gitstate.Drop(k.x.Path, k.ref.Repository, k.ref.Ref); err != nil {
		return err
	}
	c.Undo = fmt.Sprintf("git --git-dir=%s update-ref %s %s, as long as git has not pruned it (two weeks, unless configured)", hint.Word(k.gitDir()), hint.Word(k.ref.Ref), hint.Word(k.ref.Object))
	return nil
}

func seenRef(k kept) string { return seenOf(k.ref.Repository, k.ref.Ref, k.ref.Object) }

// seenOf stands for some texts.
func seenOf(texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// undoOf says how what was replaced or dropped is got back.
func undoOf(k kept, take bool, replaced string) string {
	at, from := filepath.Join(k.x.Path, filepath.FromSlash(k.copy.Path)), filepath.Join(k.x.Path, filepath.FromSlash(replaced))
	switch {
	case replaced != "" && take:
		return fmt.Sprintf("cp -p %s %s, as long as history.keep says; coltecd history ls %s has older versions", hint.Word(from), hint.Word(at), hint.Word(at))
	case replaced != "":
		return fmt.Sprintf("it is %s, as long as history.keep says", hint.Word(from))
	case take:
		return ""
	}
	path := filepath.Join(k.x.Path, filepath.FromSlash(k.copy.Entry.Path))
	return fmt.Sprintf("coltecd history restore %s --at GENERATION --to DIR, with a generation before this: coltecd history lists them", hint.Word(path))
}

// findKept finds a version by its ID or path, in whichever replica it is. A path that several
// have is no guess.
func (r Query) findKept(ctx context.Context, name string) (k kept, err error) {
	replicas, given := r.Replicas, name
	if filepath.IsAbs(name) {
		x, path, err := r.find(name)
		if err != nil {
			return k, err
		}
		replicas, name = []scope.Replica{x}, path
	}
	name = strings.TrimPrefix(name, "./")
	var found []kept
	var failed []error
	for _, x := range replicas {
		list, err := r.FindConflicts(ctx, r.here(x), name)
		for _, one := range list {
			found = append(found, kept{x: x, copy: one})
		}
		refs, unread := r.refs(x)
		for _, ref := range refs {
			if name == ref.ref.Ref || name == ref.id {
				found = append(found, ref)
			}
		}
		if err = errors.Join(err, unread); err != nil {
			failed = append(failed, fmt.Errorf("replica %s: %w", x.Name, err))
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return k, several(given, found)
	case len(failed) > 0:
		return k, errors.Join(failed...)
	}
	return k, hint.Wrap(fmt.Errorf("cannot find a version of %q that is kept aside in %s: there is none", given, namesOf(replicas)), "coltecd conflicts lists them")
}

// several is the error of a name that more than one version has.
func several(name string, found []kept) error {
	err := fmt.Errorf("cannot tell which version of %q is meant: %d are kept", name, len(found))
	for _, one := range found {
		step := "name it: " + hint.Word(one.word())
		if one.x.Name != found[0].x.Name || one.x.Name != found[len(found)-1].x.Name {
			step += " --replica " + hint.Word(one.x.Name)
		}
		err = hint.Wrap(err, "%s", step)
	}
	return err
}

// namesOf are the names of replicas, in a sentence.
func namesOf(replicas []scope.Replica) string {
	names := make([]string, len(replicas))
	for i, x := range replicas {
		names[i] = strconv.Quote(x.Name)
	}
	if len(names) == 1 {
		return "replica " + names[0]
	}
	return "any of the replicas " + strings.Join(names, ", ")
}

// compareKept says how a version differs from what has its name now.
func (r Query) compareKept(ctx context.Context, k kept, c *control.Conflict) error {
	if k.ref != nil {
		return r.compareRef(ctx, k, c)
	}
	s, err := r.CompareConflict(ctx, r.here(k.x), k.copy)
	if err != nil {
		return fmt.Errorf("cannot compare %q: %w", c.ID, err)
	}
	c.Kind, c.Now = s.Kept.Kind, &control.Holder{Kind: s.Now.Kind, Size: s.Now.Size}
	c.Diff, c.Note, c.Tables = s.Diff, s.Note, each(s.Tables, toTable)
	if r.Alone != nil {
		c.Seen = s.Seen()
	} else {
		r.Say(fmt.Sprintf("%s is compared with what the bucket has: %v", c.Path, errNoTree))
	}
	return nil
}

// compareRef says which commits a ref has more and less. Where git cannot tell, how to look at it
// is said all the same.
func (r Query) compareRef(ctx context.Context, k kept, c *control.Conflict) error {
	c.Kind, c.Seen = "ref", seenRef(k)
	found, err := r.CompareRef(ctx, k.x, *k.ref)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		r.Say(fmt.Sprintf("%s cannot be compared: %v", k.ref.Ref, err))
		return nil
	}
	commits := toCommits(found)
	c.Commits = &commits
	return nil
}

// decide takes or drops all versions that are kept aside.
func (r Query) decide(ctx context.Context, req control.DecideRequest) (done control.Decided, err error) {
	if r.Alone == nil {
		return done, hint.Wrap(fmt.Errorf("cannot decide about what is kept aside: %w", errNoTree), "it is decided where the workspace runs: bring it up first")
	}
	all, err := r.kept(ctx)
	if err != nil {
		return done, err
	}
	p := decision{Query: r, take: req.Take, done: control.Decided{Done: []control.Conflict{}}}
	for _, k := range chosen(all, req.Host) {
		p.look(k, all)
	}
	switch {
	case req.Seen != "" && req.Seen != p.seen():
		return done, hint.Wrap(fmt.Errorf("nothing was done: what is kept aside, or has its name, is not as shown: %w", replica.ErrOther), "look again: coltecd conflicts")
	case req.DryRun:
		p.done.Seen = p.seen()
		for _, s := range p.plan {
			p.done.Done = append(p.done.Done, s.answer)
		}
		return p.done, nil
	}
	err = p.carryOut(ctx)
	return p.done, err
}

// chosen are the versions of a host; "" is of all.
func chosen(all []kept, host string) (list []kept) {
	for _, k := range all {
		if of := k.copy.Host; host == "" || of == host || k.ref != nil && k.ref.Env == host {
			list = append(list, k)
		}
	}
	return list
}

// decision is one about many versions.
type decision struct {
	Query
	take bool
	plan []step
	done control.Decided
}

// step is what is decided about one of them.
type step struct {
	kept
	seen   string
	answer control.Conflict
}

// look plans what becomes of a version, or says why nothing does.
func (p *decision) look(k kept, all []kept) {
	s := step{kept: k, answer: p.Query.answer(k)}
	same := 0
	for _, other := range all {
		if k.ref == nil && other.ref == nil && other.x.Name == k.x.Name && other.copy.Path == k.copy.Path {
			same++
		}
	}
	switch {
	case k.ref != nil && p.take:
		p.leave(s, "what is checked out goes with a branch: "+s.answer.Note)
	case k.ref != nil:
		s.seen = seenRef(k)
		p.plan = append(p.plan, s)
	case p.take && same > 1:
		p.leave(s, fmt.Sprintf("%d versions of it are kept: take one by its ID", same))
	default:
		sides, err := replica.SidesOf(k.x.Path, k.x.Within, k.copy, 0)
		if err != nil {
			p.leave(s, err.Error())
			return
		}
		s.seen, s.answer.Now = sides.Seen(), &control.Holder{Kind: sides.Now.Kind, Size: sides.Now.Size}
		p.plan = append(p.plan, s)
	}
}

func (p *decision) leave(s step, why string) {
	s.answer.Note = why
	p.done.Left = append(p.done.Left, s.answer)
}

// seen stands for all that is planned.
func (p *decision) seen() string {
	texts := []string{fmt.Sprint(p.take)}
	for _, s := range p.plan {
		texts = append(texts, s.x.Name, s.word(), s.seen)
	}
	return seenOf(texts...)
}

// carryOut does it, replica by replica: no cycle of it runs in between.
func (p *decision) carryOut(ctx context.Context) error {
	for _, x := range p.Replicas {
		var mine []step
		for _, s := range p.plan {
			if s.x.Name == x.Name {
				mine = append(mine, s)
			}
		}
		if len(mine) == 0 {
			continue
		}
		err := p.Alone(ctx, x.Name, func(ctx context.Context) error { return p.each(ctx, mine) })
		if err != nil {
			return hint.Wrap(fmt.Errorf("%d of %d were decided: %w", len(p.done.Done), len(p.plan), err), "coltecd conflicts lists the others")
		}
	}
	return nil
}

// each goes on with the others where one cannot be decided.
func (p *decision) each(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := p.settle(ctx, s.kept, p.take, s.seen, &s.answer); err != nil {
			p.leave(s, err.Error())
			continue
		}
		p.done.Done = append(p.done.Done, s.answer)
	}
	return nil
}
