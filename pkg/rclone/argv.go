package rclone

import (
	"strconv"
	"strings"
	"time"
)

// memory is how much of a stream `rcat` holds before it begins a multipart
// upload, by default. A multipart upload carries no condition.
const memory = 100 << 10

// base are the flags that each command gets. Retry, back-off and the time of a
// whole operation are the caller's: rclone with its defaults takes 7 min 38 s to
// say that a port is closed, with these 2.7 s.
func (o *Options) base(lowLevelRetries int) []string {
	flags := []string{
		"--use-json-log", "--retries", "1", "--low-level-retries", strconv.Itoa(lowLevelRetries),
		"--contimeout", seconds(o.ConnectTimeout), "--timeout", seconds(o.IdleTimeout),
	}
	if o.overS3 { // the headers of each answer, for [answer]
		flags = append(flags, "--log-level", "DEBUG", "--s3-sdk-log-mode", "Response")
	}
	return flags
}

// bulk are the flags of the commands that may take long. The statistics are
// how their result is checked, and their progress told. One side of each transfer
// is a local file, which needs no reading ahead: 16 MiB for each, by default.
func (o *Options) bulk() []string {
	flags := append(o.base(2), "--stats", "1s", "--stats-log-level", "NOTICE", "--buffer-size", "0",
		"--transfers", strconv.Itoa(o.Transfers), "--checkers", strconv.Itoa(o.Checkers))
	if o.BwLimit != "" {
		flags = append(flags, "--bwlimit", o.BwLimit)
	}
	return flags
}

// seconds writes a duration as a flag.
func seconds(d time.Duration) string { return d.String() }

// join puts a key below a root. rclone takes what follows the first colon as a
// path, whatever is in it.
func join(root, key string) string {
	if strings.HasSuffix(root, ":") || strings.HasSuffix(root, "/") {
		return root + key
	}
	return root + "/" + key
}

// dir is a root as a directory: without the slash rclone asks with a HEAD
// whether it is an object.
func dir(root string) string { return join(root, "") }

// putArgv writes one object from standard input, whole or not at all: one PUT.
// `copyto` is not a lock (it looks first), and a HEAD after the PUT would turn a
// write that was won into an error once somebody else wrote over it.
func (o *Options) putArgv(root, key string, size int, cond Cond) []string {
	argv := append([]string{"rcat", join(root, encodeKey(key))}, cond.header()...)
	argv = append(argv, "--s3-no-head", "--s3-no-check-bucket")
	if size >= memory {
		// Whole KiB: with the number of bytes rclone streams all the same.
		argv = append(argv, "--streaming-upload-cutoff", strconv.Itoa(size>>10+1)+"Ki")
	}
	return append(argv, o.base(1)...)
}

// getArgv prints objects named on standard input: one GET each. Naming the
// object on the command line would cost a HEAD and a LIST more.
func (o *Options) getArgv(root string) []string {
	return append([]string{"cat", dir(root), "--files-from-raw", "-", "--no-traverse", "--s3-no-head-object"}, o.base(1)...)
}

// statArgv describes the objects named on standard input: one HEAD each.
func (o *Options) statArgv(root string) []string {
	argv := []string{"lsf", dir(root), "--files-from-raw", "-", "--no-traverse", "--use-server-modtime"}
	return append(append(argv, o.describe(true)...), o.base(2)...)
}

// listArgv describes all objects below a prefix: one LIST per thousand. The
// hash costs nothing but for objects that came in parts: a HEAD each.
func (o *Options) listArgv(root string, lo ListOptions) []string {
	argv := []string{"lsf", dir(root), "--fast-list"}
	if lo.ModTime {
		argv = append(argv, "--use-server-modtime")
	}
	return append(append(argv, o.describe(lo.ModTime)...), o.base(2)...)
}

// describe asks for rows that [readRows] reads: CSV, because JSON has no word
// for a name that is not UTF-8. Where a back end knows no hash, asking makes an
// error line of each object.
func (o *Options) describe(modTime bool) []string {
	flags := []string{"-R", "--files-only", "--csv", "--format", o.columns(modTime)}
	if !o.noHash {
		flags = append(flags, "--hash", "MD5")
	}
	if modTime {
		flags = append(flags, "--time-format", rowTime)
	}
	return flags
}

// columns are the columns of a row, as --format names them: size, hash, time
// and path.
func (o *Options) columns(modTime bool) string {
	format := "s"
	if !o.noHash {
		format += "h"
	}
	if modTime {
		format += "t"
	}
	return format + "p"
}

// rowTime is a layout that rclone's --time-format and package time both take.
const rowTime = "2006-01-02T15:04:05.000000000Z07:00"

// uploadArgv copies the files named on standard input: one PUT each.
func (o *Options) uploadArgv(local, root string) []string {
	argv := []string{
		"copy", local, dir(root), "--files-from-raw", "-", "--no-traverse", "--no-check-dest",
		"--s3-no-head", "--s3-no-check-bucket",
	}
	return append(argv, o.transfer()...)
}

// downloadArgv copies the objects named on standard input: one GET each. With
// the usual temporary name rclone would ask for the time of each object first, to
// make that name of it; and Download's directory is a stage already. From level INFO
// on its log names each object that has come. A hash of what comes is most of rclone's work, and the
// caller takes one anyway; but for plain objects, whose names tell none.
func (o *Options) downloadArgv(root, local string) []string {
	argv := []string{
		"copy", dir(root), local, "--files-from-raw", "-", "--no-traverse", "--no-check-dest", "--inplace",
		"--s3-no-head-object",
	}
	if !o.overS3 {
		argv = append(argv, "--log-level", "INFO")
	}
	if !o.Metadata {
		argv = append(argv, "--ignore-checksum")
	}
	return append(argv, o.transfer()...)
}

// transfer are the flags of an upload and of a download.
func (o *Options) transfer() []string {
	if o.Metadata {
		return append([]string{"--metadata"}, o.bulk()...)
	}
	return o.bulk()
}

// deleteArgv deletes the objects named on standard input: one DELETE each, and
// none is looked for.
func (o *Options) deleteArgv(root string) []string {
	return append([]string{
		"delete", dir(root), "--files-from-raw", "-", "--no-traverse", "--s3-no-head-object",
	}, o.bulk()...)
}

// withinArgv moves or copies the objects named on standard input to another
// prefix of the same back end, within the store.
func (o *Options) withinArgv(op, root, to string) []string {
	return append([]string{
		op, dir(root), dir(to), "--files-from-raw", "-", "--no-traverse", "--no-check-dest",
		"--s3-no-check-bucket",
	}, o.bulk()...)
}

// mountArgv mounts a root in the foreground.
func (o *Options) mountArgv(root, path string, mo MountOptions) []string {
	argv := []string{"mount", root, path, "--vfs-cache-mode", "writes", "--vfs-write-back", seconds(mo.WriteBack)}
	if mo.CacheDir != "" {
		argv = append(argv, "--cache-dir", mo.CacheDir)
	}
	if mo.ReadOnly {
		argv = append(argv, "--read-only")
	}
	if mo.AllowOther {
		argv = append(argv, "--allow-other")
	}
	argv = append(argv, "--dir-cache-time", seconds(mo.DirCache), "--use-json-log",
		"--contimeout", seconds(o.ConnectTimeout), "--timeout", seconds(o.IdleTimeout),
		"--transfers", strconv.Itoa(o.Transfers))
	if o.BwLimit != "" {
		argv = append(argv, "--bwlimit", o.BwLimit)
	}
	return argv
}
