package localfs

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coltec/coltec/pkg/tree"
)

// opener is a file system of one file.
type opener struct {
	FileSystem
	open func() File
}

func (o opener) Open(string) (File, error) { return o.open(), nil }

// moving is a file whose writer acts at certain reads.
type moving struct {
	body  []byte
	seen  Seen
	reads int
	write func(m *moving) // after each read; may be nil
	opens int
	clone func(m *moving) File // nil: there are none
}

// alone is a file system that has it.
func (m *moving) alone() FileSystem {
	return opener{open: func() File {
		m.opens++
		return m
	}}
}

func (m *moving) Close() error { return nil }

func (m *moving) Seen() (Seen, error) { return m.seen, nil }

func (m *moving) Read([]byte) (int, error) { return 0, errors.New("it is read by place") }

func (m *moving) ReadAt(b []byte, at int64) (int, error) {
	n, err := bytes.NewReader(m.body).ReadAt(b, at)
	if m.reads++; m.write != nil {
		m.write(m)
	}
	return n, err
}

func (m *moving) Clone(string) (File, error) {
	if m.clone == nil {
		return nil, errors.ErrUnsupported
	}
	return m.clone(m), nil
}

// set is a write that the file's times tell.
func (m *moving) set(body string) {
	m.body = []byte(body)
	m.seen.Size, m.seen.MTime, m.seen.CTime = int64(len(body)), m.seen.MTime+1, m.seen.CTime+1
}

// still is a file of so old times that nothing is young.
func still(body string) *moving {
	return &moving{body: []byte(body), seen: Seen{Size: int64(len(body)), MTime: 1, CTime: 1, Inode: 7}}
}

// TestState holds what is taken of a file whose writer does something between the reads.
func TestState(t *testing.T) { synctest.Test(t, state) }

func state(t *testing.T) {
	once := func(do func(m *moving)) func(m *moving) {
		return func(m *moving) {
			if m.reads == 1 {
				do(m)
			}
		}
	}
	for name, tt := range map[string]struct {
		write  func(m *moving)
		age    time.Duration // of the last change; 0: it is of long ago
		want   string        // "": it moves
		opens  int
		looked bool // what it was seen as is what it is
	}{
		"nobody writes":           {want: "old content", opens: 1, looked: true},
		"it grows once":           {write: once(func(m *moving) { m.set("old content, and more") }), want: "old content, and more", opens: 1},
		"it grows all the time":   {write: func(m *moving) { m.set(string(m.body) + "x") }, want: "old content" + "xxxxxxxxx"[:followRounds], opens: 1},
		"it is written in place":  {write: once(func(m *moving) { m.set("new content") }), want: "new content", opens: 2, looked: true},
		"in place, all the time":  {write: func(m *moving) { m.set("content " + string(rune('0'+m.reads))) }, opens: stateTries},
		"it is cut short":         {write: once(func(m *moving) { m.set("old") }), want: "old", opens: 2, looked: true},
		"another takes its name":  {write: once(func(m *moving) { m.seen.CTime++ }), want: "old content", opens: 1},
		"it is young":             {age: 30 * time.Second, want: "old content", opens: 1, looked: true},
		"by a clock ahead of us":  {age: -time.Hour, want: "old content", opens: 1},
		"a mapping, and no sign":  {age: 30 * time.Second, write: once(func(m *moving) { m.body = []byte("new content") }), want: "new content", opens: 2, looked: true},
		"a mapping, of long ago":  {write: once(func(m *moving) { m.body = []byte("new content") }), want: "old content", opens: 1, looked: true}, // not to be told
		"it grows, and is edited": {write: func(m *moving) { m.set(string(rune('a'+m.reads%26)) + string(m.body[1:]) + "x") }, opens: stateTries},
	} {
		m := still("old content")
		m.write = tt.write
		if tt.age != 0 {
			m.seen.CTime = time.Now().Add(-tt.age).UnixNano()
		}
		var got string
		undone := 0
		is, err := NewReader(m.alone(), Quirks{}, "").State(t.Context(), "f", 0, func(r io.Reader, _ Seen) (func() error, error) {
			b, err := io.ReadAll(r)
			got = string(b)
			return func() error { undone++; return nil }, err
		})
		if tt.want == "" {
			if !errors.Is(err, ErrMoved) || m.opens != tt.opens || undone != tt.opens {
				t.Errorf("%s: %q, %v, opened %d times, undone %d", name, got, err, m.opens, undone)
			}
			continue
		}
		if err != nil || got != tt.want || is.Sum != tree.Sum(sha256.Sum256([]byte(got))) || m.opens != tt.opens || undone != tt.opens-1 {
			t.Errorf("%s: %q, %v, opened %d times, undone %d", name, got, err, m.opens, undone)
		}
		seen := is.Seen
		if looked := seen == m.seen; looked != tt.looked || !looked && seen.CTime != 0 {
			t.Errorf("%s: seen as %+v, and is %+v", name, seen, m.seen)
		}
		if seen.Size != int64(len(got)) {
			t.Errorf("%s: size %d of %q", name, seen.Size, got)
		}
	}
}

// A file that moved is read from a clone where there is one: that stands still.
func TestStateOfAClone(t *testing.T) { synctest.Test(t, stateOfAClone) }

func stateOfAClone(t *testing.T) {
	m := still("old content")
	m.write = func(m *moving) { m.set("content " + string(rune('a'+m.reads))) }
	m.clone = func(m *moving) File {
		clone := still(string(m.body))
		m.set("content of later")
		return clone
	}
	var got []byte
	is, err := NewReader(m.alone(), Quirks{}, "").State(t.Context(), "f", 0, func(r io.Reader, _ Seen) (_ func() error, err error) {
		got, err = io.ReadAll(r)
		return nil, err
	})
	if err != nil || string(got) != "content b" || is.Seen.Size != int64(len(got)) || is.Seen.CTime != 0 || m.opens != 2 {
		t.Errorf("%q, %v, is.Seen as %+v, opened %d times", got, err, is.Seen, m.opens)
	}
}

// It says how large it is, and has less by the time that it is read.
func TestFollowerOfWhatIsCutShort(t *testing.T) {
	if _, err := io.ReadAll(&follower{file: still("old"), size: 11, end: 11, rounds: followRounds}); !errors.Is(err, ErrMoved) {
		t.Errorf("%v", err)
	}
}

// All files that move together are waited for no longer than one Reader may.
func TestStateWaitsNoLonger(t *testing.T) { synctest.Test(t, stateWaitsNoLonger) }

func stateWaitsNoLonger(t *testing.T) {
	m := still("old content")
	m.write = func(m *moving) { m.set("content " + string(rune('a'+m.reads%20))) }
	r := NewReader(m.alone(), Quirks{}, "")
	r.care.waits = pauses[1] // one of them
	for range 2 {
		_, err := r.State(t.Context(), "f", 0, func(r io.Reader, _ Seen) (func() error, error) { return nil, Drain(r) })
		if !errors.Is(err, ErrMoved) {
			t.Errorf("%v", err)
		}
	}
	if m.opens != 3 {
		t.Errorf("opened %d times", m.opens)
	}
}

func TestStateIsReadToItsEnd(t *testing.T) {
	_, err := NewReader(still("old content").alone(), Quirks{}, "").State(t.Context(), "f", 0, func(r io.Reader, _ Seen) (func() error, error) {
		_, err := r.Read(make([]byte, 3))
		return nil, err
	})
	if err == nil || errors.Is(err, ErrMoved) {
		t.Errorf("%v", err)
	}
}

// What is pushed is what the entry says: any difference counts, before and after.
func TestRead(t *testing.T) {
	for name, tt := range map[string]struct {
		sighted func(s *Seen)
		read    func(m *moving)
		want    bool
	}{
		"as it was seen":     {want: true},
		"changed before":     {sighted: func(s *Seen) { s.MTime-- }},
		"another mode":       {sighted: func(s *Seen) { s.Mode = 0o600 }},
		"only then as seen":  {sighted: func(s *Seen) { s.CTime++ }, read: func(m *moving) { m.seen.CTime++ }},
		"changed while read": {read: func(m *moving) { m.seen.CTime++ }},
	} {
		m := still("old content")
		s := Entry{Path: "f", Kind: tree.File, Seen: m.seen}
		if tt.sighted != nil {
			tt.sighted(&s.Seen)
		}
		sum, seen, err := NewReader(opener{open: func() File { return &stream{m, bytes.NewReader(m.body), tt.read} }}, Quirks{}, "").Read(&s, Drain)
		switch {
		case tt.want && (err != nil || seen != m.seen || sum != tree.Sum(sha256.Sum256(m.body))):
			t.Errorf("%s: %v", name, err)
		case !tt.want && (!errors.Is(err, ErrMoved) || !errors.As(err, new(FileError))):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// stream is a file that is read from its beginning, by the way; during is called at its end.
type stream struct {
	*moving
	in     *bytes.Reader
	during func(m *moving)
}

func (s *stream) Read(b []byte) (int, error) {
	n, err := s.in.Read(b)
	if err == io.EOF && s.during != nil {
		s.during(s.moving)
	}
	return n, err
}
