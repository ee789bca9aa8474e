package main

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// initsMost is what a package of ours may allocate before main runs, in bytes. coltecd is two
// processes in each workspace, and what is made there is in both for as long as they live.
const initsMost = 32 << 10

// Nothing is parsed or compiled when a program starts: what only some need is made when it is
// first asked for.
func TestInitsAreSmall(t *testing.T) {
	path, err := exec.LookPath("coltecd") // ourselves, by the name that has us be the program
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "version")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	seen := 0
	for _, m := range regexp.MustCompile(`(?m)^init (\S+) @.* (\d+) bytes, \d+ allocs$`).FindAllStringSubmatch(string(out), -1) {
		if m[1] != "main" && !strings.HasPrefix(m[1], "github.com/coltec/coltec/") {
			continue
		}
		seen++
		if n, err := strconv.Atoi(m[2]); err != nil || n > initsMost {
			t.Errorf("%s allocates %s bytes before main runs, more than %d: make what takes most of it when it is first asked for (sync.OnceValue)", m[1], m[2], initsMost)
		}
	}
	if seen == 0 {
		t.Errorf("no package of ours is listed:\n%s", out)
	}
}
