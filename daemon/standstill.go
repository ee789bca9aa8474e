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

// standStill stops the services of the spec that run, and gives their names. Those that it
// has stopped are noted first: should this coltecd be killed, the next one starts them.
func (d rewinder) standStill(ctx context.Context, say func(string)) ([]string, error) {
	var own, names []string
	for i := range d.conf.get().spec.Services {
		own = append(own, d.conf.get().spec.Services[i].Name)
	}
	for _, u := range d.sup.Status() {
		if u.Kind == unit.Service && slices.Contains(own, u.Name) && slices.Contains(stands, u.State) {
			names = append(names, u.Name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	if err := d.stillFile().write(names); err != nil {
		return nil, err
	}
	say("stopping " + strings.Join(names, ", "))
	for _, name := range slices.Backward(names) {
		if err := d.sup.Do(ctx, "stop", name); err != nil {
			return names, err
		}
	}
	return names, nil
}

// goOn starts the services that stand still for a rewind, in the order of the spec. One that
// the spec has no more is forgotten.
func (d rewinder) goOn(ctx context.Context) error {
	names, err := d.stillFile().read()
	for _, name := range names {
		if failed := d.sup.Do(ctx, "start", name); !errors.As(failed, new(*supervisor.UnknownUnitError)) {
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
