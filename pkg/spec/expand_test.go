package spec

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/hint"
)

// env makes a lookup of names and values.
func env(pairs map[string]string) Lookup {
	return func(name string) (string, bool) { v, ok := pairs[name]; return v, ok }
}

// TestVariables holds the language of variables; it is the table in the docs.
func TestVariables(t *testing.T) {
	set := map[string]string{"A": "a", "EMPTY": "", "DOLLAR": "${A}", "_1": "under"}
	tests := map[string]struct {
		text, want string
		missing    []string
		err        error
	}{
		"plain":                     {"a b", "a b", nil, nil},
		"nothing":                   {"", "", nil, nil},
		"a variable":                {"${A}", "a", nil, nil},
		"in a text":                 {"x${A}y${A}z", "xayaz", nil, nil},
		"underscore":                {"${_1}", "under", nil, nil},
		"a dollar":                  {"$$", "$", nil, nil},
		"dollars":                   {"$$$$", "$$", nil, nil},
		"no variable":               {"$${A}", "${A}", nil, nil},
		"dollar and variable":       {"$$${A}", "$a", nil, nil},
		"a dollar that is just one": {"a$b $ c$", "a$b $ c$", nil, nil},
		"not expanded twice":        {"${DOLLAR}", "${A}", nil, nil},
		"missing":                   {"${B}-${C}-${B}", "--", []string{"B", "C", "B"}, nil},
		"empty is missing":          {"${EMPTY}", "", []string{"EMPTY"}, nil},
		"default":                   {"${B:-d e}", "d e", nil, nil},
		"default for empty":         {"${EMPTY:-d}", "d", nil, nil},
		"default not needed":        {"${A:-d}", "a", nil, nil},
		"empty default":             {"${B:-}", "", nil, nil},
		"default of default":        {"${B:-${C:-x}y}z", "xyz", nil, nil},
		"default is missing":        {"${B:-${C}}", "", []string{"C"}, nil},
		"dollar in default":         {"${B:-$$x}", "$x", nil, nil},
		"colon in default":          {"${B:-http://h:1}", "http://h:1", nil, nil},
		"braces are text":           {"{env} }", "{env} }", nil, nil},
		"unclosed":                  {"${A", "", nil, errUnclosed},
		"unclosed default":          {"${A:-x", "", nil, errUnclosed},
		"unclosed in default":       {"${A:-${B}", "", nil, errUnclosed},
		"no name":                   {"${}", "", nil, errVariable},
		"a space":                   {"${A B}", "", nil, errVariable},
		"a digit first":             {"${1A}", "", nil, errVariable},
		"other operators":           {"${A:?x}", "", nil, errVariable},
		"no colon":                  {"${A-x}", "", nil, errVariable},
		"no braces":                 {"$A", "", nil, errBare},
		"lower case is text":        {"$ecret", "$ecret", nil, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			list, err := pieces(tt.text)
			if !errors.Is(err, tt.err) {
				t.Fatalf("err = %v", err)
			}
			x := expansion{lookup: env(set)}
			got := x.join(list)
			if got != tt.want {
				t.Errorf("got %q", got)
			}
			if diff := cmp.Diff(tt.missing, x.missing); diff != "" {
				t.Error(diff)
			}
		})
	}
}

const remotes = head + `
secrets: [{name: TOKEN, required: true}]
persistence:
  default_remote: primary
  remotes:
    primary:
      bucket: ${BUCKET}
      path_prefix: ${PREFIX:-}
      options: {access_key_id: "${KEY}", region: "${REGION:-auto}", literal: "a$$b"}
    second: {bucket: other, options: {access_key_id: "${KEY2}"}}
    sealed: {type: crypt, wrap_remote: primary, wrap_path: "/${SEALED:-sealed}/", crypt: {password_env: PASSWORD, password2_env: SALT}}
    unused: {bucket: "${UNUSED}"}
  sync:
    - {name: a, path: /a}
    - {name: b, path: /b, remote: second, remote_path: "x/${TEAM}"}
    - {name: c, path: /c, remote: sealed}
services: [{name: web, command: [web], env: {KEY: "${WEB_KEY}", PORT: 80}}]
hooks: {pre_stop: [{command: [a], env: {A: "${HOOK_KEY}"}}]}
`

func TestTarget(t *testing.T) {
	s := mustParse(t, remotes)
	set := env(map[string]string{"BUCKET": "b\r\n", "KEY": "k", "PASSWORD": "p", "SALT": "s", "PREFIX": "/team//x/"})
	target, err := s.Target("sealed", "a//b/", set)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{
		"path": target.Path, "outer": target.Remotes[0].Name, "inner": target.Remotes[1].Name, "wrap": target.Remotes[0].WrapPath,
		"password": target.Remotes[0].Crypt.Password.Reveal(), "salt": target.Remotes[0].Crypt.Password2.Reveal(), "root": target.Remotes[1].Root(),
		"key": target.Remotes[1].Options["access_key_id"].Reveal(), "region": target.Remotes[1].Options["region"].Reveal(), "literal": target.Remotes[1].Options["literal"].Reveal(),
	}
	want := map[string]any{"path": "a/b", "outer": "sealed", "inner": "primary", "wrap": "sealed", "password": "p", "salt": "s", "root": "b/team/x", "key": "k", "region": "auto", "literal": "a$b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if s.Persistence.Remotes["primary"].Bucket != "${BUCKET}" || !s.Persistence.Remotes["sealed"].Crypt.Password.Empty() {
		t.Error("the spec itself was changed")
	}
}

// TestTargetErrors holds that each replica has its own reasons not to run.
func TestTargetErrors(t *testing.T) {
	s := mustParse(t, remotes)
	tests := map[string]struct {
		remote, path string
		set          map[string]string
		want         string
		missing      []string
	}{
		"nothing is set":       {"primary", "a", nil, "BUCKET and KEY are not set", []string{"BUCKET", "KEY"}},
		"one is set":           {"primary", "a", map[string]string{"KEY": "k"}, "BUCKET is not set", []string{"BUCKET"}},
		"one is empty":         {"primary", "a", map[string]string{"KEY": "k", "BUCKET": ""}, "BUCKET is not set", []string{"BUCKET"}},
		"the other remote":     {"second", "x/${TEAM}", map[string]string{"KEY": "k", "BUCKET": "b"}, "KEY2 and TEAM are not set", []string{"KEY2", "TEAM"}},
		"the whole chain":      {"sealed", "a", nil, "BUCKET, KEY, PASSWORD and SALT are not set", []string{"BUCKET", "KEY", "PASSWORD", "SALT"}},
		"no such remote":       {"nothing", "a", nil, `cannot find remote "nothing" in the spec`, nil},
		"a value that climbs":  {"second", "x/${TEAM}", map[string]string{"KEY2": "k", "TEAM": "../y"}, `cannot use remote path "x/${TEAM}": with its variables filled in it is empty or climbs out of the remote`, nil},
		"an empty path":        {"second", "${TEAM}", map[string]string{"KEY2": "k", "TEAM": "/"}, `cannot use remote path "${TEAM}": with its variables filled in it is empty or climbs out of the remote`, nil},
		"a bucket of two":      {"primary", "a", map[string]string{"KEY": "k", "BUCKET": "b/c"}, `cannot use remote "primary": the bucket's name has a slash or a space`, nil},
		"a prefix that climbs": {"primary", "a", map[string]string{"KEY": "k", "BUCKET": "b", "PREFIX": ".."}, `cannot use remote "primary": its path has ".."`, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := s.Target(tt.remote, tt.path, env(tt.set))
			if err == nil || err.Error() != tt.want {
				t.Fatalf("err = %v", err)
			}
			if diff := cmp.Diff(tt.missing, missingNames(err)); diff != "" {
				t.Error(diff)
			}
			if tt.missing != nil && len(hint.Of(err)) != 1 {
				t.Errorf("hints: %q", hint.Of(err))
			}
		})
	}
}

func TestVariableNames(t *testing.T) {
	s := mustParse(t, remotes)
	tests := map[string]struct{ got, want []string }{
		"a remote": {s.RemoteVariables("primary"), []string{"BUCKET", "KEY"}},
		"a chain":  {s.RemoteVariables("sealed"), []string{"BUCKET", "KEY", "PASSWORD", "SALT"}},
		"alone":    {s.Persistence.Remotes["sealed"].Variables(), []string{"PASSWORD", "SALT"}},
		"none":     {s.RemoteVariables("nothing"), nil},
		"all":      {needs(s), []string{"BUCKET", "HOOK_KEY", "KEY", "KEY2", "PASSWORD", "SALT", "TEAM", "TOKEN", "WEB_KEY"}},
	}
	for name, tt := range tests {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestExpandUnits(t *testing.T) {
	s := mustParse(t, remotes)
	if _, err := s.Services[0].Expand(env(nil)); err == nil || err.Error() != "WEB_KEY is not set" {
		t.Errorf("err = %v", err)
	}
	web, err := s.Services[0].Expand(env(map[string]string{"WEB_KEY": "k"}))
	if err != nil || web.Env["KEY"].Reveal() != "k" || web.Env["PORT"].Reveal() != "80" {
		t.Errorf("%v, %v", web, err)
	}
	if s.Services[0].Env["KEY"].Reveal() != "${WEB_KEY}" {
		t.Error("the spec itself was changed")
	}
	hook, err := s.Hooks[hooks.PreStop][0].Expand(env(map[string]string{"HOOK_KEY": "h"}))
	if err != nil || hook.Env["A"].Reveal() != "h" {
		t.Errorf("%v, %v", hook, err)
	}
}

func TestExpand(t *testing.T) {
	s := mustParse(t, remotes)
	set := map[string]string{}
	_, err := s.Expand(env(set))
	want := []string{"BUCKET", "HOOK_KEY", "KEY", "KEY2", "PASSWORD", "SALT", "TEAM", "UNUSED", "WEB_KEY"}
	if diff := cmp.Diff(want, missingNames(err)); diff != "" {
		t.Fatal(diff)
	}
	for i, name := range want {
		set[name] = "v" + strings.Repeat("x", i)
	}
	full, err := s.Expand(env(set))
	if err != nil {
		t.Fatal(err)
	}
	if got := full.Persistence.Sync[1].RemotePath; got != "x/"+set["TEAM"] {
		t.Errorf("remote path %q", got)
	}
	if full.Hooks[hooks.PreStop][0].Env["A"].Reveal() != set["HOOK_KEY"] || s.Hooks[hooks.PreStop][0].Env["A"].Reveal() != "${HOOK_KEY}" {
		t.Error("hooks were not expanded, or in place")
	}
}

// TestExpandFindsSharedPrefixes: two buckets that are one only at run time.
func TestExpandFindsSharedPrefixes(t *testing.T) {
	s := mustParse(t, head+`
persistence:
  default_remote: one
  remotes: {one: {bucket: "${A}"}, two: {bucket: "${B}"}}
  sync: [{name: a, path: /a, remote_path: x}, {name: b, path: /b, remote: two, remote_path: x/y}]
`)
	if _, err := s.Expand(env(map[string]string{"A": "a", "B": "b"})); err != nil {
		t.Error(err)
	}
	_, err := s.Expand(env(map[string]string{"A": "a", "B": "a"}))
	want := "spec.yaml:7:93: persistence.sync[1].remote_path lies in the prefix of persistence.sync[0]: give each replica a prefix of its own"
	if err == nil || err.Error() != want {
		t.Errorf("err = %v", err)
	}
}

func TestApplyEnvironment(t *testing.T) {
	tests := map[string]struct {
		value string
		want  time.Duration
		err   string
	}{
		"unset":    {"", 300 * time.Second, ""},
		"seconds":  {"30", 30 * time.Second, ""},
		"duration": {"2m", 2 * time.Minute, ""},
		"short":    {"9s", 300 * time.Second, "cannot use COLTEC_INTERVAL: it must be at least 10s"},
		"a word":   {"often", 300 * time.Second, "cannot use COLTEC_INTERVAL: it must be seconds or a duration such as 90s, 3m or 7d"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := mustParse(t, remotes)
			err := s.ApplyEnvironment(env(map[string]string{"COLTEC_INTERVAL": tt.value}))
			if (err == nil) != (tt.err == "") || err != nil && (err.Error() != tt.err || len(hint.Of(err)) != 1) {
				t.Errorf("err = %v", err)
			}
			for _, y := range s.Replicas() {
				if y.Interval != tt.want {
					t.Errorf("%s: %s", y.Name, y.Interval)
				}
			}
		})
	}
}

func TestDurations(t *testing.T) {
	tests := map[string]struct {
		want time.Duration
		bad  bool
	}{
		"0": {0, false}, "180": {180 * time.Second, false}, "0.5": {500 * time.Millisecond, false}, "3m": {3 * time.Minute, false},
		"500ms": {500 * time.Millisecond, false}, "1h30m": {90 * time.Minute, false}, "7d": {7 * 24 * time.Hour, false}, "2w": {14 * 24 * time.Hour, false},
		"1.5h": {90 * time.Minute, false}, "1m30": {0, true}, "": {0, true}, "m": {0, true}, "-1": {0, true}, "-1s": {0, true}, "1y": {0, true},
		"3 m": {0, true}, "99999999w": {0, true}, "1e3": {0, true}, "inf": {0, true}, "NaN": {0, true}, "1..5s": {0, true},
	}
	for text, tt := range tests {
		got, err := parseDuration(text)
		if got != tt.want || (err != nil) != tt.bad {
			t.Errorf("%q = %s, %v", text, got, err)
		}
	}
	for want, d := range map[string]time.Duration{"3m": 3 * time.Minute, "1h": time.Hour, "1h30m": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "10s": 10 * time.Second, "500ms": 500 * time.Millisecond, "0s": 0, "1m30s": 90 * time.Second} {
		if got := formatDuration(d); got != want {
			t.Errorf("%d is %q, want %q", d, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	tests := map[string]struct {
		want  Size
		bad   bool
		shown string
	}{
		"10MB": {10e6, false, "10MB"}, "10M": {10e6, false, "10MB"}, "512KiB": {512 << 10, false, "512KiB"}, "1gib": {1 << 30, false, "1GiB"},
		"1 GB": {1e9, false, "1GB"}, "1500": {1500, false, "1500B"}, "0": {0, false, "0B"}, "7B": {7, false, "7B"},
		"": {0, true, "0B"}, "MB": {0, true, "0B"}, "-1": {0, true, "0B"}, "1.5MB": {0, true, "0B"}, "10TB": {0, true, "0B"}, "99999999999GB": {0, true, "0B"},
	}
	for text, tt := range tests {
		got, err := parseSize(text)
		if got != tt.want || (err != nil) != tt.bad || got.String() != tt.shown {
			t.Errorf("%q = %d (%s), %v", text, got, got, err)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"interval", "priority", "path", "remote", "remote_path"}
	tests := map[string]string{"intervall": "interval", "intreval": "interval", "Interval": "interval", "pth": "path", "remotepath": "remote_path", "remot": "remote", "kubernetes": "", "x": "", "": ""}
	for text, want := range tests {
		if got := Nearest(text, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestShown holds what an error repeats of a value.
func TestShown(t *testing.T) {
	tests := map[string]string{"push": `"push"`, "": "the empty text", "a=b": "the value", "a+b/c": "the value", "a\nb": "the value", strings.Repeat("a", 81): "the value", "workspaces/{org}": `"workspaces/{org}"`}
	for value, want := range tests {
		if got := shown(value); got != want {
			t.Errorf("shown(%q) = %s", value, got)
		}
	}
}
