package store

import "time"

// Clock is the time as a machine has it. Neither decides whether somebody
// else's lease has run out: that the store's own clock does.
type Clock struct {
	Now  func() time.Time     // for people
	Boot func() time.Duration // goes on while the machine sleeps
}

// orReal fills in what is missing.
func (c Clock) orReal() Clock {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Boot == nil {
		c.Boot = bootTime
	}
	return c
}

// storeClock is the store's clock as it was read last. Between two readings this
// machine's own clock tells how far it has gone: good enough to wait by, while what
// is decided is decided by a new reading.
type storeClock struct {
	read time.Time     // zero: never
	at   time.Duration // boot-time clock of this machine, then
}

// Expiry by the store's clock needs the times of two of its objects; a
// difference below this says nothing, since stores round to seconds.
const clockGrain = time.Second

// now is the time by the store's clock when the boot-time clock shows boot.
func (c storeClock) now(boot time.Duration) time.Time { return c.read.Add(boot - c.at) }
