package rclone

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What a spec must not say on a host, by back end: looked at one by one.
var harmful = map[string]string{
	"s3":     "shared_credentials_file profile sdk_log_mode",
	"webdav": "bearer_token_command unix_socket",
	"sftp": `key_file pubkey_file key_use_agent ssh known_hosts_file ask_password md5sum_command sha1sum_command crc32sum_command
		sha256sum_command blake3sum_command xxh3sum_command xxh128sum_command server_command set_env`,
	"crypt": "remote password password2", // which this program sets itself
}

// TestEveryOptionIsLookedAt holds both tables to the pinned rclone: an option that a
// later one brings must be put into one of them.
func TestEveryOptionIsLookedAt(t *testing.T) {
	bin := realBinary(t)
	option := regexp.MustCompile(`(?m)^- Config: +(\S+)`)
	for kind, known := range harmless {
		out, err := exec.Command(bin.Path, "help", "backend", kind).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		all := append(strings.Fields(known), strings.Fields(harmful[kind])...)
		var has []string
		for _, m := range option.FindAllStringSubmatch(string(out), -1) {
			has = append(has, m[1])
			if !slices.Contains(all, m[1]) {
				t.Errorf("%s: nobody looked at the option %s", kind, m[1])
			}
		}
		if len(has) == 0 {
			t.Errorf("rclone help backend %s names no options: %s", kind, out)
		}
		for _, name := range all {
			if !slices.Contains(has, name) {
				t.Errorf("%s has no option %s", kind, name)
			}
		}
		for _, name := range strings.Fields(harmful[kind]) {
			if (Backend{Name: "p", Type: kind, Options: map[string]string{name: "x"}}).Check(Store, nil) == nil {
				t.Errorf("%s.%s is taken on a host", kind, name)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		kind, option, value string
		host, container     string // a word of the error; "": taken
		allowed             string
	}{
		{"s3", "endpoint", "https://s3.example.com", "", "", ""},
		{"sftp", "ssh", "/bin/sh -c x", "names a command", "names a command", ""},
		{"sftp", "ssh", "/bin/sh -c x", "", "", "sftp.ssh"},
		{"sftp", "SSH", "/bin/sh -c x", "names a command", "names a command", ""},
		{"sftp", "type", "webdav", "a type among", "a type among", ""},
		{"sftp", "type", "webdav", "a type among", "a type among", "sftp.type"},
		{"sftp", "TYPE", "webdav", "a type among", "a type among", ""},
		{"sftp", "bearer_token_command", "touch x", "names a command", "names a command", ""},
		{"sftp", "override.metadata_mapper", "touch x", "not an option", "not an option", ""},
		{"sftp", "global.password_command", "touch x", "not an option", "not an option", "sftp.global.password_command"},
		{"sftp", "server_command", "x", "names a file here, or is not known", "", ""}, // the server runs it
		{"sftp", "key_file", "/root/.ssh/id", "names a file", "", ""},
		{"sftp", "key_use_agent", "true", "names a file", "", ""},
		{"webdav", "bearer_token_command", "touch x", "names a command", "names a command", ""},
		{"webdav", "bearer_token_command", "touch x", "names a command", "names a command", "webdav"},
		{"webdav", "unix_socket", "/var/run/docker.sock", "names a file", "", ""},
		{"webdav", "bearer-token-command", "touch x", "names a command", "names a command", ""},
		{"s3", "env_auth", "true", "", "", ""},
		{"s3", "shared_credentials_file", "/x", "what can name one", "what can name one", ""},
		{"s3", "shared-credentials-file", "/x", "what can name one", "what can name one", ""},
		{"s3", "shared_credentials_file", "/x", "", "", "s3.shared_credentials_file"},
		{"s3", "profile", "x", "what can name one", "what can name one", ""},
		{"s3", "profile", "x", "", "", "s3.profile"},
		{"s3", "sdk_log_mode", "Signing", "coltecd's own", "coltecd's own", ""},
		{"local", "links", "true", "of type local", "", ""},
		{"local", "links", "true", "", "", "local"},
		{"alias", "remote", "/etc", "of type alias", "", ""},
		{"alias", "remote", ":sftp,ssh='touch x':/", "of type alias", "describes another remote", ""},
		{"union", "upstreams", "a: :sftp,ssh=x:", "of type union", "describes another remote", ""},
		{"combine", "upstreams", `dir=:webdav,bearer_token_command="x":`, "of type combine", "describes another remote", ""},
		{"chunker", "remote", "primary,ssh=x:", "of type chunker", "describes another remote", ""},
		{"combine", "upstreams", "a=p:\tb=:sftp,ssh=x:", "of type combine", "describes another remote", ""},
		{"cache", "plex_remote", ":sftp,ssh=x:", "of type cache", "describes another remote", ""},
	} {
		b := Backend{Name: "p", Type: c.kind, Options: map[string]string{c.option: c.value}}
		for reach, want := range map[Reach]string{Store: c.host, Container: c.container} {
			err := b.Check(reach, strings.Fields(c.allowed))
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s.%s=%s, allowed %q, reach %d: %v, want %q", c.kind, c.option, c.value, c.allowed, reach, err, want)
			}
		}
	}
}

// Whoever wrote a spec could have rclone run a program in the container, as another user:
// by a second type among the options, by the profile of a file, and by options that make
// a remote of their own.
func TestASpecsOptionsRunNothing(t *testing.T) {
	bin := realBinary(t)
	mark := filepath.Join(t.TempDir(), "mark")
	credentials := filepath.Join(t.TempDir(), "credentials")
	touch := "touch " + mark
	if err := os.WriteFile(credentials, []byte("[default]\ncredential_process = "+touch+"\n[p]\ncredential_process = "+touch+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const nowhere = "http://127.0.0.1:9"
	for name, b := range map[string]Backend{
		"a second type":     {Type: "sftp", Options: map[string]string{"type": "webdav", "url": nowhere, "bearer_token_command": touch}},
		"a file's command":  {Type: "s3", Options: map[string]string{"env_auth": "true", "endpoint": nowhere, "shared_credentials_file": credentials}},
		"a profile's":       {Type: "s3", Options: map[string]string{"env_auth": "true", "endpoint": nowhere, "shared-credentials-file": credentials, "profile": "p"}},
		"a phantom":         {Type: "alias", Options: map[string]string{"remote": "p_q:", "q_type": "sftp", "q_ssh": touch, "q_host": "h"}},
		"a phantom of sftp": {Type: "sftp", Options: map[string]string{"type": "alias", "remote": "p_q:", "q_type": "webdav", "q_url": nowhere, "q_bearer_token_command": touch}},
		"a flag":            {Type: "local", Options: map[string]string{"override.metadata": "true", "global.password_command": touch, "override.metadata_mapper": touch}},
	} {
		b.Name = "p"
		err := b.Check(Container, nil)
		var environ []string
		if err == nil {
			environ, _, err = environment([]Backend{b}, os.LookupEnv)
		}
		if err == nil {
			cmd := exec.Command(bin.Path, "lsf", "--retries=1", "--low-level-retries=1", "--contimeout=1s", "p:bucket")
			cmd.Env = environ
			out, _ := cmd.CombinedOutput()
			t.Logf("%s: %s", name, out)
		}
		if _, ran := os.Stat(mark); ran == nil {
			t.Errorf("%s: it ran", name)
		}
		if err == nil {
			t.Errorf("%s: it is taken", name)
		}
		_ = os.Remove(mark)
	}
}
