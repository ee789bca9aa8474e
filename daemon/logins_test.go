package daemon

import (
	"os/user"
	"path/filepath"
	"testing"

	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/spec"
)

// The login files of a home are left out of every tree that it lies in, first of all, be
// HOME set or not; a sibling is carried.
func TestLoginRules(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ home, tree, below string }{
		{"/home/dev", "/home/dev", ""},
		{"/home/dev", "/home", "dev/"},
		{"", me.HomeDir, ""},
	} {
		s := setting{spec: &spec.Spec{Agents: []spec.Agent{{Name: "mine", LoginsFiles: []string{".mine/auth.json"}}}}, environ: []string{"HOME=" + c.home}}
		y := spec.Sync{Path: c.tree, Include: []string{"**"}, Exclude: []string{}}
		f, err := filter.Compile(append(loginSetting{s}.loginRules(y), filter.Only([]string{".mine", ".claude"})...))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{
			".claude/.credentials.json", ".claude/.credentials.json.tmp.12", ".codex/auth.json", ".mine/auth.json", ".mine/auth.json.lock",
			".coltec/logins/acme~widget~dev/claude.json",
		} {
			if f.Carries(c.below+path, false) {
				t.Errorf("%+v: %s is carried", c, path)
			}
		}
		if c.below == "" && !f.Carries(".mine/talk.jsonl", false) {
			t.Errorf("%+v: a sibling is not carried", c)
		}
		if !(loginSetting{s}).isLogin(filepath.Join(c.tree, c.below, ".codex/auth.json")) || (loginSetting{s}).isLogin("/elsewhere/.codex/auth.json") {
			t.Errorf("%+v: what a login is", c)
		}
	}
	if rules := (loginSetting{setting{spec: &spec.Spec{}, environ: []string{"HOME=/home/dev"}}}).loginRules(spec.Sync{Path: "/workspace"}); len(rules) != 0 {
		t.Errorf("rules of a tree without a home: %v", rules)
	}
}
