package devcontainer

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A dev container CLI that waited for something that does not come said nothing, for ever: a
// person is told what it waits for, now and then, and it goes on.
func TestTalkOfSilence(t *testing.T) {
	for name, tt := range map[string]struct {
		lines []string
		want  string
	}{
		"nothing was said":  {nil, "has printed nothing for 3 minutes; it goes on"},
		"a build":           {[]string{`{"type":"start","text":"Run: docker build -t x ."}`}, "it waits for Run: docker build -t x .; it goes on"},
		"a build in one":    {[]string{`{"type":"start","text":"Resolving"}`, `{"type":"start","text":"Run: docker pull y"}`}, "it waits for Run: docker pull y;"},
		"a build that went": {[]string{`{"type":"start","text":"Run: docker build"}`, `{"type":"stop","text":"Run: docker build"}`, `{"type":"raw","level":3,"text":"built\n"}`}, "the last was built;"},
		"no JSON":           {[]string{"what is this"}, "the last was what is this;"},
		"a long one":        {[]string{`{"type":"start","text":"` + strings.Repeat("ä", 300) + `"}`}, "…; it goes on"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var said []string
				r, w := io.Pipe()
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					(&talk{say: func(line string) { said = append(said, line) }, client: "docker"}).follow(r)
				}()
				for _, line := range tt.lines {
					fmt.Fprintln(w, line)
				}
				time.Sleep(silence - time.Second)
				synctest.Wait()
				before := len(said)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if len(said) != before+1 || !strings.Contains(said[before], tt.want) {
					t.Fatalf("after three minutes it says %q", said[before:])
				}
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				if n := len(said) - before; n < 3 || n > 7 {
					t.Errorf("in two hours it says %d times %q", n, said[before:])
				}
				again := len(said)
				fmt.Fprintln(w, `{"type":"raw","level":3,"text":"it goes on"}`)
				time.Sleep(silence - time.Second)
				synctest.Wait()
				if len(said) != again {
					t.Errorf("it says %q of a CLI that goes on", said[again:])
				}
				w.Close()
				<-ended
			})
		})
	}
}

// A program that a hook left running held the CLI's output, and so coltec up, for ever; and
// Ctrl-C did not end that.
func TestUpIsHeldUpByNobody(t *testing.T) {
	for name, tt := range map[string]struct {
		cli    string
		cancel bool
	}{
		"it ends, another holds its log":  {"setsid sleep 1000 & echo $! >held; echo '{\"outcome\":\"success\",\"containerId\":\"c\"}'", false},
		"it waits, and another with it":   {"setsid sleep 1000 & echo $! >held; echo '{\"type\":\"progress\",\"name\":\"begun\",\"status\":\"running\"}' >&2; exec sleep 1000", true},
		"it waits, and hears no TERM":     {"trap '' TERM; echo '{\"type\":\"progress\",\"name\":\"begun\",\"status\":\"running\"}' >&2; sleep 1000 & echo $! >held; wait", true},
		"it waits":                        {"echo $$ >held; echo '{\"type\":\"progress\",\"name\":\"begun\",\"status\":\"running\"}' >&2; exec sleep 1000", true},
		"it ends, and its output is open": {"setsid sleep 1000 >&1 2>&1 & echo $! >held; echo '{\"outcome\":\"success\",\"containerId\":\"c\"}'", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cli := filepath.Join(dir, "devcontainer")
			if err := os.WriteFile(cli, []byte("#!/bin/sh\ncd "+dir+"\n"+tt.cli+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { endHeld(t, filepath.Join(dir, "held")) })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			tools := Tools{CLI: cli, Environ: os.Environ()}
			done := make(chan error, 1)
			go func() {
				_, err := tools.Up(ctx, Up{Folder: dir, ConfigText: []byte("{}"), Say: func(line string) {
					if tt.cancel && strings.Contains(line, "begun") {
						cancel()
					}
				}})
				done <- err
			}()
			select {
			case err := <-done:
				if (err != nil) != tt.cancel {
					t.Error(err)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("it does not return")
			}
		})
	}
}

// endHeld ends the program whose number is in a file.
func endHeld(t *testing.T, file string) {
	body, err := os.ReadFile(file)
	pid, bad := strconv.Atoi(strings.TrimSpace(string(body)))
	if err != nil || bad != nil {
		t.Errorf("which program is left is not known: %v, %v", err, bad)
		return
	}
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill() // it may have ended
	}
}
