package s3test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"
)

// Gateway names the environment variable with the path of a versitygw
// (`make test-versitygw`): an S3 server that shares no code with rclone, whose
// Last-Modified is its own clock's. Set, it serves where rclone would.
const Gateway = "COLTEC_VERSITYGW"

// startGateway runs a versitygw and waits until it takes connections.
func (s *Server) startGateway(ctx context.Context, bin string) error {
	address, err := freePort()
	if err != nil {
		return fmt.Errorf("cannot start the S3 server: %w", err)
	}
	// Beside the objects, not in their extended attributes: a tmpfs may have none.
	sidecar, err := os.MkdirTemp("", "s3test-sidecar-")
	if err != nil {
		return fmt.Errorf("cannot start the S3 server: %w", err)
	}
	s.sidecar = sidecar
	s.cmd = exec.CommandContext(ctx, bin, "--quiet", "--port", address, "posix", "--sidecar", sidecar, s.Dir)
	s.cmd.Env = []string{
		"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey,
		"HOME=" + s.Dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(),
	}
	if _, err := s.launch(); err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(startLimit); ; {
		if c, err := net.Dial("tcp", address); err == nil {
			s.Endpoint = "http://" + address
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-s.done:
			return fmt.Errorf("cannot start the S3 server: it ended at once: %s", s.Log())
		case <-deadline:
			s.Close()
			return fmt.Errorf("cannot start the S3 server: silent for %s: %s", startLimit, s.Log())
		}
	}
}

// freePort asks the kernel for a port. The server takes no 0.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
