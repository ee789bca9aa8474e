package daemon

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/supervisor"
)

// Status joins what the rooms know into the one document.
func (d *daemon) Status(context.Context) status.Document {
	d.rest.Reset(restAfter)
	index := d.status.now() // before the look: what changes meanwhile counts as later
	doc := d.document(looksEvery)
	doc.Index = index
	return doc
}

// document is how it is now; of agents, as of at most that long ago.
func (d *daemon) document(agents time.Duration) status.Document {
	s, fault := d.conf.state()
	since := d.since.UTC()
	doc := status.Document{
		Workspace: WorkspaceOf(s.spec), State: status.Running,
		PID: os.Getpid(), Since: &since, Version: d.o.Version, Units: []status.Unit{}, Accounts: true,
		Beginning: !d.begun.Load(),
	}
	var attention []string
	doc.Lease, doc.Replicas, attention = d.replicas.status()
	if doc.Replicas == nil {
		doc.Replicas = []status.Replica{}
	}
	d.placed.look(doc, d.turns.forget)
	for _, u := range d.sup.Status() {
		doc.Units = append(doc.Units, unitStatus(u))
	}
	doc.Agents = withUnits(d.turns.status(s, agents), doc.Units)
	doc.Network = s.network(doc.Units)
	attention = slices.Concat(d.ownAttention(fault), attention, unitAttention(doc.Units, d.o.Name), pausedAttention(doc.Replicas, d.o.Name), d.conditions.attention(s, d.o.Name), s.switched(d.replicas.places(), d.o.Name), secretAttention(s), loginSetting{s}.loginAttention(), networkAttention(doc.Network, time.Now()))
	if len(attention) > 0 || replicasAreUnwell(doc) {
		doc.State = status.Degraded
	}
	doc.Attention = append([]string{}, slices.Concat(attention, d.killNotice(doc.Replicas), shareNotices(doc.Replicas), replicaNotices(doc.Replicas), s.notices(), d.agentHooks.notices())...) // [] in JSON, not null
	return doc
}

// ownAttention is about coltecd itself.
func (d *daemon) ownAttention(fault error) []string {
	var list []string
	for _, err := range []error{fault, d.conditions.heldBack()} {
		if err != nil {
			list = append(list, hint.Sentence(err))
		}
	}
	if d.crashed != "" && time.Since(d.since) < crashMemory {
		list = append(list, fmt.Sprintf("coltecd ended (%s) and was started again: see %s", d.crashed, d.log.files.Path(logName)))
	}
	list = append(list, d.metrics.attention(d.o.Name)...)
	list = append(list, d.notifier.attention()...)
	return append(list, d.log.attention()...)
}

// killNotice reports that the last coltecd was killed, and what became of the
// changes that it had not pushed. Nothing is unwell because of it.
func (d *daemon) killNotice(replicas []status.Replica) []string {
	if d.lastSeen.IsZero() || time.Since(d.since) > crashMemory {
		return nil
	}
	return []string{fmt.Sprintf("the last coltecd here was killed, its last status is of %s: %s",
		d.lastSeen.UTC().Format(time.RFC3339), unpushed(replicas))}
}

// unpushed says what became of the changes that were found at the start.
func unpushed(replicas []status.Replica) string {
	found, pending := 0, 0
	for _, r := range replicas {
		switch {
		case r.FoundAtStart != nil:
			found += *r.FoundAtStart
			pending += r.Pending
		case r.Direction != string(scope.PullOnly):
			return "what it had not pushed is pushed as soon as it can be"
		}
	}
	changes := hint.Count(found, "change that it had not pushed is", "changes that it had not pushed are")
	switch {
	case found == 0:
		return "it had pushed everything"
	case pending > 0:
		return changes + " being pushed"
	default:
		return changes + " in the bucket now"
	}
}

// crashMemory is for how long a crash is worth a person's attention.
const crashMemory = time.Hour

// unitStatus is one unit in the document.
func unitStatus(u supervisor.UnitStatus) status.Unit {
	return status.Unit{
		Name: u.Name, Kind: string(u.Kind), State: string(u.State), Since: when(u.Since), PID: u.PID,
		Restarts: u.Restarts, LastExit: u.LastExit, LastError: u.LastError,
		NextRun: when(u.NextRun), NextRetry: when(u.NextRetry), Log: u.Log,
	}
}

func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// unitAttention says what is wrong with units, and the next step.
func unitAttention(units []status.Unit, program string) []string {
	var list []string
	for _, u := range units {
		why := cmp.Or(u.LastError, u.LastExit, "-")
		switch supervisor.State(u.State) {
		case supervisor.Failed:
			list = append(list, fmt.Sprintf("%s %s has failed (%s): see %s logs %s, then %s restart %s", u.Kind, u.Name, why, program, u.Name, program, u.Name))
		case supervisor.Backoff:
			list = append(list, fmt.Sprintf("%s %s keeps ending (%s): see %s logs %s", u.Kind, u.Name, why, program, u.Name))
		case supervisor.Blocked:
			list = append(list, fmt.Sprintf("%s %s is blocked: %s", u.Kind, u.Name, why))
		case supervisor.Paused:
			list = append(list, fmt.Sprintf("%s %s is paused: %s resume %s starts it again", u.Kind, u.Name, program, u.Name))
		}
	}
	return list
}

// pausedAttention names replicas that somebody has paused: nothing of them is saved.
func pausedAttention(replicas []status.Replica, program string) (list []string) {
	for _, r := range replicas {
		if r.State == status.ReplicaPaused {
			list = append(list, fmt.Sprintf("replica %s is paused, nothing of it is saved: %s resume %s", r.Name, program, r.Name))
		}
	}
	return list
}

// secretAttention names required secrets that are not there.
func secretAttention(s setting) []string {
	get := lookup(s.environ)
	var list []string
	for _, name := range s.spec.RequiredSecrets() {
		if _, ok := get(name); !ok {
			list = append(list, fmt.Sprintf("%s is not set, and the spec requires it: give it to the container, then run coltecd start again", name))
		}
	}
	return list
}

// replicasAreUnwell reports whether persistence does not do its work, whether or not
// attention has a line about it.
func replicasAreUnwell(doc status.Document) bool {
	return slices.ContainsFunc(doc.Replicas, func(r status.Replica) bool {
		return r.State == status.ReplicaBlocked || r.State == status.ReplicaRetrying || r.State == status.ReplicaPaused
	})
}

// shareNotices are about trees that can be changed from where no watch sees it.
// Nothing is unwell because of that: each walk finds the changes.
func shareNotices(replicas []status.Replica) []string {
	var list []string
	for _, r := range replicas {
		if r.SharedFileSystem != "" {
			list = append(list, fmt.Sprintf("replica %s: %s is on %s, which tells of no change made outside this machine or container: the next walk finds those, or coltecd sync does at once; watch: false in the spec says that you know",
				r.Name, r.Path, r.SharedFileSystem))
		}
	}
	return list
}

// replicaNotices are notes of the replicas that make nothing unwell.
func replicaNotices(replicas []status.Replica) (list []string) {
	for _, r := range replicas {
		list = append(list, r.Notices...)
	}
	return list
}

// notices are about a folder of which nothing is saved, and about fields of the spec that do
// nothing here. They do not make a workspace unwell: both may be intended, and older specs
// are full of such fields.
func (s setting) notices() []string {
	var list []string
	if text := s.unsaved(); text != "" {
		list = append(list, text)
	}
	list = append(list, loginSetting{s}.loginNotices()...)
	for _, n := range s.spec.NotActedOn() {
		list = append(list, n.String())
	}
	return list
}
