// Command replication measures what it costs to keep a tree in a bucket: coltecd
// beside rclone's own way and restic, through one counting proxy before one S3
// server on loopback. It prints one table with goals, and how each cost grows with
// the number of files. Every restored tree is compared with its source: a fast
// wrong answer is an error. It ends with 1 when a goal is missed.
//
// It needs root (coltecd hides its memory from others), restic and python3.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coltec/coltec/bench/internal/proc"
	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/hint"
)

func main() {
	o := options{}
	sizes := flag.String("sizes", "1000,10000,100000", "numbers of files, joined by commas")
	only := flag.String("only", "", "parts to measure, joined by commas; all by default: "+strings.Join(partNames(), ","))
	skip := flag.String("skip", "", "parts to leave out")
	flag.StringVar(&o.coltecd, "coltecd", "bin/coltecd", "the coltecd to measure")
	flag.DurationVar(&o.interval, "interval", time.Minute, "interval and renewal of idle workspaces; costs are said per interval, whatever it is")
	flag.IntVar(&o.intervals, "intervals", 2, "how many intervals an idle workspace is watched")
	flag.IntVar(&o.saves, "saves", 50, "how many single files are saved")
	flag.DurationVar(&o.age, "age", time.Minute, "how long logs are watched that programs append to")
	flag.Int64Var(&o.big, "big", 1000, "size of the big file, in MB")
	flag.StringVar(&o.write, "write", "", "write the page to this file too, and the figures to one beside it (.json)")
	flag.BoolVar(&o.update, "update", false, "keep the figures there that are not measured this time")
	flag.StringVar(&o.trace, "trace", "", "write every request of every measurement to this file")
	flag.BoolVar(&o.phases, "phases", false, "tell of each save where its time went")
	limit := flag.Duration("limit", 3*time.Hour, "give up after this long")
	flag.Parse()
	// SIGPIPE too: who pipes it into head would else leave gigabytes in /tmp.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, *limit, fmt.Errorf("it took longer than %v (-limit)", *limit))
	defer cancel()
	err := o.parse(*sizes, *only, *skip)
	if err == nil {
		err = run(ctx, o)
	}
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "interrupted")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		for _, line := range hint.Of(err) {
			fmt.Fprintln(os.Stderr, "hint:", line)
		}
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct {
	coltecd   string
	sizes     []int
	parts     []part
	interval  time.Duration
	intervals int
	saves     int
	big       int64 // MB
	age       time.Duration
	write     string
	update    bool
	trace     string
	phases    bool
}

func (o *options) parse(sizes, only, skip string) error {
	for field := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < hundred {
			return fmt.Errorf("cannot measure %q files: -sizes wants numbers from %d on", field, hundred)
		}
		o.sizes = append(o.sizes, n)
	}
	slices.Sort(o.sizes)
	named := strings.FieldsFunc(only+","+skip, func(r rune) bool { return r == ',' })
	for _, name := range named {
		if !slices.Contains(partNames(), name) {
			return fmt.Errorf("cannot measure %q: the parts are %s", name, strings.Join(partNames(), ", "))
		}
	}
	for _, p := range parts {
		wanted := only == "" || slices.Contains(strings.Split(only, ","), p.name)
		if wanted && !slices.Contains(strings.Split(skip, ","), p.name) {
			o.parts = append(o.parts, p)
		}
	}
	if o.update && o.write == "" {
		return errors.New("cannot measure: -update wants -write, the page that it is to update")
	}
	if o.interval < 10*time.Second || o.intervals < 1 || o.saves < 1 || o.big < 10 || o.age < 20*time.Second {
		return errors.New("cannot measure: -interval wants 10s at least, -intervals and -saves 1, -big 10, -age 20s")
	}
	return nil
}

// run measures everything, below one directory that it removes.
func run(ctx context.Context, o options) (err error) {
	if os.Getuid() != 0 {
		return errors.New("cannot measure: run it as root (coltecd hides its memory from others)")
	}
	if o.coltecd, err = filepath.Abs(o.coltecd); err != nil {
		return err
	}
	b := &bench{options: o, began: time.Now()}
	if b.restic, err = exec.LookPath("restic"); err != nil {
		return fmt.Errorf("cannot measure restic: %w (apt-get install restic)", err)
	}
	if b.rclone, err = s3test.Rclone(); err != nil {
		return err
	}
	if b.top, err = os.MkdirTemp("", "coltec-bench-"); err != nil { // in TMPDIR, which is to be short: a socket's path goes in
		return err
	}
	defer os.RemoveAll(b.top)
	if err := o.room(b.top); err != nil {
		return err
	}
	defer proc.EndAll(b.top)
	// The server outlives an interrupt: what coltecd has to give back goes there.
	if b.s3, err = s3test.Serve(context.WithoutCancel(ctx), s3test.Options{Dir: filepath.Join(b.top, "s3")}); err != nil {
		return err
	}
	defer b.s3.Close()
	target, err := url.Parse(b.s3.Endpoint)
	if err != nil {
		return err
	}
	if b.proxy, err = s3test.NewProxy(target); err != nil {
		return err
	}
	defer b.proxy.Close()
	failed := b.measure(ctx)
	b.show(os.Stdout)
	b.say("it took %v", time.Since(b.began).Round(time.Second))
	if o.write != "" && ctx.Err() == nil {
		failed = errors.Join(failed, b.writePage(o.write, o.update))
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(failed, b.missed())
}

// room reports whether the disk has room for what will be there at once. It is an
// estimate, on the safe side: 90 KB for each file of the largest tree, all copies
// and stores of it, and fourteen copies of the big file.
func (o options) room(dir string) error {
	need := int64(90_000 * o.sizes[len(o.sizes)-1])
	if slices.ContainsFunc(o.parts, func(p part) bool { return p.name == "big" }) {
		need = max(need, 14*o.big*1e6)
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return err
	}
	if free := int64(fs.Bavail) * fs.Bsize; free < need {
		return fmt.Errorf("cannot measure: %s has %d MB free, and it takes %d", dir, free/1e6, need/1e6)
	}
	return nil
}

// measure measures all parts. One that fails does not keep the others from it.
func (b *bench) measure(ctx context.Context) error {
	var failed []error
	for _, n := range b.sizes {
		if ctx.Err() != nil {
			break
		}
		s, err := b.newSet(ctx, n)
		if err != nil {
			failed = append(failed, fmt.Errorf("cannot make %s files: %w", thousands(n), err))
			continue
		}
		for _, p := range b.parts {
			if p.alone || ctx.Err() != nil {
				continue
			}
			b.say("%s files: %s", thousands(n), p.name)
			if err := p.measure(s); err != nil {
				failed = append(failed, fmt.Errorf("cannot measure %s of %s files: %w", p.name, thousands(n), err))
				b.say("%v", failed[len(failed)-1])
			}
		}
		s.close()
	}
	for _, p := range b.parts {
		if !p.alone || ctx.Err() != nil {
			continue
		}
		b.say("%s", p.name)
		s := &set{b: b, ctx: ctx, dir: filepath.Join(b.top, p.name)}
		if err := p.measure(s); err != nil {
			failed = append(failed, fmt.Errorf("cannot measure %s: %w", p.name, err))
			b.say("%v", failed[len(failed)-1])
		}
		s.close()
	}
	return errors.Join(failed...)
}

// say tells on stderr how far it is.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%5.0fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}
