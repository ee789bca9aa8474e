package spec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// inHome is a spec with replicas in a home.
const inHome = head + `
persistence:
  remotes: {primary: {bucket: b}}
  sync:
    - {name: home, path: ~, include: [.claude/projects, ".gemini/tmp/*/chats"]}
    - {name: notes, path: ~/notes/}
    - {name: one, path: ~/.config/one.json, file: true}
    - {name: other, path: "/srv/[a].json", file: true}
`

// What a path in a home is depends on where it is asked: nobody but coltecd knows the home.
func TestHome(t *testing.T) {
	s := mustParse(t, inHome)
	type row struct {
		path   string
		inHome bool
		trees  []string
	}
	rows := func() (all []row) {
		for _, y := range s.Replicas() {
			all = append(all, row{y.Path, y.InHome, y.Trees()})
		}
		return all
	}
	want := []row{
		{"~", true, []string{"~/.claude/projects", "~/.gemini/tmp", "~/.coltec"}},
		{"~/notes/", true, []string{"~/notes/"}},
		{"~/.config", true, []string{"~/.config/one.json", "~/.config/.coltec"}},
		{"/srv", false, []string{"/srv/[a].json", "/srv/.coltec"}},
	}
	if diff := cmp.Diff(want, rows(), cmp.AllowUnexported(row{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{".config", "notes"}, s.NestedIn(s.Persistence.Sync[0])); diff != "" {
		t.Error(diff)
	}
	if err := s.ApplyEnvironment(env(map[string]string{"HOME": "/home/me/"})); err != nil {
		t.Fatal(err)
	}
	want[0] = row{"/home/me", true, []string{"/home/me/.claude/projects", "/home/me/.gemini/tmp", "/home/me/.coltec"}}
	want[1] = row{"/home/me/notes", true, []string{"/home/me/notes"}}
	want[2] = row{"/home/me/.config", true, []string{"/home/me/.config/one.json", "/home/me/.config/.coltec"}}
	if diff := cmp.Diff(want, rows(), cmp.AllowUnexported(row{})); diff != "" {
		t.Error(diff)
	}
}

// A home that is none, and one that makes two replicas one, are said before anything is done.
func TestHomeThatIsNone(t *testing.T) {
	for home, want := range map[string]string{
		"/":    "cannot tell what ~ stands for: this user has no home of its own",
		"here": "cannot tell what ~ stands for: this user has no home of its own",
		"/srv": "", // other is at /srv, home too
	} {
		s := mustParse(t, inHome)
		err := s.ApplyEnvironment(env(map[string]string{"HOME": home}))
		if want == "" {
			want = "cannot use the replicas home and other: both are at /srv here"
		}
		if err == nil || err.Error() != want {
			t.Errorf("HOME=%s: %v", home, err)
		}
		if s.Persistence.Sync[0].Path != "~" {
			t.Errorf("HOME=%s: it was changed all the same", home)
		}
	}
}
