// Package storetest is a bucket in memory, with faults on demand: what the
// tests of pkg/store, pkg/replica and the engine run on where a real server
// would be too slow or too well behaved. Only tests may import it.
//
// It knows conditional writes, MD5 entity tags and a clock of its own, and
// reads and writes real files for uploads and downloads. The suite in
// pkg/store runs on it and on a real S3 server, so that the two stay alike.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/rclone"
)

// Op names an operation of a bucket.
type Op string

// The operations.
const (
	Put      Op = "put"
	Get      Op = "get"
	Stat     Op = "stat"
	Upload   Op = "upload"
	Download Op = "download"
	List     Op = "list"
	Delete   Op = "delete"
	Move     Op = "move"
	Copy     Op = "copy"
)

// Event is an operation under way, as a hook sees it.
type Event struct {
	Op    Op
	Keys  []string // from the root of the store; of a list: its prefix
	Done  bool     // false before the operation, true after it
	Local string   // the directory of an upload or download
}

// Kind says what a fault does to an operation.
type Kind string

// The kinds of faults.
const (
	Before    Kind = "before"    // fails, nothing happened
	After     Kind = "after"     // fails, and happened all the same: a lost response
	Late      Kind = "late"      // fails; a write lands when Land is called, under its own condition
	Halfway   Kind = "halfway"   // of a transfer's keys the first half is done, then it fails
	Truncated Kind = "truncated" // of a list: half of it, and no error
)

// Fault waits for operations and breaks them.
type Fault struct {
	Op    Op           // "": any
	Key   string       // part of one of the operation's keys; "": any
	Skip  int          // lets so many operations pass first
	Times int          // 0: once; -1: always
	Kind  Kind         // "": Before
	Class rclone.Class // "": Unreachable
}

// Bucket is a prefix of a store in memory. Its methods may be called from any
// goroutine; views made by At share one store.
type Bucket struct {
	*state
	prefix   string
	metadata bool
}

// state is the store that views share.
type state struct {
	mu      sync.Mutex // guards all below
	objects map[string]object
	now     time.Time
	weak    bool
	faults  []*Fault
	hook    func(Event) error
	counts  map[Op]int
	late    []func()
}

// object is immutable.
type object struct {
	body    []byte
	md5     string
	written time.Time
	mode    fs.FileMode // 0: none was told
	mtime   time.Time
}

// New makes an empty store whose clock stands at the year 2030.
func New() *Bucket {
	return &Bucket{state: &state{
		objects: map[string]object{}, counts: map[Op]int{},
		now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
	}}
}

// At is a view of a prefix.
func (b *Bucket) At(prefix string) *Bucket {
	sub := *b
	sub.prefix = b.key(strings.Trim(prefix, "/"))
	return &sub
}

// Metadata is a view that carries files' modes, as rclone's -M does.
func (b *Bucket) Metadata() *Bucket {
	sub := *b
	sub.metadata = true
	return &sub
}

// Weak makes the store ignore conditions.
func (b *Bucket) Weak() *Bucket {
	b.weak = true
	return b
}

// Advance moves the store's clock.
func (b *Bucket) Advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// Inject adds a fault.
func (b *Bucket) Inject(f Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, &f)
}

// Heal removes all faults.
func (b *Bucket) Heal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = nil
}

// Hook has f called before and after each operation; an error of the call
// before is the operation's.
func (b *Bucket) Hook(f func(Event) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hook = f
}

// Land lets the late writes arrive, each under its condition.
func (b *Bucket) Land() {
	b.mu.Lock()
	late := b.late
	b.late = nil
	b.mu.Unlock()
	for _, write := range late {
		write()
	}
}

// Counts are the operations so far. An upload, a download and their like count
// once, whatever their number of keys.
func (b *Bucket) Counts() map[Op]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.counts)
}

// Keys lists all keys under the view's prefix, sorted and relative to it.
func (b *Bucket) Keys() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var keys []string
	for key := range b.objects {
		if rel, ok := b.rel(key); ok {
			keys = append(keys, rel)
		}
	}
	slices.Sort(keys)
	return keys
}

// Body is an object's content; nil when there is none.
func (b *Bucket) Body(key string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.objects[b.key(key)].body
}

// Set writes an object behind everybody's back.
func (b *Bucket) Set(key string, body []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(b.key(key), bytes.Clone(body), 0, time.Time{})
}

// Drop removes an object behind everybody's back.
func (b *Bucket) Drop(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, b.key(key))
}

func (b *Bucket) key(rel string) string { return joinKey(b.prefix, rel) }

func joinKey(prefix, rel string) string {
	switch {
	case prefix == "":
		return rel
	case rel == "":
		return prefix
	}
	return prefix + "/" + rel
}

// rel is the key below the view's prefix.
func (b *Bucket) rel(key string) (string, bool) {
	if b.prefix == "" {
		return key, true
	}
	return strings.CutPrefix(key, b.prefix+"/")
}

// fail makes an error as package rclone has them.
func fail(op Op, class rclone.Class, keys ...string) error {
	e := &rclone.Error{Op: string(op), Exit: 1, Class: class, Keys: keys, Text: "storetest"}
	if len(keys) == 1 {
		e.Key, e.Keys = keys[0], nil
	}
	return e
}

// begin counts an operation, calls the hook and finds its fault.
func (b *Bucket) begin(ctx context.Context, op Op, local string, rel ...string) (*call, error) {
	c := &call{b: b, op: op, local: local, rel: rel}
	for _, r := range rel {
		if op != List && !clean(r) {
			return nil, fail(op, rclone.Config, r)
		}
		c.keys = append(c.keys, b.key(r))
	}
	b.mu.Lock()
	b.counts[op]++
	hook := b.hook
	b.mu.Unlock()
	if ctx.Err() != nil {
		return nil, fail(op, rclone.Canceled, rel...)
	}
	if hook != nil {
		if err := hook(Event{Op: op, Keys: c.keys, Local: local}); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c.kind, c.class = b.fault(op, c.keys)
	if c.kind == Before {
		return nil, fail(op, c.class, rel...)
	}
	return c, nil
}

// call is one operation under way.
type call struct {
	b     *Bucket
	op    Op
	local string
	rel   []string
	keys  []string
	kind  Kind
	class rclone.Class
}

// end calls the hook and gives the operation's error.
func (c *call) end(err error) error {
	c.b.mu.Lock()
	hook := c.b.hook
	c.b.mu.Unlock()
	if hook != nil {
		err = errors.Join(err, hook(Event{Op: c.op, Keys: c.keys, Done: true, Local: c.local}))
	}
	if err == nil && (c.kind == After || c.kind == Late || c.kind == Halfway) {
		err = fail(c.op, c.class, c.rel...)
	}
	return err
}

// half is what of the keys is done.
func (c *call) half() []string {
	if c.kind == Halfway {
		return c.rel[:len(c.rel)/2]
	}
	return c.rel
}

// fault takes the first fault that meets an operation.
func (s *state) fault(op Op, keys []string) (Kind, rclone.Class) {
	for i, f := range s.faults {
		meets := f.Key == "" || slices.ContainsFunc(keys, func(k string) bool { return strings.Contains(k, f.Key) })
		if f.Op != "" && f.Op != op || !meets {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times >= 0 {
			if f.Times--; f.Times <= 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		kind, class := f.Kind, f.Class
		if kind == "" {
			kind = Before
		}
		if class == "" {
			class = rclone.Unreachable
		}
		return kind, class
	}
	return "", ""
}

// clean reports whether a key is one that rclone would not rewrite.
func clean(key string) bool {
	if key == "" || strings.ContainsRune(key, 0) {
		return false
	}
	for elem := range strings.SplitSeq(key, "/") {
		if elem == "" || elem == "." || elem == ".." {
			return false
		}
	}
	return true
}

func (s *state) put(key string, body []byte, mode fs.FileMode, mtime time.Time) {
	s.objects[key] = object{body: body, md5: rclone.ETag(body), written: s.now, mode: mode, mtime: mtime}
}

// holds reports whether a condition holds for a key.
func (s *state) holds(key string, cond rclone.Cond) bool {
	o, there := s.objects[key]
	switch {
	case s.weak:
		return true
	case cond.Absent:
		return !there
	case cond.Match != "":
		return there && o.md5 == cond.Match
	}
	return true
}

// PutIf writes an object when cond holds.
func (b *Bucket) PutIf(ctx context.Context, key string, body []byte, cond rclone.Cond) error {
	c, err := b.begin(ctx, Put, "", key)
	if err != nil {
		return err
	}
	body = bytes.Clone(body)
	write := func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !b.holds(b.key(key), cond) {
			return fail(Put, rclone.Precondition, key)
		}
		b.put(b.key(key), body, 0, time.Time{})
		return nil
	}
	switch c.kind {
	case Late:
		b.mu.Lock()
		b.late = append(b.late, func() { _ = write() })
		b.mu.Unlock()
		return c.end(nil)
	case After:
		_ = write() // whatever came of it, the answer is lost
		return c.end(nil)
	}
	return c.end(write())
}

// Get reads an object.
func (b *Bucket) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	c, err := b.begin(ctx, Get, "", key)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	o, there := b.objects[b.key(key)]
	b.mu.Unlock()
	if !there {
		err = fail(Get, rclone.NotFound, key)
	} else if int64(len(o.body)) > limit {
		err = fail(Get, rclone.TooLarge, key)
	}
	if err = c.end(err); err != nil {
		return nil, err
	}
	return bytes.Clone(o.body), nil
}

// Stat tells of an object.
func (b *Bucket) Stat(ctx context.Context, key string) (rclone.Object, error) {
	c, err := b.begin(ctx, Stat, "", key)
	if err != nil {
		return rclone.Object{}, err
	}
	b.mu.Lock()
	o, there := b.objects[b.key(key)]
	b.mu.Unlock()
	if !there {
		err = fail(Stat, rclone.NotFound, key)
	}
	return rclone.Object{Key: key, Size: int64(len(o.body)), MD5: o.md5, ModTime: o.written.Truncate(time.Second)}, c.end(err)
}

// Upload writes the files dir/KEY.
func (b *Bucket) Upload(ctx context.Context, dir string, keys []string, progress func(rclone.Progress)) (rclone.Transfer, error) {
	var t rclone.Transfer
	c, err := b.begin(ctx, Upload, dir, keys...)
	if err != nil {
		return t, err
	}
	for _, key := range c.half() {
		file := filepath.Join(dir, key)
		body, readErr := os.ReadFile(file)
		info, statErr := os.Lstat(file)
		if errors.Join(readErr, statErr) != nil {
			return t, c.end(fail(Upload, rclone.LocalChanged, key))
		}
		mode := fs.FileMode(0)
		if b.metadata {
			mode = info.Mode().Perm() | fs.ModeIrregular // told, even if it is 0
		}
		b.mu.Lock()
		b.put(b.key(key), body, mode, info.ModTime())
		b.mu.Unlock()
		t.Files, t.Bytes = t.Files+1, t.Bytes+int64(len(body))
		if progress != nil {
			progress(rclone.Progress{Files: t.Files, TotalFiles: len(keys), Bytes: t.Bytes})
		}
	}
	return t, c.end(nil)
}

// Download writes the objects to dir/KEY.
func (b *Bucket) Download(ctx context.Context, keys []string, dir string, progress func(rclone.Progress)) (rclone.Transfer, error) {
	var t rclone.Transfer
	c, err := b.begin(ctx, Download, dir, keys...)
	if err != nil {
		return t, err
	}
	var missing []string
	for _, key := range c.half() {
		b.mu.Lock()
		o, there := b.objects[b.key(key)]
		b.mu.Unlock()
		if !there {
			missing = append(missing, key)
			continue
		}
		if err := b.writeFile(filepath.Join(dir, key), o); err != nil {
			return t, c.end(fmt.Errorf("%w: %w", err, fail(Download, rclone.LocalDenied, key)))
		}
		t.Files, t.Bytes = t.Files+1, t.Bytes+int64(len(o.body))
		if progress != nil {
			progress(rclone.Progress{Files: t.Files, TotalFiles: len(keys), Bytes: t.Bytes, Arrived: key})
		}
	}
	if len(missing) > 0 {
		return t, c.end(&rclone.Error{Op: string(Download), Key: dir, Class: rclone.NotFound, Keys: missing})
	}
	return t, c.end(nil)
}

func (b *Bucket) writeFile(file string, o object) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, o.body, 0o666); err != nil {
		return err
	}
	if b.metadata && o.mode != 0 {
		if err := os.Chmod(file, o.mode.Perm()); err != nil {
			return err
		}
	}
	if o.mtime.IsZero() {
		return nil
	}
	return os.Chtimes(file, time.Time{}, o.mtime)
}

// List lists what is below a prefix, keys relative to it.
func (b *Bucket) List(ctx context.Context, prefix string) ([]rclone.Object, error) {
	c, err := b.begin(ctx, List, "", prefix)
	if err != nil {
		return nil, err
	}
	at := b.At(prefix)
	var out []rclone.Object
	for _, key := range at.Keys() {
		b.mu.Lock()
		o := b.objects[at.key(key)]
		b.mu.Unlock()
		out = append(out, rclone.Object{Key: key, Size: int64(len(o.body)), MD5: o.md5})
	}
	if c.kind == Truncated {
		out = out[:len(out)/2]
	}
	if err := c.end(nil); err != nil {
		return nil, err
	}
	return out, nil
}

// Delete removes objects.
func (b *Bucket) Delete(ctx context.Context, keys []string) error {
	c, err := b.begin(ctx, Delete, "", keys...)
	if err != nil {
		return err
	}
	for _, key := range c.half() {
		b.Drop(key)
	}
	return c.end(nil)
}

// Move renames objects to under a prefix of the view's; those that are not
// there are passed over.
func (b *Bucket) Move(ctx context.Context, keys []string, to string) (rclone.Transfer, error) {
	return b.within(ctx, Move, keys, to)
}

// Copy copies objects to under a prefix of the view's; those that are not
// there are passed over.
func (b *Bucket) Copy(ctx context.Context, keys []string, to string) (rclone.Transfer, error) {
	return b.within(ctx, Copy, keys, to)
}

// CopyTo copies each key to the same one below another view.
func (b *Bucket) CopyTo(ctx context.Context, keys []string, to *Bucket) (rclone.Transfer, error) {
	return b.over(ctx, Copy, keys, to.prefix)
}

func (b *Bucket) within(ctx context.Context, op Op, keys []string, to string) (rclone.Transfer, error) {
	return b.over(ctx, op, keys, b.key(to))
}

func (b *Bucket) over(ctx context.Context, op Op, keys []string, to string) (rclone.Transfer, error) {
	var t rclone.Transfer
	c, err := b.begin(ctx, op, "", keys...)
	if err != nil {
		return t, err
	}
	b.mu.Lock()
	for _, key := range c.half() {
		o, there := b.objects[b.key(key)]
		if !there {
			continue
		}
		t.Files++
		o.written = b.now
		b.objects[joinKey(to, key)] = o
		if op == Move {
			delete(b.objects, b.key(key))
		}
	}
	b.mu.Unlock()
	return t, c.end(nil)
}

// Identity is the same for all of them.
func (b *Bucket) Identity() string { return "memory" }

// Service is too.
func (b *Bucket) Service() string { return "memory" }

// Probe says what the store can do.
func (b *Bucket) Probe(_ context.Context, _ string) (rclone.ProbeResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return rclone.ProbeResult{Create: !b.weak, Match: !b.weak, ETagIsMD5: !b.weak, ServerTime: b.now}, nil
}
