package devcontainer

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// followersEnd holds that what follows in the container ends with who asked for it on the host, in whatever
// way that ends: docker exec alone leaves it there, for as long as the container runs.
func (g *ground) followersEnd(dir, id string) {
	g.t.Helper()
	followers := func() (n int) {
		out, err := g.run("docker", "top", id, "-eo", "pid,args")
		if err != nil {
			g.t.Fatalf("%v: %s", err, out)
		}
		for line := range strings.Lines(out) {
			if strings.Contains(line, "coltecd logs") || strings.Contains(line, "coltecd status") {
				n++
			}
		}
		return n
	}
	for _, verb := range [][]string{{"logs", "--follow"}, {"status", "--watch"}} {
		for _, how := range []string{"nobody reads", "Ctrl-C", "it is killed"} {
			r, w, err := os.Pipe()
			if err != nil {
				g.t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(g.t.Context(), 3*patience)
			cmd := exec.CommandContext(ctx, g.root+"/bin/coltec", append(verb, dir)...)
			cmd.Env, cmd.Dir, cmd.Stdout = g.env, g.dir, w
			if err := errors.Join(cmd.Start(), w.Close(), r.SetReadDeadline(time.Now().Add(patience))); err != nil {
				g.t.Fatal(err)
			}
			if _, err := bufio.NewReader(r).ReadString('\n'); err != nil || followers() == 0 {
				g.t.Errorf("%v follows nothing: %v", verb, err)
			}
			switch how {
			case "nobody reads":
				r.Close()
			case "Ctrl-C":
				err = cmd.Process.Signal(syscall.SIGINT)
			case "it is killed":
				err = cmd.Process.Kill()
			}
			if err != nil {
				g.t.Fatal(err)
			}
			g.eventually(strings.Join(verb, " ")+" has ended in the container, after: "+how, func() bool { return followers() == 0 })
			if _ = cmd.Wait(); ctx.Err() != nil { // whatever its exit code
				g.t.Errorf("%v does not end on the host, after: %s", verb, how)
			}
			cancel()
			r.Close()
		}
	}
}
