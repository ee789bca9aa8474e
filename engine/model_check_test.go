package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/unicode/norm"
)

// checker is what the model knows of the bucket, by reading it itself.
type checker struct {
	heads   []store.Head    // every version that ever counted
	last    []byte          // the newest one
	senders map[string]*run // nonce of a head → who sent it
	writes  map[string]int  // keys written apart from the head
	gens    []generation    // by number; 0 is the empty one
	stored  map[string]bool // content of any generation
	extents map[string][]byte
	unzip   *zstd.Decoder
}

// generation is a committed tree as a person sees it.
type generation struct {
	files   map[string]shown
	by      *place
	changed []string // paths that differ from the generation before
}

// shown is one path of a tree, as a person sees it.
type shown struct {
	kind    tree.Kind
	mode    uint32 // not of links
	mtime   int64  // not of directories
	content string // or a link's target
}

func (s shown) text() string {
	return fmt.Sprintf("%c %o @%d %.20q", s.kind, s.mode, s.mtime, s.content)
}

// kept is what of a path can be lost.
func (s shown) kept() string {
	if s.kind == tree.Link {
		return "> " + s.content
	}
	return s.content
}

var modelUnzip, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))

func newChecker() checker {
	return checker{
		senders: map[string]*run{}, writes: map[string]int{}, stored: map[string]bool{"": true},
		gens: []generation{{files: map[string]shown{}}}, extents: map[string][]byte{}, unzip: modelUnzip,
	}
}

// sends notes who sends a head.
func (m *model) sends(r *run, body []byte) {
	var h store.Head
	must(json.Unmarshal(body, &h))
	if _, there := m.senders[h.Nonce]; !there {
		m.senders[h.Nonce] = r
		m.sendsTurn(r, &h)
	}
}

// wrote notes what else is written.
func (m *model) wrote(keys ...string) {
	for _, key := range keys {
		if !strings.Contains(key, "/clock-") && !strings.Contains(key, "/probe-") {
			m.writes[key]++
		}
	}
}

// look looks at the head. It is called after whatever may have changed it.
func (m *model) look() {
	body := m.backs.body(modelHead)
	if body == nil || bytes.Equal(body, m.last) {
		return
	}
	m.last = bytes.Clone(body)
	var h store.Head
	must(json.Unmarshal(body, &h))
	sender := m.senders[h.Nonce]
	m.say("head: %s epoch %d seq %d generation %d of %s", h.State, h.Epoch, h.Seq, h.Generation, h.Holder.Instance)
	if len(m.heads) > 0 {
		m.checkHead(&m.heads[len(m.heads)-1], &h, sender)
	}
	m.heads = append(m.heads, h)
	for n := int64(len(m.gens)); n <= h.Generation; n++ {
		if n < h.Generation {
			m.broken("epoch: generation %d was never seen", n)
			m.gens = append(m.gens, generation{files: map[string]shown{}, by: sender.at})
			continue
		}
		m.committed(&h, sender)
	}
}

// checkHead: one writer in each epoch, and nothing goes backwards.
func (m *model) checkHead(was, is *store.Head, sender *run) {
	next := is.Epoch > was.Epoch
	rules := []struct {
		broken bool
		text   string
	}{
		{is.Seq != was.Seq+1, fmt.Sprintf("backwards: the head went from seq %d to %d", was.Seq, is.Seq)},
		{is.Epoch < was.Epoch || is.Epoch > was.Epoch+1, fmt.Sprintf("backwards: the head went from epoch %d to %d", was.Epoch, is.Epoch)},
		{is.Generation < was.Generation || is.Generation > was.Generation+1, fmt.Sprintf("backwards: the head went from generation %d to %d", was.Generation, is.Generation)},
		{next && is.Generation != was.Generation, fmt.Sprintf("epoch: epoch %d began with a new generation", is.Epoch)},
		{next && is.Holder.Instance != sender.id, fmt.Sprintf("epoch: %s took epoch %d for %s", sender.id, is.Epoch, is.Holder.Instance)},
		{!next && is.Holder.Instance != was.Holder.Instance, fmt.Sprintf("epoch: epoch %d was of %s, and of %s", is.Epoch, was.Holder.Instance, is.Holder.Instance)},
		{!next && sender.id != is.Holder.Instance && (is.Request == nil || is.State != was.State || is.Generation != was.Generation), fmt.Sprintf("epoch: %s wrote in epoch %d of %s", sender.id, is.Epoch, is.Holder.Instance)},
		{!next && was.State != store.Held && is.State == store.Held, fmt.Sprintf("epoch: epoch %d was given back and went on", is.Epoch)},
	}
	for _, r := range rules {
		if r.broken {
			m.broken("%s", r.text)
		}
	}
}

// committed reads a new generation, all of it, and holds what it changed
// against what its user did.
func (m *model) committed(h *store.Head, by *run) {
	g := generation{by: by.at}
	files, err := m.read(h.Replicas["ws"].Manifest)
	if err != nil {
		m.broken("lost: generation %d cannot be read: %v", h.Generation, err)
		files = map[string]shown{}
	}
	g.files = files
	before := m.gens[len(m.gens)-1].files
	turn := m.checkTurn(h, &g)
	for path := range joined(before, files) {
		was, wasThere := before[path]
		is, there := files[path]
		if was != is && !tree.Within(path, localfs.Dir) {
			g.changed = append(g.changed, path)
			if turn {
				continue // it was asked for
			}
			m.checkTouched(by.at, path, was, is, wasThere, there)
		}
	}
	slices.Sort(g.changed)
	m.gens = append(m.gens, g)
	for _, s := range files {
		m.stored[s.kept()] = true
	}
	m.say("generation %d by %s changes %q", h.Generation, by.id, g.changed)
}

// checkTouched: a commit changes what its user touched, and nothing else. A
// machine without a base may bring back what others deleted.
func (m *model) checkTouched(p *place, path string, was, is shown, wasThere, there bool) {
	for t := range p.touched {
		if m.related(p, t, path) {
			return
		}
	}
	if !wasThere && (p.agreed < 0 || is.kind == tree.Dir) {
		return
	}
	verb := "changed"
	if !there {
		verb = "deleted"
	}
	m.broken("untouched: %s %s %q, which nobody touched there: %s, %s", p.name, verb, path, was.text(), is.text())
}

// related reports whether one path is above the other, as a place has names.
func (m *model) related(p *place, a, b string) bool {
	if p.shape.Folds || p.shape.Decomps {
		a, b = modelKey(a), modelKey(b)
	}
	return tree.Within(a, b) || tree.Within(b, a)
}

func modelKey(path string) string { return strings.ToLower(norm.NFD.String(path)) }

func joined[V any](a, b map[string]V) map[string]bool {
	out := map[string]bool{}
	for k := range a {
		out[k] = true
	}
	for k := range b {
		out[k] = true
	}
	return out
}

// read reads a manifest and verifies that all of its content is there.
func (m *model) read(ref string) (map[string]shown, error) {
	out := map[string]shown{}
	if ref == "" {
		return out, nil
	}
	rows, base, err := m.rows(ref)
	if err != nil {
		return nil, err
	}
	if base != "" {
		full, deeper, err := m.rows(base)
		if err != nil || deeper != "" {
			return nil, fmt.Errorf("%s is a difference from %s, and that from %q: %w", ref, base, deeper, err)
		}
		maps.Copy(full, rows)
		rows = full
	}
	for path, rec := range rows {
		if rec.Gone {
			continue
		}
		s := shown{kind: rec.Kind, mode: rec.Mode, mtime: rec.MTime}
		switch rec.Kind {
		case tree.Dir:
			s.mtime = 0
		case tree.Link:
			s.mode, s.content = 0, rec.Link
		default:
			if s.content, err = m.contentOf(&rec.Entry); err != nil {
				return nil, fmt.Errorf("%q: %w", rec.Path, err)
			}
		}
		out[path] = s
	}
	return out, nil
}

// rows reads the lines of one manifest, and what it is a difference from.
func (m *model) rows(ref string) (map[string]tree.Record, string, error) {
	plain, err := m.unzip.DecodeAll(m.backs.body(modelPrefix+"/.coltec/"+ref), nil)
	if err != nil {
		return nil, "", err
	}
	first, text, _ := bytes.Cut(plain, []byte{'\n'})
	var header struct{ Base string }
	if err := json.Unmarshal(first, &header); err != nil {
		return nil, "", err
	}
	rows := map[string]tree.Record{}
	for r := tree.NewReader(bytes.NewReader(text)); ; {
		rec, err := r.Next()
		if err == io.EOF {
			return rows, header.Base, nil
		}
		if err != nil {
			return nil, "", err
		}
		rows[rec.Path] = rec
	}
}

func (m *model) contentOf(e *tree.Entry) (string, error) {
	var all []byte
	for _, x := range e.Where {
		part, err := m.extent(x)
		if err != nil {
			return "", err
		}
		all = append(all, part...)
	}
	if len(all) > 0 && sha256.Sum256(all) != e.Sum {
		return "", fmt.Errorf("its content is not what was committed")
	}
	return string(all), nil
}

func (m *model) extent(x tree.Extent) ([]byte, error) {
	key := fmt.Sprint(x)
	if part, there := m.extents[key]; there {
		return part, nil
	}
	body := m.backs.body(modelPrefix + "/.coltec/" + x.Object)
	if int64(len(body)) < x.Offset+x.Stored {
		return nil, fmt.Errorf("object %q has %d bytes, and is to have %d", x.Object, len(body), x.Offset+x.Stored)
	}
	part := body[x.Offset : x.Offset+x.Stored]
	if x.Codec == tree.Zstd {
		var err error
		if part, err = m.unzip.DecodeAll(part, nil); err != nil {
			return nil, err
		}
	}
	m.extents[key] = part
	return part, nil
}

// show reads a place's tree.
func (p *place) show() map[string]shown {
	out := map[string]shown{}
	p.showUnder(p.path, "", out)
	return out
}

func (p *place) showUnder(dir, rel string, out map[string]shown) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, d := range entries {
		path := d.Name()
		if rel != "" {
			path = rel + "/" + path
		}
		if path == localfs.Dir {
			continue
		}
		file := filepath.Join(dir, d.Name())
		info, err := d.Info()
		must(err)
		s := shown{kind: tree.File, mode: uint32(info.Mode().Perm()), mtime: info.ModTime().UnixNano()}
		switch info.Mode().Type() {
		case fs.ModeDir:
			s.kind, s.mtime = tree.Dir, 0
			p.showUnder(file, path, out)
		case fs.ModeSymlink:
			s.kind, s.mode = tree.Link, 0
			s.content, err = os.Readlink(file)
		default:
			var body []byte
			body, err = os.ReadFile(file)
			s.content = string(body)
		}
		must(err)
		out[path] = s
	}
}

// keptApart reads what lies in conflicts and replaced.
func (p *place) keptApart(into map[string]bool) {
	for _, where := range []string{"conflicts", "replaced"} {
		stamps, _ := os.ReadDir(filepath.Join(p.path, localfs.Dir, where))
		for _, s := range stamps {
			files := map[string]shown{}
			p.showUnder(filepath.Join(p.path, localfs.Dir, where, s.Name()), "x", files)
			for _, f := range files {
				into[f.kept()] = true
			}
		}
	}
}

// contents is everything at a place that can be lost.
func (p *place) contents(files map[string]shown) map[string]bool {
	out := map[string]bool{}
	for _, s := range files {
		out[s.kept()] = true
	}
	p.keptApart(out)
	return out
}

// sawEdit notes what a user's hand changed: what is gone by it may be.
func (m *model) sawEdit(p *place, paths []string) {
	for _, path := range paths {
		p.touched[path] = true
	}
	p.edits++
	now := p.contents(p.show())
	for c := range p.here {
		if !now[c] {
			delete(p.present, c)
		}
	}
	p.here = now
	maps.Copy(p.present, now)
}

// agreement is where a place stands before a step.
func (p *place) agreement() int { return p.edits }

// checkStep: an engine's step loses nothing that was there.
func (m *model) checkStep(p *place, edits int) {
	files := p.show()
	now := p.contents(files)
	for c := range p.present {
		if !now[c] && !m.stored[c] {
			m.broken("lost: content %.20q, last seen at %s, is nowhere", c, p.name)
		}
	}
	p.present, p.here = maps.Clone(now), now
	if len(m.heads) == 0 || p.edits != edits {
		return
	}
	if p.run != nil && p.run.e.lease != nil && p.run.e.lease.InDoubt() {
		return // what was sent may count yet: a settled commit is of before
	}
	h := &m.heads[len(m.heads)-1]
	if p.agreed < 0 && base.LastSettled(p.path).IsZero() {
		return // alike by chance: there is no base that says so
	}
	if r := m.runs[h.Holder.Instance]; r != nil && r.at == p && m.sameTree(p, files, m.gens[h.Generation].files) == "" {
		p.agreed = h.Generation
		at := m.gens[h.Generation].files
		maps.DeleteFunc(p.touched, func(path string, _ bool) bool { // an edit of a twin may be on its way still
			here, is := files[path]
			there, was := at[path]
			return is == was && p.bent(here) == p.bent(there) || !m.unshowable(p, path, at, nil)
		})
	}
}

// sameTree says how a place's tree differs from a generation, beyond what its
// file system cannot show; "" when it does not.
func (m *model) sameTree(p *place, files, head map[string]shown) string {
	var diff strings.Builder
	left := maps.Clone(files)
	byKey := map[string]string{}
	if p.shape.Folds || p.shape.Decomps {
		for path := range files {
			byKey[p.key(path)] = path
		}
	}
	for _, path := range slices.Sorted(maps.Keys(head)) {
		if tree.Within(path, localfs.Dir) {
			continue
		}
		name := path
		is, there := left[path]
		if !there && p.shape.Decomps {
			name = byKey[p.key(path)]
			is, there = left[name]
		}
		switch {
		case !there && m.unshowable(p, path, head, byKey):
		case !there:
			fmt.Fprintf(&diff, "%q is not there; ", path)
		case p.bent(is) != p.bent(head[path]) && !m.unshowable(p, path, head, byKey):
			fmt.Fprintf(&diff, "%q is %s, not %s; ", path, is.text(), head[path].text())
		}
		delete(left, name)
	}
	for path := range left {
		if !m.overLink(p, path, head) {
			fmt.Fprintf(&diff, "%q is there; ", path)
		}
	}
	return diff.String()
}

func (p *place) key(path string) string {
	if p.shape.Decomps {
		path = norm.NFD.String(path)
	}
	if p.shape.Folds {
		path = strings.ToLower(path)
	}
	return path
}

// bent is what a file system makes of an entry.
func (p *place) bent(s shown) shown {
	if p.shape.NoModes {
		s.mode = 0
	}
	if g := int64(p.shape.Grain); g > 0 {
		s.mtime -= s.mtime % g
	}
	return s
}

// unshowable reports whether the place has a reason not to show a path: it, or
// something above it, is a link where there are none or one of two twins.
func (m *model) unshowable(p *place, path string, head map[string]shown, shown map[string]string) bool {
	if m.overLink(p, path, head) {
		return true
	}
	if !p.shape.Folds && !p.shape.Decomps {
		return false
	}
	for other := range head {
		for dir := range selfAndParents(path) {
			if other != dir && p.key(other) == p.key(dir) {
				return true
			}
		}
	}
	return false
}

func selfAndParents(path string) func(func(string) bool) {
	return func(yield func(string) bool) {
		if !yield(path) {
			return
		}
		for dir := range tree.Parents(path) {
			if !yield(dir) {
				return
			}
		}
	}
}

// overLink reports whether the head has a link at a path or above it, and the place
// has none.
func (m *model) overLink(p *place, path string, head map[string]shown) bool {
	if !p.shape.NoLinks {
		return false
	}
	for dir := range selfAndParents(path) {
		for other, s := range head { // by what it is called here
			if s.kind == tree.Link && p.key(other) == p.key(dir) {
				return true
			}
		}
	}
	return false
}

// checkConflicts: a conflict only where both sides changed since they last
// agreed.
func (m *model) checkConflicts(p *place, paths []string) {
	m.say("%s: conflicts %q", p.name, paths)
	if p.agreed < 0 {
		return // no base: any difference is one
	}
	for _, path := range paths {
		here, there := false, false
		for t := range p.touched {
			here = here || m.related(p, t, path)
		}
		for _, g := range m.gens[p.agreed+1:] {
			for _, c := range g.changed {
				there = there || g.by != p && m.related(p, c, path)
			}
		}
		// What this place could not show was never agreed about: a file that a user makes there meets it.
		there = there || m.unshowable(p, path, m.gens[p.agreed].files, nil)
		if !here || !there {
			m.broken("conflict: %q at %s: changed here %v, there %v", path, p.name, here, there)
		}
	}
}

// settle lets the storm pass: each machine is started once more in turn, twice.
func (m *model) settle() {
	m.still = true
	m.backs.heal()
	for _, p := range m.places {
		if p.run != nil {
			m.stop(p)
		}
	}
	m.backs.land()
	m.look()
	m.pass(2 * modelTTL)
	for range 2 {
		for _, p := range m.places {
			m.turn(p)
		}
	}
	if len(m.bad) > 0 {
		return
	}
	h := &m.heads[len(m.heads)-1]
	for _, p := range m.places {
		if diff := m.sameTree(p, p.show(), m.gens[h.Generation].files); diff != "" {
			m.broken("unequal: %s and generation %d: %s", p.name, h.Generation, diff)
		}
	}
	m.checkPinned()
	m.checkQuiet()
}

// turn is one machine's: it starts, does what there is to do and stops.
func (m *model) turn(p *place) {
	m.start(p)
	for n := 0; ; n++ {
		if n == 8 {
			_, _, attention := p.run.e.Status()
			m.broken("unequal: %s does not come to rest: %v %q", p.name, failures(p.run.e.members), attention)
			break
		}
		writes := len(m.heads)
		m.allowDelete(p)
		m.drive(p.run, "a round", func(e *Engine) { e.round(context.Background()) })
		e := p.run.e
		if n > 0 && e.writable() && e.members[0].ready() && e.members[0].course.err == nil && !(agenda{&e.tenure, &e.roster}).unsettled() && len(m.heads) == writes {
			break
		}
		m.pass(11 * time.Second)
	}
	m.stop(p)
}

// checkQuiet: where nothing changed, nothing is written but the lease.
func (m *model) checkQuiet() {
	for _, p := range m.places {
		before, stamps := p.show(), p.stamps()
		generation := m.heads[len(m.heads)-1].Generation
		clear(m.writes)
		m.turn(p)
		if len(m.writes) > 0 {
			m.broken("quiet: %s wrote %q with nothing to write", p.name, slices.Sorted(maps.Keys(m.writes)))
		}
		if g := m.heads[len(m.heads)-1].Generation; g != generation {
			m.broken("quiet: %s made generation %d of nothing", p.name, g)
		}
		if !maps.Equal(before, p.show()) || !maps.Equal(stamps, p.stamps()) {
			m.broken("quiet: %s's tree was changed for nothing", p.name)
		}
	}
}

// stamps are the inodes and change times of a tree.
func (p *place) stamps() map[string]string {
	out := map[string]string{}
	must(filepath.WalkDir(p.path, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == p.path {
			return err
		}
		if d.IsDir() && d.Name() == localfs.Dir {
			return filepath.SkipDir
		}
		info, err := d.Info()
		if err == nil {
			out[path] = changeTime(info)
		}
		return err
	}))
	return out
}

func changeTime(info fs.FileInfo) string {
	st := info.Sys().(*syscall.Stat_t)
	return fmt.Sprint(st.Ino, st.Ctim.Nano())
}
