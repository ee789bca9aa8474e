package spec

import (
	"fmt"
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

// sourceOfRclone are the files of the pinned rclone that match a pattern.
func sourceOfRclone(t *testing.T, pattern ...string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/rclone/rclone")
	cmd.Dir = filepath.Join("..", "..", "tools")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(append([]string{strings.TrimSpace(string(out))}, pattern...)...))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// The back ends are those that the source of the pinned rclone registers, and what a bandwidth is
// says rclone itself.
func TestBackendsAreRclones(t *testing.T) {
	sample.Long(t)
	files := sourceOfRclone(t, "backend", "*", "*.go")
	if len(files) < 50 {
		t.Fatal(len(files))
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

// The providers are those that the back end s3 of the pinned rclone has.
func TestProvidersAreRclones(t *testing.T) {
	sample.Long(t)
	var found []string
	for _, file := range sourceOfRclone(t, "backend", "s3", "provider", "*.yaml") {
		found = append(found, strings.TrimSuffix(filepath.Base(file), ".yaml"))
	}
	slices.Sort(found)
	if diff := cmp.Diff(found, providers); diff != "" {
		t.Error(diff)
	}
}

// A provider that rclone does not know passed, and the store was spoken to as any other.
func TestOtherProviders(t *testing.T) {
	for given, want := range map[string]string{
		"AWS": "", "Other": "", "us3": "", "Minio": "", "${S3_PROVIDER}": "",
		"Minoi":        `rclone knows no provider "Minoi", and takes it for Other (did you mean "Minio"?)`,
		"minio":        `rclone knows no provider "minio", and takes it for Other (did you mean "Minio"?)`,
		"CloudFlare":   `rclone knows no provider "CloudFlare", and takes it for Other (did you mean "Cloudflare"?)`,
		"aws":          `rclone knows no provider "aws", and takes it for Other (did you mean "AWS"?)`,
		"Garage":       `rclone knows no provider "Garage", and takes it for Other: where the store is none that rclone knows, write Other`,
		"a+secret/key": `rclone knows no provider the value, and takes it for Other: where the store is none that rclone knows, write Other`,
	} {
		text := fmt.Sprintf("metadata: {org: a, project: b, environment: c}\npersistence:\n  remotes:\n    p: {type: s3, bucket: b, options: {provider: %q}}\n", given)
		s, err := Parse("spec.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range s.NotActedOn() {
			if n.Path == "persistence.remotes.p.options.provider" && n.Line == 4 {
				got = append(got, n.Text)
			}
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%s: %q, want %q", given, got, want)
		}
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
