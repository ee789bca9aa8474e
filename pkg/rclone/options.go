package rclone

import (
	"os"
	"time"
)

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

// ListOptions says what a listing is to tell.
type ListOptions struct {
	ModTime bool // Object.ModTime, at no cost
	// Clock is told the store's clock, in whole seconds, as it stood when the listing ended; not at
	// all of a store that does not say it. May be nil.
	Clock func(now time.Time)
}

// MountOptions says how a remote is mounted; the zero value is good.
type MountOptions struct {
	CacheDir   string // where what is not written yet is kept
	ReadOnly   bool
	AllowOther bool          // for other users than the one that mounts
	WriteBack  time.Duration // default 5 s: from the last close of a file to its upload
	DirCache   time.Duration // default 1 m: for how long a listing is believed
}

// Lookup finds an environment variable, as [os.LookupEnv] does.
type Lookup func(name string) (value string, set bool)
