package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/unit"
	"github.com/coltec/coltec/pkg/wholefile"
	"github.com/coltec/coltec/supervisor"
)

// stands are the states of a service that stands still for a rewind: it runs, or would begin
// to by itself.
var stands = []supervisor.State{supervisor.Starting, supervisor.Running, supervisor.Ready, supervisor.Backoff, supervisor.Waiting}

// standStill stops the services of the spec that run, and gives the names of all that stand
// still, those among them that a rewind before has stopped and nobody has started yet. They are
// noted first: should this coltecd be killed, the next one starts them.
func (d rewinder) standStill(ctx context.Context, say func(string)) ([]string, error) {
	before, err := d.stillFile().read()
	if err != nil {
		d.log.Warn("services that a rewind had stopped are not known", "error", err)
	}
	var names, run []string
	state := map[string]supervisor.State{}
	for _, u := range d.sup.Status() {
		if u.Kind == unit.Service {
			state[u.Name] = u.State
		}
	}
	services := d.conf.get().spec.Services
	for i := range services {
		name := services[i].Name
		runs := slices.Contains(stands, state[name])
		if runs {
			run = append(run, name)
		}
		if runs || slices.Contains(before, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	if err := d.stillFile().write(names); err != nil {
		return nil, err
	}
	if len(run) > 0 {
		say("stopping " + strings.Join(run, ", "))
	}
	for _, name := range slices.Backward(run) {
		if err := d.sup.Do(ctx, "stop", name); err != nil {
			return names, err
		}
	}
	return names, nil
}

// resume starts what a rewind of a coltecd before this one had stopped. One that is under way
// starts it at its end: nothing may run before.
func (d rewinder) resume(ctx context.Context) {
	if !d.rewinds.still.TryLock() {
		return
	}
	defer d.rewinds.still.Unlock()
	if err := d.goOn(ctx); err != nil && ctx.Err() == nil {
		d.log.Warn("services that a rewind had stopped do not start", "error", err)
	}
}

// goOn starts the services that stand still for a rewind, in the order of the spec. One that
// the spec has no more is forgotten. At an end of coltecd they stay noted.
func (d rewinder) goOn(ctx context.Context) error {
	names, err := d.stillFile().read()
	for _, name := range names {
		failed := d.sup.Do(ctx, "start", name)
		if errors.Is(failed, supervisor.ErrStopped) || ctx.Err() != nil {
			return errors.Join(err, failed)
		}
		if !errors.As(failed, new(*supervisor.UnknownUnitError)) {
			err = errors.Join(err, failed)
		}
	}
	return errors.Join(err, d.stillFile().remove())
}

// stillFile names the services that stand still.
func (d rewinder) stillFile() stillFile { return stillFile(filepath.Join(d.lock.Dir(), "rewind.json")) }

// stillFile is the path of a file that names services.
type stillFile string

// stillMost is more than any spec's services have bytes.
const stillMost = 1 << 20

func (f stillFile) write(names []string) error {
	body, err := json.Marshal(names)
	if err == nil {
		err = wholefile.Write(string(f), body, 0o600, wholefile.Durable)
	}
	if err != nil {
		return fmt.Errorf("cannot note which services stand still: %w", err)
	}
	return nil
}

// read gives no names where there is no file.
func (f stillFile) read() (names []string, err error) {
	body, err := wholefile.Read(string(f), stillMost)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = wholefile.Unmarshal(body, &names, stillMost)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read which services stand still: %w", err)
	}
	return names, nil
}

func (f stillFile) remove() error {
	err := os.Remove(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
