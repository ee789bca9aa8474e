// Command fork measures forks and joins: coltec and coltecd before one S3 server on loopback,
// through a proxy that counts. It ends with 1 when a goal is missed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/coltec/coltec/bench/internal/proc"
	"github.com/coltec/coltec/internal/s3test"
)

func main() {
	files := flag.Int("files", 10_000, "how many files the workspace has")
	forks := flag.Int("forks", 8, "how many forks are made of it")
	bin := flag.String("bin", "bin", "the directory of the programs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	b := &bench{ctx: ctx, files: *files, forks: *forks}
	err := b.begin(*bin)
	if err == nil {
		err = b.measure()
	}
	if err = errors.Join(err, b.end()); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// goal is how long forks of ten thousand files may take, all together.
const goal = 3 * time.Second

type bench struct {
	ctx          context.Context
	files, forks int
	bin, top     string
	s3           *s3test.Server
	proxy        *s3test.Proxy
	cpu          time.Duration // of the programs that ended
	missed       []string
}

func (b *bench) begin(bin string) (err error) {
	if b.bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	if b.top, err = os.MkdirTemp("", "coltec-fork-"); err != nil { // in TMPDIR, which is to be short: a socket's path goes in
		return err
	}
	if b.s3, err = s3test.Serve(context.WithoutCancel(b.ctx), s3test.Options{Dir: filepath.Join(b.top, "s3")}); err != nil {
		return err
	}
	target, err := url.Parse(b.s3.Endpoint)
	if err == nil {
		b.proxy, err = s3test.NewProxy(target)
	}
	return err
}

func (b *bench) end() error {
	if b.proxy != nil {
		b.proxy.Close()
	}
	if b.s3 != nil {
		b.s3.Close()
	}
	if len(b.missed) > 0 {
		return errors.Join(errors.New("missed: "+strings.Join(b.missed, "; ")), os.RemoveAll(b.top))
	}
	return os.RemoveAll(b.top)
}

// run runs a program as on a machine of its own.
func (b *bench) run(env, name string, args ...string) error {
	home := filepath.Join(b.top, env)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	cmd := exec.CommandContext(b.ctx, filepath.Join(b.bin, name), args...)
	cmd.Dir = home
	if name == "coltecd" {
		cmd.Dir = filepath.Join(home, "tree")
	}
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "XDG_RUNTIME_DIR=" + home, "XDG_STATE_HOME=" + home, "COLTEC_HOST=" + env,
		"COLTEC_RCLONE=" + filepath.Join(b.bin, "rclone"), "RCLONE_BUCKET=" + b.s3.Bucket, "RCLONE_S3_ENDPOINT=" + b.proxy.Endpoint,
		"RCLONE_S3_ACCESS_KEY_ID=" + b.s3.AccessKey, "RCLONE_S3_SECRET_ACCESS_KEY=" + b.s3.SecretKey,
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState != nil {
		b.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if err != nil {
		return fmt.Errorf("%s %q: %w\n%s", name, args, err, out)
	}
	return nil
}

// server is the CPU time of the S3 server so far.
func (b *bench) server() time.Duration {
	ours := proc.Tree(os.Getpid())
	return proc.CPU(slices.DeleteFunc(ours, func(pid int) bool { return pid == os.Getpid() }))
}

// machine makes the folder of a workspace that coltecd runs in.
func (b *bench) machine(env string) (tree string, err error) {
	tree = filepath.Join(b.top, env, "tree")
	spec, err := json.Marshal(map[string]any{
		"version": "1.0.0", "name": env, "metadata": map[string]string{"org": "acme", "project": "widget", "environment": env},
		"persistence": map[string]any{
			"enabled": true, "default_remote": "primary",
			"remotes": map[string]any{"primary": map[string]any{"type": "s3", "bucket": "${RCLONE_BUCKET}", "options": map[string]string{
				"provider": "Rclone", "region": "auto", "endpoint": "${RCLONE_S3_ENDPOINT}",
				"access_key_id": "${RCLONE_S3_ACCESS_KEY_ID}", "secret_access_key": "${RCLONE_S3_SECRET_ACCESS_KEY}",
			}}},
			"sync": []map[string]any{{"name": "workspace", "path": tree, "remote_path": "workspaces/{org}/{project}/{env}/workspace", "interval": 60, "exclude": []string{"/.devcontainer/**"}}},
		},
	})
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Join(tree, ".devcontainer"), 0o755), os.WriteFile(filepath.Join(tree, ".devcontainer/workspace-spec.yaml"), spec, 0o644))
	}
	return tree, err
}

// plant writes small files of words, 40 in a folder.
func plant(tree string, files int) error {
	random := rand.New(rand.NewPCG(20240229, uint64(files)))
	for i := range files {
		path := filepath.Join(tree, fmt.Sprintf("package%03d/file %06d.go", i/40, i))
		text := make([]byte, 200+random.IntN(6000))
		for j := range text {
			text[j] = "etaoin shrdlu\n"[random.IntN(14)]
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// timed measures what f does, and says what it cost.
func (b *bench) timed(name string, f func() error) (took time.Duration, content int64, err error) {
	b.proxy.Reset()
	cpu, server, began := b.cpu, b.server(), time.Now()
	err = f()
	took = time.Since(began)
	cpu, server = b.cpu-cpu, b.server()-server
	var bytes int64
	for _, r := range b.proxy.Requests() {
		n := r.Sent + r.Received
		bytes += n
		if strings.Contains(r.Key, ".coltec/o/") && r.Kind != s3test.Copy {
			content += n
		}
	}
	var kinds []string
	counts := b.proxy.Counts()
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", counts[kind], kind))
	}
	fmt.Printf("%-28s %6.2f s   CPU %.2f s, and %.2f of the server   %9d bytes by this host, %d of content   %s\n", name, took.Seconds(), cpu.Seconds(), server.Seconds(), bytes, content, strings.Join(kinds, ", "))
	return took, content, err
}

func (b *bench) measure() error {
	tree, err := b.machine("dev")
	if err == nil {
		err = plant(tree, b.files)
	}
	if err == nil {
		_, _, err = b.timed(fmt.Sprintf("push of %d files", b.files), func() error { return b.run("dev", "coltecd", "run", "--once") })
	}
	if err == nil {
		err = b.run("host", "coltec", "new", "dev", "--data", "org=acme", "--data", "project=widget", "--data", "env=dev", "--data", "provider=Rclone")
	}
	if err != nil {
		return err
	}
	took, content, err := b.timed(fmt.Sprintf("%d forks", b.forks), func() error { return b.run("host", "coltec", "fork", "dev", "try", "--count", fmt.Sprint(b.forks)) })
	switch {
	case err != nil:
		return err
	case took > goal:
		b.missed = append(b.missed, fmt.Sprintf("the forks took %.2f s, and may take %.0f", took.Seconds(), goal.Seconds()))
	}
	if content > 0 {
		b.missed = append(b.missed, fmt.Sprintf("%d bytes of content came by the host", content))
	}
	if _, _, err := b.timed("one more", func() error { return b.run("host", "coltec", "fork", "dev", "more") }); err != nil {
		return err
	}
	if _, err := b.machine("try-1"); err != nil {
		return err
	}
	_, _, err = b.timed("restore of a fork", func() error { return b.run("try-1", "coltecd", "run", "--once") })
	if err == nil {
		err = b.join(tree)
	}
	return err
}

// join measures what it costs to bring back a hundred files that were written in a fork.
func (b *bench) join(tree string) error {
	made := filepath.Join(b.top, "try-1/tree/made")
	err := os.MkdirAll(made, 0o755)
	for i := range 100 {
		if err == nil {
			err = os.WriteFile(filepath.Join(made, fmt.Sprint(i)), fmt.Appendf(nil, "file %d of the fork", i), 0o644)
		}
	}
	for _, run := range []func() error{
		func() error { return b.run("try-1", "coltecd", "run", "--once") },
		func() error { return b.run("dev", "coltecd", "start", "--wait") },
	} {
		if err == nil {
			err = run()
		}
	}
	if err != nil {
		return err
	}
	if _, _, err = b.timed("told what a join does", func() error { return b.run("dev", "coltecd", "join", "--dry-run", "acme/widget/try-1") }); err == nil {
		_, _, err = b.timed("join of 100 new files", func() error { return b.run("dev", "coltecd", "join", "acme/widget/try-1") })
	}
	if _, failed := os.Stat(filepath.Join(tree, "made/99")); err == nil {
		err = failed
	}
	return errors.Join(err, b.run("dev", "coltecd", "stop"))
}
