package store

import (
	"crypto/sha256"
	"slices"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/tree"
)

// grow publishes a file that was in those parts, and says how many bytes that sent.
func (s *suite) grow(was *item, content string) (item, int) {
	s.t.Helper()
	next := file("log", content)
	if was != nil {
		next.Where = slices.Clone(was.Where)
		if len(next.Where) == 1 {
			sum := sha256.Sum256(was.content)
			next.Where[0].Sum = string(sum[:])
		}
	}
	sent := s.sending(func() {
		dir := s.tmp()
		batch := s.Begin(dir, 7, nil)
		s.add(batch, &next)
		s.must(batch.Send(s.t.Context()))
		s.announce(dir, []item{next})
	})
	s.verify([]item{next})
	return next, sent
}

// Of a log that grew the last 600 KB were sent each time.
func TestWhatGrewIsSentAlone(t *testing.T) {
	sample.Long(t)
	for name, size := range sample.Cases(t, 1, map[string]int{"small": 10 << 10, "one part": 100 << 10, "large": 5 << 20}) {
		t.Run(name, func(t *testing.T) {
			s := memorySuite(t)
			noise := string(s.noise(size + 600<<10))
			last, _ := s.grow(nil, noise[:size])
			appended, sent := 0, 0
			for n := 4 << 10; appended+n <= 600<<10; appended += n {
				var got int
				last, got = s.grow(&last, noise[:size+appended+n])
				sent += got
				if tail := len(last.Where) - len(lasting(last.Where)); len(last.Where) > 2*tailParts+size/minPart {
					t.Fatalf("%d parts, %d of them at the end", len(last.Where), tail)
				}
			}
			if sent > 3*appended {
				t.Errorf("%d bytes were sent for %d", sent, appended)
			}
		})
	}
}

// A file that grew and is another besides is cut anew from where it is.
func TestWhatGrewAndIsAnother(t *testing.T) {
	sample.Long(t)
	s := memorySuite(t)
	noise := s.noise(3 << 20)
	was, _ := s.grow(nil, string(noise[:2<<20]))
	for name, edit := range map[string]func(b []byte) []byte{
		"first byte": func(b []byte) []byte { b[0]++; return b },
		"middle":     func(b []byte) []byte { b[1<<20]++; return b },
		"last byte":  func(b []byte) []byte { b[len(b)-1]++; return b },
		"inserted":   func(b []byte) []byte { return slices.Insert(b, 1<<20, 1, 2, 3) },
		"emptied":    func(b []byte) []byte { return b[:0] },
		"cut":        func(b []byte) []byte { return b[:100] },
		"as it was":  func(b []byte) []byte { return b },
	} {
		t.Run(name, func(t *testing.T) {
			s.grow(&was, string(edit(slices.Clone(noise[:2<<20])))+string(noise[2<<20:]))
			s.grow(&was, string(edit(slices.Clone(noise[:2<<20]))))
		})
	}
}

// What a file keeps.
func TestLasting(t *testing.T) {
	part := func(size int64) tree.Extent { return tree.Extent{Size: size, Sum: "s"} }
	many := func(n int, size int64) (out []tree.Extent) {
		for range n {
			out = append(out, part(size))
		}
		return out
	}
	large := many(3, usualPart)
	for name, tt := range map[string]struct {
		was  []tree.Extent
		want int
	}{
		"nothing":            {nil, 0},
		"large ones":         {large, 3},
		"an end":             {append(slices.Clone(large), many(tailParts-1, 10)...), 3 + tailParts - 1},
		"a long end":         {append(slices.Clone(large), many(tailParts, 10)...), 3},
		"a heavy end":        {append(slices.Clone(large), many(5, minPart-1)...), 3},
		"no hash":            {[]tree.Extent{part(10), {Size: 20}, part(10)}, 1},
		"more than a part":   {[]tree.Extent{part(maxPart + 1), part(10)}, 0},
		"all of it is small": {many(tailParts, 10), 0},
	} {
		if got := len(lasting(tt.was)); got != tt.want {
			t.Errorf("%s: %d parts, want %d", name, got, tt.want)
		}
	}
}
