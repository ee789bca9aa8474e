// Package remote turns a remote of a spec into one of rclone's. It stands between
// the two, so that neither knows the other.
package remote

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/spec"
)

// Backends are the remotes of a target as rclone knows them, or why the policy takes
// one of them for no remote of a spec's.
func (p Policy) Backends(t *spec.Target) ([]rclone.Backend, error) {
	var list []rclone.Backend
	for i, r := range t.Remotes {
		b := rclone.Backend{Name: r.Name, Type: r.Type, Options: map[string]string{}}
		for k, v := range r.Options {
			b.Options[k] = v.Reveal()
		}
		if err := p.check(b); err != nil { // before what is added here, which no spec said
			return nil, err
		}
		if r.Crypt != nil && i+1 < len(t.Remotes) {
			inner := t.Remotes[i+1]
			b.Options["remote"] = rclone.Root(inner.Name, inner.Root(), r.WrapPath)
			b.Options["filename_encryption"] = r.Crypt.FilenameEncryption
			b.Options["directory_name_encryption"] = fmt.Sprint(r.Crypt.DirectoryNameEncryption)
			b.Passwords = map[string]string{"password": r.Crypt.Password.Reveal()}
			if !r.Crypt.Password2.Empty() {
				b.Passwords["password2"] = r.Crypt.Password2.Reveal()
			}
		}
		list = append(list, b)
	}
	return list, nil
}

// Opener opens the prefixes of a spec's replicas, and the root that its head
// lies at. All that one opens share two places for rclone runs, so that a
// workspace never has more at a time.
type Opener struct {
	spec      *spec.Spec
	policy    Policy
	get       spec.Lookup
	env       rclone.Lookup
	extra     []string
	all, bulk rclone.Limiter

	mu  sync.Mutex
	bin rclone.Binary // once it was found: asking an rclone for its version is a process
}

// NewOpener makes an opener. get gives the variables that remotes ask for, env those
// of this process that an rclone may see; extra goes into the environment of each rclone.
func NewOpener(sp *spec.Spec, policy Policy, get spec.Lookup, env rclone.Lookup, extra []string) *Opener {
	return &Opener{spec: sp, policy: policy, get: get, env: env, extra: extra, all: rclone.NewLimiter(2), bulk: rclone.NewLimiter(1)}
}

// binary is the rclone that all remotes run.
func (o *Opener) binary(ctx context.Context) (rclone.Binary, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bin.Path != "" {
		return o.bin, nil
	}
	bin, err := rclone.Find(ctx, o.env)
	if err == nil {
		o.bin = bin
	}
	return bin, err
}

// Head is the remote that holds the heads of workspaces.
func (o *Opener) Head() (*spec.Remote, error) {
	return o.spec.Persistence.Remotes[o.spec.HeadRemote()].Expand(o.get)
}

// HeadRoot says where heads are, for the claims: no name of a remote, which is the spec's
// own, and no endpoint, which may differ from place to place. "" where the remote cannot be
// told.
func (o *Opener) HeadRoot() string {
	r, err := o.Head()
	if err != nil {
		return ""
	}
	return r.Type + ":" + r.Root()
}

// AtOnce has up to n long runs of rclone under way at a time: one unless told. It is for who
// transfers little and waits much, and is to be called before anything is opened.
func (o *Opener) AtOnce(n int) *Opener {
	o.all, o.bulk = rclone.NewLimiter(n+1), rclone.NewLimiter(n)
	return o
}

// Open opens the prefix of a replica, "" for the root of the head's remote;
// plain: for plain objects with metadata. spent is told what each run costs; it may
// be nil.
func (o *Opener) Open(ctx context.Context, replica string, plain bool, spent func(rclone.Spent)) (*rclone.Remote, error) {
	return o.OpenAt(ctx, replica, "", plain, spent)
}

// OpenAt is Open of another prefix in the remote of a replica; "" for its own.
func (o *Opener) OpenAt(ctx context.Context, replica, prefix string, plain bool, spent func(rclone.Spent)) (*rclone.Remote, error) {
	bin, err := o.binary(ctx)
	if err != nil {
		return nil, err
	}
	opts := rclone.Options{Env: o.env, All: o.all, Bulk: o.bulk, Extra: o.extra, Spent: spent}
	if replica == "" {
		r, err := o.Head()
		if err != nil {
			return nil, err
		}
		return o.policy.Open(bin, &spec.Target{Remotes: []*spec.Remote{r}}, opts)
	}
	y := o.spec.Persistence.Sync[slices.IndexFunc(o.spec.Persistence.Sync, func(y spec.Sync) bool { return y.Name == replica })]
	if prefix == "" {
		prefix = y.RemotePath
	}
	target, err := o.spec.Target(y.Remote, prefix, o.get)
	if err != nil {
		return nil, err
	}
	opts.Transfers, opts.Checkers, opts.BwLimit = y.Transfers, y.Checkers, y.BwLimit
	r, err := o.policy.Open(bin, target, opts)
	if err == nil && plain {
		r = r.Metadata()
	}
	return r, err
}

// Open opens a target with an rclone, if the policy takes it.
func (p Policy) Open(bin rclone.Binary, target *spec.Target, opts rclone.Options) (*rclone.Remote, error) {
	backends, err := p.Backends(target)
	if err != nil {
		return nil, err
	}
	top := target.Remotes[0]
	return rclone.NewRemote(bin, backends, rclone.Root(top.Name, top.Root(), target.Path), opts)
}

// sayEvery is how often progress is worth a line.
const sayEvery = 2 * time.Second

// Progress tells how far the transfer of a replica is, now and then.
func Progress(replica string, say func(string)) func(rclone.Progress) {
	next := time.Now().Add(sayEvery)
	return func(p rclone.Progress) {
		if now := time.Now(); now.After(next) {
			next = now.Add(sayEvery)
			say(fmt.Sprintf("%s: %d of %d objects, %d of %d bytes, %s left", replica, p.Files, p.TotalFiles, p.Bytes, p.TotalBytes, p.ETA.Round(time.Second)))
		}
	}
}
