package spec

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coltec/coltec/pkg/yamlfile"
)

// canary stands for a secret. No name or path looks like it, so no error may show
// it, wherever in a file it stands.
const canary = "s3cr+t/K3Y="

// FuzzParse holds what every text gives: no panic, problems that lie inside the
// file and show no secret, or a spec whose promises hold.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/valid/*.yaml", "testdata/invalid/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(src))
			f.Add(strings.NewReplacer("hunter2", canary, "${RCLONE_S3_SECRET_ACCESS_KEY}", canary).Replace(string(src)))
		}
	}
	f.Fuzz(func(t *testing.T, src string) {
		s, err := Parse("f.yaml", []byte(src))
		src = string(yamlfile.Text([]byte(src)))
		if err != nil {
			checkProblems(t, src, err)
			return
		}
		checkPromises(t, src, s)
	})
}

// checkProblems holds what is promised of errors.
func checkProblems(t *testing.T, src string, err error) {
	t.Helper()
	list := Problems(err)
	if len(list) == 0 {
		t.Fatalf("no problems in %v", err)
	}
	lines := strings.Split(src, "\n")
	for _, p := range list {
		if p.Line < 1 || p.Line > len(lines) || p.Col < 1 || p.Col > utf8.RuneCountInString(lines[p.Line-1])+1 {
			t.Errorf("outside the file: %v", p)
		}
		if strings.Contains(p.Text, "\n") || !utf8.ValidString(p.Text) {
			t.Errorf("not one line of text: %q", p.Text)
		}
		if strings.Contains(p.Text, "internal error") {
			t.Errorf("no words for a person: %v", p)
		}
	}
	if strings.Contains(err.Error(), canary) {
		t.Errorf("it shows a secret: %v", err)
	}
}

// checkPromises holds what is promised of a spec that was accepted.
func checkPromises(t *testing.T, src string, s *Spec) {
	t.Helper()
	if parts := strings.Split(s.ID(), "/"); len(parts) != 3 || slices.ContainsFunc(parts, func(p string) bool { return !isSlug(p) }) {
		t.Errorf("ID = %q", s.ID())
	}
	names, paths := map[string]bool{}, map[string]bool{}
	for _, y := range s.Replicas() {
		switch {
		case !isName(y.Name) || names[strings.ToLower(y.Name)]:
			t.Errorf("name %q", y.Name)
		case !strings.HasPrefix(y.Path, "/") && !isHome(y.Path) || climbs(y.Path) || paths[path.Clean(y.Path)]:
			t.Errorf("path %q", y.Path)
		case y.RemotePath == "" || climbs(y.RemotePath) || y.RemotePath != cleanRemote(y.RemotePath):
			t.Errorf("remote path %q", y.RemotePath)
		case y.Interval < leastInterval || y.Transfers < 1 || y.Checkers < 1 || y.Priority < 0:
			t.Errorf("out of range: %+v", y)
		case len(s.Chain(y.Remote)) == 0 || s.Chain(y.Remote)[len(s.Chain(y.Remote))-1].Type == "crypt":
			t.Errorf("remote %q leads nowhere", y.Remote)
		}
		names[strings.ToLower(y.Name)], paths[path.Clean(y.Path)] = true, true
		s.NestedIn(y)
	}
	if len(s.Replicas()) > 0 && s.HeadRemote() == "" {
		t.Error("no remote for the head")
	}
	for _, n := range s.NotActedOn() {
		if n.Line < 1 || n.Line > strings.Count(src, "\n")+1 {
			t.Errorf("notice outside the file: %+v", n)
		}
	}
	set := func(string) (string, bool) { return "value", true }
	for _, v := range s.Variables() {
		if !isVariable(v.Name) {
			t.Errorf("variable %q", v.Name)
		}
	}
	for _, y := range s.Replicas() {
		if target, err := s.Target(y.Remote, y.RemotePath, set); err == nil && (target.Path == "" || climbs(target.Path)) {
			t.Errorf("target %q", target.Path)
		}
	}
	_, _ = s.Expand(set)
}

// FuzzSecret puts a text where secrets stand, in a spec that something else in it
// breaks: no error may show it, however plain it looks.
func FuzzSecret(f *testing.F) {
	for _, tail := range []string{"", "x", "  sync: 1", "  options: {}\nservices: [", "\t", ": :", "'", "  sync:\n    - {name: a, path: b}", "secrets: [*a]"} {
		f.Add("AKIAIOSFODNN7", tail)
		f.Add("a${b", tail)
		f.Add("x: y", tail)
	}
	const mark = "Zq9mark"
	f.Fuzz(func(t *testing.T, secret, tail string) {
		if strings.Contains(tail, mark) {
			t.Skip()
		}
		quoted := "'" + strings.ReplaceAll(mark+secret+mark, "'", "''") + "'"
		src := fmt.Sprintf(`name: dev
metadata: {org: acme, project: widget}
devcontainer: {env: {A: %[1]s}}
services: [{name: web, command: [a], env: {A: %[1]s}}]
hooks: {pre_stop: [{command: [a], env: {A: %[1]s}}]}
persistence:
  rclone_config: {options: {key: %[1]s}}
  remotes:
    sealed: {type: crypt, wrap_remote: primary, crypt: {password_env: %[1]s}}
    primary:
      bucket: b
      options:
        secret_access_key: %[1]s
        list: [%[1]s]
%[2]s
`, quoted, tail)
		s, err := Parse("f.yaml", []byte(src))
		if err != nil && strings.Contains(err.Error(), mark) {
			t.Errorf("it shows a secret: %v", err)
		}
		if err != nil {
			checkProblems(t, src, err)
		}
		if shown := fmt.Sprintf("%+v %#v", s, s); s != nil && strings.Contains(shown, mark) {
			t.Error("a printed spec shows a secret")
		}
	})
}

// FuzzExpand holds the language of variables against what can be said of it
// without knowing how it is read.
func FuzzExpand(f *testing.F) {
	for _, text := range []string{"", "a", "$$", "$", "${A}", "${A:-b}", "${A:-${B}}", "${A:-${B:-c}d}", "${", "${}", "${A", "$A", "${A:-", "a${A}b$${A}", "${A:-}", "}", "${1}", "${A:?x}"} {
		f.Add(text, "v")
		f.Add(text, "")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		list, err := pieces(text)
		if err != nil {
			if strings.Contains(err.Error(), "internal error") || !strings.Contains(text, "$") {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		asked := map[string]bool{}
		x := expansion{lookup: func(name string) (string, bool) { asked[name] = true; return value, value != "" }}
		out := x.join(list)
		for name := range asked {
			if !isVariable(name) || !strings.Contains(text, "${"+name) {
				t.Errorf("%q asks for %q", text, name)
			}
		}
		if value != "" && len(x.missing) > 0 {
			t.Errorf("%q: missing %q although all are set", text, x.missing)
		}
		if !strings.Contains(text, "$") && out != text {
			t.Errorf("%q became %q", text, out)
		}
		// A value is taken as it is: what looks like a variable in it is text.
		if text == "${A}" && out != value {
			t.Errorf("the value %q became %q", value, out)
		}
		// Any text can be said: doubling its dollars gives it back.
		doubled, err := pieces(strings.ReplaceAll(text, "$", "$$"))
		if err != nil {
			t.Fatalf("%q with its dollars doubled: %v", text, err)
		}
		if got := x.join(doubled); got != text {
			t.Errorf("%q with its dollars doubled became %q", text, got)
		}
	})
}
