package rclone

import (
	"context"
	"crypto/md5" //nolint:gosec // ETags are MD5
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

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
	// Through is what of Bytes went through this machine: of a copy within a store that can
	// make it by itself, nothing.
	Through int64
	Took    time.Duration
}

// transferOf reads the result from the last statistics.
func transferOf(log *journal, files int) Transfer {
	return Transfer{
		Files: files, Bytes: log.stats.Bytes, Through: max(0, log.stats.Bytes-log.stats.Copied),
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
	log, err := r.carry(ctx, j)
	if log == nil {
		return Transfer{}, err
	}
	r.spend(puts(dir, keys), log.stats.Bytes, 0)
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

// carry runs a transfer. Where ETags are no MD5s, rclone takes all that it moves for
// corrupted: then without its comparison. It sends the MD5 along, which the store compares.
func (r *Remote) carry(ctx context.Context, j job) (*journal, error) {
	uncompared := append(slices.Clip(j.argv), "--ignore-checksum")
	if !r.tags.isOpaque() {
		log, err := r.run(ctx, j)
		if ClassOf(err) != Corrupted || log == nil || !log.answers.sealed {
			return log, err
		}
		r.tags.seal()
	}
	j.argv = uncompared
	return r.run(ctx, j)
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
	log, err := r.carry(ctx, j)
	if log == nil {
		return Transfer{}, err
	}
	r.spend(total, 0, log.stats.Bytes)
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
	list, err = keyList(op, abs, keys)
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

// CopyTo copies objects to the same keys below another root of the same back end: within
// the store where it can do that, and through this machine where not, as Transfer.Through
// says. Those that are not there are passed over, as by Move; those that are there already
// are copied again.
func (r *Remote) CopyTo(ctx context.Context, keys []string, to *Remote) (Transfer, error) {
	name, _, _ := strings.Cut(r.root, ":")
	if other, _, _ := strings.Cut(to.root, ":"); other != name || to.service != r.service {
		return Transfer{}, configError(fmt.Errorf("cannot copy from %s to %s: they are not of one remote", r.root, to.root), "")
	}
	return r.over(ctx, "copy", keys, to.root)
}

// within moves or copies objects within the store.
func (r *Remote) within(ctx context.Context, op string, keys []string, to string) (Transfer, error) {
	if err := checkKey(to); err != nil && len(keys) > 0 {
		return Transfer{}, badKey(op, to, err)
	}
	return r.over(ctx, op, keys, join(r.root, to))
}

// over moves or copies objects to another root.
func (r *Remote) over(ctx context.Context, op string, keys []string, to string) (Transfer, error) {
	list, err := keyList(op, r.root, keys)
	if err != nil || len(list) == 0 {
		return Transfer{}, err
	}
	log, err := r.carry(ctx, job{
		op: op, key: r.root, bulk: true, stdin: list, argv: r.opts.withinArgv(op, r.root, to),
	})
	if log == nil {
		return Transfer{}, err
	}
	done := transferOf(log, log.stats.Transfers)
	each := 3 // a HEAD, a COPY and a HEAD
	if op == "move" {
		each++
	}
	r.spend(each*done.Files+max(0, len(keys)-done.Files), done.Through, 0) // a HEAD for what is not there
	return done, err
}

// Delete deletes the objects: one DELETE each. One that is not there counts as
// deleted.
func (r *Remote) Delete(ctx context.Context, keys []string) error {
	list, err := keyList("delete", r.root, keys)
	if err != nil || len(list) == 0 {
		return err
	}
	_, err = r.run(ctx, job{
		op: "delete", key: r.root, bulk: true, stdin: list, argv: r.opts.deleteArgv(r.root),
	})
	r.spend(len(keys), 0, 0)
	return err
}

// lookBack does it for an upload, by the sizes that the store tells, and by the MD5s where
// it tells them: an object of a mirror may have been there before, in the same size.
func (r *Remote) lookBack(ctx context.Context, dir string, keys []string) error {
	found, err := r.StatAll(ctx, keys)
	if err != nil {
		return err
	}
	held := make(map[string]Object, len(found))
	for _, o := range found {
		held[o.Key] = o
	}
	e := &Error{Op: "upload", Key: dir, Class: Foreign, Text: "the upload was said to be done, and the store does not hold it"}
	for _, key := range keys {
		o, there := held[key]
		if r.tags.isOpaque() {
			o.MD5 = ""
		}
		if !there || !o.of(filepath.Join(dir, key)) {
			e.Keys = append(e.Keys, key)
		}
	}
	if len(e.Keys) > 0 {
		return e
	}
	return nil
}

// of reports whether an object is, as far as the store tells, what a file holds.
func (o Object) of(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	sum := md5.New() //nolint:gosec // ETags are MD5
	size, err := io.Copy(sum, file)
	return err == nil && size == o.Size && (o.MD5 == "" || o.MD5 == hex.EncodeToString(sum.Sum(nil)))
}
