package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/console"
	"github.com/coltec/coltec/pkg/fleet"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/order"
	"github.com/coltec/coltec/pkg/status"
)

// uiPort is where the page is unless told, so that a browser knows it again.
const uiPort = 7444

func cmdUI(p *program) *cli.Command {
	return &cli.Command{
		Name:      "ui",
		Usage:     "show the workspaces of all machines on a page in a browser, on this machine alone",
		ArgsUsage: "[DIR]",
		Description: `It prints the address of the page, which has a token in it that only who started it knows, and runs until
Ctrl-C. The page only shows, unless --allow-actions lets its buttons do what the verbs of the same names do.

DIR is the workspace whose bucket is asked (default: the current folder, or the first one here whose secrets are at hand).`,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "allow-actions", Usage: "let the buttons of the page do things"},
			&cli.BoolFlag{Name: "open", Usage: "start a browser with the page"},
			&cli.IntFlag{Name: "port", Usage: "be at `PORT`; 0: at any that is free", Value: uiPort},
			&cli.StringFlag{Name: "listen", Usage: "be at `ADDRESS`: 127.0.0.1, ::1 or localhost", Value: "127.0.0.1"},
			&cli.BoolFlag{Name: "local", Usage: "ask no bucket"},
			&cli.BoolFlag{Name: "json", Usage: "print the address in JSON"},
		}, secretFlags()...),
		Action: func(c *cli.Context) error { return webpage{p}.ui(c) },
	}
}

// webpage shows workspaces in a browser.
type webpage struct{ *program }

func (p webpage) ui(c *cli.Context) error {
	l := look{local: c.Bool("local"), every: lookedAtEvery, flags: c}
	if c.Args().Present() {
		w, err := p.open(c.Context, c.Args().First())
		if err != nil {
			return err
		}
		l.folder = w.folder
	}
	if _, err := p.secretsFile(c); err != nil { // once, and before several ask for it
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot know which program this is: %w", err)
	}
	listener, err := p.listen(c)
	if err != nil {
		return err
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	token := console.NewToken()
	page, err := console.New(c.Context, console.Settings{
		Version: release(), Token: token, Port: port, Actions: c.Bool("allow-actions"), Orders: order.All(),
		Follow: p.follow(l),
		Carry:  carrier{self: self, environ: p.environ, more: func(verb string) []string { return p.secretArgs(c, verb) }}.carry,
		Mark:   markOf,
	})
	if err != nil {
		return err
	}
	address := fmt.Sprintf("http://%s/#token=%s", listener.Addr(), token)
	if err := p.sayWhere(c, address, port, token); err != nil {
		return err
	}
	if c.Bool("open") {
		defer p.browse(address)()
	}
	return serve(c.Context, listener, page.Handler())
}

// follow has the page told what is known, as ls --watch shows it.
func (p webpage) follow(l look) func(context.Context, func(console.View)) {
	return func(ctx context.Context, tell func(console.View)) {
		err := lister(p).watch(ctx, l, func(rows []fleet.Row, notes []string, part bool) error {
			tell(console.View{Rows: rows, Notes: notes, Part: part})
			return nil
		})
		if ctx.Err() == nil {
			tell(console.View{Err: err})
		}
	}
}

// listen takes the port. One that nobody named may be another's: any free one does then.
func (p webpage) listen(c *cli.Context) (net.Listener, error) {
	host := c.String("listen")
	if host == "localhost" {
		host = "127.0.0.1" // what the name stands for is not ours to decide
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() || ip.Is4In6() || ip.Zone() != "" || ip.Is4() && host != "127.0.0.1" {
		return nil, hint.Wrap(cmdline.Usage("--listen takes 127.0.0.1, ::1 or localhost, not %q: the page is for this machine alone", c.String("listen")),
			"from another machine, ssh -L %[1]d:127.0.0.1:%[1]d HOST leads to it", cmp.Or(c.Int("port"), uiPort))
	}
	if n := c.Int("port"); n < 0 || n > 65535 {
		return nil, cmdline.Usage("--port takes 0 to 65535, not %d", n)
	}
	at := func(port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
	l, err := net.Listen("tcp", at(c.Int("port")))
	if err == nil {
		return l, nil
	}
	if c.IsSet("port") {
		return nil, hint.Wrap(fmt.Errorf("cannot be at %s: %w", at(c.Int("port")), err), "another coltec ui may be there; --port 0 takes one that is free")
	}
	if l, second := net.Listen("tcp", at(0)); second == nil {
		p.say("note: another program, perhaps another coltec ui, is at %s", at(c.Int("port")))
		return l, nil
	}
	return nil, fmt.Errorf("cannot be at %s: %w", at(c.Int("port")), err)
}

// sayWhere prints the address of the page.
func (p webpage) sayWhere(c *cli.Context, address string, port int, token string) error {
	if c.Bool("json") {
		return p.printJSON(map[string]any{"url": address, "port": port, "token": token, "actions": c.Bool("allow-actions")})
	}
	if _, err := fmt.Fprintln(p.out, address); err != nil {
		return err
	}
	if !c.Bool("allow-actions") {
		p.say("note: the page only shows; --allow-actions lets its buttons do things")
	}
	p.say("Ctrl-C ends it")
	return nil
}

// secretArgs are the flags about secrets that this call was given, for a verb that takes them.
func (p webpage) secretArgs(c *cli.Context, verb string) (args []string) {
	cmd := c.App.Command(verb)
	if cmd == nil {
		return nil
	}
	for _, f := range secretFlags() {
		name := f.Names()[0]
		takes := slices.ContainsFunc(cmd.Flags, func(has cli.Flag) bool { return slices.Contains(has.Names(), name) })
		if takes && c.IsSet(name) {
			args = append(args, "--"+name+"="+c.String(name))
		}
	}
	return args
}

// markOf says what the logs of a workspace in a folder here are like. It is "" where its coltecd
// does not write them there, as far as one can see: then they have to be asked for.
func markOf(order, folder string) string {
	if order != "logs" || !filepath.IsAbs(folder) { // a workspace of the bucket alone has a name, and no folder
		return ""
	}
	root, err := os.OpenRoot(folder) // a link to elsewhere is refused
	if err != nil {
		return ""
	}
	defer root.Close()
	if info, err := root.Lstat(logsName + "/" + status.FileName); err != nil || time.Since(info.ModTime()) > markYouth {
		return ""
	}
	dir, err := root.OpenFile(logsName, os.O_RDONLY|syscall.O_NONBLOCK, 0) // what is a pipe by now is not waited for
	if err != nil {
		return ""
	}
	defer dir.Close()
	names, err := dir.Readdirnames(logsMost)
	if err != nil || len(names) == logsMost {
		return ""
	}
	var mark strings.Builder
	for _, name := range slices.Sorted(slices.Values(names)) {
		if info, err := root.Lstat(logsName + "/" + name); err == nil && path.Ext(name) == ".log" {
			fmt.Fprintf(&mark, "%q %d %d\n", name, info.Size(), info.ModTime().UnixNano())
		}
	}
	return mark.String()
}

const (
	// markYouth is how old the status file beside the logs may be: a coltecd that lives writes it
	// once a minute at least.
	markYouth = 3 * time.Minute
	// logsMost is how many files are looked at: units have a few each.
	logsMost = 10000
)

// closing is how long what is under way has to end when the page ends.
const closing = 15 * time.Second

// serve answers until ctx ends, and what is done then has ended.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{
		Handler: h, BaseContext: func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: log.New(io.Discard, "", 0), // of browsers that go away
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("the page cannot be served any more: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	return errors.Join(s.Shutdown(last), ctx.Err())
}

// browse starts a browser with the page. The address, which has the token in it, is in a file that
// its owner alone may read: other users of this machine see the words of a command. The browser is
// the user's: it outlives this program, and Ctrl-C is not for it. forget removes that file.
func (p webpage) browse(address string) (forget func()) {
	forget = func() {}
	argv := browser(runtime.GOOS, p.env)
	if argv == nil {
		p.say("note: there is no browser to start here: open the address")
		return forget
	}
	name, err := jumpFile(address)
	if err == nil {
		forget = func() { os.Remove(name) }
		cmd := exec.Command(argv[0], append(argv[1:], name)...)
		cmd.Env = p.environ
		ownGroup(cmd)
		if err = cmd.Start(); err == nil {
			go func() { _ = cmd.Wait() }() // a browser ends when its user ends it
		}
	}
	if err != nil {
		p.say("note: cannot start a browser: %v: open the address", err)
	}
	return forget
}

// browser is the command that opens a file in the user's browser; nil: there is none.
func browser(system string, env func(string) string) []string {
	switch system {
	case "darwin":
		return []string{"open"}
	case "windows":
		return []string{"rundll32", "url.dll,FileProtocolHandler"}
	}
	if env("DISPLAY") == "" && env("WAYLAND_DISPLAY") == "" {
		return nil
	}
	return []string{"xdg-open"}
}

// jumpFile makes a page that leads to an address.
func jumpFile(address string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "coltec", "ui")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, "*.html") // readable by its owner alone
	if err != nil {
		return "", err
	}
	_, err = fmt.Fprintf(f, "<!doctype html><meta charset=utf-8><meta name=referrer content=no-referrer><title>Coltec</title><meta http-equiv=refresh content=\"0;url=%s\">\n", address)
	return f.Name(), errors.Join(err, f.Close())
}
