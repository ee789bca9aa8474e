package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/unit"
	"github.com/coltec/coltec/pkg/wholefile"
	"github.com/coltec/coltec/supervisor"
)

// conditions are what is known of the hooks with a condition (spec.When). What the files that
// they go by were at their last success is kept where it lives as long as what they made of
// them, beside the id of this machine or container (see ownID): in a synced tree it would tell
// another machine that they had run there.
type conditions struct {
	mu     sync.Mutex
	failed map[string]string // by hook: why its last run failed
	held   error             // why services that wait for the restore do not start; nil: no hook holds them back
	again  chan struct{}     // asks for what failed to be tried again
}

func newConditions() conditions {
	return conditions{failed: map[string]string{}, again: make(chan struct{}, 1)}
}

// has reports whether the last run of a hook failed; of any hook where none is named.
func (c *conditions) has(hook string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, failed := c.failed[hook]
	return failed || hook == "" && len(c.failed) > 0
}

// note keeps how the last run of a hook went.
func (c *conditions) note(hook string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.failed, hook)
	if err != nil {
		c.failed[hook] = cmdline.OneLine(err.Error())
	}
}

// hold keeps why services that wait for the restore do not start, until it is called with nil. A
// spec that is refused meanwhile, or taken over, changes nothing of that.
func (c *conditions) hold(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = err
}

// heldBack is what hold keeps.
func (c *conditions) heldBack() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held
}

// attention says which hooks failed, and what is to be done.
func (c *conditions) attention(s setting, program string) (list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.failed)) {
		if s.conditional(name) != nil { // else a reload removed it
			list = append(list, fmt.Sprintf("hook %s has not done its work (%s): see %s logs %s; %s start tries again, and so does the next start",
				name, c.failed[name], program, name, program))
		}
	}
	return list
}

// every is all post_restore hooks, for afterRestore; conditional those that have a condition.
func every(*spec.Hook) bool { return true }

func conditional(h *spec.Hook) bool { return h != nil }

// afterRestore runs the post_restore hooks that are wanted. Of those with a condition it runs
// the ones that have something to do; wants gets nil for all others.
func (d *daemon) afterRestore(ctx context.Context, wants func(*spec.Hook) bool) error {
	return d.sup.RunHooksIf(ctx, hooks.PostRestore, nil, func(h unit.Unit) (bool, func(error)) {
		s := installs{d.conf.get()}
		def := s.conditional(h.Name)
		if def == nil || !wants(def) {
			return wants(def), nil
		}
		now := s.fingerprintOf(def)
		why := s.due(def, now)
		if why == "" {
			d.conditions.note(h.Name, nil)
			d.log.Debug("hook has nothing to do", "unit", h.Name)
			return false, nil
		}
		d.log.Info("hook runs", "unit", h.Name, "why", why)
		return true, func(err error) {
			if ctx.Err() != nil || errors.Is(err, supervisor.ErrStopped) {
				return // it was ended: the next start does it
			}
			if err == nil {
				err = s.succeeded(def.Name, now)
			}
			d.conditions.note(h.Name, err)
			d.status.changed()
		}
	})
}

// tryAgain asks for the hooks that failed to be tried again. It does not wait.
func (d *daemon) tryAgain() {
	if !d.conditions.has("") && d.conditions.heldBack() == nil {
		return
	}
	d.begun.Store(false)
	select {
	case d.conditions.again <- struct{}{}:
	default: // asked for already
	}
}

// runAgain runs hooks after the start: those that failed, when somebody asks for it; those
// with a condition once the workspace is restored, where that was not so at the start. passed
// is false where services wait because of a hook: then all are run again.
func (d *daemon) runAgain(ctx context.Context, passed bool) {
	run := func(wants func(*spec.Hook) bool) {
		if !passed {
			wants = every
		}
		err := d.runOnceMore(ctx, wants)
		switch {
		case passed:
		case err != nil:
			gate{d}.hold(ctx, err)
		default:
			passed = true
			gate{d}.open(ctx)
		}
	}
	restored := d.replicas.restored()
	for {
		seen := d.status.now()
		if !restored && d.replicas.restored() {
			restored = true
			run(conditional)
		}
		// Who waits for the hooks must not find the restore over, and these not begun.
		if begun := restored || !d.conf.get().hasConditions(); d.begun.Swap(begun) != begun {
			d.status.changed()
		}
		var changed <-chan struct{}
		if !restored {
			changed = d.status.after(seen)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-d.conditions.again:
			run(func(h *spec.Hook) bool { return h != nil && d.conditions.has(h.Name) })
		}
	}
}

// gate is before the services that wait for the restore.
type gate struct{ *daemon }

// hold says why they do not start: on_failure: fail of a hook asked for exactly this.
func (d gate) hold(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // it was ended: the next start does it
	}
	d.log.Error("hook failed, services after the restore wait", "error", err)
	d.conditions.hold(fmt.Errorf("services that wait for the restore do not start: %w", err))
	d.status.changed()
}

// open has them start, and what a rewind had stopped.
func (d gate) open(ctx context.Context) {
	d.conditions.hold(nil)
	d.sup.Reached(milestoneRestore)
	rewinder(d).resume(ctx)
}

// runOnceMore is afterRestore after the start. Who asked for it meanwhile is answered by it.
func (d *daemon) runOnceMore(ctx context.Context, wants func(*spec.Hook) bool) error {
	d.begun.Store(false)
	err := d.afterRestore(ctx, wants)
	select {
	case <-d.conditions.again:
	default:
	}
	return err
}

// conditional is the post_restore hook of a name, nil where it is none with a condition.
func (s setting) conditional(name string) *spec.Hook {
	list := s.spec.Hooks[hooks.PostRestore]
	i := slices.IndexFunc(list, func(h spec.Hook) bool { return h.Name == name && h.When != nil })
	if i < 0 {
		return nil
	}
	return &list[i]
}

// hasConditions reports whether any hook has one.
func (s setting) hasConditions() bool {
	return slices.ContainsFunc(s.spec.Hooks[hooks.PostRestore], func(h spec.Hook) bool { return h.When != nil })
}

// installs is a setting, as hooks with a condition see it.
type installs struct{ setting }

// due is why a hook is to run; "" where it has nothing to do. now is its fingerprint.
func (s installs) due(h *spec.Hook, now string) string {
	if now == "" {
		return ""
	}
	was, ran := s.successes()[h.Name]
	switch missing := s.missing(h); {
	case !ran:
		return "it has not run here yet"
	case was != now:
		return "what it goes by has changed"
	case missing != "":
		return missing + " is not there"
	}
	return ""
}

// missing is the first of the paths that a hook makes which is not there; "" where all are.
func (s installs) missing(h *spec.Hook) string {
	root, err := os.OpenRoot(s.dir(h.Dir))
	if err != nil {
		return ""
	}
	defer root.Close()
	for _, name := range h.When.Missing {
		if _, err := root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name
		}
	}
	return ""
}

// fingerprintOf stands for the content of the files that a hook goes by, and for its command;
// "" where none of the files is there. What is no file below the hook's directory is not there.
func (s installs) fingerprintOf(h *spec.Hook) string {
	root, err := os.OpenRoot(s.dir(h.Dir))
	if err != nil {
		return ""
	}
	defer root.Close()
	sum, there := sha256.New(), false
	fmt.Fprintf(sum, "%q %q %q\n", h.Command, h.Dir, h.User)
	for _, name := range h.When.Changed {
		content := sha256.New()
		f, err := wholefile.OpenIn(root, name)
		if err == nil {
			_, err = io.Copy(content, f)
			f.Close()
		}
		if err == nil {
			there = true
			fmt.Fprintf(sum, "%q %x\n", name, content.Sum(nil))
		}
	}
	if !there {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// successesFile is where the fingerprints of hooks at their last success are kept; "" where
// nothing can be kept, and hooks run at each start.
func (s installs) successesFile() string {
	if s.runtime == "" {
		return ""
	}
	_, id := s.ownID()
	if id == "" {
		return ""
	}
	of := sha256.Sum256([]byte(s.spec.ID() + "\n" + realPlace(s.folder)))
	return filepath.Join(filepath.Dir(id), "hooks-"+hex.EncodeToString(of[:8])+".json")
}

func (s installs) successes() map[string]string {
	all := map[string]string{}
	if file := s.successesFile(); file != "" {
		if b, err := wholefile.Read(file, wholefile.ByHand); err == nil {
			_ = json.Unmarshal(b, &all) // what cannot be read was not written by us: hooks run
		}
	}
	return all
}

// succeeded keeps that a hook has succeeded, with its fingerprint from before the run.
func (s installs) succeeded(hook, fingerprint string) error {
	file := s.successesFile()
	if file == "" {
		return nil
	}
	all := s.successes()
	maps.DeleteFunc(all, func(name, _ string) bool { return s.conditional(name) == nil })
	all[hook] = fingerprint
	b, err := json.Marshal(all)
	if err == nil {
		err = wholefile.Write(file, b, 0o600, wholefile.Volatile)
	}
	if err != nil {
		return fmt.Errorf("it ran, and cannot keep that it did: %w", err)
	}
	return nil
}
