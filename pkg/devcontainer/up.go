package devcontainer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/secret"
)

// Up says what to bring up.
type Up struct {
	Folder     string            // of the workspace, absolute
	Config     string            // path of devcontainer.json in it
	ConfigText []byte            // what the CLI takes for its text, whatever is written there meanwhile
	RemoteEnv  map[string]string // for hooks; no secrets
	Secrets    secret.Values     // for hooks; through a pipe
	Args       []string          // of the CLI, added to ours
	Say        func(line string) // is told how it goes; nil: nobody
}

// Mounting is the text of a devcontainer.json, JSON without comments, that says itself what
// the CLI would else find out by git: that top, the repository that a folder of the host is
// in, is mounted at /workspaces/NAME. What git says is up to files that the container can
// write. mounts reports whether top is mounted.
func Mounting(text []byte, folder, top string) (whole []byte, mounts bool, err error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(text, &keys); err != nil || keys == nil {
		return text, false, err
	}
	if _, compose := keys["dockerComposeFile"]; compose || top == folder {
		return text, false, nil
	}
	target := path.Join("/workspaces", filepath.Base(top))
	below, err := filepath.Rel(top, folder)
	if err != nil {
		return nil, false, err
	}
	_, placed := keys["workspaceFolder"]
	_, mounted := keys["workspaceMount"]
	if !placed {
		keys["workspaceFolder"] = quoted(path.Join(target, filepath.ToSlash(below)))
	}
	if !mounted {
		keys["workspaceMount"] = quoted(fmt.Sprintf("type=bind,%s,%s", field("source="+top), field("target="+target)))
	}
	if placed && mounted {
		return text, false, nil
	}
	whole, err = json.Marshal(keys)
	return whole, !mounted, err
}

func quoted(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a text
	}
	return b
}

// Result is what the CLI brought up.
type Result struct {
	ContainerID string `json:"containerId"`
	User        string `json:"remoteUser"`
	Folder      string `json:"remoteWorkspaceFolder"` // in the container

	Outcome     string `json:"outcome"`
	Message     string `json:"message"`
	Description string `json:"description"`
}

// secretsFD is where the CLI finds the secrets: a file would have to be removed,
// whatever happens.
const secretsFD = "/dev/fd/3"

// argv is the CLI's command line. text is the file that ConfigText is in.
func (u Up) argv(text string) []string {
	args := []string{
		"up", "--workspace-folder", u.Folder, "--log-format", "json",
		"--config", filepath.Join(u.Folder, u.Config), "--override-config", text,
		"--container-data-folder", DataFolder, "--mount-workspace-git-root", "false", // see Mounting
	}
	if len(u.Secrets) > 0 {
		args = append(args, "--secrets-file", secretsFD)
	}
	for _, name := range slices.Sorted(maps.Keys(u.RemoteEnv)) {
		args = append(args, "--remote-env", name+"="+u.RemoteEnv[name])
	}
	return append(args, u.Args...)
}

// clientArg is the client as the CLI runs it.
func (t Tools) clientArg() string {
	if variable(t.Environ, ClientVar) == "" && t.Client() == "docker" {
		return "docker" // found by the CLI as it was by us
	}
	return t.Docker
}

// args are those of the CLI that name the client, where it is not the one that it takes.
func (t Tools) args() []string {
	if c := t.clientArg(); c != "docker" {
		return []string{"--docker-path", c}
	}
	return nil
}

// Up brings the container of a folder up and waits for its hooks. A container
// may be up in spite of an error: a hook failed. Then the result says which.
func (t Tools) Up(ctx context.Context, u Up) (Result, error) {
	// The CLI names its temporary files by the millisecond, in one directory for all:
	// two at once take each other's, and every build leaves its context behind.
	temp, err := os.MkdirTemp("", "coltec-up-")
	if err != nil {
		return Result{}, fmt.Errorf("cannot run the dev container CLI: %w", err)
	}
	defer os.RemoveAll(temp)
	text := filepath.Join(temp, "devcontainer.json")
	if err := os.WriteFile(text, u.ConfigText, 0o600); err != nil {
		return Result{}, fmt.Errorf("cannot run the dev container CLI: %w", err)
	}
	cmd := t.command(ctx, t.CLI, append(u.argv(text), t.args()...)...)
	cmd.Env = append(slices.Clone(t.Environ), "TMPDIR="+temp)
	var feed func()
	if len(u.Secrets) > 0 {
		r, w, err := os.Pipe()
		if err != nil {
			return Result{}, err
		}
		defer r.Close()
		cmd.ExtraFiles = []*os.File{r}
		feed = func() { // the pipe may be smaller than the secrets
			_, _ = w.Write(Flat(u.Secrets)) // the CLI says what it missed
			w.Close()
		}
	}
	// Wait copies both, so that who still holds them when the CLI has ended holds up nothing.
	logs, errs := io.Pipe()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, errs
	if err := cmd.Start(); err != nil {
		return Result{}, fmt.Errorf("cannot run the dev container CLI: %w", err)
	}
	if feed != nil {
		go feed()
	}
	talk, said := &talk{say: u.Say, client: t.clientArg()}, make(chan struct{})
	go func() {
		defer close(said)
		talk.follow(logs)
	}()
	err = cmd.Wait()
	errs.Close()
	<-said
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // a program that a hook left running has its output still
	}
	return result(out.Bytes(), err, talk.last)
}

// result reads the CLI's answer, which is its last line.
func result(out []byte, err error, last []string) (Result, error) {
	var res Result
	if json.Unmarshal([]byte(lastLine(string(out))), &res) != nil && err == nil {
		err = errors.New("it printed no answer")
	}
	if res.Outcome == "success" && err == nil {
		return res, nil
	}
	text := firstOf(res.Description, res.Message)
	if text == "" && err != nil {
		text = err.Error()
	}
	err = fmt.Errorf("devcontainer up: %s", text)
	if len(last) > 0 {
		err = hint.Wrap(err, "its last words were:\n  %s", strings.Join(last, "\n  "))
	}
	if noNode(strings.Join(last, "\n")) {
		err = hint.Wrap(err, "%s", getNode)
	}
	return res, err
}

// getNode is the next step where the dev container CLI has nothing to run on.
const getNode = "the dev container CLI runs on Node.js, which is not on PATH: install it (https://nodejs.org), or add where it is to PATH"

// noNode reports whether a shell or env says that it cannot find what the CLI runs on.
func noNode(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "node") && (strings.Contains(text, "env:") || strings.Contains(text, "not found")) && strings.Contains(text, "no such file") ||
		strings.Contains(text, "node: not found")
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// entry is one line of the CLI's log.
type entry struct {
	Type    string `json:"type"`
	Level   int    `json:"level"`
	Text    string `json:"text"`
	Name    string `json:"name"`
	Status  string `json:"status"`
	Detail  string `json:"stepDetail"`
	Channel string `json:"channel"`
}

// talk makes a few lines for people of the CLI's log.
type talk struct {
	say    func(string)
	client string // as the CLI runs it
	told   string
	doing  []string // what it began and did not end
	last   []string // what was printed last, for an error
}

const (
	// logLine bounds a line of the CLI's log: builds print a lot in one.
	logLine = 4 << 20
	// lastLines are kept for an error.
	lastLines = 12
	// doingMost bounds what it is about at once.
	doingMost = 100
	// silence is for how long the CLI prints nothing before a person is told what it waits for:
	// an image that is unpacked takes that long. It is ended by nobody else than that person.
	silence = 3 * time.Minute
	// silenceText bounds what is said of that, in bytes.
	silenceText = 200
)

// follow reads the log to its end.
func (t *talk) follow(r io.Reader) {
	all := make(chan []byte)
	go func() {
		defer close(all)
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 64<<10), logLine)
		for lines.Scan() {
			all <- bytes.Clone(lines.Bytes())
		}
		_, _ = io.Copy(io.Discard, r) // a longer line must not stop the CLI
	}()
	last, wait := time.Now(), silence
	quiet := time.NewTimer(wait)
	defer quiet.Stop()
	for {
		select {
		case line, more := <-all:
			if !more {
				return
			}
			t.line(line)
			last, wait = time.Now(), silence
		case <-quiet.C:
			t.silent(time.Since(last))
			wait *= 2
		}
		quiet.Reset(wait)
	}
}

func (t *talk) line(line []byte) {
	var e entry
	if json.Unmarshal(line, &e) != nil {
		e = entry{Type: "raw", Level: 3, Text: string(line)}
	}
	t.entry(e)
}

// silent says what the CLI waits for.
func (t *talk) silent(d time.Duration) {
	what := ""
	switch {
	case len(t.doing) > 0:
		what = ": it waits for " + t.doing[len(t.doing)-1]
	case len(t.last) > 0:
		what = ": the last was " + t.last[len(t.last)-1]
	}
	if what = oneLine(what); len(what) > silenceText {
		what = strings.ToValidUTF8(what[:silenceText], "") + "…"
	}
	t.tell(fmt.Sprintf("note: the dev container CLI has printed nothing for %s%s; it goes on, and Ctrl-C ends it", hint.Count(int(d.Minutes()), "minute", "minutes"), what))
}

// Steps of the CLI, by how the log names them, with CLIENT for the client's name or path.
var steps = []struct {
	prefix, text string
}{
	{"Run: CLIENT pull", "pulling the image"},
	{"Run: CLIENT build", "building the image"},
	{"Run: CLIENT buildx build", "building the image"},
	{"Starting container", "starting the container"},
	{"Run: CLIENT start", "starting the container"},
}

// colors are escape sequences, which are for a terminal of the CLI's own.
var colors = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

func (t *talk) entry(e entry) {
	switch e.Type {
	case "stop":
		if i := slices.Index(t.doing, e.Text); i >= 0 {
			t.doing = slices.Delete(t.doing, i, i+1)
		}
	case "start":
		if len(t.doing) < doingMost {
			t.doing = append(t.doing, e.Text)
		}
		for _, s := range steps {
			if strings.HasPrefix(e.Text, strings.ReplaceAll(s.prefix, "CLIENT", t.client)) {
				t.tell(s.text)
			}
		}
	case "progress":
		text := strings.TrimSuffix(strings.TrimPrefix(e.Name, "Running "), "...")
		switch e.Status {
		case "running":
			t.tell(text + ": " + oneLine(e.Detail))
		case "failed":
			t.tell(text + " failed")
		}
	case "raw", "text":
		if e.Level < 3 {
			return
		}
		for line := range strings.Lines(colors.ReplaceAllString(e.Text, "")) {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			t.last = append(t.last, line)
			if len(t.last) > lastLines {
				t.last = t.last[1:]
			}
			if e.Channel == "postCreate" && !strings.HasPrefix(line, "Running the ") {
				t.tell("  " + line)
			}
		}
	}
}

// tell says a line once in a row.
func (t *talk) tell(line string) {
	if t.say != nil && line != t.told {
		t.told = line
		t.say(line)
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
