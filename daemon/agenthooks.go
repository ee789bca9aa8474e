package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"

	"github.com/coltec/coltec/pkg/agents"
	"github.com/coltec/coltec/pkg/reporting"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/wholefile"
)

// agentHooks has the settings of agents be as the spec says: once for each spec, and again when
// the home may have been restored anew.
type agentHooks struct {
	mu   sync.Mutex // guards what follows
	done hooksFor
	on   map[string]bool // agents that the spec before had tell
	said []string
}

// hooksFor is for what the settings were last looked at.
type hooksFor struct {
	spec  *spec.Spec
	epoch int64 // of the lease
}

func (h *agentHooks) notices() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.said
}

// setAgentHooks looks at the settings of agents, once their home is as it was left: what is
// written before would be a version beside that of the bucket.
func (d *daemon) setAgentHooks() {
	s := d.conf.get()
	lease, replicas, _ := d.replicas.status()
	if !homeRestored(s, status.Document{Lease: lease, Replicas: replicas}) {
		return
	}
	h := &d.agentHooks
	h.mu.Lock()
	defer h.mu.Unlock()
	next := hooksFor{s.spec, lease.Epoch}
	if h.done == next {
		return
	}
	var changed []string
	changed, h.said = h.set(s)
	h.said = append(h.said, s.agentNotices()...)
	h.done = next
	for _, text := range h.said {
		d.log.Warn(text)
	}
	if len(changed) > 0 {
		d.log.Info("the settings of agents were changed, so that they tell what they do, or do no more: those that run take it at their next start", "files", changed)
	}
	if len(h.said) > 0 {
		d.status.changed()
	}
}

// homeRestored reports whether what agents keep in the home is as it was left; so it is where
// nothing of it is carried.
func homeRestored(s setting, doc status.Document) bool {
	for _, y := range s.spec.Replicas() {
		if !y.Agents {
			continue
		}
		i := slices.IndexFunc(doc.Replicas, func(r status.Replica) bool { return r.Name == y.Name })
		if i < 0 || doc.RestoreOf(doc.Replicas[i]) != status.RestoreDone {
			return false
		}
	}
	return true
}

// set changes the settings of the agents of which the spec says so, and of those of which the
// one before did. It gives the files that were changed, and what could not be, for a person. The
// caller has the lock.
func (h *agentHooks) set(s setting) (changed, failed []string) {
	home, err := os.OpenRoot(s.home())
	if err != nil {
		return nil, nil // a replica of it says what is wrong
	}
	defer home.Close()
	was := h.on
	h.on = map[string]bool{}
	for _, listed := range s.spec.Agents {
		known, is := agents.Find(listed.Name)
		if !is || known.Hooks.Form == "" || listed.Hooks == nil && !was[listed.Name] {
			continue
		}
		on := listed.Hooks != nil && *listed.Hooks
		h.on[listed.Name] = on
		edited, err := editSettings(home, known, on)
		if edited {
			changed = append(changed, known.Hooks.File)
		}
		switch {
		case err != nil && on:
			failed = append(failed, fmt.Sprintf("%s does not tell what it does, ~/%s is as it was: %v", known.Name, known.Hooks.File, err))
		case err != nil:
			failed = append(failed, fmt.Sprintf("%s still tells what it does, ~/%s is as it was: %v", known.Name, known.Hooks.File, err))
		}
	}
	for name := range was { // of agents that the spec does not list any more
		if _, listed := h.on[name]; was[name] && !listed {
			if known, is := agents.Find(name); is {
				if edited, err := editSettings(home, known, false); edited && err == nil {
					changed = append(changed, known.Hooks.File)
				}
			}
		}
	}
	return changed, failed
}

// settingsMost is what settings of an agent may have of bytes: more is no file of a person.
const settingsMost = 1 << 20

// editSettings puts the commands that tell what an agent does into its settings, or takes them
// out, and reports whether that changed them. A link is not followed: it may be to a file that
// others have too.
func editSettings(home *os.Root, a agents.Agent, on bool) (bool, error) {
	name, mode := a.Hooks.File, fs.FileMode(0o600)
	src, missing, err := readSettings(home, name, &mode)
	if err != nil || missing && !on {
		return false, err
	}
	edit := reporting.Remove
	if on {
		edit = reporting.Add
	}
	out, err := edit(a, src)
	switch {
	case err != nil:
		return false, err
	case out == nil:
		return !missing, home.Remove(name)
	case !missing && bytes.Equal(out, src):
		return false, nil
	}
	if missing {
		err = home.MkdirAll(path.Dir(name), 0o700)
	}
	if now, _, again := readSettings(home, name, new(fs.FileMode)); err == nil && (again != nil || !bytes.Equal(now, src)) {
		err = errors.New("somebody else changed it meanwhile")
	}
	if err == nil {
		err = wholefile.WriteIn(home, name, bytes.NewReader(out), mode, wholefile.Durable)
	}
	return err == nil, err
}

// readSettings reads settings, and their mode; nil and missing where there are none.
func readSettings(home *os.Root, name string, mode *fs.FileMode) (src []byte, missing bool, err error) {
	info, err := home.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, true, nil
	case err != nil:
		return nil, false, err
	case !info.Mode().IsRegular():
		return nil, false, errors.New("it is no plain file")
	}
	*mode = info.Mode().Perm()
	src, err = wholefile.ReadIn(home, name, settingsMost)
	if err == nil && src == nil {
		src = []byte{}
	}
	return src, false, err
}
