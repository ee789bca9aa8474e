// Package rclone runs rclone as a child process for the one thing it is best
// at: moving bytes between a directory and any remote. Argument lists are made
// by pure functions, credentials go by the environment alone, each operation
// costs a known number of requests, and every failure is an [Error] sorted by
// what can be done about it.
//
// What counts as true, which files are moved and when something is tried again
// is decided by the callers: pkg/store and the replica engine. Nothing here
// retries, but for one object that the store wants to be written later.
package rclone

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // ETags are MD5
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/secret"
)

// Remote is a place in a store: a binary, the environment it runs in, and a
// root. Its methods may be called from any goroutine.
type Remote struct {
	bin      Binary
	root     string
	opts     Options
	environ  []string
	redactor *secret.Redactor // of every text
	store    string           // see Identity
	service  string           // see Service
}

// Options of a remote. The zero value is good.
type Options struct {
	// Env is where PATH, HOME, TMPDIR, proxies and certificates are taken from;
	// nil: [os.LookupEnv]. Nothing else of our own environment is passed on.
	Env Lookup
	// Extra are further variables of each child, NAME=value: a marker, say.
	Extra []string

	Transfers int    // default 4
	Checkers  int    // default 8
	BwLimit   string // as rclone's --bwlimit; default none
	// Metadata carries mode, owner and times as the object's metadata (mirror
	// layout). What is restored so gets user.* attributes.
	Metadata bool

	ConnectTimeout time.Duration // default 5 s
	IdleTimeout    time.Duration // default 30 s without a byte

	// All bounds the rclones under way at once, and Bulk those of them that may
	// take long, uploads, downloads, listings, deletes and moves: a lease is renewed
	// while a big upload runs. Share them between remotes. Default: two and one.
	All, Bulk Limiter

	// Spent is told what each run cost, from any goroutine; nil: nobody.
	Spent func(Spent)

	noHash bool // the root's back end knows no hash
	overS3 bool // it keeps its objects in S3, whose answers are looked at
}

// Limiter bounds the rclones under way at once.
type Limiter chan struct{}

// NewLimiter returns a limiter to share.
func NewLimiter(n int) Limiter { return make(Limiter, n) }

// enter takes a place, or fails when the context ends first.
func (l Limiter) enter(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// leave gives the place back.
func (l Limiter) leave() { <-l }

// NewRemote returns the place `root` (see [Root]) on one of the back ends. It
// runs nothing: only what is wrong in itself is refused.
func NewRemote(bin Binary, backends []Backend, root string, opts Options) (*Remote, error) {
	opts.fill()
	environ, secrets, err := environment(backends, opts.Env)
	if err != nil {
		return nil, err
	}
	name, _, _ := strings.Cut(root, ":")
	at := slices.IndexFunc(backends, func(b Backend) bool { return b.Name == name })
	if at < 0 {
		return nil, configError(fmt.Errorf("no remote is named %q", name), "name one of the remotes")
	}
	opts.noHash, opts.overS3 = backends[at].Type == "crypt", overS3(backends, name)
	return &Remote{
		bin: bin, root: root, opts: opts, environ: append(environ, opts.Extra...), redactor: secret.NewRedactor(secrets...),
		store: identity(bin, backends[at], root), service: identity(bin, backends[at], ""),
	}, nil
}

// fill puts the defaults in.
func (o *Options) fill() {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	o.Transfers = orDefault(o.Transfers, 4)
	o.Checkers = orDefault(o.Checkers, 8)
	o.ConnectTimeout = orDefault(o.ConnectTimeout, 5*time.Second)
	o.IdleTimeout = orDefault(o.IdleTimeout, 30*time.Second)
	if o.All == nil {
		o.All = NewLimiter(2)
	}
	if o.Bulk == nil {
		o.Bulk = NewLimiter(1)
	}
}

// orDefault returns v, or the default where v is not positive.
func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// Root returns where the remote is, for messages.
func (r *Remote) Root() string { return r.root }

// Identity changes with everything that decides what becomes of a conditional
// write: rclone's version, type and options of the back end, and the bucket. Keys and
// passwords are not part of it: who may write is another matter.
func (r *Remote) Identity() string { return r.store }

// Service is the same wherever in a store the root is: one answers alike everywhere.
func (r *Remote) Service() string { return r.service }

// At returns the same remote with a prefix below its root, sharing the limiters.
func (r *Remote) At(prefix string) *Remote {
	sub := *r
	sub.root = strings.TrimSuffix(join(r.root, encodeKey(strings.Trim(prefix, "/"))), "/")
	return &sub
}

// With returns the same remote with other transfers, checkers and bandwidth,
// where they are set.
func (r *Remote) With(transfers, checkers int, bwLimit string) *Remote {
	with := *r
	with.opts.Transfers = orDefault(transfers, r.opts.Transfers)
	with.opts.Checkers = orDefault(checkers, r.opts.Checkers)
	if bwLimit != "" {
		with.opts.BwLimit = bwLimit
	}
	return &with
}

// Metadata returns the same remote with [Options.Metadata] on.
func (r *Remote) Metadata() *Remote {
	with := *r
	with.opts.Metadata = true
	return &with
}

// ETag is the ETag that most stores give a body which came in one PUT, and what
// [IfMatch] wants. [Remote.Probe] tells whether this store does.
func ETag(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // ETags are MD5
	return hex.EncodeToString(sum[:])
}

// PutIf writes one object, whole, if the condition holds: one PUT. It is done when
// the store has named the ETag of the body; where its ETags are something else the
// object is read back. The errors
// to look for are [ErrPrecondition] and, where a write may have happened all the
// same, [ErrUnknown]: then only the identical body may be sent again.
// Some stores (R2) take one write a second to a key: that second is waited for.
func (r *Remote) PutIf(ctx context.Context, key string, body []byte, cond Cond) error {
	if err := checkKey(key); err != nil {
		return badKey("put", key, err)
	}
	for try := 1; ; try++ {
		err := r.putOnce(ctx, key, body, cond)
		if ClassOf(err) != Throttled || try == throttledTries {
			return err
		}
		select {
		case <-time.After(throttledPause):
		case <-ctx.Done():
			return err
		}
	}
}

const (
	// throttledTries is how often a write is sent that the store throttles: three
	// may want to write at once, and one more.
	throttledTries = 4
	// throttledPause is a little more than what a store wants between two writes
	// of one key that takes one a second.
	throttledPause = 1100 * time.Millisecond
)

func (r *Remote) putOnce(ctx context.Context, key string, body []byte, cond Cond) error {
	log, err := r.run(ctx, job{
		op: "put", key: key, stdin: body,
		argv: r.opts.putArgv(r.root, key, len(body), cond),
	})
	r.spend(1, int64(len(body)))
	if err == nil && r.opts.overS3 && !r.named(log.answers.tags, body) {
		err = r.readBack(ctx, key, body)
	}
	return about1(err)
}

// Get reads one object of at most limit bytes into memory: one GET. A larger one is
// [ErrTooLarge], and is not read to its end; a missing one is [ErrNotFound]; on
// S3 a missing bucket looks the same.
func (r *Remote) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	list, err := r.names("get", key, []string{key})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := bounded{limit: limit, full: cancel}
	_, err = r.run(ctx, job{
		op: "get", key: key, stdin: list, stdout: &out, argv: r.opts.getArgv(r.root),
	})
	r.spend(1, int64(out.Len()))
	if out.over {
		return nil, &Error{Op: "get", Key: key, Exit: -1, Class: TooLarge, Text: fmt.Sprintf("more than %d bytes", limit)}
	}
	if err == nil && out.Len() == 0 {
		// Nothing, or nothing there: but for S3 rclone passes over what is missing.
		_, err = r.Stat(ctx, key)
	}
	if err != nil {
		return nil, about1(err)
	}
	return out.buf.Bytes(), nil
}

// bounded keeps so many bytes, and says when there are more.
type bounded struct {
	buf   bytes.Buffer
	limit int64
	over  bool
	full  func()
}

func (b *bounded) Len() int { return b.buf.Len() }

// Write never fails: rclone is told to end, and its last words are for the log.
func (b *bounded) Write(p []byte) (int, error) {
	if b.over || int64(b.buf.Len()+len(p)) > b.limit {
		if !b.over {
			b.over = true
			b.full()
		}
		return len(p), nil
	}
	return b.buf.Write(p)
}

// about1 leaves the keys out of an error about one key: it names that already.
func about1(err error) error {
	if e, ok := err.(*Error); ok {
		e.Keys = nil
	}
	return err
}

// badKey is an Error about a key that cannot be.
func badKey(op, key string, err error) error {
	return &Error{Op: op, Key: key, Exit: -1, Class: Config, cause: err, Keys: []string{key},
		step: "give the object a clean relative path"}
}

// names returns keys as rclone's standard input, a line each, each once.
func (r *Remote) names(op, about string, keys []string) ([]byte, error) {
	var list bytes.Buffer
	seen := make(map[string]bool, len(keys))
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return nil, badKey(op, about, err)
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		list.WriteString(encodeKey(key))
		list.WriteByte('\n')
	}
	return list.Bytes(), nil
}

// Progress is how far an upload or a download is.
type Progress struct {
	Files, TotalFiles int
	Bytes, TotalBytes int64         // TotalBytes: of what rclone has met so far
	ETA               time.Duration // 0: not known
	// Arrived is the object that a download has just brought whole; "" for none.
	// rclone's log has no word for a name that is not UTF-8.
	Arrived string
}

// Transfer is what an upload, a download, a move or a delete did.
type Transfer struct {
	Files int
	Bytes int64
	Took  time.Duration
}

// transferOf reads the result from the last statistics.
func transferOf(log *journal, files int) Transfer {
	return Transfer{
		Files: files, Bytes: log.stats.Bytes,
		Took: time.Duration(log.stats.Elapsed * float64(time.Second)),
	}
}

// reporter turns statistics into progress.
func reporter(total int, progress func(Progress)) func(counters) {
	if progress == nil {
		return nil
	}
	return func(c counters) {
		p := Progress{Files: c.Transfers, TotalFiles: total, Bytes: c.Bytes, TotalBytes: c.TotalBytes, Arrived: c.arrived}
		if c.ETA != nil {
			p.ETA = time.Duration(*c.ETA * float64(time.Second))
		}
		progress(p)
	}
}

// distinct counts the different keys.
func distinct(keys []string) int {
	seen := make(map[string]struct{}, len(keys))
	for _, key := range keys {
		seen[key] = struct{}{}
	}
	return len(seen)
}

// Upload copies the files dir/key to the objects root/key: one PUT each, up to
// 200 MiB; above that in parts. They are there when the store has named an ETag for
// each, which rclone compares with the content where it can. The files must not change meanwhile: of one that
// does rclone deletes the object, and the good one before it too. All keys are
// there when it returns nil; progress may be nil.
func (r *Remote) Upload(ctx context.Context, dir string, keys []string, progress func(Progress)) (Transfer, error) {
	list, dir, err := r.prepare("upload", dir, keys)
	if err != nil || len(keys) == 0 {
		return Transfer{}, err
	}
	total := distinct(keys)
	j := job{op: "upload", key: dir, bulk: true, stdin: list, onStats: reporter(total, progress)}
	local, err := j.hand(dir)
	if err != nil {
		return Transfer{}, err
	}
	defer j.dir.Close() // of none too
	j.argv = r.opts.uploadArgv(local, r.root)
	log, err := r.run(ctx, j)
	if log == nil {
		return Transfer{}, err
	}
	r.spend(puts(dir, keys), log.stats.Bytes)
	done := transferOf(log, log.stats.Transfers)
	switch {
	case err != nil:
	case done.Files != total:
		err = shortUpload(dir, keys, done.Files)
	case r.opts.overS3 && (log.answers.silent || len(log.answers.tags) < total):
		err = r.lookBack(ctx, dir, keys)
	}
	return done, err
}

// shortUpload is the error about an upload that moved too little. A listed file
// that has vanished is not an error to rclone.
func shortUpload(dir string, keys []string, moved int) error {
	e := &Error{Op: "upload", Key: dir, Class: LocalChanged,
		Text: fmt.Sprintf("%d of %d files were sent", moved, distinct(keys))}
	for _, key := range keys {
		info, err := os.Lstat(filepath.Join(dir, key))
		if err != nil || !info.Mode().IsRegular() {
			e.Keys = append(e.Keys, key)
		}
	}
	return e
}

// Download copies the objects root/key to the files dir/key: one GET each. The
// directory is a stage of the caller's: a file there is overwritten, and after
// an error any file may be missing or cut short, so files count only once the
// caller has compared their hashes. Progress tells of each that is there whole,
// while the others come. Missing objects are [ErrNotFound], all of
// them named in Error.Keys; the others are fetched all the same.
func (r *Remote) Download(ctx context.Context, keys []string, dir string, progress func(Progress)) (Transfer, error) {
	list, dir, err := r.prepare("download", dir, keys)
	if err != nil || len(keys) == 0 {
		return Transfer{}, err
	}
	total := distinct(keys)
	j := job{op: "download", key: dir, bulk: true, stdin: list, onStats: reporter(total, progress)}
	local, err := j.hand(dir)
	if err != nil {
		return Transfer{}, err
	}
	defer j.dir.Close() // of none too
	j.argv = r.opts.downloadArgv(r.root, local)
	log, err := r.run(ctx, j)
	if log == nil {
		return Transfer{}, err
	}
	r.spend(total, log.stats.Bytes)
	done := transferOf(log, log.stats.Transfers)
	if err == nil && done.Files != total {
		err = shortDownload(dir, keys, done.Files)
	}
	return done, err
}

// shortDownload is the error about a download that moved too little: where an
// object is looked for before it is read, a missing one is not an error to rclone.
func shortDownload(dir string, keys []string, moved int) error {
	e := &Error{Op: "download", Key: dir, Exit: 0, Class: NotFound,
		Text: fmt.Sprintf("%d of %d objects came", moved, distinct(keys))}
	for _, key := range keys {
		if _, err := os.Lstat(filepath.Join(dir, key)); err != nil {
			e.Keys = append(e.Keys, key)
		}
	}
	return e
}

// prepare checks the keys and makes the directory's path absolute: the child
// runs in another one.
func (r *Remote) prepare(op, dir string, keys []string) (list []byte, abs string, err error) {
	abs, err = filepath.Abs(dir)
	if err != nil {
		return nil, "", &Error{Op: op, Key: dir, Exit: -1, Class: LocalDenied, cause: err}
	}
	list, err = r.names(op, abs, keys)
	return list, abs, err
}

// Move moves objects to a prefix below the same root, within the store: a HEAD,
// a COPY, a HEAD and a DELETE each. Those that are not there are passed over;
// Transfer.Files says how many were moved. No key may lie below the prefix.
func (r *Remote) Move(ctx context.Context, keys []string, to string) (Transfer, error) {
	return r.within(ctx, "move", keys, to)
}

// Copy is Move without the DELETE: the objects stay where they are too.
func (r *Remote) Copy(ctx context.Context, keys []string, to string) (Transfer, error) {
	return r.within(ctx, "copy", keys, to)
}

// within moves or copies objects within the store.
func (r *Remote) within(ctx context.Context, op string, keys []string, to string) (Transfer, error) {
	list, err := r.names(op, r.root, keys)
	if err != nil || len(list) == 0 {
		return Transfer{}, err
	}
	if err := checkKey(to); err != nil {
		return Transfer{}, badKey(op, to, err)
	}
	log, err := r.run(ctx, job{
		op: op, key: r.root, bulk: true, stdin: list, argv: r.opts.withinArgv(op, r.root, join(r.root, to)),
	})
	if log == nil {
		return Transfer{}, err
	}
	done := transferOf(log, log.stats.Transfers)
	each := 3 // a HEAD, a COPY and a HEAD
	if op == "move" {
		each++
	}
	r.spend(each*done.Files+max(0, len(keys)-done.Files), 0) // a HEAD for what is not there
	return done, err
}

// Delete deletes the objects: one DELETE each. One that is not there counts as
// deleted.
func (r *Remote) Delete(ctx context.Context, keys []string) error {
	list, err := r.names("delete", r.root, keys)
	if err != nil || len(list) == 0 {
		return err
	}
	_, err = r.run(ctx, job{
		op: "delete", key: r.root, bulk: true, stdin: list, argv: r.opts.deleteArgv(r.root),
	})
	r.spend(len(keys), 0)
	return err
}
