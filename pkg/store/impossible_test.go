package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// allocates is how many MiB a function leaves behind it, and takes on its way.
func allocates(do func()) (mib uint64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) >> 20
}

// manifestFile writes what is to be a manifest to a file.
func manifestFile(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "m")
	var buf bytes.Buffer
	z, err := zstd.NewWriter(&buf, zstd.WithWindowSize(1<<20), zstd.WithEncoderConcurrency(1))
	if err == nil {
		_, err = z.Write([]byte(text))
	}
	if err := errors.Join(err, z.Close(), os.WriteFile(file, buf.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return file
}

// readFile reads the tree of a full manifest.
func readFile(file string) (*Tree, error) {
	m, err := openManifest(file)
	if err != nil {
		return nil, err
	}
	defer m.close()
	return readTree(m, nil)
}

func header(rows int) string { return fmt.Sprintf(`{"format":1,"rows":%d}`+"\n", rows) }

func wantImpossible(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrImpossible) || len(hint.Of(err)) == 0 || len(err.Error()) > 2000 {
		t.Errorf("%v, hints %q", err, hint.Of(err))
	}
}

// What a manifest says and no tree has is told as what it is, and nothing is allocated
// for it.
func TestImpossibleManifests(t *testing.T) {
	row := func(path string) string { return "f\t644\t1\t0\t\t\t\t\t" + path + "\n" }
	where := func(x string) string { return "o\to/1-a\nf\t644\t1\t5\t\t" + x + "\t\t\ta\n" }
	for name, text := range map[string]string{
		"nothing":                 "",
		"no JSON":                 "x\n",
		"a deep header":           strings.Repeat("[", 1<<20) + "\n",
		"a long header":           `{"format":1,"x":"` + strings.Repeat("x", maxHeader) + "\"}\n",
		"negative rows":           header(-1),
		"rows that are not there": header(7) + row("a"),
		"2^62 rows":               `{"format":1,"rows":4611686018427387904}` + "\n",
		"an epoch that wraps":     `{"format":1,"epoch":9223372036854775807}` + "\n",
		"more older paths than":   `{"format":1,"older":{"count":0,"paths":[{}]}}` + "\n",
		"a base that is none":     `{"format":1,"base":"m/../../x"}` + "\n",
		"it leads out":            header(1) + row("a/../../x"),
		"absolute":                header(1) + row("/x"),
		"NUL":                     header(1) + row("a%00"),
		"no name":                 header(1) + row("a//b"),
		"a long name":             header(1) + row(strings.Repeat("x", tree.MaxName+1)),
		"a long path":             header(1) + row(strings.Repeat("xxxxxxx/", tree.MaxPath/8)+"x"),
		"a deep path":             header(1) + row(strings.Repeat("x/", tree.MaxDepth)+"x"),
		"the base":                header(1) + row(".coltec/base"),
		"a link for .coltec":      header(1) + "l\t777\t1\t0\t\t\t/etc\t\t.coltec\n",
		"a link for repositories": header(1) + "l\t777\t1\t0\t\t\t/etc\t\t.coltec/git\n",
		"a file for conflicts":    header(1) + row(".coltec/conflicts"),
		"twice":                   header(2) + row("a") + row("a"),
		"out of order":            header(2) + row("b") + row("a"),
		"below a file":            header(2) + row("a") + row("a/b"),
		"below a link":            header(3) + "l\t777\t1\t0\t\t\t/etc\t\ta\n" + row("a/b") + row("c"),
		"gone from nothing":       header(0) + "-\ta\n",
		"a mode of 33 bits":       header(1) + "f\t40000000644\t1\t0\t\t\t\t\ta\n",
		"a negative mode":         header(1) + "f\t-1\t1\t0\t\t\t\t\ta\n",
		"a file of 2^62":          header(1) + "f\t644\t1\t4611686018427387904\t\t\t\t\ta\n",
		"a directory of 2^62":     header(1) + "d\t755\t1\t4611686018427387904\t\t\t\t\ta\n",
		"a link with content":     header(1) + "o\to/1-a\nl\t777\t1\t0\t\t0:0:1:1:r\tx\t\ta\n",
		"a long target":           header(1) + "l\t777\t1\t0\t\t\t" + strings.Repeat("x", tree.MaxPath+1) + "\t\ta\n",
		"sizes that add up to 5":  header(1) + "o\to/1-a\nf\t644\t1\t5\t\t0:0:1:9223372036854775807:z,0:0:1:9223372036854775807:z,0:0:1:7:z\t\t\ta\n",
		"a negative offset":       header(1) + where("0:-1:5:5:r"),
		"an offset of 2^62":       header(1) + where("0:4611686018427387904:5:5:r"),
		"stored in 2^62":          header(1) + where("0:0:4611686018427387904:5:r"),
		"an object that is none":  header(1) + where("1:0:5:5:r"),
		"another object":          header(1) + strings.Replace(where("0:0:5:5:r"), "o/1-a", "claim.json", 1),
		"an object that is out":   header(1) + strings.Replace(where("0:0:5:5:r"), "o/1-a", "o/../../x", 1),
		"an object's long name":   header(1) + strings.Replace(where("0:0:5:5:r"), "o/1-a", "o/"+strings.Repeat("x", 2000), 1),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readFile(manifestFile(t, text))
			wantImpossible(t, err)
		})
	}
}

// What is packed well, or is counted and not there, takes no memory.
func TestImpossibleManifestsInMemory(t *testing.T) {
	sample.Long(t)
	line := "f\t644\t1\t0\t\t\t\t\t"
	texts := map[string]func() string{
		"a row of 600 MiB": func() string { return header(1) + line + strings.Repeat("x", 600<<20) + "\n" },
		"60 million extents": func() string {
			return header(1) + "o\to/1\nf\t644\t1\t0\t\t" + strings.Repeat("0:0:0:0:r,", 60<<20) + "0:0:0:0:r\t\t\ta\n"
		},
		"100 million objects":    func() string { return header(1) + strings.Repeat("o\to/1\n", 100<<20) },
		"a header of 600 MiB":    func() string { return `{"format":1,"x":"` + strings.Repeat("x", 600<<20) },
		"a header of 2^25 pairs": func() string { return `{"format":1,"filters":[` + strings.Repeat("{},", 32<<20) + "{}]}\n" },
	}
	for _, name := range sample.Some(t, 1, slices.Sorted(maps.Keys(texts))) {
		file := manifestFile(t, texts[name]())
		t.Run(name, func(t *testing.T) {
			var err error
			if mib := allocates(func() { _, err = readFile(file) }); mib > 200 {
				t.Errorf("%d MiB", mib)
			}
			wantImpossible(t, err)
		})
	}
}

// A manifest may need no more window than its reader has.
func TestManifestWindow(t *testing.T) {
	sample.Long(t)
	var buf bytes.Buffer
	z, err := zstd.NewWriter(&buf, zstd.WithWindowSize(64<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	_, err = z.Write([]byte(header(0) + strings.Repeat("x", 65<<20)))
	file := filepath.Join(t.TempDir(), "m")
	if err := errors.Join(err, z.Close(), os.WriteFile(file, buf.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err = readFile(file)
	wantImpossible(t, err)
}

// Honest trees of the kind that packs best are far from the bounds.
func TestWhatPacksWellIsRead(t *testing.T) {
	sample.Long(t)
	for name, row := range map[string]string{
		"directories": "d\t755\t1700000000000000000\t0\t\t\t\t\tdir%06d\n",
		"empty files": "f\t644\t1700000000000000000\t0\te3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\t\t\t\tf%06d\n",
	} {
		var text strings.Builder
		const n = 300_000
		text.WriteString(header(n))
		for i := range n {
			fmt.Fprintf(&text, row, i)
		}
		file := manifestFile(t, text.String())
		s, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d times", name, int64(text.Len())/s.Size())
		if got, err := readFile(file); err != nil || len(got.Entries) != n {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A difference from a manifest of another workspace, or from itself, is not a tree.
func TestImpossibleBases(t *testing.T) {
	for name, texts := range map[string][2]string{
		"of another workspace": {`{"format":1,"workspace":"a/b/c","base":"m/1"}` + "\n", `{"format":1,"workspace":"a/b/other"}` + "\n"},
		"of another replica":   {`{"format":1,"replica":"a","base":"m/1"}` + "\n", `{"format":1,"replica":"b"}` + "\n"},
		"a difference itself":  {`{"format":1,"base":"m/1"}` + "\n", `{"format":1,"base":"m/1"}` + "\n"},
	} {
		m, err := openManifest(manifestFile(t, texts[0]))
		if err != nil {
			t.Fatal(err)
		}
		full, err := openManifest(manifestFile(t, texts[1]))
		if err != nil {
			t.Fatal(err)
		}
		_, err = readTree(m, full)
		m.close()
		full.close()
		t.Run(name, func(t *testing.T) { wantImpossible(t, err) })
	}
}

// aHead is one as a holder writes it.
func aHead() Head {
	h := Head{Format: headFormat, Workspace: "a/b/c", Lineage: "l", Epoch: 3, Seq: 9, Nonce: "n", State: Held, TTL: 180, Renew: 60, Holder: Holder{Host: "h", Instance: "i"}}
	for range 3 {
		h.Commit(map[string]Ref{"r": {Manifest: "m/3-1-aa", Files: 1, Bytes: 2}}, h.Collected)
	}
	return h
}

func TestImpossibleHeads(t *testing.T) {
	if _, err := ParseHead(mustJSON(t, aHead()), "a/b/c"); err != nil {
		t.Fatal(err)
	}
	const wraps = int64(1<<63 - 1)
	for name, change := range map[string]func(*Head){
		"epoch":          func(h *Head) { h.Epoch = wraps },
		"negative epoch": func(h *Head) { h.Epoch = -1 },
		"seq":            func(h *Head) { h.Seq = wraps },
		"generation":     func(h *Head) { h.Generation = wraps },
		"collection":     func(h *Head) { h.Collection = wraps },
		"ttl":            func(h *Head) { h.TTL = 1e300 },
		"negative ttl":   func(h *Head) { h.TTL = -1 },
		"renew":          func(h *Head) { h.Renew = 1e300 },
		"generations":    func(h *Head) { h.Recent = make([]Generation, 1000) },
		"left behind":    func(h *Head) { h.LeftBehind = make([]LeftBehind, 1000) },
		"twice":          func(h *Head) { h.Recent[1].Number = h.Recent[0].Number },
		"out of order":   func(h *Head) { h.Recent[0].Number = wraps },
		"younger":        func(h *Head) { h.Recent[2].Number = h.Generation + 1 },
		"a manifest":     func(h *Head) { h.Replicas["r"] = Ref{Manifest: "../../x"} },
		"negative size":  func(h *Head) { h.Replicas["r"] = Ref{Bytes: -1} },
		"a long nonce":   func(h *Head) { h.Nonce = strings.Repeat("x", maxWord+1) },
		"too large":      func(h *Head) { h.Workspace, h.Orphans = "a/b/c", map[string]string{"r": strings.Repeat("x", MaxHead)} },
		"of another":     func(h *Head) { h.Workspace = "a/b/\x1b[2J" },
	} {
		t.Run(name, func(t *testing.T) {
			h := aHead()
			change(&h)
			_, err := ParseHead(mustJSON(t, h), "a/b/c")
			wantImpossible(t, err)
			if _, err := h.encode(); name != "of another" && err == nil {
				t.Error("it would be written")
			}
		})
	}
	for _, text := range []string{"", "{", "null", `{"format":1,"epoch":1e30}`, strings.Repeat("[", 1<<19), `{"format":1,"recent":[` + strings.Repeat("{},", 300_000) + "{}]}", `{"format":1,"left_behind":[` + strings.Repeat("0,", 500_000) + "0]}", `{"left_behind":[{"left":[{"parts":[` + strings.Repeat("null,", 200_000) + "0]}]}]}"} {
		var err error
		if mib := allocates(func() { _, err = ParseHead([]byte(text), "a/b/c") }); mib > 20 {
			t.Errorf("%.20q: %d MiB", text, mib)
		}
		if err == nil {
			t.Errorf("%.20q is read", text)
		}
	}
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A head at the bound is not stepped over it.
func TestNumbersDoNotWrap(t *testing.T) {
	h := aHead()
	h.Epoch = maxNumber
	if _, err := h.encode(); err != nil {
		t.Fatal(err)
	}
	h.Epoch++
	_, err := h.encode()
	wantImpossible(t, err)
	if got := ManifestEpoch("m/9223372036854775807-1-a"); got != 0 {
		t.Error(got)
	}
}

// A head that names too much of what was left keeps the counts.
func TestHeadThatIsTooLargeIsThinned(t *testing.T) {
	h := aHead()
	name := strings.Repeat("x", 4096)
	h.leave(Holder{Host: "h", Place: "p"}, leftOf(name, 300), h.Collected)
	b, err := h.encode()
	if err != nil || len(b) > MaxHead {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	again, err := ParseHead(b, "a/b/c")
	if err != nil || again.LeftBehind[0].Left[0].Parts[0].Count != 300 {
		t.Errorf("%+v, %v", again, err)
	}
}

// A workspace of many replicas, or one that commits every five seconds for two days, is
// none that cannot be.
func TestManyReplicasAndGenerations(t *testing.T) {
	sample.Long(t)
	for _, replicas := range []int{1, 50, 1000} {
		b := storetest.New()
		l := machineOf(t, b, "a")
		mustAcquire(t, l)
		refs := map[string]Ref{}
		for i := range replicas {
			refs[fmt.Sprintf("replica-%d", i)] = Ref{Manifest: "m/1-1-" + strings.Repeat("a", 64), Files: 1 << 20, Bytes: 1 << 40, Filters: strings.Repeat("b", 64)}
		}
		for range recentMax + 5 {
			wantErr(t, l.Commit(t.Context(), NewID(), refs, nil), nil)
		}
		if body := b.Body(HeadKey(workspace)); len(body) > MaxHead/2 && replicas < 100 {
			t.Errorf("%d replicas: a head of %d bytes", replicas, len(body))
		}
		log, err := ReadLog(t.Context(), b, l.Head(), t.TempDir())
		if err != nil || len(log.Generations) != recentMax+5 {
			t.Fatalf("%d replicas: %v", replicas, err)
		}
	}
	b := storetest.New()
	l := machineOf(t, b, "a")
	mustAcquire(t, l)
	const n = 2 * 24 * 3600 / 5
	kept := make([]Generation, n)
	for i := range kept {
		kept[i] = Generation{Number: int64(i + 1), Epoch: 1, Nonce: NewID(), Replicas: map[string]Ref{}}
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			kept[i].Replicas[name] = Ref{Manifest: "m/1-1-" + strings.Repeat("a", 64), Filters: strings.Repeat("b", 64)}
		}
	}
	h := l.Head().Clone()
	h.Generation, h.Replicas = n, kept[n-1].Replicas
	l.head = &h
	compact, err := l.Compact(t.Context(), kept)
	if err != nil {
		t.Fatal(err)
	}
	compact(&h)
	log, err := ReadLog(t.Context(), b, &h, t.TempDir())
	if err != nil || len(log.Generations) != n || len(log.Segments) < 3 {
		t.Errorf("%v, %d segments", err, len(log.Segments))
	}
}

func leftOf(name string, n int) []account.Left {
	names := make([]string, n)
	for i := range names {
		names[i] = name
	}
	return []account.Left{{Replica: "r", Parts: []account.Part{{Reason: account.Moving, Count: n, Names: names}}}}
}

func FuzzHead(f *testing.F) {
	f.Add(mustJSON(f, aHead()))
	f.Add([]byte(`{"format":1,"workspace":"a/b/c","recent":[{"generation":1}],"generation":1,"left_behind":[{"left":[{"parts":[{"reason":"moving","count":1}]}]}]}`))
	f.Add([]byte(`{"format":1,"workspace":"a/b/c","epoch":9007199254740992,"ttl":1e9,"request":{"by":{"host":"x"}},"deletions":{"r":{"held":[{"names":["a"]}]}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHead(b, "a/b/c")
		if err != nil {
			return
		}
		body, err := h.encode()
		if err != nil {
			return // longer as JSON than it was, or a time that has no text
		}
		again, err := ParseHead(body, "a/b/c")
		if err != nil {
			t.Fatalf("cannot read what was written: %v", err)
		}
		if second, err := again.encode(); err != nil || !bytes.Equal(body, second) {
			t.Errorf("%v\n%s", err, cmp.Diff(string(body), string(second)))
		}
		next := h.Clone()
		next.Epoch++
		next.Commit(map[string]Ref{"r": {}}, next.Collected)
		if next.Epoch <= h.Epoch || next.Generation <= h.Generation {
			t.Errorf("epoch %d, generation %d wrap", next.Epoch, next.Generation)
		}
	})
}

func FuzzClaim(f *testing.F) {
	f.Add(mustJSON(f, Claim{Format: 1, Workspace: "a/b/c", Replica: "r", Lineage: "l", Head: "bucket/head.json"}))
	f.Add([]byte(`{"format":1,"workspace":"\u001b"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseClaim(b)
		if err != nil {
			return
		}
		again, err := parseClaim(mustJSON(t, c))
		if err != nil || *again != *c {
			t.Errorf("%+v is read as %+v, %v", c, again, err)
		}
	})
}

func FuzzLogSegment(f *testing.F) {
	f.Add(mustJSON(f, logSegment{Format: 1, Before: "x", Generations: aHead().Recent}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSegment(b)
		if err != nil {
			return
		}
		last := int64(-1)
		for i := range s.Generations {
			if s.Generations[i].check(last) != nil {
				return
			}
			last = s.Generations[i].Number
		}
		body, err := json.Marshal(s)
		if err != nil {
			return // a time that has no text
		}
		if again, err := parseSegment(body); err != nil || len(again.Generations) != len(s.Generations) {
			t.Errorf("%v", err)
		}
	})
}

// An object with the suffix of a link was read whole, whatever its size, and what is
// before the suffix was taken for a path without a look.
func TestWhatIsNoLinkOfAMirror(t *testing.T) {
	b := storetest.New().Metadata()
	target := []byte(strings.Repeat("t", tree.MaxPath))
	for key, body := range map[string][]byte{
		"link.rclonelink": []byte("to"), "longest.rclonelink": target, "long.rclonelink": append(target, 't'), "grown.rclonelink": []byte("to"),
		"...rclonelink": {'x'}, "a/...rclonelink": {'x'}, "..rclonelink": {'x'}, ".rclonelink": {'x'}, "a/.rclonelink": {'x'}, ".COLTEC.rclonelink": {'x'},
	} {
		b.Set(key, body)
	}
	m := NewMirror(b)
	got, err := m.Tree(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	b.Set("grown.rclonelink", append(target, 't'))
	kinds := map[string]tree.Kind{}
	for _, e := range got.Entries {
		kinds[e.Path] = e.Kind
		if e.Kind == tree.Dir {
			continue
		}
		if err := m.Fetch(t.Context(), []*tree.Entry{&e}, t.TempDir(), nil, nil); (err == nil) != (e.Path != "grown") {
			t.Errorf("%s: %v", e.Path, err)
		}
		if len(e.Link) > tree.MaxPath || e.Path == "link" && e.Link != "to" {
			t.Errorf("%s has a target of %d bytes", e.Path, len(e.Link))
		}
	}
	want := map[string]tree.Kind{
		"link": tree.Link, "longest": tree.Link, "grown": tree.Link, "long.rclonelink": tree.File, "...rclonelink": tree.File, "a": tree.Dir,
		"a/...rclonelink": tree.File, "..rclonelink": tree.File, ".rclonelink": tree.File, "a/.rclonelink": tree.File, ".COLTEC.rclonelink": tree.File,
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
}

// What an older version carried made a whole generation impossible: a folder whose name is
// that of coltecd's own with capitals, which no disk may get. It is left out, and counted.
func TestCapitalsAreLeftOut(t *testing.T) {
	got, err := readFile(manifestFile(t, header(4)+"d\t755\t1\t0\t\t\t\t\t.COLTEC\nf\t644\t1\t0\t\t\t\t\t.COLTEC/stage\nf\t644\t1\t0\t\t\t\t\t.Coltec\nf\t644\t1\t0\t\t\t\t\ta\n"))
	if err != nil || len(got.Entries) != 1 || got.Entries[0].Path != "a" || got.Capitals != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	for e, err := range checked(tree.All([]tree.Entry{{Path: ".Coltec", Kind: tree.Dir}})) {
		if err == nil {
			t.Errorf("%q is written", e.Path)
		}
	}
}
