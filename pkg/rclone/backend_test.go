package rclone

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/secret"
)

// lookupIn looks up in a map.
func lookupIn(vars map[string]string) Lookup {
	return func(name string) (string, bool) {
		value, set := vars[name]
		return value, set
	}
}

func TestEnvironment(t *testing.T) {
	outer := lookupIn(map[string]string{
		"PATH": "/bin", "HOME": "/home/x", "https_proxy": "http://proxy", "SSL_CERT_FILE": "/ca", "TZ": "",
		"RCLONE_CONFIG_PRIMARY_TYPE": "evil", "RCLONE_VERBOSE": "3", "COLTEC_SECRET": "x",
		"AWS_ACCESS_KEY_ID": "outer", "SSH_AUTH_SOCK": "/agent",
	})
	always := []string{"HOME=/home/x", "PATH=/bin", "RCLONE_ASK_PASSWORD=false", "RCLONE_CONFIG=notfound", "RCLONE_LOCAL_ENCODING=Raw", "SSL_CERT_FILE=/ca", "https_proxy=http://proxy"}
	tests := map[string]struct {
		backends []Backend
		want     []string // beside always
	}{
		"none": {},
		"s3": {
			[]Backend{{Name: "primary", Type: "s3", Options: map[string]string{"provider": "Cloudflare", "secret_access_key": "abcdef"}}},
			[]string{"RCLONE_CONFIG_PRIMARY_NO_CHECK_BUCKET=true", "RCLONE_CONFIG_PRIMARY_PROVIDER=Cloudflare", "RCLONE_CONFIG_PRIMARY_SECRET_ACCESS_KEY=abcdef", "RCLONE_CONFIG_PRIMARY_TYPE=s3"},
		},
		"a default is overridden": {
			[]Backend{{Name: "p", Type: "s3", Options: map[string]string{"no_check_bucket": "false"}}},
			[]string{"RCLONE_CONFIG_P_NO_CHECK_BUCKET=false", "RCLONE_CONFIG_P_TYPE=s3"},
		},
		"a dash stays in the name and goes from the option": {
			[]Backend{{Name: "my-l", Type: "local", Options: map[string]string{"no-sparse": "true"}}},
			[]string{"RCLONE_CONFIG_MY-L_NO_SPARSE=true", "RCLONE_CONFIG_MY-L_TYPE=local"},
		},
		"env_auth passes the AWS variables": {
			[]Backend{{Name: "p", Type: "s3", Options: map[string]string{"env_auth": "true"}}},
			[]string{"AWS_ACCESS_KEY_ID=outer", "RCLONE_CONFIG_P_ENV_AUTH=true", "RCLONE_CONFIG_P_NO_CHECK_BUCKET=true", "RCLONE_CONFIG_P_TYPE=s3"},
		},
		"sftp passes the agent": {
			[]Backend{{Name: "p", Type: "sftp"}},
			[]string{"RCLONE_CONFIG_P_TYPE=sftp", "SSH_AUTH_SOCK=/agent"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, _, err := environment(tt.backends, outer)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]bool{}
			for _, v := range append(always, tt.want...) {
				want[v] = true
			}
			have := map[string]bool{}
			for _, v := range got {
				have[v] = true
			}
			if diff := cmp.Diff(want, have); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefusedBackends(t *testing.T) {
	tests := map[string]struct {
		backends []Backend
		root     string
		want     string
		hint     string
	}{
		"name":       {[]Backend{{Name: "a:b", Type: "s3"}}, "a:", `cannot set up the remote: the remote is not set up right: "a:b" cannot be the name of a remote`, "use letters, digits, - and _"},
		"bucket":     {[]Backend{{Name: "a", Type: "s3", Options: map[string]string{"bucket": "x"}}}, "a:", `the s3 remote "a" has a bucket among its options`, "the bucket is the first element of the root"},
		"joined":     {[]Backend{{Name: "a", Type: "crypt", Options: map[string]string{"b_ssh": "x"}}, {Name: "A_b", Type: "sftp"}}, "a:", `the option b_ssh of the remote "a" would be one of the remote "A_b"`, `rename the remote "A_b"`},
		"same":       {[]Backend{{Name: "a", Type: "s3"}, {Name: "A", Type: "s3"}}, "a:", "two remotes or options share the variable RCLONE_CONFIG_A_", `rename the remote "A"`},
		"collision":  {[]Backend{{Name: "a", Type: "s3", Options: map[string]string{"b_type": "x"}}, {Name: "a_b", Type: "s3"}}, "a:", `the option b_type of the remote "a" would be one of the remote "a_b"`, `rename the remote "a_b"`},
		"unknown":    {[]Backend{{Name: "a", Type: "s3"}}, "b:x", `no remote is named "b"`, "name one of the remotes"},
		"zero bytes": {[]Backend{{Name: "a", Type: "s3", Options: map[string]string{"region": "a\x00b"}}}, "a:", "holds a zero byte", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := NewRemote(Binary{}, tt.backends, tt.root, Options{Env: noEnv})
			if err == nil || !strings.Contains(err.Error(), tt.want) || ClassOf(err) != Config {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if tt.hint != "" && !strings.Contains(strings.Join(hint.Of(err), "\n"), tt.hint) {
				t.Errorf("hints %q, want %q", hint.Of(err), tt.hint)
			}
		})
	}
}

func TestScrub(t *testing.T) {
	_, secrets, err := environment([]Backend{
		{Name: "p", Type: "s3", Options: map[string]string{"secret_access_key": "a/b+c=d&e", "access_key_id": "AKIDAKID", "env_auth": "true", "region": "eu-west"}},
		{Name: "c", Type: "crypt", Passwords: map[string]string{"password": "short"}},
	}, lookupIn(map[string]string{"AWS_SESSION_TOKEN": "session\"quoted"}))
	if err != nil {
		t.Fatal(err)
	}
	redactor := secret.NewRedactor(secrets...)
	tests := map[string]string{
		"raw a/b+c=d&e here":            "raw ******** here",
		"query a%2Fb%2Bc%3Dd%26e":       "query ********",
		"id AKIDAKID, pw short, true":   "id ********, pw ********, true",
		`json session\"quoted, eu-west`: "json ********, eu-west",
	}
	for in, want := range tests {
		if got := string(redactor.Redact([]byte(in))); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

// The obscuring is rclone's own: what we obscure it reveals.
func TestObscure(t *testing.T) {
	bin := realBinary(t)
	for _, plain := range []string{"x", "a pass phrase", "ümläut\x01\"", strings.Repeat("long", 100)} {
		obscured, err := obscure(plain)
		if err != nil {
			t.Fatal(err)
		}
		// There is no `rclone reveal` in the slim build, but an obscured password
		// is one that crypt can open: a name sealed with rclone's own obscuring
		// reads the same under ours.
		out, err := exec.Command(bin.Path, "obscure", plain).Output()
		if err != nil {
			t.Fatal(err)
		}
		theirs := strings.TrimSpace(string(out))
		if a, b := sealedName(t, bin, obscured), sealedName(t, bin, theirs); a != b {
			t.Errorf("%q: crypt calls a file %q with our obscuring, %q with rclone's", plain, a, b)
		}
	}
}

// sealedName returns how crypt calls the file "name" under a password.
func sealedName(t *testing.T, bin Binary, obscured string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(bin.Path, "rcat", "c:name")
	cmd.Env = []string{
		"RCLONE_CONFIG=" + noConfig, "HOME=/", "RCLONE_CONFIG_C_TYPE=crypt",
		"RCLONE_CONFIG_C_REMOTE=" + dir, "RCLONE_CONFIG_C_PASSWORD=" + obscured,
	}
	cmd.Stdin = strings.NewReader("x")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	for name := range readTree(t, dir) {
		return name
	}
	t.Fatal("crypt wrote nothing")
	return ""
}

// A proof of what a store does counts for this rclone and this place alone, and
// not for one person alone.
func TestIdentity(t *testing.T) {
	remote := func(bin Version, name, root string, options map[string]string) *Remote {
		r, err := NewRemote(Binary{Version: bin}, []Backend{{Name: name, Type: "s3", Options: options}}, Root(name, root), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	of := func(bin Version, name, root string, options map[string]string) string {
		return remote(bin, name, root, options).Identity()
	}
	options := func(provider, endpoint, key string) map[string]string {
		return map[string]string{"provider": provider, "endpoint": endpoint, "access_key_id": key, "secret_access_key": "secret of " + key}
	}
	version := Version{1, 76, 0}
	same := of(version, "primary", "b/p", options("Minio", "http://one", "ann"))
	if got := of(version, "other", "b/p", options("Minio", "http://one", "bob")); got != same {
		t.Error("another name, or another person, is another store")
	}
	for what, got := range map[string]string{
		"another rclone":   of(Version{1, 75, 0}, "primary", "b/p", options("Minio", "http://one", "ann")),
		"another bucket":   of(version, "primary", "c/p", options("Minio", "http://one", "ann")),
		"another prefix":   of(version, "primary", "b/q", options("Minio", "http://one", "ann")),
		"another provider": of(version, "primary", "b/p", options("Ceph", "http://one", "ann")),
		"another endpoint": of(version, "primary", "b/p", options("Minio", "http://two", "ann")),
	} {
		if got == same || len(got) != 24 {
			t.Errorf("%s is the same store: %q", what, got)
		}
	}
	one := remote(version, "primary", "b/p", options("Minio", "http://one", "ann")).Service()
	if got := remote(version, "primary", "c/q", options("Minio", "http://one", "ann")).Service(); got != one {
		t.Error("another bucket is another service")
	}
	if got := remote(version, "primary", "b/p", options("Minio", "http://two", "ann")).Service(); got == one {
		t.Error("another endpoint is the same service")
	}
}
