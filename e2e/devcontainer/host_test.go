package devcontainer

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/status"
)

// upWith brings a workspace up with variables beside its secrets.
func (g *ground) upWith(dir string, env ...string) (string, error) {
	args := []string{"up", dir}
	for _, kv := range env {
		args = append(args, "--remote-env", kv)
	}
	return g.run(g.root+"/bin/coltec", args...)
}

// deaf is an endpoint on loopback that drops packets: its queue of connections
// is full, and nobody takes one.
func deaf(t *testing.T) string {
	t.Helper()
	socket := func() int {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	fd := socket()
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_ = unix.Connect(socket(), at) // EINPROGRESS: it goes on by itself
	}
	return fmt.Sprintf("http://127.0.0.1:%d", at.(*unix.SockaddrInet4).Port)
}

// up once waited for all of its ten minutes for a bucket that cannot be reached.
// The container works meanwhile, and the next up with what is right goes on in the
// coltecd that runs; so does one after the keys were changed.
func TestOfflineAndRotation(t *testing.T) {
	g := newGround(t)
	dir := g.make("w", "dev-o")
	offline := func(endpoint, why string) {
		t.Helper()
		began := time.Now()
		out, err := g.upWith(dir, "RCLONE_S3_ENDPOINT="+endpoint)
		took := time.Since(began)
		t.Logf("up with %s: %.1f s\n%s", endpoint, took.Seconds(), out)
		if err == nil || took > 4*time.Minute {
			t.Errorf("%v after %s", err, took)
		}
		for _, want := range []string{"attention: the lease: s3:" + g.server.Bucket, "the store cannot be reached", why, "check the network and the remote's endpoint"} {
			if !strings.Contains(out, want) {
				t.Errorf("it does not say %q", want)
			}
		}
	}
	offline("http://127.0.0.1:9", "connection refused")
	pid := g.status(dir).PID
	online := func(what string, env ...string) {
		t.Helper()
		g.sh(dir, "echo "+what+" > /workspace/"+what)
		if out, err := g.upWith(dir, env...); err != nil {
			t.Fatalf("%s: %v\n%s", what, err, out)
		}
		g.sh(dir, "coltecd sync")
		if doc := g.status(dir); doc.State != status.Running || doc.PID != pid || doc.Replicas[0].Pending != 0 {
			t.Errorf("%s: pid %d was %d: %+v", what, doc.PID, pid, doc)
		}
	}
	online("offline")

	second, err := s3test.Serve(context.Background(), s3test.Options{Dir: g.server.Dir})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	online("rotated", "RCLONE_S3_ENDPOINT="+second.Endpoint, "RCLONE_S3_ACCESS_KEY_ID="+second.AccessKey, "RCLONE_S3_SECRET_ACCESS_KEY="+second.SecretKey)
	g.server.Close() // what the old keys opened is gone
	g.sh(dir, "echo after > /workspace/after; coltecd sync")
	if files := g.head("dev-o").Replicas["workspace"].Files; files != 3 {
		t.Errorf("the bucket has %d files, want 3", files)
	}
	g.noValue(dir, second.SecretKey)

	offline(deaf(t), "i/o timeout")
}

// noValue looks for a value where a second up could have left it.
func (g *ground) noValue(dir, value string) {
	g.t.Helper()
	for _, argv := range [][]string{
		{"docker", "inspect", g.container(dir)},
		{"docker", "exec", g.container(dir), "sh", "-c", "cat /proc/[0-9]*/cmdline"},
		{"sh", "-c", `cat "$1"/.devcontainer/logs/*`, "sh", dir},
		{g.root + "/bin/coltec", "status", dir, "--json"},
	} {
		if out, err := g.run(argv[0], argv[1:]...); err != nil || out == "" || strings.Contains(out, value) {
			g.t.Errorf("%s: %v, or it shows the secret", argv[0], err)
		}
	}
}
