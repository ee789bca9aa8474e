package spec

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/sample"
)

// The back ends are those that the source of the pinned rclone registers, and what a bandwidth is
// says rclone itself.
func TestBackendsAreRclones(t *testing.T) {
	sample.Long(t)
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/rclone/rclone")
	cmd.Dir = filepath.Join("..", "..", "tools")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "backend", "*", "*.go"))
	if err != nil || len(files) < 50 {
		t.Fatal(len(files), err)
	}
	registers := regexp.MustCompile(`(?s)&?fs\.RegInfo\{\n.*?\n\t+(?:Options|\})`)
	names := regexp.MustCompile(`(?m)^\s+(?:Name|Prefix|Aliases):\s+(?:\[\]string\{)?"([^"]+)"`)
	var found []string
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range registers.FindAllString(string(body), -1) {
			for _, m := range names.FindAllStringSubmatch(one, -1) {
				found = append(found, strings.ReplaceAll(m[1], " ", ""))
			}
		}
	}
	slices.Sort(found)
	if diff := cmp.Diff(slices.Compact(found), backends); diff != "" {
		t.Error(diff)
	}
}

// TestBandwidths asks the rclone that is beside for each.
func TestBandwidths(t *testing.T) {
	sample.Long(t)
	rclone := filepath.Join("..", "..", "bin", "rclone")
	if _, err := os.Stat(rclone); err != nil {
		t.Fatal("it is made by make rclone: ", err)
	}
	for _, text := range sample.Some(t, 12, []string{
		"10M", "10", "0", "off", "OFF", "1.5G", ".5k", "10Mi", "10MiB", "10MI", "10B", "10b", "10P", "7E", "10E", "9000P", "5K:off", "10M:1M",
		"10MB", "10Mb", "10Q", "M", "fast", "-1", "10M:", ":10M", "10M:1M:1M", "10 M", "10iB", "10i", "NaN", "1..5",
		"08:00,10M", "08:00,10M 19:00,off", "08:00,10M;19:00,off", "Mon-08:00,1M", "monday-00:00,512k:1M Sun-23:59,off",
		"25:00,1M", "08:60,1M", "8:00,1M", "Mo-08:00,1M", "08:00", "08:00,", "08:00,1M,2M", "a-b-08:00,1M", ",", "+8:00,1M",
	}) {
		out, err := exec.Command(rclone, "lsjson", "--bwlimit", text, t.TempDir()).CombinedOutput()
		if got := isBandwidth(text); got != (err == nil) {
			t.Errorf("%q: %v, and rclone: %v %s", text, got, err, out)
		}
	}
}
