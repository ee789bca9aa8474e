package rclone

import (
	"crypto/md5" //nolint:gosec // ETags are MD5
	"encoding/hex"
)

// Cond is the condition of a [Remote.PutIf]. The zero value is none.
type Cond struct {
	// Absent lets the write happen only if there is no such object.
	Absent bool
	// Match lets it happen only over the object with this ETag, without quotes.
	Match string
}

// IfAbsent is the condition that no such object exists.
var IfAbsent = Cond{Absent: true}

// IfMatch is the condition that the object has this ETag.
func IfMatch(etag string) Cond { return Cond{Match: etag} }

// header returns the condition as a header, or nothing.
func (c Cond) header() []string {
	switch {
	case c.Absent:
		return []string{"--header-upload", "If-None-Match: *"}
	case c.Match != "":
		return []string{"--header-upload", `If-Match: "` + c.Match + `"`}
	}
	return nil
}

// String says the condition for a log line.
func (c Cond) String() string {
	switch {
	case c.Absent:
		return "absent"
	case c.Match != "":
		return "etag " + c.Match
	}
	return "any"
}

// ETag is the ETag that most stores give a body which came in one PUT, and what
// [IfMatch] wants. [Remote.Probe] reports whether this store does.
func ETag(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // ETags are MD5
	return hex.EncodeToString(sum[:])
}
