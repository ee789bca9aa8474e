// Release makes what a release consists of: programs, archives, packages, what is in them and
// under which licences, and one file of checksums. The same commit and the same Go make the
// same bytes, in whatever folder.
//
//	go run -C tools/release . -version v1.2.3 [-only linux/amd64,darwin/arm64] [-tailscale] [-unclean]
//	go run -C tools/release . -verify DIR
//
// The second says whether a release is whole: its checksums, its archives, and that bills of
// materials and licences name all that is linked into its programs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }

// platform is one that programs are built for.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "-" + p.arch }

// platforms are those of a release. Containers are Linux: coltecd and rclone are built for that alone.
var platforms = []platform{
	{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"},
}

// releases is where the files of a release are published: below it, VERSION/FILE.
const releases = "https://github.com/coltec/coltec/releases/download"

// release is one that is made.
type release struct {
	version   string // v1.2.3
	root      string // of the repository
	work      string // what is built on the way, by platform
	out       string // what is published
	made      string // a release that is looked at; "": one is made
	only      []platform
	tailscale bool
	time      time.Time // of all that is made
	environ   []string
	say       func(format string, args ...any)
}

var versionShape = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$`)

func run(ctx context.Context, args, environ []string, out, talk io.Writer) int {
	say := func(format string, args ...any) { fmt.Fprintf(out, "release: "+format+"\n", args...) }
	r, err := parse(ctx, args, environ, talk)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 2
	case err == nil && r.made != "":
		err = verify(r.made, say)
	case err == nil:
		r.say = say
		err = r.make(ctx)
	}
	if err != nil {
		fmt.Fprintf(talk, "release: %v\n", err)
		return 1
	}
	return 0
}

// parse reads the flags, and what git says of the repository.
func parse(ctx context.Context, args, environ []string, talk io.Writer) (*release, error) {
	r := &release{environ: environ}
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.SetOutput(talk)
	var only string
	var unclean bool
	flags.StringVar(&r.version, "version", "", "the version, vMAJOR.MINOR.PATCH")
	flags.StringVar(&r.root, "root", filepath.Join("..", ".."), "the repository")
	flags.StringVar(&only, "only", "", "these platforms, as linux/amd64,darwin/arm64, instead of all")
	flags.BoolVar(&r.tailscale, "tailscale", false, "build tailscaled for containers, too")
	flags.StringVar(&r.made, "verify", "", "make none: look at the one in this directory")
	flags.BoolVar(&unclean, "unclean", false, "build what no commit has: for a try, and not reproducible")
	if err := flags.Parse(args); err != nil {
		return nil, flag.ErrHelp
	}
	if r.made != "" {
		return r, nil
	}
	if !versionShape.MatchString(r.version) {
		return nil, fmt.Errorf("-version is %q, not vMAJOR.MINOR.PATCH", r.version)
	}
	var err error
	if r.only, err = chosen(only); err != nil {
		return nil, err
	}
	if r.root, err = filepath.Abs(r.root); err != nil {
		return nil, err
	}
	r.work, r.out = filepath.Join(r.root, "dist", "build"), filepath.Join(r.root, "dist", "release", r.version)
	changed, err := r.output(ctx, r.root, nil, "git", "status", "--porcelain")
	if err == nil && changed != "" && !unclean {
		err = fmt.Errorf("cannot release what is in no commit:\n%s", changed)
	}
	if err != nil {
		return nil, err
	}
	r.time, err = r.moment(ctx)
	return r, err
}

// chosen are the platforms of a flag.
func chosen(only string) ([]platform, error) {
	if only == "" {
		return platforms, nil
	}
	var list []platform
	for word := range strings.SplitSeq(only, ",") {
		goos, arch, _ := strings.Cut(word, "/")
		p := platform{goos, arch}
		if !slices.Contains(platforms, p) {
			return nil, fmt.Errorf("nothing is released for %q", word)
		}
		list = append(list, p)
	}
	return list, nil
}

// moment is SOURCE_DATE_EPOCH, else the time of the commit.
func (r *release) moment(ctx context.Context) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		var err error
		if text, err = r.output(ctx, r.root, nil, "git", "log", "-1", "--format=%ct"); err != nil {
			return time.Time{}, err
		}
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// make makes all of it, in the order in which one part has the checksums of another.
func (r *release) make(ctx context.Context) error {
	start := time.Now()
	for _, dir := range []string{r.work, r.out} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"what runs in containers", r.inside},
		{"the Feature", r.feature},
		{"what runs on hosts", r.host},
		{"vet for each platform", r.vet},
		{"completions, manual pages, licences", r.pages},
		{"archives", r.archives},
		{"packages", r.packages},
		{"the installer and the formula", r.texts},
		{"software bills of materials", r.bills},
		{"checksums", r.checksums},
		{"the signature", r.sign},
	}
	for _, step := range steps {
		began := time.Now()
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		r.say("%s: %.0f s", step.name, time.Since(began).Seconds())
	}
	r.say("%s is in %s, after %.0f s", r.version, r.out, time.Since(start).Seconds())
	return nil
}

// insides are the platforms of containers that this release has programs for. A host of another
// system has those for both architectures with it.
func (r *release) insides() []platform {
	var list []platform
	for _, p := range platforms {
		other := slices.ContainsFunc(r.only, func(q platform) bool { return q.os != "linux" })
		if p.os == "linux" && (other || slices.Contains(r.only, p)) {
			list = append(list, p)
		}
	}
	return list
}

// output runs a program and returns what it prints.
func (r *release) output(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(slices.Clone(r.environ), env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("cannot run %s %s: %w\n%s%s", name, strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}
