package main

import (
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/hint"
)

// Who is root on the host, or has a Docker without root, was told that all is well by doctor,
// and by coltecd that the folder is not its own to write.
func TestOwnerFault(t *testing.T) {
	for name, c := range map[string]struct {
		owner            int
		user             string
		rootless, podman bool
		want, fix        string
	}{
		"one's own":                    {1000, "vscode", false, false, "", ""},
		"another id, which is changed": {1001, "vscode", false, false, "", ""},
		"root's":                       {0, "vscode", false, false, "the folder is root's, and the container's user is vscode", "chown -R 1000:1000 /w"},
		"root's for root":              {0, "root", false, false, "", ""},
		"root's for 0":                 {0, "0", false, false, "", ""},
		"left to the image":            {0, "", false, false, "", ""},
		"rootless":                     {1000, "vscode", true, false, "docker is rootless", `"remoteUser": "root"`},
		"rootless for root":            {1000, "root", true, false, "", ""},
		"rootless podman":              {1000, "vscode", true, true, "", ""},
		"podman of root":               {0, "vscode", false, true, "the folder is root's", "chown"},
	} {
		err := ownerFault("/w", c.owner, c.user, c.rootless, c.podman)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(strings.Join(hint.Of(err), "\n"), c.fix)):
			t.Errorf("%s: %v, %q", name, err, hint.Of(err))
		}
	}
}
