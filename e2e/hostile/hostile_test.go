// Package hostile attacks the built programs: as an agent in a container that writes
// what it likes into its workspace, as somebody who can write the bucket, as another
// user of the container. Each attack is tried on real rclone, a real S3 server and real
// git, and judged by what the system says of the programs afterwards.
package hostile

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
)

// patience is the deadline of every wait: far above what anything takes on a busy
// machine. What is still running then hangs.
const patience = 90 * time.Second

// The programs under test; set by TestMain.
var coltecd, coltec, rclonePath string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "coltec-hostile-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = errors.Join(os.Chmod(dir, 0o755), build(dir)) // other users start them too
	}
	if err == nil {
		rclonePath, err = s3test.Rclone()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot attack:", err)
		return 1
	}
	return m.Run()
}

func build(dir string) error {
	out, err := exec.Command("go", "build", "-o", dir+"/", "../../cmd/coltecd", "../../cmd/coltec").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	coltecd, coltec = filepath.Join(dir, "coltecd"), filepath.Join(dir, "coltec")
	return nil
}
