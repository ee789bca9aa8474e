package hostile

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// started are the programs that a host verb may start; lsb_release is started by rclone, to
// say what it runs on. fnox and git are not among them before somebody agreed to what the
// workspaces here ask.
var started = []string{"coltec", "docker", "devcontainer", "rclone", "lsb_release"}

// startedTrusted are those for a workspace that is trusted.
var startedTrusted = append([]string{"fnox", "git"}, started...)

// commands are specs' options of rclone that name a program, and places that lead to one.
// EVIL stands for a program that leaves a mark.
var commands = map[string]string{
	"sftp ssh":              `{type: sftp, options: {host: h, user: u, ssh: "EVIL"}}`,
	"sftp ssh in a list":    `{type: sftp, options: {host: h, ssh: "EVIL -x"}}`,
	"webdav bearer command": `{type: webdav, options: {url: "http://127.0.0.1:9", bearer_token_command: "EVIL"}}`,
	"alias of sftp":         `{type: alias, options: {remote: ":sftp,ssh=EVIL,host=h:"}}`,
	"union with sftp":       `{type: union, options: {upstreams: ":sftp,ssh=EVIL,host=h:x"}}`,
	"combine with webdav":   `{type: combine, options: {upstreams: "a=:webdav,bearer_token_command=EVIL:x"}}`,
	"crypt of webdav":       `{type: crypt, wrap_remote: inner, crypt: {password_env: GITHUB_TOKEN}}, inner: {type: webdav, options: {url: "http://127.0.0.1:9", bearer_token_command: "EVIL"}}`,
	"chunker of sftp":       `{type: chunker, options: {remote: ":sftp,ssh=EVIL,host=h:x"}}`,
	"archive of sftp":       `{type: archive, options: {remote: ":sftp,ssh=EVIL,host=h:x"}}`,
	"hasher of sftp":        `{type: hasher, options: {remote: ":sftp,ssh=EVIL,host=h:x"}}`,
	"cache of sftp":         `{type: cache, options: {remote: ":sftp,ssh=EVIL,host=h:x"}}`,
	"s3 with a profile":     `{type: s3, bucket: b, options: {env_auth: "true", profile: p, shared_credentials_file: "MARK.aws"}}`,
	"s3 with a plug-in":     `{type: s3, bucket: b, options: {provider: AWS, sdk_log_mode: "EVIL", directory_bucket: "true"}}`,
	"local":                 `{type: local, path_prefix: /}`,
	"http by a proxy":       `{type: http, options: {url: "http://127.0.0.1:9", headers: "EVIL"}}`,
	"swift with a file":     `{type: swift, options: {env_auth: "true", key: k, application_credential_secret: "EVIL"}}`,
	"gcs with a file":       `{type: gcs, options: {service_account_file: "MARK.json"}}`,
	"password command":      `{type: s3, bucket: b, options: {password_command: "EVIL"}}`,
	"a global option":       `{type: s3, bucket: b, options: {"global.metadata_mapper": "EVIL"}}`,
	"an unknown type":       `{type: "EVIL"}`,
	"a connection string":   `{type: ":sftp,ssh=EVIL,host=h:"}`,
	"a bucket elsewhere":    `{type: s3, bucket: "x:/,ssh=EVIL"}`,
}

// refused are the sentences about those that no spec can have anywhere; the others are
// remotes that a spec cannot have on a host.
var refused = map[string]string{
	"s3 with a plug-in":   "has the option sdk_log_mode, which is coltecd's own",
	"a global option":     "has a key that is not an rclone option",
	"an unknown type":     "type must be one of rclone's back ends",
	"a connection string": "type must be one of rclone's back ends",
	"a bucket elsewhere":  "bucket has a slash",
}

// files are other files of a workspace that make tools run programs.
var files = map[string]string{
	".devcontainer/devcontainer.json": `{"image": "i", "initializeCommand": "EVIL", "runArgs": ["--volume=/:/host"], "build": {"dockerfile": "../Dockerfile"}}`,
	"fnox.toml": "default_provider = 'p'\nimport = ['MARK.toml']\n[providers.p]\ntype = 'age'\nkey_file = 'MARK.age'\nrecipients = ['age1']\n" +
		"[providers.q]\ntype = 'custom'\ncommand = 'EVIL'\n[secrets]\nFROM_PLUGIN = {provider = 'q', value = 'v'}\nFROM_AGE = {provider = 'p', value = 'v'}\n",
	".devcontainer/.coltec/answers.yaml": "template: 'ext::EVIL'\nversion: '1'\nanswers: {}\n",
	".git/config":                        "[core]\n\tfsmonitor = EVIL\n\tsshCommand = EVIL\n\thooksPath = MARK.hooks\n[diff]\n\texternal = EVIL\n[alias]\n\tstatus = !EVIL\n",
	".git/HEAD":                          "ref: refs/heads/main\n",
	".envrc":                             "EVIL\n",
	"mise.toml":                          "[hooks]\nenter = 'EVIL'\n",
	"Makefile":                           "$(shell EVIL)\n",
}

// TestNoVerbRunsTheWorkspacesWords traces what every host verb starts in workspaces whose
// files name programs wherever some tool reads one.
func TestNoVerbRunsTheWorkspacesWords(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("apt-get install strace")
	}
	tools := tooled(t)
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"rclone": rclonePath, "coltecd": coltecd, "git": git} {
		if err := os.Symlink(path, filepath.Join(tools, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(tools, "fnox"), []byte("#!/bin/sh\necho '{\"FROM_PLUGIN\": \"x\", \"FROM_AGE\": \"x\"}'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, remote := range commands {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			mark := filepath.Join(home, "mark")
			evil := filepath.Join(home, "evil")
			for at, text := range map[string]string{evil: "#!/bin/sh\n: >" + mark + "\n", mark + ".toml": "[secrets]\n"} {
				if err := os.WriteFile(at, []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			named := strings.NewReplacer("EVIL", evil, "MARK", mark)
			dir := filepath.Join(home, "w")
			for file, text := range files {
				forkPut(t, dir, file, named.Replace(text), 0o644)
			}
			forkPut(t, dir, ".devcontainer/workspace-spec.yaml", fmt.Sprintf(`version: "1.0.0"
name: dev
metadata: {org: acme, project: widget, environment: dev}
secrets: [{name: GITHUB_TOKEN}%s]
persistence:
  enabled: true
  default_remote: primary
  remotes: {primary: %s}
  sync: [{name: files, path: /workspace}]
`, map[string]string{"local": ", {name: FROM_PLUGIN}, {name: FROM_AGE}"}[name], named.Replace(remote)), 0o644)
			speak := [][]string{{"doctor", dir}, {"ls", dir}, {"export", dir, filepath.Join(home, "out")}} // to the remote
			var others [][]string
			if name == "sftp ssh" {
				others = [][]string{
					{"up", dir}, {"check", dir}, {"ls"}, {"ls", "--local"}, {"status", dir}, {"logs", dir}, {"exec", dir, "--", "true"},
					{"secrets", "export", dir, "-o", "-"}, {"update", "--check", dir}, {"update", dir},
					{"trust", "--dry-run", dir}, {"down", dir}, {"hop", dir}, {"new", filepath.Join(home, "n"), "--defaults", "--template", dir},
				}
			}
			try := func(may []string, wants string, verbs ...[]string) {
				t.Helper()
				for _, args := range verbs {
					said := traced(t, strace, tools, dir, may, args...)
					if _, err := os.Stat(mark); err == nil {
						t.Errorf("coltec %s ran what the workspace names:\n%s", args[0], said)
						_ = os.Remove(mark)
					}
					if !strings.Contains(said, wants) {
						t.Errorf("coltec %s does not say %q:\n%s", args[0], wants, said)
					}
				}
			}
			try(started, "", slices.Concat(speak, others)...)
			// Whoever says yes to all has the remote refused all the same.
			try(started, "", []string{"trust", dir})
			try(startedTrusted, cmp.Or(refused[name], "a spec cannot"), speak...)
			try(startedTrusted, "", others...)
		})
	}
}

// execve is a line of strace for a program that was started.
var execve = regexp.MustCompile(`execve\("([^"]*)".* = 0$`)

// traced runs a verb under strace, and fails for each program that it may not start.
func traced(t *testing.T, strace, tools, dir string, may []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	log := filepath.Join(t.TempDir(), "trace")
	cmd := exec.CommandContext(ctx, strace, append([]string{"-f", "-qq", "--seccomp-bpf", "-e", "trace=execve", "-s", "4096", "-o", log, coltec}, args...)...)
	cmd.Dir = filepath.Dir(dir)
	cmd.Env = []string{"PATH=" + tools, "HOME=" + filepath.Dir(dir), "DIR=" + dir, "COLTEC_BIN=" + tools, "GITHUB_TOKEN=of-the-user"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, _ := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("coltec %q does not end", args)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	seen := 0
	for _, line := range strings.Split(string(b), "\n") {
		m := execve.FindStringSubmatch(line)
		if m != nil {
			seen++
		}
		if m != nil && !slices.Contains(may, filepath.Base(m[1])) {
			t.Errorf("coltec %q starts %s", args, m[1])
		}
	}
	if seen == 0 {
		t.Fatalf("strace saw nothing:\n%s\n%s", b, out)
	}
	return string(out)
}
