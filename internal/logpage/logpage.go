// Package logpage shows the logs of a workspace. Both programs have a verb that does.
package logpage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/logfile"
)

// Show writes the logs in a directory to w: that of a unit, or all for "". c says how.
func Show(c *cli.Context, dir, unit string, w io.Writer) error {
	p := page{dir, w}
	names, err := p.names(unit)
	if err != nil {
		return err
	}
	if c.Bool("follow") {
		ctx, stop := cmdline.WhileHeard(c.Context, w)
		defer stop()
		return p.follow(ctx, names, c.Int("lines"))
	}
	return p.show(names, c.Int("lines"))
}

// page is a directory of logs, and who reads them.
type page struct {
	dir string
	w   io.Writer
}

// names are the logs to show.
func (p page) names(unit string) ([]string, error) {
	files, err := os.ReadDir(p.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list the logs: %w", err)
	}
	var names []string
	for _, f := range files {
		if name, is := strings.CutSuffix(f.Name(), ".log"); is && name != "" && !isBackup(name) {
			names = append(names, name)
		}
	}
	switch {
	case unit == "":
		return names, nil
	case slices.Contains(names, unit):
		return []string{unit}, nil
	case len(names) == 0:
		return nil, hint.Wrap(fmt.Errorf("no log of %q", unit), "there are no logs in %s yet", anchor.Plain(p.dir))
	}
	return nil, hint.Wrap(fmt.Errorf("no log of %q", unit), "there are logs of %s", strings.Join(names, ", "))
}

// isBackup recognizes a rotated log: name-2006-01-02T15-04-05.000.
func isBackup(name string) bool {
	const stamp = "-2006-01-02T15-04-05.000"
	if len(name) <= len(stamp) {
		return false
	}
	tail := name[len(name)-len(stamp):]
	return tail[0] == '-' && tail[11] == 'T' && tail[20] == '.'
}

// show writes the ends of the logs, merged by their stamps.
func (p page) show(names []string, lines int) error {
	var all []string
	for _, name := range names {
		var b bytes.Buffer
		if err := logfile.Read(filepath.Join(p.dir, name+".log"), lines, &b); err != nil {
			return fmt.Errorf("cannot read the log of %q: %w", name, err)
		}
		for line := range strings.Lines(b.String()) {
			all = append(all, prefix(names, name)+strings.TrimSuffix(line, "\n"))
		}
	}
	skip := len(prefix(names, ""))
	if len(names) > 1 { // the prefixes are as long as each other, the stamps sort
		slices.SortStableFunc(all, func(a, b string) int { return strings.Compare(a[skip:], b[skip:]) })
	}
	for _, line := range all {
		if _, err := fmt.Fprintln(p.w, p.clean(line)); err != nil {
			return err
		}
	}
	return nil
}

// prefix says whose line it is, when there are several.
func prefix(names []string, name string) string {
	if len(names) < 2 {
		return ""
	}
	width := 0
	for _, n := range names {
		width = max(width, len(n))
	}
	return fmt.Sprintf("%-*s | ", width, name)
}

// clean keeps control characters from a terminal; a pipe gets what is there.
func (p page) clean(text string) string {
	if cmdline.IsTerminal(p.w) {
		return cmdline.Plain(text)
	}
	return text
}

// follow shows the ends and what is added, until Ctrl-C.
func (p page) follow(ctx context.Context, names []string, lines int) error {
	var mu sync.Mutex
	errs := make(chan error, len(names))
	for _, name := range names {
		w := writerFunc(func(b []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			for line := range strings.Lines(string(b)) {
				if _, err := io.WriteString(p.w, prefix(names, name)+p.clean(line)); err != nil {
					return 0, err
				}
			}
			return len(b), nil
		})
		go func() { errs <- logfile.Follow(ctx, filepath.Join(p.dir, name+".log"), lines, w) }()
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case err := <-errs:
		if err == nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("cannot follow the log: %w", err)
	}
}

// writerFunc is a function as a writer.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
