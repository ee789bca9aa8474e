package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
)

// Each verb that answers in JSON fails in JSON, too.
func TestEachVerbFailsInJSON(t *testing.T) {
	t.Chdir(t.TempDir())
	n := 0
	for _, c := range newApp(&program{}).VisibleCommands() {
		if !slices.ContainsFunc(c.Flags, func(f cli.Flag) bool { return f.Names()[0] == "json" }) || c.Name == "version" || c.Name == "agents" { // they fail by their argument alone
			continue
		}
		n++
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"coltecd", c.Name, "--json", "--config", "nowhere"}, stdio{strings.NewReader(""), &out, &errs}, nil)
		var f cmdline.Failure
		if err := json.Unmarshal(errs.Bytes(), &f); err != nil || f.Error.Message == "" || f.Error.Exit != code || code == 0 || out.Len() > 0 {
			t.Errorf("%s: %d, %v\n%s%s", c.Name, code, err, out.String(), errs.String())
		}
	}
	if n < 5 {
		t.Errorf("%d verbs", n)
	}
}
