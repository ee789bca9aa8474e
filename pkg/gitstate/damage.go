package gitstate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// reachable collects the objects that a pack is to be made of.
type reachable struct {
	c    *capture
	all  packs
	seen map[string]bool
	file string // the list, for git
}

// quick lists what is reachable as git finds it, and packs it. It fails where an
// object is missing or damaged.
func (l *reachable) quick(ctx context.Context, r *runner, tips, known, indexes []string) error {
	w, err := l.c.k.newList(l.file)
	if err != nil {
		return err
	}
	add := func(line string) error {
		oid, _, _ := strings.Cut(line, " ")
		if _, lacks := l.c.missing[oid]; lacks || l.seen[oid] || l.all.has(oid) {
			return nil
		}
		l.seen[oid] = true
		return w.add(line)
	}
	var in strings.Builder
	for _, oid := range tips {
		in.WriteString(oid + "\n")
	}
	for _, oid := range known {
		in.WriteString("^" + oid + "\n")
	}
	if len(tips) > 0 {
		err = r.run(ctx, strings.NewReader(in.String()), add, "rev-list", "--objects", "--stdin")
	}
	for _, index := range indexes {
		if err == nil {
			with := *r
			with.index = index
			err = with.run(ctx, nil, add, "rev-list", "--objects", "--indexed-objects")
		}
	}
	if err := errors.Join(err, w.close()); err != nil {
		return err
	}
	if w.n == 0 {
		return nil
	}
	return l.pack(ctx, r)
}

// pack makes a pack of what is listed.
func (l *reachable) pack(ctx context.Context, r *runner) error {
	if s, err := os.Stat(l.file); err != nil || s.Size() == 0 {
		return err
	}
	_, err := l.c.k.pack(ctx, r, l.file, l.c.shadow)
	return err
}

// node is an object on the way, the path that led to it, and the ref.
type node struct{ oid, path, from string }

// thorough lists what is reachable and can be read, and notes what cannot: it reads
// each object.
func (l *reachable) thorough(ctx context.Context, r *runner, tips []string, from map[string]string, indexes []string) error {
	w, err := l.c.k.newList(l.file)
	if err != nil {
		return err
	}
	defer w.close()
	objects := &objectReader{ctx: ctx, r: r}
	defer objects.end()
	borders := map[string]bool{} // where history ends, in a shallow clone
	shallow, _ := readFile(filepath.Join(r.dir, "shallow"), textMost)
	for _, oid := range strings.Fields(string(shallow)) {
		borders[oid] = true
	}
	clear(l.seen)
	var todo []node
	for _, index := range indexes {
		staged, err := l.staged(ctx, r, index)
		if err != nil {
			return err
		}
		todo = append(todo, staged...)
	}
	for _, oid := range slices.Backward(tips) {
		todo = append(todo, node{oid, "", from[oid]})
	}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if l.seen[n.oid] || !l.c.deep && l.all.has(n.oid) {
			continue
		}
		l.seen[n.oid] = true
		kind, body, err := objects.read(n.oid)
		if err != nil {
			return err
		}
		if kind == "" {
			l.c.missing[n.oid] = n.from
			continue
		}
		delete(l.c.missing, n.oid)
		if !l.all.has(n.oid) {
			if err := w.add(strings.TrimSpace(n.oid + " " + strings.ReplaceAll(n.path, "\n", " "))); err != nil {
				return err
			}
		}
		todo = append(todo, namedIn(n, kind, body, borders[n.oid])...)
	}
	return w.w.Flush()
}

// staged lists what an index names. One that is damaged names nothing, and is said.
func (l *reachable) staged(ctx context.Context, r *runner, index string) ([]node, error) {
	with := *r
	with.index = index
	var out []node
	err := with.run(ctx, nil, func(line string) error {
		for entry := range strings.SplitSeq(line, "\x00") {
			what, path, _ := strings.Cut(entry, "\t")
			if words := strings.Fields(what); len(words) == 3 && words[0] != "160000" && isOID(words[1]) {
				out = append(out, node{words[1], path, "the index"})
			}
		}
		return nil
	}, "ls-files", "--stage", "-z")
	if err != nil && ctx.Err() == nil && !errors.Is(err, errStalled) {
		l.c.broken = append(l.c.broken, "an index is damaged: "+oneLine(err.Error()))
		return nil, nil
	}
	return out, err
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// namedIn lists what an object names.
func namedIn(n node, kind string, body []byte, border bool) (out []node) {
	switch kind {
	case "commit", "tag":
		for line := range bytes.Lines(body) {
			word, oid, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
			if !ok {
				break
			}
			if isOID(oid) && (word == "tree" || word == "object" || word == "parent" && !border) {
				out = append(out, node{oid, "", n.from})
			}
		}
	case "tree":
		width := len(n.oid) / 2
		for len(body) > 0 {
			head, rest, ok := bytes.Cut(body, []byte{0})
			if !ok || len(rest) < width {
				break
			}
			mode, name, _ := strings.Cut(string(head), " ")
			if mode != "160000" { // a submodule's commit is in another repository
				out = append(out, node{hex.EncodeToString(rest[:width]), filepath.Join(n.path, name), n.from})
			}
			body = rest[width:]
		}
	}
	return out
}

// objectReader reads objects one after the other. A git that dies of one is started
// anew for the next.
type objectReader struct {
	ctx   context.Context
	r     *runner
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	seen  atomic.Int64 // bytes that git gave
	ended int
}

// endedMost is how many objects may end git before there is no more sense in it.
const endedMost = 1000

func (o *objectReader) start() error {
	if o.cmd != nil {
		return nil
	}
	cmd := o.r.command(o.ctx, "cat-file", "--batch")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	o.cmd, o.in, o.out = cmd, in, bufio.NewReaderSize(tally{out, &o.seen}, 64<<10)
	return nil
}

func (o *objectReader) end() {
	if o.cmd != nil {
		_ = o.in.Close()
		_, _ = io.Copy(io.Discard, o.out)
		_ = o.cmd.Wait()
		o.cmd = nil
	}
}

// read gives an object's kind, "" for one that is missing or damaged, and the content
// of those that name others.
func (o *objectReader) read(oid string) (kind string, body []byte, err error) {
	if err := o.start(); err != nil {
		return "", nil, err
	}
	watched := watch(o.cmd.Process.Pid, o.seen.Load)
	kind, body, err = o.answer(oid)
	stalled := watched()
	if err == nil && !stalled {
		return kind, body, nil
	}
	o.end()
	if o.ctx.Err() != nil {
		return "", nil, context.Cause(o.ctx)
	}
	if stalled { // which says nothing of the object
		return "", nil, fmt.Errorf("git cat-file: %w", errStalled)
	}
	if o.ended++; o.ended > endedMost {
		return "", nil, fmt.Errorf("git cannot read too many of its objects: git fsck says more")
	}
	return "", nil, nil
}

func (o *objectReader) answer(oid string) (kind string, body []byte, err error) {
	if _, err := io.WriteString(o.in, oid+"\n"); err != nil {
		return "", nil, err
	}
	line, err := o.out.ReadString('\n')
	if err != nil {
		return "", nil, err
	}
	words := strings.Fields(line)
	if len(words) != 3 {
		return "", nil, nil // missing
	}
	size, err := strconv.ParseInt(words[2], 10, 64)
	if err != nil {
		return "", nil, err
	}
	if words[1] == "blob" {
		_, err = io.CopyN(io.Discard, o.out, size+1)
		return words[1], nil, err
	}
	body = make([]byte, size+1)
	_, err = io.ReadFull(o.out, body)
	return words[1], body[:max(size, 0)], err
}

// tally counts what is read.
type tally struct {
	io.Reader
	n *atomic.Int64
}

func (t tally) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	t.n.Add(int64(n))
	return n, err
}
