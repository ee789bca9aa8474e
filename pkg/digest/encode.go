package digest

import (
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/status"
)

// Bounds of names. Disks behind a store, and the tools of people, know names of 255 bytes and
// keys of 1024, with the prefix of a remote in them.
const (
	segmentMost = 200 // characters
	KeyMost     = 900 // bytes of a key below the remote's root
)

// alphabet writes bytes in letters and digits that are no others in capitals: there are stores
// on disks that do not tell these apart.
var alphabet = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// version is the first byte. Another is another format.
const version = 1

// What codes stand for: nothing is ever taken out of these, and what comes is put at their ends.
var (
	needs = []status.Need{
		status.NeedAnswer, status.NeedFenced, status.NeedConflicts, status.NeedDeletions, status.NeedBlocked, status.NeedFailed,
		status.NeedLost, status.NeedUnsaved, status.NeedSilent, status.NeedUnreadable, status.NeedAttention,
	}
	states  = []status.AgentState{status.AgentWorking, status.AgentWaits, status.AgentDone, status.AgentFailed}
	reasons = []account.Reason{
		account.Moving, account.Unfinished, account.Held, account.Uncaptured, account.Deferred, account.Waiting, account.Blocked, account.Unread,
	}
)

func needCode(n status.Need) int        { return slices.Index(needs, n) }
func stateCode(s status.AgentState) int { return slices.Index(states, s) }
func reasonCode(r account.Reason) int   { return slices.Index(reasons, r) }
func roundBytes(n int64) int64          { return bytesOf(bytesCode(n)) }
func minutesOf(t time.Time) uint64      { return uint64(max(0, minute(t).Sub(epoch)/time.Minute)) }

// fourths of a power of two are what bytes are counted in: codes go to 2^62.75.
const codeMost = 4*62 + 4

// bytesCode is the number of fourths in the binary logarithm of n, and one; 0 for nothing.
func bytesCode(n int64) uint8 {
	if n <= 0 {
		return 0
	}
	exponent := bits.Len64(uint64(n)) - 1
	quarter := 0
	for quarter < 3 && n >= int64(math.Exp2(float64(exponent)+float64(quarter+1)/4)) {
		quarter++
	}
	return uint8(4*exponent + quarter + 1)
}

func bytesOf(code uint8) int64 {
	if code == 0 {
		return 0
	}
	return int64(math.Exp2(float64(code-1) / 4))
}

// errRoom says that no digest fits below a prefix.
var errRoom = errors.New("no digest fits into so long a key")

// Name is a digest as the end of a key, where what is before it has so many bytes: segments of
// base32 with a slash between them. What does not fit is left out: what other machines left,
// agents that need nobody, the checkpoint, all agents.
func (d Digest) Name(before int) (string, error) {
	d = d.Rounded()
	for _, shorten := range []func(){
		func() {},
		func() { d.Left = d.Left[max(0, len(d.Left)-1):] },
		func() { d.Agents = d.pressing(2) },
		func() { d.Left, d.Checkpoint, d.CheckpointAt = nil, "", time.Time{} },
		func() { d.Agents = nil },
	} {
		shorten()
		if name := segments(alphabet.EncodeToString(d.bytes())); before+len(name) <= KeyMost {
			return name, nil
		}
	}
	return "", errRoom
}

// pressing are n agents at most: where there are more, those before others that need somebody.
func (d Digest) pressing(n int) []Agent {
	if len(d.Agents) <= n {
		return d.Agents
	}
	list := slices.Clone(d.Agents)
	rank := func(a Agent) int {
		return slices.Index([]status.AgentState{status.AgentWaits, status.AgentFailed, status.AgentWorking, status.AgentDone}, a.State)
	}
	slices.SortStableFunc(list, func(a, b Agent) int { return rank(a) - rank(b) })
	return list[:n]
}

func segments(text string) string {
	var list []string
	for part := range slices.Chunk([]byte(text), segmentMost) {
		list = append(list, string(part))
	}
	return strings.Join(list, "/")
}

// bytes is what a name is made of.
func (d Digest) bytes() []byte {
	flags := uint8(d.Lease) << 1
	if d.Unwell {
		flags |= 1
	}
	b := []byte{version, flags}
	b = binary.BigEndian.AppendUint32(b, d.Lineage)
	put := func(list ...uint64) {
		for _, n := range list {
			b = binary.AppendUvarint(b, n)
		}
	}
	text := func(s string) { b = append(append(b, uint8(len(s))), s...) }
	put(uint64(d.Epoch), uint64(d.Serial), minutesOf(d.Since), uint64(d.TTL/time.Second), uint64(d.Renew/time.Second))
	b = append(b, bytesCode(d.Bytes))
	mask := uint64(0)
	for _, n := range d.Needs {
		mask |= 1 << needCode(n)
	}
	put(mask, uint64(d.Conflicts))
	text(d.Host)
	put(uint64(len(d.Agents)))
	for _, a := range d.Agents {
		put(uint64(stateCode(a.State)), minutesOf(a.Since))
		text(a.Name)
	}
	put(uint64(len(d.Only)))
	for _, p := range d.Only {
		put(uint64(reasonCode(p.Reason)), uint64(p.Count))
	}
	put(uint64(len(d.Left)))
	for _, l := range d.Left {
		put(uint64(l.Count), minutesOf(l.At))
		text(l.Host)
	}
	put(minutesOf(d.CheckpointAt))
	text(d.Checkpoint)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// Errors of a name.
var (
	// ErrNone says that a name is no digest.
	ErrNone = errors.New("it is no digest")
	// ErrLater says that a digest is none that this version can read: a later one wrote it.
	ErrLater = errors.New("it is a digest of a later version")
)

// sumSize is how many bytes the sum has, at the end of the digests of each version.
const sumSize = 4

// IsName reports whether a name may be one of a digest of any version: letters, digits and
// slashes in their places.
func IsName(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || len(part) > segmentMost || strings.Trim(part, "0123456789abcdefghijklmnopqrstuv") != "" {
			return false
		}
	}
	return len(name) <= KeyMost
}

// lower makes capitals small. A letter that is none of a digest's stays one: strings.ToLower
// makes a k of the Kelvin sign.
func lower(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'V' {
			r += 'a' - 'A'
		}
		return r
	}, name)
}

// Parse reads the name of a digest. What no version writes is [ErrNone], and what has its sum and
// says something that this one does not know [ErrLater].
func Parse(name string) (Digest, error) {
	name = lower(name)
	if !IsName(name) {
		return Digest{}, ErrNone
	}
	text := strings.ReplaceAll(name, "/", "")
	b, err := alphabet.DecodeString(text)
	if err != nil || len(b) <= sumSize || alphabet.EncodeToString(b) != text {
		return Digest{}, ErrNone
	}
	body, sum := b[:len(b)-sumSize], binary.BigEndian.Uint32(b[len(b)-sumSize:])
	switch {
	case crc32.ChecksumIEEE(body) != sum:
		return Digest{}, ErrNone
	case body[0] != version:
		return Digest{}, fmt.Errorf("%w: of format %d", ErrLater, body[0])
	}
	r := reader{b: body[1:]}
	d := r.digest()
	if r.bad || len(r.b) > 0 {
		return Digest{}, fmt.Errorf("%w: what it says makes no sense", ErrLater)
	}
	return d, nil
}

// reader takes a digest apart. What is no value of a digest makes it bad, and reads as nothing.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) digest() (d Digest) {
	flags := r.byte()
	d.Lease, d.Unwell = Lease(flags>>1), flags&1 != 0
	r.bad = r.bad || d.Lease > Dirty
	for range 4 {
		d.Lineage = d.Lineage<<8 | uint32(r.byte())
	}
	d.Epoch, d.Serial, d.Since, d.TTL, d.Renew = r.number(), r.number(), r.minute(), r.seconds(), r.seconds()
	code := r.byte()
	r.bad = r.bad || code > codeMost
	if !r.bad {
		d.Bytes = bytesOf(code)
	}
	mask := r.uvarint(1<<len(needs) - 1)
	for i, n := range needs {
		if mask&(1<<i) != 0 {
			d.Needs = append(d.Needs, n)
		}
	}
	d.Conflicts, d.Host = r.about(), r.text()
	for range r.uvarint(AgentsMost) {
		state := states[r.uvarint(uint64(len(states)-1))]
		since := r.minute()
		d.Agents = append(d.Agents, Agent{Name: r.text(), State: state, Since: since})
	}
	for range r.uvarint(uint64(len(reasons))) {
		reason := reasons[r.uvarint(uint64(len(reasons)-1))]
		p := Part{reason, r.about()}
		r.bad = r.bad || p.Count == 0
		d.Only = append(d.Only, p)
	}
	for range r.uvarint(LeftMost) {
		l := Left{Count: r.about(), At: r.minute()}
		l.Host = r.text()
		d.Left = append(d.Left, l)
	}
	d.CheckpointAt, d.Checkpoint = r.minute(), r.text()
	return d
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// uvarint is a number of at most so much.
func (r *reader) uvarint(most uint64) uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || n > most || r.bad || size > 1 && r.b[size-1] == 0 { // one number has one form
		r.bad = true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) number() int64 { return int64(r.uvarint(numberMost)) }

func (r *reader) seconds() time.Duration {
	return time.Duration(r.uvarint(366*24*3600)) * time.Second
}

func (r *reader) minute() time.Time {
	n := r.uvarint(minutesMost - 1)
	if n == 0 {
		return time.Time{}
	}
	return epoch.Add(time.Duration(n) * time.Minute)
}

func (r *reader) about() int64 {
	n := r.number()
	r.bad = r.bad || n != About(n)
	return n
}

func (r *reader) text() string {
	n := int(r.byte())
	if r.bad || n > len(r.b) {
		r.bad = true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	r.bad = r.bad || s != name(s)
	return s
}
