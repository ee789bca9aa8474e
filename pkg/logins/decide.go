package logins

// sides are what there is of a login when the lease is acquired.
type sides struct {
	seen   record   // what this machine had or saw last
	local  string   // digest of the files here; "": none
	remote *payload // in the bucket; nil: none
	at     tenure
}

// move is what becomes of a login.
type move int

const (
	rest      move = iota // it is here as it is there, or nowhere
	push                  // what is here goes there
	place                 // what is there comes here
	displace              // and what is here is kept aside
	parted                // it was removed here, and is there as it was seen last
	loggedOff             // it was removed there
	replayed              // there is an older one than was there before; what is here counts
)

// decide is what to do with a login. The newest by its version wins: which of two copies a
// provider takes nobody but the provider knows, and what was pushed last was used under the
// lease.
func (s sides) decide() move {
	if s.remote == nil {
		return s.without()
	}
	there := digestOf(s.remote.Files)
	known := s.seen.Version.Lineage == s.remote.Lineage
	switch {
	case s.local == there:
		if known && s.seen.Version.newer(s.remote.version) {
			return replayed
		}
		return rest
	case known && s.seen.Version.newer(s.remote.version):
		return replayed
	case known && s.seen.Version == s.remote.version:
		if s.local == "" {
			return parted
		}
		return push
	case !known && s.remote.Lineage != s.at.lineage && s.local != "":
		return push // of a head that was lost: what is here was used since
	case s.local == "" || s.local == s.seen.Digest:
		return place
	}
	return displace
}

// without is decide where none is there.
func (s sides) without() move {
	switch {
	case s.seen.Removed && s.local != "":
		return loggedOff
	case s.seen.Version.Lineage == s.at.lineage && s.seen.Digest != "":
		return loggedOff
	case s.local == "":
		return rest
	}
	return push
}
