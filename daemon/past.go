package daemon

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/inquiry"
)

// NewHistory is that of a workspace in which no coltecd runs, opened with what o's
// environment has of credentials.
func NewHistory(o Options) control.History {
	return inquiry.Answers{Open: func(writes bool, say func(string)) (inquiry.Query, func(), error) {
		r := inquiry.Query{Alone: inquiry.AtOnce, Say: say}
		logDir, err := o.LogDir()
		if err != nil {
			return r, nil, err
		}
		release := func() {}
		if writes {
			lock, err := o.acquire() // no coltecd may start meanwhile
			if err != nil {
				return r, nil, err
			}
			release = lock.Release
		}
		s := setting{spec: o.Spec, folder: o.folder(), environ: o.Environ, logDir: logDir, log: slog.New(slog.DiscardHandler)}
		if err := s.open(&r); err != nil {
			release()
			return r, nil, err
		}
		return r, func() { r.Close(); release() }, nil
	}}
}

// open opens the remotes of a setting. Whoever asks closes it.
func (s setting) open(r *inquiry.Query) error {
	o, err := s.engineOptions()
	if err != nil {
		return err
	}
	if len(o.Replicas) == 0 {
		return hint.Wrap(fmt.Errorf("cannot read: %w", errNoReplicas), "enable persistence in the spec")
	}
	r.Replicas, r.Now, r.Keep = o.Replicas, time.Now(), o.KeepReplaced
	r.Home, r.Agents = s.home(), s.spec.Carried()
	r.Reader, err = history.NewReader(history.Options{Workspace: o.Workspace, Replicas: o.Replicas, Host: o.Self.Host, Connect: o.Connect})
	return err
}
