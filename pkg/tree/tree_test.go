package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/google/go-cmp/cmp"
)

func TestCompareFollowsAWalk(t *testing.T) {
	want := []string{"a", "a/b", "a/b/c", "a/c", "a b", "a!", "a-b", "a.b", "ab", "b"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, Compare)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWithin(t *testing.T) {
	tests := map[string]struct {
		path, dir string
		want      bool
	}{
		"itself":  {"a/b", "a/b", true},
		"under":   {"a/b/c", "a/b", true},
		"sibling": {"a/bc", "a/b", false},
		"above":   {"a", "a/b", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Within(tt.path, tt.dir); got != tt.want {
				t.Errorf("Within(%q, %q) = %v", tt.path, tt.dir, got)
			}
		})
	}
}

func TestParents(t *testing.T) {
	if diff := cmp.Diff([]string{"a", "a/b"}, slices.Collect(Parents("a/b/c"))); diff != "" {
		t.Error(diff)
	}
}

func sampleRows() []Entry {
	return []Entry{
		{Path: "d", Kind: Dir, Mode: 0o2755},
		{Path: "d/tab\tnew\nline", Kind: File, Mode: 0o600, MTime: -1, Size: 0, Sum: Sum{1}},
		{Path: "d/\xff%20 ü", Kind: Link, Link: "../\xfe x"},
		{Path: "f", Kind: File, Mode: 0o755, MTime: 1700000000123456789, Size: 7, Sum: Sum{0xab, 31: 1}, Tag: "x\ty",
			Where: []Extent{{"o/1-aa", 0, 5, 4, Zstd, strings.Repeat("\x01\xff", 16)}, {"o/1-bb", 9, 3, 3, Raw, ""}}},
		{Path: "g", Kind: File, Size: 1, Where: []Extent{{"o/1-aa", 5, 1, 1, Raw, ""}}},
	}
}

func TestTextRoundTrip(t *testing.T) {
	var buf bytes.Buffer
	w := NewWriter(&buf)
	for _, e := range sampleRows() {
		if err := w.Entry(&e, 1, -2); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Gone("a\nb"), w.Flush()); err != nil {
		t.Fatal(err)
	}
	var want []Record
	for _, e := range sampleRows() {
		want = append(want, Record{Entry: e, More: []int64{1, -2}})
	}
	want = append(want, Record{Entry: Entry{Path: "a\nb"}, Gone: true})
	got, err := readAll(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A reader tells a record that is as it was written, and only that.
func TestReaderIs(t *testing.T) {
	var buf bytes.Buffer
	w := NewWriter(&buf)
	for _, e := range sampleRows() {
		_ = w.Entry(&e)
	}
	_ = w.Flush()
	r := NewReader(&buf)
	for i := range sampleRows() {
		if err := r.Advance(); err != nil {
			t.Fatal(err)
		}
		for j, e := range sampleRows() {
			if got := r.Is(&e); got != (i == j) {
				t.Errorf("record %d is entry %d: %v", i, j, got)
			}
		}
		if rec, err := r.Record(); err != nil || !r.Is(&rec.Entry) {
			t.Errorf("record %d is not itself: %v", i, err)
		}
	}
}

// Each step of a journal that a push replays took a buffer of 64 KiB, to read a line.
func TestReaderOfLittleTakesLittle(t *testing.T) {
	text := strings.Repeat("o\tm/key\n", 3)
	const rounds = 200
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		if _, err := NewReader(strings.NewReader(text)).Next(); err != io.EOF {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / rounds; each > 4<<10 {
		t.Errorf("%d bytes to read %d", each, len(text))
	}
}

// What a writer takes is read again, and what a reader would refuse is not written.
func TestBoundsOfParts(t *testing.T) {
	sample.Long(t)
	many := func(n int) []Extent {
		where := make([]Extent, n)
		for i := range where {
			where[i] = Extent{Object: "o/1", Stored: 1, Size: 1, Codec: Raw}
		}
		return where
	}
	for n, want := range map[int]error{MaxExtents: nil, MaxExtents + MaxExtentsPerRow: nil, MaxExtents + MaxExtentsPerRow + 1: ErrTooLarge} {
		var buf bytes.Buffer
		w := NewWriter(&buf)
		e := Entry{Path: "a", Kind: File, Where: many(n)}
		if err := errors.Join(w.Entry(&e), w.Flush()); !errors.Is(err, want) {
			t.Errorf("%d: %v", n, err)
		}
		if got, err := readAll(&buf); want == nil && (err != nil || len(got[0].Where) != n) {
			t.Errorf("%d: %v", n, err)
		}
	}
	w := NewWriter(io.Discard)
	if err := w.Entry(&Entry{Path: strings.Repeat("x", MaxLine), Kind: File}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a long line: %v", err)
	}
}

func readAll(r io.Reader) ([]Record, error) {
	var got []Record
	for rd := NewReader(r); ; {
		rec, err := rd.Next()
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, rec)
	}
}

func TestReaderRefuses(t *testing.T) {
	ok := "f\t644\t1\t2\t\t\t\t\tname"
	if _, err := readAll(strings.NewReader(ok + "\n")); err != nil {
		t.Fatalf("the valid line: %v", err)
	}
	tests := map[string]string{
		"cut":             ok,
		"a kind unknown":  strings.Replace(ok, "f", "q", 1) + "\n",
		"too few columns": "f\t644\n",
		"no number":       strings.Replace(ok, "644", "9", 1) + "\n",
		"a long sum":      "f\t644\t1\t2\t" + strings.Repeat("ab", 33) + "\t\t\t\tname\n",
		"a short sum":     "f\t644\t1\t2\tab\t\t\t\tname\n",
		"a part's sum":    "o\tx\nf\t644\t1\t2\t\t0:1:1:1:r:abcd\t\t\tname\n",
		"more of a part":  "o\tx\nf\t644\t1\t2\t\t0:1:1:1:r::\t\t\tname\n",
		"no such object":  "f\t644\t1\t2\t\t0:1:1:1:r\t\t\tname\n",
		"a bad escape":    ok + "%Z\n",
		"an empty path":   strings.Replace(ok, "name", "", 1) + "\n",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := readAll(strings.NewReader(text)); err == nil {
				t.Errorf("read %+v from %q", got, text)
			}
		})
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("o\tk\nf\t644\t1\t2\t\t0:1:1:1:r\t\t\tna%0Ame\t7\n-\tx\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		recs, err := readAll(bytes.NewReader(b))
		if err != nil {
			return
		}
		var buf bytes.Buffer
		w := NewWriter(&buf)
		for i := range recs {
			if recs[i].Gone {
				_ = w.Gone(recs[i].Path)
			} else {
				_ = w.Entry(&recs[i].Entry, recs[i].More...)
			}
		}
		_ = w.Flush()
		again, err := readAll(&buf)
		if err != nil {
			t.Fatalf("cannot read what was written: %v", err)
		}
		if diff := cmp.Diff(recs, again); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzEscape(f *testing.F) {
	f.Add("a%\xff\n\t ü")
	f.Fuzz(func(t *testing.T, s string) {
		e := Escape(s)
		if strings.ContainsAny(e, "\t\n") {
			t.Errorf("Escape(%q) = %q", s, e)
		}
		if got, err := Unescape(e); err != nil || got != s {
			t.Errorf("Unescape(%q) = %q, %v", e, got, err)
		}
	})
}

func TestSame(t *testing.T) {
	f := Entry{Kind: File, Mode: 0o644, MTime: 5, Size: 3, Sum: Sum{1}}
	tests := map[string]struct {
		change        func(*Entry)
		content, meta bool
	}{
		"nothing":    {func(e *Entry) {}, true, true},
		"where":      {func(e *Entry) { e.Where = []Extent{{Object: "o"}} }, true, true},
		"mode":       {func(e *Entry) { e.Mode = 0o755 }, true, false},
		"mtime":      {func(e *Entry) { e.MTime++ }, true, false},
		"sum":        {func(e *Entry) { e.Sum[0]++ }, false, true},
		"kind":       {func(e *Entry) { e.Kind = Link }, false, true},
		"dir's time": {func(e *Entry) { e.Kind = Dir; e.MTime++ }, false, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g := f
			tt.change(&g)
			if f.SameContent(&g) != tt.content || f.Same(&g) != (tt.content && tt.meta) {
				t.Errorf("SameContent = %v, Same = %v", f.SameContent(&g), f.Same(&g))
			}
		})
	}
}

// What is passed over has its path alone, all else is as it is; and the bounds hold as if all
// had been read.
func TestNextPast(t *testing.T) {
	var buf bytes.Buffer
	w := NewWriter(&buf)
	var want []Record
	for i := range 400 {
		e := Entry{Path: fmt.Sprintf("dir%d/na%%me\n%d", i/100, i), Kind: File, Mode: 0o644, MTime: int64(i) * -1e17, Size: math.MaxInt64 - int64(i), Sum: Sum{byte(i)}}
		for j := range i % 3 {
			e.Where = append(e.Where, Extent{Object: fmt.Sprint("o", i, j), Offset: 1, Stored: 2, Size: 3, Codec: Zstd, Sum: strings.Repeat("s", len(Sum{}))})
		}
		if i%50 == 7 {
			_ = w.Gone(e.Path)
			want = append(want, Record{Entry: Entry{Path: e.Path}, Gone: true})
			continue
		}
		if err := w.Entry(&e, 1, int64(-i)); err != nil {
			t.Fatal(err)
		}
		want = append(want, Record{Entry: e, More: []int64{1, int64(-i)}})
	}
	_ = w.Flush()
	past := func(path string) bool { return strings.HasPrefix(path, "dir1/") || strings.HasPrefix(path, "dir3/") }
	for i := range want {
		if past(want[i].Path) && !want[i].Gone {
			want[i] = Record{Entry: Entry{Path: want[i].Path}, Bare: true}
		}
	}
	all, some := NewReader(bytes.NewReader(buf.Bytes())), NewReader(bytes.NewReader(buf.Bytes()))
	for i := range want {
		if _, err := all.Next(); err != nil {
			t.Fatal(err)
		}
		got, err := some.NextPast(past)
		if diff := cmp.Diff(want[i], got); err != nil || diff != "" {
			t.Fatalf("record %d: %v\n%s", i, err, diff)
		}
		if all.rows != some.rows || all.extents != some.extents {
			t.Fatalf("record %d: %d rows and %d extents count, of %d and %d", i, some.rows, some.extents, all.rows, all.extents)
		}
	}
}

// Numbers are what ParseInt makes of them.
func TestNumbers(t *testing.T) {
	for _, text := range []string{"", "0", "-0", "+7", "007", "-5", "12a", "1_0", " 1", "9223372036854775807", "9223372036854775808",
		"9999999999999999999", "-9223372036854775808", "-9223372036854775809", "18446744073709551616", "00000000000000000000012", "1:", "/", "１"} {
		p := &parser{}
		got := p.number([]byte(text))
		if want, err := strconv.ParseInt(text, 10, 64); (err != nil) != (p.err != nil) || err == nil && got != want {
			t.Errorf("%q: %d, %v, and not %d, %v", text, got, p.err, want, err)
		}
	}
}
