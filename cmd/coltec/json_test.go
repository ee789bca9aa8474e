package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
)

// Each verb that answers in JSON fails in JSON, too: on the last line of standard error, and
// with nothing on standard output, where no half of an answer is taken for one. Findings are
// an answer.
func TestEachVerbFailsInJSON(t *testing.T) {
	t.Chdir(t.TempDir())
	fails := map[string]string{"new": "new --json w --template nowhere", "templates": "templates nowhere --json", "export": "export nowhere out --json"}
	findings := map[string]bool{"check": true, "doctor": true}
	environ := []string{"HOME=" + t.TempDir(), "PATH=" + t.TempDir()}
	n := 0
	for _, c := range newApp(&program{}).VisibleCommands() {
		if !hasFlag(c, "json") {
			continue
		}
		n++
		line := fails[c.Name]
		if line == "" {
			line = c.Name + " --json nowhere"
		}
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"coltec"}, strings.Fields(line)...), stdio{strings.NewReader(""), &out, &errs}, environ)
		if findings[c.Name] {
			if !json.Valid(out.Bytes()) || code != cmdline.CodeFailed {
				t.Errorf("%s: %d\n%s%s", line, code, out.String(), errs.String())
			}
			continue
		}
		lines := strings.Split(strings.TrimSuffix(errs.String(), "\n"), "\n")
		var f cmdline.Failure
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &f); err != nil || f.Error.Message == "" || f.Error.Exit != code || code == 0 || out.Len() > 0 {
			t.Errorf("%s: %d, %v\n%s%s", line, code, err, out.String(), errs.String())
		}
	}
	if n < 8 {
		t.Errorf("%d verbs", n)
	}
}

func hasFlag(c *cli.Command, name string) bool {
	for _, f := range c.Flags {
		if f.Names()[0] == name {
			return true
		}
	}
	return false
}
