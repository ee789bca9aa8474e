package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/logfile"
	"github.com/coltec/coltec/pkg/secret"
)

const (
	// logName is coltecd's own log.
	logName = "coltecd"
	// CrashName takes what the Go runtime prints when it gives up; nobody reads
	// the standard error of a daemon.
	CrashName = "coltecd.crash"
)

// logbook is where coltecd and its units write.
type logbook struct {
	*slog.Logger                  // coltecd's own log
	dir          string           // of all of them
	files        *logfile.Logs    // by unit, and coltecd's own
	redactor     *secret.Redactor // of what none of them may hold
	fault        error            // why nothing can be kept in dir; nil: it can
}

// openLogbook makes the log directory and coltecd's own log. A directory that
// cannot be written to costs the logs, not the workspace: sinks swallow. foreground
// shows the own log on standard error too.
func openLogbook(o Options, dir string, foreground bool) (*logbook, error) {
	level, err := logLevel(o.env("COLTEC_LOG_LEVEL"))
	if err != nil {
		return nil, err
	}
	kept := o.Spec.Logs
	format, err := logFormat(o.env("COLTEC_LOG_FORMAT"), kept.Format)
	if err != nil {
		return nil, err
	}
	l := &logbook{dir: dir, fault: makeLogDir(dir, o.folder()), redactor: &secret.Redactor{}}
	l.redactor.Set(secretValues(o.Spec, o.Environ))
	l.files = logfile.New(logfile.Options{
		Dir: dir, Within: o.folder(), MaxSizeMB: max(1, int(kept.MaxSize>>20)), MaxBackups: kept.MaxBackups,
		MaxAgeDays: max(1, int(kept.MaxAge.Hours()/24)), Compress: kept.Compress,
		Format: format, Redactor: l.redactor,
	})
	var shown io.Writer
	if foreground {
		shown = redacted{o.Err, l.redactor}
	}
	l.Logger = slog.New(l.handler(level, format, shown))
	return l, nil
}

// makeLogDir makes the directory of the logs, and says why none can be kept there.
func makeLogDir(dir, folder string) error {
	f, err := anchor.Open(dir, folder, 0o755)
	if err != nil {
		return err
	}
	return f.Close()
}

// handler writes coltecd's own log, and to shown, if that is not nil.
func (l *logbook) handler(level slog.Level, format logfile.Format, shown io.Writer) slog.Handler {
	var kept slog.Handler = slog.NewTextHandler(l.files.Sink(logName), &slog.HandlerOptions{Level: level, ReplaceAttr: withoutTime})
	if format == logfile.JSON { // its lines are objects already, with stamps of their own
		kept = slog.NewJSONHandler(l.files.Bare(logName), &slog.HandlerOptions{Level: level, ReplaceAttr: stampTime}).
			WithAttrs([]slog.Attr{slog.String("unit", logName)})
	}
	if shown == nil {
		return kept
	}
	if format == logfile.JSON {
		return slog.NewMultiHandler(kept, slog.NewJSONHandler(shown, &slog.HandlerOptions{Level: level, ReplaceAttr: plain}))
	}
	return slog.NewMultiHandler(kept, slog.NewTextHandler(shown, &slog.HandlerOptions{Level: level, ReplaceAttr: plain}))
}

// redacted writes without what is secret.
type redacted struct {
	io.Writer
	by *secret.Redactor
}

func (r redacted) Write(b []byte) (int, error) {
	_, err := r.Writer.Write(r.by.Redact(b))
	return len(b), err
}

// withoutTime leaves the time to the sink, which stamps every line.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return plain(groups, a)
}

// plain names the directories of errors that are reached by a descriptor.
func plain(_ []string, a slog.Attr) slog.Attr {
	if err, ok := a.Value.Any().(error); ok {
		a.Value = slog.StringValue(anchor.Plain(err.Error()))
	}
	return a
}

// stampTime writes the time as sinks do, so that lines of several logs sort.
func stampTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.String(a.Key, logfile.Stamp(a.Value.Time()))
	}
	return plain(groups, a)
}

func logLevel(name string) (slog.Level, error) {
	var level slog.Level
	if name == "" {
		return slog.LevelInfo, nil
	}
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return 0, hint.Wrap(cmdline.Usage("cannot use COLTEC_LOG_LEVEL %q", name), "set it to debug, info, warn or error")
	}
	return level, nil
}

func logFormat(name, fallback string) (logfile.Format, error) {
	if name == "" {
		name = fallback
	}
	switch f := logfile.Format(strings.ToLower(name)); f {
	case logfile.Text, logfile.JSON:
		return f, nil
	}
	return "", hint.Wrap(cmdline.Usage("cannot use COLTEC_LOG_FORMAT %q", name), "set it to text or json")
}

// attention is about logs that are not kept, coltecd's own or a unit's, and about what
// is none of them any more.
func (l *logbook) attention() []string {
	var out []string
	lost, err := l.files.Lost()
	what := hint.Count(int(lost), "line is lost", "lines are lost")
	if err == nil {
		err, what = l.fault, "logs are not kept"
	}
	if err != nil {
		out = append(out, fmt.Sprintf("%s (%s): make %s writable, with room on its disk, or set COLTEC_LOG_DIR", what, cmdline.OneLine(err.Error()), l.dir))
	}
	if aside := l.files.Aside(); len(aside) > 0 {
		out = append(out, fmt.Sprintf("%s moved out of the way of the logs, as others can write there or what is written goes elsewhere too: look at %q, and remove it", hint.Count(len(aside), "file or folder was", "files or folders were"), aside[0]))
	}
	return out
}

// CrashFile is opened for the standard error of a daemon; /dev/null will do.
func (o Options) CrashFile() (*os.File, error) {
	dir, err := o.LogDir()
	if err != nil {
		return nil, err
	}
	if f, err := logfile.OpenAppend(dir, o.folder(), CrashName); err == nil {
		return f, nil
	}
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, nil // the child gets /dev/null from os/exec
	}
	return f, nil
}

// guarded makes an error of a panic; its trace goes to the log alone.
func guarded(log *slog.Logger, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			log.Error("internal error", "panic", v, "trace", string(debug.Stack()))
			err = cmdline.Internal(v)
		}
	}()
	return f()
}
