package daemon

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/webhook"
)

// notifierFile keeps what was told of what needs attention: in the runtime directory, so that a
// coltecd that takes over from a killed one goes on, and a new container begins anew.
const notifierFile = "attention.json"

// beginningMost is how long a beginning is no reason to say anything: what the last coltecd had
// told may be there again in a moment.
const beginningMost = time.Minute

// newNotifier makes the notifier of a daemon.
func (d *daemon) newNotifier() *notifier {
	var made *webhook.Hook
	var of [2]string // the address and the key that it was made of
	var edition int
	return &notifier{
		file: filepath.Join(d.lock.Dir(), notifierFile), log: d.log.Logger, status: &d.status,
		look: d.needs, rested: func() { d.rest.Reset(restAfter) },
		hook: func(ctx context.Context, env []string) error { return d.sup.RunHooksWith(ctx, hooks.OnAttention, env) },
		whom: func() audience {
			s := d.conf.get()
			to := audience{
				letter: letter{Workspace: WorkspaceOf(s.spec).String(), Host: s.hostName(), Version: d.o.Version},
				hooks:  len(s.spec.Hooks[hooks.OnAttention]) > 0,
				redact: func(text string) string { return string(d.log.redactor.Redact([]byte(anchor.Plain(text)))) },
			}
			if to.webhook = s.spec.Webhook != nil; !to.webhook {
				return to
			}
			address, key, err := s.spec.Webhook.Expand(lookup(s.environ))
			if now := [2]string{address.Reveal(), key.Reveal()}; err == nil && (made == nil || now != of) {
				made, err = webhook.New(now[0], now[1], "coltecd/"+d.o.Version)
				of, edition = now, edition+1
			}
			if err != nil {
				to.fault = err
				return to
			}
			to.post, to.at, to.edition = made.Post, made.Host(), edition
			return to
		},
	}
}

// needs is what needs attention, but for hooks that are told of it: one that fails would have
// itself run again. known is false while it is not known yet.
func (d *daemon) needs() (lines []string, known bool) {
	doc := d.document(agentsSeen)
	if doc.Beginning && time.Since(d.since) < beginningMost {
		return nil, false
	}
	s := d.conf.get()
	return slices.DeleteFunc(doc.Attention, func(line string) bool {
		return slices.ContainsFunc(s.hooksAt(hooks.OnAttention), func(h hooks.Def) bool { return strings.HasPrefix(line, "hook "+h.Name+" ") })
	}), true
}
