package logins

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lookEvery is how often the files are looked at: some ten lstat, and a file system that
// tells of no change is none the worse. What is the same twice is whole.
const lookEvery = 300 * time.Millisecond

// Watch tells when a login was changed and is at rest, and once at its begin. It returns with
// the context.
func (k *Keeper) Watch(ctx context.Context, changed func()) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var told, last string
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := k.stamp()
		if now == last && now != told {
			told = now
			changed()
		}
		last = now
	}
}

// stamp is another one when a file was changed, by content or by name.
func (k *Keeper) stamp() (all string) {
	for _, l := range k.all {
		for _, p := range l.Files {
			s, err := os.Lstat(filepath.Join(k.o.Home, filepath.FromSlash(p)))
			if err != nil {
				all += "-;"
				continue
			}
			st, _ := s.Sys().(*syscall.Stat_t)
			all += fmt.Sprint(s.ModTime().UnixNano(), s.Size(), st.Ino, st.Ctim.Nano(), ";")
		}
	}
	return all
}
