// Package s3test gives tests and benchmarks a real S3 server on loopback: the
// pinned rclone of this repository, as `rclone serve s3` over a directory. It
// checks signatures and honours conditional writes, as the big stores do.
// [Server.Proxy] puts a counting, fault-injecting proxy before it.
//
// It differs from the big stores in one thing: Last-Modified is the time that the
// client gave the object, so it is no clock for what was uploaded with a time of
// its own.
//
// Only tests and benchmarks may import it.
package s3test

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/hint"
)

// bucket is the name of the one bucket that each server begins with.
const bucket = "coltec-test"

// startLimit bounds the wait for the server's first words. It takes 60 ms alone
// and seconds on a machine whose cores are all building something.
const startLimit = 3 * time.Minute

// Server is a running S3 server.
type Server struct {
	Endpoint  string // http://127.0.0.1:PORT
	AccessKey string
	SecretKey string
	Bucket    string // exists and is empty at first
	Dir       string // what the server serves: Dir/Bucket/key is an object; it may not see what others change there

	cmd    *exec.Cmd
	front  *httptest.Server
	done   chan struct{} // closed when the process was waited for
	ownDir bool          // Dir was made by Serve: Close removes it

	sidecar string // where a gateway keeps what belongs to objects; removed by Close

	mu  sync.Mutex
	log strings.Builder // what the server said, for a test that failed
}

// Options says how to serve; the zero value is good.
type Options struct {
	Dir    string   // default: a new temporary directory, removed by Close when it was made here
	Rclone string   // default: [Rclone]
	Args   []string // further arguments of `rclone serve s3`
}

// Start starts a server that ends with the test. Without an rclone the test
// fails: a test that skips itself protects nobody. With -short it is left out.
func Start(t testing.TB) *Server {
	t.Helper()
	sample.Long(t)
	s, err := Serve(context.Background(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(hint.Of(err), "\n"))
	}
	t.Cleanup(func() {
		s.Close()
		if t.Failed() {
			t.Logf("the S3 server said:\n%s", s.Log())
		}
	})
	return s
}

// Serve starts a server and returns when it listens. The caller calls
// [Server.Close]; the end of ctx stops the server too.
func Serve(ctx context.Context, opts Options) (*Server, error) {
	gateway := os.Getenv(Gateway)
	bin := opts.Rclone
	if bin == "" && gateway == "" {
		var err error
		if bin, err = Rclone(); err != nil {
			return nil, err
		}
	}
	s := &Server{
		AccessKey: "AK" + rand.Text()[:16],
		SecretKey: rand.Text() + rand.Text(),
		Bucket:    bucket,
		Dir:       opts.Dir,
		done:      make(chan struct{}),
	}
	if s.Dir == "" {
		dir, err := os.MkdirTemp("", "s3test-")
		if err != nil {
			return nil, fmt.Errorf("cannot make the server's directory: %w", err)
		}
		s.Dir = dir
		s.ownDir = true
	}
	if err := os.MkdirAll(filepath.Join(s.Dir, s.Bucket), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the bucket: %w", err)
	}
	if gateway != "" && opts.Rclone == "" && len(opts.Args) == 0 {
		return s, s.startGateway(ctx, gateway)
	}
	return s, s.start(ctx, bin, opts.Args)
}

// start runs rclone and waits for the line that names its address.
func (s *Server) start(ctx context.Context, bin string, args []string) error {
	s.cmd = exec.CommandContext(ctx, bin, append(serveArgv(s.Dir), args...)...)
	s.cmd.Env = serveEnv(s.AccessKey, s.SecretKey, s.Dir)
	address, err := s.launch()
	if err != nil {
		return err
	}
	select {
	case at := <-address:
		return s.face(at)
	case <-s.done:
		return fmt.Errorf("cannot start the S3 server: it ended at once: %s", s.Log())
	case <-time.After(startLimit):
		s.Close()
		return fmt.Errorf("cannot start the S3 server: silent for %s: %s", startLimit, s.Log())
	}
}

// launch starts the process. The channel gets the address that rclone says it
// listens at.
func (s *Server) launch() (address chan string, err error) {
	// Its own group, so that a Ctrl-C on a terminal does not end it before the
	// test; and it dies with the test binary, whatever ends that.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = 5 * time.Second
	stderr, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot start the S3 server: %w", err)
	}
	s.cmd.Stdout, s.cmd.Stderr = w, w
	err = s.spawn()
	w.Close()
	if err != nil {
		stderr.Close()
		return nil, fmt.Errorf("cannot start the S3 server: %w", err)
	}
	address = make(chan string, 1)
	go s.read(stderr, address)
	return address, nil
}

// face puts the front before the process.
func (s *Server) face(address string) error {
	target, err := url.Parse(address)
	if err != nil {
		s.Close()
		return fmt.Errorf("cannot start the S3 server: %w", err)
	}
	s.front = httptest.NewUnstartedServer(&front{next: passTo(target), known: map[string]bool{}})
	s.front.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.front.Start()
	s.Endpoint = s.front.URL
	return nil
}

// spawn starts the process on a thread that lives as long as it does:
// Pdeathsig speaks of the thread that forked, not of the process.
func (s *Server) spawn() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait()
			close(s.done)
		}
	}()
	return <-started
}

// serveArgv is the command line. Port 0 lets the kernel choose, so two servers
// never meet. The directory cache stays as it is (5 minutes): without it, four
// uploads into one new directory spin for ever.
func serveArgv(dir string) []string {
	return []string{
		"serve", "s3", dir, "--addr", "127.0.0.1:0",
		"--server-read-timeout", "1h", "--server-write-timeout", "1h",
	}
}

// serveEnv is the whole environment: the keys stay out of the process list.
func serveEnv(access, secret, dir string) []string {
	return []string{
		"RCLONE_CONFIG=notfound", `RCLONE_AUTH_KEY="` + access + "," + secret + `"`, // a CSV list of pairs
		"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(),
	}
}

// listening is how rclone says where it listens; the socket is bound by then.
var listening = regexp.MustCompile(`Starting s3 server on \[(http://[0-9.:]+)/\]`)

// read keeps what the server says and sends the address once.
func (s *Server) read(r io.ReadCloser, address chan<- string) {
	defer r.Close()
	for lines := bufio.NewScanner(r); lines.Scan(); {
		s.mu.Lock()
		if s.log.Len() < 1<<20 { // enough to debug, too little to hurt a long benchmark
			s.log.WriteString(lines.Text() + "\n")
		}
		s.mu.Unlock()
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			address <- m[1]
		}
	}
}

// Log returns what the server said so far.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Close stops the server and waits for its end.
func (s *Server) Close() {
	if s.front != nil {
		s.front.CloseClientConnections() // else it waits for a client that hangs
		s.front.Close()
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(5 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	if s.ownDir {
		_ = os.RemoveAll(s.Dir)
	}
	if s.sidecar != "" {
		_ = os.RemoveAll(s.sidecar)
	}
}

// Options returns the rclone options of an s3 remote on this server, for the
// given endpoint: its own, or that of a proxy before it.
func (s *Server) Options(endpoint string) map[string]string {
	provider := "Rclone"
	if s.front == nil {
		provider = "Other"
	}
	return map[string]string{
		"provider":          provider,
		"endpoint":          endpoint,
		"access_key_id":     s.AccessKey,
		"secret_access_key": s.SecretKey,
	}
}

// url returns the endpoint, parsed.
func (s *Server) url() *url.URL {
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		panic(err) // the regular expression above let it through
	}
	return u
}

// Rclone returns the rclone that tests use: COLTEC_RCLONE, or bin/rclone of the
// module that the working directory lies in.
func Rclone() (string, error) {
	if bin := os.Getenv("COLTEC_RCLONE"); bin != "" {
		return bin, nil
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(root, "bin", "rclone")
	if _, err := os.Stat(bin); err != nil {
		return "", hint.Wrap(fmt.Errorf("cannot find the tests' rclone: %w", err),
			"run `make rclone` (scripts/build-rclone.sh), or set COLTEC_RCLONE")
	}
	return bin, nil
}

// moduleRoot walks up from the working directory, which is the package's own
// under `go test`. Modules of their own below ours (tools, bench) are passed by.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		src, readErr := os.ReadFile(filepath.Join(dir, "go.mod"))
		if readErr == nil && strings.HasPrefix(string(src), "module github.com/coltec/coltec\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			err = errors.New("no go.mod of github.com/coltec/coltec above the working directory")
		}
		dir = filepath.Dir(dir)
	}
	return "", fmt.Errorf("cannot find the module: %w", err)
}
