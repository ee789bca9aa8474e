package process

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// guard is the process that continues others when this one cannot.
type guard struct {
	in      *os.File // what it is told; its end is ours
	cmd     *exec.Cmd
	release func()
}

// The words of a guard.
const (
	guardReady = "ready" // its own, once nothing but KILL ends it
	guardDone  = "done"  // those that it was told of go on
)

// guardPatience is how long a guard may take to be there.
const guardPatience = 10 * time.Second

func startGuard(argv []string, limit time.Duration) (*guard, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out, outEnd, err := os.Pipe()
	if err != nil {
		w.Close()
		return nil, err
	}
	defer out.Close()
	defer outEnd.Close()
	cmd := exec.Command(argv[0], append(argv[1:len(argv):len(argv)], limit.String())...)
	cmd.Stdin, cmd.Stdout, cmd.Env, cmd.Dir = r, outEnd, []string{}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a signal to our group is not for it
	release, err := StartCmd(cmd)
	if err != nil {
		w.Close()
		return nil, err
	}
	g := &guard{w, cmd, release}
	outEnd.Close()
	_ = out.SetReadDeadline(time.Now().Add(guardPatience))
	line, err := bufio.NewReader(out).ReadString('\n')
	if strings.TrimSpace(line) != guardReady {
		_ = cmd.Process.Kill()
		g.close()
		return nil, errors.Join(errors.New("it did not come up"), err)
	}
	return g, nil
}

// tell tells of a process before it is stopped: what is in a pipe is read, whatever becomes
// of who wrote it.
func (g *guard) tell(p proc) error {
	_, err := fmt.Fprintf(g.in, "%d %d\n", p.pid, p.start)
	return err
}

// done tells that all go on.
func (g *guard) done() error {
	_, err := fmt.Fprintln(g.in, guardDone)
	return err
}

// close has the guard end.
func (g *guard) close() {
	g.in.Close()
	_ = g.cmd.Wait()
	g.release()
}

// Guard is the work of a guard: it reads which processes are stopped, and continues them when
// the limit has passed since the first of them, or when in ends. It returns once in has ended.
func Guard(in io.Reader, out io.Writer, limit time.Duration) error {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2)
	if _, err := fmt.Fprintln(out, guardReady); err != nil {
		return err
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for text := bufio.NewScanner(in); text.Scan(); {
			lines <- text.Text()
		}
	}()
	w := watch{}
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				w.expire()
				return nil
			}
			w.hear(line, limit)
		case <-w.over:
			w.expire()
			w.over = time.After(guardAgain) // one may be stopped after it was told of
		}
	}
}

// guardAgain is how often processes are continued after their time is over, until somebody says
// that none is stopped any more.
const guardAgain = 20 * time.Millisecond

// watch is what a guard knows.
type watch struct {
	stopped []proc
	over    <-chan time.Time
}

// hear takes a line over.
func (w *watch) hear(line string, limit time.Duration) {
	if line == guardDone {
		*w = watch{}
		return
	}
	var p proc
	if n, _ := fmt.Sscanf(line, "%d %d", &p.pid, &p.start); n != 2 {
		return
	}
	w.stopped = append(w.stopped, p)
	if w.over == nil {
		w.over = time.After(limit)
	}
}

// expire continues them.
func (w *watch) expire() {
	for _, p := range w.stopped {
		p.signal(syscall.SIGCONT)
	}
}
