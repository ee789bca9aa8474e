package spec

import (
	"strings"
	"testing"

	"github.com/coltec/coltec/hooks"
)

// What is below the path goes with the folder; what is beside it, or only begins like it, stays.
func TestPlace(t *testing.T) {
	text := func() *Spec {
		s := &Spec{Services: []Service{{Dir: "/workspace/web"}, {Dir: ""}, {Dir: "/srv"}}, Hooks: Hooks{hooks.PostRestore: {{Dir: "/workspace"}}}}
		s.Persistence.Sync = []Sync{{Path: "/workspace"}, {Path: "/workspace/a b/"}, {Path: "/workspaces"}, {Path: "~/x"}, {Path: "/"}}
		s.Persistence.Mounts = []PersistenceMount{{Target: "/workspace/data"}}
		return s
	}
	got := func(s *Spec) string {
		var all []string
		for _, y := range s.Persistence.Sync {
			all = append(all, y.Path)
		}
		return strings.Join(append(all, s.Persistence.Mounts[0].Target, s.Services[0].Dir, s.Services[1].Dir, s.Services[2].Dir, s.Hooks[hooks.PostRestore][0].Dir), " ")
	}
	asIs := got(text())
	for _, c := range []struct{ value, want, fault string }{
		{"", asIs, ""},
		{"/workspace", "/h/w /h/w/a b /workspaces ~/x / /h/w/data /h/w/web  /srv /h/w", ""},
		{"/workspace/", "/h/w /h/w/a b /workspaces ~/x / /h/w/data /h/w/web  /srv /h/w", ""},
		{"/nowhere", asIs, ""},
		{"workspace", asIs, "no absolute path"},
		{"/", asIs, "no absolute path"},
		{"/x/..", asIs, "no absolute path"},
	} {
		s := text()
		err := s.Place(env(map[string]string{PlaceVar: c.value}), "/h/w")
		if got(s) != c.want || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%q: %q, %v", c.value, got(s), err)
		}
	}
}
