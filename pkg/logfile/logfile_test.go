package logfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/secret"
)

var stamp = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z `)

// written is what a sink with o writes for chunks, without its stamps.
func written(t *testing.T, o Options, chunks ...string) string {
	t.Helper()
	o.Dir = t.TempDir()
	logs := New(o)
	s := logs.Sink("web")
	for _, c := range chunks {
		if n, err := s.Write([]byte(c)); n != len(c) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s.Dropped() != 0 {
		t.Errorf("%d lines dropped: %v", s.Dropped(), s.LastError())
	}
	return stamp.ReplaceAllString(read(t, logs.Path("web")), "")
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

func secrets(values ...string) *secret.Redactor { return secret.NewRedactor(values...) }

func TestSink(t *testing.T) {
	short := Options{MaxLine: 10}
	hiding := func(values ...string) Options { return Options{Redactor: secrets(values...)} }
	tests := map[string]struct {
		opts   Options
		chunks []string
		want   string
	}{
		"nothing":                 {Options{}, nil, ""},
		"a line":                  {Options{}, []string{"hello\n"}, "hello\n"},
		"in pieces":               {Options{}, []string{"he", "", "llo\nwor", "ld\n"}, "hello\nworld\n"},
		"no end":                  {Options{}, []string{"a\nhello"}, "a\nhello\n"},
		"empty lines":             {Options{}, []string{"\n\n"}, "\n\n"},
		"carriage return":         {Options{}, []string{"a\r\nb\r", "\nc\rd\n"}, "a\nb\nc\rd\n"},
		"just fits":               {short, []string{"0123456789\n"}, "0123456789\n"},
		"split":                   {short, []string{"0123456789abcdefghijkl\nx\n"}, "0123456789\n[+] abcdefghij\n[+] kl\nx\n"},
		"split in pieces":         {short, []string{"0123456", "789abcdefg", "hijkl\nx\n"}, "0123456789\n[+] abcdefghij\n[+] kl\nx\n"},
		"secret":                  {hiding("hunter2"), []string{"pass=hunter2;\n"}, "pass=********;\n"},
		"secret across chunks":    {hiding("hunter2"), []string{"pass=hun", "ter", "2;\n"}, "pass=********;\n"},
		"secret at the end":       {hiding("hunter2"), []string{"hunter2"}, "********\n"},
		"several":                 {hiding("hunter2", "passw0rd"), []string{"hunter2 passw0rd hunter2\n"}, "******** ******** ********\n"},
		"overlapping":             {hiding("abcdef", "defghi"), []string{"xabcdefghiy\n"}, "x********y\n"},
		"one in another":          {hiding("abcd", "abcdef"), []string{"xabcdefy\n"}, "x********y\n"},
		"itself overlapping":      {hiding("aabaa"), []string{"aabaabaa\n"}, "********\n"},
		"too short to hide":       {hiding("abc", ""), []string{"abc\n"}, "abc\n"},
		"of several lines":        {hiding("-----BEGIN\nc2VjcmV0\nx\n"), []string{"-----BEGIN\nc2VjcmV0\nx\n"}, "********\n********\nx\n"},
		"in JSON":                 {hiding(`pa"ss`), []string{`{"k":"pa\"ss"}` + "\n"}, `{"k":"********"}` + "\n"},
		"in a URL":                {hiding("p@ss word/"), []string{"https://u:p%40ss+word%2F@h\n"}, "https://u:********@h\n"},
		"secret at the split":     {Options{MaxLine: 10, Redactor: secrets("hunter2")}, []string{"01234567hunt", "er2abcdefgh\n"}, "01234567**\n[+] ******abcd\n[+] efgh\n"},
		"nothing but secret":      {Options{MaxLine: 10, Redactor: secrets(strings.Repeat("s", 100))}, []string{strings.Repeat("s", 1000), "\n"}, "********\n"},
		"secret longer than line": {Options{MaxLine: 10, Redactor: secrets(strings.Repeat("xy", 10))}, []string{"a", strings.Repeat("xy", 10), "b\n"}, "a********b\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, written(t, tt.opts, tt.chunks...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Whatever the chunks, the lines are the same and no secret is whole.
func FuzzSink(f *testing.F) {
	f.Add("one hunter2 two hunter2hunter2\nthree", uint64(1), 8)
	f.Add(strings.Repeat("hunter", 20)+"2\n", uint64(2), 5)
	f.Fuzz(func(t *testing.T, text string, seed uint64, maxLine int) {
		o := Options{MaxLine: 5 + max(0, maxLine%50), Redactor: secrets("hunter2", "terhun")}
		rnd := rand.New(rand.NewPCG(seed, 0))
		var chunks []string
		for rest := text; rest != ""; {
			n := 1 + rnd.IntN(len(rest))
			chunks = append(chunks, rest[:n])
			rest = rest[n:]
		}
		got := written(t, o, chunks...)
		for _, line := range strings.Split(got, "\n") {
			if len(line) > o.MaxLine+len(continued) {
				t.Errorf("line of %d bytes, more than %d", len(line), o.MaxLine)
			}
		}
		joined := strings.ReplaceAll(got, "\n"+continued, "")
		for _, value := range []string{"hunter2", "terhun"} {
			if strings.Contains(joined, value) {
				t.Errorf("%q shows in %q of %q", value, got, chunks)
			}
		}
	})
}

// coltecd's own lines were text within the objects of its log.
func TestBareLinesAreKeptAsTheyCome(t *testing.T) {
	logs := New(Options{Dir: t.TempDir(), Format: JSON, MaxLine: 10, Redactor: secrets("hunter22")})
	s := logs.Bare("own")
	text := `{"time":"2026-01-02T03:04:05.000Z","msg":"a longer line than that","secret":"hunter22"}` + "\n"
	if _, err := io.WriteString(s, text); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(logs.Path("own"))
	if want := strings.Replace(text, "hunter22", "********", 1); err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

func TestJSONLines(t *testing.T) {
	got := written(t, Options{Format: JSON, MaxLine: 10}, "a \"b\"\n0123456789xyz\n")
	var lines []map[string]any
	for dec := json.NewDecoder(strings.NewReader(got)); ; {
		var m map[string]any
		if err := dec.Decode(&m); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if _, err := time.Parse(time.RFC3339, m["time"].(string)); err != nil {
			t.Error(err)
		}
		delete(m, "time")
		lines = append(lines, m)
	}
	want := []map[string]any{
		{"unit": "web", "line": `a "b"`},
		{"unit": "web", "line": "0123456789"},
		{"unit": "web", "line": "xyz", "cont": true},
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

func TestRotation(t *testing.T) {
	logs := New(Options{Dir: t.TempDir(), MaxSizeMB: 1, MaxBackups: -1})
	s := logs.Sink("web")
	line := strings.Repeat("x", 99) + "\n"
	for range 30 { // 3.8 MB with its stamps; each write is larger than a file could be cut by
		_, _ = s.Write([]byte(strings.Repeat(line, 1000)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files := append(backups(logs.Path("web")), logs.Path("web"))
	total := 0
	for _, f := range files {
		text := read(t, f)
		if len(text) > 1<<20 {
			t.Errorf("%s holds %d bytes, more than 1 MiB", f, len(text))
		}
		if text != "" && !strings.HasSuffix(text, "x\n") {
			t.Errorf("%s ends in the middle of a line", f)
		}
		total += strings.Count(text, "\n")
	}
	if total != 30000 || len(files) < 4 || s.Dropped() != 0 {
		t.Errorf("%d lines in %d files, %d dropped: %v", total, len(files), s.Dropped(), s.LastError())
	}
}

// A write beyond the size of a file failed.
func TestOneHugeWrite(t *testing.T) {
	got := written(t, Options{MaxSizeMB: 1, MaxBackups: -1}, strings.Repeat("y", 5<<20)+"\nend\n")
	if !strings.HasSuffix(got, "end\n") {
		t.Errorf("the end is missing")
	}
}

// A full disk or a removed directory: the child goes on, the loss is counted.
func TestAFailingFileIsCounted(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	logs := New(Options{Dir: filepath.Join(dir, "file", "logs")})
	s := logs.Sink("web")
	n, err := s.Write([]byte("a\nb\n"))
	if n != 4 || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	if s.Dropped() != 2 || s.LastError() == nil {
		t.Errorf("%d dropped, %v", s.Dropped(), s.LastError())
	}
	if n, err := logs.Lost(); n != 2 || err == nil {
		t.Errorf("%d lost, %v", n, err)
	}
}

// What came after somebody had removed the log went to a file without a name.
func TestARemovedLogIsMadeAnew(t *testing.T) {
	logs := New(Options{Dir: t.TempDir()})
	s := logs.Sink("web")
	fmt.Fprintln(s, "before")
	if err := os.Remove(logs.Path("web")); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(s, "after")
	if got := read(t, logs.Path("web")); !strings.HasSuffix(got, "after\n") || s.Dropped() != 0 {
		t.Errorf("the log holds %q, %d dropped", got, s.Dropped())
	}
}

// A log that root has left, and we are not root any more: the line was refused.
func TestALogOfRoot(t *testing.T) {
	if dir := os.Getenv("LOGFILE_TEST_DIR"); dir != "" {
		s := New(Options{Dir: dir}).Sink("web")
		_, _ = s.Write([]byte("kept\n"))
		if s.Dropped() != 0 || !strings.HasSuffix(read(t, filepath.Join(dir, "web.log")), "kept\n") {
			t.Errorf("%d dropped: %v", s.Dropped(), s.LastError())
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can leave a log of root's")
	}
	dir, err := os.MkdirTemp("/tmp", "logfile-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "test")
	err = errors.Join(os.WriteFile(bin, exe, 0o755), os.Chmod(dir, 0o755), os.Chown(dir, 65534, 65534),
		os.WriteFile(filepath.Join(dir, "web.log"), []byte("old\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-test.run=^TestALogOfRoot$")
	cmd.Dir, cmd.Env = "/", []string{"LOGFILE_TEST_DIR=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFlushEndsALine(t *testing.T) {
	logs := New(Options{Dir: t.TempDir()})
	s := logs.Sink("web")
	_, _ = s.Write([]byte("half"))
	s.Flush()
	s.Flush()
	_, _ = s.Write([]byte("next\n"))
	if got := stamp.ReplaceAllString(read(t, logs.Path("web")), ""); got != "half\nnext\n" {
		t.Errorf("got %q", got)
	}
	if s.partial != nil {
		t.Error("an idle sink keeps a buffer")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	var all strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&all, "line %d\n", i)
	}
	tests := map[string]struct {
		text  string
		lines int
		want  string
	}{
		"all":               {"a\nb\n", -1, "a\nb\n"},
		"none":              {"a\nb\n", 0, ""},
		"one":               {"a\nb\n", 1, "b\n"},
		"one, unfinished":   {"a\nb", 1, "b"},
		"more than there":   {"a\nb\n", 9, "a\nb\n"},
		"empty lines":       {"a\n\n\n", 2, "\n\n"},
		"empty":             {"", 5, ""},
		"beyond one buffer": {all.String(), 2500, all.String()[strings.Index(all.String(), "line 500\n"):]},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			if err := Read(path, tt.lines, &got); err != nil || got.String() != tt.want {
				t.Errorf("got %q, %v", got.String(), err)
			}
		})
	}
	if err := Read(path+".missing", 1, io.Discard); err != nil {
		t.Errorf("a log that does not exist yet: %v", err)
	}
}

// lines sends each write to a channel.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		l <- strings.TrimSuffix(line, "\n")
	}
	return len(p), nil
}

func TestFollowGoesThroughRotation(t *testing.T) {
	t.Run("plain", func(t *testing.T) { followThroughRotation(t, Options{}) })
	// It skipped backups that were compressed before it came to them, and those of
	// rotations between two of its own looks.
	t.Run("compressed", func(t *testing.T) { followThroughRotation(t, Options{Compress: true}) })
}

func followThroughRotation(t *testing.T, o Options) {
	o.Dir, o.MaxSizeMB, o.MaxBackups = t.TempDir(), 1, -1
	logs := New(o)
	path := logs.Path("web")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, done := make(lines, 100000), make(chan error, 1)
	s := logs.Sink("web")
	fmt.Fprintln(s, "old")
	fmt.Fprintln(s, "first")
	go func() { done <- Follow(ctx, path, 1, got) }()
	expect := func(want string) {
		t.Helper()
		select {
		case line := <-got:
			if !strings.HasSuffix(stamp.ReplaceAllString(line, ""), want) {
				t.Fatalf("got %.60q, want %q", line, want)
			}
		case <-ctx.Done():
			t.Fatalf("no %q", want)
		}
	}
	expect("first")
	pad := strings.Repeat("x", 1000)
	for i := range 5000 { // 5 MB: several rotations between two looks
		fmt.Fprintf(s, "%s %d\n", pad, i)
	}
	awaitCompressed(ctx, t, path, o.Compress)
	for i := range 5000 {
		expect(fmt.Sprintf(" %d", i))
	}
	if len(backups(path)) < 3 {
		t.Errorf("it did not rotate: %v", backups(path))
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// awaitCompressed waits until at least one backup is there in its compressed form alone.
func awaitCompressed(ctx context.Context, t *testing.T, path string, wanted bool) {
	t.Helper()
	for wanted {
		for _, b := range backups(path) {
			if _, err := os.Stat(b); os.IsNotExist(err) {
				return
			}
		}
		select {
		case <-ctx.Done():
			t.Fatal("nothing is compressed")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestFollowWaitsForTheLogAndSeesTruncation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, done := make(lines, 10), make(chan error, 1)
	go func() { done <- Follow(ctx, path, 10, got) }()
	for _, text := range []string{"a longer line\n", "short\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil { // truncates
			t.Fatal(err)
		}
		select {
		case line := <-got:
			if line+"\n" != text {
				t.Errorf("got %q, want %q", line, text)
			}
		case <-ctx.Done():
			t.Fatalf("no %q", text)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func BenchmarkSink(b *testing.B) {
	s := New(Options{Dir: b.TempDir(), Redactor: secrets("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")}).Sink("web")
	chunk := []byte(strings.Repeat("127.0.0.1 - GET /index.html HTTP/1.1 200 1234\n", 600))
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		_, _ = s.Write(chunk)
	}
}
