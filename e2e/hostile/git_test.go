package hostile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/coltec/coltec/internal/gittest"
	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/tree"
)

// Repositories travel as wholes, with all that git finds in them: links, configuration,
// hooks. Whoever writes the bucket, or the tree, writes them. Nothing outside of the tree
// is written, replaced or removed for them, and nothing that they name is run.

const (
	gitWorkspace = "acme/widget/dev"
	gitHead      = ".coltec/fleet/" + gitWorkspace + "/head.json"
	gitPrefix    = "workspaces/acme/widget/dev/workspace/.coltec/"
	gitShadow    = ".coltec/git/r/.git/" // of the honest repository
)

// gitGround is an S3 server, a folder that nothing may come to, and machines.
type gitGround struct {
	t       *testing.T
	s3      *s3test.Server
	outside string
	head    map[string]any // as an honest coltecd left it
	objects []string       // lines of its manifest
	rows    []gitRow
	n       int // machines so far
}

func newGitGround(t *testing.T) *gitGround {
	t.Helper()
	return &gitGround{t: t, s3: s3test.Start(t), outside: filepath.Join(t.TempDir(), "outside")}
}

// restock makes the folder outside what it was: somebody's files.
func (g *gitGround) restock() {
	g.t.Helper()
	if err := os.RemoveAll(g.outside); err != nil {
		g.t.Fatal(err)
	}
	gitStock(g.t, g.outside)
}

// gitStock puts files into a folder that have the names of what a repository has.
func gitStock(t *testing.T, dir string) {
	t.Helper()
	for _, file := range []string{"pre-commit", "main", "pack/keep", "heads/main", "git/r/.git/HEAD", "r/.git/HEAD", ".git/HEAD", "hooks/pre-commit", "HEAD"} {
		gitWrite(t, filepath.Join(dir, file), "mine\n")
	}
}

func gitWrite(t *testing.T, file, body string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(body), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// gitSeen is all that is in a directory, with its content.
func gitSeen(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, _ := filepath.Rel(dir, file)
		out[below] = d.Type().String()
		if d.Type().IsRegular() {
			body, err := os.ReadFile(file)
			out[below] = string(body)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// untouched runs an attack, and holds that nothing outside is another.
func (g *gitGround) untouched(t *testing.T, attack func() (said string)) (said string) {
	t.Helper()
	g.restock()
	before := gitSeen(t, g.outside)
	said = attack()
	if diff := cmp.Diff(before, gitSeen(t, g.outside)); diff != "" {
		t.Errorf("outside of the tree (-before +after):\n%s\nit said\n%s", diff, said)
	}
	return said
}

// gitMachine is a place that the workspace is opened at.
type gitMachine struct {
	g            *gitGround
	dir, runtime string
}

func (g *gitGround) machine() *gitMachine {
	g.t.Helper()
	g.n++
	runtime, err := os.MkdirTemp("/tmp", "ct-") // short: a socket goes in
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { os.RemoveAll(runtime) })
	m := &gitMachine{g: g, dir: filepath.Join(g.t.TempDir(), "tree"), runtime: runtime}
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
  lease: {ttl: 10m, renew: 1m}
  sync:
    - {name: workspace, path: %s, remote_path: "workspaces/{org}/{project}/{env}/workspace", interval: 10, watch: false, exclude: ["/.devcontainer/**", "/private/**"]}
`, m.dir))
	return m
}

func (m *gitMachine) write(name, body string) {
	m.g.t.Helper()
	gitWrite(m.g.t, filepath.Join(m.dir, name), body)
}

func (m *gitMachine) git(dir string, args ...string) {
	m.g.t.Helper()
	if out, err := gittest.Run(filepath.Join(m.dir, dir), args...); err != nil {
		m.g.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
}

// once is a whole session. It has to end by itself.
func (m *gitMachine) once() (said string) {
	m.g.t.Helper()
	return m.coltecd("run", "--once")
}

// coltecd runs a verb.
func (m *gitMachine) coltecd(args ...string) (said string) {
	m.g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, coltecd, args...)
	cmd.Dir = m.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + m.runtime, "TMPDIR=" + m.runtime, "XDG_RUNTIME_DIR=" + m.runtime,
		"COLTEC_RCLONE=" + rclonePath, fmt.Sprintf("COLTEC_HOST=m%d", m.g.n), "RCLONE_BUCKET=" + m.g.s3.Bucket,
		"RCLONE_S3_ENDPOINT=" + m.g.s3.Endpoint, "RCLONE_S3_ACCESS_KEY_ID=" + m.g.s3.AccessKey, "RCLONE_S3_SECRET_ACCESS_KEY=" + m.g.s3.SecretKey,
	}
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil || err != nil && !errors.As(err, new(*exec.ExitError)) || bytes.Contains(out, []byte("goroutine ")) {
		m.g.t.Errorf("coltecd: %v %v\n%s", err, ctx.Err(), out)
	}
	return string(out)
}

// rclone runs rclone as anybody with the bucket's key can.
func (g *gitGround) rclone(stdin []byte, args ...string) []byte {
	g.t.Helper()
	cmd := exec.Command(rclonePath, args...)
	cmd.Env = []string{"RCLONE_CONFIG=notfound", "HOME=" + g.t.TempDir(), "RCLONE_CONFIG_R_TYPE=s3"}
	for option, value := range g.s3.Options(g.s3.Endpoint) {
		cmd.Env = append(cmd.Env, "RCLONE_CONFIG_R_"+strings.ToUpper(option)+"="+value)
	}
	var talk bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &talk
	out, err := cmd.Output()
	if err != nil {
		g.t.Fatalf("rclone %q: %v\n%s", args, err, &talk)
	}
	return out
}

// gitRow is a row of a manifest: what docs/storage.md has as its columns.
type gitRow [9]string

const (
	gitRowLink = 6
	gitRowPath = 8
)

// read takes what the last session left in the bucket for the honest state.
func (g *gitGround) read() {
	g.t.Helper()
	g.head = map[string]any{}
	if err := json.Unmarshal(g.rclone(nil, "cat", "R:"+g.s3.Bucket+"/"+gitHead), &g.head); err != nil {
		g.t.Fatal(err)
	}
	ref, _ := g.head["replicas"].(map[string]any)["workspace"].(map[string]any)["manifest"].(string)
	z, err := zstd.NewReader(nil)
	if err != nil {
		g.t.Fatal(err)
	}
	defer z.Close()
	text, err := z.DecodeAll(g.rclone(nil, "cat", "R:"+g.s3.Bucket+"/"+gitPrefix+ref), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		columns := strings.Split(line, "\t")
		switch {
		case i == 0:
		case columns[0] == "o":
			g.objects = append(g.objects, line)
		default:
			g.rows = append(g.rows, gitRow(columns))
		}
	}
}

// gitForgery are the rows of a repository that no coltecd made.
type gitForgery struct {
	name    string // of the directory that it is in
	outside string // that its links lead to
	rows    []gitRow
	like    func(path string) gitRow // the honest row of a path
}

// shadow is where the copy of the repository is, or a part of it.
func (f *gitForgery) shadow(path string) string { return ".coltec/git/" + f.name + "/.git" + path }

// link has a link at a path.
func (f *gitForgery) link(path, target string) {
	f.rows = append(f.without(path), gitRow{"l", "777", "1700000000000000000", "0", "", "", target, "", path})
}

// planted has a link in the place of a directory of the repository, and a file below it.
func (f *gitForgery) planted(link, below string) {
	f.link(f.shadow(link), f.outside)
	f.file(f.shadow(link)+"/"+below, "planted")
}

// file has a file at a path, with the content of an honest one.
func (f *gitForgery) file(path, like string) {
	row := f.like(like)
	row[gitRowPath] = path
	f.rows = append(f.without(path), row)
}

// directory has an empty directory at a path.
func (f *gitForgery) directory(path string) {
	f.rows = append(f.without(path), gitRow{"d", "755", "1700000000000000000", "0", "", "", "", "", path})
}

// asFiles has no copy of the repository, but the repository itself, file by file.
func (f *gitForgery) asFiles() {
	for i, row := range f.rows {
		f.rows[i][gitRowPath] = strings.TrimPrefix(row[gitRowPath], ".coltec/git/")
	}
	f.rows = f.without(f.name + "/.git/coltec.json")
}

// lying has a repository as files where no git directory is, with a link in it.
func (f *gitForgery) lying(at, link string) {
	for _, path := range []string{"HEAD", "config"} {
		f.file(f.name+at+"/"+path, gitShadow+path)
	}
	for _, path := range []string{"objects", "refs"} {
		f.directory(f.name + at + "/" + path)
	}
	f.link(f.name+at+link, f.outside)
}

func (f *gitForgery) without(path string) []gitRow {
	return slices.DeleteFunc(f.rows, func(row gitRow) bool { return row[gitRowPath] == path })
}

// rename has the repository's copy at another path.
func (f *gitForgery) rename(to string) {
	for i, row := range f.rows {
		if below, ok := strings.CutPrefix(row[gitRowPath], f.shadow("/")); ok {
			f.rows[i][gitRowPath] = ".coltec/git/" + to + "/" + below
		}
	}
}

// forge has the bucket say that the next generation has more than the honest one: a
// repository of each name, like the honest one but for a change.
func (g *gitGround) forge(changes map[string]func(*gitForgery)) {
	g.t.Helper()
	honest := func(path string) gitRow {
		i := slices.IndexFunc(g.rows, func(row gitRow) bool { return row[gitRowPath] == path })
		if i < 0 {
			g.t.Fatalf("the honest workspace has no %q", path)
		}
		return g.rows[i]
	}
	rows := slices.Clone(g.rows)
	for name, change := range changes {
		f := &gitForgery{name: name, outside: filepath.Join(g.outside, name), like: honest}
		for _, row := range g.rows {
			if below, ok := strings.CutPrefix(row[gitRowPath], gitShadow); ok {
				row[gitRowPath] = f.shadow("/" + below)
				f.rows = append(f.rows, row)
			}
		}
		change(f)
		rows = append(rows, f.rows...)
	}
	g.publish(rows)
}

// publish makes rows the next generation.
func (g *gitGround) publish(rows []gitRow) {
	g.t.Helper()
	slices.SortFunc(rows, func(a, b gitRow) int { return tree.Compare(a[gitRowPath], b[gitRowPath]) })
	generation := int64(g.head["generation"].(float64)) + 1
	var text strings.Builder
	fmt.Fprintf(&text, `{"format":1,"workspace":%q,"replica":"workspace","epoch":1,"generation":%d,"time":"2026-01-02T03:04:05Z","filters":null,"base":"","rows":%d}`+"\n",
		gitWorkspace, generation, len(rows))
	for _, line := range g.objects {
		text.WriteString(line + "\n")
	}
	for _, row := range rows {
		text.WriteString(strings.Join(row[:], "\t") + "\n")
	}
	z, err := zstd.NewWriter(nil, zstd.WithWindowSize(1<<20))
	if err != nil {
		g.t.Fatal(err)
	}
	body := z.EncodeAll([]byte(text.String()), nil)
	ref := fmt.Sprintf("m/1-%d-%x", generation, sha256.Sum256(body))
	var head map[string]any
	honest, err := json.Marshal(g.head)
	if err == nil {
		err = json.Unmarshal(honest, &head)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	head["seq"], head["generation"], head["nonce"] = head["seq"].(float64)+10, generation, "forged"
	head["replicas"].(map[string]any)["workspace"].(map[string]any)["manifest"] = ref
	if recent, _ := head["recent"].([]any); len(recent) > 0 { // what can be restored by its number
		last := maps.Clone(recent[len(recent)-1].(map[string]any))
		last["generation"], last["nonce"], last["replicas"] = generation, "forged", head["replicas"]
		head["recent"] = append(recent, last)
	}
	forged, err := json.Marshal(head)
	if err != nil {
		g.t.Fatal(err)
	}
	g.rclone(body, "rcat", "R:"+g.s3.Bucket+"/"+gitPrefix+ref)
	g.rclone(forged, "rcat", "R:"+g.s3.Bucket+"/"+gitHead)
}

// gitAttack is a repository of a generation that no coltecd made.
type gitAttack struct {
	change func(*gitForgery)
	says   string // a part of the sentence
	made   string // what of its directory must not be there
}

// Rows below a link of the same generation: whoever follows it places them elsewhere.
func TestGitRowsBelowLinks(t *testing.T) {
	t.Parallel()
	b, said := attackWithGit(t, map[string]gitAttack{
		"hooks":      {func(f *gitForgery) { f.planted("/hooks", "planted") }, "", "/.git"},
		"hooks-file": {func(f *gitForgery) { f.planted("/hooks", "pre-commit") }, "", "/.git"},
		"refs":       {func(f *gitForgery) { f.planted("/refs", "heads/main") }, "", "/.git"},
		"refs-heads": {func(f *gitForgery) { f.planted("/refs/heads", "main") }, "", "/.git"},
		"logs":       {func(f *gitForgery) { f.planted("/logs", "HEAD") }, "", "/.git"},
		"worktrees":  {func(f *gitForgery) { f.planted("/worktrees", "w/gitdir") }, "", "/.git"},
		"deep":       {func(f *gitForgery) { f.planted("/lfs/cache", "x") }, "", "/.git"},
		"objects":    {func(f *gitForgery) { f.link(f.shadow("/objects"), f.outside) }, "", "/.git"},
		"git":        {func(f *gitForgery) { f.link(f.shadow(""), f.outside) }, "", ""},
		"name":       {func(f *gitForgery) { f.link(".coltec/git/"+f.name, f.outside) }, "", ""},
		"all":        {func(f *gitForgery) { f.link(".coltec/git", f.outside) }, "", ""},
	})
	if !strings.Contains(said, "it is a link where only a directory can be") && !strings.Contains(said, "something impossible") {
		t.Errorf("no sentence says so:\n%s", said)
	}
	if body, err := os.ReadFile(filepath.Join(b.dir, "planted")); err == nil && string(body) != "planted\n" {
		t.Errorf("an honest file is %q", body)
	}
}

// Links in the place of what git reads, refs that lead out, names that lead elsewhere, or to
// a directory that the workspace does not carry, and ways to repositories of this machine
// that nobody here has made. The honest repository beside them comes out as it was.
func TestGitGenerations(t *testing.T) {
	t.Parallel()
	b, said := attackWithGit(t, map[string]gitAttack{
		"alone":        {func(f *gitForgery) { f.link(f.shadow("/refs"), f.outside) }, "is a link to", "/.git"},
		"packed-refs":  {func(f *gitForgery) { f.link(f.shadow("/packed-refs"), f.outside+"/main") }, "is a link to", "/.git"},
		"HEAD":         {func(f *gitForgery) { f.link(f.shadow("/HEAD"), f.outside+"/HEAD") }, "is a link to", "/.git"},
		"alternates":   {func(f *gitForgery) { f.file(f.shadow("/objects/info/alternates"), "planted") }, "is not a pack", "/.git"},
		"HEAD-out":     {func(f *gitForgery) { f.file(f.shadow("/HEAD"), "head") }, "not a valid ref name", "/.git"},
		"ref-out":      {func(f *gitForgery) { f.file(f.shadow("/refs/bisect/bad"), "head") }, "not a valid ref name", "/.git"},
		"ref-named":    {func(f *gitForgery) { f.file(f.shadow("/packed-refs"), "packed") }, "not a valid ref name", "/.git"},
		"capitals":     {func(f *gitForgery) { f.rename(f.name + "/.GIT") }, "take for .git", "/.GIT"},
		"HFS":          {func(f *gitForgery) { f.rename(f.name + "/.g\u200cit") }, "take for .git", "/.g\u200cit"},
		"NTFS":         {func(f *gitForgery) { f.rename(f.name + "/GIT~1") }, "take for .git", "/GIT~1"},
		"dots":         {func(f *gitForgery) { f.rename(f.name + "/.git. .") }, "take for .git", "/.git. ."},
		"inside":       {func(f *gitForgery) { f.rename(f.name + "/.GIT/modules/x.git") }, "take for .git", "/.GIT"},
		"own":          {func(f *gitForgery) { f.rename(".Coltec/" + f.name + "/.git") }, "which is coltecd's", "/../.Coltec"},
		"private":      {func(f *gitForgery) { f.rename("private") }, "none of a git directory", "/"},
		"tree-link":    {func(f *gitForgery) { f.link(f.name, f.outside) }, "is not a directory here", ""},
		"door":         {func(f *gitForgery) { f.file(f.name+"/.git", "doors/door") }, "may have come from the bucket", ""},
		"door-link":    {func(f *gitForgery) { f.link(f.name+"/.git", f.outside+"/theirs/.git") }, "may have come from the bucket", ""},
		"door-alone":   {func(f *gitForgery) { f.rows = nil; f.file(f.name+"/.git", "doors/door-alone") }, "may have come from the bucket", ""},
		"door-indoors": {func(f *gitForgery) { f.link(f.name+"/.git", "in"); f.link(f.name+"/in", f.outside+"/theirs/.git") }, "may have come from the bucket", ""},
		"door-common": {func(f *gitForgery) {
			f.link(f.name+"/.git", "in")
			f.file(f.name+"/in/HEAD", "main")
			f.file(f.name+"/in/commondir", "common/door-common")
		}, "may have come from the bucket", ""},
		"led": {func(f *gitForgery) { f.link(f.name+"/.git", "in"); f.lying("/in", "/refs/heads") }, "leads to another place in the tree", ""},
		"led-file": {func(f *gitForgery) {
			f.file(f.name+"/.git", "leads")
			f.file(f.shadow("/worktrees/w/HEAD"), "main")
			f.lying("/in", "/worktrees")
		}, "leads to another place in the tree", ""},
		"bare": {func(f *gitForgery) { f.rename(f.name + "/bare.git"); f.lying("/bare.git", "/refs/heads") }, "none of a git directory", ""},
	})
	if out, err := gittest.Run(filepath.Join(b.dir, "r"), "log", "--format=%s"); err != nil || strings.Count(out, "\n") != 3 {
		t.Errorf("the honest repository: %v\n%s\nit said\n%s", err, out, said)
	}
}

// attackWithGit has the bucket say all of some attacks at once, each of a repository of its
// name, and judges what a machine makes of it. It gives the machine, and what it said.
func attackWithGit(t *testing.T, attacks map[string]gitAttack) (b *gitMachine, said string) {
	t.Helper()
	g := newGitGround(t)
	a, b := g.machine(), g.machine()
	gittest.History(t, filepath.Join(a.dir, "r"), 3, 3)
	a.write("r/.git/hooks/pre-commit", "#!/bin/sh\n")
	a.write("r/.git/lfs/cache/x", "x\n")
	a.write("planted", "planted\n")
	a.write("main", "ref: refs/heads/main\n")
	a.write("leads", "gitdir: in\n")
	a.write("head", "ref: ../../../../../outside/made\n")
	a.write("packed", strings.Repeat("a", 40)+" refs/heads/../../../made\n")
	changes := map[string]func(*gitForgery){}
	for name, attack := range attacks {
		changes[name] = attack.change
		gitStock(t, filepath.Join(g.outside, name))
		if strings.HasPrefix(name, "door") {
			theirs := filepath.Join(g.outside, name, "theirs")
			gittest.History(t, theirs, 2, 2)
			a.write("doors/"+name, "gitdir: "+theirs+"/.git\n")
			a.write("common/"+name, theirs+"/.git\n")
		}
	}
	if said := a.once(); strings.Contains(said, "not carried") {
		t.Fatal(said)
	}
	g.read()
	g.forge(changes)
	before := gitSeen(t, g.outside)
	said = b.once() + b.once()
	after := gitSeen(t, g.outside)
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) { attack.judge(t, b, name, before, after, said) })
	}
	return b, said
}

// judge holds that nothing outside is another, nothing was made, and a sentence says why.
func (a gitAttack) judge(t *testing.T, b *gitMachine, name string, before, after map[string]string, said string) {
	of := func(all map[string]string) map[string]string {
		out := maps.Clone(all)
		maps.DeleteFunc(out, func(path, _ string) bool { return !tree.Within(path, name) })
		return out
	}
	if diff := cmp.Diff(of(before), of(after)); diff != "" {
		t.Errorf("outside of the tree (-before +after):\n%s", diff)
	}
	told := false
	for line := range strings.Lines(said) {
		told = told || strings.Contains(line, a.says) && strings.Contains(line, name)
	}
	if a.says != "" && !told {
		t.Errorf("no %q in\n%s", a.says, said)
	}
	if _, err := os.Lstat(filepath.Join(b.dir, name+a.made)); a.made != "" && err == nil {
		t.Errorf("%q was made", name+a.made)
	}
}

// gitAnswer is what git says of a repository.
func gitAnswer(t *testing.T, m *gitMachine, dir string) string {
	t.Helper()
	out := ""
	for _, args := range [][]string{{"log", "--all", "--format=%H %D"}, {"status", "--porcelain=v2", "--branch"}, {"fsck", "--strict"}} {
		text, err := gittest.Run(filepath.Join(m.dir, dir), args...)
		if err != nil {
			t.Errorf("git %q: %v\n%s", args, err, text)
		}
		out += text
	}
	return out
}

// gitArmed are ways in which a repository has git run something when its index is
// brought up to date. RUN stands for a command.
var gitArmed = map[string]string{
	"clean":    "[filter \"x\"]\n\tclean = RUN\n\trequired = true\n",
	"process":  "[filter \"x\"]\n\tprocess = RUN\n",
	"included": "[include]\n\tpath = more\n",
	"monitor":  "[core]\n\tfsmonitor = RUN\n[filter \"x\"]\n\tclean = RUN\n",
	"hooks":    "[core]\n\thooksPath = armed\n[filter \"x\"]\n\tsmudge = RUN\n",
	"refs":     "[core]\n\talternateRefsCommand = RUN\n\tsshCommand = RUN\n\tpager = RUN\n\teditor = RUN\n[gpg]\n\tprogram = RUN\n[credential]\n\thelper = !RUN\n[diff]\n\texternal = RUN\n",
}

// A repository's configuration names programs. Nobody but who runs git in it has them run:
// neither where it is captured, nor where it comes out, in each of its working trees, nor
// where both sides are joined.
func TestGitRunsNothing(t *testing.T) {
	t.Parallel()
	g := newGitGround(t)
	a, b := g.machine(), g.machine()
	armed := sample.Cases(t, 3, gitArmed)
	for name, config := range armed {
		gittest.History(t, filepath.Join(a.dir, name), 3, 3)
		a.git(name, "worktree", "add", "-q", "../"+name+"-linked")
		// Quoted: a semicolon begins a comment in a configuration.
		run := fmt.Sprintf("sh -c 'echo ran >%s/ran-%s; cat'", g.outside, name)
		config = strings.ReplaceAll(config, "RUN", `"`+run+`"`)
		if name == "included" {
			a.write(name+"/.git/more", "[filter \"x\"]\n\tclean = \""+run+"\"\n")
		}
		a.write(name+"/.git/info/attributes", "* filter=x diff=x\n")
		for _, hook := range []string{"post-index-change", "pre-auto-gc", "reference-transaction"} {
			for _, dir := range []string{"armed", ".git/hooks"} {
				a.write(name+"/"+dir+"/"+hook, "#!/bin/sh\n"+run+"\n")
				if err := os.Chmod(filepath.Join(a.dir, name, dir, hook), 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
		body, err := os.ReadFile(filepath.Join(a.dir, name, ".git/config"))
		if err != nil {
			t.Fatal(err)
		}
		a.write(name+"/.git/config", string(body)+config)
	}
	g.untouched(t, a.once)
	g.untouched(t, b.once)
	for name := range armed { // both go on, and are joined
		for _, m := range []*gitMachine{a, b} {
			m.write(name+"/.git/refs/heads/by-"+filepath.Base(m.runtime), gitFirst(t, m, name)+"\n")
			m.write(name+"/.git/description", m.runtime+"\n")
		}
	}
	g.untouched(t, b.once)
	g.untouched(t, a.once)
	g.untouched(t, b.once)
	for name := range armed {
		gitFires(t, a, name)
	}
}

// gitFires holds that a repository is armed: a git without settings of coltecd's runs what
// its configuration names, without its own hooks.
func gitFires(t *testing.T, m *gitMachine, name string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(m.dir, name, ".git/hooks")); err != nil {
		t.Fatal(err)
	}
	m.write(name+"/d0/f0", "another content\n")
	var out string
	for _, args := range [][]string{{"diff"}, {"checkout", "-f"}} {
		said, _ := gittest.Run(filepath.Join(m.dir, name), args...) // fails where a filter does no good
		out += said
	}
	if _, err := os.Stat(filepath.Join(m.g.outside, "ran-"+name)); err != nil {
		t.Errorf("%s runs nothing at all: %v\n%s", name, err, out)
	}
}

// gitFirst is a commit of a repository, read without git: it would run what is armed.
func gitFirst(t *testing.T, m *gitMachine, dir string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(m.dir, dir, ".git/refs/heads/main"))
	if errors.Is(err, fs.ErrNotExist) {
		body, err = os.ReadFile(filepath.Join(m.dir, dir, ".git/packed-refs"))
		for line := range strings.Lines(string(body)) {
			if oid, ok := strings.CutSuffix(strings.TrimSpace(line), " refs/heads/main"); ok {
				return oid
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(body))
}

// A link of the repository becomes a directory, and a directory a link, between two
// captures: nothing of what the link leads to is touched. Each place has a repository of its
// own: one that is refused for a place would hide what is done at the others.
func TestGitLinksAndDirectories(t *testing.T) {
	t.Parallel()
	g := newGitGround(t)
	a := g.machine()
	places := map[string]string{"hooks": "hooks/pre-commit.d", "lfs": "lfs", "annex": "annex", "info": "info", "deep": "rr-cache/deep/er"}
	files := []string{"pre-commit", "pack", "heads/main/x", "hooks", "exclude"} // some are something else outside
	for name := range places {
		gittest.History(t, filepath.Join(a.dir, name), 3, 3)
	}
	as := func(link bool) {
		for name, path := range places {
			file := filepath.Join(a.dir, name, ".git", path)
			err := errors.Join(os.RemoveAll(file), os.MkdirAll(filepath.Dir(file), 0o755))
			if err == nil && link {
				err = os.Symlink(g.outside, file)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, below := range files {
				if !link {
					a.write(name+"/.git/"+path+"/"+below, "of the repository\n")
				}
			}
		}
	}
	for _, link := range []bool{true, false, true, false} {
		said := g.untouched(t, func() string { as(link); return a.once() })
		for name := range places {
			if !gitCaptured(said, name) {
				t.Errorf("link %v: %s is not captured:\n%s", link, name, said)
			}
		}
	}
	b := g.machine()
	g.untouched(t, b.once)
	for name, path := range places {
		for _, below := range files {
			file := filepath.Join(b.dir, name, ".git", path, below)
			if body, err := os.ReadFile(file); err != nil || string(body) != "of the repository\n" {
				t.Errorf("%s: %v %q", file, err, body)
			}
		}
	}
}

// gitCaptured reports whether a session captured a repository.
func gitCaptured(said, name string) bool {
	for line := range strings.Lines(said) {
		if strings.Contains(line, "repository captured") && strings.Contains(line, "repository="+name+"/.git") {
			return true
		}
	}
	return false
}

// Somebody in the tree puts a link in the place of what is coltecd's own, at each level,
// between two captures, and before a restore. When it is gone all is well again.
func TestGitOwnDirectories(t *testing.T) {
	t.Parallel()
	g := newGitGround(t)
	a := g.machine()
	gittest.History(t, filepath.Join(a.dir, "r"), 3, 3)
	a.write("r/.git/hooks/pre-commit", "#!/bin/sh\n")
	a.write("r/.git/worktrees/w/HEAD", "ref: refs/heads/main\n")
	g.untouched(t, a.once)
	attack := func(t *testing.T, m *gitMachine, level string) {
		t.Helper()
		there := filepath.Join(m.dir, level)
		said := g.untouched(t, func() string {
			if err := errors.Join(os.RemoveAll(there), os.MkdirAll(filepath.Dir(there), 0o700), os.Symlink(g.outside, there)); err != nil {
				t.Fatal(err)
			}
			return m.once()
		})
		if s, err := os.Lstat(there); err == nil && s.Mode()&fs.ModeSymlink != 0 {
			if !strings.Contains(said, "a link") {
				t.Errorf("it stays, and no sentence says so:\n%s", said)
			}
			if err := os.Remove(there); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, level := range sample.Some(t, 3, []string{
		".coltec/git", ".coltec/git/r", ".coltec/git/r/.git", ".coltec/git/r/.git/refs", ".coltec/git/r/.git/hooks", ".coltec/git/r/.git/logs",
		".coltec/git/r/.git/objects", ".coltec/git/r/.git/objects/pack", ".coltec/git/r/.git/worktrees", ".coltec/stage/git",
	}) {
		t.Run(level, func(t *testing.T) {
			a.git("r", "commit", "-q", "--allow-empty", "-m", level)
			a.git("r", "update-ref", "refs/worktree/seen", "HEAD") // which stays a file below refs
			a.write("r/.git/hooks/pre-commit", fmt.Sprintf("#!/bin/sh\n# %d\n", i))
			attack(t, a, level)
		})
	}
	if said := g.untouched(t, a.once); strings.Contains(said, "not carried") {
		t.Error(said)
	}
	for _, level := range sample.Some(t, 1, []string{".coltec/git", ".coltec/git/r/.git", ".coltec/stage/git-in"}) {
		b := g.machine()
		t.Run("restore "+level, func(t *testing.T) { attack(t, b, level) })
		if said := b.once(); strings.Contains(said, "is not what the bucket has") {
			t.Error(said)
		}
		if x, y := gitAnswer(t, a, "r"), gitAnswer(t, b, "r"); x != y {
			t.Errorf("(-a +b):\n%s", cmp.Diff(x, y))
		}
	}
}

// A generation that has repositories as files, as one of a coltecd that carried no wholes,
// and in them a link in the place of what git reads: who captures the repository would
// follow it, and bring what lies there into the bucket.
func TestGitRepositoriesAsFiles(t *testing.T) {
	t.Parallel()
	attacks := map[string]gitAttack{
		"alternates": {func(f *gitForgery) { f.asFiles(); f.file(f.name+"/.git/objects/info/alternates", "planted") }, "borrows", "/.git"},
		"submodule": {func(f *gitForgery) {
			f.asFiles()
			for _, path := range []string{"HEAD", "packed-refs", "config"} {
				f.file(f.name+"/.git/modules/lib/"+path, gitShadow+path)
			}
			f.directory(f.name + "/.git/modules/lib/objects/pack")
			f.link(f.name+"/.git/modules/lib/refs", f.outside)
		}, "is a link to", "/.git"},
	}
	for _, part := range []string{"worktrees", "logs", "refs", "refs/heads", "modules", "objects", "objects/pack", "description", "config", "packed-refs", "index"} {
		attacks["files-"+strings.ReplaceAll(part, "/", "-")] = gitAttack{func(f *gitForgery) {
			f.asFiles()
			f.rows = slices.DeleteFunc(f.rows, func(row gitRow) bool { return tree.Within(row[gitRowPath], f.name+"/.git/"+part) })
			target := f.outside
			if slices.Contains([]string{"description", "config", "packed-refs", "index"}, part) {
				target += "/main"
			}
			f.link(f.name+"/.git/"+part, target)
		}, "is a link to", "/.git"}
	}
	b, _ := attackWithGit(t, sample.Cases(t, 5, attacks))
	for path, body := range gitSeen(t, filepath.Join(b.dir, ".coltec/git")) {
		if body == "mine\n" {
			t.Errorf("%s has what lies outside", path)
		}
	}
}

// What was deleted comes back, and a generation is written to a directory of its own, file
// by file: links that git would follow are left out of it, and said, hooks and all else come.
func TestGitBroughtBack(t *testing.T) {
	t.Parallel()
	g := newGitGround(t)
	g.restock()
	a := g.machine()
	gittest.History(t, filepath.Join(a.dir, "r"), 3, 3)
	a.write("r/.git/lfs/cache/x", "x\n")
	if err := os.Symlink("../../hooks", filepath.Join(a.dir, "r/.git/hooks.d")); err != nil {
		t.Fatal(err)
	}
	a.write("planted", "planted\n")
	a.once()
	g.read()
	links := []string{"worktrees", "description", "modules/x", "refs/heads/main"}
	g.forge(map[string]func(*gitForgery){"evil": func(f *gitForgery) {
		for _, link := range links {
			f.link(f.shadow("/"+link), g.outside)
		}
		f.link(f.name+"/.git/logs", g.outside)
		f.rows = slices.DeleteFunc(f.rows, func(row gitRow) bool { return strings.HasPrefix(row[gitRowPath], f.shadow("/logs/")) })
		f.file(f.shadow("/objects/info/alternates"), "planted")
	}})
	b := g.machine()
	said := g.untouched(t, func() string { return b.coltecd("history", "restore", "--at", "2", "--deleted") })
	to := filepath.Join(t.TempDir(), "to")
	said += g.untouched(t, func() string { return b.coltecd("history", "restore", "--at", "2", "--to", to) })
	for _, dir := range []string{b.dir, to} {
		for _, link := range append(links, "logs", "objects/info/alternates") {
			file := filepath.Join(dir, "evil/.git", link)
			if s, err := os.Lstat(file); err == nil && !s.IsDir() {
				t.Errorf("%s is there", file)
			}
			if !strings.Contains(said, "evil/.git/"+link) {
				t.Errorf("no word of %s in\n%s", link, said)
			}
		}
		if target, err := os.Readlink(filepath.Join(dir, "r/.git/hooks.d")); err != nil || target != "../../hooks" {
			t.Errorf("in %s hooks.d leads to %q: %v", dir, target, err)
		}
		if out, err := gittest.Run(filepath.Join(dir, "r"), "log", "--format=%s"); err != nil || strings.Count(out, "\n") != 3 {
			t.Errorf("%s: %v\n%s", dir, err, out)
		}
	}
}
