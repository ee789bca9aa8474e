//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/hint"
)

// sshWait is how long ssh may take to end after Ctrl-C.
const sshWait = 3 * time.Second

// machineByURL is the destination of ssh, and its port ("" for none), of ssh://[USER@]HOST[:PORT].
func machineByURL(to string) (dest, port string, err error) {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "ssh" || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return "", "", cmdline.Usage("--to takes ssh://[USER@]HOST[:PORT], not %q", to)
	}
	dest = u.Hostname()
	if u.User != nil {
		if _, secret := u.User.Password(); secret {
			return "", "", cmdline.Usage("--to takes no password: ssh asks for it, or has a key")
		}
		dest = u.User.Username() + "@" + dest
	}
	if strings.HasPrefix(dest, "-") {
		return "", "", cmdline.Usage("--to: %q is no name of a machine", dest)
	}
	return dest, u.Port(), nil
}

// send has the workspace of the first argument, or the one here, hop to another machine. That
// one first makes its folder and asks what there is to agree to; only then does it end here.
func (p hopper) send(c *cli.Context) error {
	dest, port, err := machineByURL(c.String("to"))
	if err != nil {
		return err
	}
	w, err := p.open(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	if !w.hasBucket() {
		return fmt.Errorf("cannot send %s: it keeps nothing in a bucket", w.spec.ID())
	}
	for _, name := range []string{"remote-env", "secrets-file", "age-key-file", "profile"} {
		if c.IsSet(name) {
			return cmdline.Usage("--%s is not for another machine: give it there, to coltec hop", name)
		}
	}
	there := []string{"hop"}
	for _, name := range []string{"chown", "force", "yes"} {
		if c.Bool(name) {
			there = append(there, "--"+name)
		}
	}
	if c.IsSet("timeout") {
		there = append(there, "--timeout", c.Duration("timeout").String())
	}
	if c.IsSet("template") {
		there = append(there, "--template", hint.Word(c.String("template")))
	}
	for _, answer := range c.StringSlice("data") {
		there = append(there, "--data", hint.Word(answer))
	}
	there = append(there, hint.Word(w.spec.ID()))
	if dir := c.Args().Get(1); dir != "" {
		there = append(there, hint.Word(dir))
	}
	if err := p.over(c, dest, port, w.spec.ID(), append(slices.Clip(there), "--prepare")); err != nil || c.Bool("prepare") {
		return err
	}
	tools, err := devcontainer.Docker(p.environ)
	if err != nil {
		return err
	}
	ct, ok, err := tools.Of(c.Context, w.folder)
	if err != nil {
		return err
	}
	if ok && ct.Running {
		if err := p.descend(c.Context, w, tools, ct, flushPatience); err != nil {
			return err
		}
	}
	if err := p.over(c, dest, port, w.spec.ID(), there); err != nil {
		return hint.Wrap(err, "it is not running here any more: coltec hop --to goes on, coltec up %s takes it back", hint.Word(w.folder))
	}
	return nil
}

// over runs coltec on the other machine, with its lines as they come.
func (p hopper) over(c *cli.Context, dest, port, id string, words []string) error {
	args := []string{}
	if p.asks().Can() {
		args = append(args, "-t")
	}
	if port != "" {
		args = append(args, "-p", port)
	}
	args = append(args, "--", dest, "coltec "+strings.Join(words, " "))
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		return hint.Wrap(errors.New("cannot find ssh"), "install openssh-client")
	}
	cmd := exec.CommandContext(c.Context, ssh, args...)
	cmd.Env = p.environ
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = sshWait
	if in, ok := p.in.(*os.File); ok && p.asks().Can() {
		cmd.Stdin = in
	}
	out := lines{say: func(line string) { p.say("%s: %s", dest, line) }}
	cmd.Stdout, cmd.Stderr = &out, &out
	if p.asks().Can() { // a question is no whole line
		cmd.Stdout, cmd.Stderr = p.out, p.err
	}
	err = cmd.Run()
	var ended *exec.ExitError
	switch {
	case c.Context.Err() != nil:
		return fmt.Errorf("%s may go on with it: %w", dest, c.Context.Err())
	case err == nil:
		return nil
	case errors.As(err, &ended) && ended.ExitCode() == cmdline.CodeUntrusted:
		return cmdline.Exit{Code: cmdline.CodeUntrusted, Cause: hint.Wrap(fmt.Errorf("%s was not asked what it agrees to", dest), "agree there: ssh -t %s coltec hop --prepare %s", dest, hint.Word(id))}
	case errors.As(err, &ended) && ended.ExitCode() == 127:
		return hint.Wrap(fmt.Errorf("there is no coltec on %s", dest), "install it there, on the PATH of a shell that ssh starts")
	case errors.As(err, &ended) && ended.ExitCode() == 255:
		return fmt.Errorf("cannot reach %s by ssh", dest)
	}
	return fmt.Errorf("coltec on %s failed: %w", dest, err)
}
