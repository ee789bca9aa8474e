package gitstate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coltec/coltec/pkg/anchor"
)

// runner runs git for one repository, in a scratch git directory of ours that
// borrows objects: nothing of the user's is written or locked, and nothing counts
// that the user, or who else wrote the repository, configured: no filter, hook,
// monitor, helper or remote.
type runner struct {
	git   string
	dir   string   // the scratch git directory
	index string   // that it reads; "" for the one in dir
	env   []string // beside what all have
	told  func(done, total int64)
	heard func(line string) // each line of its standard error; may be nil
}

// killAfter is how long a git that was told to end may take.
const killAfter = 3 * time.Second

// unarmed are the settings by which git starts a program, and what makes each start none.
// They are above those of the scratch directory.
var unarmed = [][2]string{
	{"core.alternateRefsCommand", "false"}, {"core.askPass", "false"}, {"core.editor", "false"},
	{"core.fsmonitor", "false"}, {"core.gitProxy", "false"}, {"core.hooksPath", "/dev/null"},
	{"core.pager", "cat"}, {"core.sshCommand", "false"}, {"core.attributesFile", "/dev/null"},
	{"credential.helper", ""}, {"commit.gpgSign", "false"}, {"diff.external", "false"},
	{"gpg.program", "false"}, {"gpg.ssh.program", "false"}, {"gpg.x509.program", "false"},
	{"gc.auto", "0"}, {"maintenance.auto", "false"}, {"protocol.allow", "never"},
	{"uploadpack.packObjectsHook", "false"},
}

// cleanEnv keeps what is set for people and other repositories away from git.
func cleanEnv() []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1",
		"GIT_OPTIONAL_LOCKS=0", "GIT_NO_REPLACE_OBJECTS=1", "GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1",
		"GIT_ALLOW_PROTOCOL=", "GIT_CONFIG_COUNT=" + strconv.Itoa(len(unarmed)),
	}
	for i, set := range unarmed {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, set[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, set[1]))
	}
	return env
}

// scratchGit makes a scratch git directory in the stage that borrows objects from
// others. format is the object format, "sha1" or "sha256".
func (k *Keeper) scratchGit(name, format string, objects ...string) (*runner, error) {
	git, err := Git()
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if strings.ContainsAny(o, "\n\"#") {
			return nil, refused("its path has a character that git's list of alternates cannot hold")
		}
	}
	dir := filepath.Join(k.Stage(), name)
	if err := k.area().RemoveAll(dir); err != nil {
		return nil, err
	}
	config := "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = " + format + "\n" +
		"[gc]\n\tauto = 0\n[pack]\n\tthreads = 1\n\twindowMemory = 64m\n\tdeltaCacheSize = 32m\n\twriteReverseIndex = false\n"
	err = k.area().Mkdir(filepath.Join(dir, "refs"))
	for path, body := range map[string]string{
		"HEAD": "ref: refs/heads/none\n", "config": config, "objects/info/alternates": strings.Join(objects, "\n") + "\n",
	} {
		err = errors.Join(err, k.area().Write(filepath.Join(dir, path), []byte(body), 0o600))
	}
	return &runner{git: git, dir: dir}, err
}

// command is git in a process group of its own. It enters its directory by the way that
// this process has to it, and what is to be written it reaches from there.
func (r *runner) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, r.git, args...)
	cmd.Dir = r.dir
	cmd.Env = append(append(cleanEnv(), "GIT_DIR=."), r.env...)
	if r.index != "" {
		cmd.Env = append(cmd.Env, "GIT_INDEX_FILE="+r.way(r.index))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	return cmd
}

// way is how git reaches a file. A descriptor of this process is not one of git's, but its
// directory is below the same one.
func (r *runner) way(file string) string {
	here, _, held := anchor.Number(r.dir)
	if there, _, through := anchor.Number(file); !held || !through || here != there {
		return file
	}
	way, err := filepath.Rel(r.dir, file)
	if err != nil {
		return file
	}
	return way
}

// run runs git to its end. lines, if any, is given each line of its output.
func (r *runner) run(ctx context.Context, stdin io.Reader, lines func(string) error, args ...string) error {
	cmd := r.command(ctx, args...)
	cmd.Stdin = stdin
	talk := &talkback{told: r.told, heard: r.heard}
	cmd.Stderr = talk
	out := &splitter{line: lines}
	cmd.Stdout = out
	err := cmd.Start()
	if err == nil {
		watched := watch(cmd.Process.Pid, func() int64 { return talk.seen.Load() + out.seen.Load() })
		err = cmd.Wait()
		if watched() {
			err = errStalled
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil {
		if err := out.end(); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("git %s: %w%s", verb(args), err, talk.words())
	}
	return nil
}

// verb is what git was asked to do.
func verb(args []string) string {
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-c":
			i++
		case !strings.HasPrefix(args[i], "-"):
			return args[i]
		}
	}
	return ""
}

// nowhere is a git that looks at no repository.
func nowhere() (*runner, error) {
	git, err := Git()
	return &runner{git: git, dir: "/", env: []string{"GIT_DIR=/nonexistent"}}, err
}

// settings reads a file of configuration, one "key=value" a line, as it stands: what it
// includes lies elsewhere.
func settings(ctx context.Context, file string, line func(string) error) error {
	body, err := readFile(file, textMost)
	if err != nil {
		return err
	}
	r, err := nowhere()
	if err != nil {
		return err
	}
	return r.run(ctx, bytes.NewReader(body), line, "config", "--file", "-", "--no-includes", "--list")
}

// splitter cuts an output into lines.
type splitter struct {
	seen atomic.Int64 // bytes
	line func(string) error
	rest []byte
	err  error
}

func (s *splitter) Write(p []byte) (int, error) {
	s.seen.Add(int64(len(p)))
	if s.line == nil {
		return len(p), nil
	}
	s.rest = append(s.rest, p...)
	for {
		i := bytes.IndexByte(s.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		if s.err == nil {
			s.err = s.line(string(s.rest[:i]))
		}
		s.rest = s.rest[i+1:]
	}
}

func (s *splitter) end() error {
	if s.err == nil && s.line != nil && len(s.rest) > 0 {
		s.err = s.line(string(s.rest))
	}
	return s.err
}

// talkback reads git's standard error: its progress, and its last words.
type talkback struct {
	seen  atomic.Int64 // bytes
	told  func(done, total int64)
	heard func(line string)
	rest  []byte
	last  []string
}

var counted = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:Writing|Indexing|Compressing) objects: +\d+% \((\d+)/(\d+)\)`)
})

func (t *talkback) Write(p []byte) (int, error) {
	t.seen.Add(int64(len(p)))
	t.rest = append(t.rest, p...)
	for {
		i := bytes.IndexAny(t.rest, "\r\n")
		if i < 0 {
			return len(p), nil
		}
		t.line(strings.TrimSpace(string(t.rest[:i])))
		t.rest = t.rest[i+1:]
	}
}

func (t *talkback) line(text string) {
	if m := counted().FindStringSubmatch(text); m != nil {
		done, _ := strconv.ParseInt(m[1], 10, 64)
		total, _ := strconv.ParseInt(m[2], 10, 64)
		if t.told != nil {
			t.told(done, total)
		}
		return
	}
	if t.heard != nil {
		t.heard(text)
	}
	if text != "" && len(t.last) < 3 {
		t.last = append(t.last, text)
	}
}

func (t *talkback) words() string {
	t.line(strings.TrimSpace(string(t.rest)))
	if len(t.last) == 0 {
		return ""
	}
	return ": " + strings.Join(t.last, "; ")
}

// existing says which of some objects the runner can see. One name a line goes
// in; what git calls missing is left out.
func (r *runner) existing(ctx context.Context, oids []string) (map[string]bool, error) {
	there := map[string]bool{}
	if len(oids) == 0 {
		return there, nil
	}
	err := r.run(ctx, strings.NewReader(strings.Join(oids, "\n")+"\n"), func(line string) error {
		if oid, rest, ok := strings.Cut(line, " "); ok && rest != "missing" && rest != "ambiguous" {
			there[oid] = true
		}
		return nil
	}, "cat-file", "--batch-check", "--buffer")
	return there, err
}
