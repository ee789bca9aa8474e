package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/store"
)

// listing measures how long it takes to list the workspaces of a bucket.
type listing struct {
	ctx      context.Context
	bin, top string
	rclone   string
	s3       *s3test.Server
	proxy    *s3test.Proxy
	bucket   string
}

// look is one way to look at so many workspaces.
type look struct {
	Heads    int
	Digests  bool
	Latency  time.Duration
	By       string
	Took     time.Duration // the median of a few
	Requests map[string]int
}

// looks are how often each way is measured.
const looks = 5

func newListing(ctx context.Context, bin, top string) (l *listing, err error) {
	l = &listing{ctx: ctx, top: top}
	if l.bin, err = filepath.Abs(bin); err != nil {
		return nil, err
	}
	l.rclone = filepath.Join(l.bin, "rclone")
	if err = l.serve(); err == nil {
		_, err = l.run("coltec", "new", "desk", "--data", "org=acme", "--data", "project=widget", "--data", "env=desk", "--data", "provider=Rclone")
	}
	if err != nil {
		l.end()
		return nil, err
	}
	return l, nil
}

// serve starts a server: one that runs does not see what is put into its directory.
func (l *listing) serve() (err error) {
	l.end()
	if l.s3, err = s3test.Serve(context.WithoutCancel(l.ctx), s3test.Options{Dir: filepath.Join(l.top, "s3")}); err != nil {
		return err
	}
	l.bucket = l.s3.Bucket
	target, err := url.Parse(l.s3.Endpoint)
	if err == nil {
		l.proxy, err = s3test.NewProxy(target)
	}
	return err
}

func (l *listing) end() {
	if l.proxy != nil {
		l.proxy.Close()
	}
	if l.s3 != nil {
		l.s3.Close()
	}
	l.proxy, l.s3 = nil, nil
}

// fill has so many heads in the bucket, as a fleet has them: held, each by a machine of its own;
// with a digest beside each, or as a coltecd of before left it.
func (l *listing) fill(heads int, digests bool) error {
	l.end()
	root := filepath.Join(l.top, "s3", l.bucket)
	if err := os.RemoveAll(filepath.Join(root, ".coltec/fleet")); err != nil {
		return err
	}
	for i := range heads {
		h := store.Head{
			Format: 1, Workspace: fmt.Sprintf("acme/widget/dev-%d", i), Lineage: store.NewID(), State: store.Held, TTL: 3600, Renew: 60, Epoch: 7, Generation: 3999,
			Holder: store.Holder{Host: fmt.Sprintf("machine-%d", i), Instance: store.NewID(), Since: time.Now()},
		}
		for n := range 30 { // a head names generations of late: some 8 KB of them
			h.Recent = append(h.Recent, store.Generation{Number: int64(3970 + n), Nonce: store.NewID(), Time: time.Now(), Replicas: map[string]store.Ref{"workspace": {Manifest: "m/" + store.NewID() + store.NewID()}}})
		}
		b, err := json.Marshal(h)
		if err != nil {
			return err
		}
		objects := map[string][]byte{store.HeadKey(h.Workspace): b}
		if digests {
			name, err := store.DigestName(h.Workspace, h.Digest())
			if err != nil {
				return err
			}
			objects[store.DigestKey(h.Workspace, name)] = []byte(store.DigestBody)
		}
		for key, body := range objects {
			at := filepath.Join(root, filepath.FromSlash(key))
			if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, body, 0o644)); err != nil {
				return err
			}
		}
	}
	return l.serve()
}

// run runs a program of ours or rclone, which has the remote R.
func (l *listing) run(name string, args ...string) (string, error) {
	cmd := exec.CommandContext(l.ctx, filepath.Join(l.bin, name), args...)
	cmd.Dir = l.top
	nothing := filepath.Join(l.top, "none") // no Docker is asked
	cmd.Env = []string{
		"PATH=" + nothing, "HOME=" + l.top, "TMPDIR=" + l.top, "XDG_STATE_HOME=" + l.top, "COLTEC_RCLONE=" + l.rclone,
		"RCLONE_CONFIG=notfound", "RCLONE_CONFIG_R_TYPE=s3",
	}
	if name == "coltec" {
		cmd.Env = append(cmd.Env, "RCLONE_BUCKET="+l.s3.Bucket, "RCLONE_S3_ENDPOINT="+l.proxy.Endpoint,
			"RCLONE_S3_ACCESS_KEY_ID="+l.s3.AccessKey, "RCLONE_S3_SECRET_ACCESS_KEY="+l.s3.SecretKey)
	}
	for option, value := range l.s3.Options(l.proxy.Endpoint) {
		cmd.Env = append(cmd.Env, "RCLONE_CONFIG_R_"+strings.ToUpper(option)+"="+value)
	}
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %q: %w\n%s", name, args, err, &talk)
	}
	return out.String(), nil
}

// The ways to look.
const (
	byColtec = "coltec ls"
	byNames  = "rclone lsf -R"
	byCopy   = "rclone copy"
)

// sizes of fleets, and the latencies with which they are looked at.
var (
	sizes     = []int{5, 50, 1000}
	latencies = []time.Duration{0, 30 * time.Millisecond}
)

// measure lists 5, 50 and 1,000 workspaces, on loopback and with a network's latency.
func (l *listing) measure() (all []look, err error) {
	heads := "R:" + l.bucket + "/.coltec/fleet"
	for _, n := range sizes {
		for _, digests := range []bool{true, false} {
			if err := l.fill(n, digests); err != nil {
				return nil, err
			}
			ways := map[string]func() error{byColtec: func() error { return l.ls(n) }}
			if digests {
				ways[byNames] = func() error { return l.names(n, heads) }
				ways[byCopy] = func() error { return l.copies(n, heads) }
			}
			for _, latency := range latencies {
				l.proxy.Link(latency, 0)
				for by, do := range ways {
					fmt.Fprintf(os.Stderr, "%d heads, digests: %v, %v: %s\n", n, digests, latency, by)
					one, err := l.timed(do)
					if err != nil {
						return nil, err
					}
					one.Heads, one.Digests, one.Latency, one.By = n, digests, latency, by
					all = append(all, one)
				}
			}
		}
	}
	return all, nil
}

// timed does it a few times; the requests are those of the last.
func (l *listing) timed(do func() error) (one look, err error) {
	var took []time.Duration
	for range looks {
		l.proxy.Reset()
		began := time.Now()
		if err := do(); err != nil {
			return one, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	one.Took, one.Requests = took[len(took)/2], map[string]int{}
	for kind, n := range l.proxy.Counts() {
		one.Requests[string(kind)] = n
	}
	return one, nil
}

// ls is coltec ls; a wrong list is an error.
func (l *listing) ls(n int) error {
	out, err := l.run("coltec", "ls", "--json", "--wait", "60s", "desk")
	if err != nil {
		return err
	}
	var rows []struct{ Workspace, State, Where string }
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		return fmt.Errorf("coltec ls: %w", err)
	}
	held := 0
	for _, r := range rows {
		if strings.HasPrefix(r.Where, "machine-") {
			held++
		}
	}
	if held != n {
		return fmt.Errorf("coltec ls has %d of %d workspaces: %.2000s", held, n, out)
	}
	return nil
}

// names lists what there is, and not how it is.
func (l *listing) names(n int, heads string) error {
	out, err := l.run("rclone", "lsf", "-R", "--files-only", "--fast-list", heads)
	if got := strings.Count(out, "head.json"); err == nil && got != n {
		err = fmt.Errorf("rclone lsf has %d of %d heads", got, n)
	}
	return err
}

// copies fetches all heads.
func (l *listing) copies(n int, heads string) error {
	to := filepath.Join(l.top, "copy")
	_, err := l.run("rclone", "copy", "--fast-list", "--include", "head.json", heads, to)
	found, globErr := filepath.Glob(filepath.Join(to, "acme/widget/*/head.json"))
	if err = errors.Join(err, globErr, os.RemoveAll(to)); err == nil && len(found) != n {
		err = fmt.Errorf("rclone copy has %d of %d heads", len(found), n)
	}
	return err
}
