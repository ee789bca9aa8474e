package toolbox

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
)

// serveVariable has the test's own program serve on its standard streams, as ours do.
const serveVariable = "COLTEC_TOOLBOX_SERVE"

func init() {
	alone = func() {
		if _, ok := os.LookupEnv(serveVariable); ok {
			os.Exit(serveAlone())
		}
	}
}

// serveAlone is what that does.
func serveAlone() int {
	self, err := os.Executable()
	if err == nil {
		err = Serve(context.Background(), Options{Program: self, Environ: append(os.Environ(), actVariable+"="+os.Getenv(serveVariable)), Name: "coltecd"}, os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return 0
}

// An order is interrupted, as by Ctrl-C, when the agent or the server is killed in the middle of it,
// or the agent hears no more: it is not left alone, and dies of no closed pipe.
func TestKilled(t *testing.T) {
	sample.Long(t)
	for _, how := range []string{"the server is killed", "the agent is killed", "the agent hears no more"} {
		t.Run(how, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "ct-") // short: a socket goes in
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			watcher, err := net.Listen("unix", filepath.Join(dir, "s"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { watcher.Close() })
			in, says := pipe(t)
			hears, out := pipe(t)
			server := exec.Command(os.Args[0])
			server.Env = append(os.Environ(), serveVariable+"="+filepath.Join(dir, "s"))
			server.Stdin, server.Stdout = in, out
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			in.Close()
			out.Close()
			ended := make(chan error, 1)
			go func() { ended <- server.Wait() }()
			t.Cleanup(func() { _ = server.Process.Kill() })

			for _, message := range []string{
				`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`,
				`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
				`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"compare","arguments":{"a":"talks"},"_meta":{"progressToken":"mine"}}}`,
			} {
				if _, err := io.WriteString(says, message+"\n"); err != nil {
					t.Fatal(err)
				}
			}
			a := agent{t: t, watcher: watcher}
			conn := a.meets()
			switch how {
			case "the server is killed":
				if err := server.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			case "the agent is killed":
				hears.Close()
				says.Close()
			case "the agent hears no more":
				hears.Close()
				fmt.Fprintln(conn, "a line")
			}
			if line, err := bufio.NewReader(conn).ReadString('\n'); line != "interrupted\n" {
				t.Errorf("the program is told %q, %v", line, err)
			}
			select {
			case <-ended:
			case <-time.After(patience):
				t.Fatal("the server does not end")
			}
			if state := server.ProcessState; how != "the server is killed" && !state.Exited() {
				t.Errorf("the server ends by itself, and not by %s", state)
			}
		})
	}
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}
