package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/feature"
	"github.com/coltec/coltec/pkg/graft"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/isolation"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

func cmdDoctor(p *program) *cli.Command {
	return &cli.Command{
		Name:      "doctor",
		Usage:     "check what this host and the bucket of a workspace need, each finding with its fix",
		ArgsUsage: "[DIR]",
		Flags:     append([]cli.Flag{&cli.BoolFlag{Name: "json", Usage: "answer in JSON"}}, secretFlags()...),
		Action:    func(c *cli.Context) error { return p.doctor(c) },
	}
}

const (
	// skewLimit is far below what S3 stores take before they refuse a request: 15
	// minutes.
	skewLimit = 5 * time.Minute
	// watchesLeast is enough for a few workspaces with node_modules.
	watchesLeast = 65536
	// instancesLeast is what kernels have by default. All containers of a user share
	// them, and editors take dozens.
	instancesLeast = 128
	// probePatience bounds the test of a bucket: twice what rclone takes to say that
	// nobody answers.
	probePatience = 10 * time.Second
)

// finding is what was found of one thing.
type finding struct {
	Name    string   `json:"name"`
	State   string   `json:"state"` // ok, fail, or skipped: problem says why it could not be looked at
	Problem string   `json:"problem,omitempty"`
	Fix     []string `json:"fix,omitempty"`
}

// findings are made one after the other.
type findings struct{ list []finding }

// check notes how a look at something went, and reports whether it went well.
func (f *findings) check(name string, err error) bool {
	if err == nil {
		f.list = append(f.list, finding{Name: name, State: "ok"})
		return true
	}
	f.list = append(f.list, finding{Name: name, State: "fail", Problem: err.Error(), Fix: hint.Of(err)})
	return false
}

// skip notes what could not be looked at.
func (f *findings) skip(why string, names ...string) {
	for _, name := range names {
		f.list = append(f.list, finding{Name: name, State: "skipped", Problem: why})
	}
}

func (f *findings) failed() bool {
	return slices.ContainsFunc(f.list, func(x finding) bool { return x.State == "fail" })
}

// String is the answer for people.
func (f *findings) String() string {
	labels := map[string]string{"ok": "ok", "fail": "FAIL", "skipped": "skip"}
	var b strings.Builder
	for _, x := range f.list {
		fmt.Fprintf(&b, "%-5s %s", labels[x.State], x.Name)
		if x.Problem != "" {
			fmt.Fprintf(&b, ": %s", x.Problem)
		}
		b.WriteString("\n")
		for _, fix := range x.Fix {
			fmt.Fprintf(&b, "      fix: %s\n", fix)
		}
	}
	return b.String()
}

func (p *program) doctor(c *cli.Context) error {
	f := &findings{}
	p.examineHost(c.Context, f)
	w, err := p.open(c.Context, c.Args().First())
	switch {
	case errors.Is(err, errNoWorkspace) && !c.Args().Present():
		f.skip("there is none in this folder: coltec doctor DIR", "workspace")
	case f.check("workspace", err):
		p.examine(c, f, w)
	}
	if c.Bool("json") {
		if err := p.printJSON(f.list); err != nil {
			return err
		}
	} else {
		fmt.Fprint(p.out, f)
	}
	if f.failed() {
		return cmdline.Exit{Code: cmdline.CodeFailed}
	}
	return nil
}

// examineHost looks at what every workspace here needs.
func (v environment) examineHost(ctx context.Context, f *findings) {
	tools, err := devcontainer.Docker(v.environ)
	if err == nil {
		_, err = tools.List(ctx, devcontainer.LabelOrg)
	}
	name := "docker"
	if err == nil || tools.Docker != "" {
		name = tools.Client()
	}
	f.check(name, err)
	f.check("dev container CLI", devcontainer.Examine(ctx, v.environ))
	err = nil
	if len(feature.Find(v.binDirs()...)) == 0 {
		err = feature.Missing(v.binDirs()...)
	}
	f.check("coltecd and rclone for containers", err)
	f.check("inotify watches", inotify("max_user_watches", watchesLeast, 524288))
	f.check("inotify instances", inotify("max_user_instances", instancesLeast, 1024))
}

// inotify looks at a limit of the kernel that all containers share.
func inotify(name string, least, better int) error {
	b, err := os.ReadFile("/proc/sys/fs/inotify/" + name)
	if err != nil {
		return nil // not Linux: Docker's own machine has them
	}
	return enough(name, string(b), least, better)
}

func enough(name, text string, least, better int) error {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n >= least {
		return nil
	}
	return hint.Wrap(fmt.Errorf("fs.inotify.%s is %d, few for several workspaces: changes are seen later", name, n),
		"sudo sysctl fs.inotify.%s=%d, and the same line in /etc/sysctl.d/ for the next boot", name, better)
}

// What is found of a workspace's bucket.
const (
	findRclone     = "rclone on this host"
	findBucket     = "bucket"
	findReading    = "reading and listing"
	findConditions = "conditional writes"
	findClock      = "clock"
)

// examine looks at what one workspace needs.
func (p *program) examine(c *cli.Context, f *findings, w *workspace) {
	at, err := configAt(w.folder)
	if err == nil {
		_, err = readConfig(w.folder, at)
	}
	if f.check("devcontainer.json", err) {
		f.check("paths of the replicas", pathsFault(w))
		f.check("user of the container", p.userFault(c.Context, w))
		f.check("the Feature in devcontainer.json", featureFault(w.folder, at))
		f.check("commands of a first start", commandsFault(w))
		p.examineMounts(c.Context, f, w)
	}
	if looked, err := p.containerFault(c.Context, w); looked {
		f.check("the container and the spec", err)
	}
	values, err := p.collect(c, w.folder, w.spec, nil)
	secrets := f.check("secrets", err)
	if secrets { // also of those that it can do without
		f.check("secrets agreed to", p.withheld(c, w))
	}
	bin, err := p.rclone(c.Context)
	hasRclone := f.check(findRclone, err)
	switch {
	case !w.hasBucket():
		f.skip(errNoRemote.Error(), findBucket, findReading, findConditions, findClock)
	case !secrets:
		f.skip("the secrets are missing", findBucket, findReading, findConditions, findClock)
	case !hasRclone:
		f.skip("there is no rclone to ask it with", findBucket, findReading, findConditions, findClock)
	default:
		root, err := p.headRemote(w, values, bin)
		examineBucket(c.Context, f, w, root, err)
	}
	if w.spec.Networking.Enabled {
		f.check("tailnet", tailnetFault(w, values))
	}
}

// userFault is why the container's user could not write what it finds in the folder.
func (v environment) userFault(ctx context.Context, w *workspace) error {
	tools, err := devcontainer.Docker(v.environ)
	if err != nil {
		return nil // said of the host
	}
	config, err := readConfig(w.folder, configName)
	if err != nil {
		return nil // said of the file
	}
	info, err := os.Stat(w.folder)
	if err != nil {
		return err
	}
	owner := -1
	if uid, _, ok := ownerOf(info); ok {
		owner = uid
	}
	if tools.Elsewhere(ctx) != "" {
		return nil // there it is in a volume, which is the user's
	}
	return ownerFault(w.folder, owner, devcontainer.UserOf(config.text), tools.Rootless(ctx), tools.Podman())
}

// ownerFault is why a user in the container cannot write a folder of the user owner here.
func ownerFault(folder string, owner int, user string, rootless, podman bool) error {
	const asRoot = `set "remoteUser": "root" in devcontainer.json (coltec update DIR --data user=root)`
	switch {
	case user == "" || user == "root" || user == "0":
		return nil
	case rootless && !podman: // Podman is asked to keep the id
		return hint.Wrap(fmt.Errorf("docker is rootless: in the container the folder is root's, and %s cannot write it", user),
			"%s: root there is no more than you here", asRoot)
	case owner == 0 && !rootless:
		return hint.Wrap(fmt.Errorf("the folder is root's, and the container's user is %s, who cannot write it", user),
			"give it to that user, who has the id 1000 in most images: chown -R 1000:1000 %s; or %s", hint.Word(folder), asRoot)
	}
	return nil
}

// commandsFault is why commands of devcontainer.json run too early.
func commandsFault(w *workspace) error { return firstFault(w, isolation.Early) }

// pathsFault is why replicas are at paths where the folder is not.
func pathsFault(w *workspace) error { return firstFault(w, isolation.Misplaced) }

// firstFault is the first of what is found in a workspace.
func firstFault(w *workspace, find func(isolation.Workspace) []isolation.Finding) error {
	own, err := lookAt(w.folder)
	if err != nil {
		return err
	}
	if found := find(*own); len(found) > 0 {
		return hint.Wrap(errors.New(found[0].Text), "%s", found[0].Fix)
	}
	return nil
}

// featureFault is why the container of a devcontainer.json would have no coltecd.
func featureFault(folder, at string) error {
	text, err := optional(folder, at)
	if err != nil {
		return err
	}
	has, err := graft.Has(at, text)
	if err == nil && !has {
		has, err = graft.Published(text)
	}
	if err == nil && !has {
		err = hint.Wrap(fmt.Errorf("%s has no Feature %q: its container has no coltecd, unless its image brings it", at, graft.Feature(at)), "coltec init %s", hint.Word(folder))
	}
	return err
}

// containerFault compares the container of a workspace with its spec; looked is false when
// none runs.
func (v environment) containerFault(ctx context.Context, w *workspace) (looked bool, fault error) {
	tools, err := devcontainer.Docker(v.environ)
	if err != nil {
		return false, nil
	}
	ct, ok, err := tools.Of(ctx, w.folder)
	if err != nil || !ok || !ct.Running {
		return false, nil
	}
	found, err := lookInside(ctx, tools, ct, w)
	return true, errors.Join(err, found.fault(w))
}

// examineBucket tries conditional writes where the workspace's head is, on a key of
// its own.
func examineBucket(ctx context.Context, f *findings, w *workspace, root *rclone.Remote, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, probePatience, fmt.Errorf("no answer within %s", probePatience))
	defer cancel()
	var result rclone.ProbeResult
	if err == nil {
		result, err = root.Probe(ctx, path.Join(path.Dir(store.HeadKey(w.spec.ID())), "probe-doctor-"+rand.Text()))
	}
	dir := path.Dir(store.HeadKey(w.spec.ID()))
	if err == nil && result.Gone != nil {
		err = result.Gone()
	}
	if rclone.ClassOf(err) == rclone.ClockSkew {
		f.skip("it refuses this clock", findBucket, findReading, findConditions)
		f.check(findClock, err)
		return
	}
	if !f.check(findBucket, err) {
		f.skip("the bucket does not answer", findReading, findConditions, findClock)
		return
	}
	f.check(findReading, readable(ctx, root, dir))
	f.check(findConditions, weak(result, w.spec.Persistence.Lease.BestEffort))
	f.check(findClock, skew(result.ServerTime, time.Now()))
}

// readable is why a directory of a store cannot be listed, or it cannot be found out that
// something is not there: the first that a start does.
func readable(ctx context.Context, root *rclone.Remote, dir string) error {
	if _, err := root.List(ctx, dir); err != nil && !errors.Is(err, rclone.ErrNotFound) { // where directories are real
		return err
	}
	_, err := root.Get(ctx, path.Join(dir, "probe-doctor-"+rand.Text()), 1)
	if errors.Is(err, rclone.ErrNotFound) {
		return nil
	}
	return err
}

// weak is the error of a store that ignores conditions, where nobody said that it
// will do.
func weak(result rclone.ProbeResult, bestEffort bool) error {
	if result.Strong() || bestEffort {
		return nil
	}
	if result.Refusal != nil {
		return hint.Wrap(fmt.Errorf("the bucket takes writes, and refuses conditional ones, so nothing but you keeps two machines apart: %v", result.Refusal),
			"where a proxy or a gateway stands before the store, let If-Match and If-None-Match through, or ask the store itself; else use a store that knows them (S3, R2, MinIO), or set persistence.lease.best_effort: true")
	}
	return hint.Wrap(errors.New("the bucket does not honour conditional writes: nothing but you keeps two machines apart"),
		"use a store that does (S3, R2, MinIO), or set persistence.lease.best_effort: true")
}

// skew is the error of a clock that is far from the store's.
func skew(server, now time.Time) error {
	d := now.Sub(server)
	if server.IsZero() || d.Abs() <= skewLimit {
		return nil
	}
	direction := "ahead of"
	if d < 0 {
		direction = "behind"
	}
	return hint.Wrap(fmt.Errorf("this clock is %s %s the store's", d.Abs().Round(time.Second), direction), "set it: sudo timedatectl set-ntp true")
}

// tailnetFault is what keeps a workspace out of its tailnet: no key, or what
// coltecd said last.
func tailnetFault(w *workspace, values secret.Values) error {
	hasKey := slices.ContainsFunc(spec.TailnetKeys, func(name string) bool { return !values[name].Empty() })
	doc, _, err := readStatus(w.folder)
	known := err == nil && doc.Network != nil
	switch {
	case known && doc.Network.State == status.NetworkRunning:
		return nil // its node keeps its own key
	case !hasKey:
		return hint.Wrap(fmt.Errorf("%s is not set", spec.TailnetKeys[0]),
			"make an auth key in the admin console of the tailnet, and give it as a secret: fnox set %s", spec.TailnetKeys[0])
	case known && doc.Network.State == status.NetworkOffline:
		return hint.Wrap(errors.New("joined, but the control server cannot be reached"), "see coltec logs %s tailscaled; it keeps trying", hint.Word(w.folder))
	case known && doc.Network.State == status.NetworkBlocked:
		return hint.Wrap(errors.New(doc.Network.LastError), "then: coltec up %s", hint.Word(w.folder))
	case known && doc.Network.LastError != "":
		return hint.Wrap(fmt.Errorf("not joined yet: %s", doc.Network.LastError), "see coltec logs %s tailscale-up", hint.Word(w.folder))
	}
	return nil
}
