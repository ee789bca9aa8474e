package replica

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/sample"
)

// reflinking mounts a new file system of a kind whose files can share extents.
func reflinking(t *testing.T, kind string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skipf("cannot mount %s: not root", kind)
	}
	mkfs, err := exec.LookPath("mkfs." + kind)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("%v (apt-get install xfsprogs btrfs-progs)", err)
	}
	image, at := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := errorsJoin(os.WriteFile(image, nil, 0o600), os.Truncate(image, 512<<20)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, "-q", image).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", mkfs, err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, at).CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("cannot mount %s: %v: %s", kind, err, out)
		}
		t.Skipf("cannot mount %s: %v: %s", kind, err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, 0); err != nil {
			t.Errorf("cannot unmount: %v", err)
		}
	})
	return at
}

// Where the file system clones files, one that is written in place all the time is
// staged all the same, in a state that it had.
func TestWhatIsStagedIsAClone(t *testing.T) {
	sample.Long(t)
	for _, kind := range []string{"xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) {
			at := reflinking(t, kind)
			for _, writer := range sample.Some(t, 2, []string{"in place", "in place, grows", "mapped", "mapped and synced", "append fast"}) {
				t.Run(writer, func(t *testing.T) {
					m := newWorld(t).machineAt(filepath.Join(at, writer))
					m.mustAcquire()
					defer m.Close()
					startWriter(t, writer, m.at("f"))
					torn, nothing, times := looks(t, m, writers[writer], 60)
					if len(torn) > 0 {
						t.Errorf("%d of %d are torn: %v", len(torn), times, torn[0])
					}
					if nothing > 0 {
						t.Errorf("nothing was staged %d times of %d", nothing, times)
					}
				})
			}
		})
	}
}
