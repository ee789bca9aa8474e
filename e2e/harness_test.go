// Package e2e shows the whole on real parts: the built coltecd, the pinned
// rclone, and an S3 server on loopback.
//
// A world is one bucket; a machine is a folder, a runtime directory and an
// environment of its own, so that several machines on one host do not know of
// each other:
//
//	w := newWorld(t)
//	a, b := w.machine("a"), w.machine("b")
//	a.spec(nil)          // .devcontainer/workspace-spec.yaml
//	a.once()             // acquire, push, release
//	b.spec(nil)
//	b.start()            // or supervised
//	sameTree(t, a.tree(), b.tree())
package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/status"
)

// patience is the deadline of every wait: far above what anything takes on a
// busy machine.
const patience = 3 * time.Minute

// The programs under test; set by TestMain.
var coltecd, coltec, rclonePath string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

// testMain builds the programs once, with the race detector where the test has it.
func testMain(m *testing.M) int {
	if job := os.Getenv(writerVariable); job != "" {
		return beWriter(job)
	}
	dir, err := os.MkdirTemp("", "coltec-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = errors.Join(os.Chmod(dir, 0o755), build(dir)) // see asUser
	}
	if err == nil {
		rclonePath, err = s3test.Rclone()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot test end to end:", err)
		return 1
	}
	return m.Run()
}

func build(dir string) error {
	if made := os.Getenv("COLTEC_E2E_BIN"); made != "" { // those of a release
		coltecd, coltec = filepath.Join(made, "coltecd"), filepath.Join(made, "coltec")
		return nil
	}
	args := []string{"build", "-o", dir + "/"}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "../cmd/coltecd", "../cmd/coltec", "../cmd/coltec-mcp")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	coltecd, coltec = filepath.Join(dir, "coltecd"), filepath.Join(dir, "coltec")
	return nil
}

// world is one bucket that machines share.
type world struct {
	t        *testing.T
	s3       *s3test.Server
	proxy    *s3test.Proxy // before s3: counts and breaks
	endpoint string        // what new machines talk to: the proxy, which sees all
	machines []*machine
}

// newWorld starts an S3 server with a proxy before it. What the machines of
// the world wrote into their logs is shown when the test fails.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, s3: s3test.Start(t)}
	w.proxy = w.s3.Proxy(t)
	w.endpoint = w.proxy.Endpoint
	return w
}

// objects lists the keys in the bucket with their sizes, as the server's
// directory shows them.
func (w *world) objects() map[string]int64 {
	w.t.Helper()
	root := filepath.Join(w.s3.Dir, w.s3.Bucket)
	found := map[string]int64{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if p != root && errors.Is(err, fs.ErrNotExist) { // the server removes a directory with the last object in it
			return nil
		}
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".rclone_temp_put_") { // under way in the server
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		rel, _ := filepath.Rel(root, p)
		if err == nil {
			found[rel] = info.Size()
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// rclone runs plain rclone, as a person with the same bucket would. The remote
// is called R; {bucket} in an argument stands for R:BUCKET.
func (w *world) rclone(args ...string) string {
	w.t.Helper()
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "{bucket}", "R:"+w.s3.Bucket)
	}
	cmd := exec.Command(rclonePath, args...)
	cmd.Env = []string{"RCLONE_CONFIG=notfound", "HOME=" + w.t.TempDir(), "RCLONE_CONFIG_R_TYPE=s3"}
	for option, value := range w.s3.Options(w.s3.Endpoint) {
		cmd.Env = append(cmd.Env, "RCLONE_CONFIG_R_"+strings.ToUpper(option)+"="+value)
	}
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("rclone %q: %v\n%s", args, err, &talk)
	}
	return out.String()
}

// machine is one place that a workspace is opened at.
type machine struct {
	t       *testing.T
	world   *world
	name    string
	dir     string            // the workspace's folder; a space is in its path
	runtime string            // XDG_RUNTIME_DIR
	uid     int               // who coltecd runs as there
	env     map[string]string // of every coltecd that is started from now on
	program string            // another coltecd than the one that is built for all
	left    []process         // what a kill may have left: ended with the test
	within  []string          // what every coltecd there is started by; nil: nothing
	ownPIDs bool              // it has pids of its own: those that it tells mean something else here
	// Of a machine that is a box: see boxed.
	inside func(ctx context.Context, program string, args ...string) *exec.Cmd // runs a program in it
	specAt string                                                              // its spec's path in there
}

// process is a pid that cannot be mistaken: numbers are given again.
type process struct {
	pid   int
	start string
}

// machine makes a place. All that runs there ends with the test.
func (w *world) machine(name string) *machine {
	w.t.Helper()
	runtime, err := os.MkdirTemp("/tmp", "ct-") // short: a socket goes in
	if err != nil {
		w.t.Fatal(err)
	}
	m := &machine{
		t: w.t, world: w, name: name, runtime: runtime, uid: os.Getuid(),
		dir: filepath.Join(w.t.TempDir(), name+" work tree"),
	}
	m.env = map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": filepath.Dir(m.dir), "TMPDIR": filepath.Dir(m.dir),
		"XDG_RUNTIME_DIR": runtime, "COLTEC_RCLONE": rclonePath, "COLTEC_HOST": name,
		"RCLONE_BUCKET": w.s3.Bucket, "RCLONE_S3_ENDPOINT": w.endpoint,
		"RCLONE_S3_ACCESS_KEY_ID": w.s3.AccessKey, "RCLONE_S3_SECRET_ACCESS_KEY": w.s3.SecretKey,
	}
	if err := os.Mkdir(m.dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.machines = append(w.machines, m)
	w.t.Cleanup(m.end)
	return m
}

// asUser makes coltecd run as an ordinary user there, where the tests themselves
// run as root: to root a read-only directory is none.
func (m *machine) asUser() {
	m.t.Helper()
	if m.uid != 0 {
		return
	}
	m.uid = 65534
	if err := os.Chmod(filepath.Dir(filepath.Dir(m.dir)), 0o755); err != nil { // t.TempDir made it for us alone
		m.t.Fatal(err)
	}
	m.own()
}

// own gives all at the machine to whom coltecd runs as there.
func (m *machine) own() {
	m.t.Helper()
	for _, top := range []string{filepath.Dir(m.dir), m.runtime} {
		err := filepath.WalkDir(top, func(p string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(p, m.uid, m.uid))
		})
		if err != nil {
			m.t.Fatal(err)
		}
	}
}

// end stops what runs at the machine, by its ids, and shows the log of a test
// that failed.
func (m *machine) end() {
	if i, ok := m.instance(); ok && !m.ownPIDs {
		m.left = append(m.left, below(i.PID)...)
		m.left = append(m.left, processOf(i.Keeper), processOf(i.PID))
	}
	for _, p := range m.left {
		p.kill()
	}
	for _, p := range m.left {
		if !p.awaitEnd(patience) {
			m.t.Errorf("process %d of machine %s survives KILL", p.pid, m.name)
		}
	}
	if m.t.Failed() {
		m.t.Logf("machine %s:\n%s", m.name, m.log())
	}
	_ = os.RemoveAll(m.runtime)
	loosen(filepath.Dir(m.dir))
}

// loosen lets a tree with read-only directories be removed by anybody.
func loosen(root string) {
	_ = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
}

// log is the end of coltecd's log at the machine.
func (m *machine) log() string {
	b, _ := os.ReadFile(filepath.Join(m.dir, ".devcontainer/logs/coltecd.log"))
	if len(b) > 8<<10 {
		b = b[len(b)-8<<10:]
	}
	return string(b)
}

// specOptions is what tests vary of a spec; the rest is the same for all.
type specOptions struct {
	Env        string // metadata.environment
	TTL, Renew string
	Keep       string // history.keep
	Replicas   []replicaSpec
	Services   []map[string]any
	More       map[string]any // further top-level keys, as they stand in the file
}

// replicaSpec is one persistence.sync entry.
type replicaSpec struct {
	Name        string   `json:"name"`
	Path        string   `json:"path"`
	RemotePath  string   `json:"remote_path,omitempty"`
	Direction   string   `json:"direction,omitempty"`
	Layout      string   `json:"layout,omitempty"`
	Interval    int      `json:"interval"`
	Watch       bool     `json:"watch"` // not by default: tests say themselves when a cycle runs
	Priority    int      `json:"priority"`
	Exclude     []string `json:"exclude,omitempty"`
	Include     []string `json:"include,omitempty"`
	File        bool     `json:"file,omitempty"`
	Git         string   `json:"git,omitempty"`
	Consistency any      `json:"consistency,omitempty"`
}

// prefix is where the replica of that name lies in the bucket by default.
func prefix(name string) string { return "workspaces/acme/widget/dev/" + name }

// spec writes the machine's spec. By default it has one bidirectional replica,
// "workspace", of the whole folder but .devcontainer: the path of the folder is
// in the spec and differs between machines of one host.
func (m *machine) spec(change func(*specOptions)) {
	m.t.Helper()
	o := specOptions{Env: "dev", TTL: "60s", Renew: "4s", Keep: "7d", Replicas: []replicaSpec{m.replica("workspace", m.dir)}}
	if change != nil {
		change(&o)
	}
	doc := map[string]any{
		"version": "1.0.0", "name": o.Env,
		"metadata": map[string]any{"org": "acme", "project": "widget", "environment": o.Env},
		"persistence": map[string]any{
			"enabled": true, "default_remote": "primary",
			"remotes": map[string]any{"primary": map[string]any{
				"type": "s3", "bucket": "${RCLONE_BUCKET}",
				"options": map[string]string{
					"provider": "Rclone", "endpoint": "${RCLONE_S3_ENDPOINT}",
					"access_key_id": "${RCLONE_S3_ACCESS_KEY_ID}", "secret_access_key": "${RCLONE_S3_SECRET_ACCESS_KEY}",
				},
			}},
			"lease":   map[string]string{"ttl": o.TTL, "renew": o.Renew},
			"history": map[string]string{"keep": o.Keep},
			"sync":    o.Replicas,
		},
	}
	if len(o.Services) > 0 {
		doc["services"] = o.Services
	}
	maps.Copy(doc, o.More)
	body, err := json.MarshalIndent(doc, "", "  ") // every JSON document is a YAML document
	if err != nil {
		m.t.Fatal(err)
	}
	m.write(".devcontainer/workspace-spec.yaml", string(body))
}

// replica is a sync entry as specs have it by default.
func (m *machine) replica(name, path string) replicaSpec {
	return replicaSpec{
		Name: name, Path: path, RemotePath: "workspaces/{org}/{project}/{env}/" + name,
		Interval: 10, Priority: 1, Exclude: []string{"/.devcontainer/**"},
	}
}

// command is coltecd with the machine's environment, in its folder.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	program := m.program
	if program == "" {
		program = coltecd
	}
	argv := slices.Concat(m.within, []string{program}, args)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = m.dir
	if m.inside != nil {
		cmd = m.inside(ctx, program, args...)
	}
	for name, value := range m.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		cmd.Env = append(cmd.Env, "GOCOVERDIR="+dir)
	}
	if m.uid != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(m.uid), Gid: uint32(m.uid)}}
	}
	cmd.WaitDelay = patience / 10 // what holds its output ends by then
	return cmd
}

// run runs a verb to its end.
func (m *machine) run(args ...string) (stdout, stderr string, exit int) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, talk bytes.Buffer
	cmd := m.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	var ended *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &ended) {
		m.t.Fatalf("%s: coltecd %q: %v, %v\n%s%s", m.name, args, err, ctx.Err(), &out, &talk)
	}
	return out.String(), talk.String(), cmd.ProcessState.ExitCode()
}

// must runs a verb that has to succeed, and returns what it said, answer and
// talk.
func (m *machine) must(args ...string) string {
	m.t.Helper()
	out, talk, code := m.run(args...)
	if code != 0 {
		m.t.Fatalf("%s: coltecd %q ended with %d:\n%s%s", m.name, args, code, out, talk)
	}
	return out + talk
}

// once is a whole session without services: restore, push, release.
func (m *machine) once() string { m.t.Helper(); return m.must("run", "--once") }

// start starts coltecd in the background and waits for its restore.
func (m *machine) start() { m.t.Helper(); m.must("start", "--wait") }

// sync runs a cycle of the running coltecd.
func (m *machine) sync(args ...string) string {
	m.t.Helper()
	return m.must(append([]string{"sync"}, args...)...)
}

// stop stops coltecd in order.
func (m *machine) stop() { m.t.Helper(); m.must("stop", "--timeout", "150s") }

// instance is the note of the running coltecd.
func (m *machine) instance() (control.Instance, bool) {
	path, err := filepath.EvalSymlinks(filepath.Join(m.dir, ".devcontainer/workspace-spec.yaml"))
	if m.specAt != "" {
		path, err = m.specAt, nil
	}
	if err != nil {
		return control.Instance{}, false
	}
	i, ok, err := control.Find(control.Runtime{Spec: path, XDG: m.runtime, Tmp: m.runtime, UID: m.uid})
	return i, ok && err == nil
}

// status asks the running coltecd.
func (m *machine) status() status.Document {
	m.t.Helper()
	out, talk, code := m.run("status", "--json")
	var doc status.Document
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		m.t.Fatalf("%s: status ended with %d: %v\n%s%s", m.name, code, err, out, talk)
	}
	return doc
}

// replicaStatus is one replica of the status.
func (m *machine) replicaStatus(name string) status.Replica {
	m.t.Helper()
	return replicaIn(m.t, m.status(), name)
}

func replicaIn(t *testing.T, doc status.Document, name string) status.Replica {
	t.Helper()
	i := slices.IndexFunc(doc.Replicas, func(r status.Replica) bool { return r.Name == name })
	if i < 0 {
		t.Fatalf("no replica %q in %+v", name, doc)
	}
	return doc.Replicas[i]
}

// await asks for the status until it is as wanted.
func (m *machine) await(what string, wanted func(status.Document) bool) status.Document {
	m.t.Helper()
	var doc status.Document
	eventually(m.t, m.name+": "+what, func() error {
		i, ok := m.instance()
		if !ok {
			return errors.New("coltecd does not run")
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var err error
		if doc, err = control.Dial(i.Socket).Status(ctx); err != nil {
			return err
		}
		if !wanted(doc) {
			return fmt.Errorf("the status is %s", inline(doc))
		}
		return nil
	})
	return doc
}

func inline(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// eventually asks again until there is no error: every 20 ms, because what is
// waited for is in other processes, which send no events.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in %s: %s: %v", patience, what, err)
		}
	}
}

// kill9 kills the keeper and coltecd with KILL, and waits for their end. What
// they ran is left to itself, as a crash does, and ended with the test.
func (m *machine) kill9() {
	m.t.Helper()
	i, ok := m.instance()
	if !ok || m.ownPIDs {
		m.t.Fatalf("%s: nothing runs that could be killed by its pid", m.name)
	}
	m.left = append(m.left, below(i.PID)...)
	for _, p := range []process{processOf(i.Keeper), processOf(i.PID)} { // the keeper first: it would start another
		p.kill()
		if !p.awaitEnd(patience) {
			m.t.Fatalf("%s: process %d survives KILL", m.name, p.pid)
		}
	}
}

// processOf is the process that has the pid now.
func processOf(pid int) process { return process{pid, startOf(pid)} }

// kill ends the process if it is still the one.
func (p process) kill() {
	if p.alive() {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
}

func (p process) alive() bool { return p.pid > 1 && p.start != "" && startOf(p.pid) == p.start }

// awaitEnd waits until the process has ended; a zombie has.
func (p process) awaitEnd(limit time.Duration) bool {
	if p.pid <= 1 {
		return true
	}
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return !p.alive()
	}
	defer unix.Close(fd)
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for deadline := time.Now().Add(limit); p.alive() && time.Now().Before(deadline); {
		_, _ = unix.Poll(poll, 100) // a pidfd is readable when its process has ended
	}
	return !p.alive()
}

// statOf are the fields of /proc/PID/stat from the state on.
func statOf(pid int) []string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
}

// startOf is when a process began; "" when there is none, or only a zombie.
func startOf(pid int) string {
	f := statOf(pid)
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return ""
	}
	return f[19]
}

// below lists the descendants of a process: of none below the first one of all.
func below(pid int) []process {
	if pid <= 1 {
		return nil
	}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	children := map[int][]int{}
	for _, dir := range dirs {
		child, _ := strconv.Atoi(filepath.Base(dir))
		if f := statOf(child); len(f) > 1 {
			parent, _ := strconv.Atoi(f[1])
			children[parent] = append(children[parent], child)
		}
	}
	var found []process
	for queue := children[pid]; len(queue) > 0; queue = queue[1:] {
		found = append(found, processOf(queue[0]))
		queue = append(queue, children[queue[0]]...)
	}
	return found
}

// node is all that is kept of one path.
type node struct {
	Kind   string // file, dir or link; or its mode, for what is not kept
	Mode   string // not of links
	MTime  int64  // nanoseconds; not of directories
	Target string // of links
	Size   int64
	Sum    string // sha256 of a file's content
}

// treeOf describes a tree completely, but for what lies under the given
// directories of it. Keys are quoted paths, so that any byte can be read.
func treeOf(t *testing.T, root string, without ...string) map[string]node {
	t.Helper()
	found := map[string]node{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		rel := p[len(root)+1:] // filepath.Rel would clean
		if slices.Contains(without, rel) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		n, err := nodeOf(p)
		found[strconv.Quote(rel)] = n
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func nodeOf(path string) (node, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return node{}, err
	}
	perm := fmt.Sprintf("%04o", info.Sys().(*syscall.Stat_t).Mode&0o7777)
	switch {
	case info.IsDir():
		return node{Kind: "dir", Mode: perm}, nil
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return node{Kind: "link", MTime: info.ModTime().UnixNano(), Target: target}, err
	case !info.Mode().IsRegular():
		return node{Kind: info.Mode().String()}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return node{}, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return node{
		Kind: "file", Mode: perm, MTime: info.ModTime().UnixNano(), Size: info.Size(), Sum: hex.EncodeToString(h.Sum(nil)),
	}, err
}

// tree describes what the machine's default replica carries.
func (m *machine) tree() map[string]node {
	m.t.Helper()
	return treeOf(m.t, m.dir, ".coltec", ".devcontainer")
}

// sameTree compares two descriptions.
func sameTree(t *testing.T, want, got map[string]node) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("the trees differ (-want +got):\n%s", firstLines(diff, 80))
	}
}

func firstLines(text string, n int) string {
	lines := strings.SplitAfterN(text, "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], "")
}

// path is a path below the machine's folder.
func (m *machine) path(rel string) string { return m.dir + "/" + rel }

// write writes a file below the machine's folder, with the directories it needs.
func (m *machine) write(rel, content string) {
	m.t.Helper()
	path := m.path(rel)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		m.t.Fatal(err)
	}
}

// remove removes what is at a path, with all below it.
func (m *machine) remove(rel string) {
	m.t.Helper()
	if _, err := os.Lstat(m.path(rel)); err != nil {
		m.t.Fatal(err)
	}
	if err := os.RemoveAll(m.path(rel)); err != nil {
		m.t.Fatal(err)
	}
}

// read reads a file below the machine's folder.
func (m *machine) read(rel string) string {
	m.t.Helper()
	b, err := os.ReadFile(m.path(rel))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(b)
}

// missing reports whether nothing is at a path.
func (m *machine) missing(rel string) bool {
	_, err := os.Lstat(m.path(rel))
	return errors.Is(err, fs.ErrNotExist)
}

// kept lists what lies in a directory of what is kept aside ("conflicts" or
// "replaced") below a replica's root, by path without the directory of its time.
func kept(t *testing.T, root, kind string) map[string]string {
	t.Helper()
	top := filepath.Join(root, ".coltec", kind)
	found := map[string]string{}
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		_, rel, _ := strings.Cut(p[len(top)+1:], "/")
		if d.Type()&fs.ModeSymlink != 0 {
			found[rel], err = os.Readlink(p)
			return err
		}
		b, err := os.ReadFile(p)
		found[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
