package hostile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/tree"
)

// Whoever can write the bucket writes what no coltecd does. Nothing of it is written
// outside of the tree, nothing is allocated because a number says so, nothing takes
// minutes, and one sentence says what is wrong.

const (
	bucketWorkspace = "acme/widget/dev"
	bucketPrefix    = "workspaces/acme/widget/dev/workspace"
	bucketHead      = ".coltec/fleet/" + bucketWorkspace + "/head.json"
	// bucketSentence is how an impossible thing is told.
	bucketSentence = "this bucket says something impossible: "
	// bucketMemory bounds what a program takes in KiB: 200 MiB beside what the honest
	// workspace takes.
	bucketMemory = 240 << 10
	// bucketTime bounds the processor's time that one start takes, rclone's too: an honest
	// one takes a second or two.
	bucketTime = 20 * time.Second
	// bucketPatience is for a machine that does much else: what takes so long hangs.
	bucketPatience = 5 * time.Minute
)

// bucketWorld is an S3 server with the bucket of an honest workspace.
type bucketWorld struct {
	t    *testing.T
	s3   *s3test.Server
	head map[string]any // as the honest coltecd left it
	rows string         // of its manifest, as text
	n    int            // machines so far
}

func newBucketWorld(t *testing.T) *bucketWorld {
	t.Helper()
	w := &bucketWorld{t: t, s3: s3test.Start(t)}
	m := w.machine()
	m.write("file.txt", "content")
	m.write("dir/other.txt", "other content")
	if got := m.coltecd("run", "--once"); got.code != 0 {
		t.Fatalf("the honest workspace: %+v", got)
	}
	body := w.get(bucketHead)
	if err := json.Unmarshal(body, &w.head); err != nil {
		t.Fatal(err)
	}
	r, err := zstd.NewReader(bytes.NewReader(w.get(bucketPrefix + "/.coltec/" + w.ref())))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	_, w.rows, _ = strings.Cut(string(text), "\n")
	return w
}

// ref is the honest manifest.
func (w *bucketWorld) ref() string {
	return w.head["replicas"].(map[string]any)["workspace"].(map[string]any)["manifest"].(string)
}

// rclone runs rclone as anybody with the bucket's key can.
func (w *bucketWorld) rclone(stdin []byte, args ...string) []byte {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bucketPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, rclonePath, args...)
	cmd.Env = []string{"RCLONE_CONFIG=notfound", "HOME=" + w.t.TempDir(), "RCLONE_CONFIG_R_TYPE=s3"}
	for option, value := range w.s3.Options(w.s3.Endpoint) {
		cmd.Env = append(cmd.Env, "RCLONE_CONFIG_R_"+strings.ToUpper(option)+"="+value)
	}
	var out, talk bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &talk
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("rclone %q: %v\n%s", args, err, &talk)
	}
	return out.Bytes()
}

func (w *bucketWorld) get(key string) []byte {
	w.t.Helper()
	return w.rclone(nil, "cat", "R:"+w.s3.Bucket+"/"+key)
}

// put writes objects, all in one go.
func (w *bucketWorld) put(objects map[string][]byte) {
	w.t.Helper()
	dir := w.t.TempDir()
	for key, body := range objects {
		file := filepath.Join(dir, filepath.FromSlash(key))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, body, 0o600)); err != nil {
			w.t.Fatal(err)
		}
	}
	w.rclone(nil, "copy", dir, "R:"+w.s3.Bucket, "--ignore-times")
}

// bucketForgery is what somebody puts into the bucket: a manifest that the head names
// then, a change of the head, further objects.
type bucketForgery struct {
	header  string // of the manifest; "" for one as coltecd writes it
	base    string // which it differs from
	rows    string
	pour    func(w io.Writer) error // writes the manifest's text in place of both
	window  int                     // of its zstd frame
	change  func(head map[string]any)
	objects map[string][]byte
	raw     []byte // the whole head
}

// forge puts it there.
func (w *bucketWorld) forge(f bucketForgery) {
	w.t.Helper()
	objects := map[string][]byte{}
	for key, body := range f.objects {
		objects[key] = body
	}
	head := map[string]any{}
	if err := json.Unmarshal(must(json.Marshal(w.head)), &head); err != nil {
		w.t.Fatal(err)
	}
	generation := int64(head["generation"].(float64)) + 1
	head["seq"], head["generation"], head["nonce"] = head["seq"].(float64)+10, generation, "forged"
	if f.pour != nil || f.rows != "" || f.header != "" {
		ref, body := bucketManifest(f, generation)
		objects[bucketPrefix+"/.coltec/"+ref] = body
		head["replicas"].(map[string]any)["workspace"].(map[string]any)["manifest"] = ref
	}
	if f.change != nil {
		f.change(head)
	}
	objects[bucketHead] = must(json.Marshal(head))
	if f.raw != nil {
		objects[bucketHead] = f.raw
	}
	w.put(objects)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// bucketManifest makes the object of a manifest.
func bucketManifest(f bucketForgery, generation int64) (ref string, body []byte) {
	window := f.window
	if window == 0 {
		window = 1 << 20
	}
	var buf bytes.Buffer
	z := must(zstd.NewWriter(&buf, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1)))
	header := f.header
	if header == "" {
		rows := 0
		for _, kind := range []string{"\nf\t", "\nd\t", "\nl\t"} {
			rows += strings.Count("\n"+f.rows, kind)
		}
		header = bucketHeader(generation, rows, f.base)
	}
	if f.pour == nil {
		f.pour = func(w io.Writer) error { _, err := io.WriteString(w, header+"\n"+f.rows); return err }
	}
	if err := errors.Join(f.pour(z), z.Close()); err != nil {
		panic(err)
	}
	return fmt.Sprintf("m/1-%d-%x", generation, sha256.Sum256(buf.Bytes())), buf.Bytes()
}

func bucketHeader(generation int64, rows int, base string) string {
	return fmt.Sprintf(`{"format":1,"workspace":%q,"replica":"workspace","epoch":1,"generation":%d,"time":"2026-01-02T03:04:05Z","filters":null,"base":%q,"rows":%d}`,
		bucketWorkspace, generation, base, rows)
}

// bucketMachine is a place that the workspace is opened at.
type bucketMachine struct {
	w         *bucketWorld
	top, dir  string // top has nothing but the folder, and what the machine needs beside it
	runtime   string
	forbidden string // a directory that nothing may come to
}

func (w *bucketWorld) machine() *bucketMachine {
	w.t.Helper()
	w.n++
	runtime := must(os.MkdirTemp("/tmp", "ct-")) // short: a socket goes in
	w.t.Cleanup(func() { os.RemoveAll(runtime) })
	top := w.t.TempDir()
	m := &bucketMachine{w: w, top: top, dir: filepath.Join(top, "a", "tree"), runtime: runtime, forbidden: filepath.Join(top, "forbidden")}
	for _, dir := range []string{m.dir, m.forbidden, filepath.Join(top, "home")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	m.write(".devcontainer/workspace-spec.yaml", fmt.Sprintf(`version: 1.0.0
name: dev
metadata: {org: acme, project: widget, environment: dev}
persistence:
  enabled: true
  default_remote: primary
  remotes:
    primary:
      type: s3
      bucket: ${RCLONE_BUCKET}
      options: {provider: Rclone, endpoint: "${RCLONE_S3_ENDPOINT}", access_key_id: "${RCLONE_S3_ACCESS_KEY_ID}", secret_access_key: "${RCLONE_S3_SECRET_ACCESS_KEY}"}
  lease: {ttl: 120s, renew: 30s}
  sync:
    - {name: workspace, path: %s, remote_path: "workspaces/{org}/{project}/{env}/workspace", interval: 10, watch: false, exclude: ["/.devcontainer/**"]}
`, m.dir))
	return m
}

func (m *bucketMachine) write(name, content string) {
	m.w.t.Helper()
	file := filepath.Join(m.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
		m.w.t.Fatal(err)
	}
}

// bucketEnd is how a program ended.
type bucketEnd struct {
	out  string // answer and talk
	code int
	rss  int64         // the most that it took, in KiB
	took time.Duration // of the processor
}

func (m *bucketMachine) coltecd(args ...string) bucketEnd {
	m.w.t.Helper()
	return m.run(coltecd, args...)
}

func (m *bucketMachine) run(program string, args ...string) bucketEnd {
	m.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bucketPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.WaitDelay = m.dir, patience/10 // what holds its output ends by then
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(m.top, "home"), "TMPDIR=" + m.runtime, "XDG_RUNTIME_DIR=" + m.runtime,
		"COLTEC_RCLONE=" + rclonePath, "COLTEC_HOST=" + filepath.Base(m.top), "RCLONE_BUCKET=" + m.w.s3.Bucket,
		"RCLONE_S3_ENDPOINT=" + m.w.s3.Endpoint, "RCLONE_S3_ACCESS_KEY_ID=" + m.w.s3.AccessKey, "RCLONE_S3_SECRET_ACCESS_KEY=" + m.w.s3.SecretKey,
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		m.w.t.Fatal(err)
	}
	most := bucketPeak(cmd.Process.Pid)
	err := cmd.Wait()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		m.w.t.Fatalf("%s %q: %v\n%s", filepath.Base(program), args, err, &out)
	}
	end := bucketEnd{out: out.String(), code: cmd.ProcessState.ExitCode(), took: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), rss: most()}
	if ctx.Err() != nil {
		m.w.t.Errorf("%s %q hangs", filepath.Base(program), args)
	}
	return end
}

// bucketPeak watches the most that a process takes, in KiB. (The rusage of a child
// begins with what its parent has.)
func bucketPeak(pid int) (most func() int64) {
	var peak int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(10 * time.Millisecond); ; {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if _, after, ok := bytes.Cut(b, []byte("VmHWM:")); ok {
				var kib int64
				_, _ = fmt.Sscan(string(after), &kib)
				peak = max(peak, kib)
			}
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	}()
	return func() int64 { close(stop); <-done; return peak }
}

// outside lists what lies beside the tree.
func (m *bucketMachine) outside() (found []string) {
	m.w.t.Helper()
	err := filepath.WalkDir(m.top, func(p string, d fs.DirEntry, err error) error {
		if p == m.dir || p == filepath.Join(m.top, "home") {
			return fs.SkipDir
		}
		if err == nil && p != m.top && p != filepath.Dir(m.dir) && p != m.forbidden {
			found = append(found, p)
		}
		return err
	})
	if err != nil {
		m.w.t.Fatal(err)
	}
	return found
}

// bounded holds an end to what holds of every one.
func (m *bucketMachine) bounded(t *testing.T, end bucketEnd) {
	t.Helper()
	_, said, _ := strings.Cut(end.out, bucketSentence)
	said, _, _ = strings.Cut(said, "\n")
	t.Logf("code %d, %d MiB, %.1f s: %.300s", end.code, end.rss>>10, end.took.Seconds(), said)
	if end.rss > bucketMemory {
		t.Errorf("it took %d MiB", end.rss>>10)
	}
	if end.took > bucketTime {
		t.Errorf("it took %.0f s", end.took.Seconds())
	}
	if found := m.outside(); len(found) > 0 {
		t.Errorf("outside of the tree: %q", found)
	}
	if strings.ContainsAny(end.out, "\x1b\x07\u009b\u202e\u2066") {
		t.Errorf("it goes to the terminal: %q", end.out)
	}
}

// bucketRow is a row of an empty file or of a directory.
func bucketRow(kind byte, path string) string {
	sum, mode := "", "755"
	if kind == 'f' {
		sum, mode = fmt.Sprintf("%x", sha256.Sum256(nil)), "644"
	}
	return fmt.Sprintf("%c\t%s\t1700000000000000000\t0\t%s\t\t\t\t%s\n", kind, mode, sum, path)
}

func bucketLink(path, target string) string {
	return fmt.Sprintf("l\t777\t1700000000000000000\t0\t\t\t%s\t\t%s\n", target, path)
}

// bucketExtent is a file of one piece that is said to lie in an object.
func bucketExtent(path string, size int64, object, where string) string {
	return fmt.Sprintf("o\t%s\nf\t644\t1700000000000000000\t%d\t%064x\t%s\t\t\t%s\n", object, size, 1, where, path)
}

// bucketObject makes an object of content that is one zstd frame of so many bytes.
func bucketObject(size, window int) (key string, body []byte) {
	var buf bytes.Buffer
	z := must(zstd.NewWriter(&buf, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1)))
	if err := errors.Join(bucketRepeat(z, "x", size), z.Close()); err != nil {
		panic(err)
	}
	return fmt.Sprintf("o/1.0-%x", sha256.Sum256(buf.Bytes())), buf.Bytes()
}

func bucketRepeat(w io.Writer, text string, n int) error {
	chunk := bytes.Repeat([]byte(text), 1<<20/len(text)+1)
	for left := n; left > 0; left -= len(chunk) {
		if _, err := w.Write(chunk[:min(left, len(chunk))]); err != nil {
			return err
		}
	}
	return nil
}

// What a manifest says is impossible in every one of these. (There are more of them
// beside pkg/store: TestImpossibleManifests.)
func TestBucketManifests(t *testing.T) {
	t.Parallel()
	w := newBucketWorld(t)
	none := "o/1.0-" + strings.Repeat("0", 64)
	chain := func(n int, name string) (rows string) {
		for i := range n {
			rows += bucketRow('d', strings.TrimSuffix(strings.Repeat(name+"/", i+1), "/"))
		}
		return rows
	}
	bomb := func(size, window int, where string) bucketForgery {
		key, body := bucketObject(size, window)
		where = fmt.Sprintf(where, len(body))
		var whole int64
		for part := range strings.SplitSeq(where, ",") {
			whole += must(strconv.ParseInt(strings.Split(part, ":")[3], 10, 64))
		}
		return bucketForgery{rows: bucketExtent("a", whole, key, where), objects: map[string][]byte{bucketPrefix + "/.coltec/" + key: body}}
	}
	delta, deltaBody := bucketManifest(bucketForgery{rows: bucketRow('f', "a"), base: w.ref()}, 7)
	other, otherBody := bucketManifest(bucketForgery{header: strings.Replace(bucketHeader(8, 1, ""), bucketWorkspace, "acme/widget/other", 1), rows: bucketRow('f', "a")}, 8)
	attacks := map[string]bucketForgery{
		"a difference from a difference": {base: delta, rows: bucketRow('f', "b"), objects: map[string][]byte{bucketPrefix + "/.coltec/" + delta: deltaBody}},
		"a difference from another's":    {base: other, rows: bucketRow('f', "b"), objects: map[string][]byte{bucketPrefix + "/.coltec/" + other: otherBody}},
		"a difference from elsewhere":    {base: "m/../../../other/.coltec/m/1", rows: bucketRow('f', "b")},
		"three million pieces": {pour: func(w io.Writer) error {
			_, err := io.WriteString(w, bucketHeader(2, 1, "")+"\n")
			for i := 0; i < 3<<20 && err == nil; i++ {
				_, err = fmt.Fprintf(w, "o\to/%d\n", i)
			}
			return err
		}},
		"ten bytes that are 256 MiB":       bomb(256<<20, 1<<20, "0:0:%d:10:z"),
		"a frame with a window of 128 MiB": bomb(256<<20, 128<<20, "0:0:%d:67108864:z"),
		"a piece behind the object":        bomb(1<<20, 1<<20, "0:1000000:%d:1048576:z"),
		"pieces that wrap to 3":            {rows: bucketExtent("a", 3, none, "0:0:1:9223372036854775807:z,0:0:1:9223372036854775807:z,0:0:1:5:z")},
		"a link for .coltec":               {rows: bucketLink(".coltec", "../../forbidden")},
		"a link for repositories":          {rows: bucketLink(".coltec/git", "../../forbidden")},
		"out of conflicts":                 {rows: bucketRow('f', ".coltec/conflicts/../../../../forbidden/x")},
		"1200 deep":                        {rows: bucketRow('f', strings.Repeat("a/", 1200)+"x")},
		"a header of 1.5 GiB": {pour: func(w io.Writer) error {
			_, err := io.WriteString(w, `{"format":1,"workspace":"`)
			return errors.Join(err, bucketRepeat(w, "a", 1536<<20))
		}},
		"a row of 600 MiB": {pour: func(w io.Writer) error {
			_, err := io.WriteString(w, bucketHeader(2, 1, "")+"\nf\t644\t1\t0\t\t\t\t\t")
			return errors.Join(err, bucketRepeat(w, "a", 600<<20))
		}},
		"fifty million extents": {pour: func(w io.Writer) error {
			_, err := io.WriteString(w, bucketHeader(2, 1, "")+"\no\t"+none+"\nf\t644\t1\t0\t\t")
			return errors.Join(err, bucketRepeat(w, "0:0:0:0:r,", 500<<20), bucketRepeat(w, "0:0:0:0:r\t\t\ta\n", 1))
		}},
		"a window of 256 MiB": {window: 256 << 20, pour: func(w io.Writer) error {
			_, err := io.WriteString(w, bucketHeader(2, 1, "")+"\n")
			return errors.Join(err, bucketRepeat(w, "o\to/1\n", 300<<20))
		}},
		"directories, 600 deep and long": {rows: chain(600, strings.Repeat("x", 200))},
		"a path that leads out":          {rows: bucketRow('f', "../forbidden/x")},
		"below a link":                   {rows: bucketLink("a", "../../forbidden") + bucketRow('f', "a/x")},
		"a file of 2^62 bytes":           {rows: bucketExtent("a", 1<<62, none, fmt.Sprintf("0:0:1:%d:z", int64(1)<<62))},
		"an object elsewhere":            {rows: bucketExtent("a", 1, "../../../../other/.coltec/o/1", "0:0:1:1:r")},
	}
	for name, f := range sample.Cases(t, 5, attacks) {
		t.Run(name, func(t *testing.T) {
			w.forge(f)
			m := w.machine()
			end := m.coltecd("run", "--once")
			m.bounded(t, end)
			if end.code == 0 || !strings.Contains(end.out, bucketSentence) {
				t.Errorf("code %d:\n%s", end.code, end.out)
			}
		})
	}
}

// What is odd and possible is placed as it is, soon, and told as text.
func TestBucketOddManifests(t *testing.T) {
	t.Parallel()
	w := newBucketWorld(t)
	var odd [][2]string // path and row
	for i := range 600 {
		deep := strings.TrimSuffix(strings.Repeat("a/", i+1), "/")
		odd = append(odd, [2]string{deep, bucketRow('d', deep)})
	}
	names := []string{
		"..\u2024", "...", ".DEVCONTAINER", ".DEVCONTAINER/workspace-spec.yaml", ".Devcontainer", "A\\..\\..\\x", "CON", "a\u0301", "a\u200b",
		strings.Repeat("n", 255), "x ", "x.", "\u00e1", "\u0430", "\u202egpj", "\u2044etc\u2044passwd", "\uff0e\uff0e\uff0fx", "\U0001f468\u200d\U0001f469",
	}
	for _, name := range names {
		kind := byte('f')
		if strings.EqualFold(name, ".devcontainer") {
			kind = 'd'
		}
		odd = append(odd, [2]string{name, bucketRow(kind, name)})
	}
	odd = append(odd, [2]string{"esc\x1b[2J\u202egpj\u009b", bucketRow('f', "esc%1B[2J\u202egpj\u009b")}, [2]string{"new\nline", bucketRow('f', "new%0Aline")},
		[2]string{"no \xff text", bucketRow('f', "no %FF text")}, [2]string{"zz", bucketRow('f', "zz")},
		[2]string{"before 1970", strings.Replace(bucketRow('f', "before 1970"), "\t1700000000000000000\t", "\t-9223372036854775808\t", 1)},
		[2]string{"after all", strings.Replace(bucketRow('f', "after all"), "\t1700000000000000000\t", "\t9223372036854775807\t", 1)},
		[2]string{"setuid", strings.Replace(bucketRow('f', "setuid"), "\t644\t", "\t6755\t", 1)})
	slices.SortFunc(odd, func(a, b [2]string) int { return tree.Compare(a[0], b[0]) })
	rows := ""
	for _, row := range odd {
		rows += row[1]
	}
	w.forge(bucketForgery{rows: rows})
	m := w.machine()
	end := m.coltecd("run", "--once")
	m.bounded(t, end)
	if end.code != 0 {
		t.Errorf("code %d:\n%s", end.code, end.out)
	}
	for _, row := range odd {
		if _, err := os.Lstat(filepath.Join(m.dir, row[0])); err != nil {
			t.Error(err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(m.dir, ".devcontainer/workspace-spec.yaml")); err != nil || len(b) == 0 {
		t.Errorf("the spec: %q, %v", b, err)
	}
	for _, verb := range [][]string{{"history", "show"}, {"history", "ls", "zz"}, {"verify"}, {"status"}, {"history"}} {
		m.bounded(t, m.coltecd(verb...))
	}
}

// A folder that some disks take for coltecd's own is placed on none, and said.
func TestBucketCapitals(t *testing.T) {
	t.Parallel()
	w := newBucketWorld(t)
	w.forge(bucketForgery{rows: bucketRow('d', ".COLTEC") + bucketRow('f', ".COLTEC/base") + bucketRow('f', ".Coltec") + bucketRow('f', "a")})
	m := w.machine()
	end := m.coltecd("run", "--once")
	m.bounded(t, end)
	if !strings.Contains(end.out, "3 paths have the name of coltecd's own directory") {
		t.Errorf("code %d:\n%s", end.code, end.out)
	}
	for path, there := range map[string]bool{".COLTEC": false, ".Coltec": false, "a": true} {
		if _, err := os.Lstat(filepath.Join(m.dir, path)); (err == nil) != there {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Heads, claims and logs that cannot be, of which one sentence is said.
func TestBucketHeads(t *testing.T) {
	t.Parallel()
	w := newBucketWorld(t)
	number := func(name string, n any) bucketForgery {
		return bucketForgery{change: func(h map[string]any) { h[name] = n }}
	}
	segment := func(n int) string { return fmt.Sprintf(".coltec/fleet/%s/log-%d", bucketWorkspace, n) }
	chain := map[string][]byte{}
	for i := range 40 {
		chain[segment(i)] = fmt.Appendf(nil, `{"format":1,"before":%q,"generations":[]}`, segment((i+1)%40))
	}
	run, read := []string{"run", "--once"}, []string{"history"}
	attacks := map[string]struct {
		bucketForgery
		verb []string
	}{
		"64 MiB":                   {bucketForgery{raw: bytes.Repeat([]byte{'['}, 64<<20)}, read},
		"a million generations":    {bucketForgery{raw: fmt.Appendf(nil, `{"format":1,"workspace":%q,"recent":[%s{}]}`, bucketWorkspace, bytes.Repeat([]byte("{},"), 1<<20))}, read},
		"no JSON":                  {bucketForgery{raw: []byte("\x1b[2J")}, read},
		"an epoch that wraps":      {number("epoch", int64(1<<63-1)), run},
		"an epoch at the bound":    {number("epoch", int64(1<<53)), run},
		"a generation that wraps":  {number("generation", int64(1<<63-1)), run},
		"a lease of 1e300 seconds": {number("ttl", 1e300), run},
		"of another workspace":     {number("workspace", "acme/widget/\x1b[2J"), read},
		"a manifest elsewhere": {bucketForgery{change: func(h map[string]any) {
			h["replicas"].(map[string]any)["workspace"].(map[string]any)["manifest"] = "../../../../other/.coltec/m/1"
		}}, run},
		"a manifest that is none": {bucketForgery{change: func(h map[string]any) {
			h["replicas"].(map[string]any)["workspace"].(map[string]any)["manifest"] = "o/1.0-00"
		}}, run},
		"ten thousand replicas": {bucketForgery{change: func(h map[string]any) {
			for i := range 10_000 {
				h["replicas"].(map[string]any)[fmt.Sprint(i)] = map[string]any{}
			}
		}}, run},
		"half a million machines": {bucketForgery{raw: fmt.Appendf(nil, `{"format":1,"workspace":%q,"left_behind":[%s0]}`, bucketWorkspace, bytes.Repeat([]byte("0,"), 500_000))}, read},
		"a claim of long names":   {bucketForgery{objects: map[string][]byte{bucketPrefix + "/.coltec/claim.json": fmt.Appendf(nil, `{"format":1,"workspace":%q,"head":%q}`, bucketWorkspace, strings.Repeat("x", 9000))}}, run},
		"a log of nothing":        {bucketForgery{objects: map[string][]byte{segment(97): fmt.Appendf(nil, `{"format":1,"generations":[%snull]}`, bytes.Repeat([]byte("null,"), 500_000))}, change: func(h map[string]any) { h["log"] = segment(97) }}, read},
		"a claim of 64 MiB":       {bucketForgery{objects: map[string][]byte{bucketPrefix + "/.coltec/claim.json": bytes.Repeat([]byte{'['}, 64<<20)}}, run},
		"a log in a circle":       {bucketForgery{objects: chain, change: func(h map[string]any) { h["log"] = segment(0) }}, read},
		"a log elsewhere":         {number("log", "../../x"), read},
		"a log of 64 MiB":         {bucketForgery{objects: map[string][]byte{segment(99): bytes.Repeat([]byte(" "), 64<<20)}, change: func(h map[string]any) { h["log"] = segment(99) }}, read},
		"a log of generations":    {bucketForgery{objects: map[string][]byte{segment(98): fmt.Appendf(nil, `{"format":1,"generations":[%s{}]}`, bytes.Repeat([]byte("{},"), 8<<20))}, change: func(h map[string]any) { h["log"] = segment(98) }}, read},
	}
	claim := w.get(bucketPrefix + "/.coltec/claim.json")
	for name, a := range sample.Cases(t, 5, attacks) {
		t.Run(name, func(t *testing.T) {
			defer w.put(map[string][]byte{bucketPrefix + "/.coltec/claim.json": claim})
			w.forge(a.bucketForgery)
			m := w.machine()
			end := m.coltecd(a.verb...)
			m.bounded(t, end)
			if end.code == 0 || !strings.Contains(end.out, bucketSentence) {
				t.Errorf("code %d:\n%.3000s", end.code, end.out)
			}
		})
	}
}

// A claim of another workspace, or of another replica, is refused, and what lies there
// stays.
func TestBucketClaimOfAnother(t *testing.T) {
	t.Parallel()
	w := newBucketWorld(t)
	for _, claim := range []string{
		`{"format":1,"workspace":"acme/widget/\u001b[2J","replica":"workspace","lineage":"l","head":"x"}`,
		`{"format":1,"workspace":"acme/widget/dev","replica":"\u202eother","lineage":"l","head":"x"}`,
	} {
		w.put(map[string][]byte{bucketPrefix + "/.coltec/claim.json": []byte(claim)})
		m := w.machine()
		end := m.coltecd("run", "--once")
		m.bounded(t, end)
		if end.code == 0 || !strings.Contains(end.out, "claimed") {
			t.Errorf("code %d:\n%s", end.code, end.out)
		}
		if got := w.get(bucketPrefix + "/.coltec/claim.json"); string(got) != claim {
			t.Errorf("the claim is %s", got)
		}
	}
}

// An object in the place of another is not what its name promises: nothing of it is
// placed, no other file suffers, and it is named.
func TestBucketSwappedObjects(t *testing.T) {
	t.Parallel()
	w := newBucketWorld(t)
	where := bucketPrefix + "/.coltec/"
	var content string
	for line := range strings.Lines(w.rows) {
		if key, ok := strings.CutPrefix(line, "o\t"); ok {
			content = strings.TrimSpace(key)
		}
	}
	_, bomb := bucketObject(256<<20, 1<<20)
	for name, objects := range map[string]map[string][]byte{
		"content":                            {where + content: []byte("another content, of some length that would do")},
		"a bomb":                             {where + content: bomb},
		"a manifest in the place of content": {where + content: w.get(where + w.ref())},
		"a manifest of another time":         {where + w.ref(): func() []byte { _, b := bucketManifest(bucketForgery{rows: bucketRow('f', "a")}, 1); return b }()},
	} {
		t.Run(name, func(t *testing.T) {
			for key := range objects {
				defer w.put(map[string][]byte{key: w.get(key)})
			}
			w.put(objects)
			m := w.machine()
			end := m.coltecd("run", "--once")
			m.bounded(t, end)
			if end.code == 0 || !strings.Contains(end.out, "its bytes are not those its name promises") {
				t.Errorf("code %d:\n%s", end.code, end.out)
			}
			if b, err := os.ReadFile(filepath.Join(m.dir, "file.txt")); err == nil && string(b) != "content" {
				t.Errorf("placed is %q", b)
			}
		})
	}
}

// A start from an old head that was put back goes on from it, and says so where it knew
// a newer one; nothing is deleted.
func TestBucketOldHead(t *testing.T) {
	t.Parallel()
	w := newBucketWorld(t)
	old := w.get(bucketHead)
	m := w.machine()
	if end := m.coltecd("run", "--once"); end.code != 0 {
		t.Fatalf("%+v", end)
	}
	m.write("newer.txt", "newer")
	if end := m.coltecd("run", "--once"); end.code != 0 {
		t.Fatalf("%+v", end)
	}
	w.put(map[string][]byte{bucketHead: old})
	end := m.coltecd("run", "--once")
	m.bounded(t, end)
	if b, err := os.ReadFile(filepath.Join(m.dir, "newer.txt")); err != nil || string(b) != "newer" || end.code != 0 {
		t.Errorf("%q, %v, code %d:\n%s", b, err, end.code, end.out)
	}
}

// One head that cannot be is one row; nothing of a bucket moves a terminal's cursor.
func TestBucketFleet(t *testing.T) {
	t.Parallel()
	w := newBucketWorld(t)
	head := func(name string) string { return ".coltec/fleet/" + name + "/head.json" }
	body := func(name, more string) []byte {
		return fmt.Appendf(nil, `{"format":1,"workspace":%q,"state":"held","ttl":180,"holder":{"host":"laptop"}%s}`, name, more)
	}
	w.put(map[string][]byte{
		head("acme/widget/good"):          body("acme/widget/good", ""),
		head("acme/widget/\x1b[2J"):       body("acme/widget/\x1b[2J", ""),
		head("acme/widget/\u202egpj"):     body("acme/widget/\u202egpj", ""),
		head("acme/widget/two\nlines"):    body("acme/widget/two\nlines", ""),
		head("acme/widget/\xff"):          body("x", ""),
		head("acme/widget/huge"):          bytes.Repeat([]byte{'['}, 64<<20),
		head("acme/widget/swapped"):       w.get(bucketHead),
		head("acme/widget/host"):          []byte(`{"format":1,"workspace":"acme/widget/host","state":"held","ttl":180,"holder":{"host":"a\u001b[2J\u202eb\nacme/widget/false  running"}}`),
		head("acme/widget/epoch"):         body("acme/widget/epoch", `,"epoch":9223372036854775807`),
		head("acme/widget/left"):          body("acme/widget/left", `,"left_behind":[{"host":"\u001b]0;x\u0007","left":[]}]`),
		".coltec/fleet/acme/head.json":    []byte("{"),
		".coltec/fleet/a/b/c/d/head.json": []byte("{"),
	})
	many := map[string][]byte{}
	for i := range 60 {
		name := fmt.Sprintf("acme/many/%d", i)
		many[head(name)] = body(name, `,"left_behind":[{"host":"h","left":[{"parts":[`+strings.Repeat("null,", 60_000)+`{}]}]}]`)
	}
	w.put(many)
	m := w.machine()
	m.write(".devcontainer/logs/status.json", `{"replicas":[`+strings.Repeat("{},", 4<<20)+`{}]}`)
	m.run(coltec, "trust", m.dir)
	end := m.run(coltec, "ls", "--wait", "4m", m.dir)
	m.bounded(t, end)
	rows := map[string]string{}
	for line := range strings.Lines(end.out) {
		if name, rest, ok := strings.Cut(line, " "); ok && strings.HasPrefix(name, "acme/") {
			rows[name] = strings.TrimSpace(rest)
		}
	}
	for _, name := range []string{"acme/widget/good", bucketWorkspace} {
		if rows[name] == "" || strings.Contains(rows[name], "impossible") {
			t.Errorf("%s: %q", name, rows[name])
		}
	}
	for _, name := range []string{"acme/widget/huge", "acme/widget/swapped", "acme/widget/epoch", "acme/widget/?[2J", "acme/widget/?gpj"} {
		if !strings.Contains(rows[name], bucketSentence) {
			t.Errorf("%s: %q", name, rows[name])
		}
	}
	if rows["acme/widget/false"] != "" {
		t.Error("the name of a host makes a row")
	}
	if t.Failed() {
		t.Logf("%s", end.out)
	}
}

// The example that people copy writes nothing outside of its directory.
func TestBucketExampleReader(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Fatal("this needs python3: apt-get install python3")
	}
	w := newBucketWorld(t)
	script := must(filepath.Abs("../../docs/example/read_bucket.py"))
	for name, rows := range map[string]string{
		"leads out":                  bucketRow('f', "../../../../forbidden/x"),
		"absolute":                   bucketRow('f', "FORBIDDEN/x"),
		"out of .coltec/git":         bucketRow('f', ".coltec/git/../../../../forbidden/x"),
		"below a link":               bucketLink("a", "FORBIDDEN") + bucketRow('f', "a/x"),
		"below a link of .coltec":    bucketLink(".coltec/git/a", "FORBIDDEN") + bucketRow('f', "a/x"),
		"out of .coltec/databases":   bucketRow('f', ".coltec/databases/../../../../forbidden/x/db"),
		"a database that is a link":  bucketLink(".coltec/databases/a/db", "FORBIDDEN/x"),
		"a database in a repository": bucketRow('f', ".coltec/databases/.git/hooks/pre-commit/db"),
		"a directory that is a link": bucketLink(".coltec/git/a", "FORBIDDEN") + bucketRow('d', "a"),
		"a file that is a link":      bucketLink(".coltec/git/a", "FORBIDDEN/x") + bucketRow('f', "a"),
	} {
		t.Run(name, func(t *testing.T) {
			m := w.machine()
			w.forge(bucketForgery{rows: strings.ReplaceAll(rows, "FORBIDDEN", m.forbidden)})
			bucket, out := filepath.Join(m.top, "home", "bucket"), filepath.Join(m.top, "home", "out", "deep")
			w.rclone(nil, "copy", "R:"+w.s3.Bucket, bucket)
			if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
				t.Fatal(err)
			}
			end := m.run("python3", script, bucket, bucketWorkspace, out)
			if end.code == 0 {
				t.Errorf("it is written:\n%s", end.out)
			}
			if found := m.outside(); len(found) > 0 {
				t.Errorf("outside: %q", found)
			}
		})
	}
}
