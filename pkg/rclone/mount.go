package rclone

import (
	"slices"
	"time"
)

// Mount returns the argument list and the whole environment of a service that
// mounts the remote at path, in the foreground, until it is stopped by TERM. It
// needs /dev/fuse and fusermount3. The caller runs it.
func (r *Remote) Mount(path string, mo MountOptions) (argv, env []string) {
	mo.WriteBack = orDefault(mo.WriteBack, 5*time.Second)
	mo.DirCache = orDefault(mo.DirCache, time.Minute)
	return append([]string{r.bin.Path}, r.opts.mountArgv(r.root, path, mo)...), slices.Clone(r.environ)
}
