package daemon

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/unit"
)

const wired = `
version: 1
name: dev-a
metadata: {org: acme, project: widget}
secrets: [{name: TOKEN, required: true}, {name: KEY}]
persistence:
  default_remote: sealed
  remotes:
    primary:
      type: s3
      bucket: ${BUCKET}
      options: {access_key_id: "${ID}", secret_access_key: "${KEY}", session_token: "${SESSION:-none}"}
    sealed: {type: crypt, wrap_remote: primary, wrap_path: sealed, crypt: {password_env: PASS}}
  sync:
    - {name: workspace, path: /workspace, remote: sealed}
services:
  - name: web
    command: [npm, start]
    env: {MODE: dev, KEY: "${KEY}"}
    restart: on-failure
    stop: {signal: INT, grace: 3s}
    after: [restore, db]
    ready: {exec: [curl, localhost]}
  - {name: db, command: [postgres], dir: /var, env: {X: "${NOWHERE}"}}
hooks:
  pre_stop: [{command: [sync], on_failure: fail}]
`

func wiring(t *testing.T, text string, environ ...string) setting {
	t.Helper()
	sp, err := spec.Parse("spec.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return setting{spec: sp, folder: "/workspace", runtime: "/run/x", environ: environ}
}

func byName(units []unit.Unit) map[string]unit.Unit {
	m := map[string]unit.Unit{}
	for _, u := range units {
		m[u.Name] = u
	}
	return m
}

func TestUnits(t *testing.T) {
	s := wiring(t, wired, "PATH=/bin", "BUCKET=b", "ID=i", "KEY=k", "SESSION=s", "PASS=p", "TOKEN=t", "TS_AUTHKEY=a", "RCLONE_CONFIG_X_PASS=q")
	units := byName(s.units(noRclone))
	web := units["web"]
	want := unit.Unit{
		Name: "web", Kind: unit.Service, Argv: []string{"npm", "start"}, Dir: "/workspace",
		// KEY because it is listed, TOKEN because it opens no remote.
		Env:     []string{"KEY=k", "MODE=dev", "PATH=/bin", "TOKEN=t"},
		Restart: unit.OnFailure, Stop: unit.Stop{Signal: syscall.SIGINT, Grace: 3 * time.Second},
		After:      []string{"restore", "db"},
		Backoff:    unit.Backoff{Base: 500 * time.Millisecond, Max: time.Minute, Factor: 2},
		StartLimit: unit.StartLimit{Burst: 10, Window: 5 * time.Minute},
		Ready:      &unit.Probe{Exec: []string{"curl", "localhost"}, Interval: time.Second, Timeout: 30 * time.Second},
	}
	if diff := cmp.Diff(want, web); diff != "" {
		t.Error(diff)
	}
	if db := units["db"]; db.Blocked != "NOWHERE is not set" || db.Dir != "/var" {
		t.Errorf("db: blocked %q, dir %q", db.Blocked, db.Dir)
	}
	hook := units["pre-stop-1"]
	if hook.Point != string(hooks.PreStop) || hook.OnFailure != unit.Fail || !slices.Contains(hook.Env, "COLTEC_HOOK=pre_stop") {
		t.Errorf("hook: %+v, env %q", hook, hook.Env)
	}
}

func TestOnly(t *testing.T) {
	s := wiring(t, wired)
	s.only = []string{"web", "workspace"}
	units := byName(s.units(noRclone))
	if _, ok := units["db"]; ok {
		t.Error("db is there")
	}
	if diff := cmp.Diff([]string{"restore"}, units["web"].After); diff != "" {
		t.Error(diff)
	}
}

func TestSecretValues(t *testing.T) {
	s := wiring(t, wired, "BUCKET=thebucket", "ID=theid", "KEY=thekey", "SESSION=thesession", "PASS=thepass", "TOKEN=thetoken", "PATH=/bin")
	got := secretValues(s.spec, s.environ)
	slices.Sort(got)
	if diff := cmp.Diff([]string{"theid", "thekey", "thepass", "thesession", "thetoken"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestBackends(t *testing.T) {
	s := wiring(t, wired, "BUCKET=b", "ID=i", "KEY=k", "PASS=p")
	target, err := s.spec.Target("sealed", "workspaces/x", lookup(s.environ))
	if err != nil {
		t.Fatal(err)
	}
	want := []rclone.Backend{
		{Name: "sealed", Type: "crypt", Passwords: map[string]string{"password": "p"}, Options: map[string]string{
			"remote": "primary:b/sealed", "filename_encryption": "standard", "directory_name_encryption": "true"}},
		{Name: "primary", Type: "s3", Options: map[string]string{"access_key_id": "i", "secret_access_key": "k", "session_token": "none"}},
	}
	got, err := s.policy().Backends(target)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

const mounts = `
version: 1
name: dev-a
metadata: {org: acme, project: widget}
persistence:
  mode: mounted
  remotes: {primary: {type: s3, bucket: "${BUCKET}"}}
  mounts: [{name: data, target: /data, source: data}]
`

func TestMount(t *testing.T) {
	_, err := os.Stat(fuseDevice)
	tests := map[string]struct {
		environ []string
		rclone  func() (rclone.Binary, error)
		blocked string
	}{
		"well":            {[]string{"BUCKET=b", "PATH=/bin"}, noRclone, ""},
		"no rclone":       {[]string{"BUCKET=b"}, func() (rclone.Binary, error) { return rclone.Binary{}, errors.New("no rclone") }, "no rclone"},
		"missing a value": {nil, noRclone, "BUCKET is not set"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			u := byName(wiring(t, mounts, tt.environ...).units(tt.rclone))["data"]
			want := tt.blocked
			if err != nil {
				want = "FUSE is missing"
			}
			if !strings.HasPrefix(u.Blocked, want) || want == "" && u.Blocked != "" {
				t.Errorf("blocked %q, want %q", u.Blocked, want)
			}
			if u.Blocked == "" && (u.Argv[1] != "mount" || !slices.Contains(u.Argv, "/data") || !slices.Contains(u.Ready.Exec, "/data")) {
				t.Errorf("argv %q, ready %q", u.Argv, u.Ready.Exec)
			}
		})
	}
}

func TestSomeLines(t *testing.T) {
	if got := someLines([]string{"a", "b"}); got != "a\nb" {
		t.Errorf("%q", got)
	}
	long := strings.Repeat("x", 40<<10)
	if got := someLines([]string{long, long}); got != long+"\n" {
		t.Errorf("%d bytes", len(got))
	}
}
